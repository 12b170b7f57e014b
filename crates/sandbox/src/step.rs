//! One command run to its end, for what it says.

use std::collections::BTreeMap;
use std::io::{self, Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SIGKILL, killpg};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// How much of what a command says is read, in bytes.
const LONGEST: u64 = 1 << 20;

/// Between two looks at whether it has ended.
const SLICE: Duration = Duration::from_millis(5);

/// A command, what it is told on standard input, and how long it may take.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) words: Vec<String>,
    pub(crate) input: Option<String>,
    pub(crate) patience: Duration,
    /// What its output takes the place of in later steps.
    pub(crate) answers: Option<String>,
}

/// Why a step came to nothing.
#[derive(Debug)]
pub(crate) enum Failure {
    /// There is no such program.
    NotFound,
    /// What it or the system says.
    Said(String),
}

impl Failure {
    pub(crate) fn reason(self) -> String {
        match self {
            Self::NotFound => "there is no such program".into(),
            Self::Said(reason) => reason,
        }
    }
}

impl Step {
    pub(crate) fn new(words: Vec<String>, patience: Duration) -> Self {
        Self { words, input: None, patience, answers: None }
    }

    /// Runs it with nothing but this environment, in a process group of its own, so that it goes
    /// on where whoever started it is ended.
    pub(crate) fn run(&self, env: &BTreeMap<String, String>) -> Result<String, Failure> {
        let said = |error: io::Error| Failure::Said(error.to_string());
        let mut command = command(&self.words, env).ok_or(Failure::NotFound)?;
        command.process_group(0);
        command.stdin(if self.input.is_some() { Stdio::piped() } else { Stdio::null() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Failure::NotFound,
            _ => said(error),
        })?;
        if let (Some(mut stdin), Some(input)) = (process.stdin.take(), self.input.clone()) {
            // What it does not want to read it need not.
            thread::spawn(move || stdin.write_all(input.as_bytes()).ok());
        }
        let out = process.stdout.take().map(text);
        let err = process.stderr.take().map(text);
        let mut waited = Duration::ZERO;
        let status = loop {
            if let Some(status) = process.try_wait().map_err(said)? {
                break status;
            }
            if waited >= self.patience {
                if let Ok(pid) = i32::try_from(process.id()) {
                    killpg(Pid::from_raw(pid), SIGKILL).ok();
                }
                process.wait().ok();
                let seconds = self.patience.as_secs();
                return Err(Failure::Said(format!("it did not end within {seconds} seconds")));
            }
            thread::sleep(SLICE);
            waited += SLICE;
        };
        let heard = |pipe: Option<Receiver<String>>| {
            // What it left running may hold the pipe open.
            pipe.and_then(|pipe| pipe.recv_timeout(Duration::from_secs(1)).ok()).unwrap_or_default()
        };
        let (out, err) = (heard(out), heard(err));
        if status.success() { Ok(out) } else { Err(Failure::Said(told(&err, &status.to_string()))) }
    }
}

/// A command with nothing but this environment.
pub(crate) fn command(words: &[String], env: &BTreeMap<String, String>) -> Option<Command> {
    let (program, arguments) = words.split_first()?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(env);
    Some(command)
}

fn told(err: &str, status: &str) -> String {
    match err.trim() {
        "" => format!("it ended: {status}"),
        err => err.chars().take(2000).collect(),
    }
}

fn text(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (send, receive) = channel();
    thread::spawn(move || {
        let mut read = Vec::new();
        pipe.take(LONGEST).read_to_end(&mut read).ok();
        send.send(String::from_utf8_lossy(&read).into_owned()).ok();
    });
    receive
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str, input: Option<&str>, patience: u64) -> Result<String, String> {
        let words = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        let step = Step {
            input: input.map(str::to_owned),
            ..Step::new(words, Duration::from_millis(patience))
        };
        step.run(&BTreeMap::from([("GIVEN".into(), "yes".into())])).map_err(Failure::reason)
    }

    #[test]
    fn a_step_says_what_it_has_to_say() {
        assert_eq!(run("cat; echo $GIVEN$HOME", Some("in "), 5000).unwrap(), "in yes\n");
        assert_eq!(run("echo no >&2; exit 3", None, 5000).unwrap_err(), "no");
        assert!(run("exit 3", None, 5000).unwrap_err().contains("exit status: 3"));
        assert!(run("sleep 60 & sleep 60", None, 50).unwrap_err().contains("did not end"));
        let long = run("head -c 3000000 /dev/zero || true", None, 5000);
        assert_eq!(long.unwrap().len(), 1 << 20);
    }
}
