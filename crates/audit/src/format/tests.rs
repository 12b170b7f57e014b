use doorward_core::{
    Actor, Change, Decision, Digest, Effect, Event, Kind, Outcome, PrincipalKind, ToolName,
};
use doorward_testkit::log::event;
use serde_json::Value;

use super::*;
use crate::Chain;

fn sealed(event: &Event) -> Sealed {
    Chain::default().seal(event).unwrap()
}

fn line(format: Format, event: &Event) -> String {
    let line = format.line(&sealed(event)).unwrap().unwrap();
    assert!(!line.contains(['\n', '\r']), "{line:?}");
    line
}

fn hostile(text: &str) -> Event {
    let mut event = event(1);
    event.agent = Some(text.into());
    event.who.id = text.into();
    event.who.actors = vec![Actor { id: "agent-7".into() }];
    event.who.issuer = Some("https://idp.example".into());
    event.who.subject = Some("00u1".into());
    event.decision.reason = text.to_owned().into();
    event.kind = Kind::Tool {
        tool: ToolName::new("tracker__get_issue"),
        arguments: Digest::from_bytes([3; 32]),
        cause: None,
        grant: None,
        result: None,
    };
    event
}

/// Takes a CEF line apart by the rules of its specification: header fields, then pairs.
fn read_cef(line: &str) -> (Vec<String>, Vec<(String, String)>) {
    let (mut fields, mut field, mut escaped) = (Vec::new(), String::new(), false);
    let mut rest = line.char_indices();
    while fields.len() < 7 {
        let (_, c) = rest.next().expect("a header of seven fields");
        match c {
            _ if escaped => {
                assert!(matches!(c, '\\' | '|'), "escaped {c:?} in {line}");
                field.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '|' => fields.push(std::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    let extension = rest.as_str();
    // Every `=` that is not escaped follows a key, which follows a space.
    let bytes = extension.as_bytes();
    let at: Vec<usize> = (0..bytes.len())
        .filter(|&at| {
            let before = bytes[..at].iter().rev().take_while(|byte| **byte == b'\\').count();
            bytes[at] == b'=' && before % 2 == 0
        })
        .collect();
    let starts: Vec<usize> =
        at.iter().map(|&at| extension[..at].rfind(' ').map_or(0, |space| space + 1)).collect();
    let pairs = at.iter().enumerate().map(|(n, &at)| {
        let end = starts.get(n + 1).map_or(extension.len(), |next| next - 1);
        (extension[starts[n]..at].to_owned(), unescape(&extension[at + 1..end]))
    });
    (fields, pairs.collect())
}

fn unescape(value: &str) -> String {
    let (mut text, mut chars) = (String::new(), value.chars());
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => text.push('\n'),
                Some('r') => text.push('\r'),
                Some(c @ ('\\' | '=')) => text.push(c),
                other => panic!("escaped {other:?} in {value:?}"),
            },
            c => text.push(c),
        }
    }
    text
}

const HOSTILE: [&str; 7] = [
    "plain",
    "a|b\\c=d",
    "two\nlines\r\nof text",
    "=cmd|'/c calc'!A1",
    "quote\"s, and commas",
    " act=allow outcome=completed",
    "ends in \\",
];

#[test]
fn cef_escapes_so_that_nothing_passes_for_another_field() {
    for text in HOSTILE {
        let (header, pairs) = read_cef(&line(Format::Cef, &hostile(text)));
        assert_eq!(header[..3], ["CEF:0", "Doorward", "Doorward"]);
        assert_eq!(header[4..], ["tool.completed", "tool call", "2"]);
        let of = |key: &str| {
            let mut found = pairs.iter().filter(|(known, _)| known == key);
            let value = found.next().map(|(_, value)| value.as_str());
            assert!(found.next().is_none(), "{key} twice for {text:?}");
            value
        };
        assert_eq!(of("suser"), Some(text));
        assert_eq!(of("msg"), Some(text));
        assert_eq!((of("act"), of("outcome")), (Some("allow"), Some("completed")));
        assert_eq!((of("cs1"), of("cs1Label")), (Some("key.models"), Some("rule")));
        assert_eq!(of("suid"), Some("00u1"));
    }
    let mut event = event(1);
    event.kind =
        Kind::Admin { action: "a|b\\c".into(), object: "x".into(), change: Change::default() };
    let (header, _) = read_cef(&line(Format::Cef, &event));
    assert_eq!(header[5], "admin a|b\\c");
}

/// Takes a row of RFC 4180 apart.
fn read_csv(line: &str) -> Vec<String> {
    let (mut cells, mut rest) = (Vec::new(), line);
    loop {
        let mut cell = String::new();
        if let Some(quoted) = rest.strip_prefix('"') {
            rest = quoted;
            loop {
                let at = rest.find('"').expect("a closing quote");
                cell.push_str(&rest[..at]);
                rest = &rest[at + 1..];
                let Some(more) = rest.strip_prefix('"') else { break };
                cell.push('"');
                rest = more;
            }
        } else {
            let at = rest.find(',').unwrap_or(rest.len());
            cell.push_str(&rest[..at]);
            assert!(!cell.contains('"'), "{line}");
            rest = &rest[at..];
        }
        cells.push(cell);
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => return cells,
        }
    }
}

