//! Prompts and resources: seen and read by whom a key lets, and on record.

use serde_json::{Value, json};

use crate::fixture::{Fixture, HARMLESS};
use crate::gateway::{Gateway, Site};

async fn listed(gateway: &Gateway, key: &str, method: &str, field: &str) -> Vec<Value> {
    let list = gateway.mcp("/mcp", key, method, json!({})).await.unwrap();
    list[field].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_sees_and_reads_only_what_its_servers_hold() {
    let (files, mail) = (Fixture::new("fs", &["stat"]), Fixture::new("mail", &["send"]));
    let sections = [files.section(""), mail.section(""), HARMLESS.into()];
    let site = Site::new(&sections.concat());
    let all = site.key(&["--name", "all"]);
    let few = site.key(&["--name", "few", "--tools", "fs__*"]);
    let tools = site.key(&["--name", "tools", "--tools", "fs__stat"]);
    let gateway = site.start();
    assert_eq!(gateway.tools(&all).await.len(), 2, "{}", gateway.log());

    let uris = |list: Vec<Value>| -> Vec<String> {
        list.iter().map(|one| one["uri"].as_str().unwrap().to_owned()).collect()
    };
    let (own, other) = ("fs+note://fs/one", "mail+note://mail/one");
    let mut seen = uris(listed(&gateway, &all, "resources/list", "resources").await);
    seen.sort();
    assert_eq!(seen, [own, other]);
    assert_eq!(uris(listed(&gateway, &few, "resources/list", "resources").await), [own]);
    assert!(listed(&gateway, &tools, "resources/list", "resources").await.is_empty());
    let templates = listed(&gateway, &few, "resources/templates/list", "resourceTemplates").await;
    assert_eq!(templates[0]["uriTemplate"], "fs+note://fs/{id}");
    assert_eq!(templates.len(), 1);
    let prompts = listed(&gateway, &few, "prompts/list", "prompts").await;
    assert_eq!((prompts.len(), &prompts[0]["name"]), (1, &json!("fs__greet")));

    let read = async |key: &str, uri: &str| {
        gateway.mcp("/mcp", key, "resources/read", json!({ "uri": uri })).await
    };
    let held = read(&few, own).await.unwrap();
    assert_eq!(held["contents"][0]["text"], "fs holds note://fs/one");
    assert_eq!(held["contents"][0]["uri"], own, "as it was asked for");
    let forbidden = read(&few, other).await.unwrap_err();
    let unknown = read(&few, "gone+note://gone/one").await.unwrap_err();
    assert_eq!(forbidden["code"], unknown["code"], "{forbidden} {unknown}");
    let plain = |error: &Value| error["message"].as_str().unwrap().replace(other, "URI");
    let gone = unknown["message"].as_str().unwrap().replace("gone+note://gone/one", "URI");
    assert_eq!(plain(&forbidden), gone, "what may not be read is not there");
    let prompt = async |key: &str, name: &str| {
        gateway.mcp("/mcp", key, "prompts/get", json!({ "name": name })).await
    };
    let greeting = prompt(&few, "fs__greet").await.unwrap();
    assert_eq!(greeting["messages"][0]["content"]["text"], "fs greets");
    let forbidden = prompt(&few, "mail__greet").await.unwrap_err();
    let unknown = prompt(&few, "mail__gone").await.unwrap_err();
    let plain = |error: &Value, name| error.to_string().replace(name, "NAME");
    assert_eq!(plain(&forbidden, "mail__greet"), plain(&unknown, "mail__gone"));

    gateway.stop();
    let story = site.run(&["audit", "show", "--last", "20"]).unwrap();
    for name in ["fs__resources.read", "fs__prompts.get", "mail__resources.read"] {
        assert!(story.contains(name), "{name} is on record: {story}");
    }
}
