//! Callers with tokens of identity providers, on both planes, with their name in the record.

use std::time::{Duration, Instant};

use doorward_testkit::provider::Provider;
use doorward_testkit::say::Say;
use http::Method;
use serde_json::{Value, json};

use crate::gateway::{Gateway, Site, upstream};
use crate::idp::{Idp, app, private_key};

const KEY: &[(&str, &str)] = &[("UPSTREAM_KEY", "sk-upstream-secret")];
const ALICE: &str = "alice@corp.example";
const BOB: &str = "bob@corp.example";

/// A gateway with a model, a tool and this identity provider.
struct House {
    gateway: Gateway,
    site: Site,
    provider: Provider,
}

impl House {
    async fn new(idp: &Idp, claims: &str, more: &str) -> Self {
        let provider = Provider::start(|request| Say::text("hello").to(request)).await.unwrap();
        let program = env!("CARGO_BIN_EXE_doorward");
        let tracker = format!(
            "[[server]]\nname = \"tracker\"\ncommand = [{program:?}, \"demo-server\", \"tracker\"]\n\n\
             [[contract]]\ntool = \"tracker__get_issue\"\neffect = \"read\"\n\n"
        );
        let sections = [
            upstream("chat", "openai-compatible", &provider.url()),
            tracker,
            idp.section(claims, more),
        ];
        let site = Site::new(&sections.concat());
        let gateway = site.start_with(KEY);
        Self { gateway, site, provider }
    }

    async fn model(&self, token: &str) -> u16 {
        let call = json!({
            "model": "chat/scripted-1", "messages": [{ "role": "user", "content": "hello" }],
        });
        self.gateway.post("/v1/chat/completions", token, &call).await.0
    }

    async fn tool(&self, token: &str) -> (String, bool) {
        self.gateway.tools(token).await;
        self.gateway.call(token, "tracker__get_issue", json!({ "id": 7 })).await
    }

    /// Calls a model and a tool with the token; both run.
    async fn both_run(&self, token: &str) {
        assert_eq!(self.model(token).await, 200, "{}", self.gateway.log());
        let (text, failed) = self.tool(token).await;
        assert!(!failed && text.contains("Export"), "{text}");
    }

    /// Who is on record, for the last model call and the last tool call.
    fn recorded(self) -> [Value; 2] {
        let Self { gateway, site, provider } = self;
        let upstream_saw = format!("{:?}", provider.recorded());
        assert!(!upstream_saw.contains("eyJ"), "no caller's token goes upstream");
        let log = gateway.log();
        assert!(!log.contains("eyJ"), "no token is logged");
        gateway.stop();
        let exported = site.run(&["audit", "export"]).unwrap();
        assert!(!exported.contains("eyJ"), "no token is on record");
        let records: Vec<Value> =
            exported.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        ["model", "tool"].map(|kind| {
            let last = records.iter().rev().map(|record| &record["entry"]["event"]);
            let last = last.into_iter().find(|event| event["kind"]["type"] == kind);
            last.unwrap_or_else(|| panic!("no {kind}: {exported}"))["who"].clone()
        })
    }
}

