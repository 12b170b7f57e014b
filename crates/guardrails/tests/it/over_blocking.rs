//! Honest turns of coding agents and applications that have read something untrusted: what is
//! stopped tells a way on, and the way leads on.

use doorward_core::Decision;
use doorward_guardrails::{Contracts, UserRole};
use serde::Deserialize;
use serde_json::Value;

use crate::driver::{Answered, Chat, World};

#[derive(Deserialize)]
struct File {
    shape: Vec<Shape>,
}

#[derive(Deserialize)]
struct Shape {
    name: String,
    packs: Vec<String>,
    reads: Vec<Read>,
    acts: Vec<Act>,
}

#[derive(Deserialize)]
struct Read {
    tool: String,
    with: Value,
    result: String,
}

#[derive(Deserialize)]
struct Act {
    prompt: String,
    tool: String,
    with: Value,
}

fn bare(tool: &str) -> &str {
    tool.strip_prefix("mcp__doorward__").unwrap_or(tool)
}

fn is_brokered(tool: &str) -> bool {
    bare(tool).contains("__")
}

#[test]
fn nothing_honest_is_stopped_without_a_way_on_that_leads_on() {
    let file: File = toml::from_str(include_str!("../../testdata/benign.toml")).unwrap();
    let (mut turns, mut stopped, mut dead_ends) = (0, 0, Vec::new());
    for shape in &file.shape {
        let contracts = Contracts::default();
        let contracts = contracts.with_packs(shape.packs.iter().map(String::as_str)).unwrap();
        for (at, (read, act)) in pairs(shape).enumerate() {
            let world = World::under(contracts.clone(), UserRole::Trusted);
            turns += 1;
            let mut chat = world.chat();
            let declared = shape.reads.iter().map(|read| read.tool.clone());
            *chat.tools.lock().unwrap() =
                declared.chain(shape.acts.iter().map(|act| act.tool.clone())).collect();
            chat.user(&act.prompt);
            reads(&mut chat, read);
            let Some(decision) = refusal(&mut chat, act, "act") else { continue };
            stopped += 1;
            assert!(!decision.remedies.is_empty(), "{}: {}", shape.name, act.prompt);
            chat.user(&in_own_words(&decision, act));
            if let Some(again) = refusal(&mut chat, act, "again") {
                dead_ends.push(format!("{} {at} {}: {again:?}", shape.name, act.prompt));
            }
        }
    }
    println!("{turns} turns, {stopped} stopped at first, {} without a way on", dead_ends.len());
    assert!(turns >= 200);
    assert_eq!(dead_ends, Vec::<String>::new());
}

fn pairs(shape: &Shape) -> impl Iterator<Item = (&Read, &Act)> {
    shape.reads.iter().flat_map(|read| shape.acts.iter().map(move |act| (read, act)))
}

/// The untrusted reading, as it comes to be: by a decision of the model's.
fn reads(chat: &mut Chat<'_>, read: &Read) {
    let with = read.with.to_string();
    let answered = chat.model("Let me look.", &[("r1", &read.tool, &with)]);
    assert_eq!(answered.calls()[0].1, read.tool, "a good conversation may do it");
    if is_brokered(&read.tool) {
        chat.world.run(&chat.cx(), bare(&read.tool), &with, &read.result);
    }
    chat.result("r1", &read.result);
}

/// The refusal of an act, if it is refused; the client goes on as clients do.
fn refusal(chat: &mut Chat<'_>, act: &Act, id: &str) -> Option<Decision> {
    let with = act.with.to_string();
    let answered: Answered = chat.model("On it.", &[(id, &act.tool, &with)]);
    let (_, decision) = answered.decisions.first().cloned()?;
    if is_brokered(&act.tool) {
        let verdict = chat.world.judge(&chat.cx(), bare(&act.tool), &with);
        assert_eq!(verdict.decision.is_allowed(), decision.is_allowed(), "both planes agree");
    }
    chat.result(id, if decision.is_allowed() { "done" } else { "Refused by policy" });
    (!decision.is_allowed()).then_some(decision)
}

/// The person follows the remedies: they name the values, and ask with the word that is told.
fn in_own_words(decision: &Decision, act: &Act) -> String {
    let told = decision.remedies.iter().find_map(|remedy| remedy.split('`').nth(1));
    let asks = decision.remedies.iter().find(|remedy| remedy.contains("in words such as"));
    let word = asks.and_then(|remedy| remedy.split('`').nth(1)).unwrap_or("do");
    assert!(told.is_some() || asks.is_some(), "{:?}", decision.remedies);
    let mut said = format!("Yes, please {word}, as I say here:");
    leaves(&act.with, "", &mut |name, text| {
        said.push_str(&format!("\n{} \"{text}\"", name.replace('_', " ")));
    });
    said
}

fn leaves(value: &Value, name: &str, visit: &mut dyn FnMut(&str, &str)) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| leaves(item, name, visit)),
        Value::Object(map) => map.iter().for_each(|(key, value)| leaves(value, key, visit)),
        Value::String(text) => visit(name, text),
        Value::Number(number) => visit(name, &number.to_string()),
        _ => {}
    }
}
