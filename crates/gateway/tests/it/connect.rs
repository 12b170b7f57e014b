//! The pages where people connect tools: used as meant, and attacked.

mod attacks;
mod world;

use std::sync::Arc;
use std::time::Duration;

use doorward_core::{
    Audience, CallError, Credential, Credentials as _, Cx, Principal, Refusal, RequestId, Secret,
    SystemEntropy, TurnId,
};
use doorward_gateway::{Connect, ConnectParts, KeySignIn};
use doorward_identity::oauth_client::{MemoryTokens, OAuthClient, Parts, Protected};
use doorward_identity::{Guesses, KeyStore, Memory, NewKey, Pepper, VirtualKeys, mint};
use doorward_mcp_broker::SealKeys;
use doorward_testkit::clock::TestClock;

use crate::stack::{Setup, Stack};
use crate::upstream::{Upstream, greets};
use world::{Browser, ISSUER, MCP, Shared, World, back};

const BASE: &str = "https://gateway.test";

/// A gateway with two people, and a server that wants the consent of each.
struct Bench {
    stack: Stack,
    world: Shared,
    client: OAuthClient,
    clock: Arc<TestClock>,
    keys: Arc<VirtualKeys>,
    store: Arc<Memory>,
    alice: Secret,
    bob: Secret,
}

impl Bench {
    fn new() -> Self {
        Self::with(BASE, Protected::new(MCP))
    }

    fn with(base: &str, server: Protected) -> Self {
        let (clock, world) = (Arc::new(TestClock::default()), Shared::new(World::default()));
        let store = Arc::new(Memory::default());
        let pepper = || Pepper::from_bytes([5; 32]);
        let key = |name: &str| {
            let wanted = NewKey::person(name, format!("{name}@example.com"));
            let (text, record) = mint(&SystemEntropy, &*clock, &pepper(), wanted).unwrap();
            store.insert(&record).unwrap();
            text
        };
        let (alice, bob) = (key("alice"), key("bob"));
        let keys = VirtualKeys::new(store.clone(), pepper(), clock.clone(), Guesses::default());
        let keys = Arc::new(keys.unwrap());
        let parts = Parts {
            http: world.clone(),
            store: Arc::new(MemoryTokens::default()),
            clock: clock.clone(),
            entropy: Arc::new(SystemEntropy),
        };
        let builder = OAuthClient::builder(base, parts).server("crm", server);
        let builder = builder.metadata_document(format!("{BASE}/oauth/client-metadata.json"));
        let client = builder.build().unwrap();
        let connect = Connect::new(ConnectParts {
            clients: vec![client.clone()],
            sign_in: Arc::new(KeySignIn::new(keys.clone())),
            public_url: base.to_owned(),
            keys: SealKeys::random(&SystemEntropy),
            clock: clock.clone(),
            entropy: Arc::new(SystemEntropy),
        });
        let setup = Setup { connect: Some(connect), ..Setup::default() };
        let stack = setup.build(Upstream::new(greets));
        Self { stack, world, client, clock, keys, store, alice, bob }
    }

    async fn browser(&self) -> Browser {
        Browser::new(&self.stack).await
    }

    /// The path of the link that a call of somebody's was answered with.
    async fn link(&self, who: &str) -> String {
        self.link_for(who, "Bearer").await
    }

    /// What a call of somebody's is told.
    async fn refused(&self, who: &str, challenge: &str) -> CallError {
        let challenges = [challenge.to_owned()];
        let refusal = Refusal { status: 401, url: MCP, challenges: &challenges, shown: None };
        self.client.refused(&cx(who), Audience::Server("crm"), refusal).await.unwrap_err()
    }

    async fn link_for(&self, who: &str, challenge: &str) -> String {
        let url = self.refused(who, challenge).await.consent.unwrap();
        url.strip_prefix(BASE).unwrap().to_owned()
    }

    async fn token(&self, who: &str) -> Option<String> {
        let token = self.client.credential(&cx(who), Audience::Server("crm")).await.unwrap();
        token.map(|token| match token {
            Credential::Key(key) => key.expose().to_owned(),
            other => panic!("{other:?}"),
        })
    }

    /// Somebody who is signed in.
    async fn signed_in(&self, key: &Secret) -> Browser {
        let mut browser = self.browser().await;
        let page = browser.sign_in("/connect", key.expose()).await;
        assert_eq!((page.status, page.header("location")), (303, Some("/connect")), "{page:?}");
        browser
    }
}

fn cx(who: &str) -> Cx {
    Cx {
        turn: TurnId::random(&SystemEntropy),
        request: RequestId::random(&SystemEntropy),
        principal: Arc::new(Principal::person(format!("{who}@example.com"))),
        agent: None,
        conversation_hint: None,
        deadline: None,
        trace: None,
        source: None,
    }
}

