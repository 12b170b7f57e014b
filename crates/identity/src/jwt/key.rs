//! Public keys as JSON (RFC 7517, RFC 7518 §6, RFC 8037 §2).

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ParsedPublicKey, RsaPublicKeyComponents};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;

use super::algorithm::{Algorithm, Family};

/// The most keys of a set that are looked at.
const KEYS_MOST: usize = 100;
/// The most keys that are tried for a token that names none.
const TRIED: usize = 4;
/// The longest RSA modulus, in bytes: beyond it a signature costs too much to check.
const MODULUS_MOST: usize = 1024;

/// A set of keys as it is published (RFC 7517 §5).
#[derive(Debug, Deserialize)]
pub(crate) struct Jwks {
    pub(crate) keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    crv: Option<String>,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    d: Option<Value>,
    /// Entra: whose tokens the key is for, within a set for many tenants.
    issuer: Option<String>,
}

/// A public key that signatures are verified with, by the algorithms that it may be used with.
pub(crate) struct VerifyingKey {
    pub(crate) id: Option<String>,
    pub(crate) issuer: Option<String>,
    /// SHA-256 over its required members (RFC 7638), as base64url.
    pub(crate) thumbprint: String,
    parsed: Vec<(Algorithm, ParsedPublicKey)>,
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyingKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl VerifyingKey {
    /// The key, where it is a public one that these algorithms can be used with.
    pub(crate) fn read(value: &Value, allowed: &[Algorithm]) -> Option<Self> {
        let jwk = Jwk::deserialize(value).ok()?;
        let signs = jwk.usage.as_deref().is_none_or(|usage| usage == "sig")
            && jwk.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        // A private key that was published is no secret any more.
        if !signs || jwk.d.is_some() {
            return None;
        }
        let only: Option<Algorithm> = match &jwk.alg {
            Some(name) => Some(name.parse().ok()?),
            None => None,
        };
        let (family, bytes, members) = jwk.material()?;
        let parsed = allowed
            .iter()
            .filter(|algorithm| algorithm.family() == family)
            .filter(|algorithm| only.is_none_or(|only| only == **algorithm))
            .filter_map(|algorithm| Some((*algorithm, bytes.parse(*algorithm)?)))
            .collect::<Vec<_>>();
        if parsed.is_empty() {
            return None;
        }
        let thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA256, members.as_bytes()));
        Some(Self { id: jwk.kid, issuer: jwk.issuer, thumbprint, parsed })
    }

    /// Whether the signature over `signed` is this key's, by the algorithm.
    pub(crate) fn verifies(&self, algorithm: Algorithm, signed: &str, signature: &[u8]) -> bool {
        self.by(algorithm).is_some_and(|key| key.verify_sig(signed.as_bytes(), signature).is_ok())
    }

    fn by(&self, algorithm: Algorithm) -> Option<&ParsedPublicKey> {
        self.parsed.iter().find(|(known, _)| *known == algorithm).map(|(_, key)| key)
    }

    fn is_same(&self, other: &Self) -> bool {
        self.id == other.id
            && self.thumbprint == other.thumbprint
            && self.issuer == other.issuer
            && self.parsed.iter().all(|(algorithm, _)| other.by(*algorithm).is_some())
    }
}

/// A key's bytes, before it is known by which algorithm they are used.
enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    Raw(Vec<u8>),
}

impl Material {
    fn parse(&self, algorithm: Algorithm) -> Option<ParsedPublicKey> {
        match self {
            Self::Rsa { n, e } => {
                RsaPublicKeyComponents { n, e }.to_parsed_public_key(algorithm.rsa()?).ok()
            }
            Self::Raw(bytes) => ParsedPublicKey::new(algorithm.curve()?, bytes).ok(),
        }
    }
}

