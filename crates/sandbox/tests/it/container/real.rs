//! Over podman or docker, where one works here. Where none does, that is said and nothing is
//! tested; with `DOORWARD_TEST_CONTAINER=require` it is a failure.
//!
//! The image is made of this machine's `busybox` (Debian: `busybox-static`); further options of
//! `run` may be given in `DOORWARD_TEST_CONTAINER_OPTIONS`.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use doorward_sandbox::{Container, Limits, Runtime, Sandbox, Spec};

use crate::{LAUNCHER, Scene, end, somewhere_runs, soon};

const IMAGE: &str = "doorward-sandbox-test:1";

/// Options a machine with few rights needs: podman's own defaults ask for more than it has, and
/// crun will not have mixed control groups.
const NESTED: [&str; 2] = ["--ulimit=nproc=4096:4096", "--runtime=runc"];

static FOUND: OnceLock<Option<Container>> = OnceLock::new();

#[expect(clippy::disallowed_methods, reason = "how the tests are to be run is said there")]
fn told(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn works(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// A sandbox that works here.
fn sandbox() -> Option<Container> {
    let found = FOUND.get_or_init(find).clone();
    if found.is_none() {
        println!("SKIPPED: no container runtime works here; containers were NOT run for real");
        assert_ne!(
            told("DOORWARD_TEST_CONTAINER").as_deref(),
            Some("require"),
            "no container runtime works here"
        );
    }
    found
}

fn find() -> Option<Container> {
    let busybox =
        ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists())?;
    for (runtime, program) in [(Runtime::Podman, "podman"), (Runtime::Docker, "docker")] {
        if !works(Command::new(program).arg("info")) && !works(Command::new(program).arg("images"))
        {
            continue;
        }
        if !works(Command::new(program).args(["image", "inspect", IMAGE])) {
            import(program, busybox);
        }
        let given = told("DOORWARD_TEST_CONTAINER_OPTIONS").unwrap_or_default();
        let given: Vec<&str> = given.split_ascii_whitespace().collect();
        for options in [given.as_slice(), &NESTED[..1], &NESTED] {
            let mut command = Command::new(program);
            command.args(["run", "--rm", "--pull=never", "--network=none", "--memory=64m"]);
            command.arg("--ulimit=nofile=1024:1024");
            if works(command.args(options).args([IMAGE, "/bin/true"])) {
                let sandbox = Container::new(runtime, IMAGE).launcher(LAUNCHER);
                return Some(sandbox.instance("test").extra(options.iter().copied()));
            }
        }
    }
    None
}

/// An image with nothing but busybox in it.
fn import(program: &str, busybox: &str) {
    let scene =
        Scene::new(&[("root/bin/.keep", ""), ("root/etc/.keep", ""), ("root/tmp/.keep", "")]);
    std::fs::copy(busybox, scene.path("root/bin/busybox")).unwrap();
    for name in ["sh", "cat", "env", "id", "ls", "sleep", "echo", "true", "grep", "wc", "head"] {
        std::os::unix::fs::symlink("busybox", scene.path("root/bin").join(name)).unwrap();
    }
    // runc gives a tmpfs the rights of the folder under it.
    let all = std::os::unix::fs::PermissionsExt::from_mode(0o1777);
    std::fs::set_permissions(scene.path("root/tmp"), all).unwrap();
    let tar = scene.text("image.tar");
    assert!(works(Command::new("tar").args(["-C", &scene.text("root"), "-cf", &tar, "."])));
    works(Command::new(program).args(["import", &tar, IMAGE]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_container_holds_what_it_is_to_hold() {
    let Some(sandbox) = sandbox() else { return };
    let scene = Scene::new(&[("given/x", "readable\n"), ("kept/x", "old\n"), ("secret", "TELL")]);
    open(&scene);
    let script = format!(
        "id -u; grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status; \
         cat {0}/given/x; echo new > {0}/given/x || echo read-only; echo new > {0}/kept/x; \
         cat {0}/secret || echo unseen; echo x > /root-file || echo sealed; \
         echo x > /tmp/y && echo scratch; ls /sys/class/net; env; wc -c < /dev/stdin",
        scene.text("")
    );
    let mut spec = Spec::new(["/bin/sh", "-c", &script]);
    spec.read = vec![scene.path("given")];
    spec.write = vec![scene.path("kept")];
    spec.env.insert("TOKEN".into(), "two\nlines".into());
    let ended = end(sandbox.spawn(&spec).unwrap()).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let out: Vec<&str> = ended.out.lines().map(str::trim).collect();
    assert_eq!(out[0], "65532", "{ended:?}");
    for line in [
        "CapEff:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
        "readable",
        "read-only",
        "unseen",
        "sealed",
        "scratch",
        "lo",
        "TOKEN=two",
        "lines",
        "HOME=/tmp",
    ] {
        assert!(out.contains(&line), "{line:?} in {ended:?}");
    }
    assert!(!out.contains(&"eth0") && !ended.out.contains("TELL"), "{ended:?}");
    assert!(!ended.out.contains("CARGO"), "{ended:?}");
    assert_eq!(std::fs::read_to_string(scene.path("kept/x")).unwrap(), "new\n");
    assert_eq!(std::fs::read_to_string(scene.path("given/x")).unwrap(), "readable\n");
}

/// Lets the container's user in.
fn open(scene: &Scene) {
    for (path, mode) in [("", 0o755), ("given", 0o755), ("kept", 0o777), ("kept/x", 0o666)] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(scene.path(path), mode).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_container_is_gone_with_its_child() {
    let Some(sandbox) = sandbox() else { return };
    let mark = format!("58{}", std::process::id());
    let mut child = sandbox.spawn(&Spec::new(["/bin/sleep", &mark])).unwrap();
    soon("it is up", || somewhere_runs(&format!("sleep\0{mark}"))).await;
    assert_eq!(sandbox.sweep().unwrap(), 0, "it is nobody's orphan");
    child.kill().await.unwrap();
    assert!(!somewhere_runs(&format!("sleep\0{mark}")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_container_is_bounded() {
    let Some(sandbox) = sandbox() else { return };
    let limits = Limits { memory: 32 << 20, processes: 20, ..Limits::default() };
    let bomb =
        "for i in 1 2 3 4 5 6 7 8; do :; done; x=$(head -c 200000000 /dev/zero | cat -v); echo no";
    let spec = Spec { limits, ..Spec::new(["/bin/sh", "-c", bomb]) };
    let ended = end(sandbox.spawn(&spec).unwrap()).await;
    assert!(!ended.out.contains("no\n") || ended.code != Some(0), "{ended:?}");

    let fork = "i=0; while [ $i -lt 60 ]; do sleep 5 & i=$((i+1)); done; echo all";
    let spec = Spec { limits, ..Spec::new(["/bin/sh", "-c", fork]) };
    let mut child = sandbox.spawn(&spec).unwrap();
    let mut err = String::new();
    let mut stderr = child.stderr.take().unwrap();
    let read = tokio::io::AsyncReadExt::read_to_string(&mut stderr, &mut err);
    tokio::time::timeout(std::time::Duration::from_secs(20), read).await.unwrap().unwrap();
    assert!(err.contains("fork"), "{err}");
}
