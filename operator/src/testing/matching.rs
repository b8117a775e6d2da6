//! Which requests are meant.

use crate::runtime::request_info::RequestInfo;

/// Requests by what they ask for, and of those which ones in their order.
#[derive(Clone, Debug, Default)]
pub struct Matching {
    verb: Option<String>,
    resource: Option<String>,
    name: Option<String>,
    /// How many are let through first.
    after: usize,
    /// How many are meant then.
    times: Option<usize>,
}

/// Requests with a verb for a resource, such as `patch` for `deployments`, or `sentimentservices/status`. `*` stands for
/// any.
#[must_use]
pub fn requests(verb: &str, resource: &str) -> Matching {
    let given = |text: &str| (text != "*").then(|| text.to_owned());
    Matching { verb: given(verb), resource: given(resource), ..Matching::default() }
}

impl Matching {
    /// Only those for the object of this name.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Not the first `count` from now on.
    #[must_use]
    pub fn after(mut self, count: usize) -> Self {
        self.after = count;
        self
    }

    /// Only `count` of them.
    #[must_use]
    pub fn times(mut self, count: usize) -> Self {
        self.times = Some(count);
        self
    }

    /// Only one of them.
    #[must_use]
    pub fn once(self) -> Self {
        self.times(1)
    }

    /// Whether a request is of the kind, whatever its place in the order.
    pub(super) fn is_met_by(&self, request: &RequestInfo<'_>) -> bool {
        let resource = match request.subresource {
            Some(subresource) => format!("{}/{subresource}", request.resource),
            None => request.resource.to_owned(),
        };
        let is = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        is(&self.verb, request.verb)
            && is(&self.resource, &resource)
            && is(&self.name, request.name.unwrap_or_default())
    }

    /// Whether the one after `earlier` others is meant.
    pub(super) fn means(&self, earlier: usize) -> bool {
        earlier >= self.after && self.times.is_none_or(|times| earlier - self.after < times)
    }
}
