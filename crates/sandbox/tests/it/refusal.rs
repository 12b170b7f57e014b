//! What is refused, and how that is told.

use doorward_sandbox::{Direct, Layer, Missing, Native, Sandbox, SpawnError, Spec};

use crate::{LAUNCHER, Scene, end, run, sandbox, somewhere_runs, soon};

#[tokio::test]
async fn a_refusal_names_its_cause() {
    let scene = Scene::new(&[("text", "no program"), ("data/db", "x")]);
    let text = scene.text("text");
    let refused = |spec: &Spec| sandbox().spawn(spec).unwrap_err();
    assert!(matches!(refused(&Spec::default()), SpawnError::EmptyCommand));
    for command in ["no-such-program", "/no/such/program"] {
        let error = refused(&Spec::new([command]));
        assert!(
            matches!(&error, SpawnError::NotFound { command: named } if named == command),
            "{error}"
        );
    }
    let error = refused(&Spec::new([text.as_str()]));
    assert!(matches!(&error, SpawnError::Exec { command, .. } if *command == text), "{error}");

    let missing = Spec { read: vec!["/no/such/file".into()], ..Spec::new(["true"]) };
    assert!(matches!(refused(&missing), SpawnError::Path { .. }));
    let hidden =
        Spec { write: vec![scene.path("")], hide: vec![scene.path("data")], ..Spec::new(["true"]) };
    assert!(refused(&hidden).to_string().contains("hidden"));
    let nowhere = Spec { cwd: Some("/no/such/folder".into()), ..Spec::new(["true"]) };
    assert!(matches!(refused(&nowhere), SpawnError::Path { .. }));
}

#[tokio::test]
async fn a_launcher_that_is_none_is_told() {
    let gone = Native::new("/no/such/launcher").spawn(&Spec::new(["true"])).unwrap_err();
    assert!(matches!(gone, SpawnError::Launcher { .. }), "{gone}");
    let other = Native::new("/bin/false").spawn(&Spec::new(["true"])).unwrap_err();
    assert!(matches!(other, SpawnError::Silent { .. }), "{other}");
    assert!(Native::new("/bin/false").layers().iter().all(|layer| !layer.holds));
}

/// A sandbox within a sandbox, where namespaces are not to be had.
fn within(options: &[&str], command: &[&str]) -> Spec {
    let words = [LAUNCHER].iter().chain(options).chain(&["--"]).chain(command);
    Spec::new(words.copied())
}

#[tokio::test]
async fn a_missing_layer_is_refused_by_name() {
    let ended = run(&within(&[], &["/bin/echo", "ran"])).await;
    assert_eq!(ended.code, Some(126), "{ended:?}");
    assert!(ended.err.contains("user namespace is missing"), "{ended:?}");
    assert!(ended.out.is_empty());
}

#[tokio::test]
async fn a_missing_layer_is_left_out_if_that_is_wanted() {
    let scene = Scene::new(&[("secret", "TELL NOBODY")]);
    let mut spec = within(
        &["--weaken"],
        &["/bin/sh", "-c", &format!("echo ran; cat {}", scene.text("secret"))],
    );
    spec.read = vec![scene.path("secret")];
    let ended = run(&spec).await;
    assert!(ended.out.starts_with("ran\n"), "{ended:?}");
    // Landlock still stands.
    assert!(!ended.out.contains("TELL"), "{ended:?}");
}

#[tokio::test]
async fn what_holds_is_told() {
    let layers = sandbox().layers();
    for name in ["user namespace", "mount namespace", "network namespace", "seccomp"] {
        assert!(layers.iter().any(|layer| layer.name == name && layer.holds), "{name}: {layers:?}");
    }
    for name in ["cgroup", "egress"] {
        let told = layers.iter().filter(|layer| layer.name == name && !layer.detail.is_empty());
        assert_eq!(told.count(), 1, "{name}: {layers:?}");
    }
    let child = sandbox().missing(Missing::Weaken).spawn(&Spec::new(["true"])).unwrap();
    // The probe tells of a proxy; this program has none.
    let but_egress = |layers: &[Layer]| -> Vec<Layer> {
        layers.iter().filter(|layer| layer.name != "egress").cloned().collect()
    };
    assert_eq!(but_egress(child.layers()), but_egress(&layers));
}

#[tokio::test]
async fn a_secret_stands_in_no_argument_list() {
    let secret = format!("s3cret{}", std::process::id());
    let mut spec = Spec::new(["/bin/sh", "-c", "echo $TOKEN; read end"]);
    spec.env.insert("TOKEN".into(), secret.clone());
    let mut child = sandbox().spawn(&spec).unwrap();
    let stdin = child.stdin.take();
    soon("it runs", || somewhere_runs("echo $TOKEN; read end")).await;
    assert!(!somewhere_runs(&secret));
    assert!(!format!("{spec:?} {child:?}").contains(&secret));
    drop(stdin);
    assert_eq!(end(child).await.out.trim(), secret);
}

#[tokio::test]
async fn without_a_sandbox_the_environment_is_still_clear() {
    let mut spec = Spec::new(["/bin/sh", "-c", "env; ulimit -n"]);
    spec.env.insert("TOKEN".into(), "x".into());
    spec.limits.open_files = 77;
    spec.command[2].insert_str(0, "sleep 0.2; ");
    let ended = end(Direct.spawn(&spec).unwrap()).await;
    assert!(ended.out.contains("TOKEN=x") && ended.out.ends_with("77\n"), "{ended:?}");
    assert!(!ended.out.contains("CARGO_MANIFEST_DIR"), "{ended:?}");
    let missing = Direct.spawn(&Spec::new(["no-such-program"])).unwrap_err();
    assert!(matches!(missing, SpawnError::NotFound { .. }));
}
