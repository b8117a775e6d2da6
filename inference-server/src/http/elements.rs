//! Lists that are read element by element, and objects name by name, so that nothing is built of what isn't wanted.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The place of a name among those that are known. Other names are not kept.
pub(super) struct Known<'n>(pub(super) &'n [&'static str]);

impl<'de> DeserializeSeed<'de> for Known<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Option<usize>, D::Error> {
        reader.deserialize_str(self)
    }
}

impl Visitor<'_> for Known<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Option<usize>, E> {
        Ok(self.0.iter().position(|known| *known == name))
    }
}

/// What reads a list, element by element.
pub(super) trait Elements<'de> {
    /// The list begins.
    fn begin(&mut self);

    /// Reads the next element; false when there is none.
    fn next<A: SeqAccess<'de>>(&mut self, list: &mut A) -> Result<bool, A::Error>;

    /// A string is there in place of a list.
    fn string(&mut self, text: &str);

    /// Anything else is there in place of a list.
    fn other(&mut self);
}

/// A value that should be a list, read by its elements. Nothing is built of another.
pub(super) struct ListOf<'e, E>(pub(super) &'e mut E);

impl<'de, E: Elements<'de>> DeserializeSeed<'de> for ListOf<'_, E> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de, E: Elements<'de>> Visitor<'de> for ListOf<'_, E> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        self.0.begin();
        while self.0.next(&mut list)? {}
        Ok(())
    }

    fn visit_str<F>(self, text: &str) -> Result<(), F> {
        self.0.string(text);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.0.other();
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_bool<F>(self, _: bool) -> Result<(), F> {
        self.0.other();
        Ok(())
    }

    fn visit_i64<F>(self, _: i64) -> Result<(), F> {
        self.0.other();
        Ok(())
    }

    fn visit_u64<F>(self, _: u64) -> Result<(), F> {
        self.0.other();
        Ok(())
    }

    fn visit_f64<F>(self, _: f64) -> Result<(), F> {
        self.0.other();
        Ok(())
    }

    fn visit_unit<F>(self) -> Result<(), F> {
        self.0.other();
        Ok(())
    }
}
