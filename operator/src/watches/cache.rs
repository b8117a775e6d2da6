//! The objects of one kind, as last seen.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, PoisonError, RwLock},
};

use super::meta::{Meta, Uid};

/// An object: what is kept of its metadata, and what is known of it beside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept<F> {
    /// Its metadata.
    pub meta: Meta,
    /// What else is read of it.
    pub facts: F,
}

/// The objects of one kind. Clones share them.
#[derive(Debug)]
pub struct Cache<F>(Arc<RwLock<Objects<F>>>);

impl<F> Clone for Cache<F> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<F> Default for Cache<F> {
    fn default() -> Self {
        Self(Arc::new(RwLock::new(Objects {
            by_name: HashMap::new(),
            by_owner: HashMap::new(),
            listed: None,
            version: 0,
            lists_begun: 0,
            list_done: 0,
        })))
    }
}

/// Namespace and name.
type Name = (Arc<str>, Arc<str>);

/// The objects of a namespace, by name.
type OfNamespace<F> = HashMap<Arc<str>, Arc<Kept<F>>>;

#[derive(Debug)]
struct Objects<F> {
    by_name: HashMap<Arc<str>, OfNamespace<F>>,
    by_owner: HashMap<Uid, Vec<Name>>,
    /// While a list comes in: whom it has named. The others are gone when it is complete.
    listed: Option<HashSet<Name>>,
    /// The highest version that was seen.
    version: u64,
    /// Lists that have begun.
    lists_begun: u64,
    /// The last of them that was complete.
    list_done: u64,
}

impl<F> Cache<F> {
    /// The object of this name.
    #[must_use]
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<Kept<F>>> {
        self.read(|objects| objects.by_name.get(namespace)?.get(name).cloned())
    }

    /// The objects whose controller has this uid, by name.
    #[must_use]
    pub fn owned_by(&self, owner: Uid) -> Vec<Arc<Kept<F>>> {
        let mut found = self.read(|objects| {
            let names = objects.by_owner.get(&owner).map(Vec::as_slice).unwrap_or_default();
            let found = names.iter().filter_map(|(namespace, name)| objects.by_name.get(namespace)?.get(name).cloned());
            found.collect::<Vec<_>>()
        });
        found.sort_by(|one, other| one.meta.name.cmp(&other.meta.name));
        found
    }

    /// Calls `look` for each object.
    pub fn each(&self, mut look: impl FnMut(&Kept<F>)) {
        self.read(|objects| objects.by_name.values().flat_map(HashMap::values).for_each(|kept| look(kept)));
    }

    /// Up to which version objects have been shown to who was answered while [`lists`](Self::lists) was this: what was
    /// written at a lower one has been shown, or is gone again.
    ///
    /// A list that began after that shows all that was written before. The objects in it needn't tell: if the last one was
    /// deleted while nobody watched, the others are older.
    #[must_use]
    pub fn seen(&self, lists: u64) -> u64 {
        self.read(|objects| if objects.list_done > lists { u64::MAX } else { objects.version })
    }

    /// How many lists have begun.
    #[must_use]
    pub fn lists(&self) -> u64 {
        self.read(|objects| objects.lists_begun)
    }

    /// A list of all objects begins.
    pub(super) fn list_begins(&self) {
        self.write(|objects| {
            objects.listed = Some(HashSet::new());
            objects.lists_begun += 1;
        });
    }

    /// The list is complete: who wasn't in it is gone, and returned.
    pub(super) fn list_ends(&self) -> Vec<Arc<Kept<F>>> {
        self.write(|objects| {
            let Some(listed) = objects.listed.take() else { return Vec::new() };
            objects.list_done = objects.lists_begun;
            let all = objects.by_name.values().flat_map(HashMap::values);
            let gone: Vec<_> = all
                .filter(|kept| !listed.contains(&(kept.meta.namespace.clone(), kept.meta.name.clone())))
                .cloned()
                .collect();
            for kept in &gone {
                objects.remove(&kept.meta.namespace, &kept.meta.name);
            }
            let versions = objects.by_name.values().flat_map(HashMap::values).map(|kept| kept.meta.version);
            objects.version = versions.max().unwrap_or_default().max(objects.version);
            objects.by_name.shrink_to_fit();
            objects.by_owner.shrink_to_fit();
            gone
        })
    }

