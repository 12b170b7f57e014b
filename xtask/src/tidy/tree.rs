//! The files of the repository.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Folders that are nobody's source, where no `.gitignore` is asked.
const SKIPPED: [&str; 5] = [".git", "target", "node_modules", ".venv", "doorward-data"];

/// A tree of files: all that git tracks or would offer to track; everything, where there is no git.
#[derive(Debug)]
pub(crate) struct Tree {
    root: PathBuf,
    /// Paths from the root, with `/`, in order.
    files: Vec<String>,
}

impl Tree {
    /// Lists the files under `root`.
    ///
    /// # Errors
    ///
    /// Where git or a folder cannot be asked.
    pub(crate) fn read(root: &Path) -> io::Result<Self> {
        let mut files = if root.join(".git").exists() { tracked(root)? } else { walked(root)? };
        files.retain(|file| root.join(file).is_file());
        files.sort();
        files.dedup();
        Ok(Self { root: root.to_owned(), files })
    }

    /// Where it stands on this machine.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// All files.
    pub(super) fn files(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(String::as_str)
    }

    /// All Rust files.
    pub(super) fn rust(&self) -> impl Iterator<Item = &str> {
        self.files().filter(|file| {
            Path::new(file).extension().is_some_and(|ending| ending.eq_ignore_ascii_case("rs"))
        })
    }

    /// A file's text; nothing where it is no text.
    pub(super) fn text(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.root.join(file)).ok()
    }

    /// The names of the folders right in `folder` that hold files.
    pub(super) fn folders(&self, folder: &str) -> Vec<&str> {
        let inside = self.files().filter_map(|file| file.strip_prefix(folder)?.strip_prefix('/'));
        let mut names: Vec<&str> =
            inside.filter_map(|rest| Some(rest.split_once('/')?.0)).collect();
        names.dedup();
        names
    }
}

fn tracked(root: &Path) -> io::Result<Vec<String>> {
    let mut git = Command::new("git");
    git.arg("-C").arg(root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let told = git.output()?;
    if !told.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&told.stderr).into_owned()));
    }
    let names = String::from_utf8_lossy(&told.stdout);
    Ok(names.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

fn walked(root: &Path) -> io::Result<Vec<String>> {
    let mut files = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            match entry.file_type()? {
                kind if !kind.is_dir() => files.push(path),
                _ if SKIPPED.contains(&name.as_str()) => {}
                _ => folders.push(path),
            }
        }
    }
    Ok(files)
}
