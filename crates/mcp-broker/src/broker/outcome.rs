//! What a server answered, as the catalogue tells it: freed of what only one era knows.

use doorward_core::{Exchange, Manner, RpcFault, Stage, ToolReply};
use serde_json::value::RawValue;

use crate::edit;
use crate::envelope::RpcError;
use crate::protocol::code;
use crate::upstream::{self, Failure};

/// A result, and how far it brings its request.
pub(super) fn read(result: Box<RawValue>, exchange: &Exchange) -> Result<ToolReply, Failure> {
    const INPUT: &str = "The server asks for further input (elicitation, sampling or roots), \
        which this client does not take. The call did not complete.";

    let reply = upstream::neutral(result)?;
    match reply.stage {
        Stage::Complete | Stage::Fault => Ok(reply),
        Stage::InputRequired => {
            let client = exchange.client.as_ref();
            if client.is_none_or(|client| client.manner() != Manner::Rounds) {
                return Ok(ToolReply::error(INPUT));
            }
            plain(reply)
        }
        Stage::Task => plain(reply),
    }
}

/// Without the word that the stage says already.
fn plain(mut reply: ToolReply) -> Result<ToolReply, Failure> {
    const WRONG: Failure = Failure::Nonsense("answered with something that is no result");
    let text = edit::without(reply.result.get(), &["resultType"]).ok_or(WRONG)?.into_owned();
    reply.result = RawValue::from_string(text).map_err(|_| WRONG)?;
    Ok(reply)
}

/// A server's refusal, in its own words.
pub(super) fn fault(error: &RpcError) -> ToolReply {
    // What is wrong between us and the server is not the client's doing, and these codes would
    // tell it that it were.
    let ours = [code::HEADER_MISMATCH, code::VERSION_NOT_SERVED];
    let code = if ours.contains(&error.code) { code::INTERNAL } else { error.code };
    ToolReply::fault(&RpcFault { code, ..error.fault() })
}

/// That a result was larger than may be taken from its server.
pub(super) fn too_large(limit: usize) -> String {
    format!(
        "The result is larger than {limit} bytes, the most that is taken from this server. \
         Ask for less: a part, a page or a summary."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.into()).unwrap()
    }

    fn told(text: &str) -> ToolReply {
        read(raw(text), &Exchange::default()).unwrap()
    }

    #[test]
    fn who_takes_no_rounds_gets_none() {
        let reply = told(r#"{"resultType":"input_required","requestState":"x"}"#);
        assert!(reply.is_error && reply.stage == Stage::Complete);
    }

    #[test]
    fn codes_of_the_wire_stay_on_it() {
        for (theirs, told) in [(-32602, -32602), (-32020, -32603), (-32022, -32603), (7, 7)] {
            let error = r#"{"code":CODE,"message":"m","data":{"x":1.0}}"#;
            let error = error.replace("CODE", &theirs.to_string());
            let reply = fault(&serde_json::from_str(&error).unwrap());
            assert_eq!(reply.stage, Stage::Fault);
            let result = reply.result.get();
            assert!(result.contains(&format!(r#""code":{told}"#)), "{result}");
            assert!(result.contains(r#""data":{"x":1.0}"#), "{result}");
        }
    }
}
