//! The command line.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand};
use doorward_console::audit::Format;
use doorward_core::{Digest, Integrity, Pattern, TurnId};

/// The agent gateway between AI applications and the models and tools behind them.
#[derive(Debug, Parser)]
#[command(name = "doorward", version, about, max_term_width = 100)]
pub(crate) struct Arguments {
    /// The configuration, TOML or YAML by its ending [default: doorward.toml, if there is one;
    /// also from `DOORWARD_CONFIG`]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run the gateway
    Serve,
    /// Play a turn with a poisoned tool result, unguarded and guarded; needs no keys, no network
    Demo(Demo),
    /// Write a commented configuration
    Init(Init),
    /// Check the configuration, its secrets and this machine's sandbox
    Check,
    /// Virtual keys
    #[command(subcommand)]
    Keys(Keys),
    /// MCP tools: what was approved of each, and what waits for approval
    #[command(subcommand)]
    Tools(Tools),
    /// Policies: what they decide, and why
    #[command(subcommand)]
    Policy(Policy),
    /// The record of every call
    #[command(subcommand)]
    Audit(Audit),
    /// Turn another gateway's configuration into one of Doorward's, on standard output
    #[command(subcommand)]
    Import(Import),
    /// Print the JSON Schema of the configuration
    Schema,
    /// One of the demo's MCP servers, over standard input and output
    #[command(hide = true)]
    DemoServer(DemoServer),
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Where to leave the two gateways' data [default: a new folder for temporary files]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) folder: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// Where to write it; `-` is standard output
    #[arg(default_value = "doorward.toml")]
    pub(crate) path: PathBuf,
    /// Replace a file that is there
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Make a key and print it, alone, on standard output; it cannot be shown again
    Create(CreateKey),
    /// List the keys
    List,
    /// Revoke a key, by id or name; a running gateway refuses it within a second
    Revoke {
        /// Id or name
        key: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Tools {
    /// List the tools that were ever seen, and where each stands
    List,
    /// Show what changed and waits for approval
    Diff {
        /// `server__tool` [default: all that wait]
        tool: Option<String>,
    },
    /// Approve what waits, and show it; a running gateway lists it within a second
    Approve {
        /// `server__tool`
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        tool: Option<String>,
        /// All that wait
        #[arg(long)]
        all: bool,
        /// The digest that `tools diff` showed: nothing else is approved
        #[arg(long, value_name = "HEX", conflicts_with = "all", value_parser = digest)]
        digest: Option<Digest>,
        /// Who approves [default: the user's name]
        #[arg(long, value_name = "NAME")]
        by: Option<String>,
    },
}

fn digest(text: &str) -> Result<Digest, &'static str> {
    serde_json::from_value(text.into()).map_err(|_| "expected 64 hexadecimal digits")
}

#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Run a table of cases (TOML) against the configured policies, or play recorded turns
    Test {
        /// The file
        file: PathBuf,
        /// The file holds recorded turns: tell which calls this configuration would decide
        /// otherwise
        #[arg(long, value_name = "CONFIG")]
        against: Option<PathBuf>,
    },
    /// Tell what the policies decide, which one it is, and why the others do not apply
    Explain(Box<Explain>),
    /// Draft contracts for tools that have none, for you to review
    Suggest {
        /// Only the tools of this server; with `--file`, what the server is called
        #[arg(long, value_name = "NAME")]
        server: Option<String>,
        /// Take the tools from a file: the answer to `tools/list`, as JSON
        #[arg(long, value_name = "FILE", requires = "server")]
        file: Option<PathBuf>,
        /// Those too that have a contract
        #[arg(long)]
        all: bool,
    },
    /// Tell which tools somebody has described: you, a pack, the server itself, nobody
    Coverage {
        /// Only the tools of this server; with `--file`, what the server is called
        #[arg(long, value_name = "NAME")]
        server: Option<String>,
        /// Take the tools from a file: the answer to `tools/list`, as JSON
        #[arg(long, value_name = "FILE", requires = "server")]
        file: Option<PathBuf>,
    },
    /// Print the schema that policies are checked against
    Schema,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("thing").required(true)))]
