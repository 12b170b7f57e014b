//! Tricks with a folder that the server may change and that others look into.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use doorward_sandbox::{Sandbox, SpawnError, Spec};
use serde_json::json;

use super::{Hostile, is_root};
use crate::{LAUNCHER, Scene, has, run, sandbox};

/// A folder that is given for writing, beside one that is not given.
fn scene() -> (Scene, Spec) {
    let scene = Scene::new(&[("shared/kept/a", "A"), ("secret/key", "SECRET")]);
    let mut spec = Hostile::spec();
    spec.write = vec![scene.path("shared")];
    (scene, spec)
}

#[tokio::test]
async fn a_link_in_a_shared_folder_leads_nowhere() {
    if !has("python3") {
        return;
    }
    let (scene, spec) = scene();
    let mut hostile = Hostile::inside(&spec);
    for (name, target) in [
        ("absolute", scene.text("secret")),
        ("relative", "../secret".to_owned()),
        ("through", format!("/proc/{}/root{}", std::process::id(), scene.text("secret"))),
        ("root", "/proc/1/root".to_owned()),
    ] {
        let at = scene.text(&format!("shared/{name}"));
        let linked = hostile.tries("link", json!({ "target": target, "path": at })).await;
        assert_eq!(linked.got(), "linked");
        for path in [format!("{at}/key"), format!("{at}{}", scene.text("secret/key"))] {
            let outcome = hostile.tries("read", json!({ "path": path })).await;
            assert!(outcome.is_refused(), "{path}: {outcome:?}");
        }
        let outcome =
            hostile.tries("write", json!({ "path": format!("{at}/new"), "text": "x" })).await;
        assert!(outcome.is_refused(), "{name}: {outcome:?}");
    }
    // The links are good ones: from outside they lead there.
    assert_eq!(fs::read_to_string(scene.path("shared/absolute/key")).unwrap(), "SECRET");
    assert!(!scene.path("secret/new").exists());
}

#[tokio::test]
async fn nothing_is_moved_or_linked_out_of_a_shared_folder() {
    if !has("python3") {
        return;
    }
    let (scene, spec) = scene();
    let mut hostile = Hostile::inside(&spec);
    let (kept, secret) = (scene.text("shared/kept"), scene.text("secret"));
    for (what, with) in [
        ("rename", json!({ "old": kept, "new": format!("{secret}/kept") })),
        ("rename", json!({ "old": kept, "new": scene.text("shared/../kept") })),
        (
            "hardlink",
            json!({ "target": format!("{secret}/key"), "path": scene.text("shared/key") }),
        ),
        ("hardlink", json!({ "target": "/usr/bin/env", "path": scene.text("shared/env") })),
        ("rename", json!({ "old": scene.text("shared"), "new": scene.text("other") })),
    ] {
        let outcome = hostile.tries(what, with.clone()).await;
        assert!(outcome.is_refused(), "{what} {with}: {outcome:?}");
    }
    let within = json!({ "old": kept, "new": scene.text("shared/moved") });
    assert_eq!(hostile.tries("rename", within).await.got(), "renamed");
}

#[tokio::test]
async fn a_link_left_behind_does_not_widen_the_next_start() {
    if !has("python3") {
        return;
    }
    let (scene, spec) = scene();
    let mut hostile = Hostile::inside(&spec);
    for name in ["node_modules", "sub"] {
        let at = scene.text(&format!("shared/{name}"));
        let linked = hostile.tries("link", json!({ "target": "../secret", "path": at })).await;
        assert_eq!(linked.got(), "linked");
    }
    drop(hostile);

    // What stands beside the working folder is given, but not by such a link.
    let mut next = Spec { cwd: Some(scene.path("shared")), ..spec.clone() };
    let mut hostile = Hostile::inside(&next);
    let key = json!({ "path": scene.text("secret/key") });
    assert!(hostile.tries("read", key.clone()).await.is_refused());
    // A folder of that name that is none is refused by name.
    next.read = vec![scene.path("shared/sub")];
    let refused = sandbox().spawn(&next);
    assert!(matches!(refused, Err(SpawnError::Path { .. })), "{refused:?}");
    // Control: with the link set by somebody else, the name is good.
    let mut other = Hostile::spec();
    other.read = vec![scene.path("shared/sub")];
    assert_eq!(Hostile::inside(&other).tries("read", key).await.got(), "SECRET");
}

