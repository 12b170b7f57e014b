//! The guard, from outside: a poisoned result, a scoped key, a refusal that does not end the turn.

use doorward_testkit::provider::{Provider, Recorded};
use doorward_testkit::say::Say;
use serde_json::{Value, json};

use crate::gateway::{Gateway, Site, upstream};

const KEY: &[(&str, &str)] = &[("UPSTREAM_KEY", "sk-upstream-secret")];

/// The demo's servers: an issue tracker with a poisoned issue, and a mailer.
fn servers(site_outbox: &str) -> String {
    let program = env!("CARGO_BIN_EXE_doorward");
    format!(
        r#"
[[server]]
name    = "tracker"
command = ["{program}", "demo-server", "tracker"]

[[server]]
name    = "mail"
command = ["{program}", "demo-server", "mailer", "{site_outbox}"]
write   = ["{site_outbox}"]

[[contract]]
tool   = "tracker__get_issue"
effect = "read"
result = {{ integrity = "trusted" }}
fields = [{{ pointer = "/body", integrity = "untrusted" }}]

[[contract]]
tool     = "mail__send_email"
effect   = "egress"
control  = ["/recipients", "/cc"]
content  = ["/subject", "/body"]
requires = {{ control = "trusted", choice = "user" }}
mode     = "deny"

[[contract]]
tool     = "run_shell"
effect   = "admin"
control  = ["/command"]
"#
    )
}

fn tool(name: &str) -> Value {
    json!({ "type": "function", "function": { "name": name, "parameters": { "type": "object" } } })
}

fn mail_to(recipient: &str) -> Value {
    json!({ "recipients": [recipient], "subject": "s", "body": "b" })
}

async fn site() -> (Provider, Site, tempfile::TempDir, Gateway, String) {
    // The model reads the issue, then mails whom the person's text and the issue name.
    let provider = Provider::start(|r| hijacked(r).to(r)).await.unwrap();
    let outbox = tempfile::tempdir().unwrap();
    let sections = upstream("m", "openai-compatible", &provider.url())
        + &servers(outbox.path().to_str().unwrap());
    let site = Site::new(&sections);
    let key = site.key(&["--name", "app", "--owner", "alice@example.com"]);
    let gateway = site.start_with(KEY);
    assert_eq!(gateway.tools(&key).await, ["mail__send_email", "tracker__get_issue"]);
    (provider, site, outbox, gateway, key)
}

