//! A small MCP server over a pair of byte streams, for tools of your own and for demos.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io;

use doorward_core::{BoxFuture, ToolReply};
use futures_util::StreamExt as _;
use futures_util::future::{AbortHandle, Abortable};
use futures_util::stream::FuturesUnordered;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};

use crate::envelope::{self, Message};
use crate::lines::{Line, Lines};
use crate::protocol::{self, MODERN, code};
use crate::{Era, ServerInfo, edit};

/// A server of tools.
///
/// ```
/// use doorward_core::{BoxFuture, ToolReply};
/// use doorward_mcp_broker::{Serve, ServerInfo};
/// use serde_json::value::{RawValue, to_raw_value};
///
/// struct Greeter;
///
/// impl Serve for Greeter {
///     fn info(&self) -> ServerInfo {
///         ServerInfo::new("greeter", "1.0")
///     }
///     fn tools(&self) -> Vec<Box<RawValue>> {
///         let greet = serde_json::json!({"name": "greet", "inputSchema": {"type": "object"}});
///         to_raw_value(&greet).into_iter().collect()
///     }
///     fn call<'a>(&'a self, _name: &'a str, _arguments: &'a RawValue) -> BoxFuture<'a, ToolReply> {
///         Box::pin(async { ToolReply::error("nobody here to greet") })
///     }
/// }
/// ```
pub trait Serve: Send + Sync {
    /// Who it says it is.
    fn info(&self) -> ServerInfo;

    /// Its tools: MCP definitions, each a JSON object with `name` and `inputSchema`.
    fn tools(&self) -> Vec<Box<RawValue>>;

    /// Runs one of its tools; only names that [`tools`](Serve::tools) lists are asked for. The
    /// arguments are a JSON object.
    fn call<'a>(&'a self, name: &'a str, arguments: &'a RawValue) -> BoxFuture<'a, ToolReply>;
}

#[derive(Deserialize, Default)]
struct Params<'a> {
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "protocolVersion")]
    version: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "requestId")]
    request_id: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "_meta")]
    meta: Option<Meta<'a>>,
}

#[derive(Deserialize, Default)]
struct Meta<'a> {
    #[serde(borrow, default, rename = "io.modelcontextprotocol/protocolVersion")]
    version: Option<Cow<'a, str>>,
}

/// Serves until the input ends: both eras, many calls at once, calls cancelled on request.
///
/// # Errors
///
/// Where a stream breaks.
pub async fn serve_stdio<S: Serve>(
    server: S,
    stdin: impl AsyncRead + Send + Unpin,
    mut stdout: impl AsyncWrite + Send + Unpin,
) -> io::Result<()> {
    let desk = Desk { info: server.info(), tools: server.tools(), server };
    let mut lines = Lines::new(BufReader::new(stdin));
    let mut running = FuturesUnordered::new();
    let mut handles: HashMap<String, AbortHandle> = HashMap::new();
    loop {
        let line = tokio::select! {
            line = lines.next() => line?,
            Some(done) = running.next(), if !running.is_empty() => {
                let (id, message): (String, Option<String>) = done;
                handles.remove(&id);
                if let Some(message) = message {
                    write(&mut stdout, message).await?;
                }
                continue;
            }
        };
        let line = match line {
            None => return Ok(()),
            Some(Line::TooLong(_)) => continue,
            Some(Line::Whole(line)) => line,
        };
        match desk.take(line) {
            Step::Nothing => {}
            Step::Answer(message) => write(&mut stdout, message).await?,
            Step::Run(job) => {
                let (handle, registration) = AbortHandle::new_pair();
                let id = job.id.get().to_owned();
                handles.insert(id.clone(), handle);
                let run = Abortable::new(desk.run(job), registration);
                running.push(async move { (id, run.await.ok()) });
            }
            Step::Cancel(id) => {
                if let Some(handle) = handles.remove(&id) {
                    handle.abort();
                }
            }
        }
    }
}

async fn write(stdout: &mut (impl AsyncWrite + Unpin), message: String) -> io::Result<()> {
    let mut line = edit::one_line(&message).into_owned();
    line.push('\n');
    stdout.write_all(line.as_bytes()).await?;
    stdout.flush().await
}