#[tokio::test]
async fn a_link_leads_through_sign_in_and_consent_to_a_token_of_ones_own() {
    let bench = Bench::new();
    let link = bench.link_for("alice", "Bearer scope=\"contacts.read\"").await;
    let mut browser = bench.browser().await;
    let page = browser.sign_in(&link, bench.alice.expose()).await;
    assert_eq!((page.status, page.header("location")), (303, Some(&*link)));
    let page = browser.get(&link).await;
    for told in ["crm", MCP, ISSUER, "contacts.read", "alice@example.com", "you alone"] {
        assert!(page.body.contains(told), "{told}: {page:?}");
    }
    let state = browser.begin(&link).await;
    let page = browser.get(&back(&state, "code-1", Some(ISSUER))).await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("<h1>Connected</h1>"), "{page:?}");
    assert_eq!(bench.token("alice").await.as_deref(), Some("upstream-token-1"));
    assert_eq!(bench.token("bob").await, None);

    let page = browser.get("/connect").await;
    assert!(page.body.contains("crm") && page.body.contains("contacts.read"), "{page:?}");
    assert!(!page.body.contains("upstream-token"), "{page:?}");
    let csrf = world::csrf(&page).unwrap();
    let fields = [("csrf", csrf.as_str()), ("server", "crm")];
    let mut other = bench.signed_in(&bench.bob).await;
    let theirs = other.csrf("/connect").await;
    let page = other.post("/connect/disconnect", &[("csrf", &theirs), ("server", "crm")]).await;
    assert_eq!(page.status, 303);
    assert!(bench.token("alice").await.is_some(), "not theirs to forget");
    browser.post("/connect/disconnect", &fields).await;
    assert_eq!(bench.token("alice").await, None);
}

#[tokio::test]
async fn a_token_for_all_is_asked_for_as_such_and_nobodys_to_forget() {
    let bench = Bench::with(BASE, Protected::new(MCP).shared());
    let link = bench.link("alice").await;
    let mut browser = bench.signed_in(&bench.alice).await;
    assert!(browser.get(&link).await.body.contains("<strong>everybody</strong>"));
    let state = browser.begin(&link).await;
    browser.get(&back(&state, "code-1", Some(ISSUER))).await;
    assert!(bench.token("bob").await.is_some());
    let page = browser.get("/connect").await;
    assert!(!page.body.contains("Disconnect"), "{page:?}");
    let csrf = world::csrf(&page).unwrap();
    browser.post("/connect/disconnect", &[("csrf", &csrf), ("server", "crm")]).await;
    assert!(bench.token("bob").await.is_some());
}

#[tokio::test]
async fn links_and_sessions_end() {
    let bench = Bench::new();
    let mut browser = bench.signed_in(&bench.alice).await;
    let link = bench.link("alice").await;
    assert_eq!(browser.get(&link).await.status, 200);
    let state = browser.begin(&link).await;
    bench.clock.advance(Duration::from_mins(10));
    assert_eq!(browser.get(&link).await.status, 404);
    let page = browser.get(&back(&state, "code-1", Some(ISSUER))).await;
    assert_eq!(page.status, 404);
    assert!(bench.world.forms().is_empty(), "the code went nowhere");
    bench.clock.advance(Duration::from_mins(50));
    assert!(browser.get("/connect").await.body.contains("name=\"key\""));
}

#[tokio::test]
async fn a_revoked_key_ends_the_session() {
    let bench = Bench::new();
    let mut browser = bench.signed_in(&bench.alice).await;
    assert!(browser.get("/connect").await.body.contains("alice@example.com"));
    let id = bench.store.keys().unwrap().into_iter().find(|key| &*key.name == "alice").unwrap().id;
    bench.store.revoke(id, doorward_core::Clock::now(&*bench.clock)).unwrap();
    bench.keys.refresh().unwrap();
    let page = browser.get("/connect").await;
    assert!(page.body.contains("name=\"key\"") && !page.body.contains("alice"), "{page:?}");
}

#[tokio::test]
async fn signing_out_takes_the_session_from_the_browser() {
    let bench = Bench::new();
    let mut browser = bench.signed_in(&bench.alice).await;
    let csrf = browser.csrf("/connect").await;
    let page = browser.post("/connect/sign-out", &[("csrf", &csrf)]).await;
    assert_eq!((page.status, page.header("location")), (303, Some("/connect")));
    assert!(browser.set.as_deref().unwrap().contains("Max-Age=0"), "{:?}", browser.set);
    assert!(browser.get("/connect").await.body.contains("name=\"key\""));
}

#[tokio::test]
async fn the_metadata_document_is_there_for_everybody() {
    let bench = Bench::new();
    let page = bench.browser().await.get("/oauth/client-metadata.json").await;
    assert_eq!(page.status, 200);
    let document = page.json();
    assert_eq!(document["client_id"], "https://gateway.test/oauth/client-metadata.json");
    assert_eq!(document["redirect_uris"][0], "https://gateway.test/connect/callback");
}

#[tokio::test]
async fn without_a_server_that_asks_there_are_no_pages() {
    let stack = Setup::default().build(Upstream::new(greets));
    let mut browser = Browser::new(&stack).await;
    for path in ["/connect", "/connect/callback", "/oauth/client-metadata.json"] {
        let page = browser.get(path).await;
        assert!(matches!(page.status, 401 | 404), "{page:?}");
        assert!(browser.cookie.is_none());
    }
}
