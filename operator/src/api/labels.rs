//! The rules over labels and annotations that users give to what the operator makes.

/// No key is one of the operator's own.
pub(super) const OWN_LABELS: &str = "self.all(key, !(key in ['app.kubernetes.io/name', 'app.kubernetes.io/instance', 'app.kubernetes.io/managed-by', 'app.kubernetes.io/version', 'kubesentiment.io/track']))";
/// What to do about one that is.
pub(super) const OWN_LABELS_MESSAGE: &str = "the labels app.kubernetes.io/name, instance, managed-by and version, and kubesentiment.io/track, are the operator's own: choose another key";

/// The schema has a bound for values and none for keys.
pub(super) const KEYS: &str = "self.all(key, size(key) <= 317)";
/// What to do about a key beyond it.
pub(super) const KEYS_MESSAGE: &str = "the key of a label or an annotation is too long: use at most 317 characters, which is a prefix of 253, a '/' and a name of 63";

/// Every copy of an object carries its annotations: into etcd, to every watch, and into the memory of all who watch.
pub(super) const TOGETHER: &str = "self.map(key, size(key) + size(self[key])).sum() <= 65536";
/// What to do about annotations beyond it.
pub(super) const TOGETHER_MESSAGE: &str =
    "the annotations take more than 65536 characters together: keep what is long in a ConfigMap";
