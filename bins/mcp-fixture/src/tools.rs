//! The tools.

#![expect(deprecated, reason = "logging is served where a client asks for it")]

use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ClientCapabilities, ContentBlock,
    JsonObject, LoggingLevel, LoggingMessageNotificationParam, ProgressNotificationParam,
    ResourceContents,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer};
use serde_json::{Value, json};

use crate::asks::{self, Gathered, Questions, Round, gather, lacking, question, sampling};
use crate::catalogue::{PICTURE, SILENCE};
use crate::changes::Change;
use crate::fixture::{Fixture, is_modern};
use crate::tasks;

type Context = RequestContext<RoleServer>;
type Called = Result<CallToolResponse, ErrorData>;

const PAUSE: Duration = Duration::from_millis(50);

fn text(text: impl Into<String>) -> CallToolResponse {
    CallToolResult::success(vec![ContentBlock::text(text)]).into()
}

fn contents(all: Vec<ContentBlock>) -> CallToolResponse {
    CallToolResult::success(all).into()
}

fn resource(uri: &str, kind: &str, text: &str) -> ContentBlock {
    ContentBlock::resource(ResourceContents::text(text, uri).with_mime_type(kind))
}

fn word(arguments: &JsonObject, name: &str) -> String {
    arguments.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

impl Fixture {
    /// Calls a tool by its name.
    ///
    /// # Errors
    /// There is none of that name, or it fails as a server fails.
    pub(crate) async fn call(&self, request: CallToolRequestParams, cx: &Context) -> Called {
        let name = request.name.as_ref();
        let arguments = request.arguments.clone().unwrap_or_default();
        let round = Round::of_call(&request);
        match name {
            "greet"
            | "slow_compute"
            | "failing_job"
            | "protocol_error_job"
            | "confirm_delete"
            | "multi_input"
            | "test_tool_with_task" => self.call_job(name, &arguments, &round, cx).await,
            "remember"
            | "recall"
            | "process"
            | "wait"
            | "cancelled"
            | "touch"
            | "test_trigger_tool_change"
            | "test_trigger_prompt_change" => self.call_state(name, &arguments, cx).await,
            _ if name.starts_with("test_input_required_result_") => ask(name, &round, cx).await,
            "ask"
            | "sample"
            | "roots"
            | "test_streaming_elicitation"
            | "test_missing_capability"
            | "test_sampling"
            | "test_elicitation"
            | "test_elicitation_sep1034_defaults"
            | "test_elicitation_sep1330_enums" => ask_once(name, &arguments, &round, cx).await,
            "test_tool_with_logging" | "test_logging_tool" | "log" => {
                self.call_log(name, &arguments, cx).await
            }
            "test_tool_with_progress" | "progress" => call_progress(name, &arguments, cx).await,
            _ => call_plain(name, &arguments).await,
        }
    }

    async fn call_job(
        &self,
        name: &str,
        arguments: &JsonObject,
        round: &Round,
        cx: &Context,
    ) -> Called {
        if name == "greet" {
            return Ok(text(format!("Hello, {}!", word(arguments, "name"))));
        }
        let knows_tasks = cx.client_capabilities().is_some_and(|known| known.supports_tasks());
        let manager = &self.shared.tasks;
        if name == "slow_compute" {
            let seconds = arguments.get("seconds").and_then(Value::as_f64).unwrap_or_default();
            let seconds =
                Duration::try_from_secs_f64(seconds.clamp(0.0, 600.0)).unwrap_or_default();
            let label = word(arguments, "label");
            if knows_tasks {
                return Ok(tasks::start(manager, tasks::compute(seconds, label)));
            }
            tokio::time::sleep(seconds).await;
            return Ok(text(format!("{label} is computed.")));
        }
        if !knows_tasks {
            let needed = ClientCapabilities::builder().enable_tasks().build();
            return Err(ErrorData::missing_required_client_capability(needed));
        }
        Ok(match name {
            "failing_job" => tasks::start(manager, tasks::fail),
            "protocol_error_job" => tasks::start(manager, tasks::break_down),
            "confirm_delete" => {
                let message = format!("Delete {}?", word(arguments, "filename"));
                tasks::start(manager, tasks::ask(vec![("confirm", message)]))
            }
            "multi_input" => {
                let both = vec![
                    ("first", "Is the first right?".to_owned()),
                    ("second", "And the second?".to_owned()),
                ];
                tasks::start(manager, tasks::ask(both))
            }
            _ => {
                let asked = question("What is your name?", "name");
                match gather(cx, Questions::from([("user_name".to_owned(), asked)]), round, None)
                    .await?
                {
                    Gathered::Required(required) => required.into(),
                    Gathered::Answers(answers) => {
                        let name = &answers["user_name"]["content"]["name"];
                        let name = name.as_str().unwrap_or_default().to_owned();
                        tasks::start(manager, tasks::welcome(name))
                    }
                }
            }
        })
    }

    async fn call_state(&self, name: &str, arguments: &JsonObject, cx: &Context) -> Called {
        let broken = || ErrorData::internal_error("a thread has failed", None);
        let tell = |change| {
            // Nobody listens: nobody is told.
            let _ = self.shared.changes.send(change);
            Ok(text("It has changed."))
        };
        match name {
            "test_trigger_tool_change" => tell(Change::Tools),
            "test_trigger_prompt_change" => tell(Change::Prompts),
            "touch" => tell(Change::Resource(word(arguments, "uri"))),
            "process" => Ok(text(std::process::id().to_string())),
            "remember" => {
                *self.kept.lock().map_err(|_| broken())? = Some(word(arguments, "value"));
                Ok(text("It is kept."))
            }
            "recall" => {
                let kept = self.kept.lock().map_err(|_| broken())?.clone();
                Ok(text(kept.unwrap_or_else(|| "nothing".to_owned())))
            }
            "cancelled" => {
                let all = self.shared.cancelled.lock().map_err(|_| broken())?.clone();
                Ok(text(json!(all).to_string()))
            }
            _ => {
                let marker = word(arguments, "marker");
                let seconds = arguments.get("seconds").and_then(Value::as_u64).unwrap_or(5);
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_secs(seconds.min(600))) => {
                        Ok(text(format!("{marker} was not cancelled")))
                    }
                    () = cx.ct.cancelled() => {
                        self.shared.cancelled.lock().map_err(|_| broken())?.push(marker);
                        Ok(text("cancelled"))
                    }
                }
            }
        }
    }

    async fn call_log(&self, name: &str, arguments: &JsonObject, cx: &Context) -> Called {
        let marker = word(arguments, "marker");
        let lines = match name {
            "log" => [marker.as_str(); 3],
            _ => ["Tool execution started", "Tool processing data", "Tool execution completed"],
        };
        let wanted = self.level(cx);
        for line in lines {
            if wanted.is_some_and(|wanted| rank(wanted) <= rank(LoggingLevel::Info)) {
                let line = LoggingMessageNotificationParam::new(LoggingLevel::Info, json!(line))
                    .with_logger("fixture");
                // The client may be gone; the next pause ends with it.
                let _ = cx.peer.notify_logging_message(line).await;
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(text("It is logged."))
    }
}

fn rank(level: LoggingLevel) -> usize {
    use LoggingLevel::{Alert, Critical, Debug, Emergency, Error, Info, Notice, Warning};
    [Debug, Info, Notice, Warning, Error, Critical, Alert, Emergency]
        .iter()
        .position(|other| *other == level)
        .unwrap_or_default()
}

async fn call_progress(name: &str, arguments: &JsonObject, cx: &Context) -> Called {
    let marker = word(arguments, "marker");
    let steps = match name {
        "progress" => arguments.get("steps").and_then(Value::as_u64).unwrap_or(3).min(100),
        _ => 3,
    };
    for step in 0..steps {
        if let Some(token) = cx.meta.get_progress_token() {
            let done = if steps > 1 { 100 * step / (steps - 1) } else { 100 };
            let done = f64::from(u32::try_from(done).unwrap_or(100));
            let report = ProgressNotificationParam::new(token, done).with_total(100.0);
            let report =
                if name == "progress" { report.with_message(marker.clone()) } else { report };
            let _ = cx.peer.notify_progress(report).await;
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(text("It is done."))
}

async fn call_plain(name: &str, arguments: &JsonObject) -> Called {
    let mixed = "Multiple content types test:";
    match name {
        "test_simple_text" => Ok(text("This is a simple text response for testing.")),
        "test_image_content" => Ok(contents(vec![ContentBlock::image(PICTURE, "image/png")])),
        "test_audio_content" => Ok(contents(vec![ContentBlock::audio(SILENCE, "audio/wav")])),
        "test_embedded_resource" => Ok(contents(vec![resource(
            "test://embedded-resource",
            "text/plain",
            "This is an embedded resource content.",
        )])),
        "test_multiple_content_types" => Ok(contents(vec![
            ContentBlock::text(mixed),
            ContentBlock::image(PICTURE, "image/png"),
            resource(
                "test://mixed-content-resource",
                "application/json",
                r#"{"test":"data","value":123}"#,
            ),
        ])),
        "test_error_handling" => Ok(CallToolResult::error(vec![ContentBlock::text(
            "This tool intentionally returns an error for testing",
        )])
        .into()),
        "test_reconnection" => {
            tokio::time::sleep(2 * PAUSE).await;
            Ok(text("The call went on."))
        }
        "json_schema_2020_12_tool" => Ok(text(format!("Hello, {}!", word(arguments, "name")))),
        "query_region" => Ok(text(format!("Looked in {}.", word(arguments, "region")))),
        other => Err(ErrorData::invalid_params(format!("no tool {other}"), None)),
    }
}

/// The tools that ask one question, and say what was answered.
async fn ask_once(name: &str, arguments: &JsonObject, round: &Round, cx: &Context) -> Called {
    let marker = word(arguments, "marker");
    let asked = match name {
        "ask" => question(&marker, "answer"),
        "sample" => sampling(&marker, 100),
        "test_missing_capability" => sampling("Are you there?", 100),
        "roots" => asks::roots(),
        "test_sampling" => sampling(&word(arguments, "prompt"), 100),
        "test_elicitation" => {
            let properties = json!({
                "username": { "type": "string", "description": "User's response" },
                "email": { "type": "string", "description": "User's email address" },
            });
            asks::form(&word(arguments, "message"), &properties, &["username", "email"])
        }
        "test_elicitation_sep1034_defaults" => {
            asks::form("Please confirm what is filled in.", &with_defaults(), &[])
        }
        "test_elicitation_sep1330_enums" => asks::form("Please choose.", &with_choices(), &[]),
        _ => question("What is your name?", "name"),
    };
    let key = "answer".to_owned();
    match gather(cx, Questions::from([(key, asked)]), round, None).await {
        Ok(Gathered::Required(required)) => Ok(required.into()),
        Ok(Gathered::Answers(answers)) => Ok(text(said(name, &marker, &answers["answer"]))),
        // Before 2026-07-28 there is no code for it: the tool says so itself.
        Err(error) if !is_modern(cx) => {
            Ok(CallToolResult::error(vec![ContentBlock::text(error.message)]).into())
        }
        Err(error) => Err(error),
    }
}

fn said(name: &str, marker: &str, answer: &Value) -> String {
    let (action, content) = (&answer["action"], &answer["content"]);
    match name {
        "ask" => format!("{marker}: {}", content["answer"].as_str().unwrap_or_default()),
        "sample" => format!("{marker}: {}", content["text"].as_str().unwrap_or_default()),
        "roots" => answer["roots"].to_string(),
        "test_sampling" => {
            format!("LLM response: {}", content["text"].as_str().unwrap_or_default())
        }
        "test_elicitation" => format!("User response: action={action}, content={content}"),
        _ => format!("Elicitation completed: action={action}, content={content}"),
    }
}

fn with_defaults() -> Value {
    let states = json!(["active", "inactive", "pending"]);
    json!({
        "name": { "type": "string", "default": "John Doe" },
        "age": { "type": "integer", "default": 30 },
        "score": { "type": "number", "default": 95.5 },
        "status": { "type": "string", "enum": states, "default": "active" },
        "verified": { "type": "boolean", "default": true },
    })
}

fn with_choices() -> Value {
    let titled = |noun: &str| {
        let choice = |n: u8, word: &str| json!({ "const": format!("value{n}"), "title": format!("{word} {noun}") });
        json!([choice(1, "First"), choice(2, "Second"), choice(3, "Third")])
    };
    let plain = json!(["option1", "option2", "option3"]);
    json!({
        "untitledSingle": { "type": "string", "enum": plain },
        "titledSingle": { "type": "string", "oneOf": titled("Option") },
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": { "type": "array", "items": { "type": "string", "enum": plain } },
        "titledMulti": { "type": "array", "items": { "anyOf": titled("Choice") } },
    })
}

/// The suite's tools of several rounds, which the newer era only has.
async fn ask(name: &str, round: &Round, cx: &Context) -> Called {
    let capabilities = cx.client_capabilities().unwrap_or_default();
    let confirm = || asks::form("Please confirm", &json!({ "ok": { "type": "boolean" } }), &["ok"]);
    let user = || ("user_name".to_owned(), question("What is your name?", "name"));
    let roots = || ("client_roots".to_owned(), asks::roots());
    let state = round.opened()?;
    let mut leave = None;
    let questions: Questions = match name.trim_start_matches("test_input_required_result_") {
        "elicitation" => [user()].into(),
        "sampling" => {
            [("capital_question".to_owned(), sampling("What is the capital of France?", 100))]
                .into()
        }
        "list_roots" => [roots()].into(),
        "request_state" | "tampered_state" => {
            leave = Some("confirm");
            [("confirm".to_owned(), confirm())].into()
        }
        "multiple_inputs" => {
            leave = Some("three");
            let greeting = ("greeting".to_owned(), sampling("Generate a greeting", 50));
            [user(), greeting, roots()].into()
        }
        "multi_round" => {
            let second = state.as_deref() == Some("second")
                || (state.as_deref() == Some("first") && round.responses.contains_key("step1"));
            if second {
                leave = Some("second");
                let asked = question("Step 2: What is your favorite color?", "color");
                [("step2".to_owned(), asked)].into()
            } else {
                leave = Some("first");
                [("step1".to_owned(), question("Step 1: What is your name?", "name"))].into()
            }
        }
        "capabilities" => {
            let all =
                [user(), ("greeting".to_owned(), sampling("Generate a greeting", 50)), roots()];
            all.into_iter().filter(|(_, asked)| lacking(&capabilities, asked).is_none()).collect()
        }
        _ => return Err(ErrorData::invalid_params(format!("no tool {name}"), None)),
    };
    let gathered = gather(cx, questions, round, leave).await?;
    if name.ends_with("multi_round") && !is_modern(cx) {
        let second =
            [("step2".to_owned(), question("Step 2: What is your favorite color?", "color"))];
        let _ = gather(cx, second.into(), round, None).await?;
    }
    match gathered {
        Gathered::Required(required) => Ok(required.into()),
        Gathered::Answers(_) if leave.is_some() && state.is_none() && is_modern(cx) => {
            Err(ErrorData::invalid_params("the request state is missing", None))
        }
        Gathered::Answers(answers) => {
            let state = if state.is_some() { "state-ok " } else { "" };
            Ok(text(format!("{state}{}", json!(answers))))
        }
    }
}
