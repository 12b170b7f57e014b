//! Tokens of scripted issuers, over real sockets.

mod attacks;
mod figures;
mod groups;
pub(crate) mod idp;
mod people;
pub(crate) mod proofs;
mod rotation;

use std::sync::Arc;
use std::time::Duration;

use doorward_core::{
    Authenticator as _, CallError, Clock as _, Code, Presented, Principal, Secret,
};
use doorward_identity::jwt::{Builder, Issuer, Jwt};
use doorward_identity::oauth_client::{HyperHttp, Reach};
use doorward_testkit::clock::TestClock;
use idp::Idp;
use serde_json::{Value, json};

/// The audience that all tokens here are made for.
const US: &str = "api://doorward";

/// A gateway that trusts scripted issuers.
struct Door {
    jwt: Jwt,
    clock: Arc<TestClock>,
}

impl Door {
    /// Trusts these, with everything else as usual.
    fn of(issuers: impl IntoIterator<Item = Issuer>) -> Self {
        Self::built(issuers, |builder| builder)
    }

    fn built(
        issuers: impl IntoIterator<Item = Issuer>,
        also: impl FnOnce(Builder) -> Builder,
    ) -> Self {
        let clock = Arc::new(TestClock::default());
        let reach = Reach::default().with_private_networks();
        let http = Arc::new(HyperHttp::new(reach.clone(), None).unwrap());
        let builder = Jwt::builder(http, clock.clone()).reach(reach);
        let builder = issuers.into_iter().fold(builder, Builder::issuer);
        Self { jwt: also(builder).build().unwrap(), clock }
    }

    async fn show(&self, token: &str) -> Result<Arc<Principal>, Box<CallError>> {
        let shown = Presented { token: Some(Secret::new(token)), ..Presented::default() };
        self.jwt.authenticate(&shown).await.map_err(Box::new)
    }

    /// Sees the token refused, and why.
    async fn refusal(&self, token: &str) -> String {
        let error = self.show(token).await.expect_err("refused");
        assert_eq!((error.code, &*error.public), (Code::Unauthenticated, "invalid token"));
        let cause = error.source.expect("a cause for the log").to_string();
        assert!(token.len() < 20 || !cause.contains(token));
        cause
    }

    fn seconds(&self) -> i64 {
        self.clock.now().as_secs()
    }

    /// Claims of this issuer that are right, with these instead.
    fn claims(&self, issuer: &str, instead: &Value) -> Value {
        let now = self.seconds();
        let mut claims = json!({
            "iss": issuer, "aud": US, "sub": "00u1", "azp": "0oa1",
            "iat": now, "nbf": now, "exp": now + 3600, "jti": "t-1",
        });
        for (name, value) in instead.as_object().unwrap() {
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(name);
            } else {
                claims[name] = value.clone();
            }
        }
        claims
    }
}

/// One issuer with one key, and a gateway that trusts it.
async fn pair() -> (Idp, Door) {
    let idp = Idp::start("").await;
    let door = Door::of([Issuer::new(idp.issuer(), [US])]);
    (idp, door)
}

fn minutes(count: u64) -> Duration {
    Duration::from_mins(count)
}
