//! Who waits for a place, and who has one that the cluster doesn't show yet. Pure.

use std::collections::HashSet;

use super::Service;

/// The line in front of the gate. `W` is how one that waits is brought back.
pub(super) struct Line<W> {
    waiting: Vec<Waiting<W>>,
    /// Let through, while the watch may not have seen their new Deployments yet.
    admitted: HashSet<Service>,
}

struct Waiting<W> {
    service: Service,
    /// Whether all of its pods served when it came.
    serving: bool,
    wake: W,
}

impl<W> Default for Line<W> {
    fn default() -> Self {
        Self { waiting: Vec::new(), admitted: HashSet::new() }
    }
}

impl<W: Clone> Line<W> {
    /// Lets a service through, or has it wait and tells how many others have a place. `taken` are
    /// the services whose Deployments show a rollout in progress.
    ///
    /// Services that serve go first, whenever they came: one that is broken may stay so, and its
    /// place would be lost to the others.
    pub(super) fn ask(
        &mut self,
        service: &Service,
        serving: bool,
        wake: &W,
        taken: &HashSet<Service>,
        limit: usize,
    ) -> Result<(), usize> {
        if self.admitted.contains(service) || taken.contains(service) {
            self.leave(service);
            self.admitted.insert(service.clone());
            return Ok(());
        }
        match self.waiting.iter_mut().find(|entry| entry.service == *service) {
            Some(entry) => entry.serving = serving,
            None => self.waiting.push(Waiting { service: service.clone(), serving, wake: wake.clone() }),
        }
        if self.next(taken, limit).any(|(next, _)| next == service) {
            self.leave(service);
            self.admitted.insert(service.clone());
            return Ok(());
        }
        Err(self.taken(taken))
    }

    /// A service no longer waits, and its place is what its Deployment shows.
    pub(super) fn leave(&mut self, service: &Service) {
        self.waiting.retain(|entry| entry.service != *service);
        self.admitted.remove(service);
    }

    /// Those whose turn it is: as many as there are free places.
    pub(super) fn next<'a>(
        &'a self,
        taken: &HashSet<Service>,
        limit: usize,
    ) -> impl Iterator<Item = (&'a Service, &'a W)> {
        let free = limit.saturating_sub(self.taken(taken));
        let ranked = [true, false]
            .into_iter()
            .flat_map(|serving| self.waiting.iter().filter(move |entry| entry.serving == serving));
        ranked.take(free).map(|entry| (&entry.service, &entry.wake))
    }

    /// Places in use.
    pub(super) fn taken(&self, taken: &HashSet<Service>) -> usize {
        taken.union(&self.admitted).count()
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use kube::runtime::reflector::ObjectRef;

    use super::*;

    fn service(name: &str) -> Service {
        ObjectRef::new(name).within("demo")
    }

    fn taken(names: &[&str]) -> HashSet<Service> {
        names.iter().map(|name| service(name)).collect()
    }

    /// A line and the question of each service in turn, with two places.
    fn ask(line: &mut Line<()>, name: &str, serving: bool, in_progress: &[&str]) -> Result<(), usize> {
        line.ask(&service(name), serving, &(), &taken(in_progress), 2)
    }

    fn next(line: &Line<()>, in_progress: &[&str]) -> Vec<String> {
        line.next(&taken(in_progress), 2).map(|(service, ())| service.name.clone()).collect()
    }

    #[test]
    fn as_many_go_as_there_are_places() {
        let mut line = Line::default();
        assert_eq!(ask(&mut line, "a", true, &[]), Ok(()));
        assert_eq!(ask(&mut line, "b", true, &[]), Ok(()), "the watch hasn't seen a, and it has its place");
        assert_eq!(ask(&mut line, "c", true, &["a"]), Err(2));
        assert_eq!(ask(&mut line, "d", true, &["a", "b"]), Err(2));
        assert_eq!(line.waiting(), 2);
        assert_eq!(next(&line, &["a", "b"]), Vec::<String>::new());
    }

    #[test]
    fn the_first_in_line_goes_first() {
        let mut line = Line::default();
        for name in ["c", "d"] {
            assert_eq!(ask(&mut line, name, true, &["a", "b"]), Err(2));
        }
        assert_eq!(next(&line, &["b"]), ["c"]);
        assert_eq!(ask(&mut line, "d", true, &["b"]), Err(1), "c was first");
        assert_eq!(ask(&mut line, "e", true, &["b"]), Err(1), "so it is for one that has just come");
        assert_eq!(ask(&mut line, "c", true, &["b"]), Ok(()));
        assert_eq!(next(&line, &["b"]), Vec::<String>::new());
        assert_eq!(next(&line, &[]), ["d"]);
    }

    #[test]
    fn one_that_serves_goes_before_one_that_does_not() {
        let mut line = Line::default();
        assert_eq!(ask(&mut line, "broken", false, &["a", "b"]), Err(2));
        assert_eq!(ask(&mut line, "sound", true, &["a", "b"]), Err(2));
        assert_eq!(next(&line, &["a"]), ["sound"]);
        assert_eq!(next(&line, &[]), ["sound", "broken"]);
    }

    #[test]
    fn one_that_is_gone_or_refused_holds_up_nobody() {
        let mut line = Line::default();
        assert_eq!(ask(&mut line, "a", true, &[]), Ok(()));
        assert_eq!(ask(&mut line, "b", true, &[]), Ok(()));
        for name in ["c", "d"] {
            assert_eq!(ask(&mut line, name, true, &[]), Err(2));
        }
        line.leave(&service("a"));
        line.leave(&service("c"));
        assert_eq!(next(&line, &[]), ["d"]);
    }

    #[test]
    fn one_that_has_a_place_keeps_it_for_a_newer_template() {
        let mut line = Line::default();
        assert_eq!(ask(&mut line, "a", true, &["a", "b"]), Ok(()));
        assert_eq!(line.taken(&taken(&["a", "b"])), 2);
    }
}
