//! The sandbox as a program meets it: what it must not be able to do, and what it must.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "all of this is test code, also what is outside of test functions"
)]

#[cfg(feature = "wasm")]
mod component;
mod container;
mod escape;
mod life;
mod pod;
mod refusal;
mod use_case;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use doorward_sandbox::{Child, Native, Sandbox, Spec};
use tokio::io::AsyncReadExt;

const LAUNCHER: &str = env!("CARGO_BIN_EXE_doorward-sandbox");

fn sandbox() -> Native {
    Native::new(LAUNCHER)
}

/// What a program said and how it ended.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

async fn end(mut child: Child) -> Ended {
    drop(child.stdin.take());
    let (mut out, mut err) = (String::new(), String::new());
    let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let all = async {
        tokio::try_join!(stdout.read_to_string(&mut out), stderr.read_to_string(&mut err)).unwrap();
        child.wait().await.unwrap()
    };
    let status = tokio::time::timeout(Duration::from_mins(1), all).await.expect("it ends");
    Ended { code: status.code(), out, err }
}

async fn run(spec: &Spec) -> Ended {
    end(sandbox().spawn(spec).unwrap()).await
}

async fn shell(script: &str) -> Ended {
    run(&Spec::new(["/bin/sh", "-c", script])).await
}

/// A Python program without extras; the first argument it sees is `argument`.
fn python(code: &str, argument: &str) -> Spec {
    Spec::new(["python3", "-I", "-S", "-c", code, argument])
}

/// Whether a program is there to be tested with; says so if not.
fn has(program: &str) -> bool {
    let found = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !found {
        println!("skipped: no {program} on this machine");
    }
    found
}

/// A folder with these files, gone at the end of the test. Only its owner may enter it.
struct Scene(tempfile::TempDir);

impl Scene {
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }
}

/// Whether any process of this machine has these bytes in its argument list.
fn somewhere_runs(words: &str) -> bool {
    fs::read_dir("/proc").unwrap().filter_map(Result::ok).any(|entry| {
        let path: PathBuf = entry.path().join("cmdline");
        let line = fs::read(Path::new(&path)).unwrap_or_default();
        line.windows(words.len()).any(|window| window == words.as_bytes())
    })
}

/// Waits for something that is to happen soon.
async fn soon(what: &str, mut happened: impl FnMut() -> bool) {
    for _ in 0..800 {
        if happened() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("not in twenty seconds: {what}");
}
