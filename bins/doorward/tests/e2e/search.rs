//! Catalogues that are searched instead of listed.

use serde_json::{Value, json};

use crate::fixture::{Fixture, HARMLESS};
use crate::gateway::{Gateway, Site};

async fn names(gateway: &Gateway, path: &str, key: &str) -> Vec<String> {
    let list = gateway.mcp(path, key, "tools/list", json!({})).await.unwrap();
    let tools = list["tools"].as_array().unwrap();
    tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

/// A tool's first text, and whether it is an error.
async fn call(gateway: &Gateway, path: &str, key: &str, tool: &str, with: Value) -> (String, bool) {
    let params = json!({ "name": tool, "arguments": with });
    let result = gateway.mcp(path, key, "tools/call", params).await.unwrap();
    let text = result["content"][0]["text"].as_str().unwrap_or_default().to_owned();
    (text, result["isError"] == json!(true))
}

async fn found(gateway: &Gateway, path: &str, key: &str, query: &str) -> Vec<String> {
    let (text, failed) = call(gateway, path, key, "search_tools", json!({ "query": query })).await;
    assert!(!failed, "{text}");
    let told: Value = serde_json::from_str(&text).unwrap();
    let tools = told["tools"].as_array().unwrap();
    tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_finds_and_calls_through_the_two_tools_what_it_may_call_and_nothing_else() {
    let notes = Fixture::new("notes", &["read_note", "write_note"]);
    let mail = Fixture::new("mail", &["read_mail"]);
    let profile = "[[profile]]\nname = \"large\"\nservers = [\"notes\", \"mail\"]\n\
                   disclosure = \"search\"\n\n";
    let sections = [notes.section(""), mail.section(""), profile.into(), HARMLESS.into()];
    let site = Site::new(&sections.concat());
    let all = site.key(&["--name", "all"]);
    let few = site.key(&["--name", "few", "--tools", "notes__read_*"]);
    let gateway = site.start();
    assert_eq!(gateway.tools(&all).await.len(), 3, "`/mcp` still lists them");
    let at = "/mcp/large";
    for key in [&all, &few] {
        assert_eq!(names(&gateway, at, key).await, ["call_tool", "search_tools"]);
    }
    let mut both = found(&gateway, at, &all, "read").await;
    both.sort();
    assert_eq!(both, ["mail__read_mail", "notes__read_note"]);
    assert_eq!(found(&gateway, at, &few, "read").await, ["notes__read_note"]);

    let run = |name: &str| json!({ "name": name, "arguments": { "n": 1 } });
    let (text, failed) = call(&gateway, at, &few, "call_tool", run("notes__read_note")).await;
    assert_eq!((text.as_str(), failed), ("notes did read_note {\"n\": 1}", false));
    let (forbidden, failed) = call(&gateway, at, &few, "call_tool", run("mail__read_mail")).await;
    assert!(failed);
    let (unknown, failed) = call(&gateway, at, &few, "call_tool", run("mail__no_such")).await;
    assert!(failed);
    let plain = |text: &str, name: &str| text.replace(name, "NAME");
    assert_eq!(
        plain(&forbidden, "mail__read_mail"),
        plain(&unknown, "mail__no_such"),
        "what may not be called cannot be told from what is not there"
    );
    gateway.stop();
    let story = site.run(&["audit", "show", "--last", "20"]).unwrap();
    assert!(
        story.contains("notes__read_note"),
        "the record names the tool that was meant: {story}"
    );
    assert!(story.contains("mail__read_mail"), "{story}");
    assert!(!story.contains("call_tool"), "{story}");
    assert!(site.run(&["audit", "verify"]).unwrap().starts_with("intact"));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_mcp_can_be_searched() {
    let notes = Fixture::new("notes", &["read_note"]);
    let mode = "[mcp]\ndisclosure = \"search\"\n\n";
    let site = Site::new(&[notes.section(""), mode.into(), HARMLESS.into()].concat());
    let key = site.key(&["--name", "ci"]);
    let gateway = site.start();
    assert_eq!(names(&gateway, "/mcp", &key).await, ["call_tool", "search_tools"]);
    for _ in 0..100 {
        if !found(&gateway, "/mcp", &key, "note").await.is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(found(&gateway, "/mcp", &key, "note").await, ["notes__read_note"]);
    assert_eq!(names(&gateway, "/mcp/notes", &key).await, ["notes__read_note"]);
}
