//! Ways out by other processes: the gateway above all.

use std::process::{Command, Stdio};

use doorward_sandbox::Spec;
use serde_json::json;

use super::{Hostile, SERVER, is_root, only_outside};
use crate::{LAUNCHER, has, shell, somewhere_runs, soon};

#[tokio::test]
async fn the_callers_environment_is_nowhere() {
    // Cargo sets it for every test.
    let word = "CARGO_MANIFEST_DIR";
    let ended = shell("env; cat /proc/[0-9]*/environ; cat /proc/1/environ").await;
    assert!(!ended.out.contains(word), "{ended:?}");
    assert!(ended.out.contains("HOME=/tmp/home"), "{ended:?}");
    assert!(ended.err.contains("/proc/1/environ"), "{ended:?}");
}

#[tokio::test]
async fn only_the_three_standard_descriptors_are_open() {
    let ended = shell("cd /proc/self/fd; echo *").await;
    // The shell itself has opened nothing when it expands the star, but for the folder read.
    let open: Vec<&str> = ended.out.split_whitespace().collect();
    assert!(open.len() <= 4 && open[..3] == ["0", "1", "2"], "{ended:?}");
}

#[tokio::test]
async fn other_processes_cannot_be_signalled_or_seen() {
    let mut victim = Command::new("sleep").arg("60").spawn().unwrap();
    let ended = shell(&format!("kill -9 {0}; ls -d /proc/{0}; :", victim.id())).await;
    assert!(!ended.out.contains("/proc"), "{ended:?}");
    assert!(victim.try_wait().unwrap().is_none(), "it still runs");
    victim.kill().unwrap();
    victim.wait().unwrap();
}

#[tokio::test]
async fn process_one_gives_nothing_away() {
    for file in ["mem", "environ", "exe", "root", "cwd", "fd/0", "maps"] {
        let ended =
            shell(&format!("head -c 1 /proc/1/{file} && echo READ; readlink /proc/1/{file}")).await;
        assert!(ended.out.is_empty(), "{file}: {ended:?}");
    }
}

#[tokio::test]
async fn a_server_cannot_read_the_gateways_environment() {
    if !has("python3") {
        return;
    }
    // Cargo sets it for every test, and so for the gateway's part here.
    let word = json!({ "word": "CARGO_MANIFEST_DIR" });
    let seen = Hostile::outside().tries("environs", word.clone()).await.got();
    assert!(!seen["found"].as_array().unwrap().is_empty(), "{seen}");

    let mut hostile = Hostile::inside(&Hostile::spec());
    let seen = hostile.tries("environs", word).await.got();
    // Its own is one.
    assert!(seen["found"] == json!([]) && seen["seen"].as_u64() >= Some(1), "{seen}");
    let parents = hostile.tries("parents", json!({})).await.got();
    let parent = &parents[1];
    let outcome = hostile.tries("read", json!({ "path": format!("/proc/{parent}/environ") })).await;
    assert!(outcome.is_refused(), "{outcome:?}");
    let gateway = format!("/proc/{}/environ", std::process::id());
    only_outside("read", json!({ "path": gateway })).await;
    let own = hostile.tries("variables", json!({})).await.got();
    assert_eq!(own["CARGO_MANIFEST_DIR"], serde_json::Value::Null, "{own}");
}

#[tokio::test]
async fn a_server_cannot_signal_the_gateway() {
    if !has("python3") {
        return;
    }
    // Signal 0 asks whether one could.
    only_outside("kill", json!({ "pid": std::process::id(), "number": 0 })).await;
    let mut victim = Command::new("sleep").arg("60").spawn().unwrap();
    let mut hostile = Hostile::inside(&Hostile::spec());
    for number in [9, 15, 19] {
        let outcome = hostile.tries("kill", json!({ "pid": victim.id(), "number": number })).await;
        assert!(outcome.is_refused(), "{number}: {outcome:?}");
        // Its own process 1 hears none of it, but for the request to end, which it passes on.
        if number != 15 {
            hostile.tries("kill", json!({ "pid": 1, "number": number })).await;
        }
    }
    let launcher = hostile.child.id().unwrap();
    let outcome = hostile.tries("kill", json!({ "pid": launcher, "number": 9 })).await;
    assert!(outcome.is_refused(), "{outcome:?}");
    assert!(victim.try_wait().unwrap().is_none());
    victim.kill().unwrap();
    victim.wait().unwrap();
    hostile.tries("parents", json!({})).await.got();
}

