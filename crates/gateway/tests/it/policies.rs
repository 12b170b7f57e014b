//! Policies, where they are asked.

use std::sync::Arc;

use doorward_core::{Action, Authorizer, Cx, Decision, Outcome};
use doorward_identity::cedar::{Options, Otherwise, Policies, PolicySource};
use doorward_testkit::clock::TestClock;
use http::Method;
use serde_json::json;

use crate::stack::{Setup, endings};
use crate::tracker::ISSUE;
use crate::upstream::{Upstream, greets};

/// Allows every tool by its name, and refuses one call for its arguments.
struct Choosy;

impl Authorizer for Choosy {
    fn authorize(&self, _: &Cx, action: Action<'_>) -> Decision {
        match action {
            Action::Call { arguments, .. } if arguments.get().contains("secret") => {
                Decision::deny("test.arguments", "no secrets")
            }
            _ => Decision::allow("test.any", "anything goes"),
        }
    }
}

#[tokio::test]
async fn arguments_are_asked_about_after_the_name_and_a_refusal_is_a_result_on_record() {
    let setup = Setup { authorizer: Arc::new(Choosy), ..Setup::default() };
    let stack = setup.build(Upstream::new(greets));
    let mut client = stack.client().await;
    let call = |id: &str| {
        json!({
            "jsonrpc": "2.0", "id": 7, "method": "tools/call",
            "params": { "name": "tracker__get_issue", "arguments": { "id": id } },
        })
        .to_string()
    };
    let request = client.request(Method::POST, "/mcp", call("open"));
    let called = client.send(request).await.json();
    assert_eq!(called["result"]["content"][0]["text"], ISSUE);
    let request = client.request(Method::POST, "/mcp", call("secret"));
    let refused = client.send(request).await.json();
    assert_eq!(refused["result"]["isError"], true);
    let text = refused["result"]["content"][0]["text"].as_str().unwrap();
    assert_eq!(text, "Refused by policy (test.arguments): no secrets");
    drop(client);
    let calls = stack.close().await;
    let ended = endings(&calls);
    assert_eq!(ended[0].outcome, Outcome::Completed);
    assert_eq!((ended[1].outcome, &*ended[1].decision.rule), (Outcome::Denied, "test.arguments"));
    assert_eq!(calls.values().map(Vec::len).sum::<usize>(), 3, "what is refused never began");
}

#[tokio::test]
async fn what_a_policy_forbids_is_not_listed_and_the_label_is_known_at_the_call() {
    let text = r#"
        @id("hang") forbid(principal, action in Action::"call_tool", resource == Tool::"tracker__hang");
        @id("untrusted") forbid(principal, action in Action::"call_tool", resource in Server::"hasty")
        unless { context.label.trusted };
        @id("place") forbid(principal, action, resource == Server::"hasty")
        unless { context has source && context.source.isLoopback() };
    "#;
    let options = Options::new(Arc::new(TestClock::default())).with_otherwise(Otherwise::Allow);
    let sources = [PolicySource::new("p.cedar", text)];
    let policies = Policies::load(&sources, None, options).unwrap();
    let setup = Setup { authorizer: Arc::new(policies), ..Setup::default() };
    let stack = setup.build(Upstream::new(greets));
    let mut client = stack.client().await;
    let list = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/list" }).to_string();
    let request = client.request(Method::POST, "/mcp", list);
    let listed = client.send(request).await.json();
    let names: Vec<&str> = listed["result"]["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect();
    assert!(!names.contains(&"tracker__hang"), "{names:?}");
    assert!(names.contains(&"hasty__get_issue"), "{names:?}");
    let unknown = client.call("tracker__hang").await.json();
    assert!(unknown["error"]["message"].as_str().unwrap().contains("Unknown tool"), "{unknown}");
    // Nobody knows what led to this call: it is judged as if a stranger had.
    let refused = client.call("hasty__get_issue").await.json();
    let text = refused["result"]["content"][0]["text"].as_str().unwrap();
    assert!(text.starts_with("Refused by policy (policy.untrusted)"), "{text}");
    drop(client);
    stack.close().await;
}
