//! The paths of a spec for runners that hand whole files and folders to somebody else's
//! machinery: a container runtime, a WebAssembly runtime.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Component, Path, PathBuf};

use crate::exposure::resolved;
use crate::program::walk;
use crate::{SpawnError, Spec};

/// What no program is given, nor anything above or within: the kernel's folders, and where
/// container runtimes keep their sockets and their state. Whoever has one has the machine.
const FORBIDDEN: [&str; 16] = [
    "/dev",
    "/proc",
    "/sys",
    "/run/containerd",
    "/run/crio",
    "/run/docker",
    "/run/docker.sock",
    "/run/dbus",
    "/run/podman",
    "/run/systemd",
    "/etc/kubernetes",
    "/var/lib/containerd",
    "/var/lib/containers",
    "/var/lib/docker",
    "/var/lib/kubelet",
    "/var/lib/rancher",
];

/// One path given to a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grant {
    /// What is given: a real path, no part of it a link.
    pub(crate) source: PathBuf,
    /// Where the program finds it: as the spec names it.
    pub(crate) target: PathBuf,
    /// Whether the program may change it.
    pub(crate) write: bool,
}

/// The paths of a spec, each looked at. What hides something is refused rather than given in
/// part: these runners know nothing between all and nothing of a folder.
pub(crate) fn grants(spec: &Spec, cwd: &Path) -> Result<Vec<Grant>, SpawnError> {
    let hidden: Vec<PathBuf> = spec.hide.iter().map(|path| resolved(&cwd.join(path))).collect();
    let mut grants: Vec<Grant> = Vec::new();
    for (paths, write) in [(&spec.read, false), (&spec.write, true)] {
        for path in paths {
            let refuse = |reason: String| SpawnError::Path { path: path.clone(), reason };
            let target = absolute(&cwd.join(path)).map_err(refuse)?;
            let source = vetted(&target, &hidden).map_err(refuse)?;
            match grants.iter_mut().find(|grant| grant.target == target) {
                Some(grant) => grant.write |= write,
                None => grants.push(Grant { source, target, write }),
            }
        }
    }
    Ok(grants)
}

/// The path without `.` and doubled slashes.
fn absolute(path: &Path) -> Result<PathBuf, String> {
    if path.components().any(|part| part == Component::ParentDir) {
        return Err("it must be named without `..`".into());
    }
    Ok(path.components().collect())
}

fn vetted(path: &Path, hidden: &[PathBuf]) -> Result<PathBuf, String> {
    let looked = |error: io::Error| error.to_string();
    let real = walk(path).map_err(looked)?.real;
    let touches = |place: &Path| real.starts_with(place) || place.starts_with(&real);
    if FORBIDDEN.iter().any(|place| touches(Path::new(place))) || is_session(&real) {
        return Err("it belongs to the system as a whole".into());
    }
    if let Some(hidden) = hidden.iter().find(|hidden| touches(hidden)) {
        let how = if real.starts_with(hidden) { "is part of" } else { "holds" };
        return Err(format!("it {how} `{}`, which is hidden", hidden.display()));
    }
    let kind = fs::metadata(&real).map_err(looked)?.file_type();
    if kind.is_dir() || kind.is_file() {
        return Ok(real);
    }
    let what = if kind.is_socket() { "a socket" } else { "neither a file nor a folder" };
    Err(format!("it is {what}"))
}

/// Whether a path holds the sockets of a user's session, a rootless runtime's among them:
/// `/run/user`, `/run/user/1000` and what is directly within.
fn is_session(real: &Path) -> bool {
    real.strip_prefix("/run/user").is_ok_and(|rest| rest.components().count() <= 1)
        || Path::new("/run/user").starts_with(real)
        || ["podman", "docker.sock", "containerd-rootless"].iter().any(|name| {
            real.starts_with("/run/user") && real.components().any(|part| part.as_os_str() == *name)
        })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn reason(spec: &Spec, cwd: &Path) -> String {
        grants(spec, cwd).unwrap_err().to_string()
    }

    #[test]
    fn what_would_give_the_machine_away_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let _listener = UnixListener::bind(root.join("api.sock")).unwrap();
        symlink("/", root.join("all")).unwrap();
        symlink("/proc", root.join("kernel")).unwrap();
        let cases = [
            ("/", "system as a whole"),
            ("//", "system as a whole"),
            ("/proc/self", "system as a whole"),
            ("/run", "system as a whole"),
            ("/var", "system as a whole"),
            ("/var/lib", "system as a whole"),
            ("all", "system as a whole"),
            ("kernel", "system as a whole"),
            ("all/etc/..", "`..`"),
            ("api.sock", "socket"),
            ("missing", "No such file"),
        ];
        for (path, expected) in cases {
            for write in [false, true] {
                let mut spec = Spec::default();
                if write { &mut spec.write } else { &mut spec.read }.push(path.into());
                let reason = reason(&spec, &root);
                assert!(reason.contains(expected), "{path}: {reason}");
            }
        }
    }

    #[test]
    fn a_path_keeps_its_name_and_loses_its_links() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir(root.join("v2")).unwrap();
        symlink("v2", root.join("now")).unwrap();
        let spec =
            Spec { read: vec!["./now".into()], write: vec![root.join("now")], ..Spec::default() };
        let given = Grant { source: root.join("v2"), target: root.join("now"), write: true };
        assert_eq!(grants(&spec, &root).unwrap(), [given]);
    }

    #[test]
    fn what_is_hidden_is_given_in_no_way() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("data/keys")).unwrap();
        fs::create_dir(root.join("other")).unwrap();
        symlink("data/keys", root.join("way")).unwrap();
        let hide = vec![PathBuf::from("data/keys"), "not/there/yet".into()];
        for path in [".", "data", "data/keys", "way"] {
            let spec = Spec { read: vec![path.into()], hide: hide.clone(), ..Spec::default() };
            assert!(reason(&spec, &root).contains("hidden"), "{path}");
        }
        let spec = Spec { read: vec!["other".into()], hide, ..Spec::default() };
        assert_eq!(grants(&spec, &root).unwrap().len(), 1);
    }
}
