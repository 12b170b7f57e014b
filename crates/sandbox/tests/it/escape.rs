//! Ways out, each tried by a hostile stdio server.
//!
//! The server tells what it tried and what came of it, so that a test is green because an attempt
//! failed and not because there was none. Where it does no harm, the same attempt is made without
//! the sandbox as well, and must succeed there.

mod bounds;
mod egress;
mod files;
mod kernel;
mod network;
mod processes;
mod shared;

use doorward_sandbox::{Child, Direct, Sandbox, Spec};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout};

use crate::sandbox;

const SERVER: &str = include_str!("escape/hostile.py");

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq)]
enum Outcome {
    Got(Value),
    /// The name of the error number.
    Refused(String),
}

impl Outcome {
    fn is_refused(&self) -> bool {
        matches!(self, Self::Refused(_))
    }

    fn got(self) -> Value {
        match self {
            Self::Got(value) => value,
            Self::Refused(why) => panic!("refused: {why}"),
        }
    }
}

/// A hostile server that runs.
struct Hostile {
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Hostile {
    /// Its spec, to be widened.
    fn spec() -> Spec {
        Spec::new(["python3", "-I", "-S", "-u", "-c", SERVER])
    }

    fn new(mut child: Child) -> Self {
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { stdin: child.stdin.take().unwrap(), lines, child }
    }

    /// In the sandbox.
    fn inside(spec: &Spec) -> Self {
        Self::new(sandbox().spawn(spec).unwrap())
    }

    /// Without a sandbox, for comparison.
    fn outside() -> Self {
        Self::new(Direct.spawn(&Self::spec()).unwrap())
    }

    async fn tries(&mut self, what: &str, with: Value) -> Outcome {
        let asked = json!({ "try": what, "with": with });
        self.stdin.write_all(format!("{asked}\n").as_bytes()).await.unwrap();
        let answer =
            tokio::time::timeout(std::time::Duration::from_mins(1), self.lines.next_line());
        let line = answer.await.expect("it answers").unwrap();
        let line = line.unwrap_or_else(|| panic!("it ended at {asked}"));
        let mut answer: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(answer["tried"], asked);
        assert_eq!(answer["slip"], Value::Null, "{asked}: the attempt itself is wrong");
        match &answer["refused"] {
            Value::String(why) => Outcome::Refused(why.clone()),
            _ => Outcome::Got(answer["got"].take()),
        }
    }
}

/// Makes the same attempt inside, where it must be refused, and outside, where it must not.
async fn only_outside(what: &str, with: Value) {
    let outcome = Hostile::outside().tries(what, with.clone()).await;
    assert!(!outcome.is_refused(), "{what} {with} outside: {outcome:?}");
    let outcome = Hostile::inside(&Hostile::spec()).tries(what, with.clone()).await;
    assert!(outcome.is_refused(), "{what} {with} inside: {outcome:?}");
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}
