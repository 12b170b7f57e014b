//! Containers: over a runtime that writes down what it is told, and over a real one where this
//! machine has one.

mod real;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use doorward_sandbox::{Container, Sandbox, SpawnError, Spec};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::{Ended, LAUNCHER, Scene, end, somewhere_runs, soon};

/// The runtime of `container/runtime.sh` in a folder of its own.
struct Fake(Scene);

impl Fake {
    fn new() -> Self {
        let scene = Scene::new(&[("runtime", include_str!("container/runtime.sh"))]);
        let runnable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(scene.path("runtime"), runnable).unwrap();
        Self(scene)
    }

    fn container(&self, image: &str) -> Container {
        Container::docker(image).program(self.0.text("runtime")).launcher(LAUNCHER)
    }

    fn state(&self, name: &str) -> String {
        fs::read_to_string(self.0.path("state").join(name)).unwrap_or_default()
    }

    /// The containers there are.
    fn containers(&self) -> usize {
        let Ok(entries) = fs::read_dir(self.0.path("state")) else { return 0 };
        entries
            .filter(|entry| entry.as_ref().unwrap().path().extension() == Some("pid".as_ref()))
            .count()
    }

    async fn run(&self, spec: &Spec) -> Ended {
        end(self.container("tracker:1").spawn(spec).unwrap()).await
    }
}

fn shell(script: &str) -> Spec {
    Spec::new(["/bin/sh", "-c", script])
}

fn mark(which: u32) -> String {
    format!("6{which}{}.5", std::process::id())
}

#[tokio::test]
async fn the_runtime_is_told_word_by_word() {
    let fake = Fake::new();
    let scene = Scene::new(&[("data/x", "")]);
    let mut spec = shell("cat; echo done >&2; exit 7");
    spec.read = vec![scene.path("data")];
    let ended = fake.run(&spec).await;
    assert_eq!((ended.code, ended.err.as_str()), (Some(7), "done\n"), "{ended:?}");

    let argv = fake.state("argv");
    let words: Vec<&str> = argv.lines().collect();
    assert_eq!(words[..3], ["--rm", "--interactive", "--init"]);
    let name = words[3].strip_prefix("--name=").unwrap();
    assert!(words[4].ends_with(&format!("/{name}/cid")), "{words:?}");
    let data = scene.path("data").canonicalize().unwrap();
    let mount =
        format!("--mount=type=bind,source={},target={}", data.display(), scene.text("data"));
    assert!(words.contains(&format!("{mount},readonly").as_str()), "{words:?}");
    let last = ["--entrypoint=/bin/sh", "tracker:1", "-c", "cat; echo done >&2; exit 7"];
    assert_eq!(words[words.len() - 4..], last);

    // What it left is nothing, the folder of the run included.
    assert_eq!(fake.containers(), 0);
    let folder = words[4].strip_prefix("--cidfile=").unwrap().strip_suffix("/cid").unwrap();
    assert!(!fs::exists(folder).unwrap());
    assert!(fake.state("log").contains(&format!("rm --force --volumes {name}")));
}

#[tokio::test]
async fn variables_arrive_whole_and_stand_on_no_command_line() {
    let fake = Fake::new();
    let secret = format!("s3cret{}", std::process::id());
    let key = format!("{secret}\nsecond 'line'\n\"$HOME\"");
    let mut spec = shell("printf '<%s>' \"$KEY\" \"$HTTP_PROXY\" \"$HOME\"; read end");
    spec.env.insert("KEY".into(), key.clone());
    spec.env.insert("HTTP_PROXY".into(), format!("http://u:{secret}@proxy:1"));
    let mut child = fake.container("tracker:1").spawn(&spec).unwrap();
    let stdin = child.stdin.take();
    soon("it runs", || !fake.state("environ").is_empty()).await;
    assert!(!somewhere_runs_but_ours(&secret));
    assert!(!fake.state("argv").contains(&secret));
    assert_eq!(fake.state("mode"), "600\n");
    // The runtime's own command is not steered, and sees nothing of the caller's.
    let environ = fake.state("environ");
    assert!(!environ.contains("HTTP_PROXY") && !environ.contains("CARGO_"), "{environ}");
    drop(stdin);
    let ended = end(child).await;
    assert_eq!(ended.out, format!("<{key}><http://u:{secret}@proxy:1></tmp>"));
}

/// As [`somewhere_runs`]; the pretended container's own `env` command line does not count.
fn somewhere_runs_but_ours(words: &str) -> bool {
    let lines = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    lines.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok()).any(|line| {
        let line = String::from_utf8_lossy(&line).into_owned();
        line.contains(words) && !line.starts_with("env\0-i")
    })
}

