//! Ways out by files, processes and the network.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;

use doorward_sandbox::{Limits, Network, Sandbox, Spec};

use crate::{Scene, end, has, python, run, sandbox, shell};

#[tokio::test]
async fn the_hosts_secret_files_do_not_exist() {
    for path in [
        "/etc/shadow",
        "/etc/sudoers",
        "/etc/ssh",
        "/etc/ssl/private",
        "/root/.bashrc",
        "/root/.ssh",
        "/var/lib",
        "/var/log",
        "/var/run/docker.sock",
        "/run",
        "/sys",
        "/boot",
        "/.dockerenv",
        concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
        "/dev/vda",
        "/dev/kvm",
        "/dev/mem",
        "/dev/tty0",
        "/.host",
    ] {
        let ended = shell(&format!("ls -d {path}; cat {path}/* {path}")).await;
        assert!(!ended.out.contains(path), "{path}: {ended:?}");
        assert_ne!(ended.code, Some(0), "{path}: {ended:?}");
    }
}

#[tokio::test]
async fn a_hidden_file_beside_the_script_does_not_exist() {
    let script = "cat $(dirname $0)/data/doorward.db $(dirname $0)/doorward.toml; \
                  cat $(dirname $0)/shown; ls -a $(dirname $0); ls -a $(dirname $0)/data";
    let files = [
        ("run.sh", script),
        ("data/doorward.db", "MASTER"),
        ("doorward.toml", "SECRET"),
        ("shown", "hello"),
    ];
    let scene = Scene::new(&files);
    let mut spec = Spec::new(["/bin/sh".to_owned(), scene.text("run.sh")]);
    let open = run(&spec).await;
    assert!(open.out.contains("MASTER") && open.out.contains("SECRET"), "{open:?}");

    spec.hide = vec![scene.path("data"), scene.path("doorward.toml")];
    let ended = run(&spec).await;
    assert!(ended.out.contains("hello"), "{ended:?}");
    for secret in ["MASTER", "SECRET", "doorward"] {
        assert!(!ended.out.contains(secret), "{ended:?}");
    }
}

#[tokio::test]
async fn a_hidden_file_stays_hidden_when_it_is_replaced() {
    let scene = Scene::new(&[
        ("s/run.sh", "read go; cat $(dirname $0)/doorward.toml"),
        ("s/doorward.toml", "OLD"),
    ]);
    let mut spec = Spec::new(["/bin/sh".to_owned(), scene.text("s/run.sh")]);
    spec.hide = vec![scene.path("s/doorward.toml")];
    let child = sandbox().spawn(&spec).unwrap();
    std::fs::write(scene.path("s/new"), "NEW").unwrap();
    std::fs::rename(scene.path("s/new"), scene.path("s/doorward.toml")).unwrap();
    let ended = end(child).await;
    assert!(!ended.out.contains("NEW") && !ended.out.contains("OLD"), "{ended:?}");
}

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
async fn nothing_outside_its_scratch_folder_can_be_written() {
    let scene = Scene::new(&[("s/run.sh", "exec 3>> $1 && echo WROTE")]);
    let own = scene.text("s/new");
    for path in [
        "/new",
        "/usr/new",
        "/usr/bin/sh",
        "/etc/new",
        "/opt/new",
        "/dev/new",
        "/home/new",
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/hostname",
        "/proc/sys/kernel/pid_max",
        "/proc/sys/vm/overcommit_memory",
        "/proc/sysrq-trigger",
        "/proc/self/oom_score_adj",
        "/proc/self/uid_map",
        "/proc/1/oom_score_adj",
        "/proc/1/mem",
        &own,
    ] {
        let ended = run(&Spec::new(["/bin/sh", &scene.text("s/run.sh"), path])).await;
        assert!(!ended.out.contains("WROTE"), "{path}: {ended:?}");
    }
    let ended = run(&Spec::new(["/bin/sh", &scene.text("s/run.sh"), "/tmp/new"])).await;
    assert!(ended.out.contains("WROTE"), "{ended:?}");
    assert!(!Path::new("/tmp/new").exists(), "its /tmp is its own");
}

#[tokio::test]
async fn building_a_sandbox_changes_nothing_on_the_host() {
    // The files the sandbox has of its own, where a program names the host's.
    for path in ["/etc/passwd", "/etc/group", "/etc/hosts", "/etc/hostname"] {
        let Ok(before) = std::fs::read(path) else { continue };
        for options in ["read", "argument"] {
            let mut spec = Spec::new(["/bin/sh", "-c", "cat $0", path]);
            if options == "read" {
                spec.command[3] = "/dev/null".to_owned();
                spec.read.push(path.into());
            }
            run(&spec).await;
            let after = std::fs::read(path).unwrap();
            if after != before {
                std::fs::write(path, &before).unwrap();
                panic!("{path} was changed, and is restored");
            }
        }
    }
}

