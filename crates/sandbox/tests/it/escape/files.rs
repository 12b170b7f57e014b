//! Ways out by files.

use std::path::Path;

use doorward_sandbox::{Sandbox, Spec};
use serde_json::json;

use super::{Hostile, is_root, only_outside};
use crate::{Scene, end, has, run, sandbox, shell};

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

#[tokio::test]
async fn a_server_cannot_read_the_shadow_file() {
    if !has("python3") || !is_root() {
        return println!("skipped: needs python3, and a caller who could read it");
    }
    only_outside("read", json!({ "path": "/etc/shadow" })).await;
    // Nor by another road to the same file.
    let mut hostile = Hostile::inside(&Hostile::spec());
    for path in [
        "/proc/self/root/etc/shadow",
        "/proc/1/root/etc/shadow",
        "/proc/self/cwd/../../../../etc/shadow",
        "/tmp/../etc/shadow",
        "/.host/etc/shadow",
        "/dev/fd/../../etc/shadow",
    ] {
        let outcome = hostile.tries("read", json!({ "path": path })).await;
        assert!(outcome.is_refused(), "{path}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_server_cannot_find_the_gateways_database() {
    if !has("python3") {
        return;
    }
    let secret = format!("m4ster{}", std::process::id());
    let scene = Scene::new(&[("data/doorward.db", &secret), ("doorward.toml", &secret), ("s", "")]);
    let mut spec = Hostile::spec();
    // The server works beside it, and even in its folder.
    spec.cwd = Some(scene.path(""));
    spec.read = vec![scene.path("")];
    spec.hide = vec![scene.path("data"), scene.path("doorward.toml")];
    let here = json!({ "word": secret, "roots": [scene.text("")] });
    let found = Hostile::outside().tries("search", here).await.got();
    assert_eq!(found["found"].as_array().unwrap().len(), 2, "{found}");

    let roots = [&scene.text(""), "/tmp", "/home", "/etc", "/var", "/run"];
    let everywhere = json!({ "word": secret, "roots": roots });
    let mut hostile = Hostile::inside(&spec);
    let found = hostile.tries("search", everywhere).await.got();
    assert!(found["found"] == json!([]) && found["files"].as_u64() > Some(0), "{found}");
    for name in ["data/doorward.db", "doorward.toml", "data", "s/../data/doorward.db"] {
        let outcome = hostile.tries("read", json!({ "path": scene.text(name) })).await;
        assert!(outcome.is_refused(), "{name}: {outcome:?}");
    }
    // Nor through the gateway's own eyes.
    let through = format!("/proc/{}/root{}", std::process::id(), scene.text("doorward.toml"));
    only_outside("read", json!({ "path": through })).await;
}

#[tokio::test]
async fn a_server_cannot_write_outside_its_tmp() {
    if !has("python3") {
        return;
    }
    let scene = Scene::new(&[("kept", "as it was")]);
    let outside = json!({ "path": scene.text("new"), "text": "x" });
    only_outside("write", outside).await;
    let mut spec = Hostile::spec();
    spec.read = vec![scene.path("")];
    let mut hostile = Hostile::inside(&spec);
    for path in [scene.text("kept"), scene.text("more"), "/usr/more".into(), "/etc/passwd".into()] {
        let outcome = hostile.tries("write", json!({ "path": path, "text": "x" })).await;
        assert!(outcome.is_refused(), "{path}: {outcome:?}");
    }
    let own = hostile.tries("write", json!({ "path": "/tmp/own", "text": "x" })).await;
    assert_eq!(own.got(), 1);
    assert_eq!(std::fs::read_to_string(scene.path("kept")).unwrap(), "as it was");
    assert!(!Path::new("/tmp/own").exists());
}

#[tokio::test]
async fn a_server_cannot_change_the_kernels_settings() {
    if !has("python3") || !is_root() {
        return println!("skipped: needs python3, and a caller who could change them");
    }
    // Opened for writing and closed again.
    for path in [
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/modprobe",
        "/proc/sys/kernel/hostname",
        "/proc/sys/vm/drop_caches",
        "/proc/sys/kernel/ns_last_pid",
        "/proc/sysrq-trigger",
    ] {
        if Path::new(path).exists() {
            only_outside("write", json!({ "path": path })).await;
        }
    }
    let mut hostile = Hostile::inside(&Hostile::spec());
    for path in ["/sys", "/sys/kernel", "/sys/fs/cgroup", "/proc/sys/kernel/keys"] {
        let write = format!("{path}/x");
        let outcome = hostile.tries("write", json!({ "path": write, "text": "x" })).await;
        assert!(outcome.is_refused(), "{path}: {outcome:?}");
    }
    assert!(hostile.tries("look", json!({ "path": "/sys" })).await.is_refused());
}

#[tokio::test]
async fn a_server_inherits_three_descriptors_and_no_more() {
    if !has("python3") {
        return;
    }
    // One that anybody may inherit, as careless code in a gateway may leave it.
    let scene = Scene::new(&[("secret", "x")]);
    let file = std::fs::File::open(scene.path("secret")).unwrap();
    nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).unwrap();
    let number = std::os::fd::AsRawFd::as_raw_fd(&file);
    let open = Hostile::outside().tries("descriptors", json!({})).await.got();
    assert!(open.as_array().unwrap().contains(&json!(number)), "{open}");

    let mut spec = Hostile::spec();
    spec.network = doorward_sandbox::Network::Proxy;
    for spec in [Hostile::spec(), spec] {
        let open = Hostile::inside(&spec).tries("descriptors", json!({})).await.got();
        assert_eq!(open, json!([0, 1, 2]));
    }
}