#[tokio::test]
async fn a_refusal_is_told_without_the_secrets() {
    let fake = Fake::new();
    let mut spec = shell("true");
    spec.env.insert("TOKEN".into(), "hunter22".into());
    let error = fake.container("missing").spawn(&spec).unwrap_err();
    let SpawnError::Exec { reason, .. } = &error else { panic!("{error}") };
    assert!(reason.contains("Unable to find image") && reason.contains("125"), "{reason}");
    assert!(reason.contains("***") && !reason.contains("hunter22"), "{reason}");

    let gone = Container::docker("tracker").program("/no/such/docker").launcher(LAUNCHER);
    let error = gone.spawn(&spec).unwrap_err();
    assert!(matches!(&error, SpawnError::NotFound { command } if command == "/no/such/docker"));
    assert!(gone.layers().iter().all(|layer| !layer.holds));
    assert!(matches!(gone.spawn(&Spec::default()), Err(SpawnError::EmptyCommand)));
}

#[tokio::test]
async fn a_container_ends_with_its_child() {
    let fake = Fake::new();
    for kill in [true, false] {
        let mark = mark(u32::from(kill));
        let mut child =
            fake.container("tracker:1").spawn(&shell(&format!("sleep {mark}"))).unwrap();
        soon("it is up", || somewhere_runs(&format!("sleep\0{mark}"))).await;
        if kill {
            child.kill().await.unwrap();
            assert!(!somewhere_runs(&format!("sleep\0{mark}")));
            assert_eq!(fake.containers(), 0);
        } else {
            drop(child);
        }
        soon("it is gone", || !somewhere_runs(&format!("sleep\0{mark}"))).await;
        soon("it is removed", || fake.containers() == 0).await;
    }
}

#[tokio::test]
async fn a_container_ends_with_its_caller_however_that_ends() {
    let fake = Fake::new();
    let mark = mark(2);
    let mut caller = Command::new(LAUNCHER);
    caller.args(["--container", "tracker:1", "--runtime", &fake.0.text("runtime"), "--"]);
    caller.args(["/bin/sh", "-c", &format!("sleep {mark}")]);
    let mut caller = caller.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    soon("it is up", || somewhere_runs(&format!("sleep\0{mark}"))).await;
    caller.kill().unwrap();
    caller.wait().unwrap();
    soon("it is gone", || !somewhere_runs(&format!("sleep\0{mark}"))).await;
    soon("it is removed", || fake.containers() == 0).await;
}

#[tokio::test]
async fn a_program_in_a_container_can_be_asked_to_end() {
    let fake = Fake::new();
    let script = "trap 'echo bye; exit 9' TERM; echo up; while :; do sleep 0.05; done";
    let mut child = fake.container("tracker:1").spawn(&shell(script)).unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("up"));
    child.terminate().unwrap();
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("bye"));
    assert_eq!(child.wait().await.unwrap().code(), Some(9));
}

#[tokio::test]
async fn a_sweep_takes_what_the_dead_left_and_nothing_else() {
    let fake = Fake::new();
    let container = fake.container("tracker:1").instance("gw");
    let mut mine = container.spawn(&shell("read end")).unwrap();
    let mut other =
        fake.container("tracker:1").instance("other").spawn(&shell("read end")).unwrap();
    assert_eq!(fake.containers(), 2);
    // One of an earlier boot, one of a process that is gone.
    let world = fake.state("argv");
    let life = world.lines().find_map(|word| word.strip_prefix("--label=doorward.life="));
    let dead = life.unwrap().replacen(&format!(".{}.", std::process::id()), ".4194399.", 1);
    for (name, life) in [("old", "another-boot.1.2.3"), ("dead", &dead)] {
        fs::write(fake.0.path("state").join(format!("{name}.instance")), "gw\n").unwrap();
        fs::write(fake.0.path("state").join(format!("{name}.life")), life).unwrap();
        fs::write(fake.0.path("state").join(format!("{name}.pid")), "4194399").unwrap();
    }
    assert_eq!(fake.containers(), 4);
    assert_eq!(container.sweep().unwrap(), 2);
    assert_eq!(fake.containers(), 2);
    assert_eq!(container.sweep().unwrap(), 0);
    assert!(mine.try_wait().unwrap().is_none() && other.try_wait().unwrap().is_none());
    mine.kill().await.unwrap();
    other.kill().await.unwrap();
}

#[tokio::test]
async fn what_the_runtime_gives_is_told() {
    let fake = Fake::new();
    let container = fake.container("tracker:1");
    let layers = container.layers();
    assert!(layers.iter().any(|layer| layer.name == "seccomp" && layer.holds));
    assert!(layers.iter().any(|layer| layer.name == "user namespace" && !layer.holds));
    let child = container.spawn(&shell("true")).unwrap();
    assert_eq!(child.layers(), layers);
    fs::write(fake.0.path("state/broken"), "").unwrap();
    let layers = container.layers();
    assert!(layers.iter().all(|layer| !layer.holds && layer.detail.contains("Cannot connect")));
}
