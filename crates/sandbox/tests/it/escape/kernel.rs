//! Ways out by system calls.

use serde_json::json;

use super::{Hostile, Outcome, is_root, only_outside};
use crate::{Scene, has, shell};

#[cfg(target_arch = "x86_64")]
#[tokio::test]
async fn what_could_be_used_against_the_machine_is_refused() {
    if !has("python3") {
        return;
    }
    let calls = [
        ("ptrace", "101 16 1 0 0"),
        ("ptrace traceme", "101 0 0 0 0"),
        ("mount", "165 0 0 0 0 0"),
        ("umount", "166 0 0"),
        ("pivot_root", "155 0 0"),
        ("chroot", "161 0"),
        ("unshare user", "272 0x10000000"),
        ("unshare mount", "272 0x20000"),
        ("setns", "308 0 0"),
        ("clone with user namespace", "56 0x10000011 0 0 0 0"),
        ("clone with mount namespace", "56 0x20011 0 0 0 0"),
        ("clone with net namespace", "56 0x40000011 0 0 0 0"),
        ("process_vm_readv", "310 1 0 0 0 0 0"),
        ("process_vm_writev", "311 1 0 0 0 0 0"),
        ("kexec_load", "246 0 0 0 0"),
        ("init_module", "175 0 0 0"),
        ("finit_module", "313 0 0 0"),
        ("bpf", "321 0 0 0"),
        ("perf_event_open", "298 0 0 0 0 0"),
        ("userfaultfd", "323 0"),
        ("keyctl", "250 0 0 0 0 0"),
        ("add_key", "248 0 0 0 0 0"),
        ("request_key", "249 0 0 0 0"),
        ("io_uring_setup", "425 1 0"),
        ("open_by_handle_at", "304 0 0 0"),
        ("name_to_handle_at", "303 0 0 0 0 0"),
        ("reboot", "169 0 0 0 0"),
        ("swapon", "167 0 0"),
        ("settimeofday", "164 0 0"),
        ("clock_settime", "227 0 0"),
        ("sethostname", "170 0 0"),
        ("pidfd_getfd", "438 0 0 0"),
        ("open_tree", "428 0 0 0"),
        ("fsopen", "430 0 0"),
        ("mount_setattr", "442 0 0 0 0 0"),
        ("fanotify_init", "300 0 0"),
        ("personality", "135 0x0040000"),
        ("socket netlink", "41 16 3 0"),
        ("socket packet", "41 17 3 0"),
        ("socket vsock", "41 40 1 0"),
        ("socket alg", "41 38 5 0"),
        ("socket raw", "41 2 3 1"),
        ("ioctl TIOCSTI", "16 0 0x5412 0"),
        ("ioctl TIOCSTI with high bits", "16 0 0x100005412 0"),
    ];
    let mut hostile = Hostile::inside(&Hostile::spec());
    for (name, call) in calls {
        let outcome = hostile.tries("call", json!({ "words": call })).await;
        assert_eq!(outcome, Outcome::Refused("EPERM".into()), "{name}");
    }
    // What is unknown does not exist: clone3, x32 calls, numbers of a later kernel.
    for (name, call) in [
        ("clone3", "435 0 0"),
        ("x32 ptrace", "0x40000209 0 0 0 0"),
        ("later", "9999"),
        ("openat2", "437 0 0 0 0"),
    ] {
        let outcome = hostile.tries("call", json!({ "words": call })).await;
        assert_eq!(outcome, Outcome::Refused("ENOSYS".into()), "{name}");
    }
    let number = hostile.tries("call", json!({ "words": "39" })).await.got();
    assert!(number.as_u64() > Some(1), "getpid: {number}");
}

#[tokio::test]
async fn it_has_no_rights_and_gains_none() {
    let ended = shell("grep -E '^(Cap|NoNewPrivs|Seccomp)' /proc/self/status; id -u").await;
    for line in ended.out.lines().filter(|line| line.starts_with("Cap")) {
        assert!(line.ends_with("0000000000000000"), "{ended:?}");
    }
    assert!(ended.out.contains("NoNewPrivs:\t1") && ended.out.contains("Seccomp:\t2"), "{ended:?}");
    assert!(ended.out.ends_with("1000\n"), "{ended:?}");
    for command in
        ["unshare -Ur id", "mount -t tmpfs x /tmp", "su -c id", "chroot /tmp /bin/true", "dmesg"]
    {
        let ended = shell(&format!("{command} && echo DONE")).await;
        assert!(!ended.out.contains("DONE"), "{command}: {ended:?}");
    }
}

#[cfg(target_arch = "x86_64")]
#[tokio::test]
async fn a_server_cannot_mount() {
    if !has("python3") || !is_root() {
        return println!("skipped: needs python3, and a caller who could mount");
    }
    let scene = Scene::new(&[("at/x", "")]);
    only_outside("mount", json!({ "path": scene.text("at") })).await;
    let outcome = Hostile::inside(&Hostile::spec()).tries("mount", json!({ "path": "/tmp" })).await;
    assert_eq!(outcome, Outcome::Refused("EPERM".into()));
}

/// `CLONE_NEWUSER`.
const USER: i32 = 0x1000_0000;

#[tokio::test]
async fn a_server_cannot_make_a_namespace() {
    if !has("python3") {
        return;
    }
    for flags in [USER, 0x0002_0000, 0x4000_0000, 0x2000_0000, 0x0800_0000, USER | 0x0002_0000] {
        let with = json!({ "flags": flags });
        let outcome = Hostile::inside(&Hostile::spec()).tries("unshare", with.clone()).await;
        assert_eq!(outcome, Outcome::Refused("EPERM".into()), "{flags:x}");
        if is_root() {
            assert_eq!(Hostile::outside().tries("unshare", with).await.got(), "done", "{flags:x}");
        }
    }
}

#[tokio::test]
async fn a_server_cannot_become_somebody_else() {
    if !has("python3") {
        return;
    }
    let mut hostile = Hostile::inside(&Hostile::spec());
    for user in [0, 65534] {
        let outcome = hostile.tries("setuid", json!({ "user": user })).await;
        assert!(outcome.is_refused(), "{user}: {outcome:?}");
        if is_root() {
            let outcome = Hostile::outside().tries("setuid", json!({ "user": user })).await;
            assert_eq!(outcome.got(), "done");
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[tokio::test]
async fn a_server_has_no_keyring_and_no_ring_of_calls() {
    if !has("python3") {
        return;
    }
    for what in ["keyring", "uring"] {
        let outcome = Hostile::inside(&Hostile::spec()).tries(what, json!({})).await;
        assert_eq!(outcome, Outcome::Refused("EPERM".into()), "{what}");
        let control = Hostile::outside().tries(what, json!({})).await;
        if control.is_refused() {
            println!("no control: {what} is refused on this machine as such: {control:?}");
        }
    }
    let mut hostile = Hostile::inside(&Hostile::spec());
    let keys = hostile.tries("read", json!({ "path": "/proc/keys" })).await;
    let hidden = keys.is_refused() || keys == Outcome::Got("".into());
    assert!(hidden, "the host's keys are not listed: {keys:?}");
}