fn access(tokens: &Value) -> String {
    tokens["access_token"].as_str().unwrap().to_owned()
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < Duration::from_mins(1), "{what}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the clients that scripts/test installs"]
async fn people_of_okta_and_entra_call_models_and_tools_in_their_own_name() {
    for shape in ["plain", "okta", "entra"] {
        let idp = Idp::start(shape, &json!({}));
        let claims = if shape == "plain" { "standard" } else { shape };
        let names = match shape {
            "plain" => "names = [{ claim = \"email\", unique = true }]",
            _ => "",
        };
        let house = House::new(&idp, claims, names).await;
        let tokens = idp.sign_in(ALICE);
        house.both_run(&access(&tokens)).await;
        // A refreshed token is as good.
        let refresh = json!({
            "client": app(), "grant": "refresh", "refresh_token": tokens["refresh_token"],
        });
        house.both_run(&access(&idp.tokens(refresh))).await;
        // What tells a client who signed in is no key to anything.
        assert_eq!(house.model(tokens["id_token"].as_str().unwrap()).await, 401, "{shape}");
        for who in house.recorded() {
            assert_eq!(who["id"], ALICE, "{shape}: {who}");
            assert_eq!(who["kind"], "person", "{shape}: {who}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the clients that scripts/test installs"]
async fn services_are_known_by_secret_and_by_key() {
    let idp = Idp::start("okta", &json!({}));
    for client in [
        json!({ "id": "robot", "secret": "robot-secret" }),
        json!({ "id": "keyed", "key": private_key() }),
    ] {
        let more = "services = { robot = \"nightly\", keyed = \"nightly\" }";
        let house = House::new(&idp, "okta", more).await;
        let tokens = idp.tokens(json!({ "client": client, "grant": "client" }));
        house.both_run(&access(&tokens)).await;
        for who in house.recorded() {
            assert_eq!(who["id"], "nightly", "{who}");
            assert_eq!(who["kind"], "service", "{who}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the clients that scripts/test installs"]
async fn groups_decide_what_is_allowed_and_unknown_groups_allow_nothing() {
    let allow =
        "allow = [{ group = \"engineering\", team = \"eng\", models = [\"chat/*\"], tools = [] }]";
    let idp = Idp::start("okta", &json!({}));
    let house = House::new(&idp, "okta", allow).await;
    let (alice, bob) = (access(&idp.sign_in(ALICE)), access(&idp.sign_in(BOB)));
    assert_eq!(house.model(&alice).await, 200);
    assert_eq!(house.model(&bob).await, 403, "sales may not");
    assert!(
        house.gateway.mcp("/mcp", &alice, "tools/list", json!({})).await.unwrap()["tools"]
            .as_array()
            .unwrap()
            .is_empty()
    );

    let idp = Idp::start("entra", &json!({ "overage": true }));
    let house = House::new(&idp, "entra", allow).await;
    assert_eq!(house.model(&access(&idp.sign_in(ALICE))).await, 403, "nobody told her groups");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the clients that scripts/test installs"]
async fn keys_rotate_mid_flight_and_an_issuer_that_is_down_shuts_nobody_out() {
    let idp = Idp::start("okta", &json!({}));
    let house = House::new(&idp, "okta", "").await;
    let before = access(&idp.sign_in(ALICE));
    assert_eq!(house.model(&before).await, 200);
    idp.control("rotate").await;
    let after = access(&idp.sign_in(ALICE));
    until("a new key is found", async || house.model(&after).await == 200).await;
    assert_eq!(house.model(&before).await, 200, "the old key is still published");

    // Made with a key that nobody could fetch before the issuer went down.
    idp.control("rotate").await;
    let unknown = access(&idp.sign_in(BOB));
    let known = access(&idp.sign_in(ALICE));
    idp.control("down").await;
    assert_eq!(house.model(&before).await, 200, "known keys hold");
    assert_eq!(house.model(&after).await, 200, "known keys hold");
    assert_ne!(house.model(&unknown).await, 200, "an unknown key opens nothing");
    idp.control("up").await;
    until("it recovers by itself", async || house.model(&unknown).await == 200).await;
    assert_eq!(house.model(&known).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the clients that scripts/test installs"]
async fn a_token_bound_to_a_key_is_worth_nothing_without_a_proof() {
    let idp = Idp::start("plain", &json!({}));
    let house = House::new(&idp, "standard", "").await;
    let url = format!("{}/v1/models", house.gateway.data);
    let tokens = idp.tokens(json!({
        "client": app(), "grant": "code", "login": ALICE,
        "dpop": { "for": { "method": "GET", "url": url } },
    }));
    let (token, proof) = (access(&tokens), tokens["proof"].as_str().unwrap().to_owned());
    let get = async |scheme: &str, proof: Option<&str>| {
        let shown = format!("{scheme} {token}");
        let mut headers = vec![("authorization", shown.as_str())];
        headers.extend(proof.map(|proof| ("dpop", proof)));
        house.gateway.send(Method::GET, "/v1/models", &headers, "").await.status().as_u16()
    };
    assert_eq!(get("Bearer", None).await, 401, "shown by whoever has it");
    assert_eq!(get("DPoP", None).await, 401, "without a proof");
    assert_eq!(get("DPoP", Some(&proof)).await, 200, "{}", house.gateway.log());
    assert_eq!(get("DPoP", Some(&proof)).await, 401, "a proof is good once");
}
