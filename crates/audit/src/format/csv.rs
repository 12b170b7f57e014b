//! A table (RFC 4180).

use super::fields::Fields;
use super::rfc3339;
use crate::{Record, Sealed};

const COLUMNS: [&str; 28] = [
    "seq",
    "time",
    "id",
    "turn",
    "request",
    "conversation",
    "kind",
    "operation",
    "object",
    "target",
    "principal",
    "principal_kind",
    "team",
    "key",
    "key_name",
    "issuer",
    "subject",
    "actors",
    "agent",
    "effect",
    "rule",
    "reason",
    "outcome",
    "error",
    "took_us",
    "input_tokens",
    "output_tokens",
    "cost_nanos_usd",
];

pub(super) fn header() -> String {
    COLUMNS.join(",") + ",leaf\r\n"
}

pub(super) fn line(record: &Record, sealed: &Sealed) -> String {
    let fields = Fields::of(&record.event);
    let (event, who) = (&record.event, &record.event.who);
    let number = |n: Option<u64>| n.map(|n| n.to_string()).unwrap_or_default();
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let cells: [String; 28] = [
        record.seq.to_string(),
        rfc3339(event.at),
        event.id.to_string(),
        event.turn.to_string(),
        event.request.to_string(),
        event.conversation.map(|id| id.to_string()).unwrap_or_default(),
        fields.kind.to_owned(),
        fields.operation.clone(),
        fields.object.clone(),
        text(fields.target.as_deref()),
        who.id.to_string(),
        fields.principal_kind().to_owned(),
        text(who.team.as_deref()),
        who.key.map(|key| key.to_string()).unwrap_or_default(),
        text(who.key_name.as_deref()),
        text(who.issuer.as_deref()),
        text(who.subject.as_deref()),
        fields.actors(),
        text(event.agent.as_deref()),
        fields.effect().to_owned(),
        event.decision.rule.to_string(),
        event.decision.reason.to_string(),
        event.outcome.as_str().to_owned(),
        text(event.error.map(doorward_core::Code::as_str)),
        number(event.took_us),
        number(fields.tokens.map(|(input, _)| input)),
        number(fields.tokens.map(|(_, output)| output)),
        number(fields.cost_nanos),
    ];
    let mut line = String::with_capacity(400);
    for cell in &cells {
        write_cell(cell, &mut line);
        line.push(',');
    }
    line.push_str(&sealed.leaf.to_string());
    line
}

/// Writes a cell: in quotes where it must be, never such that a spreadsheet computes it. Line
/// breaks become spaces, so that a record is a line.
fn write_cell(cell: &str, line: &mut String) {
    let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if !formula && !cell.contains([',', '"', '\r', '\n']) {
        line.push_str(cell);
        return;
    }
    line.push('"');
    if formula {
        line.push('\'');
    }
    for c in cell.chars() {
        match c {
            '"' => line.push_str("\"\""),
            '\r' | '\n' => line.push(' '),
            c => line.push(c),
        }
    }
    line.push('"');
}
