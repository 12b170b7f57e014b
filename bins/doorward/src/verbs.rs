//! From the command line to what is done.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use doorward_console::story::Paint;
use doorward_console::tools::Which;
use doorward_console::{Failure, audit, check, import, keys, policy, tools};
use doorward_core::{Clock, PrincipalKind, Scopes, SystemClock};
use doorward_gateway::Surroundings;
use doorward_gateway::config::{ConfigError, Environment, Root};
use doorward_identity::NewKey;
use doorward_identity::cedar::cases::Asking;

use crate::args::{
    Arguments, Audit, CreateKey, Explain, HoldVerb, Import, Keys, Policy, Tools, Verb, VerifyAudit,
};
use crate::report::{self, say};
use crate::{demo, init, serve};

/// What was asked for makes no sense (`EX_USAGE` of sysexits.h).
pub(crate) const USAGE: u8 = 64;

/// Why the program did not do what it was asked.
pub(crate) enum Refusal {
    /// The configuration is wrong.
    Config(ConfigError),
    /// It was tried and did not work.
    Failed(Failure),
}

impl From<ConfigError> for Refusal {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Does what was asked; one line on standard error says why not.
pub(crate) fn run(arguments: Arguments) -> ExitCode {
    let environment = Environment::of_process();
    match act(arguments, environment) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Refusal::Config(error)) => {
            say(&format!("doorward: {error}"));
            ExitCode::from(USAGE)
        }
        Err(Refusal::Failed(failure)) if failure.is_broken_pipe() => ExitCode::SUCCESS,
        Err(Refusal::Failed(failure)) => {
            say(&format!("doorward: {failure}"));
            ExitCode::FAILURE
        }
    }
}

fn act(arguments: Arguments, environment: Environment) -> Result<(), Refusal> {
    let paint = report::paint(&environment);
    let mut out = io::stdout().lock();
    let file = config_file(arguments.config, &environment);
    match arguments.verb {
        Verb::Init(init) => return Ok(init::write(&init.path, init.force)?),
        Verb::Schema => {
            let schema = serde_json::to_string_pretty(&Root::schema());
            let schema = schema.map_err(|error| Failure::of("no schema", error))?;
            return Ok(writeln!(out, "{schema}").map_err(Failure::from)?);
        }
        Verb::Policy(Policy::Schema) => {
            let text = doorward_identity::cedar::SCHEMA;
            return Ok(write!(out, "{text}").map_err(Failure::from)?);
        }
        Verb::Import(Import::Litellm { file }) => {
            return Ok(import::litellm_file(&file, &mut out, &mut io::stderr())?);
        }
        Verb::Demo(demo) => {
            drop(out);
            return Ok(demo::play(demo.folder, &environment, paint)?);
        }
        Verb::DemoServer(server) => {
            drop(out);
            return Ok(demo::serve(server.kind)?);
        }
        _ => {}
    }
    let root = match &file {
        Some(path) => Root::load(path)?,
        None => Root::default(),
    };
    let around = Surroundings::of_process(environment, file);
    match arguments.verb {
        Verb::Serve => {
            drop(out);
            serve::run(&root, &around)?;
        }
        Verb::Check => check::check(&root, &around, paint, &mut out)?,
        Verb::Keys(Keys::Create(wanted)) => {
            let text = keys::create(&root, &around, new_key(wanted))?;
            writeln!(out, "{}", text.expose()).map_err(Failure::from)?;
        }
        Verb::Keys(Keys::List) => keys::list(&root, &around, &mut out)?,
        Verb::Keys(Keys::Revoke { key }) => {
            let count = keys::revoke(&root, &around, &key)?;
            writeln!(out, "revoked {count}").map_err(Failure::from)?;
        }
        Verb::Policy(Policy::Test { file, against: None }) => {
            policy::test(&root, &around, &file, paint, &mut out)?;
        }
        Verb::Policy(Policy::Test { file, against: Some(other) }) => {
            policy::replay(&root, &Root::load(&other)?, &file, paint, &mut out)?;
        }
        Verb::Policy(Policy::Explain(wanted)) => {
            policy::explain(&root, &around, &asking(*wanted), paint, &mut out)?;
        }
        Verb::Policy(Policy::Suggest { server, file, all }) => {
            let from = definitions(file.as_deref(), server.as_deref());
            policy::suggest(&root, from, all, &mut out)?;
        }
        Verb::Policy(Policy::Coverage { server, file }) => {
            let from = definitions(file.as_deref(), server.as_deref());
            policy::coverage(&root, from, &mut out)?;
        }
        Verb::Tools(verb) => act_on_tools(verb, &root, &around, paint, &mut out)?,
        Verb::Audit(verb) => act_on_audit(verb, &root, &around, paint, &mut out)?,
        Verb::Policy(Policy::Schema)
        | Verb::Init(_)
        | Verb::Import(_)
        | Verb::Schema
        | Verb::Demo(_)
        | Verb::DemoServer(_) => {}
    }
    Ok(())
}

