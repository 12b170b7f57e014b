//! The OAuth client against a scripted authorization server.

mod attacks;
mod flows;
mod sockets;
mod world;

use std::sync::Arc;

use doorward_core::{
    Audience, CallError, Credential, Credentials, Cx, Principal, Refusal, RequestId, Secret, TurnId,
};
use doorward_identity::oauth_client::{
    Builder, Callback, MemoryTokens, OAuthClient, OAuthError, Parts, Protected, Visitor,
};
use doorward_testkit::clock::{TestClock, TestEntropy};
use world::{ISSUER, MCP, World};

pub(crate) const BASE: &str = "https://gateway.example";
/// The plain challenge of an MCP server.
const BEARER: &str = "Bearer";

/// A client with everything around it in a test's hands.
pub(crate) struct Bench {
    pub(crate) world: Arc<World>,
    pub(crate) store: Arc<MemoryTokens>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) client: OAuthClient,
}

pub(crate) fn parts(
    world: &Arc<World>,
    store: &Arc<MemoryTokens>,
    clock: &Arc<TestClock>,
) -> Parts {
    Parts {
        http: world.clone(),
        store: store.clone(),
        clock: clock.clone(),
        entropy: Arc::new(TestEntropy::seeded(1)),
    }
}

pub(crate) fn builder(
    world: &Arc<World>,
    store: &Arc<MemoryTokens>,
    clock: &Arc<TestClock>,
) -> Builder {
    OAuthClient::builder(BASE, parts(world, store, clock))
}

impl Bench {
    pub(crate) fn with(make: impl FnOnce(Builder) -> Builder) -> Self {
        let (world, store) = (World::new(), Arc::new(MemoryTokens::default()));
        let clock = Arc::new(TestClock::default());
        let client = make(builder(&world, &store, &clock)).build().unwrap();
        Self { world, store, clock, client }
    }

    pub(crate) fn new() -> Self {
        Self::with(|builder| builder.server("crm", Protected::new(MCP)))
    }

    pub(crate) async fn token(&self, who: &str) -> Option<String> {
        let token = self.client.credential(&cx(who), Audience::Server("crm")).await.unwrap();
        token.map(text)
    }

    /// What comes of a refusal with this challenge.
    pub(crate) async fn refused(
        &self,
        who: &str,
        (status, challenge): (u16, &str),
        shown: Option<&str>,
    ) -> Result<Option<String>, CallError> {
        let shown = shown.map(|token| Credential::Key(Secret::new(token)));
        let challenges = [challenge.to_owned()];
        let refusal = Refusal { status, url: MCP, challenges: &challenges, shown: shown.as_ref() };
        let token = self.client.refused(&cx(who), Audience::Server("crm"), refusal).await?;
        Ok(token.map(text))
    }

    /// The handle of the link that a refusal ends in.
    pub(crate) async fn link(&self, who: &str, challenge: &str, shown: Option<&str>) -> String {
        let status = if challenge.contains("insufficient_scope") { 403 } else { 401 };
        let error = self.refused(who, (status, challenge), shown).await.unwrap_err();
        let url = error.consent.clone().unwrap_or_else(|| panic!("{error:?}"));
        let handle = url.strip_prefix(&format!("{BASE}/connect/")).unwrap();
        handle.to_owned()
    }

    /// The URL that a person is sent to.
    pub(crate) async fn start(&self, who: &str, challenge: &str, shown: Option<&str>) -> String {
        let handle = self.link(who, challenge, shown).await;
        self.client.begin(&handle, visitor(who, &cookie(who))).await.unwrap()
    }

    pub(crate) async fn back(
        &self,
        who: &str,
        callback: Callback<'_>,
    ) -> Result<Arc<str>, OAuthError> {
        self.client.finish(callback, visitor(who, &cookie(who))).await
    }

    /// Everything until there is a token.
    pub(crate) async fn connect(&self, who: &str) -> String {
        let url = self.start(who, BEARER, None).await;
        let (state, code) = self.world.consent(&url);
        let (state, code) = (state.as_str(), Some(code.as_str()));
        let callback = Callback { state, code, iss: Some(ISSUER), error: None };
        assert_eq!(&*self.back(who, callback).await.unwrap(), "crm");
        self.token(who).await.unwrap()
    }
}

pub(crate) fn cookie(who: &str) -> Secret {
    Secret::new(format!("cookie of {who}"))
}

pub(crate) fn visitor<'a>(principal: &'a str, session: &'a Secret) -> Visitor<'a> {
    Visitor { principal, session }
}

fn text(credential: Credential) -> String {
    match credential {
        Credential::Key(key) => key.expose().to_owned(),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn cx(who: &str) -> Cx {
    let entropy = TestEntropy::seeded(9);
    Cx {
        turn: TurnId::random(&entropy),
        request: RequestId::random(&entropy),
        principal: Arc::new(Principal::person(who)),
        agent: None,
        conversation_hint: None,
        deadline: None,
        trace: None,
        source: None,
    }
}
