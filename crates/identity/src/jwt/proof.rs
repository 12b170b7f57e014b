//! Proofs of possession: demonstrating the key that a token is bound to (RFC 9449).

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_core::{Proof, Timestamp};
use http::Uri;
use serde_json::Value;

use super::algorithm::Algorithm;
use super::claim::seconds;
use super::compact::Compact;
use super::key::VerifyingKey;
use super::refused::Refused;

/// The longest proof.
const LONGEST: usize = 8 << 10;
/// The longest id of a proof.
const ID_MOST: usize = 256;

/// Checks proofs, each good once.
pub(crate) struct Proofs {
    tolerance: Duration,
    most: usize,
    seen: Mutex<Option<Seen>>,
}

/// The proofs of the last two spells, by hash. A spell is as long as a proof can be good for.
struct Seen {
    since: Instant,
    young: HashSet<[u8; 16]>,
    old: HashSet<[u8; 16]>,
}

impl Proofs {
    /// Made at most so long ago, by clocks that differ at most so much; so many remembered for
    /// each spell of twice that.
    pub(crate) fn new(tolerance: Duration, most: usize) -> Self {
        Self { tolerance, most, seen: Mutex::default() }
    }

    /// Whether the request comes from whoever has the key.
    pub(crate) fn check(
        &self,
        proof: &Proof,
        bound: &str,
        token: &str,
        times: (Timestamp, Instant),
    ) -> Result<(), Refused> {
        let (compact, key) = signed(proof)?;
        if key.thumbprint != bound {
            return Err(Refused::Proof("by another key"));
        }
        let hash = URL_SAFE_NO_PAD.encode(digest(&SHA256, token.as_bytes()));
        if compact.claims.get("ath").and_then(Value::as_str) != Some(&hash) {
            return Err(Refused::Proof("for another token"));
        }
        self.fits(&compact, &key, proof, times)
    }

    /// The thumbprint of the key that a request without a token was proved with (RFC 9449 §5).
    #[cfg(feature = "oauth-server")]
    pub(crate) fn introduce(
        &self,
        proof: &Proof,
        times: (Timestamp, Instant),
    ) -> Result<String, Refused> {
        let (compact, key) = signed(proof)?;
        self.fits(&compact, &key, proof, times)?;
        Ok(key.thumbprint)
    }

    /// Whether the proof is for this request, of now, and shown for the first time.
    fn fits(
        &self,
        compact: &Compact<'_>,
        key: &VerifyingKey,
        proof: &Proof,
        (now, instant): (Timestamp, Instant),
    ) -> Result<(), Refused> {
        let wrong = Refused::Proof;
        let text = |name: &str| compact.claims.get(name).and_then(Value::as_str);
        if text("htm") != Some(&*proof.method) {
            return Err(wrong("for another method"));
        }
        let url = text("htu").and_then(normal);
        if url.is_none() || url != normal(&proof.url) {
            return Err(wrong("for another URL"));
        }
        let made = seconds(&compact.claims, "iat").ok().flatten().ok_or(wrong("without a time"))?;
        let apart = Duration::from_secs(now.as_secs().abs_diff(made));
        if apart > self.tolerance {
            return Err(wrong("made at another time"));
        }
        let id = text("jti").filter(|id| !id.is_empty() && id.len() <= ID_MOST);
        self.once(&key.thumbprint, id.ok_or(wrong("without an id"))?, instant)
    }

    /// Remembers the proof. Only whoever has a bound token's key gets here.
    fn once(&self, bound: &str, id: &str, now: Instant) -> Result<(), Refused> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(bound.as_bytes()).update(b"\0").update(id.as_bytes());
        let mut mark = [0; 16];
        hasher.finalize_xof().fill(&mut mark);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = seen.get_or_insert_with(|| Seen {
            since: now,
            young: HashSet::new(),
            old: HashSet::new(),
        });
        let spell = self.tolerance * 2 + Duration::from_secs(1);
        let passed = now.saturating_duration_since(seen.since);
        if passed >= spell {
            let young = std::mem::take(&mut seen.young);
            seen.old = if passed < spell * 2 { young } else { HashSet::new() };
            seen.since = now;
        }
        if seen.old.contains(&mark) || seen.young.contains(&mark) {
            return Err(Refused::Proof("shown before"));
        }
        if seen.young.len() >= self.most {
            return Err(Refused::Proof("too many at once"));
        }
        seen.young.insert(mark);
        Ok(())
    }
}

