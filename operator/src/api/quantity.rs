//! Resource quantities, as Kubernetes writes them.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};
use thiserror::Error;

/// Quantities by resource name, such as `cpu` and `memory`.
pub type QuantityMap = BTreeMap<String, Quantity>;

/// The syntax of `k8s.io/apimachinery/pkg/api/resource.Quantity`, without a sign.
const PATTERN: &str = r"^([0-9]+|[0-9]+\.[0-9]*|\.[0-9]+)(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?[0-9]+)?$";

/// An amount of a resource as the user wrote it: `500m`, `1Gi`, or a bare number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Quantity(String);

/// A text that is no quantity.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("\"{0}\" is not a quantity; write a number with an optional unit, such as 250m, 2 or 512Mi")]
pub struct InvalidQuantity(String);

impl Quantity {
    /// A quantity from its text, unchecked until [`Quantity::nanos`] reads it.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The amount in billionths of the base unit (cores or bytes), for comparison.
    pub fn nanos(&self) -> Result<i128, InvalidQuantity> {
        let invalid = || InvalidQuantity(self.0.clone());
        let split = self.0.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(self.0.len());
        let (number, unit) = self.0.split_at(split);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
            return Err(invalid());
        }
        let scale = scale_of(unit).ok_or_else(invalid)?;
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
        let mut total = whole.checked_mul(scale).ok_or_else(invalid)?;
        let mut place = scale;
        for digit in fraction.bytes() {
            place /= 10;
            total += i128::from(digit - b'0') * place;
        }
        Ok(total)
    }
}

/// How many billionths one of this unit is.
fn scale_of(unit: &str) -> Option<i128> {
    const NANO: i128 = 1_000_000_000;
    let binary = |power: u32| Some(NANO << (10 * power));
    let decimal = |power: u32| 10_i128.checked_pow(power);
    match unit {
        "n" => decimal(0),
        "u" => decimal(3),
        "m" => decimal(6),
        "" => decimal(9),
        "k" => decimal(12),
        "M" => decimal(15),
        "G" => decimal(18),
        "T" => decimal(21),
        "P" => decimal(24),
        "E" => decimal(27),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        _ => {
            let exponent: i32 = unit.strip_prefix(['e', 'E'])?.parse().ok()?;
            decimal(u32::try_from(exponent.checked_add(9)?).ok()?)
        }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    /// Accepts `2` beside `"2"`: YAML users write both, and the API server stores either.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Quantity;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a quantity such as 250m, 2 or 512Mi")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Quantity, E> {
                Ok(Quantity::new(text))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Quantity, E> {
                Ok(Quantity::new(number.to_string()))
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Quantity, E> {
                Ok(Quantity::new(number.to_string()))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for Quantity {
    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "maxLength": 32,
            "pattern": PATTERN,
            "x-kubernetes-int-or-string": true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_compare_across_units() {
        let nanos = |text: &str| Quantity::new(text).nanos().unwrap();
        assert_eq!(nanos("500m"), nanos("0.5"));
        assert_eq!(nanos("1"), nanos("1000m"));
        assert_eq!(nanos("1Gi"), nanos("1024Mi"));
        assert_eq!(nanos("1e3"), nanos("1k"));
        assert_eq!(nanos(".5Gi"), nanos("512Mi"));
        assert!(nanos("512Mi") > nanos("512M"));
        assert!(nanos("250m") < nanos("1"));
    }

    #[test]
    fn what_is_no_quantity_is_named() {
        for text in ["", "lots", "1Q", "1.2.3", ".", "-1", "1e99"] {
            assert_eq!(Quantity::new(text).nanos(), Err(InvalidQuantity(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn numbers_and_texts_are_both_read() {
        assert_eq!(serde_json::from_str::<Quantity>("2").unwrap(), Quantity::new("2"));
        assert_eq!(serde_json::from_str::<Quantity>("\"250m\"").unwrap(), Quantity::new("250m"));
        let error = serde_json::from_str::<Quantity>("true").unwrap_err().to_string();
        assert!(error.contains("a quantity such as 250m"), "{error}");
    }
}
