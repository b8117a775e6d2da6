//! Values of one shape or another, in the document.

use utoipa::{
    ToSchema,
    openapi::{
        Ref, RefOr,
        schema::{ArrayBuilder, Schema},
    },
};

use super::super::texts;

/// A text.
pub(crate) fn text() -> RefOr<Schema> {
    Ref::from_schema_name(texts::SCHEMA).into()
}

/// A list of so many at most, and at least one.
pub(crate) fn list(of: RefOr<Schema>, most: usize) -> RefOr<Schema> {
    ArrayBuilder::new().items(of).min_items(Some(1)).max_items(Some(most)).into()
}

/// A list of any length.
pub(crate) fn list_of_any(of: RefOr<Schema>) -> RefOr<Schema> {
    ArrayBuilder::new().items(of).into()
}

/// A type that has a schema of its own.
pub(crate) fn named<T: ToSchema>() -> RefOr<Schema> {
    Ref::from_schema_name(T::name()).into()
}

/// Makes a type for the document that has one of some shapes, and is made of some types.
macro_rules! one_of {
    ($(#[$doc:meta])* $visibility:vis $name:ident as $title:literal: [$($shape:expr),+] of [$($part:ty),*]) => {
        $(#[$doc])*
        $visibility struct $name;

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::schema::OneOfBuilder::new()$(.item($shape))+.into()
            }
        }

        impl utoipa::ToSchema for $name {
            fn name() -> std::borrow::Cow<'static, str> {
                $title.into()
            }

            fn schemas(
                schemas: &mut Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::schema::Schema>)>,
            ) {
                $(
                    schemas.push((<$part as utoipa::ToSchema>::name().into_owned(), <$part as utoipa::PartialSchema>::schema()));
                    <$part as utoipa::ToSchema>::schemas(schemas);
                )*
                let _ = schemas;
            }
        }
    };
}

pub(crate) use one_of;