#[tokio::test]
async fn a_folder_swapped_for_a_link_while_another_starts_gives_nothing() {
    if !has("python3") {
        return;
    }
    let (scene, spec) = scene();
    let mut hostile = Hostile::inside(&spec);
    let swapping = tokio::spawn({
        let with = json!({ "path": scene.text("shared/kept"), "other": "../secret", "seconds": 2 });
        async move { hostile.tries("swap", with).await.got() }
    });
    let (look, key) = (scene.text("shared/kept"), scene.text("secret/key"));
    let mut next = Spec::new(["/bin/sh", "-c", "cat \"$0\"/* \"$1\"; true", &look, &key]);
    // Not an argument that exposes anything by itself.
    next.command[2] = format!("cat {look}/* {key}; true");
    next.command.truncate(3);
    next.write = vec![scene.path("shared")];
    next.read = vec![scene.path("shared/kept")];
    let (mut started, mut refused) = (0, 0);
    while !swapping.is_finished() {
        match sandbox().spawn(&next) {
            Ok(child) => {
                let ended = crate::end(child).await;
                assert!(!ended.out.contains("SECRET"), "{ended:?}");
                started += 1;
            }
            Err(_) => refused += 1,
        }
    }
    let turns = swapping.await.unwrap();
    assert!(turns.as_u64() > Some(100) && started + refused > 10, "{turns} {started} {refused}");
}

#[tokio::test]
async fn no_file_of_a_shared_folder_lends_its_owners_rights() {
    if !has("python3") {
        return;
    }
    let (scene, spec) = scene();
    let mut hostile = Hostile::inside(&spec);
    let file = scene.text("shared/kept/a");
    let new = |name: &str| scene.text(&format!("shared/{name}"));
    for bits in [0o4755, 0o2755, 0o6755] {
        for (what, with) in [
            ("chmod", json!({ "path": file, "mode": bits })),
            ("make", json!({ "path": new("new"), "mode": bits })),
            ("make", json!({ "path": scene.text("shared"), "mode": bits, "tmpfile": true })),
        ] {
            let outcome = hostile.tries(what, with.clone()).await;
            assert_eq!(outcome, super::Outcome::Refused("EPERM".into()), "{what} {with}");
        }
    }
    let plain = hostile.tries("chmod", json!({ "path": file, "mode": 0o755 })).await;
    assert_eq!(plain.got(), "0o100755");
    let plain = hostile.tries("make", json!({ "path": new("plain"), "mode": 0o755 })).await;
    assert_eq!(plain.got(), "0o100755");
    for entry in fs::read_dir(scene.path("shared")).unwrap() {
        let mode = entry.unwrap().metadata().unwrap().mode();
        assert_eq!(mode & 0o6000, 0, "{mode:o}");
    }
    // Control: without the sandbox it may.
    let outcome = Hostile::outside().tries("chmod", json!({ "path": file, "mode": 0o4755 })).await;
    assert_eq!(outcome.got(), "0o104755");
}

#[tokio::test]
async fn a_setuid_program_lends_nothing_within() {
    if !is_root() || !has("setpriv") {
        return println!("skipped: only root can make such a program and then be somebody else");
    }
    let scene = Scene::new(&[("who", "")]);
    fs::copy("/usr/bin/id", scene.path("who")).unwrap();
    for (path, mode) in [("", 0o755), ("who", 0o4755)] {
        fs::set_permissions(scene.path(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    let who = scene.text("who");
    let somebody = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let run_as = |words: &[&str]| {
        let mut command = std::process::Command::new("setpriv");
        let out = command.args(somebody).args(words).current_dir("/").output().unwrap();
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    };
    assert_eq!(run_as(&[&who, "-u"]), "0", "the program is a good one");
    assert_eq!(run_as(&[LAUNCHER, "--", &who, "-u"]), "1000");
    assert_eq!(run(&Spec::new([&who, "-u"])).await.out, "1000\n");
}
