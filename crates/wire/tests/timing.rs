//! x
use bytes::*;
use doorward_wire::*;
use std::time::Instant;
fn time(name: &str, n: u32, mut f: impl FnMut()) {
    for _ in 0..n / 10 {
        f();
    }
    let mut best = f64::MAX;
    for _ in 0..5 {
        let t = Instant::now();
        for _ in 0..n {
            f();
        }
        best = best.min(t.elapsed().as_nanos() as f64 / n as f64);
    }
    println!("{name}: {best:.0} ns");
}
#[test]
fn timing() {
    let text = "The quick brown fox jumps over the lazy dog. ".repeat(15);
    let body = Bytes::from(format!(
        r#"{{"model":"gpt-5-mini","messages":[{{"role":"system","content":"You are helpful."}},{{"role":"user","content":"{text}"}}],"temperature":0.7,"max_tokens":256,"stream":true,"tools":[{{"type":"function","function":{{"name":"get","description":"Gets","parameters":{{"type":"object","properties":{{"q":{{"type":"string"}}}}}}}}}}]}}"#
    ));
    println!("body {} bytes", body.len());
    time("chat read_call 1KiB", 100_000, || {
        std::hint::black_box(OpenAiChat.read_call(body.clone()).unwrap());
    });
    let call = OpenAiChat.read_call(body.clone()).unwrap();
    time("chat write_call same + ask_usage", 100_000, || {
        std::hint::black_box(
            OpenAiChat.write_call(&call, &Destination { model: "gpt-5", ask_usage: true }).unwrap(),
        );
    });
    time("chat->anthropic write_call", 100_000, || {
        std::hint::black_box(
            AnthropicMessages
                .write_call(&call, &Destination { model: "claude", ask_usage: true })
                .unwrap(),
        );
    });
    let big = Bytes::from(format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":"{}"}}]}}"#,
        "The quick brown fox\\n jumps. ".repeat(2340)
    ));
    println!("big {} bytes", big.len());
    time("chat read_call 64KiB one text", 5_000, || {
        std::hint::black_box(OpenAiChat.read_call(big.clone()).unwrap());
    });
    let msgs: Vec<String> = (0..50).map(|i| if i % 3 == 1 { format!(r#"{{"role":"assistant","content":[{{"type":"text","text":"{t}"}},{{"type":"tool_use","id":"toolu_{i}","name":"read","input":{{"path":"/a/b","n":{i}}}}}]}}"#, t = &text[..600]) } else { format!(r#"{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"toolu_{i}","content":[{{"type":"text","text":"{t}"}}]}}]}}"#, t = &text[..600]) }).collect();
    let schema = format!(
        r#"{{"type":"object","properties":{{{}}}}}"#,
        (0..12)
            .map(|i| format!(
                r#""p{i}":{{"type":"string","description":"a property that says something {i}"}}"#
            ))
            .collect::<Vec<_>>()
            .join(",")
    );
    let tools: Vec<String> = (0..25)
        .map(|i| {
            format!(r#"{{"name":"t{i}","description":"{}","input_schema":{schema}}}"#, &text[..500])
        })
        .collect();
    let cc = Bytes::from(format!(
        r#"{{"model":"m","max_tokens":100,"stream":true,"messages":[{}],"tools":[{}]}}"#,
        msgs.join(","),
        tools.join(",")
    ));
    println!("agent {} bytes", cc.len());
    time("messages read_call agent body", 5_000, || {
        std::hint::black_box(AnthropicMessages.read_call(cc.clone()).unwrap());
    });
    time("  skip pass", 5_000, || {
        std::hint::black_box(serde_json::from_slice::<&serde_json::value::RawValue>(&cc).unwrap());
    });
    time("  utf8", 5_000, || {
        std::hint::black_box(std::str::from_utf8(&cc).unwrap());
    });
    time("  value", 500, || {
        std::hint::black_box(serde_json::from_slice::<serde_json::Value>(&cc).unwrap());
    });
    time("  copy", 5_000, || {
        std::hint::black_box(cc.to_vec());
    });
    let mut c2 = AnthropicMessages.read_call(cc.clone()).unwrap();
    time("messages write_call same", 5_000, || {
        std::hint::black_box(
            AnthropicMessages
                .write_call(&c2, &Destination { model: "x", ask_usage: false })
                .unwrap(),
        );
    });
    c2.tools[3].hidden = true;
    time("messages write_call same, one hidden", 5_000, || {
        std::hint::black_box(
            AnthropicMessages
                .write_call(&c2, &Destination { model: "x", ask_usage: false })
                .unwrap(),
        );
    });
    let chunk = Bytes::from_static(b"data: {\"id\":\"chatcmpl-9Zq1\",\"object\":\"chat.completion.chunk\",\"created\":1700000001,\"model\":\"gpt-5-mini-2025\",\"system_fingerprint\":\"fp_1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" hello\"},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n");
    let mut reader = OpenAiChat.reader(true);
    let mut frames = Vec::new();
    let mut writer = OpenAiChat.writer(WriterOptions {
        streaming: true,
        same_dialect: true,
        ..Default::default()
    });
    let mut out = BytesMut::with_capacity(1 << 20);
    time("chat frame read", 200_000, || {
        reader.push(chunk.clone(), &mut frames).unwrap();
        frames.clear();
    });
    time("chat frame read + write same", 200_000, || {
        reader.push(chunk.clone(), &mut frames).unwrap();
        for f in frames.drain(..) {
            writer.write(&f, &mut out);
        }
        out.clear();
    });
    let mut w2 = AnthropicMessages.writer(WriterOptions { streaming: true, ..Default::default() });
    time("chat frame read + write as messages", 200_000, || {
        reader.push(chunk.clone(), &mut frames).unwrap();
        for f in frames.drain(..) {
            w2.write(&f, &mut out);
        }
        out.clear();
    });
    let chunk = Bytes::from_static(b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\" hello\"}}\n\n");
    let mut reader = AnthropicMessages.reader(true);
    let mut w3 = AnthropicMessages.writer(WriterOptions {
        streaming: true,
        same_dialect: true,
        ..Default::default()
    });
    time("messages frame read", 200_000, || {
        reader.push(chunk.clone(), &mut frames).unwrap();
        frames.clear();
    });
    time("messages frame read + write same", 200_000, || {
        reader.push(chunk.clone(), &mut frames).unwrap();
        for f in frames.drain(..) {
            w3.write(&f, &mut out);
        }
        out.clear();
    });
}
