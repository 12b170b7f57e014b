//! The keys that access tokens are signed with.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_core::{Entropy, Secret};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::jwt::{Algorithm, Jwks, VerifyingKey};
use crate::oauth_client::{OAuthError, pkcs8};

/// A private key that access tokens are signed with: `EdDSA` or ES256. Its key id is its thumbprint
/// (RFC 7638).
///
/// ```
/// use doorward_core::SystemEntropy;
/// use doorward_identity::oauth_server::AccessKey;
/// let seed = AccessKey::seed(&SystemEntropy);
/// let key = AccessKey::from_seed(&seed)?;
/// assert_eq!(key.id(), AccessKey::from_seed(&seed)?.id());
/// # Ok::<(), doorward_identity::oauth_client::OAuthError>(())
/// ```
#[derive(Clone)]
pub struct AccessKey(Arc<Inner>);

struct Inner {
    pair: Pair,
    id: String,
    public: Value,
    verifying: VerifyingKey,
}

enum Pair {
    EdDsa(Ed25519KeyPair),
    Es256(EcdsaKeyPair),
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKey").field("id", &self.0.id).finish_non_exhaustive()
    }
}

impl AccessKey {
    /// 32 random bytes to make a key of, and to keep it by.
    pub fn seed(entropy: &dyn Entropy) -> Zeroizing<[u8; 32]> {
        let mut seed = Zeroizing::new([0; 32]);
        entropy.fill(&mut *seed);
        seed
    }

    /// The Ed25519 key of this seed (RFC 8032 §5.1.5).
    ///
    /// # Errors
    ///
    /// Where the library refuses it.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, OAuthError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed);
        Self::new(Pair::EdDsa(pair.map_err(|_| OAuthError::Key("no seed of a key"))?))
    }

    /// The key in a PEM text of PKCS #8: P-256 or Ed25519.
    ///
    /// # Errors
    ///
    /// [`OAuthError::Key`] where it is neither.
    pub fn from_pem(pem: &Secret) -> Result<Self, OAuthError> {
        let der = pkcs8(pem)?;
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der) {
            return Self::new(Pair::Es256(pair));
        }
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der);
        Self::new(Pair::EdDsa(pair.map_err(|_| OAuthError::Key("neither P-256 nor Ed25519"))?))
    }

    fn new(pair: Pair) -> Result<Self, OAuthError> {
        let mut public = match &pair {
            Pair::EdDsa(pair) => {
                let x = URL_SAFE_NO_PAD.encode(pair.public_key());
                json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "x": x})
            }
            Pair::Es256(pair) => {
                // An uncompressed point: a byte, then both coordinates.
                let point = pair.public_key().as_ref();
                let (x, y) =
                    point.get(1..).unwrap_or_default().split_at_checked(32).unwrap_or_default();
                let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
                json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "x": x, "y": y})
            }
        };
        public["use"] = "sig".into();
        let read = VerifyingKey::read(&public, &[Algorithm::EdDsa, Algorithm::Es256]);
        let verifying = read.ok_or(OAuthError::Key("without a public key"))?;
        let id = verifying.thumbprint.clone();
        public["kid"] = id.clone().into();
        Ok(Self(Arc::new(Inner { pair, id, public, verifying })))
    }

    /// Its id (`kid`).
    pub fn id(&self) -> &str {
        &self.0.id
    }

    fn algorithm(&self) -> Algorithm {
        match self.0.pair {
            Pair::EdDsa(_) => Algorithm::EdDsa,
            Pair::Es256(_) => Algorithm::Es256,
        }
    }

    /// A token with these claims (RFC 7515 §3.1).
    pub(crate) fn sign(&self, typ: &str, claims: &Value) -> Result<Secret, OAuthError> {
        let header = json!({"alg": self.algorithm().as_str(), "typ": typ, "kid": self.id()});
        let mut text = URL_SAFE_NO_PAD.encode(header.to_string());
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(claims.to_string(), &mut text);
        let signature = match &self.0.pair {
            Pair::EdDsa(pair) => pair.sign(text.as_bytes()),
            Pair::Es256(pair) => pair
                .sign(&SystemRandom::new(), text.as_bytes())
                .map_err(|_| OAuthError::Key("it does not sign"))?,
        };
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut text);
        Ok(Secret::new(text))
    }
}

/// Which key signs, and which others still or already verify.
///
/// To change keys without a token lost: publish the new one beside the old
/// ([`with`](Self::with)), sign with it once every replica knows it, keep the old one until the
/// last token that it signed has ended.
#[derive(Debug, Clone)]
pub struct SigningKeys {
    current: AccessKey,
    others: Vec<AccessKey>,
}

impl SigningKeys {
    /// Signs and verifies with this key.
    pub fn new(current: AccessKey) -> Self {
        Self { current, others: Vec::new() }
    }

    /// Verifies with this key too.
    #[must_use]
    pub fn with(mut self, other: AccessKey) -> Self {
        if other.id() != self.current.id() {
            self.others.push(other);
        }
        self
    }

    pub(crate) fn current(&self) -> &AccessKey {
        &self.current
    }

    fn all(&self) -> impl Iterator<Item = &AccessKey> {
        std::iter::once(&self.current).chain(&self.others)
    }

    /// The public keys (RFC 7517 §5).
    pub(crate) fn jwks(&self) -> Jwks {
        Jwks { keys: self.all().map(|key| key.0.public.clone()).collect() }
    }

    /// Whether one of these keys signed it, the one that it names.
    pub(crate) fn verify(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
        signed: &str,
        signature: &[u8],
    ) -> bool {
        self.all().any(|key| {
            Some(key.id()) == kid && key.0.verifying.verifies(algorithm, signed, signature)
        })
    }
}
