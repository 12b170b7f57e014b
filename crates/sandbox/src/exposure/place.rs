//! What belongs together on a disk.

use std::path::{Path, PathBuf};

use super::Surroundings;

/// Folders in which unrelated things stand side by side: never exposed for the sake of one.
const SHARED: [&str; 16] = [
    "/",
    "/boot",
    "/etc",
    "/home",
    "/media",
    "/mnt",
    "/opt",
    "/root",
    "/run",
    "/srv",
    "/tmp",
    "/usr",
    "/usr/local",
    "/var",
    "/var/lib",
    "/var/tmp",
];

/// What an installation under a home folder (`~/.local`, `~/.cargo`, `~/.pyenv`) has of programs;
/// the rest there may be keys and histories.
const PARTS: [&str; 10] = [
    "bin", "lib", "lib64", "libexec", "plugins", "pyenv.d", "sbin", "shims", "version", "versions",
];

/// What marks the root folder of a project or of an environment.
const MARKS: [&str; 4] = ["node_modules", "package.json", "pyproject.toml", "pyvenv.cfg"];

/// Knows which folders are nobody's in particular.
#[derive(Debug)]
pub(super) struct Place<'a> {
    around: &'a Surroundings,
}

impl<'a> Place<'a> {
    pub(super) fn new(around: &'a Surroundings) -> Self {
        Self { around }
    }

    /// What is installed together with a program.
    pub(super) fn installed_with(&self, program: &Path) -> Vec<PathBuf> {
        let Some(folder) = program.parent() else { return Vec::new() };
        let prefix = folder.parent().filter(|_| {
            let last = folder.file_name().unwrap_or_default();
            ["bin", "sbin", "shims"].iter().any(|name| last == *name)
        });
        match prefix {
            Some(prefix) if self.is_shared(prefix) => vec![program.to_owned()],
            Some(prefix) if self.is_home(prefix.parent()) && !is_environment(prefix) => {
                PARTS.iter().map(|part| prefix.join(part)).collect()
            }
            Some(prefix) => vec![prefix.to_owned()],
            None => self.belongs_to(program),
        }
    }

    /// What stands with a file that an argument names: its folder and its project.
    pub(super) fn belongs_to(&self, path: &Path) -> Vec<PathBuf> {
        if path.is_dir() {
            let project = self.project_of(path);
            return if self.is_shared(path) {
                project
            } else {
                [vec![path.into()], project].concat()
            };
        }
        let mut parts = vec![path.to_owned()];
        let folder = path.parent().filter(|folder| !self.is_shared(folder));
        parts.extend(folder.map(Path::to_owned));
        parts.extend(self.project_of(path));
        parts
    }

    /// The nearest folder above that is the root of a project, or what of it is safe to show.
    fn project_of(&self, path: &Path) -> Vec<PathBuf> {
        let marked = |folder: &&Path| MARKS.iter().any(|mark| folder.join(mark).exists());
        let mut parts = match path.ancestors().find(marked) {
            Some(root) if self.is_shared(root) => {
                MARKS.iter().map(|mark| root.join(mark)).collect()
            }
            Some(root) => vec![root.to_owned()],
            None => Vec::new(),
        };
        // A package's own root is the nearest, but what it needs stands beside it.
        let modules = path.ancestors().filter(|folder| folder.ends_with("node_modules")).last();
        parts.extend(modules.map(Path::to_owned));
        parts
    }

    /// Whether unrelated things stand in this folder, or anything above the caller's own.
    fn is_shared(&self, folder: &Path) -> bool {
        let above = |own: &Path| own.starts_with(folder);
        SHARED.iter().any(|shared| folder == Path::new(shared))
            || self.is_home(Some(folder))
            || above(&self.around.cwd)
            || self.around.home.as_deref().is_some_and(above)
    }

    fn is_home(&self, folder: Option<&Path>) -> bool {
        let Some(folder) = folder else { return false };
        folder == Path::new("/root")
            || folder.parent() == Some(Path::new("/home"))
            || self.around.home.as_deref() == Some(folder)
    }
}

/// Whether a folder holds one environment and nothing else.
fn is_environment(folder: &Path) -> bool {
    folder.join("pyvenv.cfg").exists() || folder.join("conda-meta").exists()
}
