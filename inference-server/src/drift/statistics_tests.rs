use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Recorded {
    samples: Vec<Row>,
    labels: Vec<Counts>,
    kolmogorov: Vec<Point>,
}

#[derive(Deserialize)]
struct Row {
    name: String,
    baseline: Vec<f64>,
    window: Vec<f64>,
    psi: f64,
    ks_statistic: f64,
    ks_p_value_limit: f64,
    ks_p_value_exact: f64,
}

#[derive(Deserialize)]
struct Counts {
    own: Vec<usize>,
    other: Vec<usize>,
    psi: f64,
}

#[derive(Deserialize)]
struct Point {
    x: f64,
    p: f64,
}

/// What numpy and scipy said.
fn recorded() -> Recorded {
    serde_json::from_str(include_str!("../../tests/fixtures/drift.json")).unwrap()
}

fn assert_near(found: f64, expected: f64, tolerance: f64, what: &str) {
    assert!((found - expected).abs() <= tolerance, "{what}: {found}, but {expected} was recorded");
}

#[test]
fn samples_are_as_far_apart_as_numpy_and_scipy_say() {
    let rows = recorded().samples;
    assert!(rows.len() > 10);
    for mut row in rows {
        let baseline = Sample::new(row.baseline);
        row.window.sort_unstable_by(f64::total_cmp);
        assert_near(baseline.stability_index(&row.window), row.psi, 1e-12, &row.name);
        let statistic = baseline.ks_statistic(&row.window);
        assert_near(statistic, row.ks_statistic, 1e-12, &row.name);
        let p = baseline.ks_p_value(statistic, row.window.len());
        assert_near(p, row.ks_p_value_limit, 1e-12, &row.name);
        // The limit itself is near enough for samples of the sizes that are compared.
        if baseline.len().min(row.window.len()) >= 100 {
            assert_near(p, row.ks_p_value_exact, 0.05, &row.name);
            assert_eq!(p < 0.05, row.ks_p_value_exact < 0.05, "{}", row.name);
        }
    }
}

#[test]
fn label_shares_are_as_far_apart_as_numpy_says() {
    for counts in recorded().labels {
        assert_near(stability_index(&counts.own, &counts.other), counts.psi, 1e-12, &format!("{:?}", counts.own));
    }
}

#[test]
fn kolmogorovs_distribution_is_scipys() {
    for Point { x, p } in recorded().kolmogorov {
        assert_near(kolmogorov(x), p, 1e-12, &x.to_string());
    }
}

#[test]
fn a_sample_does_not_differ_from_itself() {
    let values: Vec<f64> = [3.0, 1.0, 2.0, 2.0].repeat(50);
    let sample = Sample::new(values.clone());
    let mut sorted = values;
    sorted.sort_unstable_by(f64::total_cmp);
    assert!(sample.stability_index(&sorted).abs() < f64::EPSILON);
    assert!(sample.ks_statistic(&sorted).abs() < f64::EPSILON);
    assert_near(sample.ks_p_value(0.0, 200), 1.0, 0.0, "the probability of any difference at all");
}
