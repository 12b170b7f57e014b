//! People with more groups than a token can say.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use doorward_core::{BoxFuture, CallError, Code, Pattern};
use doorward_identity::jwt::{Allowance, Directory, Holds, Issuer, Mapping, Member};
use serde_json::{Value, json};

use super::idp::Idp;
use super::{Door, US, minutes};

/// Knows one group for everybody, unless it was told to fail.
#[derive(Debug, Default)]
struct Graph {
    asked: AtomicUsize,
    fails: AtomicBool,
}

impl Directory for Graph {
    fn groups<'a>(&'a self, member: &'a Member) -> BoxFuture<'a, Result<Vec<Arc<str>>, CallError>> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::SeqCst);
            let known = (member.tenant.as_deref(), member.object.as_deref());
            assert_eq!(known, (Some("t"), Some("o")));
            if self.fails.load(Ordering::SeqCst) {
                return Err(CallError::new(Code::Upstream, "no answer"));
            }
            Ok(vec!["eng".into()])
        })
    }
}

fn entra(idp: &Idp) -> Issuer {
    let allowance = Allowance {
        holds: Holds::Group("eng".into()),
        team: None,
        models: None,
        tools: Some(vec![Pattern::new("tracker__*")]),
    };
    Issuer::new(idp.issuer(), [US])
        .with_tenants(["t"])
        .with_mapping(Mapping::entra().with_allowance(allowance))
}

/// The forms that Entra's documentation gives: a pointer to the groups beyond 200 of them, and a
/// flag in the implicit flow.
fn overages() -> [Value; 3] {
    let over = json!({"tid": "t", "oid": "o", "scp": "access", "preferred_username": "alice"});
    let with = |name: &str, value: Value| {
        let mut claims = over.clone();
        claims[name] = value;
        claims
    };
    let mut named = with("_claim_names", json!({"groups": "src1"}));
    named["_claim_sources"] =
        json!({"src1": {"endpoint": "http://169.254.169.254/getMemberObjects"}});
    [named, with("hasgroups", json!(true)), with("hasgroups", json!("true"))]
}

#[tokio::test]
async fn groups_that_did_not_fit_are_unknown_and_allow_nothing() {
    let idp = Idp::start("").await;
    let door = Door::of([entra(&idp)]);
    for claims in overages() {
        let token = idp.signer.token(&door.claims(&idp.issuer(), &claims));
        let principal = door.show(&token).await.unwrap();
        assert_eq!(principal.identity.as_ref().unwrap().is_in("eng"), None, "{claims}");
        assert!(!principal.scopes.allows_tool("tracker__get"));
        assert!(!principal.scopes.allows_model("any"));
    }
}

#[tokio::test]
async fn a_directory_tells_them_and_is_believed_for_a_while() {
    let idp = Idp::start("").await;
    let graph = Arc::new(Graph::default());
    let door = Door::of([entra(&idp).with_directory(graph.clone())]);
    let [claims, ..] = overages();
    let token = idp.signer.token(&door.claims(&idp.issuer(), &claims));
    let asked = || graph.asked.load(Ordering::SeqCst);
    graph.fails.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        let principal = door.show(&token).await.unwrap();
        assert!(!principal.scopes.allows_tool("tracker__get"), "fail closed");
    }
    assert_eq!(asked(), 1, "not asked for every call");
    graph.fails.store(false, Ordering::SeqCst);
    door.clock.advance(minutes(1));
    for _ in 0..3 {
        let principal = door.show(&token).await.unwrap();
        assert!(principal.scopes.allows_tool("tracker__get"));
        assert_eq!(principal.identity.as_ref().unwrap().is_in("eng"), Some(true));
    }
    assert_eq!(asked(), 2);
    door.clock.advance(minutes(5));
    assert!(door.show(&token).await.is_ok());
    assert_eq!(asked(), 3);
    let few = json!({"tid": "t", "oid": "o", "scp": "access", "groups": ["sales"]});
    let token = idp.signer.token(&door.claims(&idp.issuer(), &few));
    let principal = door.show(&token).await.unwrap();
    assert_eq!(principal.identity.as_ref().unwrap().is_in("eng"), Some(false));
    assert_eq!(asked(), 3, "the token said it");
}
