//! A real identity provider: npm `oidc-provider`, in the shape that a test asks for.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::process::{clients, node, script};

/// What the gateway's tokens are made for.
pub(crate) const AUDIENCE: &str = "api://doorward";

/// A running provider; it ends when dropped.
pub(crate) struct Idp {
    process: Child,
    pub(crate) issuer: String,
    control: String,
}

impl Drop for Idp {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Idp {
    /// One of this shape (`plain`, `okta`, `entra`), with these settings beside.
    pub(crate) fn start(shape: &str, more: &Value) -> Self {
        let mut asked = json!({
            "shape": shape, "audience": AUDIENCE,
            "clients": [
                {
                    "client_id": "app", "client_secret": "app-secret",
                    "redirect_uris": ["http://127.0.0.1:9/callback"],
                    "grant_types": ["authorization_code", "refresh_token"],
                },
                {
                    "client_id": "robot", "client_secret": "robot-secret", "redirect_uris": [],
                    "response_types": [], "grant_types": ["client_credentials"],
                },
                {
                    "client_id": "keyed", "token_endpoint_auth_method": "private_key_jwt",
                    "redirect_uris": [], "response_types": [],
                    "grant_types": ["client_credentials"], "jwks": { "keys": [public_key()] },
                },
            ],
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            asked[name] = value.clone();
        }
        let mut process = Command::new(node())
            .arg(clients().join("idp/idp.mjs"))
            .arg(asked.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap();
        let text = |name: &str| told[name].as_str().unwrap().to_owned();
        Self { issuer: text("issuer"), control: text("control"), process }
    }

    /// The gateway's section for it.
    pub(crate) fn section(&self, claims: &str, more: &str) -> String {
        format!(
            "[[issuer]]\nurl = \"{}\"\naudiences = [\"{AUDIENCE}\", \"doorward\"]\n\
             claims = \"{claims}\"\nallow_private = true\n{more}\n\n",
            self.issuer
        )
    }

    /// What the token endpoint answers to a client that asks so.
    pub(crate) fn tokens(&self, asked: Value) -> Value {
        let mut asked = asked;
        asked["issuer"] = json!(self.issuer);
        script("idp/tokens.mjs", &[&asked.to_string()], &[])
    }

    /// The tokens of a person who signs in.
    pub(crate) fn sign_in(&self, login: &str) -> Value {
        self.tokens(json!({ "client": app(), "grant": "code", "login": login }))
    }

    /// Changes how it behaves: `rotate`, `rotate?keep=0`, `down`, `up`. What its token endpoint
    /// was asked so far.
    pub(crate) async fn control(&self, verb: &str) -> Value {
        let url = format!("{}/{verb}", self.control);
        let answer = crate::gateway::fetch(&url).await;
        serde_json::from_str(&answer).unwrap()
    }
}

/// The client that people sign in with.
pub(crate) fn app() -> Value {
    json!({ "id": "app", "secret": "app-secret" })
}

/// A key for tests, written down here; nobody else trusts it.
pub(crate) fn private_key() -> Value {
    let mut key = public_key();
    key["d"] = json!("870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE");
    key
}

/// The example key of RFC 7517, appendix A.1 and A.2.
fn public_key() -> Value {
    json!({
        "kty": "EC", "crv": "P-256", "kid": "k1", "alg": "ES256", "use": "sig",
        "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
        "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
    })
}