pub(crate) struct Explain {
    /// Who calls: a person's id
    #[arg(long, required_unless_present = "service", conflicts_with = "service")]
    pub(crate) user: Option<String>,
    /// Who calls: a service's id
    #[arg(long)]
    pub(crate) service: Option<String>,
    /// Their groups, comma-separated, as an identity provider tells them
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub(crate) groups: Option<Vec<String>>,
    /// Their roles, comma-separated
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub(crate) roles: Vec<String>,
    /// Their team
    #[arg(long)]
    pub(crate) team: Option<String>,
    /// Who acts for them, nearest first, comma-separated
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub(crate) actors: Vec<String>,
    /// The name of the key they show
    #[arg(long)]
    pub(crate) key: Option<String>,
    /// The agent's name
    #[arg(long)]
    pub(crate) agent: Option<String>,
    /// Where the request comes from
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) source: Option<std::net::IpAddr>,
    /// When, in RFC 3339 [default: now]
    #[arg(long)]
    pub(crate) time: Option<String>,
    /// The model to call
    #[arg(long, group = "thing")]
    pub(crate) model: Option<String>,
    /// The tool to call, `server__tool`
    #[arg(long, group = "thing")]
    pub(crate) tool: Option<String>,
    /// The server whose resource is read
    #[arg(long, group = "thing", value_name = "SERVER")]
    pub(crate) resource_of: Option<String>,
    /// The server whose prompt is got
    #[arg(long, group = "thing", value_name = "SERVER")]
    pub(crate) prompt_of: Option<String>,
    /// The route that is relayed, `files` for instance
    #[arg(long, group = "thing")]
    pub(crate) route: Option<String>,
    /// The arguments; without, whether the tool may be seen
    #[arg(long, value_name = "JSON", value_parser = json)]
    pub(crate) arguments: Option<serde_json::Value>,
    /// The context's label: `system`, `user`, `trusted` or `untrusted` [default: user]
    #[arg(long, value_parser = integrity)]
    pub(crate) label: Option<Integrity>,
    /// Who chose, where that is less trusted
    #[arg(long, value_parser = integrity)]
    pub(crate) choice: Option<Integrity>,
    /// The label's sources, comma-separated
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub(crate) sources: Vec<String>,
}

fn json(text: &str) -> Result<serde_json::Value, serde_json::Error> {
    serde_json::from_str(text)
}

fn integrity(text: &str) -> Result<Integrity, &'static str> {
    let wrong = "expected `system`, `user`, `trusted` or `untrusted`";
    serde_json::from_value(text.into()).map_err(|_| wrong)
}

