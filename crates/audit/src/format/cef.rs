//! `ArcSight` Common Event Format, version 0.

use std::fmt::Write as _;

use doorward_core::Event;

use super::fields::{Fields, Severity};
use crate::Record;

pub(super) fn line(record: &Record) -> String {
    let event = &record.event;
    let fields = Fields::of(event);
    let mut line = String::with_capacity(600);
    line.push_str("CEF:0|Doorward|Doorward|");
    line.push_str(env!("CARGO_PKG_VERSION"));
    header(&format!("{}.{}", fields.kind, event.outcome.as_str()), &mut line);
    header(&format!("{} {}", fields.kind, fields.operation), &mut line);
    // 0 to 3 low, 4 to 6 medium, 7 to 8 high.
    header(
        match fields.severity() {
            Severity::Information => "2",
            Severity::Warning => "6",
            Severity::Error => "5",
        },
        &mut line,
    );
    line.push('|');
    let from = line.len();
    who(event, &mut line);
    what(record, &fields, &mut line);
    // Pairs are separated by one space; the first has none before it.
    line.remove(from);
    line
}

fn who(event: &Event, line: &mut String) {
    let who = &event.who;
    pair("suser", &who.id, line);
    if let Some(subject) = &who.subject {
        pair("suid", subject, line);
    }
    labelled("cs1", "rule", &event.decision.rule, line);
    labelled("cs2", "turn", &event.turn.to_string(), line);
    if let Some(agent) = &event.agent {
        labelled("cs3", "agent", agent, line);
    }
    if let Some(team) = &who.team {
        labelled("cs5", "team", team, line);
    }
    if let Some(key) = who.key {
        labelled("cs6", "key", &key.to_string(), line);
    }
}

fn what(record: &Record, fields: &Fields<'_>, line: &mut String) {
    let event = &record.event;
    let millis = event.at.as_micros().div_euclid(1000);
    pair("rt", &millis.to_string(), line);
    pair("externalId", &event.id.to_string(), line);
    pair("cat", fields.kind, line);
    pair("act", fields.effect(), line);
    pair("outcome", event.outcome.as_str(), line);
    pair("destinationServiceName", &fields.object, line);
    if let Some(target) = &fields.target {
        labelled("cs4", "target", target, line);
    }
    if let Some(error) = event.error {
        pair("reason", error.as_str(), line);
    }
    if let Some((input, output)) = fields.tokens {
        labelled("cn1", "input tokens", &input.to_string(), line);
        labelled("cn2", "output tokens", &output.to_string(), line);
    }
    if let Some(took) = event.took_us {
        labelled("cn3", "microseconds", &took.to_string(), line);
    }
    pair("msg", &event.decision.reason, line);
}

/// A field of the header: `\` and `|` are escaped, line breaks have no form.
fn header(text: &str, line: &mut String) {
    line.push('|');
    for c in text.chars() {
        match c {
            '\\' | '|' => line.extend(['\\', c]),
            '\r' | '\n' => line.push(' '),
            c => line.push(c),
        }
    }
}

/// A pair of the extension: `\` and `=` are escaped, line breaks become `\n` and `\r`.
fn pair(key: &str, value: &str, line: &mut String) {
    let _ = write!(line, " {key}=");
    for c in value.chars() {
        match c {
            '\\' | '=' => line.extend(['\\', c]),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            c => line.push(c),
        }
    }
}

fn labelled(key: &str, label: &str, value: &str, line: &mut String) {
    pair(key, value, line);
    pair(&format!("{key}Label"), label, line);
}
