//! Ways to use up the machine.

use doorward_sandbox::{Limits, Sandbox, Spec};
use serde_json::json;

use super::Hostile;
use crate::{has, python, run, sandbox};

#[tokio::test]
async fn a_fork_bomb_is_bounded() {
    if !has("python3") {
        return;
    }
    let bomb = "
import os, time
n = 0
try:
    while n < 2000:
        if os.fork() == 0: time.sleep(30); os._exit(0)
        n += 1
except OSError: pass
print(n, flush=True)
";
    let mut spec = python(bomb, "");
    spec.limits = Limits { processes: 310, ..Limits::default() };
    let ended = run(&spec).await;
    let started: u32 = ended.out.trim().parse().unwrap();
    assert!((50..310).contains(&started), "{ended:?}");
}

#[tokio::test]
async fn a_memory_bomb_is_bounded() {
    if !has("python3") {
        return;
    }
    let mut spec = python("b = bytearray(700 << 20); print('GOT IT')", "");
    spec.limits = Limits { memory: 512 << 20, ..Limits::default() };
    let ended = run(&spec).await;
    assert!(ended.err.contains("MemoryError") && ended.out.is_empty(), "{ended:?}");
    spec.limits.memory = 1 << 30;
    assert_eq!(run(&spec).await.out, "GOT IT\n");
}

#[tokio::test]
async fn the_scratch_folder_and_files_are_bounded() {
    let fill = "head -c 30000000 /dev/zero > /tmp/a && echo FIRST; head -c 30000000 /dev/zero > /tmp/b && echo SECOND";
    let mut spec = Spec::new(["/bin/sh", "-c", fill]);
    spec.limits = Limits { scratch: 50_000_000, ..Limits::default() };
    assert_eq!(run(&spec).await.out, "FIRST\n");
    spec.limits = Limits { file_size: 1_000_000, ..Limits::default() };
    assert_eq!(run(&spec).await.out, "");
    spec.limits = Limits { cpu_seconds: Some(1), ..Limits::default() };
    spec.command[2] = "while :; do :; done".to_owned();
    assert_eq!(run(&spec).await.code, Some(137));
}

#[tokio::test]
async fn a_servers_fork_bomb_leaves_the_gateway_room() {
    if !has("python3") {
        return;
    }
    let mut spec = Hostile::spec();
    spec.limits.processes = 310;
    let mut hostile = Hostile::inside(&spec);
    let forked = hostile.tries("forks", json!({ "most": 2000 })).await.got();
    let started = forked[0].as_u64().unwrap();
    assert!(forked[1] == "EAGAIN" && (50..310).contains(&started), "{forked}");
    // The gateway can start others meanwhile and after.
    assert_eq!(run(&Spec::new(["echo", "fine"])).await.out, "fine\n");
    // Control: outside there is more room than that.
    let forked = Hostile::outside().tries("forks", json!({ "most": 400 })).await.got();
    assert_eq!(forked, 400);
}

#[tokio::test]
async fn a_servers_memory_bomb_hits_only_itself() {
    if !has("python3") {
        return;
    }
    let mut spec = Hostile::spec();
    spec.limits.memory = 256 << 20;
    let bomb = json!({ "size": 400 << 20 });
    let mut hostile = Hostile::inside(&spec);
    assert!(hostile.tries("memory", bomb.clone()).await.is_refused());
    assert!(!Hostile::outside().tries("memory", bomb).await.is_refused());

    // Of many processes at once each has its own bound, and the tree one of its own where
    // control groups may be made.
    spec.limits.scratch = 1 << 20;
    let child = sandbox().spawn(&spec).unwrap();
    let grouped = child.layers().iter().any(|layer| layer.name == "cgroup" && layer.holds);
    if !grouped {
        return println!("skipped: no control groups may be made here");
    }
    let mut hostile = Hostile::new(child);
    let held = hostile.tries("memories", json!({ "size": 100 << 20, "count": 6 })).await;
    assert!(held.got().as_u64() < Some(6));
}