/// What a message asks for.
enum Step {
    Nothing,
    Answer(String),
    Run(Job),
    Cancel(String),
}

/// One call to run.
struct Job {
    id: Box<RawValue>,
    era: Era,
    name: String,
    arguments: Box<RawValue>,
}

struct Desk<S> {
    info: ServerInfo,
    tools: Vec<Box<RawValue>>,
    server: S,
}

impl<S: Serve> Desk<S> {
    fn take(&self, line: &[u8]) -> Step {
        match Message::read(line) {
            Ok(Message::Request { id, method, params }) => match read(params) {
                Some(params) => self.request(id, &method, &params),
                None => Step::Answer(refuse(id, code::INVALID_PARAMS, "wrong parameters")),
            },
            Ok(Message::Notification { method, params }) if method == "notifications/cancelled" => {
                let id = read(params).and_then(|params| params.request_id);
                id.map_or(Step::Nothing, |id| Step::Cancel(id.get().to_owned()))
            }
            Ok(_) => Step::Nothing,
            Err(_) => {
                Step::Answer(envelope::refusal(None, code::PARSE, "not a JSON-RPC message", None))
            }
        }
    }

    fn request(&self, id: &RawValue, method: &str, params: &Params<'_>) -> Step {
        let version = params.meta.as_ref().and_then(|meta| meta.version.as_deref());
        let era = match version {
            None => Era::Legacy,
            Some(MODERN) => Era::Modern,
            Some(asked) => {
                let asked = edit::quote(asked);
                let data = format!(r#"{{"supported":["{MODERN}"],"requested":{asked}}}"#);
                let message = "protocol version not served";
                let code = code::VERSION_NOT_SERVED;
                return Step::Answer(envelope::refusal(Some(id), code, message, Some(&data)));
            }
        };
        let result = match (method, era) {
            ("initialize", Era::Legacy) => {
                protocol::initialized(&self.info, params.version.as_deref().unwrap_or_default())
            }
            ("ping", Era::Legacy) => "{}".into(),
            ("server/discover", Era::Modern) => protocol::discovered(&self.info),
            ("tools/list", _) => {
                let tools = self.tools.iter().map(|tool| Cow::Borrowed(tool.get()));
                protocol::listed(&self.info, era, tools, None, None)
            }
            ("tools/call", _) => return self.call(id, era, params),
            _ => return Step::Answer(refuse(id, code::METHOD_NOT_FOUND, "method not found")),
        };
        Step::Answer(envelope::reply(id, &result))
    }

    fn call(&self, id: &RawValue, era: Era, params: &Params<'_>) -> Step {
        let name = params.name.as_deref().unwrap_or_default();
        let known = self.tools.iter().any(|tool| {
            let own = edit::member(tool.get(), "name");
            own.and_then(|own| serde_json::from_str::<Cow<'_, str>>(own).ok())
                .is_some_and(|own| own == name)
        });
        if !known {
            return Step::Answer(refuse(
                id,
                code::INVALID_PARAMS,
                &format!("Unknown tool: {name}"),
            ));
        }
        let arguments = match params.arguments {
            None => RawValue::from_string("{}".into()).unwrap_or_default(),
            Some(arguments) if arguments.get().starts_with('{') => arguments.to_owned(),
            Some(_) => {
                return Step::Answer(refuse(
                    id,
                    code::INVALID_PARAMS,
                    "arguments must be an object",
                ));
            }
        };
        Step::Run(Job { id: id.to_owned(), era, name: name.to_owned(), arguments })
    }

    async fn run(&self, job: Job) -> String {
        let reply = self.server.call(&job.name, &job.arguments).await;
        envelope::reply(&job.id, &protocol::told(&self.info, job.era, &reply))
    }
}

fn read(params: Option<&RawValue>) -> Option<Params<'_>> {
    match params {
        None => Some(Params::default()),
        Some(params) => edit::read(params.get().as_bytes()).ok(),
    }
}

fn refuse(id: &RawValue, code: i64, message: &str) -> String {
    envelope::refusal(Some(id), code, message, None)
}
