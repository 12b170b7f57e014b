//! Users sign in at a server through the gateway, each with a client of their own.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use crate::gateway::{Gateway, Site};
use crate::process::{clients, node};
use crate::servers::Server;

/// A client that can send its user to a page is asked to, in the way of its revision; another is
/// told in words.
const WAYS: &[(&str, &str, &str)] = &[
    ("2026-07-28", "url", "elicitation"),
    ("legacy", "url", "error"),
    ("v1", "url", "error"),
    ("2026-07-28", "none", "text"),
    ("legacy", "none", "text"),
    ("v1", "none", "text"),
];

struct Desk {
    server: Server,
    gateway: Gateway,
    /// In the order they were asked for.
    keys: Vec<String>,
    _site: Site,
}

impl Desk {
    /// A gateway that knows these keys, by the arguments that make them.
    fn new(contracts: &str, keys: &[&[&str]]) -> Self {
        let server = Server::guarded();
        let section = server.section("crm", "/mcp");
        let section = section.trim_end();
        let site =
            Site::new(&format!("{section}\noauth = {{ allow_private = true }}\n\n{contracts}"));
        let keys = keys.iter().map(|key| site.key(key)).collect();
        let gateway = site.start();
        Self { server, gateway, keys, _site: site }
    }

    /// Somebody's whole way.
    fn run(&self, (mode, able): (&str, &str), key: &str, user: &str) -> Value {
        let output = std::process::Command::new(node())
            .arg(clients().join("mcp/sign_in.mjs"))
            .args([mode, able])
            .current_dir(clients())
            .env("URL", format!("{}/mcp", self.gateway.data))
            .env("KEY", key)
            .env("AT", format!("127.0.0.1:{}", self.server.port))
            .env("USER", user)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{mode} {able}: {told}\n{}", self.gateway.log());
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

const READS: &str = "[[contract]]\ntool = \"crm__*\"\neffect = \"read\"\n";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the clients that scripts/test installs"]
async fn users_are_sent_to_a_page_as_their_client_can_and_call_as_themselves() {
    let people: Vec<String> =
        (0..WAYS.len()).flat_map(|at| ["alice", "bob"].map(|who| format!("{who}{at}"))).collect();
    let keys: Vec<_> = people.iter().map(|who| ["--name", who, "--owner", who]).collect();
    let keys: Vec<&[&str]> = keys.iter().map(<[_; 4]>::as_slice).collect();
    let desk = Desk::new(READS, &keys);
    let mut people = people.iter().zip(&desk.keys);
    for (mode, able, how) in WAYS {
        for (user, key) in people.by_ref().take(2) {
            let done = desk.run((mode, able), key, user);
            let found = format!("{mode} {able}: {done}");
            assert_eq!(done["before"], json!(["crm__doorward_sign_in"]), "{found}");
            assert_eq!(done["after"], json!(["crm__erase", "crm__whoami"]), "{found}");
            assert_eq!(done["who"], json!(user), "{found}");
            assert_eq!(done["again"], done["who"], "{found}");
            assert_eq!(done["erased"], done["who"], "{found}");
            // Once for all, and once more for the scope that only one tool takes.
            assert_eq!(done["visits"], json!([how, how]), "{found}");
        }
    }
    // Nobody has become somebody else meanwhile.
    let log = desk.gateway.log();
    assert!(!log.contains("Bearer"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the clients that scripts/test installs"]
async fn a_tool_can_be_called_before_it_is_listed() {
    let all: &[&str] = &["--name", "a", "--owner", "alice@example.com"];
    let desk = Desk::new(READS, &[all, &["--name", "b", "--tools", "other__*"]]);
    let [key, limited] = desk.keys.as_slice() else { panic!("two keys") };
    let (text, failed) = desk.gateway.call(key, "crm__whoami", json!({})).await;
    assert!(failed && text.contains("/connect/"), "{text}");
    // Whoever may not use it does not hear that it is there.
    let (text, failed) = desk.gateway.call(limited, "crm__whoami", json!({})).await;
    assert!(failed && text.starts_with("Unknown tool"), "{text}");
    let list = desk.gateway.mcp("/mcp", limited, "tools/list", json!({})).await.unwrap();
    assert_eq!(list["tools"], json!([]));
}

/// An ID token, as somebody's client has it from the identity provider.
async fn minted(server: &Server, user: &str) -> String {
    let uri = format!("http://127.0.0.1:{}/idp/mint?user={user}", server.port);
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let answer = client.get(uri.parse().unwrap()).await.unwrap();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let told: Value = serde_json::from_slice(&body).unwrap();
    told["token"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the clients that scripts/test installs"]
async fn the_identity_provider_vouches_for_each_caller() {
    let server = Server::guarded();
    let base = format!("http://127.0.0.1:{}", server.port);
    let section = server.section("crm", "/mcp");
    let site = Site::new(&format!(
        "{}\n[server.oauth]\nallow_private = true\nissuer = \"{base}\"\nclient_id = \"at-crm\"\n\
         identity_provider = {{ issuer = \"{base}/idp\", token_endpoint = \"{base}/idp/token\", client_id = \"gateway\" }}\n\n\
         [[issuer]]\nurl = \"{base}/idp\"\naudiences = [\"gateway\"]\njwks_url = \"{base}/idp/jwks\"\nallow_private = true\n\n{READS}",
        section.trim_end(),
    ));
    let key = site.key(&["--name", "a", "--owner", "alice@example.com"]);
    let gateway = site.start();
    for user in ["alice@example.com", "bob@example.com", "alice@example.com"] {
        let token = minted(&server, user).await;
        let (text, failed) = gateway.call(&token, "crm__whoami", json!({})).await;
        assert!(!failed && text == user, "{text}\n{}", gateway.log());
    }
    let (text, failed) = gateway.call(&key, "crm__whoami", json!({})).await;
    assert!(failed && !text.contains("/connect/"), "nobody vouches for a key: {text}");
}