    /// Keeps an object, and returns what was kept of that name before.
    pub(super) fn keep(&self, kept: Kept<F>) -> Option<Arc<Kept<F>>> {
        self.write(|objects| {
            let (namespace, name) = (kept.meta.namespace.clone(), kept.meta.name.clone());
            match &mut objects.listed {
                // A list comes by name: what is on its later pages may be older, and hasn't been shown.
                Some(listed) => drop(listed.insert((namespace.clone(), name.clone()))),
                None => objects.version = objects.version.max(kept.meta.version),
            }
            let before = objects.remove(&namespace, &name);
            if let Some(owner) = &kept.meta.owner {
                // Nearly all owners have one.
                let owned = objects.by_owner.entry(owner.uid).or_insert_with(|| Vec::with_capacity(1));
                owned.push((namespace.clone(), name.clone()));
            }
            objects.by_name.entry(namespace).or_default().insert(name, Arc::new(kept));
            before
        })
    }

    /// Drops the object of this name, which was seen going at this version, and returns what was kept of it.
    pub(super) fn drop(&self, namespace: &str, name: &str, version: u64) -> Option<Arc<Kept<F>>> {
        self.write(|objects| {
            if objects.listed.is_none() {
                objects.version = objects.version.max(version);
            }
            objects.remove(namespace, name)
        })
    }

    fn read<T>(&self, look: impl FnOnce(&Objects<F>) -> T) -> T {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut Objects<F>) -> T) -> T {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<F> Objects<F> {
    fn remove(&mut self, namespace: &str, name: &str) -> Option<Arc<Kept<F>>> {
        let of_namespace = self.by_name.get_mut(namespace)?;
        let kept = of_namespace.remove(name)?;
        if of_namespace.is_empty() {
            self.by_name.remove(namespace);
        }
        if let Some(owner) = &kept.meta.owner
            && let Some(names) = self.by_owner.get_mut(&owner.uid)
        {
            names.retain(|(of, owned)| &**of != namespace || &**owned != name);
            if names.is_empty() {
                self.by_owner.remove(&owner.uid);
            }
        }
        Some(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watches::meta::Owner;

    const OWNER: &str = "00000000-0000-0000-0000-000000000001";

    fn kept(name: &str, version: u64, owner: Option<&str>) -> Kept<u64> {
        let owner = owner.map(|uid| Owner { kind: "K".into(), name: "owner".into(), uid: Uid::of(uid) });
        let meta = Meta {
            namespace: "demo".into(),
            name: name.into(),
            uid: Uid::of(name),
            version,
            owner,
            is_deleting: false,
            applied: None,
            fields: None,
            has_strays: false,
        };
        Kept { meta, facts: version }
    }

    fn owned(cache: &Cache<u64>) -> Vec<String> {
        cache.owned_by(Uid::of(OWNER)).iter().map(|kept| kept.meta.name.to_string()).collect()
    }

    #[test]
    fn objects_are_found_by_name_and_by_owner() {
        let cache = Cache::default();
        cache.keep(kept("b", 1, Some(OWNER)));
        cache.keep(kept("a", 2, Some(OWNER)));
        cache.keep(kept("c", 3, None));
        assert_eq!(owned(&cache), ["a", "b"]);
        assert_eq!(cache.get("demo", "c").unwrap().facts, 3);
        assert!(cache.get("other", "c").is_none());
        assert_eq!(cache.seen(0), 3);
        cache.keep(kept("a", 4, None));
        assert_eq!(owned(&cache), ["b"]);
        cache.drop("demo", "b", 5);
        assert_eq!((owned(&cache), cache.seen(0)), (Vec::new(), 5));
    }

    #[test]
    fn a_list_drops_who_is_not_in_it_and_nobody_before_it_is_complete() {
        let cache = Cache::default();
        cache.keep(kept("a", 1, Some(OWNER)));
        cache.keep(kept("b", 2, Some(OWNER)));
        cache.list_begins();
        cache.keep(kept("b", 3, Some(OWNER)));
        assert_eq!(owned(&cache), ["a", "b"], "no verdict is made of half a list");
        let gone: Vec<_> = cache.list_ends().iter().map(|kept| kept.meta.name.to_string()).collect();
        assert_eq!((gone, owned(&cache)), (vec!["a".to_owned()], vec!["b".to_owned()]));
    }

    #[test]
    fn a_list_shows_all_that_was_written_before_it_began_and_only_when_it_is_complete() {
        let cache = Cache::default();
        cache.list_begins();
        cache.keep(kept("a", 1, None));
        cache.list_ends();
        let answered = cache.lists();
        cache.list_begins();
        cache.keep(kept("b", 9, None));
        assert_eq!(cache.seen(answered), 1, "what was written at 5 may be on the next page");
        assert_eq!(cache.seen(cache.lists()), 1);
        cache.list_ends();
        assert_eq!((cache.seen(answered), cache.seen(cache.lists())), (u64::MAX, 9));
    }
}
