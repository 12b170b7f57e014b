//! Counting a prompt's tokens (<https://docs.anthropic.com/en/api/messages-count-tokens>).

use bytes::{Bytes, BytesMut};
use doorward_core::ModelCall;
use serde::Deserialize;

use super::compose;
use crate::emit;
use crate::json::{Source, Whole};
use crate::splice::Edits;
use crate::{Counting, Destination, ReadError, WriteError, Written};

/// Fields that make sense only where something is to be answered: refused here.
const OF_ANSWERS: [&str; 9] = [
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "stream",
    "metadata",
    "service_tier",
    "container",
];

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct CountTokens;

#[derive(Deserialize)]
struct CountIn {
    input_tokens: Whole,
}

impl Counting for CountTokens {
    fn write_call(&self, call: &ModelCall, to: &Destination<'_>) -> Result<Written, WriteError> {
        let Written { body, dropped } = compose::write(call, to)?;
        let broken =
            |_: ReadError| WriteError { path: String::new(), reason: "the body is not its own" };
        let source = Source::new(&body).map_err(broken)?;
        let members = source.members().map_err(broken)?;
        let mut edits = Edits::default();
        edits.remove_members(source, &members, |member| OF_ANSWERS.contains(&&*member.name));
        let body = edits.apply(&body);
        Ok(Written { body, dropped })
    }

    fn read_count(&self, body: &[u8]) -> Result<u64, ReadError> {
        let CountIn { input_tokens: Whole(tokens) } = Source::new(body)?.whole()?;
        Ok(tokens)
    }

    fn write_count(&self, tokens: u64) -> Bytes {
        let mut out = BytesMut::new();
        emit::object(&mut out, |body| body.value("input_tokens", tokens));
        out.freeze()
    }
}
