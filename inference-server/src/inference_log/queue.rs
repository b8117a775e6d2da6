//! What waits for a destination: so many records and so many bytes, and a thread that writes them.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::{
    Outcome, Record, Series,
    destination::{Destination, Written},
};

/// Memory of what waits for a destination: texts may be long.
const MOST_BYTES: usize = 32 << 20;

/// Waits between tries while a destination takes nothing.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The way to a destination.
pub(super) struct Queue {
    destination: &'static str,
    records: Mutex<Option<Sender<Arc<Record>>>>,
    bytes: Arc<AtomicUsize>,
    series: Arc<Series>,
    closing: Arc<AtomicBool>,
    ended: Receiver<()>,
}

impl Queue {
    /// Starts the thread that writes.
    pub(super) fn start(destination: impl Destination, capacity: usize, series: &Arc<Series>) -> Self {
        let name = destination.name();
        series.begin(name);
        let (sender, records) = bounded(capacity);
        let (end, ended) = bounded(0);
        let (bytes, closing) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let writing = Writing {
            destination,
            series: Arc::clone(series),
            bytes: Arc::clone(&bytes),
            closing: Arc::clone(&closing),
        };
        let thread = thread::Builder::new().name(format!("inference-log-{name}"));
        let started = thread.spawn(move || {
            writing.all(&records);
            drop(end);
        });
        if let Err(error) = started {
            // Nobody reads, so that every record is dropped and counted.
            tracing::error!(%error, destination = name, "the inference log has no thread to write with");
        }
        let records = Mutex::new(Some(sender));
        Self { destination: name, records, bytes, series: Arc::clone(series), closing, ended }
    }

    /// Lets a record wait, or drops it where there is no room.
    pub(super) fn put(&self, record: Arc<Record>) {
        let bytes = record.bytes();
        let has_room = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes <= MOST_BYTES;
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = has_room && records.as_ref().is_some_and(|records| records.try_send(record).is_ok());
        if let Some(records) = &*records {
            self.series.set_waiting(self.destination, records.len());
        }
        drop(records);
        if !taken {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.series.count(self.destination, Outcome::Dropped);
        }
    }

    /// Takes no more records.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
        self.records.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Waits until all that was taken is written.
    pub(super) fn wait_until(&self, deadline: Instant) {
        if self.ended.recv_deadline(deadline).is_err_and(|error| error.is_timeout()) {
            tracing::warn!(destination = self.destination, "the last records of the inference log may be lost");
        }
    }
}

/// What the thread works with.
struct Writing<D> {
    destination: D,
    series: Arc<Series>,
    bytes: Arc<AtomicUsize>,
    closing: Arc<AtomicBool>,
}

impl<D: Destination> Writing<D> {
    fn all(mut self, records: &Receiver<Arc<Record>>) {
        let mut failing = false;
        for record in records {
            let outcome = self.one(&record, &mut failing);
            self.bytes.fetch_sub(record.bytes(), Ordering::Relaxed);
            self.series.set_waiting(self.destination.name(), records.len());
            self.series.count(self.destination.name(), outcome);
        }
    }

    /// Writes a record, once the destination takes it. At the end of the process each has one try.
    fn one(&mut self, record: &Record, failing: &mut bool) -> Outcome {
        let mut pause = FIRST_PAUSE;
        loop {
            let destination = self.destination.name();
            match self.destination.write(record) {
                Written::Yes => {
                    if std::mem::take(failing) {
                        tracing::info!(destination, "the inference log is written again");
                    }
                    return Outcome::Written;
                }
                Written::Refused(problem) => {
                    tracing::debug!(destination, problem, "a record of the inference log is refused");
                    return Outcome::Failed;
                }
                Written::NotNow(problem) => {
                    if !std::mem::replace(failing, true) {
                        tracing::warn!(
                            destination,
                            problem,
                            "the inference log can't be written; what there is no room for is dropped until it can"
                        );
                    }
                }
            }
            let until = Instant::now() + pause;
            while Instant::now() < until {
                if self.closing.load(Ordering::Relaxed) {
                    return Outcome::Failed;
                }
                thread::sleep(FIRST_PAUSE);
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes what it is allowed to.
    struct Gate {
        open: Arc<AtomicBool>,
        taken: Arc<Mutex<Vec<String>>>,
    }

    impl Destination for Gate {
        fn name(&self) -> &'static str {
            "gate"
        }

        fn write(&mut self, record: &Record) -> Written {
            let text = record.texts.as_ref().unwrap().text.clone();
            if !self.open.load(Ordering::SeqCst) {
                return Written::NotNow("it is shut".to_owned());
            }
            if text == "bad" {
                return Written::Refused("it is bad".to_owned());
            }
            self.taken.lock().unwrap().push(text);
            Written::Yes
        }
    }

    /// A queue before a gate that is shut, and the gate's other side.
    fn shut(capacity: usize) -> (Queue, Gate, Arc<Series>) {
        let (open, taken, series) = (Arc::default(), Arc::default(), Arc::new(Series::default()));
        let other = Gate { open: Arc::clone(&open), taken: Arc::clone(&taken) };
        (Queue::start(Gate { open, taken }, capacity, &series), other, series)
    }

    fn put(queue: &Queue, text: &str) {
        queue.put(Arc::new(Record::of_test(text)));
    }

    fn counts(series: &Series) -> [u64; 3] {
        Outcome::ALL.map(|outcome| series.records("gate", outcome))
    }

    #[test]
    fn what_finds_no_room_is_dropped_and_the_rest_is_written_once_that_is_possible() {
        let (queue, gate, series) = shut(3);
        let begun = Instant::now();
        // One may be in the thread's hands.
        for number in 0..100 {
            put(&queue, &number.to_string());
        }
        assert!(begun.elapsed() < Duration::from_secs(1), "nobody waits");
        let dropped = series.records("gate", Outcome::Dropped);
        assert!((96..=97).contains(&dropped), "{dropped}");
        gate.open.store(true, Ordering::SeqCst);
        while counts(&series)[0] < 100 - dropped {
            thread::sleep(Duration::from_millis(5));
        }
        put(&queue, "bad");
        put(&queue, "last");
        queue.close();
        queue.wait_until(Instant::now() + Duration::from_secs(10));
        put(&queue, "late");
        assert_eq!(counts(&series), [101 - dropped, dropped + 1, 1]);
        let taken = gate.taken.lock().unwrap();
        assert_eq!((taken[0].as_str(), taken.last().unwrap().as_str()), ("0", "last"));
    }

    #[test]
    fn long_texts_fill_the_room_by_their_bytes() {
        let (queue, _gate, series) = shut(100_000);
        let text = "x".repeat(1 << 20);
        for _ in 0..40 {
            put(&queue, &text);
        }
        let dropped = series.records("gate", Outcome::Dropped);
        assert!((8..=10).contains(&dropped), "{dropped}");
        queue.close();
    }

    #[test]
    fn the_end_waits_for_no_destination_that_takes_nothing() {
        let (queue, _gate, series) = shut(10);
        put(&queue, "a");
        put(&queue, "b");
        let begun = Instant::now();
        queue.close();
        queue.wait_until(begun + Duration::from_secs(20));
        assert!(begun.elapsed() < Duration::from_secs(10));
        assert_eq!(counts(&series), [0, 0, 2]);
    }
}
