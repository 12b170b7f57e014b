//! Typed identifiers: 128 random bits with a prefix that says what they name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Entropy, hex};

/// An identifier's text is not of its kind: wrong prefix, wrong length or not hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseIdError {
    expected: &'static str,
}

impl fmt::Display for ParseIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected `{}` followed by 32 hexadecimal digits", self.expected)
    }
}

impl std::error::Error for ParseIdError {}

fn write_hex(f: &mut fmt::Formatter<'_>, prefix: &str, bytes: &[u8; 16]) -> fmt::Result {
    f.write_str(prefix)?;
    hex::write(f, bytes)
}

fn parse_hex(text: &str, prefix: &'static str) -> Result<[u8; 16], ParseIdError> {
    let error = ParseIdError { expected: prefix };
    let digits = text.strip_prefix(prefix).ok_or_else(|| error.clone())?;
    if digits.len() != 32 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(error);
    }
    u128::from_str_radix(digits, 16).map(u128::to_be_bytes).map_err(|_| error)
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; 16]);

        impl $name {
            /// Draws a fresh identifier.
            pub fn random(entropy: &dyn Entropy) -> Self {
                let mut bytes = [0; 16];
                entropy.fill(&mut bytes);
                Self(bytes)
            }

            /// Makes the identifier from its 16 bytes.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The 16 bytes.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(f, $prefix, &self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse_hex(text, $prefix).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut text = [0; $prefix.len() + 32];
                let (prefix, digits) = text.split_at_mut($prefix.len());
                prefix.copy_from_slice($prefix.as_bytes());
                hex::encode(&self.0, digits);
                serializer.serialize_str(hex::as_text(&text))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

ids! {
    /// One turn: from a person's request to the answer, over every model and tool call between.
    TurnId = "turn_";
    /// One request at the edge.
    RequestId = "req_";
    /// One conversation, as the guard recognises it.
    ConversationId = "conv_";
    /// One record of the audit trail.
    EventId = "evt_";
    /// One permission to run one tool call once.
    GrantId = "grant_";
    /// One virtual key (its public part).
    KeyId = "key_";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let id = TurnId::from_bytes([7; 16]);
        assert_eq!(id.to_string().parse::<TurnId>(), Ok(id));
        assert!("req_07".parse::<TurnId>().is_err());
        assert!(format!("turn_{}", "+".repeat(32)).parse::<TurnId>().is_err());
    }
}
