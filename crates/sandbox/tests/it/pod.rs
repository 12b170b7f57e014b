//! Pods, over a cluster that is pretended.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use doorward_sandbox::{Kubernetes, Sandbox, SpawnError, Spec};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::{LAUNCHER, Scene, end, somewhere_runs, soon};

/// The cluster of `pod/kubectl.py` in a folder of its own.
struct Cluster(Scene);

impl Cluster {
    fn new() -> Self {
        let scene = Scene::new(&[("kubectl", include_str!("pod/kubectl.py")), ("state/log", "")]);
        fs::set_permissions(scene.path("kubectl"), fs::Permissions::from_mode(0o755)).unwrap();
        Self(scene)
    }

    fn sandbox(&self) -> Kubernetes {
        let sandbox = Kubernetes::new("tools", "tracker:1").context("test").instance("gw");
        sandbox.program(self.0.text("kubectl")).launcher(LAUNCHER).enforces_policies()
    }

    fn set(&self, name: &str) {
        fs::write(self.0.path("state").join(name), "").unwrap();
    }

    /// The commands it was given.
    fn log(&self) -> Vec<Vec<String>> {
        let log = fs::read_to_string(self.0.path("state/log")).unwrap();
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// What there is.
    fn things(&self) -> Vec<Value> {
        let paths = fs::read_dir(self.0.path("state")).unwrap().map(|entry| entry.unwrap().path());
        let paths = paths.filter(|path| path.extension() == Some("json".as_ref()));
        paths
            .filter_map(|path| serde_json::from_str(&fs::read_to_string(path).ok()?).ok())
            .collect()
    }
}

fn shell(script: &str) -> Spec {
    Spec::new(["/bin/sh", "-c", script])
}

fn mark(which: u32) -> String {
    format!("4{which}{}.5", std::process::id())
}

#[tokio::test]
async fn a_pod_runs_and_leaves_nothing() {
    let cluster = Cluster::new();
    let secret = format!("s3cret{}", std::process::id());
    let mut spec = shell("echo $TOKEN $HOME; echo err >&2; read end; exit 7");
    spec.env.insert("TOKEN".into(), secret.clone());
    let mut child = cluster.sandbox().server("tracker").spawn(&spec).unwrap();
    let stdin = child.stdin.take();
    let things = cluster.things();
    assert_eq!(things.len(), 3);
    for thing in &things {
        let about = &thing["metadata"];
        assert_eq!(about["labels"]["doorward.dev/server"], "tracker");
        if thing["kind"] != "Pod" {
            let owner = json!([{
                "apiVersion": "v1", "kind": "Pod", "name": about["name"], "uid": "uid-1",
            }]);
            assert_eq!(about["ownerReferences"], owner);
        }
        assert!(!thing.to_string().contains(&secret));
    }
    drop(stdin);
    let ended = end(child).await;
    assert_eq!(ended.code, Some(7), "{ended:?}");
    assert_eq!((ended.out, ended.err), (format!("{secret} /tmp\n"), "err\n".to_owned()));
    assert!(cluster.things().is_empty());

    let log = cluster.log();
    let verbs: Vec<&str> = log.iter().map(|words| words[2].as_str()).collect();
    assert_eq!(
        verbs,
        ["create", "create", "patch", "patch", "wait", "attach", "get", "get", "delete"]
    );
    let name = log[4][4].strip_prefix("pod/").unwrap();
    let id = name.strip_prefix("doorward-").unwrap();
    for words in &log {
        assert_eq!(words[..2], ["--context=test", "--namespace=tools"]);
        assert!(!words.iter().any(|word| word.contains(&secret)));
    }
    let words = |index: usize| log[index][2..].join(" ");
    assert_eq!(words(0), "create --filename=- --output=jsonpath={.metadata.uid}");
    assert_eq!(words(4), format!("wait --for=condition=Ready pod/{name} --timeout=120s"));
    assert_eq!(words(5), format!("attach --stdin --quiet --container=program {name}"));
    assert_eq!(
        words(8),
        format!(
            "delete pods,secrets,networkpolicies --selector=doorward.dev/id={id} --now \
             --wait=false --ignore-not-found"
        )
    );
}

#[tokio::test]
async fn a_pod_that_does_not_start_is_removed_and_told() {
    for (what, expected) in
        [("quota", "exceeded quota"), ("unready", "condition: 0/1 nodes are available")]
    {
        let cluster = Cluster::new();
        cluster.set(what);
        let mut spec = shell("true");
        spec.env.insert("TOKEN".into(), "hunter22".into());
        let error = cluster.sandbox().spawn(&spec).unwrap_err();
        let SpawnError::Exec { reason, .. } = &error else { panic!("{error}") };
        assert!(reason.contains(expected), "{reason}");
        assert!(!reason.contains("hunter22") && !reason.contains("aHVudGVyMjI="), "{reason}");
        assert!(cluster.things().is_empty());
    }
    let gone = Kubernetes::new("tools", "t").program("/no/such/kubectl").launcher(LAUNCHER);
    let error = gone.enforces_policies().spawn(&shell("true")).unwrap_err();
    assert!(matches!(error, SpawnError::NotFound { .. }), "{error}");
}

#[tokio::test]
async fn a_pod_ends_with_its_child() {
    let cluster = Cluster::new();
    for kill in [true, false] {
        let mark = mark(u32::from(kill));
        let mut child = cluster.sandbox().spawn(&Spec::new(["sleep", &mark])).unwrap();
        soon("it is up", || somewhere_runs(&format!("sleep\0{mark}"))).await;
        if kill {
            child.kill().await.unwrap();
            assert!(cluster.things().is_empty());
        } else {
            drop(child);
        }
        soon("it is gone", || !somewhere_runs(&format!("sleep\0{mark}"))).await;
        soon("it is removed", || cluster.things().is_empty()).await;
    }
}

#[tokio::test]
async fn a_program_in_a_pod_can_be_asked_to_end() {
    let cluster = Cluster::new();
    let script = "trap 'echo bye; exit 9' TERM; echo up; while :; do sleep 0.05; done";
    let mut child = cluster.sandbox().spawn(&shell(script)).unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("up"));
    child.terminate().unwrap();
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("bye"));
    assert_eq!(child.wait().await.unwrap().code(), Some(9));
}

