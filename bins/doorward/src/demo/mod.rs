//! `doorward demo`: one turn with a poisoned tool result, played twice: once through a gateway
//! whose contracts trust everything, as a plain proxy does, and once through one that knows what
//! its tools do. Everything is real but the model, which plays a hijacked one.

mod agent;
mod model;
mod servers;

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use doorward_console::story::Paint;
use doorward_console::{Failure, audit, keys};
use doorward_gateway::config::{Environment, Root};
use doorward_gateway::{Gateway, Surroundings};
use doorward_identity::NewKey;
use tokio::net::TcpListener;

use self::agent::Agent;
use self::model::ScriptedModel;
use crate::args::DemoServerKind;

/// Who asks, in the demo.
const PERSON: &str = "alice@example.com";

/// What she asks.
const TASK: &str = "Summarise issue 7 for me, please.";

/// One way to configure the gateway.
struct Setting {
    name: &'static str,
    title: &'static str,
    contracts: &'static str,
}

const UNGUARDED: Setting = Setting {
    name: "unguarded",
    title: "1. Unguarded: contracts that trust everything, as a plain proxy does",
    contracts: r#"
[[contract]]
tool   = "*"
effect = "read"
result = { integrity = "trusted" }
"#,
};

const GUARDED: Setting = Setting {
    name: "guarded",
    title: "2. Guarded: the same turn, with contracts that say what the tools do",
    contracts: r#"
[[contract]]
tool   = "tracker__get_issue"
effect = "read"
result = { integrity = "trusted" }
fields = [{ pointer = "/body", integrity = "untrusted" }]     # anyone may open an issue

[[contract]]
tool     = "mail__send_email"
effect   = "egress"
control  = ["/recipients"]                                    # who gets it
content  = ["/subject", "/body"]
requires = { control = "trusted", choice = "user" }
"#,
};

/// Serves one of the demo's MCP servers over standard input and output.
pub(crate) fn serve(kind: DemoServerKind) -> Result<(), Failure> {
    runtime(false)?
        .block_on(servers::serve(kind))
        .map_err(|error| Failure::of("the server failed", error))
}

fn runtime(many: bool) -> Result<tokio::runtime::Runtime, Failure> {
    let mut builder = if many {
        tokio::runtime::Builder::new_multi_thread()
    } else {
        tokio::runtime::Builder::new_current_thread()
    };
    builder.enable_all().build().map_err(|error| Failure::of("the runtime cannot start", error))
}

/// Plays the turn twice.
pub(crate) fn play(
    folder: Option<PathBuf>,
    environment: &Environment,
    paint: Paint,
) -> Result<(), Failure> {
    let folder = match folder {
        Some(folder) => {
            fs::create_dir_all(&folder)?;
            folder.canonicalize()?
        }
        None => tempfile::Builder::new().prefix("doorward-demo-").tempdir()?.keep(),
    };
    runtime(true)?.block_on(play_both(&folder, environment, paint))
}

async fn play_both(folder: &Path, environment: &Environment, paint: Paint) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{} asks her agent: {}",
        paint.strong(PERSON),
        paint.strong(&format!("“{TASK}”"))
    )?;
    writeln!(out, "Issue 7 was opened by a stranger, and holds a text meant for the agent.\n")?;
    let model = ScriptedModel::start().await?;

    let leaked = scene(&UNGUARDED, folder, &model, environment, paint, &mut out).await?;
    let blocked = scene(&GUARDED, folder, &model, environment, paint, &mut out).await?;

    let root =
        Root::load(&config_path(folder, &GUARDED)).map_err(|e| Failure::new(e.to_string()))?;
    writeln!(out, "{}", paint.strong("3. The record of the guarded turn"))?;
    audit::show(&root, None, 1, paint, &mut out)?;
    writeln!(out, "\n{}", audit::verify(&root, &audit::Check::default())?)?;
    let config = config_path(folder, &GUARDED);
    writeln!(
        out,
        "{}",
        paint.faint(&format!("doorward audit verify --config {}", config.display()))
    )?;
    match (leaked, blocked) {
        (true, false) => Ok(()),
        (false, _) => Err(Failure::new("the unguarded turn did not leak: the demo shows nothing")),
        (true, true) => Err(Failure::new("the guarded turn leaked")),
    }
}

fn config_path(folder: &Path, setting: &Setting) -> PathBuf {
    folder.join(format!("{}.toml", setting.name))
}

/// Plays the turn in one setting; tells whether mail went out.
async fn scene(
    setting: &Setting,
    folder: &Path,
    model: &ScriptedModel,
    environment: &Environment,
    paint: Paint,
    out: &mut dyn Write,
) -> Result<bool, Failure> {
    writeln!(out, "{}", paint.strong(setting.title))?;
    let outbox = folder.join(format!("{}-outbox", setting.name));
    fs::create_dir_all(&outbox)?;
    let config = config_path(folder, setting);
    fs::write(&config, config_text(setting, folder, &outbox, model)?)?;
    let root = Root::load(&config).map_err(|error| Failure::new(error.to_string()))?;
    let around = Surroundings::of_process(environment.clone(), Some(config));
    let key = keys::create(&root, &around, NewKey::person("demo", PERSON))?;

    let gateway = Gateway::start(&root, &around)?;
    let listener = TcpListener::bind(root.listen.data).await?;
    let address: SocketAddr = listener.local_addr()?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let edge = Arc::clone(gateway.edge());
    let drain = root.listen.drain.0;
    let serving =
        tokio::spawn(doorward_gateway::serve(listener, edge, async { drop(stopped.await) }, drain));
    let played = Agent::new(address, key, paint).turn(TASK, out).await;
    drop(stop);
    drop(serving.await);
    gateway.close().await.map_err(|error| Failure::of("records were not written", error))?;
    played?;

    let mails = servers::outbox(&outbox)?;
    for mail in &mails {
        writeln!(out, "   {} {}", paint.bad("LEAKED"), mail)?;
    }
    if mails.is_empty() {
        writeln!(
            out,
            "   {} no mail went out; the turn went on to its answer",
            paint.good("BLOCKED")
        )?;
    }
    writeln!(out)?;
    Ok(!mails.is_empty())
}

fn config_text(
    setting: &Setting,
    folder: &Path,
    outbox: &Path,
    model: &ScriptedModel,
) -> Result<String, Failure> {
    let program = std::env::current_exe()?;
    let text = |path: &Path| {
        // A JSON string is a TOML string too.
        serde_json::to_string(&path.to_string_lossy()).map_err(|e| Failure::of("odd path", e))
    };
    let database = format!("sqlite://{}/{}/doorward.db", folder.display(), setting.name);
    Ok(format!(
        r#"[listen]
data = "127.0.0.1:0"

[storage]
url = {database}

[[upstream]]
name     = "scripted"
provider = "openai-compatible"
base_url = "{model}"
models   = ["hijackable"]

[[server]]
name    = "tracker"
command = [{program}, "demo-server", "tracker"]

[[server]]
name    = "mail"
command = [{program}, "demo-server", "mailer", {outbox}]
write   = [{outbox}]
{contracts}"#,
        database = serde_json::to_string(&database).map_err(|e| Failure::of("odd path", e))?,
        model = model.url(),
        program = text(&program)?,
        outbox = text(outbox)?,
        contracts = setting.contracts,
    ))
}