fn act_on_audit(
    verb: Audit,
    root: &Root,
    around: &Surroundings,
    paint: Paint,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    match verb {
        Audit::Verify(VerifyAudit { export, proof, report, public_key, origin, witness }) => {
            let check = audit::Check { export, proof, report, public_key, origin, witness };
            writeln!(out, "{}", audit::verify(root, &check)?)?;
        }
        Audit::Show { turn, last } => audit::show(root, turn, last, paint, out)?,
        Audit::Export { format } => drop(audit::export_to(root, format, out)?),
        Audit::Prove { since: Some(since), .. } => audit::prove_growth(root, &since, out)?,
        Audit::Prove { record, since: None } => {
            audit::prove(root, &record.unwrap_or_default(), out)?;
        }
        Audit::Checkpoint { witness } => {
            audit::show_checkpoint(root, witness.as_deref(), out)?;
        }
        Audit::Report { principal, from, until } => {
            audit::report(root, around, &principal, (&from, &until), out)?;
        }
        Audit::Prune { before } => {
            writeln!(out, "{}", audit::prune(root, around, &before)?)?;
        }
        Audit::Hold(HoldVerb::Add { name, principal, turn, from, until, reason }) => {
            let principal = principal.map(Arc::from);
            let hold = audit::Hold { principal, turn, reason, ..audit::Hold::new(name) };
            audit::hold(root, hold, from.as_deref(), until.as_deref())?;
        }
        Audit::Hold(HoldVerb::Release { name }) => audit::release(root, &name)?,
        Audit::Hold(HoldVerb::List) => audit::holds(root, out)?,
    }
    Ok(())
}

/// Where the tools' definitions are taken from.
fn definitions<'a>(file: Option<&'a Path>, server: Option<&'a str>) -> policy::Definitions<'a> {
    match file {
        Some(file) => policy::Definitions::File(file, server.unwrap_or_default()),
        None => policy::Definitions::Pinned(server),
    }
}

fn act_on_tools(
    verb: Tools,
    root: &Root,
    around: &Surroundings,
    paint: Paint,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let which = |tool: Option<String>| tool.map_or(Which::Waiting, Which::One);
    match verb {
        Tools::List => tools::list(root, paint, out),
        Tools::Diff { tool } => tools::diff(root, &which(tool), paint, out),
        Tools::Approve { tool, all: _, digest, by } => {
            let user = || around.environment.var("USER").unwrap_or("operator").to_owned();
            let by = by.unwrap_or_else(user);
            let count = tools::approve(root, around, &which(tool), digest, &by, paint, out)?;
            Ok(writeln!(out, "approved {count}")?)
        }
    }
}

/// The file named on the command line or in the environment; else `doorward.toml`, if there is
/// one.
fn config_file(named: Option<PathBuf>, environment: &Environment) -> Option<PathBuf> {
    let usual = Path::new("doorward.toml");
    named
        .or_else(|| environment.var("DOORWARD_CONFIG").map(PathBuf::from))
        .or_else(|| usual.is_file().then(|| usual.to_owned()))
}

fn new_key(wanted: CreateKey) -> NewKey {
    let owner = wanted.owner.unwrap_or_else(|| wanted.name.clone());
    let mut require: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (label, values) in wanted.require {
        require.entry(label).or_default().extend(values);
    }
    let scopes = Scopes { models: wanted.models, tools: wanted.tools, require };
    let mut key = NewKey::new(wanted.name, owner.as_str()).with_scopes(scopes);
    if owner.contains('@') {
        key.owner_kind = PrincipalKind::Person;
    }
    if let Some(team) = wanted.team {
        key = key.with_team(team);
    }
    if let Some(days) = wanted.days {
        let valid = Duration::from_secs(u64::from(days) * 86_400);
        key = key.with_expiry(SystemClock.now().after(valid));
    }
    key
}

fn asking(wanted: Explain) -> Asking {
    let all = |names: Vec<String>| -> Vec<Arc<str>> { names.into_iter().map(Into::into).collect() };
    Asking {
        user: wanted.user,
        service: wanted.service,
        groups: wanted.groups.map(all),
        roles: all(wanted.roles),
        team: wanted.team.map(Into::into),
        actors: all(wanted.actors),
        key: wanted.key.map(Into::into),
        agent: wanted.agent.map(Into::into),
        source: wanted.source,
        time: wanted.time,
        model: wanted.model,
        tool: wanted.tool,
        resource_of: wanted.resource_of,
        prompt_of: wanted.prompt_of,
        route: wanted.route,
        arguments: wanted.arguments,
        label: wanted.label,
        choice: wanted.choice,
        sources: all(wanted.sources),
        ..Asking::default()
    }
}
