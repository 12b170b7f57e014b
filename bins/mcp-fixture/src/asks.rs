//! Questions to the client, asked in the way of its era: as requests of the server by the older
//! protocol, as an answer that needs input by the newer one.

#![expect(deprecated, reason = "sampling and roots are asked for where the client has them")]

use std::collections::BTreeMap;

use rmcp::model::{
    CallToolRequestParams, ClientCapabilities, GetPromptRequestParams, InputRequest,
    InputRequiredResult, InputResponses, RequestStateCodec, ServerRequest,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer};
use serde_json::{Value, json};

use crate::fixture::{is_modern, made};

/// It protects no one: every fixture has the same.
const STATE_KEY: &[u8] = b"a key of thirty-two bytes or more";

/// Questions by their keys.
pub(crate) type Questions = BTreeMap<String, Value>;

/// What a request brings from an earlier round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Round {
    pub(crate) responses: InputResponses,
    pub(crate) state: Option<String>,
}

impl Round {
    pub(crate) fn of_call(params: &CallToolRequestParams) -> Self {
        Self {
            responses: params.input_responses.clone().unwrap_or_default(),
            state: params.request_state.clone(),
        }
    }

    pub(crate) fn of_prompt(params: &GetPromptRequestParams) -> Self {
        Self {
            responses: params.input_responses.clone().unwrap_or_default(),
            state: params.request_state.clone(),
        }
    }

    /// The state of the earlier round, if there is one.
    ///
    /// # Errors
    /// It was changed on the way.
    pub(crate) fn opened(&self) -> Result<Option<String>, ErrorData> {
        let Some(state) = &self.state else { return Ok(None) };
        let changed = || ErrorData::invalid_params("the request state was changed", None);
        let bytes = codec().open(state).map_err(|_| changed())?;
        String::from_utf8(bytes).map(Some).map_err(|_| changed())
    }
}

fn codec() -> RequestStateCodec {
    RequestStateCodec::new(STATE_KEY)
}

/// Everything is answered, or the client has to be asked.
pub(crate) enum Gathered {
    Answers(BTreeMap<String, Value>),
    Required(InputRequiredResult),
}

/// A question for the user with one text field.
pub(crate) fn question(message: &str, field: &str) -> Value {
    form(message, &json!({ field: { "type": "string" } }), &[field])
}

/// A question for the user with fields.
pub(crate) fn form(message: &str, properties: &Value, required: &[&str]) -> Value {
    let mut schema = json!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    let params = json!({ "mode": "form", "message": message, "requestedSchema": schema });
    json!({ "method": "elicitation/create", "params": params })
}

/// A question for the model.
pub(crate) fn sampling(text: &str, most: u32) -> Value {
    let message = json!({ "role": "user", "content": { "type": "text", "text": text } });
    json!({
        "method": "sampling/createMessage",
        "params": { "messages": [message], "maxTokens": most },
    })
}

/// The question for the roots.
pub(crate) fn roots() -> Value {
    json!({ "method": "roots/list", "params": {} })
}

/// Gets the answers. `state` is what the next round has to bring back.
///
/// # Errors
/// The client lacks a capability, or answers with an error.
pub(crate) async fn gather(
    cx: &RequestContext<RoleServer>,
    questions: Questions,
    round: &Round,
    state: Option<&str>,
) -> Result<Gathered, ErrorData> {
    let capabilities = cx.client_capabilities().unwrap_or_default();
    if let Some(lacking) = questions.values().find_map(|question| lacking(&capabilities, question))
    {
        return Err(ErrorData::missing_required_client_capability(lacking));
    }
    if is_modern(cx) {
        return required(questions, round, state);
    }
    let mut answers = BTreeMap::new();
    for (key, question) in questions {
        answers.insert(key, ask_now(cx, question).await?);
    }
    Ok(Gathered::Answers(answers))
}

/// What the client would need for a question, where it has not declared it.
pub(crate) fn lacking(
    capabilities: &ClientCapabilities,
    question: &Value,
) -> Option<ClientCapabilities> {
    let needed = ClientCapabilities::builder();
    match question["method"].as_str() {
        Some("elicitation/create") if capabilities.elicitation.is_none() => {
            Some(needed.enable_elicitation().build())
        }
        Some("sampling/createMessage") if capabilities.sampling.is_none() => {
            Some(needed.enable_sampling().build())
        }
        Some("roots/list") if capabilities.roots.is_none() => Some(needed.enable_roots().build()),
        _ => None,
    }
}

fn required(
    questions: Questions,
    round: &Round,
    state: Option<&str>,
) -> Result<Gathered, ErrorData> {
    let mut answers = BTreeMap::new();
    let mut open = BTreeMap::<String, InputRequest>::new();
    for (key, question) in questions {
        match round.responses.get(&key) {
            Some(answer) if answer.is_object() => {
                answers.insert(key, answer.clone());
            }
            _ => {
                open.insert(key, made(question)?);
            }
        }
    }
    if open.is_empty() {
        return Ok(Gathered::Answers(answers));
    }
    let state = state.map(|state| codec().seal(state.as_bytes()));
    Ok(Gathered::Required(InputRequiredResult::new(Some(open), state)))
}

async fn ask_now(cx: &RequestContext<RoleServer>, question: Value) -> Result<Value, ErrorData> {
    let request = match made(question)? {
        InputRequest::CreateMessage(request) => ServerRequest::CreateMessageRequest(request),
        InputRequest::Elicitation(request) => ServerRequest::ElicitRequest(request),
        InputRequest::ListRoots(request) => ServerRequest::ListRootsRequest(request),
        _ => return Err(ErrorData::internal_error("a question of an unknown kind", None)),
    };
    let answer = cx.peer.send_request(request).await;
    let answer = answer.map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
    serde_json::to_value(answer).map_err(|error| ErrorData::internal_error(error.to_string(), None))
}
