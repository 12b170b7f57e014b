//! Requests: every case in `testdata/calls`.

use std::fmt::Write;

use bytes::Bytes;
use doorward_wire::Destination;
use serde_json::Value;

use crate::cases::{all, speak};

const BOTH: [&str; 2] = ["openai-chat", "anthropic-messages"];

#[test]
fn every_call_is_written_as_its_case_says() {
    for case in all("calls") {
        let (words, text) = case.from();
        let body = Bytes::copy_from_slice(text.as_bytes());
        let mut actual = Vec::new();
        match speak(words[0]).read_call(body.clone()) {
            Err(error) => actual.push(("refused".to_owned(), format!("{error}\n"))),
            Ok(call) => {
                for name in BOTH {
                    let to = Destination { model: "there/model", ask_usage: false };
                    let written = match speak(name).write_call(&call, &to) {
                        Ok(written) => written,
                        Err(error) => {
                            actual.push((format!("refused {name}"), format!("{error}\n")));
                            continue;
                        }
                    };
                    if name == words[0] {
                        let same = text.replacen("\"here\"", "\"there/model\"", 1);
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
