//! Requests: every case in `testdata/calls`.

use std::fmt::Write;

use bytes::Bytes;
use doorward_core::Message;
use doorward_wire::Destination;
use serde_json::Value;

use crate::cases::{all, speak, spoken};

#[test]
fn every_call_is_written_as_its_case_says() {
    for case in all("calls") {
        let (words, text) = case.from();
        let body = Bytes::copy_from_slice(text.as_bytes());
        let mut actual = Vec::new();
        match speak(words[0]).read_call(body.clone()) {
            Err(error) => actual.push(("refused".to_owned(), format!("{error}\n"))),
            Ok(call) => {
                for name in spoken() {
                    // `from DIALECT to MODEL` in a case's title.
                    let model = words.get(2).copied().unwrap_or("there/model");
                    let to = Destination::new(model);
                    let written = match speak(name).write_call(&call, &to) {
                        Ok(written) => written,
                        Err(error) => {
                            actual.push((format!("refused {name}"), format!("{error}\n")));
                            continue;
                        }
                    };
                    // `anew`: even its own dialect needs it written anew.
                    let anew = words.get(1) == Some(&"anew") || !written.dropped.is_empty();
                    if name == words[0] && !anew {
                        let same = text.replacen("\"here\"", &format!("\"{model}\""), 1);
                        assert_eq!(written.body, same, "{}: byte for byte", case.name());
                        continue;
                    }
                    let mut out = format!("{}\n", std::str::from_utf8(&written.body).unwrap());
                    assert!(serde_json::from_str::<Value>(&out).is_ok(), "{out}");
                    for dropped in &written.dropped {
                        writeln!(out, "dropped {}: {}", dropped.path, dropped.reason).unwrap();
                    }
                    actual.push((format!("to {name}"), out));
                    let back = speak(name).read_call(written.body);
                    assert!(back.is_ok(), "{}: what is written can be read", case.name());
                }
            }
        }
        case.check(&actual);
    }
}

/// A piece that is not known makes the reader take its careful way through everything else.
#[test]
fn both_ways_of_reading_give_the_same_call() {
    for case in all("calls") {
        let (words, text) = case.from();
        if !matches!(words[0], "openai-chat" | "anthropic-messages") {
            // One way only.
            continue;
        }
        let dialect = speak(words[0]);
        let read = |body: String| dialect.read_call(Bytes::from(body));
        let Ok(quick) = read(text.to_owned()) else { continue };
        let (field, extra) = match words[0] {
            "gemini" => ("\"contents\"", r#"{"parts":[{"hologram":{"not":"text"}}]},"#),
            name => (
                if name == "openai-responses" { "\"input\"" } else { "\"messages\"" },
                r#"{"role":"user","content":[{"type":"hologram","text":{"not":"text"}}]},"#,
            ),
        };
        let Some(first) = text.find(field) else { continue };
        let value = first + text[first..].find(':').unwrap() + 1;
        if !text[value..].trim_start().starts_with('[') {
            continue;
        }
        let first = value + text[value..].find('[').unwrap() + 1;
        let mut careful = read(format!("{}{extra}{}", &text[..first], &text[first..])).unwrap();
        let at = careful.messages.len() - quick.messages.len();
        let lead = ["\"system\":", "\"system_instruction\":", "\"instructions\":"];
        let system = words[0] != "openai-chat" && lead.iter().any(|lead| text.contains(lead));
        careful.messages.remove(if system { at } else { 0 });
        let debug = |messages: &[Message]| format!("{messages:#?}");
        assert_eq!(debug(&careful.messages), debug(&quick.messages), "{}", case.name());
        assert_eq!(format!("{:?}", careful.tools), format!("{:?}", quick.tools), "{}", case.name());
    }
}