/// The proof and the key that it was signed with, which it brings along.
fn signed(proof: &Proof) -> Result<(Compact<'_>, VerifyingKey), Refused> {
    let wrong = Refused::Proof;
    let compact =
        Compact::read(proof.jws.expose(), LONGEST).map_err(|_| wrong("no signed token"))?;
    if !compact.header.is_of(&["dpop+jwt"]) {
        return Err(wrong("of another type"));
    }
    let key = compact.header.jwk.as_ref().ok_or(wrong("without its key"))?;
    let key = VerifyingKey::read(key, &Algorithm::ALL).ok_or(wrong("with a key of no use"))?;
    if !key.verifies(compact.header.algorithm, compact.signed, &compact.signature) {
        return Err(wrong("the signature does not fit"));
    }
    Ok((compact, key))
}

/// A URL without query and fragment, as RFC 3986 §6.2.2 and §6.2.3 write it. Dots in its path
/// are not resolved: nothing that means another place compares equal.
fn normal(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    let scheme = uri.scheme_str()?.to_ascii_lowercase();
    let authority = uri.authority()?;
    if authority.as_str().contains('@') {
        return None;
    }
    let host = authority.host().to_ascii_lowercase();
    let port = match (&*scheme, authority.port_u16()) {
        ("https", Some(443)) | ("http", Some(80)) | (_, None) => String::new(),
        (_, Some(port)) => format!(":{port}"),
    };
    Some(format!("{scheme}://{host}{port}{}", normal_path(uri.path())))
}

fn normal_path(path: &str) -> String {
    let mut pieces = path.split('%');
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let code = piece.get(..2).and_then(|code| u8::from_str_radix(code, 16).ok());
        match code.map(char::from) {
            Some(letter) if letter.is_ascii_alphanumeric() || "-._~".contains(letter) => {
                text.push(letter);
                text.push_str(&piece[2..]);
            }
            Some(_) => {
                text.push('%');
                text.push_str(&piece[..2].to_ascii_uppercase());
                text.push_str(&piece[2..]);
            }
            None => {
                text.push('%');
                text.push_str(piece);
            }
        }
    }
    if text.is_empty() { "/".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_compared_by_what_they_mean() {
        let same = |one: &str, other: &str| normal(one).is_some() && normal(one) == normal(other);
        assert!(same("https://Door.example:443/mcp?x=1#y", "https://door.example/mcp"));
        assert!(same("https://door.example", "https://door.example/"));
        assert!(same("http://door.example:80/%7ea%2fb", "http://door.example/~a%2Fb"));
        for (one, other) in [
            ("https://door.example/mcp", "http://door.example/mcp"),
            ("https://door.example/mcp", "https://door.example/mcp/"),
            ("https://door.example/mcp", "https://door.example:8443/mcp"),
            ("https://door.example/a/../mcp", "https://door.example/mcp"),
            ("https://door.example/a%2Fb", "https://door.example/a/b"),
            ("https://x@door.example/mcp", "https://door.example/mcp"),
            ("/mcp", "/mcp"),
        ] {
            assert!(!same(one, other), "{one} {other}");
        }
    }

    #[test]
    fn a_proof_is_remembered_as_long_as_it_is_good() {
        use doorward_core::Clock as _;
        let start = doorward_testkit::clock::TestClock::default().instant();
        let proofs = Proofs::new(Duration::from_mins(1), 2);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(proofs.once("key", "a", at(0)), Ok(()));
        assert!(proofs.once("key", "a", at(120)).is_err());
        assert_eq!(proofs.once("other", "a", at(120)), Ok(()));
        assert!(proofs.once("key", "b", at(120)).is_err(), "no room");
        assert!(proofs.once("other", "a", at(240)).is_err(), "in the spell before");
        assert_eq!(proofs.once("key", "b", at(240)), Ok(()));
        assert_eq!(proofs.once("key", "a", at(1000)), Ok(()), "long over");
    }
}