#[tokio::test]
async fn a_sweep_takes_the_pods_of_the_dead() {
    let cluster = Cluster::new();
    let sandbox = cluster.sandbox();
    let mut mine = sandbox.spawn(&shell("read end")).unwrap();
    let left = |kind: &str, id: &str, instance: &str| {
        let name = format!("doorward-{id}.{kind}.json");
        let thing = json!({ "kind": kind, "metadata": {
            "name": format!("doorward-{id}"),
            "labels": { "doorward.dev/id": id, "doorward.dev/instance": instance },
            "annotations": { "doorward.dev/life": "another-boot.1.2.3" },
        }});
        fs::write(cluster.0.path("state").join(name), thing.to_string()).unwrap();
    };
    left("pod", "old", "gw");
    left("secret", "old", "gw");
    // Its pod was never made.
    left("networkpolicy", "half", "gw");
    left("pod", "theirs", "other");
    assert_eq!(cluster.things().len(), 6);
    assert_eq!(sandbox.sweep().unwrap(), 2);
    assert_eq!(cluster.things().len(), 3);
    assert_eq!(sandbox.sweep().unwrap(), 0);
    assert!(mine.try_wait().unwrap().is_none());
    mine.kill().await.unwrap();
}

#[tokio::test]
async fn what_a_cluster_gives_is_told() {
    let cluster = Cluster::new();
    let holds = |name: &str| {
        let layers = cluster.sandbox().layers();
        layers.iter().find(|layer| layer.name == name).unwrap().holds
    };
    assert!(holds("pod security admission") && holds("network policy") && holds("seccomp"));
    assert!(!holds("process limit") && !holds("user namespace"));
    let unvouched = Kubernetes::new("tools", "t").program(cluster.0.text("kubectl")).layers();
    assert!(unvouched.iter().any(|layer| layer.name == "network policy" && !layer.holds));
    cluster.set("broken");
    assert!(cluster.sandbox().layers().iter().all(|layer| !layer.holds));
    assert!(cluster.sandbox().sweep().is_err());
}