#[tokio::test]
async fn places_within_what_is_given_are_not_made_on_the_host() {
    let scene = Scene::new(&[("given/a", "A"), ("given/sub/deep/b", "B")]);
    let mut spec = Spec::new(["/bin/sh", "-c", "cat a sub/deep/b"]);
    spec.read = vec![scene.path("given"), scene.path("given/a")];
    spec.write = vec![scene.path("given/sub/deep")];
    spec.cwd = Some(scene.path("given"));
    let ended = run(&spec).await;
    assert_eq!(ended.out, "AB", "{ended:?}");
    let names = |path: &str| std::fs::read_dir(scene.path(path)).unwrap().count();
    assert_eq!(
        [names(""), names("given"), names("given/sub"), names("given/sub/deep")],
        [1, 2, 1, 1]
    );
}

#[tokio::test]
async fn a_program_folder_cannot_be_changed() {
    let scene = Scene::new(&[(
        "s/run.sh",
        "cd $(dirname $0); rm run.sh; mv run.sh x; chmod 777 run.sh; ls",
    )]);
    let ended = run(&Spec::new(["/bin/sh".to_owned(), scene.text("s/run.sh")])).await;
    assert_eq!(ended.out, "run.sh\n", "{ended:?}");
    assert!(scene.path("s/run.sh").exists());
}

const CONNECT: &str = "
import socket, sys
family, _, where = sys.argv[1].partition(' ')
s = socket.socket(getattr(socket, family), socket.SOCK_STREAM)
s.settimeout(5)
try:
    if family == 'AF_UNIX': s.connect('\\0' + where[1:] if where[0] == '@' else where)
    else: s.connect((where.rsplit(':', 1)[0], int(where.rsplit(':', 1)[1])))
    print('CONNECTED')
except OSError as e: print('failed', e)
";

#[tokio::test]
async fn without_network_nothing_can_be_reached() {
    if !has("python3") {
        return;
    }
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let local = format!("AF_INET {}", tcp.local_addr().unwrap());
    let name = format!("doorward-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let _abstract = UnixListener::bind_addr(&address).unwrap();
    let scene = Scene::new(&[]);
    let _bound = UnixListener::bind(scene.path("socket")).unwrap();
    let unix = format!("AF_UNIX {}", scene.text("socket"));
    let hidden = format!("AF_UNIX @{name}");
    for place in [
        &local,
        &hidden,
        &unix,
        "AF_INET 169.254.169.254:80",
        "AF_INET 1.1.1.1:53",
        "AF_INET6 ::1:80",
    ] {
        let ended = run(&python(CONNECT, place)).await;
        assert!(ended.out.starts_with("failed"), "{place}: {ended:?}");
    }
    let names = "import socket\ntry: print('FOUND', socket.getaddrinfo('example.com', 80))\nexcept OSError as e: print('failed', e)";
    let ended = run(&python(names, "")).await;
    assert!(ended.out.starts_with("failed"), "{ended:?}");
    let lookup = "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ntry: s.sendto(b'x', ('1.1.1.1', 53)); print('SENT')\nexcept OSError as e: print('failed', e)";
    let ended = run(&python(lookup, "")).await;
    assert!(ended.out.starts_with("failed"), "{ended:?}");

    // The same with the host's network, to see that the attempts are good ones.
    let mut spec = python(CONNECT, &local);
    spec.network = Network::Host;
    let ended = run(&spec).await;
    assert!(ended.out.starts_with("CONNECTED"), "{ended:?}");
}

#[tokio::test]
async fn abstract_sockets_are_out_of_reach_even_with_the_hosts_network() {
    let scoped = sandbox().layers().iter().any(|layer| layer.detail.contains("abstract"));
    if !has("python3") || !scoped {
        return println!("skipped: needs python3, and Landlock version 6");
    }
    let name = format!("doorward-test-host-{}", std::process::id());
    let _listener =
        UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let mut spec = python(CONNECT, &format!("AF_UNIX @{name}"));
    spec.network = Network::Host;
    let ended = run(&spec).await;
    assert!(ended.out.starts_with("failed"), "{ended:?}");
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
    let mut victim = std::process::Command::new("sleep").arg("60").spawn().unwrap();
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