impl Jwk {
    /// The key's family, its bytes, and its required members as RFC 7638 §3 writes them. The
    /// texts are base64url here, so nothing in them needs escaping.
    fn material(&self) -> Option<(Family, Material, String)> {
        let text = |field: &Option<String>| -> Option<(String, Vec<u8>)> {
            let text = field.clone()?;
            let bytes = URL_SAFE_NO_PAD.decode(&text).ok()?;
            Some((text, bytes))
        };
        match (&*self.kty, self.crv.as_deref()) {
            ("RSA", _) => {
                let ((n_text, n), (e_text, e)) = (text(&self.n)?, text(&self.e)?);
                let (n, e) = (trimmed(n), trimmed(e));
                let wide = n.len() > 256 || (n.len() == 256 && n[0] >= 0x80);
                if !wide || n.len() > MODULUS_MOST || e.len() > 4 {
                    return None;
                }
                let members = format!(r#"{{"e":"{e_text}","kty":"RSA","n":"{n_text}"}}"#);
                Some((Family::Rsa, Material::Rsa { n, e }, members))
            }
            ("EC", Some(crv)) => {
                let (family, width) = match crv {
                    "P-256" => (Family::P256, 32),
                    "P-384" => (Family::P384, 48),
                    "P-521" => (Family::P521, 66),
                    _ => return None,
                };
                let ((x_text, x), (y_text, y)) = (text(&self.x)?, text(&self.y)?);
                if x.len() != width || y.len() != width {
                    return None;
                }
                let point = [vec![4], x, y].concat();
                let members =
                    format!(r#"{{"crv":"{crv}","kty":"EC","x":"{x_text}","y":"{y_text}"}}"#);
                Some((family, Material::Raw(point), members))
            }
            ("OKP", Some("Ed25519")) => {
                let (x_text, x) = text(&self.x)?;
                let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x_text}"}}"#);
                (x.len() == 32).then_some((Family::Ed25519, Material::Raw(x), members))
            }
            _ => None,
        }
    }
}

/// Without zeros in front, which some write though RFC 7518 §6.3.1 does not.
fn trimmed(bytes: Vec<u8>) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    if zeros == 0 { bytes } else { bytes[zeros..].to_vec() }
}

/// An issuer's keys, as many of them as can be used.
#[derive(Debug, Default)]
pub(crate) struct KeySet {
    keys: Vec<Arc<VerifyingKey>>,
}

impl KeySet {
    pub(crate) fn read(jwks: &Jwks, allowed: &[Algorithm]) -> Self {
        let keys = jwks.keys.iter().take(KEYS_MOST);
        let keys = keys.filter_map(|value| VerifyingKey::read(value, allowed)).map(Arc::new);
        Self { keys: keys.collect() }
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The keys that a token may be signed with: those of its key id, or a few where it names
    /// none. Ids are compared, never interpreted.
    pub(crate) fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Vec<Arc<VerifyingKey>> {
        let fits = |key: &&Arc<VerifyingKey>| {
            key.by(algorithm).is_some() && kid.is_none_or(|kid| key.id.as_deref() == Some(kid))
        };
        let found: Vec<_> = self.keys.iter().filter(fits).take(TRIED + 1).cloned().collect();
        if found.len() > TRIED { Vec::new() } else { found }
    }

    /// Whether everything that the other set vouches for is vouched for here.
    pub(crate) fn has_all_of(&self, other: &Self) -> bool {
        other.keys.iter().all(|old| self.keys.iter().any(|new| old.is_same(new)))
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{KeyPair, RsaKeyPair};
    use serde_json::json;

    use super::*;

    /// RFC 7638 §3.1.
    #[test]
    fn the_thumbprint_is_the_one_of_the_rfc() {
        let key = json!({
            "kty": "RSA", "e": "AQAB", "alg": "RS256", "kid": "2011-04-29",
            "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
        });
        let key = VerifyingKey::read(&key, &Algorithm::USUAL).unwrap();
        assert_eq!(key.thumbprint, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
        assert!(key.by(Algorithm::Rs256).is_some() && key.by(Algorithm::Ps256).is_none());
    }

    #[test]
    fn weak_private_and_foreign_keys_are_not_taken() {
        let rsa = |pair: &RsaKeyPair| {
            let public = pair.public_key();
            let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
            let (n, e) = (public.modulus(), public.exponent());
            json!({
                "kty": "RSA", "kid": "r",
                "n": part(n.big_endian_without_leading_zero()),
                "e": part(e.big_endian_without_leading_zero()),
            })
        };
        let good = rsa(&RsaKeyPair::generate(KeySize::Rsa2048).unwrap());
        let read = |value: &Value| VerifyingKey::read(value, &Algorithm::ALL);
        assert_eq!(read(&good).unwrap().parsed.len(), 6);
        let with = |name: &str, member: Value| {
            let mut value = good.clone();
            value[name] = member;
            value
        };
        let short = URL_SAFE_NO_PAD.encode([0xff; 255]);
        for value in [
            with("n", short.into()),
            with("n", "!".into()),
            with("e", URL_SAFE_NO_PAD.encode([1; 5]).into()),
            with("d", "AQ".into()),
            with("use", "enc".into()),
            with("key_ops", json!(["encrypt"])),
            with("alg", "HS256".into()),
            with("alg", "RSA-OAEP".into()),
            with("alg", "ES256".into()),
            with("kty", "oct".into()),
            json!({"kty": "oct", "k": "c2VjcmV0"}),
            json!({"kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ"}),
            json!({"kty": "EC", "crv": "secp256k1", "x": "AQ", "y": "AQ"}),
            json!({"kty": "EC", "crv": "P-256",
                "x": URL_SAFE_NO_PAD.encode([1; 32]), "y": URL_SAFE_NO_PAD.encode([1; 32])}),
            json!("text"),
        ] {
            assert!(read(&value).is_none(), "{value}");
        }
    }
}