#[test]
fn csv_rows_have_a_cell_for_every_column_and_compute_nothing() {
    let header = Format::Csv.header();
    let columns = read_csv(header.trim_end());
    for text in HOSTILE {
        let cells = read_csv(&line(Format::Csv, &hostile(text)));
        assert_eq!(cells.len(), columns.len());
        let of = |name: &str| &*cells[columns.iter().position(|known| known == name).unwrap()];
        let flat = text.replace(['\r', '\n'], " ");
        let shown = if text.starts_with('=') { format!("'{flat}") } else { flat };
        assert_eq!((of("principal"), of("reason")), (&*shown, &*shown));
        assert_eq!((of("kind"), of("object")), ("tool", "tracker__get_issue"));
        assert_eq!((of("issuer"), of("actors")), ("https://idp.example", "agent-7"));
        assert_eq!(of("seq"), "1");
        assert!(!cells.iter().any(|cell| cell.starts_with(['=', '+', '-', '@'])));
    }
    let cells = read_csv(&line(Format::Csv, &event(1)));
    assert_eq!(cells[25..27], ["1001", "250"]);
}

#[test]
fn ocsf_events_have_what_the_class_requires() {
    let mut denied = hostile("no");
    denied.decision = Decision { effect: Effect::Deny, ..denied.decision };
    denied.outcome = Outcome::Denied;
    let mut admin = event(2);
    admin.kind =
        Kind::Admin { action: "key.revoke".into(), object: "ci".into(), change: Change::default() };
    admin.who.kind = PrincipalKind::Service;
    for (event, type_uid, status, action) in
        [(event(1), 600_399, 1, 1), (denied, 600_399, 2, 2), (admin, 600_304, 1, 1)]
    {
        let json: Value = serde_json::from_str(&line(Format::Ocsf, &event)).unwrap();
        // Required by base event and class; the type is class and activity.
        assert_eq!((&json["category_uid"], &json["class_uid"]), (&6.into(), &6003.into()));
        assert_eq!(json["type_uid"], type_uid);
        assert_eq!(json["activity_id"], type_uid - 600_300);
        assert_eq!(json["time"], event.at.as_micros() / 1000);
        assert!(json["severity_id"].is_u64() && json["src_endpoint"]["name"].is_string());
        assert!(json["metadata"]["version"].is_string());
        assert_eq!(json["metadata"]["product"]["vendor_name"], "Doorward");
        assert!(json["api"]["operation"].is_string());
        assert_eq!(json["actor"]["user"]["uid"], &*event.who.id);
        assert_eq!((&json["status_id"], &json["action_id"]), (&status.into(), &action.into()));
        assert_eq!(json["metadata"]["correlation_uid"], event.turn.to_string());
    }
}

#[test]
fn jsonl_is_the_line_of_an_export() {
    let json: Value = serde_json::from_str(&line(Format::Jsonl, &event(1))).unwrap();
    assert_eq!(json["entry"]["event"]["agent"], "assistant");
    let mut bare = sealed(&event(1));
    bare.entry.clear();
    assert!(Format::Jsonl.line(&bare).unwrap().is_some());
    for format in [Format::Csv, Format::Cef, Format::Ocsf] {
        assert_eq!(format.line(&bare).unwrap(), None);
    }
    for (text, format) in [("csv", Some(Format::Csv)), ("xml", None)] {
        assert_eq!(text.parse().ok(), format);
    }
}
