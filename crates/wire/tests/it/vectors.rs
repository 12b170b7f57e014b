//! Embeddings.

use bytes::Bytes;
use doorward_core::{EmbedInput, EmbedReply};
use doorward_wire::{
    BedrockEmbeddings, CohereEmbeddings, CohereOnBedrock, Destination, Embedded, Embeddings,
    OllamaEmbeddings, TitanEmbeddings,
};

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn text(bytes: &Bytes) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

const TITAN: &str =
    r#"{"embedding":[0.5,-1],"inputTextTokenCount":3,"embeddingsByType":{"float":[0.5,-1]}}"#;
const COHERE: &str = r#"{"id":"x","embeddings":{"float":[[0.5,-1],[1,2]]},"texts":["a","b"],"meta":{"billed_units":{"input_tokens":4}},"response_type":"embeddings_by_type"}"#;
const COHERE_V3: &str =
    r#"{"embeddings":[[0.5,-1],[1,2]],"id":"x","response_type":"embeddings_floats","texts":[]}"#;
const OLLAMA: &str = r#"{"model":"nomic","embeddings":[[0.5,-1]],"prompt_eval_count":5}"#;

#[test]
fn replies_are_read() {
    let one = vec![vec![0.5, -1.0]];
    let two = vec![vec![0.5, -1.0], vec![1.0, 2.0]];
    for (wire, body, vectors, input) in [
        (&TitanEmbeddings as &dyn Embeddings, TITAN, &one, Some(3)),
        (&BedrockEmbeddings, TITAN, &one, Some(3)),
        (&BedrockEmbeddings, COHERE_V3, &two, None),
        (&CohereOnBedrock, COHERE_V3, &two, None),
        (&CohereOnBedrock, COHERE, &two, Some(4)),
        (&CohereEmbeddings, COHERE, &two, Some(4)),
        (&OllamaEmbeddings, OLLAMA, &one, Some(5)),
    ] {
        let reply = wire.read_reply(bytes(body)).unwrap();
        assert_eq!(&reply.vectors, vectors, "{wire:?} {body}");
        assert_eq!(reply.usage.map(|usage| usage.input), input, "{wire:?} {body}");
        assert_eq!(reply.raw.as_deref(), Some(body.as_bytes()));
        assert!(wire.read_reply(bytes(r#"{"message":"no"}"#)).is_err(), "{wire:?}");
        assert!(wire.read_reply(bytes("[1")).is_err(), "{wire:?}");
    }
}

fn told(wire: &dyn Embeddings, reply: &EmbedReply, model: &str, base64: bool) -> String {
    text(&wire.write_reply(&Embedded { reply, model, base64 })).to_owned()
}

#[test]
fn replies_are_written_so_that_they_can_be_read() {
    let reply = CohereEmbeddings.read_reply(bytes(COHERE)).unwrap();
    for wire in [&CohereEmbeddings as &dyn Embeddings, &CohereOnBedrock, &OllamaEmbeddings] {
        let again = wire.read_reply(told(wire, &reply, "m", false).into()).unwrap();
        assert_eq!((again.vectors, again.usage), (reply.vectors.clone(), reply.usage), "{wire:?}");
    }
    let one = OllamaEmbeddings.read_reply(bytes(OLLAMA)).unwrap();
    assert_eq!(
        told(&BedrockEmbeddings, &one, "amazon.titan", false),
        r#"{"embedding":[0.5,-1],"inputTextTokenCount":5}"#
    );
    assert!(told(&BedrockEmbeddings, &one, "cohere.embed", false).contains("embeddings_by_type"));
    // Little-endian `f32`: 0000003f 000080bf.
    assert!(told(&CohereEmbeddings, &one, "m", true).contains(r#""base64":["AAAAPwAAgL8="]"#));
}

#[test]
fn calls_cross_with_what_can_be_said() {
    let body = r#"{"model":"m","texts":["a"],"input_type":"search_query","embedding_types":["float"],"output_dimension":256,"truncate":"END"}"#;
    let call = CohereEmbeddings.read_call(bytes(body)).unwrap();
    assert_eq!(call.input, [EmbedInput::Text("a".into())]);
    for (wire, expected, dropped) in [
        (
            &TitanEmbeddings as &dyn Embeddings,
            r#"{"inputText":"a","dimensions":256}"#,
            vec!["truncate", "input_type"],
        ),
        (
            &CohereOnBedrock,
            r#"{"texts":["a"],"input_type":"search_query","embedding_types":["float"],"output_dimension":256}"#,
            vec!["truncate"],
        ),
        (
            &OllamaEmbeddings,
            r#"{"model":"there","input":["a"],"dimensions":256}"#,
            vec!["truncate", "input_type"],
        ),
    ] {
        let written = wire.write_call(&call, &Destination::new("there")).unwrap();
        assert_eq!(text(&written.body), expected);
        let paths: Vec<&str> = written.dropped.iter().map(|it| it.path.as_str()).collect();
        assert_eq!(paths, dropped, "{wire:?}");
    }
    let same = CohereEmbeddings.write_call(&call, &Destination::new("there")).unwrap();
    assert_eq!(text(&same.body), body.replace(r#""m""#, r#""there""#));
}

#[test]
fn wrong_calls_name_the_place() {
    for (wire, body, place) in [
        (&TitanEmbeddings as &dyn Embeddings, r#"{"inputText":5}"#, "inputText: "),
        (&CohereEmbeddings, r#"{"model":"m","texts":["a",5]}"#, "texts[1]: "),
        (&CohereEmbeddings, r#"{"model":"m","images":["x"]}"#, "texts: missing"),
        (
            &CohereEmbeddings,
            r#"{"model":"m","texts":[],"embedding_types":["int8"]}"#,
            "embedding_types: ",
        ),
        (&OllamaEmbeddings, r#"{"model":"m"}"#, "input: missing"),
    ] {
        let error = wire.read_call(bytes(body)).unwrap_err().to_string();
        assert!(error.starts_with(place), "{error}");
    }
}
