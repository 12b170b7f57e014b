//! Assertions signed with a client's own key (RFC 7521 §4.2, RFC 7523 §2.2).

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use doorward_core::{Entropy, Secret, Timestamp};
use zeroize::Zeroizing;

use super::fault::OAuthError;

/// How long an assertion holds, in seconds.
const HOLDS: i64 = 60;

/// A private key that a client signs with: ES256 or RS256 (RFC 7518 §3.1), as the key is.
#[derive(Clone)]
pub struct SigningKey {
    pair: Arc<Pair>,
    id: Option<Arc<str>>,
}

enum Pair {
    Es256(EcdsaKeyPair),
    Rs256(RsaKeyPair),
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("alg", &self.algorithm())
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl SigningKey {
    /// The key in a PEM text of PKCS #8 (RFC 7468 §10): P-256, or RSA of 2048 bits and more.
    ///
    /// # Errors
    ///
    /// [`OAuthError::Key`] where it is neither.
    pub fn from_pem(pem: &Secret) -> Result<Self, OAuthError> {
        let wrong = OAuthError::Key;
        let der = pkcs8(pem)?;
        let pair =
            if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der) {
                Pair::Es256(pair)
            } else {
                let pair = RsaKeyPair::from_pkcs8(&der);
                Pair::Rs256(pair.map_err(|_| wrong("neither P-256 nor RSA"))?)
            };
        Ok(Self { pair: Arc::new(pair), id: None })
    }

    /// Names the key in what it signs (`kid`), for servers that know several of a client's.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<Arc<str>>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// `ES256` or `RS256`.
    pub fn algorithm(&self) -> &'static str {
        match *self.pair {
            Pair::Es256(_) => "ES256",
            Pair::Rs256(_) => "RS256",
        }
    }

    /// A JWT by which a client proves to an authorization server who it is.
    pub(crate) fn client_assertion(
        &self,
        client_id: &str,
        audience: &str,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<Secret, OAuthError> {
        let now = now.as_secs();
        let jti = random(entropy);
        let claims = serde_json::json!({
            "iss": client_id, "sub": client_id, "aud": audience,
            "iat": now, "nbf": now, "exp": now.saturating_add(HOLDS), "jti": jti.expose(),
        });
        self.sign(&claims)
    }

    fn sign(&self, claims: &serde_json::Value) -> Result<Secret, OAuthError> {
        let mut header = serde_json::json!({"alg": self.algorithm(), "typ": "JWT"});
        if let (Some(id), Some(header)) = (&self.id, header.as_object_mut()) {
            header.insert("kid".to_owned(), (&**id).into());
        }
        let mut text = URL_SAFE_NO_PAD.encode(header.to_string());
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(claims.to_string(), &mut text);
        let random = SystemRandom::new();
        let failed = |_| OAuthError::Key("it does not sign");
        let signature = match &*self.pair {
            Pair::Es256(pair) => {
                pair.sign(&random, text.as_bytes()).map_err(failed)?.as_ref().to_vec()
            }
            Pair::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature)
                    .map_err(failed)?;
                signature
            }
        };
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut text);
        Ok(Secret::new(text))
    }
}

/// The bytes of a private key in a PEM text of PKCS #8 (RFC 7468 §10).
pub(crate) fn pkcs8(pem: &Secret) -> Result<Zeroizing<Vec<u8>>, OAuthError> {
    let wrong = OAuthError::Key;
    let inner = pem.expose().split_once("-----BEGIN PRIVATE KEY-----");
    let inner = inner.and_then(|(_, rest)| rest.split_once("-----END PRIVATE KEY-----"));
    let (inner, _) = inner.ok_or(wrong("no PKCS #8 in PEM"))?;
    let inner: Zeroizing<String> = Zeroizing::new(inner.split_ascii_whitespace().collect());
    let der = STANDARD.decode(inner.as_bytes()).map_err(|_| wrong("no base64"))?;
    Ok(Zeroizing::new(der))
}

/// 256 random bits as text: states, verifiers, handles (RFC 7636 §4.1 fits).
pub(crate) fn random(entropy: &dyn Entropy) -> Secret {
    let mut bytes = Zeroizing::new([0; 32]);
    entropy.fill(&mut *bytes);
    Secret::new(URL_SAFE_NO_PAD.encode(&bytes[..]))
}

/// The challenge to a verifier: S256 (RFC 7636 §4.2).
pub(crate) fn challenge(verifier: &Secret) -> String {
    let digest =
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, verifier.expose().as_bytes());
    URL_SAFE_NO_PAD.encode(digest)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::AsDer;
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED, KeyPair, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
        VerificationAlgorithm,
    };
    use doorward_testkit::clock::TestEntropy;

    use super::*;

    fn pem(der: &[u8]) -> Secret {
        let text = STANDARD.encode(der);
        let lines: Vec<_> =
            text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line)).collect();
        let lines = lines.join("\n");
        Secret::new(format!("-----BEGIN PRIVATE KEY-----\n{lines}\n-----END PRIVATE KEY-----\n"))
    }

    fn verified(key: &SigningKey, public: &[u8], algorithm: &'static dyn VerificationAlgorithm) {
        let entropy = TestEntropy::seeded(1);
        let now = Timestamp::from_micros(1_000_000_000);
        let token = key.client_assertion("me", "https://as.example", now, &entropy).unwrap();
        let (signed, signature) = token.expose().rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let public = UnparsedPublicKey::new(algorithm, public);
        public.verify(signed.as_bytes(), &signature).unwrap();
        let (header, claims) = signed.split_once('.').unwrap();
        let json = |part: &str| -> serde_json::Value {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
        };
        assert_eq!(json(header)["alg"], key.algorithm());
        let claims = json(claims);
        assert_eq!((&claims["iss"], &claims["sub"]), (&"me".into(), &"me".into()));
        assert_eq!(claims["aud"], "https://as.example");
        assert_eq!(claims["exp"].as_i64(), Some(1_060));
        assert_eq!(claims["jti"].as_str().map(str::len), Some(43));
    }

    #[test]
    fn an_assertion_is_signed_as_its_key_is() {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let key = SigningKey::from_pem(&pem(pair.to_pkcs8v1().unwrap().as_ref())).unwrap();
        assert_eq!(key.algorithm(), "ES256");
        verified(&key, pair.public_key().as_ref(), &ECDSA_P256_SHA256_FIXED);

        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let key = SigningKey::from_pem(&pem(der.as_ref())).unwrap().with_id("k1");
        assert_eq!(key.algorithm(), "RS256");
        verified(&key, pair.public_key().as_ref(), &RSA_PKCS1_2048_8192_SHA256);
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_quoted() {
        for text in ["", "hunter2", "-----BEGIN PRIVATE KEY-----\n!\n-----END PRIVATE KEY-----"] {
            let error = SigningKey::from_pem(&Secret::new(text)).unwrap_err();
            assert!(matches!(error, OAuthError::Key(_)) && !error.to_string().contains("hunter"));
        }
    }

    /// RFC 7636 appendix B.
    #[test]
    fn the_challenge_is_the_one_of_the_rfc() {
        let verifier = Secret::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        assert_eq!(challenge(&verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }
}
