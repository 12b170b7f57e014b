//! How programs begin and end.

use std::process::{Command, Stdio};

use doorward_sandbox::{Sandbox, Spec};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use crate::{LAUNCHER, end, run, sandbox, shell, somewhere_runs, soon};

/// Starts a tree of processes, one of them in a session of its own, all marked.
fn tree(mark: &str) -> Spec {
    let script = format!("setsid sleep {mark} & (sleep {mark} &) ; echo up; sleep {mark}");
    Spec::new(["/bin/sh".to_owned(), "-c".to_owned(), script])
}

fn mark(which: u32) -> String {
    format!("7{which}{}.5", std::process::id())
}

#[tokio::test]
async fn dropping_the_child_ends_the_tree() {
    let mark = mark(1);
    let child = sandbox().spawn(&tree(&mark)).unwrap();
    soon("the tree is up", || somewhere_runs(&mark)).await;
    drop(child);
    soon("the tree is gone", || !somewhere_runs(&mark)).await;
}

#[tokio::test]
async fn killing_the_child_ends_the_tree_before_it_returns() {
    let mark = mark(2);
    let mut child = sandbox().spawn(&tree(&mark)).unwrap();
    soon("the tree is up", || somewhere_runs(&mark)).await;
    child.kill().await.unwrap();
    assert!(!somewhere_runs(&mark));
}

#[tokio::test]
async fn killing_the_launcher_ends_the_tree() {
    let mark = mark(3);
    let child = sandbox().spawn(&tree(&mark)).unwrap();
    soon("the tree is up", || somewhere_runs(&mark)).await;
    let id = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-9", &id]).status().unwrap().success());
    soon("the tree is gone", || !somewhere_runs(&mark)).await;
}

#[tokio::test]
async fn killing_the_caller_ends_the_tree() {
    let mark = mark(4);
    let spec = tree(&mark);
    let mut caller = Command::new(LAUNCHER);
    caller.arg("--").args(&spec.command).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut caller = caller.spawn().unwrap();
    soon("the tree is up", || somewhere_runs(&format!("sleep\0{mark}"))).await;
    caller.kill().unwrap();
    caller.wait().unwrap();
    soon("the tree is gone", || !somewhere_runs(&mark)).await;
}

#[tokio::test]
async fn the_end_of_the_thread_that_started_it_is_not_the_end() {
    let handle = tokio::runtime::Handle::current();
    let started = std::thread::spawn(move || {
        let _within = handle.enter();
        sandbox().spawn(&Spec::new(["/bin/sh", "-c", "sleep 0.3; echo alive"])).unwrap()
    });
    assert_eq!(end(started.join().unwrap()).await.out, "alive\n");
}

#[tokio::test]
async fn orphans_are_reaped() {
    let orphan = "for i in 1 2 3 4 5; do (sh -c 'sleep 0.1' &) ; done; sleep 0.5; \
                  grep -l '^State:.Z' /proc/[0-9]*/status; ls -d /proc/[0-9]* | wc -l";
    let ended = shell(orphan).await;
    assert!(!ended.out.contains("status"), "{ended:?}");
    let left: u32 = ended.out.trim().parse().unwrap();
    assert!(left <= 5, "{ended:?}");
}

#[tokio::test]
async fn exit_codes_are_passed_on() {
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -15 $$", 143)]
    {
        assert_eq!(shell(script).await.code, Some(code), "{script}");
    }
}

#[tokio::test]
async fn what_is_still_running_ends_with_the_program() {
    let mark = mark(5);
    let ended = run(&Spec::new([
        "/bin/sh".into(),
        "-c".into(),
        format!("setsid sleep {mark} >&- 2>&- & exit 3"),
    ]))
    .await;
    assert_eq!(ended.code, Some(3));
    soon("the rest is gone", || !somewhere_runs(&mark)).await;
}

#[tokio::test]
async fn a_program_can_be_asked_to_end() {
    let script = "trap 'echo bye; exit 9' TERM; echo up; while :; do sleep 0.05; done";
    let mut child = sandbox().spawn(&Spec::new(["/bin/sh", "-c", script])).unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("up"));
    assert!(child.try_wait().unwrap().is_none());
    child.terminate().unwrap();
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("bye"));
    assert_eq!(child.wait().await.unwrap().code(), Some(9));
}

#[tokio::test]
async fn pipes_lead_both_ways_and_their_ends_are_seen() {
    let mut child = sandbox().spawn(&Spec::new(["cat"])).unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let text = "line\n".repeat(100_000);
    let sent = text.clone();
    let writer = tokio::spawn(async move {
        stdin.write_all(sent.as_bytes()).await.unwrap();
    });
    let mut back = String::new();
    stdout.read_to_string(&mut back).await.unwrap();
    writer.await.unwrap();
    assert!(back == text, "{} bytes came back", back.len());
    assert!(child.wait().await.unwrap().success());

    // A program that closes its output is seen to, though it goes on running.
    let mut child = sandbox().spawn(&Spec::new(["/bin/sh", "-c", "exec >&-; sleep 30"])).unwrap();
    let mut nothing = String::new();
    let mut stdout = child.stdout.take().unwrap();
    let read = stdout.read_to_string(&mut nothing);
    tokio::time::timeout(std::time::Duration::from_secs(5), read).await.unwrap().unwrap();
    child.kill().await.unwrap();
}