#[derive(Debug, Subcommand)]
pub(crate) enum Import {
    /// `LiteLLM`'s `config.yaml`; what could not be carried over is told on standard error
    Litellm {
        /// The file
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CreateKey {
    /// What people call it
    #[arg(long)]
    pub(crate) name: String,
    /// On whose behalf it is used: a person's e-mail address, or a service's name [default: the
    /// key's name]
    #[arg(long)]
    pub(crate) owner: Option<String>,
    /// The team that owns the work
    #[arg(long)]
    pub(crate) team: Option<String>,
    /// Models it may call, comma-separated, with `*`; all where left out
    #[arg(long, alias = "model", value_delimiter = ',', value_name = "NAMES", value_parser = pattern)]
    pub(crate) models: Option<Vec<Pattern>>,
    /// Tools it may see and call (`server__tool`), comma-separated, with `*`; all where left out
    #[arg(long, alias = "tool", value_delimiter = ',', value_name = "NAMES", value_parser = pattern)]
    pub(crate) tools: Option<Vec<Pattern>>,
    /// A label that a model's upstream must have, `region=eu` or `region=eu|ch`; may be repeated
    #[arg(long, value_name = "LABEL=VALUE", value_parser = requirement)]
    pub(crate) require: Vec<(String, Vec<String>)>,
    /// How long it is valid, in days
    #[arg(long, value_name = "DAYS")]
    pub(crate) days: Option<u32>,
}

/// `label=value` or `label=value|value`.
fn requirement(text: &str) -> Result<(String, Vec<String>), &'static str> {
    let wrong = "expected `label=value` or `label=value|value`";
    let (label, values) = text.split_once('=').ok_or(wrong)?;
    let values: Vec<String> = values.split('|').map(str::to_owned).collect();
    if label.is_empty() || values.iter().any(String::is_empty) {
        return Err(wrong);
    }
    Ok((label.to_owned(), values))
}

fn pattern(text: &str) -> Result<Pattern, &'static str> {
    if text.is_empty() {
        Err("expected a name, with or without `*`")
    } else {
        Ok(Pattern::new(text))
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Check that no record was altered, removed, added or moved
    Verify(VerifyAudit),
    /// Tell turns as stories: who asked, what was decided, what ran, what was refused
    Show {
        /// One turn, as the `x-doorward-turn` header names it
        turn: Option<TurnId>,
        /// How many of the last turns
        #[arg(long, default_value_t = 10)]
        last: usize,
    },
    /// Write the whole log to standard output
    Export {
        /// `jsonl`, which can be verified, `csv`, `ocsf` or `cef`
        #[arg(long, value_name = "FORMAT", default_value = "jsonl")]
        format: Format,
    },
    /// Write the proof that a record is in the log, or that the log grew out of an older state
    Prove {
        /// The record's number, or the call's id (`evt_…`)
        #[arg(required_unless_present = "since")]
        record: Option<String>,
        /// Prove instead that the log grew out of the checkpoint in this file
        #[arg(long, value_name = "FILE", conflicts_with = "record")]
        since: Option<PathBuf>,
    },
    /// Write the last signed checkpoint, to be kept elsewhere
    Checkpoint {
        /// Append it to this file, unless the log did not grow out of the file's last one
        #[arg(long, value_name = "FILE")]
        witness: Option<PathBuf>,
    },
    /// Write all that was done in somebody's name between two dates, signed, with proofs
    Report {
        /// Whose
        #[arg(long)]
        principal: String,
        /// From this date or time (UTC) on
        #[arg(long)]
        from: String,
        /// Before this date or time (UTC)
        #[arg(long)]
        until: String,
    },
    /// Let go of old records; the gateway must be stopped
    Prune {
        /// Records from before this date or time (UTC)
        #[arg(long)]
        before: String,
    },
    /// Legal holds: what is held is not pruned
    #[command(subcommand)]
    Hold(HoldVerb),
}

#[derive(Debug, Args)]
pub(crate) struct VerifyAudit {
    /// Check this export instead of the database
    #[arg(long, value_name = "FILE")]
    pub(crate) export: Option<PathBuf>,
    /// Check this proof instead
    #[arg(long, value_name = "FILE", conflicts_with = "export")]
    pub(crate) proof: Option<PathBuf>,
    /// Check this report instead
    #[arg(long, value_name = "FILE", conflicts_with_all = ["export", "proof"])]
    pub(crate) report: Option<PathBuf>,
    /// The public key [default: the one beside the database]
    #[arg(long, value_name = "FILE")]
    pub(crate) public_key: Option<PathBuf>,
    /// Whose log it should be
    #[arg(long, value_name = "NAME")]
    pub(crate) origin: Option<String>,
    /// Checkpoints that were kept elsewhere; the log must hold all of them
    #[arg(long, value_name = "FILE", conflicts_with_all = ["proof", "report"])]
    pub(crate) witness: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum HoldVerb {
    /// Hold what all options name together; without any, everything
    Add {
        /// What the hold is called
        name: String,
        /// Records of this principal
        #[arg(long)]
        principal: Option<String>,
        /// Records of this turn
        #[arg(long)]
        turn: Option<TurnId>,
        /// Records from this date or time (UTC) on
        #[arg(long)]
        from: Option<String>,
        /// Records before this date or time (UTC)
        #[arg(long)]
        until: Option<String>,
        /// Why
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Lift a hold
    Release {
        /// Which
        name: String,
    },
    /// List the holds
    List,
}

#[derive(Debug, Args)]
pub(crate) struct DemoServer {
    #[command(subcommand)]
    pub(crate) kind: DemoServerKind,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DemoServerKind {
    /// An issue tracker with a poisoned issue
    Tracker,
    /// A mailer that writes what it sends into a folder
    Mailer {
        /// The folder
        outbox: PathBuf,
    },
}