#[cfg(target_arch = "x86_64")]
#[tokio::test]
async fn a_server_cannot_trace_or_rob_another_process() {
    if !has("python3") {
        return;
    }
    let mut victim = Command::new("sleep").arg("60").spawn().unwrap();
    if is_root() {
        only_outside("ptrace", json!({ "pid": victim.id() })).await;
        only_outside("pass_descriptor", json!({ "pid": victim.id(), "number": 0 })).await;
    }
    let mut hostile = Hostile::inside(&Hostile::spec());
    let parents = hostile.tries("parents", json!({})).await.got();
    // Its own process 1, and itself.
    for pid in [&parents[1], &parents[0]] {
        for (what, with) in [
            ("ptrace", json!({ "pid": pid })),
            ("pass_descriptor", json!({ "pid": pid, "number": 0 })),
            ("write", json!({ "path": format!("/proc/{pid}/mem") })),
        ] {
            let outcome = hostile.tries(what, with.clone()).await;
            let own_memory = what == "write" && pid == &parents[0];
            assert!(outcome.is_refused() || own_memory, "{what} {with}: {outcome:?}");
        }
    }
    victim.kill().unwrap();
    victim.wait().unwrap();
}

#[tokio::test]
async fn a_server_does_not_survive_a_gateway_that_is_killed() {
    if !has("python3") {
        return;
    }
    let mark = format!("71{}.25", std::process::id());
    let asked = format!("{}\n", json!({ "try": "survive", "with": { "mark": mark } }));
    let start = |words: &[&str]| {
        let mut gateway = Command::new(words[0]);
        gateway.args(&words[1..]).args(["python3", "-I", "-S", "-u", "-c", SERVER]);
        let mut gateway = gateway.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut stdin = gateway.stdin.take().unwrap();
        std::io::Write::write_all(&mut stdin, asked.as_bytes()).unwrap();
        (gateway, stdin)
    };
    for options in [&[LAUNCHER, "--"][..], &[LAUNCHER, "--egress", "ok.example", "--"]] {
        let (mut gateway, _stdin) = start(options);
        soon("the daemon is up", || somewhere_runs(&format!("sleep\0{mark}"))).await;
        gateway.kill().unwrap();
        gateway.wait().unwrap();
        soon("the daemon is gone", || !somewhere_runs(&mark)).await;
    }
    // Control: it is one that survives its parent.
    let (mut parent, _stdin) = start(&["env"]);
    soon("the daemon is up", || somewhere_runs(&format!("sleep\0{mark}"))).await;
    parent.kill().unwrap();
    parent.wait().unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let left = pid_of(&format!("sleep\0{mark}")).expect("it lives on");
    Command::new("kill").args(["-9", &left.to_string()]).status().unwrap();
}

/// The process with these words as its arguments.
fn pid_of(words: &str) -> Option<u32> {
    std::fs::read_dir("/proc").unwrap().filter_map(Result::ok).find_map(|entry| {
        let line = std::fs::read_to_string(entry.path().join("cmdline")).ok()?;
        line.starts_with(words).then(|| entry.file_name().to_str()?.parse().ok())?
    })
}

#[tokio::test]
async fn a_server_does_not_survive_its_end() {
    if !has("python3") {
        return;
    }
    let mark = format!("72{}.25", std::process::id());
    let mut hostile = Hostile::inside(&Spec { ..Hostile::spec() });
    assert_eq!(hostile.tries("survive", json!({ "mark": mark })).await.got(), "let go");
    soon("the daemon is up", || somewhere_runs(&format!("sleep\0{mark}"))).await;
    // The polite end: its input is closed.
    drop(hostile.stdin);
    hostile.child.wait().await.unwrap();
    assert!(!somewhere_runs(&mark));
}
