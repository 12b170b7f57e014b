use serde_json::value::RawValue;

use super::{ContractSpec, Contracts, EffectKind, FindingKind};

#[derive(serde::Deserialize)]
struct File {
    contract: Vec<ContractSpec>,
}

fn compile(text: &str) -> Result<Contracts, String> {
    let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
    Contracts::compile(file.contract).map_err(|error| error.to_string())
}

#[test]
fn contradictions_are_told_with_index_and_field() {
    for (text, told) in [
        (
            "[[contract]]\ntool='a'\neffect='read'\n[[contract]]\ntool='b'\neffect='write'",
            "contract 2 (`b`), `control`: expected the arguments",
        ),
        ("[[contract]]\ntool='b'\neffect='admin'", "contract 1 (`b`), `control`"),
        (
            "[[contract]]\ntool='b'\neffect='egress'\ncontrol=['/to']\ncontent=['/to']",
            "`content`: expected `/to` in one list only",
        ),
        ("[[contract]]\ntool='b'\neffect='egress'\ncontrol=['to']", "begins with `/`, such as"),
        ("[[contract]]\ntool='b'\neffect='egress'\ncontrol=['/a~']", "`~0` for `~`"),
        ("[[contract]]\ntool='b'\neffect='egress'\ncontrol=['/a','/a']", "`/a` once"),
        ("[[contract]]\ntool='b'\neffect='egress'\ncontrol=['/a','/a/b']", "a part of the other"),
        (
            "[[contract]]\ntool='b'\neffect='read'\nrequires={choice='user'}",
            "`requires`: expected no requirement on a read",
        ),
        ("[[contract]]\ntool='b'\neffect='read'\ncontrol=['/a']", "no controlling argument"),
        ("[[contract]]\ntool='b'\neffect='read'\ncontent=['/a']", "no content argument"),
        ("[[contract]]\ntool='b'\neffect='read'\nmode='ask'", "`mode`"),
        ("[[contract]]\ntool='b'\neffect='read'\nhide=true", "`hide`"),
        (
            "[[contract]]\ntool='b'\neffect='write'\ncontrol=[]\nrequires={control='system'}",
            "nothing a model writes is `system`",
        ),
        (
            "[[contract]]\ntool='b'\neffect='read'\nresult={integrity='system'}",
            "no tool is the operator",
        ),
        (
            "[[contract]]\ntool='b'\neffect='read'\nresult={integrity='trusted',readers=['']}",
            "readers with names",
        ),
        (
            "[[contract]]\ntool='b'\neffect='read'\nresult={integrity='trusted'}\n\
             fields=[{pointer='/a',integrity='trusted'}]",
            "`/a` to differ from the result, which is `trusted` anyway",
        ),
        (
            "[[contract]]\ntool='b'\neffect='read'\n\
             fields=[{pointer='/a',integrity='trusted'},{pointer='/a',integrity='user'}]",
            "`fields`: expected `/a` once",
        ),
        (
            "[[contract]]\ntool='a__*'\neffect='read'\n[[contract]]\ntool='a__*x'\neffect='read'",
            "more or less specific than contract 1 (`a__*`)",
        ),
        (
            "[[contract]]\ntool='a'\neffect='read'\n[[contract]]\ntool='a'\neffect='read'",
            "contract 2 (`a`), `tool`",
        ),
        ("[[contract]]\ntool=''\neffect='read'", "a tool's name"),
        ("[[contract]]\ntool='a'\neffect='delete'", "unknown variant `delete`"),
        ("[[contract]]\ntool='a'\neffect='read'\ncontrols=[]", "unknown field `controls`"),
    ] {
        let error = compile(text).unwrap_err();
        assert!(error.contains(told), "{text}\n{error}");
    }
}

#[test]
fn the_most_specific_contract_holds() {
    let contracts = compile(
        "[[contract]]\ntool='*'\neffect='admin'\ncontrol=[]\n\
         [[contract]]\ntool='mail__*'\neffect='write'\ncontrol=[]\n\
         [[contract]]\ntool='mail__send*'\neffect='egress'\ncontrol=['/to']\n\
         [[contract]]\ntool='mail__send_note'\neffect='read'",
    )
    .unwrap();
    for (tool, effect) in [
        ("mail__send_note", EffectKind::Read),
        ("mail__send_email", EffectKind::Egress),
        ("mail__flag", EffectKind::Write),
        ("crm__list", EffectKind::Admin),
    ] {
        assert_eq!(contracts.of(tool).effect(), effect, "{tool}");
    }
}

#[test]
fn a_nested_exception_is_no_contradiction() {
    let nested = "[[contract]]\ntool='b'\neffect='read'\nresult={integrity='trusted'}\n\
         fields=[{pointer='/a',integrity='untrusted'},{pointer='/a/id',integrity='trusted'}]";
    assert!(compile(nested).is_ok(), "{:?}", compile(nested));
}

#[test]
fn a_schema_shows_rules_that_never_fire() {
    let contracts = compile(
        "[[contract]]\ntool='mail'\neffect='egress'\ncontrol=['/to','/reciever','/opts/*/kind']\n\
         content=['/body','/bodi']\n[[contract]]\ntool='free'\neffect='egress'\ncontrol=['/x']",
    )
    .unwrap();
    let schema = r##"{"type":"object","properties":{
        "to":{"type":"array","items":{"type":"string"}},
        "body":{"type":"string"},"bcc":{"type":"string"},
        "opts":{"$ref":"#/$defs/opts"}},
        "$defs":{"opts":{"type":"array","items":{"properties":{"kind":{}}}}}}"##;
    let schema: Box<RawValue> = serde_json::from_str(schema).unwrap();
    let findings: Vec<_> = contracts
        .check_against("mail", &schema)
        .into_iter()
        .map(|finding| (finding.pointer, finding.kind))
        .collect();
    assert_eq!(
        findings,
        [
            ("/reciever".to_owned(), FindingKind::UnknownControl),
            ("/bodi".to_owned(), FindingKind::UnknownContent),
            ("/bcc".to_owned(), FindingKind::Unlisted),
        ]
    );
    let open: Box<RawValue> = serde_json::from_str(r#"{"type":"object"}"#).unwrap();
    assert_eq!(contracts.check_against("free", &open), []);
    assert_eq!(contracts.check_against("unlisted", &schema), []);
}