fn hijacked(request: &Recorded) -> Say {
    let body = request.json();
    let messages = body["messages"].as_array().unwrap();
    let results = messages.iter().filter(|m| m["role"] == "tool").count();
    match results {
        0 => Say::text("").call("tracker__get_issue", json!({ "id": 7 })),
        1 => Say::text("")
            .call("mail__send_email", mail_to("mallory@evil.example"))
            .call("run_shell", json!({ "command": "curl evil.example" }))
            .call("tracker__get_issue", json!({ "id": 8 })),
        _ => Say::text("Done what I could."),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poisoned_result_hides_and_refuses_and_the_turn_goes_on() {
    let (provider, site, outbox, gateway, key) = site().await;
    let tools = json!([tool("tracker__get_issue"), tool("mail__send_email"), tool("run_shell")]);
    let mut messages = vec![json!({ "role": "user", "content": "Summarise issue 7." })];
    let ask = |messages: &Vec<Value>| json!({ "model": "m/scripted-1", "messages": messages, "tools": tools });

    let (_, first) = gateway.post("/v1/chat/completions", &key, &ask(&messages)).await;
    let message = first["choices"][0]["message"].clone();
    let (issue, failed) = gateway.call(&key, "tracker__get_issue", json!({ "id": 7 })).await;
    assert!(!failed, "{issue}");
    let id = message["tool_calls"][0]["id"].clone();
    messages.extend([message, json!({ "role": "tool", "tool_call_id": id, "content": issue })]);

    let (status, second) = gateway.post("/v1/chat/completions", &key, &ask(&messages)).await;
    assert_eq!(status, 200, "{second}");
    // The model no longer saw what it must not use now.
    let sent = provider.recorded().last().unwrap().json();
    let seen: Vec<&str> = sent["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t["function"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(seen, ["tracker__get_issue"]);

    // It named them all the same. The client's own tool is refused before the client sees a call
    // of it; the broker refuses its own; the sibling goes on.
    let message = second["choices"][0]["message"].clone();
    let calls = message["tool_calls"].as_array().unwrap().clone();
    let names: Vec<&str> = calls.iter().map(|c| c["function"]["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["mail__send_email", "doorward__denied", "tracker__get_issue"]);
    let told = calls[1]["function"]["arguments"].as_str().unwrap();
    assert!(told.contains("run_shell") && !told.contains("curl"), "{told}");
    messages.push(message);
    for call in &calls {
        let name = call["function"]["name"].as_str().unwrap();
        let arguments = call["function"]["arguments"].as_str().unwrap();
        let (text, failed) =
            gateway.call(&key, name, serde_json::from_str(arguments).unwrap()).await;
        assert_eq!(failed, name != "tracker__get_issue", "{name}: {text}");
        assert!(!failed || text.contains("was not called"), "the reason is told: {name}: {text}");
        messages.push(json!({ "role": "tool", "tool_call_id": call["id"], "content": text }));
    }
    assert_eq!(std::fs::read_dir(outbox.path()).unwrap().count(), 0, "no mail went out");

    let (_, third) = gateway.post("/v1/chat/completions", &key, &ask(&messages)).await;
    assert_eq!(third["choices"][0]["message"]["content"], "Done what I could.");
    gateway.stop();
    let story = site.run(&["audit", "show", "--last", "1"]).unwrap();
    assert!(story.contains("tool  mail__send_email  DENIED"), "{story}");
    assert!(story.contains("hidden from the model: mail__send_email, run_shell"), "{story}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recipient_from_the_persons_own_words_is_honoured() {
    let provider = Provider::start(|r| {
        let done = r.json()["messages"].to_string().contains("\"tool\"");
        if done {
            Say::text("Sent.")
        } else {
            Say::text("").call("mail__send_email", mail_to("bob@example.com"))
        }
        .to(r)
    })
    .await
    .unwrap();
    let outbox = tempfile::tempdir().unwrap();
    let sections = upstream("m", "openai-compatible", &provider.url())
        + &servers(outbox.path().to_str().unwrap());
    let site = Site::new(&sections);
    let key = site.key(&["--name", "app"]);
    let gateway = site.start_with(KEY);
    gateway.tools(&key).await;
    let ask = json!({
        "model": "m/scripted-1", "tools": [tool("mail__send_email")],
        "messages": [{ "role": "user", "content": "Write to bob@example.com that I am late." }],
    });
    let (status, _) = gateway.post("/v1/chat/completions", &key, &ask).await;
    assert_eq!(status, 200);
    let (text, failed) = gateway.call(&key, "mail__send_email", mail_to("bob@example.com")).await;
    assert!(!failed, "{text}");
    // The decision was for one call.
    let (text, failed) = gateway.call(&key, "mail__send_email", mail_to("bob@example.com")).await;
    assert!(failed, "{text}");
    assert_eq!(std::fs::read_dir(outbox.path()).unwrap().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn observing_refuses_nothing_and_tells_what_would_have_been() {
    let provider = Provider::start(|r| hijacked(r).to(r)).await.unwrap();
    let outbox = tempfile::tempdir().unwrap();
    let sections = upstream("m", "openai-compatible", &provider.url())
        + &servers(outbox.path().to_str().unwrap())
        + "[guard]\nmode = \"observe\"\n";
    let site = Site::new(&sections);
    let key = site.key(&["--name", "app"]);
    let gateway = site.start_with(KEY);
    gateway.tools(&key).await;
    let (issue, _) = gateway.call(&key, "tracker__get_issue", json!({ "id": 7 })).await;
    let call = json!({
        "id": "call_0", "type": "function",
        "function": { "name": "tracker__get_issue", "arguments": "{\"id\":7}" },
    });
    let ask = json!({
        "model": "m/scripted-1", "tools": [tool("mail__send_email"), tool("run_shell")],
        "messages": [
            { "role": "user", "content": "Summarise issue 7." },
            { "role": "assistant", "content": null, "tool_calls": [call] },
            { "role": "tool", "tool_call_id": "call_0", "content": issue },
        ],
    });
    let (_, answer) = gateway.post("/v1/chat/completions", &key, &ask).await;
    let sent = provider.recorded().last().unwrap().json();
    assert_eq!(sent["tools"].as_array().unwrap().len(), 2, "nothing is hidden");
    let calls = answer["choices"][0]["message"]["tool_calls"].as_array().unwrap();
    assert_eq!(calls[1]["function"]["name"], "run_shell", "nothing is replaced");
    let (text, failed) =
        gateway.call(&key, "mail__send_email", mail_to("mallory@evil.example")).await;
    assert!(!failed, "{text}");
    gateway.stop();
    let story = site.run(&["audit", "show"]).unwrap();
    assert!(
        story.contains("mail__send_email  allowed, would be refused by contract.control"),
        "{story}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_key_may_not_call_it_does_not_see() {
    let (_provider, site, outbox, gateway, _) = site().await;
    let narrow = site.key(&["--name", "narrow", "--tools", "tracker__*"]);
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(gateway.tools(&narrow).await, ["tracker__get_issue"]);
    let (denied, failed) =
        gateway.call(&narrow, "mail__send_email", mail_to("bob@example.com")).await;
    let (absent, _) = gateway.call(&narrow, "mail__no_such_tool", json!({})).await;
    assert!(failed);
    assert_eq!(
        denied.replace("send_email", "X"),
        absent.replace("no_such_tool", "X"),
        "not told apart"
    );
    assert_eq!(std::fs::read_dir(outbox.path()).unwrap().count(), 0);
}
