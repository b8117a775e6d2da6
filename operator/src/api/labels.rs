//! The rule over labels that users give to what the operator makes.

/// No key is one of the operator's own.
pub(super) const OWN_LABELS: &str = "self.all(key, !(key in ['app.kubernetes.io/name', 'app.kubernetes.io/instance', 'app.kubernetes.io/managed-by', 'app.kubernetes.io/version']))";
/// What to do about one that is.
pub(super) const OWN_LABELS_MESSAGE: &str =
    "the labels app.kubernetes.io/name, instance, managed-by and version are the operator's own: choose another key";
