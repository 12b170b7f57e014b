//! What clients wish of the routing.

use bytes::Bytes;
use doorward_core::{MaxPrice, Preferences, Sort};
use doorward_wire::{AnthropicMessages, Dialect, OpenAiChat};

fn read(dialect: &dyn Dialect, fields: &str) -> (String, Preferences) {
    let body = format!(r#"{{"model":"a/m","messages":[],{fields}}}"#);
    let call = dialect.read_call(Bytes::from(body)).unwrap();
    (call.model, call.preferences)
}

#[test]
fn wishes_are_read_alike_in_both_dialects() {
    let openrouter = r#""models":["b/n"],"provider":{"order":["x"],"only":["x","y"],"ignore":["z"],"allow_fallbacks":false,"require_parameters":true,"data_collection":"deny","zdr":true,"sort":{"by":"throughput"},"max_price":{"prompt":"1.5","completion":2}},"usage":{"include":true}"#;
    let vercel = r#""providerOptions":{"gateway":{"order":["x"],"only":["x"],"models":["b/n"],"sort":"ttft","zeroDataRetention":true,"disallowPromptTraining":true}}"#;
    for dialect in [&OpenAiChat as &dyn Dialect, &AnthropicMessages] {
        let (model, wishes) = read(dialect, openrouter);
        assert_eq!(model, "a/m");
        let expected = Preferences {
            models: vec!["b/n".into()],
            order: vec!["x".into()],
            only: vec!["x".into(), "y".into()],
            ignore: vec!["z".into()],
            allow_fallbacks: Some(false),
            sort: Some(Sort::Throughput),
            max_price: Some(MaxPrice { input: Some(1.5), output: Some(2.0) }),
            require: [("retention", "none"), ("training", "no")]
                .map(|(label, value)| (label.to_owned(), vec![value.to_owned()]))
                .into(),
            require_parameters: true,
            tell_cost: true,
        };
        assert_eq!(wishes, expected);
        let (_, wishes) = read(dialect, vercel);
        assert_eq!((wishes.sort, wishes.require.len()), (Some(Sort::Latency), 2));
        assert_eq!((wishes.models, wishes.only), (vec!["b/n".into()], vec!["x".into()]));
        assert!(read(dialect, r#""x":1"#).1.is_empty());
    }
}

#[test]
fn a_routing_variant_is_no_part_of_the_models_name() {
    for (name, model, sort) in [
        ("a/m:nitro", "a/m", Some(Sort::Throughput)),
        ("a/m:floor", "a/m", Some(Sort::Price)),
        ("llama3:8b", "llama3:8b", None),
        ("a/m:free", "a/m:free", None),
        (":nitro", ":nitro", None),
    ] {
        let body = format!(r#"{{"model":"{name}","messages":[]}}"#);
        let call = OpenAiChat.read_call(Bytes::from(body)).unwrap();
        assert_eq!((call.model.as_str(), call.preferences.sort), (model, sort));
        let to = doorward_wire::Destination::new(model);
        let out = OpenAiChat.write_call(&call, &to).unwrap().body;
        let plain = format!(r#"{{"model":"{model}","messages":[]}}"#);
        assert_eq!(out, plain, "the variant does not reach the upstream");
    }
}

#[test]
fn a_wish_of_the_wrong_kind_is_refused_at_its_place() {
    for (fields, problem) in [
        (r#""provider":{"order":"x"}"#, "provider.order: expected a sequence, found string"),
        (
            r#""provider":{"max_price":{"prompt":"-1"}}"#,
            "provider.max_price.prompt: expected a price in US dollars",
        ),
        (r#""models":[5]"#, "models[0]: expected a string, found integer"),
    ] {
        let body = format!(r#"{{"model":"m","messages":[],{fields}}}"#);
        let error = OpenAiChat.read_call(Bytes::from(body)).unwrap_err();
        assert_eq!(error.to_string(), problem);
    }
}

#[test]
fn a_prompt_is_counted_without_what_is_for_answers() {
    let counting = AnthropicMessages.counting().unwrap();
    let body = r#"{"model":"m","max_tokens":9,"temperature":1,"messages":[{"role":"user","content":"x"}],"stream":true}"#;
    let call = AnthropicMessages.read_call(Bytes::from(body)).unwrap();
    let to = doorward_wire::Destination::new("n");
    let out = counting.write_call(&call, &to).unwrap().body;
    assert_eq!(out, r#"{"model":"n","messages":[{"role":"user","content":"x"}]}"#);
    let chat = r#"{"model":"m","messages":[{"role":"user","content":"x"}]}"#;
    let call = OpenAiChat.read_call(Bytes::from(chat)).unwrap();
    assert_eq!(counting.write_call(&call, &to).unwrap().body, out);
    assert_eq!(counting.read_count(br#"{"input_tokens":12}"#).unwrap(), 12);
    assert!(counting.read_count(b"{}").is_err());
    assert_eq!(counting.write_count(12), r#"{"input_tokens":12}"#);
}
