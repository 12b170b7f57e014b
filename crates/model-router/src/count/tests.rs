use std::sync::Arc;

use bytes::Bytes;
use doorward_core::{BoxFuture, Code, Message, Models, Principal, RequestId, Role, TurnId};
use doorward_wire::{Dialect, OpenAiChat, ReadError, Written};

use super::*;
use crate::address::Address;
use crate::{Inbound, NoCredentials, Provider, Transport, TransportError, Upstream};

#[test]
fn an_estimate_is_near_what_tokenizers_count() {
    for (said, tokens) in
        [("", 4), ("The quick brown fox jumps over the lazy dog.", 15), ("日本語のテキスト", 12)]
    {
        let messages = vec![Message::text(Role::User, said)];
        let call = ModelCall { messages, ..ModelCall::default() };
        assert_eq!(estimate(&call), tokens, "{said}");
    }
}

#[test]
fn a_hidden_tool_is_not_counted() {
    let body = r#"{"model":"m","messages":[],"tools":[{"type":"function","function":
        {"name":"look_it_up","description":"Finds things.","parameters":{"type":"object"}}}]}"#;
    let mut call = OpenAiChat.read_call(body.into()).unwrap();
    let seen = estimate(&call);
    assert!(seen > TOOL);
    call.tools[0].hidden = true;
    assert_eq!(estimate(&call), 0);
}

/// A count is asked for by the model's name and told as a bare number.
#[derive(Debug)]
struct Bare;

impl Counting for Bare {
    fn write_call(&self, _: &ModelCall, to: &Destination<'_>) -> Result<Written, WriteError> {
        Ok(Written { body: Bytes::from(to.model.to_owned()), dropped: vec![] })
    }

    fn read_count(&self, body: &[u8]) -> Result<u64, ReadError> {
        str::from_utf8(body).ok().and_then(|text| text.parse().ok()).ok_or(ReadError::Cut)
    }

    fn write_count(&self, tokens: u64) -> Bytes {
        tokens.to_string().into()
    }
}

#[derive(Debug)]
struct Answering(u16, &'static str);

impl Transport for Answering {
    fn send(&self, request: Outbound) -> BoxFuture<'_, Result<Inbound, TransportError>> {
        assert_eq!(request.uri(), "http://up/v1/count");
        assert_eq!(request.body(), "m");
        let answer = Inbound::whole(self.0, self.1);
        Box::pin(async move { Ok(answer) })
    }
}

#[tokio::test]
async fn the_upstream_counts_and_where_it_cannot_there_is_an_estimate() {
    for (status, body, found) in [
        (200, "77", Ok((77, false))),
        (503, "{}", Ok((5, true))),
        (404, "{}", Ok((5, true))),
        (200, "<html>", Ok((5, true))),
        (400, "{}", Err(Code::InvalidRequest)),
        (413, "{}", Err(Code::TooLarge)),
    ] {
        let provider = Provider::named("openai-compatible").unwrap();
        let mut upstream = Upstream::new("up", provider, Some("http://up/v1")).unwrap();
        let address = Address::new("http://up/v1/count".to_owned()).unwrap();
        upstream.endpoints[0].count = Some((address, &Bare));
        let router = Router::builder(Arc::new(Answering(status, body)), Arc::new(NoCredentials))
            .upstream(upstream)
            .build()
            .unwrap();
        let cx = Cx {
            turn: TurnId::from_bytes([0; 16]),
            request: RequestId::from_bytes([0; 16]),
            principal: Arc::new(Principal::person("alice@example.com")),
            agent: None,
            conversation_hint: None,
            deadline: None,
            trace: None,
            source: None,
        };
        let ask = r#"{"model":"up/m","messages":[{"role":"user","content":"hi"}]}"#;
        let counted = router.count(&cx, OpenAiChat.read_call(ask.into()).unwrap()).await;
        let counted = counted.map(|count| (count.input, count.estimated));
        assert_eq!(counted.map_err(|error| error.code), found, "{status} {body}");
    }
}
