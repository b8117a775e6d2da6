//! The two destinations: a receiver of CloudEvents over HTTP, and lines of JSON.

use std::{io::Write, sync::Arc, time::Duration};

use axum::http::Request;
use ureq::Agent;

use super::{
    Record,
    cloud_event::{Origin, events},
    destination::{Destination, Written},
};
use crate::{
    config::InferenceLogConfig,
    outgoing::{self, AuthoritiesError},
    secrets::{Headers, Live, masked_sentence},
};

/// Longest wait for the receiver's answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// A receiver of CloudEvents.
pub(super) struct Receiver {
    agent: Agent,
    url: String,
    headers: Option<Arc<Live<Headers>>>,
    origin: Origin,
    /// Events of the record at hand that were taken, when another was not.
    taken: usize,
}

impl Receiver {
    pub(super) fn new(url: &str, config: &InferenceLogConfig) -> Result<Self, AuthoritiesError> {
        let agent = outgoing::agent(url, config.authorities.as_deref(), "MLOPS_INFERENCE_LOG_CA", ANSWER_WITHIN)?;
        let origin = Origin {
            source: format!("urn:kubesentiment:{}", config.service),
            service: config.service.clone(),
            namespace: config.namespace.clone(),
        };
        Ok(Self { agent, url: url.to_owned(), headers: config.headers.clone(), origin, taken: 0 })
    }
}

impl Destination for Receiver {
    fn name(&self) -> &'static str {
        "http"
    }

    fn write(&mut self, record: &Record) -> Written {
        let events = events(record, &self.origin);
        for event in events.into_iter().skip(self.taken) {
            let Ok(mut request) = Request::post(&self.url).body(event.body) else {
                return Written::Refused("the URL can't be asked".to_owned());
            };
            *request.headers_mut() = event.headers;
            if let Some(headers) = &self.headers {
                headers.current().put_into(request.headers_mut());
            }
            let status = match self.agent.run(request) {
                Ok(response) => response.status(),
                Err(error) => return Written::NotNow(masked_sentence(&error.to_string()).into_owned()),
            };
            match status.as_u16() {
                200..=299 => self.taken += 1,
                // What is wrong with a request stays wrong, but for these.
                400..=499 if !matches!(status.as_u16(), 401 | 403 | 404 | 408 | 425 | 429) => {
                    self.taken = 0;
                    return Written::Refused(format!("the receiver answers {status}"));
                }
                _ => return Written::NotNow(format!("the receiver answers {status}")),
            }
        }
        self.taken = 0;
        Written::Yes
    }
}

/// Lines of JSON, one a record.
pub(super) struct Lines<W>(W);

impl<W: Write + Send + 'static> Lines<W> {
    pub(super) fn new(to: W) -> Self {
        Self(to)
    }
}

impl<W: Write + Send + 'static> Destination for Lines<W> {
    fn name(&self) -> &'static str {
        "stdout"
    }

    fn write(&mut self, record: &Record) -> Written {
        #[derive(serde::Serialize)]
        struct Line<'a> {
            /// By which collectors tell it from log lines.
            event: &'static str,
            #[serde(flatten)]
            record: &'a Record,
        }
        let Ok(mut line) = serde_json::to_vec(&Line { event: "inference", record }) else {
            return Written::Refused("it can't be written as JSON".to_owned());
        };
        line.push(b'\n');
        match self.0.write_all(&line).and_then(|()| self.0.flush()) {
            Ok(()) => Written::Yes,
            Err(error) => Written::Refused(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::{Value, json};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_record_is_one_line() {
        let kept = Kept::default();
        let mut lines = Lines::new(kept.clone());
        assert_eq!(lines.write(&Record::of_test("a\nlamp")), Written::Yes);
        let bytes = kept.0.lock().unwrap().clone();
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text.lines().count(), 1);
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&line["event"], &line["text"], &line["score"]),
            (&json!("inference"), &json!("a\nlamp"), &json!(0.75))
        );
        assert_eq!(line["time"], "1970-01-01T00:00:00Z");
    }
}
