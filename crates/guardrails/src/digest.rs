//! The digest of a call's arguments, the same on both planes.

use doorward_core::Digest;
use sha2::{Digest as _, Sha256};

use crate::json::Json;

/// SHA-256 over the canonical JSON of a call's arguments: keys sorted by their UTF-8 bytes, no
/// space, strings with the fewest escapes, numbers as significant digits and a power of ten
/// (`1.50` is `15e-1`). What a client re-serialises on its way from the model to the broker has
/// the same digest. A blank text counts as `{}`: models write nothing for a call without arguments.
/// A text that is no unambiguous JSON has the digest of its bytes, which no canonical text shares.
///
/// ```
/// use doorward_guardrails::canonical_digest;
/// let written = canonical_digest(r#"{"to": "bob", "n": 1.0}"#);
/// assert_eq!(written, canonical_digest(r#"{"n":1,"to":"b\u006fb"}"#));
/// assert_ne!(written, canonical_digest(r#"{"n":1,"to":"eve"}"#));
/// ```
pub fn canonical_digest(arguments: &str) -> Digest {
    digest_of(Json::parse(or_empty(arguments)).as_ref(), arguments)
}

/// The arguments' text, `{}` where the model wrote nothing.
pub(crate) fn or_empty(arguments: &str) -> &str {
    if arguments.trim().is_empty() { "{}" } else { arguments }
}

/// The digest of arguments already parsed, or of their bytes where they do not parse.
pub(crate) fn digest_of(parsed: Option<&Json<'_>>, text: &str) -> Digest {
    let mut canonical = Vec::with_capacity(text.len());
    match parsed {
        Some(json) => json.canonical(&mut canonical),
        None => canonical.extend_from_slice(text.as_bytes()),
    }
    Digest::from_bytes(Sha256::digest(&canonical).into())
}
