//! Reports as text.

use anstyle::Style;
use k8s_openapi::jiff::Timestamp;

use kubesentiment_operator::api::ConditionType;

use super::{Report, Rollout};
use crate::output::{BAD, CHANGING, GOOD, TITLE, Table, age, styled};

/// The condition whose message others repeat.
const READY: &str = ConditionType::Ready.as_str();

fn style(report: &Report) -> Style {
    match (&*report.ready, report.stalled) {
        ("True", _) => GOOD,
        (_, true) => BAD,
        _ => CHANGING,
    }
}

/// A row for each service.
pub(super) fn all(reports: &[Report], with_namespace: bool, wide: bool) -> String {
    let mut table = if with_namespace {
        Table::new(["NAMESPACE", "NAME", "READY", "PODS"])
    } else {
        Table::new(["NAME", "READY", "PODS"])
    };
    if wide {
        for header in ["URL", "MODEL", "DIGEST"] {
            table.add(header);
        }
    }
    table.add("WHY");
    for report in reports {
        table.row();
        if with_namespace {
            table.add(&*report.namespace);
        }
        table.add(&*report.name);
        table.add_styled(&*report.ready, style(report));
        table.add(
            report
                .rollout
                .as_ref()
                .map(|rollout| format!("{}/{}", rollout.available, rollout.wanted))
                .unwrap_or_default(),
        );
        if wide {
            let model = report.model.as_ref();
            table.add(report.url.clone().unwrap_or_default());
            table.add(model.map(|model| model.source.clone()).unwrap_or_default());
            table.add(model.and_then(|model| model.digest.as_deref()).map(short).unwrap_or_default());
        }
        table.add(one_line(&report.why));
    }
    table.render("")
}

/// All that is known of one service.
#[must_use]
pub fn one(report: &Report, wide: bool, now: Timestamp) -> String {
    let mut text = format!(
        "{} {}\n",
        styled(TITLE, &format!("{}/{}:", report.namespace, report.name)),
        styled(style(report), &one_line(&report.why))
    );
    if !report.conditions.is_empty() {
        let ready = report.conditions.iter().find(|condition| condition.type_ == READY);
        let ready = ready.map(|ready| ready.message.as_str()).unwrap_or_default();
        let mut table = Table::new(["CONDITION", "STATUS", "REASON", "SINCE", "MESSAGE"]);
        for condition in &report.conditions {
            let since = age(Some(condition.last_transition_time.0), now);
            let is_again = condition.type_ != READY && condition.message == ready;
            let message = if is_again { "as Ready".to_owned() } else { one_line(&condition.message) };
            table.push([&condition.type_, &condition.status, &condition.reason, &since, &message]);
        }
        text.push_str(&format!("\n{}", table.render("")));
    }
    match &report.pods {
        Some(pods) if !pods.is_empty() => {
            let mut table = Table::new(["POD", "PHASE", "READY", "RESTARTS", "AGE"]);
            if wide {
                for header in ["TEMPLATE", "NODE", "IP"] {
                    table.add(header);
                }
            }
            table.add("REASON");
            for pod in pods {
                let style = if pod.ready {
                    GOOD
                } else if pod.reason.is_some() && pod.live {
                    BAD
                } else {
                    CHANGING
                };
                table.row();
                table.add(&*pod.name);
                table.add_styled(&*pod.phase, style);
                table.add(if pod.ready { "True" } else { "False" });
                table.add(pod.restarts.to_string());
                table.add(age(pod.created, now));
                if wide {
                    let template = pod.current.map(|current| if current { "current" } else { "old" });
                    table.add(template.unwrap_or_default());
                    table.add(pod.node.clone().unwrap_or_default());
                    table.add(pod.ip.clone().unwrap_or_default());
                }
                table.add(one_line(pod.reason.as_deref().unwrap_or_default()));
            }
            text.push_str(&format!("\n{}", table.render("")));
        }
        Some(_) => text.push_str("\nThere are no pods.\n"),
        None => {}
    }
    text.push('\n');
    let model = report.model.as_ref();
    let lines = [
        ("Rollout", report.rollout.as_ref().map(rollout)),
        ("Model", model.map(|model| format!("{} from {}", model.name, model.source))),
        ("Digest", model.map(|model| model.digest.clone().unwrap_or_else(|| "no pod has told it yet".to_owned()))),
        ("Image", report.image.clone()),
        ("URL", report.url.clone()),
        ("Outside", report.external_url.clone()),
    ];
    for (title, words) in lines {
        text.push_str(&words.map(|words| format!("{title}:{:1$}{words}\n", "", 10 - title.len())).unwrap_or_default());
    }
    text
}

fn rollout(rollout: &Rollout) -> String {
    let Rollout { revision, wanted, total, updated, available, complete, complaint } = rollout;
    let revision = revision.as_deref().map(|revision| format!("revision {revision}, ")).unwrap_or_default();
    let state = if *complete { "complete" } else { "under way" };
    let old = if total > updated { format!(", {} of an older template", total - updated) } else { String::new() };
    let complaint = complaint.as_deref().map(|words| format!("; {words}")).unwrap_or_default();
    format!(
        "{state}: {revision}{updated} of {wanted} pods are of the current template{old}, {available} take traffic{complaint}"
    )
}

/// The first digits of a digest, enough to tell it from others.
fn short(digest: &str) -> String {
    digest.chars().take("sha256:".len() + 12).collect()
}

/// Words of others may have lines of their own.
fn one_line(words: &str) -> String {
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}
