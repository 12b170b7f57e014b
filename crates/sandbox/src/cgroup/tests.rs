//! Groups in folders that stand for the kernel's, and one in the kernel's own.

use std::process::Command;

use super::*;

/// A group with these controllers and processes.
fn group(at: &Path, controllers: &str, subtree: &str, processes: &str) {
    fs::create_dir_all(at).unwrap();
    fs::write(at.join("cgroup.controllers"), controllers).unwrap();
    fs::write(at.join("cgroup.subtree_control"), subtree).unwrap();
    fs::write(at.join("cgroup.procs"), processes).unwrap();
}

fn find(here: &Path) -> Result<PathBuf, String> {
    Site { here: here.to_owned(), pid: 77 }.find()
}

#[test]
fn a_group_is_found_where_it_is_mounted() {
    let hybrid = "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw";
    let cases = [
        ("24 1 0:22 / /sys/fs/cgroup rw - cgroup2 none rw", "/a/b", Some("/sys/fs/cgroup/a/b")),
        (hybrid, "/", Some("/sys/fs/cgroup/unified")),
        ("24 1 0:22 /pod/x /cg rw shared:1 - cgroup2 none rw", "/pod/x/y", Some("/cg/y")),
        ("24 1 0:22 /pod/x /cg rw - cgroup2 none rw", "/other", None),
        ("24 1 0:22 / /cg rw - cgroup none rw,memory", "/", None),
        ("", "/", None),
    ];
    for (mounts, own, found) in cases {
        assert_eq!(place(mounts, own), found.map(PathBuf::from), "{mounts} {own}");
    }
}

#[test]
fn what_was_not_given_is_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let service = dir.path().join("system.slice/doorward.service");
    group(dir.path(), "cpu memory pids", "cpu memory pids", "");
    group(service.parent().unwrap(), "cpu memory pids", "cpu memory pids", "");
    // Not delegated; no controllers at all.
    group(&service, "cpu memory pids", "", "77\n");
    assert!(find(&service).unwrap_err().contains("Delegate"), "{:?}", find(&service));
    group(&service, "hugetlb", "", "77\n");
    assert!(find(&service).unwrap_err().contains("controllers"));
    assert!(!service.join(OWN).exists());
}

#[test]
fn a_process_alone_in_a_container_steps_aside() {
    let dir = tempfile::tempdir().unwrap();
    group(dir.path(), "cpu memory pids", "", "77\n78\n");
    fs::write(dir.path().join("cgroup.type"), "domain").unwrap();
    assert!(find(dir.path()).unwrap_err().contains("other processes"));

    group(dir.path(), "cpu memory pids", "", "77\n");
    assert_eq!(find(dir.path()).unwrap(), dir.path());
    assert_eq!(text(&dir.path().join(OWN), "cgroup.procs"), "77");
}

#[test]
fn a_process_that_has_stepped_aside_uses_the_group_above() {
    let dir = tempfile::tempdir().unwrap();
    group(dir.path(), "cpu memory pids", "memory pids", "");
    group(&dir.path().join(OWN), "memory pids", "", "77\n");
    assert_eq!(find(&dir.path().join(OWN)).unwrap(), dir.path());
}

#[test]
fn the_topmost_group_of_a_machine_may_hold_both() {
    let dir = tempfile::tempdir().unwrap();
    group(dir.path(), "cpu memory pids", "cpu memory pids", "1\n77\n");
    assert_eq!(find(dir.path()).unwrap(), dir.path());
}

#[test]
fn a_group_bounds_the_tree() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { memory: 100 << 20, scratch: 20 << 20, processes: 9, ..Limits::default() };
    let group = Group::make(dir.path(), 5, &limits).unwrap();
    assert_eq!(text(&group.folder, "memory.max"), (200 << 20).to_string());
    assert_eq!(text(&group.folder, "pids.max"), "10");
    assert_eq!(text(&group.folder, "memory.oom.group"), "1");
    assert!(Group::make(&dir.path().join("missing"), 5, &limits).is_err());
}

#[test]
fn only_empty_groups_of_the_dead_are_swept() {
    let dir = tempfile::tempdir().unwrap();
    let living = format!("{PREFIX}{}", std::process::id());
    let names = ["doorward-4194399", "doorward-4194398", "doorward-x", "other-4194399", &living];
    for name in names {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    fs::write(dir.path().join("doorward-4194398/held"), "").unwrap();
    sweep(dir.path());
    let left = names.map(|name| dir.path().join(name).exists());
    assert_eq!(left, [false, true, true, true, true]);
}

#[test]
fn the_kernels_own_groups_are_made_entered_and_removed() {
    let top = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(Path::new);
    let top = top.into_iter().find(|top| top.join("cgroup.controllers").exists());
    let folder = top.map(|top| top.join(format!("{PREFIX}test-{}", std::process::id())));
    let Some(folder) = folder.filter(|folder| fs::create_dir(folder).is_ok()) else {
        return println!("skipped: no groups may be made here");
    };
    let group = Group { folder: folder.clone() };
    // Where the controllers are missing, a group is refused rather than left without bounds.
    let bounded = group.bound(&Limits::default());
    assert_eq!(bounded.is_ok(), has(&folder, "cgroup.controllers"), "{bounded:?}");
    let mut sleeper = Command::new("sleep").arg("60").spawn().unwrap();
    fs::write(folder.join("cgroup.procs"), sleeper.id().to_string()).unwrap();
    let own = fs::read_to_string(format!("/proc/{}/cgroup", sleeper.id())).unwrap();
    assert!(own.contains(&format!("{PREFIX}test-")), "{own}");
    group.remove();
    assert!(folder.exists(), "a group that holds a process stays");
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    group.remove();
    assert!(!folder.exists());
}
