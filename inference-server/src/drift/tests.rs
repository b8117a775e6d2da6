use super::*;

const SIZE: usize = 1000;

pub(super) fn config() -> DriftConfig {
    DriftConfig {
        window_size: SIZE,
        min_samples: 500,
        psi_threshold: 0.1,
        ks_threshold: 0.05,
        baseline: None,
        config_dir: "/nonexistent".into(),
    }
}

fn labels() -> Vec<Arc<str>> {
    vec!["NEGATIVE".into(), "POSITIVE".into()]
}

/// The `number`th of a stream of predictions whose scores and lengths are spread evenly over 100 steps.
fn prediction(number: usize) -> (Verdict, usize) {
    let step = u16::try_from(number * 37 % 100).unwrap();
    let label = labels()[usize::from(step % 2)].clone();
    (Verdict { label, score: 0.5 + f32::from(step) / 200.0 }, usize::from(step) + 10)
}

fn record(monitor: &Monitor, count: usize, change: impl Fn(&mut Verdict, &mut usize)) {
    for number in 0..count {
        let (mut verdict, mut characters) = prediction(number);
        change(&mut verdict, &mut characters);
        monitor.record(&verdict, characters);
    }
}

/// A monitor whose baseline is the stream's own distribution.
fn with_baseline() -> Monitor {
    let stream: Vec<_> = (0..900).map(prediction).collect();
    let predictions = Predictions::collect(
        stream
            .iter()
            .map(|(verdict, characters)| (verdict.score, u16::try_from(*characters).unwrap(), &*verdict.label)),
    );
    let monitor = Monitor::new(config());
    monitor.start(labels(), Some(Baseline::new(Origin::File("a.json".into()), predictions, &labels())));
    monitor
}

fn drifted(monitor: &Monitor) -> Vec<&'static str> {
    let comparisons = monitor.report().comparisons;
    assert_eq!(comparisons.len(), 3);
    comparisons.iter().filter(|found| found.drifted).map(|found| found.feature.as_str()).collect()
}

#[test]
fn the_same_distribution_is_no_drift() {
    let monitor = with_baseline();
    record(&monitor, 3000, |_, _| {});
    assert!(drifted(&monitor).is_empty(), "{:?}", monitor.report());
}

#[test]
fn each_feature_drifts_by_itself() {
    let monitor = with_baseline();
    record(&monitor, SIZE, |verdict, _| verdict.score -= 0.1);
    assert_eq!(drifted(&monitor), ["score"]);
    record(&monitor, SIZE, |_, characters| *characters += 20);
    assert_eq!(drifted(&monitor), ["text_length"]);
    record(&monitor, SIZE, |verdict, _| verdict.label = labels()[0].clone());
    assert_eq!(drifted(&monitor), ["label"]);
    record(&monitor, SIZE, |_, _| {});
    assert!(drifted(&monitor).is_empty());
}

#[test]
fn either_measure_is_enough_and_each_has_its_threshold() {
    let mut monitor = with_baseline();
    record(&monitor, SIZE, |verdict, _| verdict.score -= 0.04);
    let found = monitor.report().comparisons[0];
    let p_value = found.ks.unwrap().p_value;
    assert!(found.psi > 0.1 && p_value < 0.05, "{found:?}");
    (monitor.config.psi_threshold, monitor.config.ks_threshold) = (found.psi, p_value);
    assert!(drifted(&monitor).is_empty());
    monitor.config.psi_threshold = found.psi - 1e-9;
    assert_eq!(drifted(&monitor), ["score"]);
    (monitor.config.psi_threshold, monitor.config.ks_threshold) = (10.0, p_value + 1e-9);
    assert_eq!(drifted(&monitor), ["score"]);
}

#[test]
fn nothing_is_compared_before_there_is_enough() {
    let monitor = with_baseline();
    record(&monitor, 499, |_, _| {});
    let report = monitor.report();
    assert_eq!((report.window, report.min_samples, report.comparisons.len()), (499, 500, 0));
    record(&monitor, 1, |_, _| {});
    assert_eq!(monitor.report().comparisons.len(), 3);
    let small = Monitor::new(DriftConfig { window_size: 100, ..config() });
    assert_eq!(small.report().min_samples, 100);
}

#[test]
fn without_a_baseline_the_first_window_becomes_it_and_is_not_compared_with_itself() {
    let monitor = Monitor::new(config());
    monitor.start(labels(), None);
    record(&monitor, SIZE - 1, |_, _| {});
    assert!(monitor.report().baseline.is_none());
    record(&monitor, 1, |_, _| {});
    let report = monitor.report();
    let baseline = report.baseline.unwrap();
    assert_eq!((baseline.scores.len(), &baseline.origin, report.window), (SIZE, &Origin::FirstWindow, 0));
    record(&monitor, 500, |verdict, _| verdict.score -= 0.2);
    assert_eq!(monitor.report().window, 500);
    assert_eq!(drifted(&monitor), ["score"]);
    record(&monitor, 5 * SIZE, |_, _| {});
    assert_eq!(monitor.report().window, SIZE);
    assert!(drifted(&monitor).is_empty());
}

#[test]
fn nothing_is_recorded_before_the_model_is_known() {
    let monitor = Monitor::new(config());
    record(&monitor, 10, |_, _| {});
    assert_eq!(monitor.report().window, 0);
}

#[test]
fn a_label_that_only_the_baseline_has_is_drift() {
    let monitor = Monitor::new(config());
    let predictions = Predictions::collect((0..900).map(prediction).map(|(verdict, _)| (verdict.score, 30, "OTHER")));
    monitor.start(labels(), Some(Baseline::new(Origin::FirstWindow, predictions, &labels())));
    record(&monitor, 2 * SIZE, |verdict, _| verdict.label = "UNHEARD".into());
    assert!(drifted(&monitor).contains(&"label"));
}
