//! Where a program lives, and what belongs to it.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use nix::unistd::{AccessFlags, access};

/// How many links a path may lead through, as in the kernel.
const LINKS: usize = 40;

/// How often an interpreter may itself be a script.
const NESTING: usize = 4;

/// A path followed link by link.
#[derive(Debug)]
pub(crate) struct Walk {
    /// Where it ends; no part of it is a link.
    pub(crate) real: PathBuf,
    /// Each link on the way, and what it says.
    pub(crate) links: Vec<(PathBuf, PathBuf)>,
}

/// Follows an absolute path link by link.
pub(crate) fn walk(path: &Path) -> io::Result<Walk> {
    let mut rest: VecDeque<PathBuf> = parts(path).collect();
    let mut real = PathBuf::from("/");
    let mut links = Vec::new();
    while let Some(part) = rest.pop_front() {
        if part == Path::new("..") {
            real.pop();
            continue;
        }
        let next = real.join(&part);
        if !fs::symlink_metadata(&next)?.is_symlink() {
            real = next;
            continue;
        }
        if links.len() == LINKS {
            return Err(io::Error::other("too many links"));
        }
        let target = fs::read_link(&next)?;
        if target.is_absolute() {
            real = PathBuf::from("/");
        }
        for part in parts(&target).rev() {
            rest.push_front(part);
        }
        links.push((next, target));
    }
    Ok(Walk { real, links })
}

/// The parts of a path that lead somewhere.
fn parts(path: &Path) -> impl DoubleEndedIterator<Item = PathBuf> + '_ {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(PathBuf::from(name)),
        Component::ParentDir => Some(PathBuf::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

/// A program as the system would find it.
#[derive(Debug)]
pub(crate) struct Program {
    /// What to execute.
    pub(crate) path: PathBuf,
    /// Every name it goes by: the path, each link it leads through, and the same of the
    /// interpreters of scripts.
    pub(crate) names: Vec<PathBuf>,
}

/// Finds a program as a shell would, and the interpreters it needs.
pub(crate) fn find(command: &str, cwd: &Path, search: &str) -> io::Result<Program> {
    let path = locate(command, cwd, search)?;
    let mut names = Vec::new();
    let mut wanted = vec![path.clone()];
    for _ in 0..NESTING {
        let mut next = Vec::new();
        for program in wanted {
            let walked = walk(&program)?;
            names.push(program);
            // A link on the way to the folder is no name of the program; its last link is.
            names.extend(walked.links.iter().map(|(link, _)| link.clone()).filter(|l| l.is_file()));
            next.extend(interpreters(&walked.real, cwd, search));
            names.push(walked.real);
        }
        wanted = next;
    }
    names.dedup();
    Ok(Program { path, names })
}

fn locate(command: &str, cwd: &Path, search: &str) -> io::Result<PathBuf> {
    if command.contains('/') {
        let path = cwd.join(command);
        fs::metadata(&path)?;
        return Ok(path);
    }
    search
        .split(':')
        .filter(|folder| !folder.is_empty())
        .map(|folder| cwd.join(folder).join(command))
        .find(|path| path.is_file() && access(path, AccessFlags::X_OK).is_ok())
        .ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// The programs that a script's first line names.
fn interpreters(script: &Path, cwd: &Path, search: &str) -> Vec<PathBuf> {
    let mut head = Vec::new();
    let read = File::open(script).and_then(|file| file.take(256).read_to_end(&mut head));
    let Some(line) = read.ok().and_then(|_| head.strip_prefix(b"#!".as_slice())) else {
        return Vec::new();
    };
    let line = String::from_utf8_lossy(line);
    let mut words = line.lines().next().unwrap_or_default().split_ascii_whitespace();
    let Some(interpreter) = words.next() else { return Vec::new() };
    let mut found = vec![cwd.join(interpreter)];
    if Path::new(interpreter).ends_with("env") {
        // `env -S node --flag`, `env NAME=value node`
        let named = words.find(|word| !word.starts_with('-') && !word.contains('='));
        found.extend(named.and_then(|name| locate(name, cwd, search).ok()));
    }
    found.retain(|path| path.is_file());
    found
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn program(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn every_link_on_the_way_is_a_name() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        program(&root.join("v22/lib/npx.js"), "#!/usr/bin/env -S thing --flag\n");
        program(&root.join("other/bin/thing"), "\u{7f}ELF");
        fs::create_dir_all(root.join("v22/bin")).unwrap();
        symlink("../lib/npx.js", root.join("v22/bin/npx")).unwrap();
        symlink(root.join("v22"), root.join("current")).unwrap();
        let search = format!("{0}/current/bin:{0}/other/bin", root.display());

        let found = find("npx", &root, &search).unwrap();
        assert_eq!(found.path, root.join("current/bin/npx"));
        for name in ["current/bin/npx", "v22/bin/npx", "v22/lib/npx.js", "other/bin/thing"] {
            assert!(found.names.contains(&root.join(name)), "{name} in {:?}", found.names);
        }
    }

    #[test]
    fn what_cannot_be_executed_is_not_found() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("note"), "text").unwrap();
        let search = dir.path().to_str().unwrap();
        assert!(find("note", dir.path(), search).is_err());
        assert!(find("./missing", dir.path(), search).is_err());
    }

    #[test]
    fn links_in_a_circle_end() {
        let dir = tempfile::tempdir().unwrap();
        symlink("b", dir.path().join("a")).unwrap();
        symlink("a", dir.path().join("b")).unwrap();
        assert!(walk(&dir.path().join("a")).is_err());
    }
}
