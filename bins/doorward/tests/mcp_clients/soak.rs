//! A day's coming and going in a minute: sessions that are opened and dropped in every way, and
//! servers that are killed meanwhile.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;

use crate::fixture::{Fixture, program};
use crate::gateway::{Gateway, Site};
use crate::process::show;
use crate::wire::{Http, LEGACY, MODERN, Wire, http};

const SESSIONS: usize = 10_000;
const AT_ONCE: usize = 16;
/// Sessions before the first look, so that pools and caches are as full as they get.
const WARM: usize = 500;
/// A server is killed after so many sessions.
const KILL_EVERY: usize = 1000;
/// How much more memory there may be after all sessions than after the first: what an allocator
/// keeps, but less than 10,000 sessions of 4 kB.
const MEMORY: u64 = 24 << 20;
/// How many more open files there may be: pooled connections that are not yet reaped.
const FILES: usize = 16;

/// What the system says of a process.
#[derive(Debug)]
struct Look {
    files: usize,
    memory: u64,
    zombies: usize,
}

impl Look {
    fn at(gateway: &Gateway) -> Self {
        let id = gateway.process.id();
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let memory: u64 = memory.trim().trim_end_matches(" kB").parse().unwrap();
        let zombies = descendants(id).iter().filter(|child| state(**child) == Some('Z')).count();
        let files = fs::read_dir(format!("/proc/{id}/fd")).unwrap().count();
        Self { files, memory: memory * 1024, zombies }
    }
}

fn stat(id: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name may contain anything, even a bracket.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

fn state(id: u32) -> Option<char> {
    stat(id).map(|(state, _)| state)
}

/// All processes below one.
fn descendants(root: u32) -> BTreeSet<u32> {
    let all: Vec<(u32, u32)> = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|id| Some((id, stat(id)?.1)))
        .collect();
    let mut found = BTreeSet::from([root]);
    loop {
        let before = found.len();
        found.extend(
            all.iter()
                .filter(|(_, parent)| found.contains(parent))
                .map(|(id, _)| *id)
                .collect::<Vec<_>>(),
        );
        if found.len() == before {
            found.remove(&root);
            return found;
        }
    }
}

/// Kills one of the gateway's children that is a server, as the system's own killer would.
fn kill_one(gateway: &Gateway, round: usize) -> bool {
    let servers: Vec<u32> = descendants(gateway.process.id())
        .into_iter()
        .filter(|id| {
            fs::read_to_string(format!("/proc/{id}/cmdline")).is_ok_and(|line| {
                line.split('\0').next().is_some_and(|name| name.ends_with("mcp-fixture"))
            })
        })
        .collect();
    let Some(id) = servers.get(round % servers.len().max(1)) else { return false };
    std::process::Command::new("kill").args(["-9", &id.to_string()]).status().unwrap().success()
}

/// One session: opened, perhaps used, and left in one of the ways in which clients leave.
async fn come_and_go(http: Http, url: &str, key: &str, number: usize) {
    let wire = Wire::begin(http, url, key, LEGACY).await;
    match number % 5 {
        // It says goodbye.
        0 => assert!((200..300).contains(&wire.delete().await), "a session can be ended"),
        // It has a stream, and goes without a word.
        1 => drop(wire.listen().await),
        // It has a stream, and ends the session below it.
        2 => {
            let stream = wire.listen().await;
            wire.delete().await;
            drop(stream);
        }
        // It leaves in the middle of a call.
        3 => {
            let params = json!({ "name": "test_simple_text", "arguments": {} });
            drop(wire.start("tools/call", &params).await);
        }
        // It is never heard of again.
        _ => {}
    }
}

/// A call that must work, if not at once: a server may just have been killed.
async fn works_again(wire: &Wire) -> bool {
    // Longer than the longest pause before a restart.
    for _ in 0..400 {
        if wire.call("process", json!({})).await.text().parse::<u32>().is_ok() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    false
}

async fn run(gateway: &Gateway, url: &str, stdio: &Wire, key: &str, sessions: usize) -> usize {
    let next = Arc::new(AtomicUsize::new(0));
    let mut running = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (next, url, key, http) = (next.clone(), url.to_owned(), key.to_owned(), http());
        running.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= sessions {
                    return;
                }
                come_and_go(http.clone(), &url, &key, number).await;
            }
        });
    }
    let mut killed = 0;
    while !running.is_empty() {
        let done = next.load(Ordering::Relaxed);
        if done / KILL_EVERY > killed {
            assert!(works_again(stdio).await, "the server is gone for good:\n{}", gateway.log());
            killed += usize::from(kill_one(gateway, killed));
        }
        while let Some(ended) = running.try_join_next() {
            ended.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(works_again(stdio).await, "the server is gone for good");
    killed
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the binary of mcp-fixture"]
async fn ten_thousand_sessions_leave_nothing_behind() {
    let fixture = Fixture::start("both");
    let site = Site::new(&format!(
        "[[server]]\nname = \"far\"\nurl = \"{}\"\nprefix = false\n\n\
         [[server]]\nname = \"child\"\ncommand = [{:?}, \"--stdio\"]\nprefix = false\n\n\
         [[contract]]\ntool = \"*\"\neffect = \"read\"\nresult = {{ integrity = \"trusted\" }}\n",
        fixture.url,
        program(),
    ));
    let key = site.key(&["--name", "soak"]);
    let gateway = site.start();
    let url = format!("{}/mcp/far", gateway.data);
    let stdio = Wire::begin(http(), &format!("{}/mcp/child", gateway.data), &key, MODERN).await;
    assert!(works_again(&stdio).await, "{}", gateway.log());

    run(&gateway, &url, &stdio, &key, WARM).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = Look::at(&gateway);
    let start = Instant::now();
    let killed = run(&gateway, &url, &stdio, &key, SESSIONS).await;
    let took = start.elapsed();

    // What is still being tidied up gets its time.
    let mut after = Look::at(&gateway);
    for _ in 0..100 {
        if after.files <= before.files + FILES && after.zombies == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        after = Look::at(&gateway);
    }
    show(
        "soak.txt",
        &format!(
            "{SESSIONS} sessions in {took:.1?}, {killed} servers killed\nbefore {before:?}\nafter  {after:?}\n"
        ),
    );
    assert!(killed >= 5, "only {killed} servers were killed");
    assert_eq!(after.zombies, 0, "{after:?}");
    assert!(after.files <= before.files + FILES, "{before:?} {after:?}");
    assert!(after.memory <= before.memory + MEMORY, "{before:?} {after:?}");
}
