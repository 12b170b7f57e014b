//! Numbers with up to six decimals.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number of requests, tokens or US dollars, exact to a millionth. Written as a number, or as
/// a text where its decimals must not pass through binary fractions: `"0.10"`.
///
/// ```
/// use doorward_ledger::Amount;
/// assert_eq!("2.50".parse(), Ok(Amount::from_millionths(2_500_000)));
/// assert_eq!(Amount::whole(3).to_string(), "3");
/// assert!("-1".parse::<Amount>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Amount(u64);

/// One, in millionths.
const ONE: u64 = 1_000_000;

impl Amount {
    /// A whole number. Stops at the far end, about 18 million million.
    pub const fn whole(number: u64) -> Self {
        Self(number.saturating_mul(ONE))
    }

    /// A number of millionths; micro-dollars, where it is money.
    pub const fn from_millionths(millionths: u64) -> Self {
        Self(millionths)
    }

    /// In millionths.
    pub const fn millionths(self) -> u64 {
        self.0
    }

    /// In billionths; nano-dollars, where it is money. Stops at the far end.
    pub const fn billionths(self) -> u64 {
        self.0.saturating_mul(1_000)
    }

    /// As a whole number, if it is one.
    pub const fn as_whole(self) -> Option<u64> {
        if self.0.is_multiple_of(ONE) { Some(self.0 / ONE) } else { None }
    }

    /// From a binary fraction that stands for a number with at most six decimals.
    pub(crate) fn from_float(number: f64) -> Option<Self> {
        // Shortest decimal text that reads back as this fraction: `0.1` stays 0.1.
        format!("{number}").parse().ok()
    }
}

/// A text is no amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a number from 0 to 18446744073709 with at most six decimals")]
pub struct AmountError;

impl FromStr for Amount {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(decimals) || decimals.len() > 6 {
            return Err(AmountError);
        }
        let whole: u64 = whole.parse().map_err(|_| AmountError)?;
        let millionths: u64 = format!("{decimals:0<6}").parse().map_err(|_| AmountError)?;
        let sum = whole.checked_mul(ONE).and_then(|whole| whole.checked_add(millionths));
        sum.map(Self).ok_or(AmountError)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / ONE, self.0 % ONE);
        if rest == 0 {
            return write!(f, "{whole}");
        }
        let decimals = format!("{rest:06}");
        write!(f, "{whole}.{}", decimals.trim_end_matches('0'))
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.as_whole() {
            Some(whole) => serializer.serialize_u64(whole),
            None => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;

        impl Visitor<'_> for Number {
            type Value = Amount;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number from 0 to 18446744073709 with at most six decimals")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Amount, E> {
                number.to_string().parse().map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Amount, E> {
                number.to_string().parse().map_err(E::custom)
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Amount, E> {
                Amount::from_float(number).ok_or_else(|| E::custom(AmountError))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Amount, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Number)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Amount {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Amount".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A number with at most six decimals, or the same as a text.",
            "anyOf": [
                { "type": "number", "minimum": 0 },
                { "type": "string", "pattern": r"^[0-9]+(\.[0-9]{1,6})?$" },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact() {
        for (json, millionths) in [
            ("5", Some(5_000_000)),
            ("0.1", Some(100_000)),
            ("\"0.10\"", Some(100_000)),
            ("2.5", Some(2_500_000)),
            ("\"0.000001\"", Some(1)),
            ("1e-6", Some(1)),
            ("18446744073709", Some(18_446_744_073_709_000_000)),
            ("18446744073710", None),
            ("\"0.0000001\"", None),
            ("-1", None),
            ("\"+1\"", None),
            ("\".5\"", None),
            ("\"1.\"", None),
            ("\"\"", None),
            ("true", None),
        ] {
            let read = serde_json::from_str::<Amount>(json).ok();
            assert_eq!(read.map(Amount::millionths), millionths, "{json}");
        }
    }

    #[test]
    fn amounts_are_written_as_read() {
        for text in ["0", "7", "0.1", "12.000001"] {
            assert_eq!(text.parse::<Amount>().unwrap().to_string(), text);
        }
    }
}
