use serde_json::{Value, json};

use super::{Coverage, suggest};
use crate::contract::{ContractSpec, Contracts, EffectKind, Origin, SinkKind};

#[expect(clippy::needless_pass_by_value, reason = "they are written in the call")]
fn tool(name: &str, properties: Value, annotations: Value) -> Value {
    let required: Vec<&String> = properties.as_object().unwrap().keys().collect();
    let required = json!(required);
    json!({
        "name": name,
        "inputSchema": { "type": "object", "properties": properties, "required": required },
        "annotations": annotations,
    })
}

fn drafted(name: &str, properties: Value, annotations: Value) -> ContractSpec {
    suggest("s", &[tool(name, properties, annotations)]).remove(0).spec
}

#[test]
fn arguments_are_sinks_of_their_kind_or_content() {
    let text = json!({ "type": "string" });
    let spec = drafted(
        "send_money",
        json!({ "recipient": { "type": "string", "description": "IBAN of the recipient" },
                "amount": { "type": "number" }, "subject": text, "date": text }),
        json!({}),
    );
    assert_eq!(spec.effect, EffectKind::Commit);
    let sinks: Vec<(&str, SinkKind)> =
        spec.sinks.iter().map(|sink| (sink.pointer.as_str(), sink.kind)).collect();
    assert_eq!(
        sinks,
        [("/recipient", SinkKind::Iban), ("/amount", SinkKind::Money), ("/date", SinkKind::Date)]
    );
    assert_eq!(spec.content, ["/subject"]);
    assert!(spec.intent.unwrap().contains(&"pay".to_owned()));
}

#[test]
fn a_read_that_takes_an_address_is_a_way_out() {
    let spec = drafted("get_webpage", json!({ "url": { "type": "string" } }), json!({}));
    assert_eq!(spec.effect, EffectKind::Egress);
    assert!(spec.intent.is_none() && spec.requires.is_some());
}

#[test]
fn a_servers_word_makes_a_draft_stricter_only() {
    for (name, annotations, effect) in [
        ("get_thing", json!({ "destructiveHint": true }), EffectKind::Destroy),
        ("get_thing", json!({ "readOnlyHint": false }), EffectKind::Write),
        ("get_thing", json!({ "readOnlyHint": true, "destructiveHint": true }), EffectKind::Read),
        ("delete_thing", json!({ "readOnlyHint": true }), EffectKind::Destroy),
        ("frobnicate", json!({ "readOnlyHint": true }), EffectKind::Egress),
        ("update_thing", json!({ "destructiveHint": true }), EffectKind::Destroy),
    ] {
        let spec = drafted(name, json!({ "id": { "type": "string" } }), annotations);
        assert_eq!(spec.effect, effect, "{name}");
    }
}

#[test]
fn nothing_but_plain_values_is_trusted_unseen() {
    let spec = drafted("list_messages", json!({}), json!({}));
    assert!(spec.result.is_none());
    assert!(spec.fields.iter().all(|field| field.kind.is_some()));
}

#[test]
fn drafts_are_toml_that_says_the_same() {
    #[derive(serde::Deserialize)]
    struct File {
        contract: Vec<ContractSpec>,
    }
    let text = json!({ "type": "string" });
    let tools = [
        tool(
            "send \"email\"",
            json!({ "to": { "type": "array", "items": text }, "a/b~": text }),
            json!({}),
        ),
        tool("list_users", json!({}), json!({})),
        tool("drop_everything", json!({}), json!({ "readOnlyHint": true })),
        json!({ "name": "read_it", "outputSchema": { "properties": { "n": { "type": "integer" },
            "list": { "type": "array", "items": { "properties": { "x_id": { "type": "string" } } } } } } }),
        json!({ "name": "odd", "inputSchema": { "properties": { "b": true, "c": { "$ref": "#/none" } } } }),
        json!({ "no": "name" }),
    ];
    let drafts = suggest("s", &tools);
    assert_eq!(drafts.len(), 5);
    let text: String = drafts.iter().map(|draft| draft.to_toml() + "\n").collect();
    let file: File = toml::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let specs: Vec<ContractSpec> = drafts.into_iter().map(|draft| draft.spec).collect();
    assert_eq!(file.contract, specs);
    let contracts = Contracts::compile(specs).unwrap();
    let coverage = Coverage::of(&contracts, ["s__list_users", "s__read_it", "s__new"]);
    assert_eq!(
        coverage.to_string(),
        "3 tools: 2 declared, 0 by pack, 0 by annotation, 1 by default"
    );
    assert_eq!(coverage.tools[2].origin, Origin::Default);
}

proptest::proptest! {
    #[test]
    fn whatever_a_server_says_a_draft_compiles(name in ".{0,30}", key in ".{0,20}", kind in "[a-z]{0,8}") {
        let schema = json!({ "properties": { key: { "type": kind } } });
        let drafts = suggest("s", &[json!({ "name": name, "inputSchema": schema })]);
        let specs = drafts.into_iter().map(|draft| draft.spec).collect();
        proptest::prop_assert!(Contracts::compile(specs).is_ok());
    }
}
