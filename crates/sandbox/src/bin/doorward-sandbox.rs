//! Runs a command in the sandbox: `doorward-sandbox [OPTIONS] [--] COMMAND [ARGUMENT]...`.
//!
//! Serves as the launcher of [`doorward_sandbox::Native`] as well.

use std::env;
use std::io::Write as _;
use std::process::ExitCode;

use doorward_sandbox::{Container, Missing, Native, Network, Sandbox, Spec, launch};
use tokio::io::{AsyncWriteExt, copy, stderr, stdin, stdout};

const USAGE: &str = "\
Runs a command without access to anything it was not given.

Usage: doorward-sandbox [OPTIONS] [--] COMMAND [ARGUMENT]...
       doorward-sandbox --check

  --read PATH    a file or folder it may read
  --write PATH   a file or folder it may change
  --hide PATH    a file or folder it must not see
  --env NAME=V   a variable of its environment
  --network      give it the host's network
  --egress HOST  a host that it may reach, by a proxy and nothing else
  --private NET  addresses, private ones too, to which that host may lead
  --weaken       go on where this machine lacks a layer of isolation
  --user U:G     as root: the host's user and group to run as
  --container I  run it in a container of image I instead
  --runtime R    the container runtime: docker, podman, nerdctl or a path to one
  --check        tell which layers hold on this machine
";

fn main() -> ExitCode {
    if launch::is_launch(env::args_os()) {
        return launch::run(env::args_os());
    }
    match run() {
        Ok(code) => code,
        Err(reason) => {
            // Without a standard error there is nobody to tell.
            writeln!(std::io::stderr(), "doorward-sandbox: {reason}").ok();
            ExitCode::from(126)
        }
    }
}

/// What the command line asks for.
#[derive(Debug, Default)]
struct Asked {
    sandbox: Native,
    spec: Spec,
    check: bool,
    image: Option<String>,
    runtime: Option<String>,
}

impl Asked {
    fn sandbox(&self) -> Box<dyn Sandbox> {
        let Some(image) = &self.image else { return Box::new(self.sandbox.clone()) };
        let program = self.runtime.as_deref().unwrap_or("docker");
        let container = match program.rsplit('/').next() {
            Some("podman") => Container::podman(image),
            Some("nerdctl") => Container::nerdctl(image),
            _ => Container::docker(image),
        };
        Box::new(container.program(program))
    }
}

fn read(mut words: impl Iterator<Item = String>) -> Result<Asked, String> {
    let mut asked = Asked::default();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--read" => asked.spec.read.push(value()?.into()),
            "--write" => asked.spec.write.push(value()?.into()),
            "--hide" => asked.spec.hide.push(value()?.into()),
            "--network" => asked.spec.network = Network::Host,
            "--egress" => {
                asked.spec.network = Network::Proxy;
                asked.spec.egress.hosts.push(value()?);
            }
            "--private" => asked.spec.egress.private.push(value()?),
            "--weaken" => asked.sandbox = asked.sandbox.missing(Missing::Weaken),
            "--check" => asked.check = true,
            "--env" => {
                let pair = value()?;
                let (name, value) = pair.split_once('=').ok_or("--env needs NAME=VALUE")?;
                asked.spec.env.insert(name.to_owned(), value.to_owned());
            }
            "--container" => asked.image = Some(value()?),
            "--runtime" => asked.runtime = Some(value()?),
            "--user" => {
                let pair = value()?;
                let ids = pair
                    .split_once(':')
                    .and_then(|(u, g)| Some((u.parse().ok()?, g.parse().ok()?)));
                let (user, group) = ids.ok_or("--user needs USER:GROUP in numbers")?;
                asked.sandbox = asked.sandbox.user(user, group);
            }
            "--" => asked.spec.command.extend(words.by_ref()),
            option if option.starts_with('-') => {
                return Err(format!("unknown option {option}\n\n{USAGE}"));
            }
            _ => {
                asked.spec.command.push(word);
                asked.spec.command.extend(words.by_ref());
            }
        }
    }
    if asked.spec.command.is_empty() && !asked.check {
        return Err(format!("no command\n\n{USAGE}"));
    }
    Ok(asked)
}

fn run() -> Result<ExitCode, String> {
    let asked = read(env::args().skip(1))?;
    if asked.check {
        return check(&*asked.sandbox()).map_err(|error| error.to_string());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let code = runtime.block_on(relay(&asked));
    // A read of standard input that never ends is not waited for.
    runtime.shutdown_background();
    code
}

fn check(sandbox: &dyn Sandbox) -> std::io::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    for layer in sandbox.layers() {
        let holds = if layer.holds { "holds" } else { "-" };
        writeln!(out, "{:24} {holds:6} {}", layer.name, layer.detail)?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn relay(asked: &Asked) -> Result<ExitCode, String> {
    let mut child = asked.sandbox().spawn(&asked.spec).map_err(|error| error.to_string())?;
    if let Some(mut pipe) = child.stdin.take() {
        tokio::spawn(async move {
            // It need not read all of it.
            copy(&mut stdin(), &mut pipe).await.ok();
            pipe.shutdown().await.ok();
        });
    }
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let outputs = [
        tokio::spawn(async move {
            if let Some(mut out) = out {
                copy(&mut out, &mut stdout()).await.ok();
            }
        }),
        tokio::spawn(async move {
            if let Some(mut err) = err {
                copy(&mut err, &mut stderr()).await.ok();
            }
        }),
    ];
    let status = child.wait().await.map_err(|error| error.to_string())?;
    for output in outputs {
        output.await.ok();
    }
    Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(255)))
}
