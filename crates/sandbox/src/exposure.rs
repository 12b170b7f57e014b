//! Which part of the file system a program gets to see.
//!
//! Only what is listed here exists inside. Nothing is covered up: a folder that holds something
//! hidden is given entry by entry without it, because a cover comes off as soon as somebody
//! replaces the covered file by renaming another over it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Network;
use crate::control::{Order, Refusal};
use crate::program::{self, Program, Walk, walk};

mod place;

use place::Place;

/// Part of the system that every program needs.
const SYSTEM: [&str; 9] =
    ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix/store"];

/// What programs look up in `/etc`, none of it secret.
const SETTINGS: [&str; 16] = [
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/crypto-policies",
    "/etc/fonts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/os-release",
    "/etc/pki/ca-trust",
    "/etc/pki/tls/certs",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/timezone",
];

/// What programs with a network look up besides.
const NETWORK: [&str; 5] =
    ["/etc/gai.conf", "/etc/hosts", "/etc/protocols", "/etc/resolv.conf", "/etc/services"];

/// Folders where the kernel speaks; the sandbox has its own.
const KERNEL: [&str; 3] = ["/dev", "/proc", "/sys"];

/// Files and folders by their real path, and the links that lead to them.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Exposure {
    /// Real paths; no part of one is a link.
    pub(crate) binds: BTreeMap<PathBuf, Bind>,
    /// Links to set where they are not within a bind.
    pub(crate) links: BTreeMap<PathBuf, PathBuf>,
    /// Where the program may have been before and left something: what lies there does not
    /// decide what else is exposed.
    #[serde(skip)]
    changeable: Vec<PathBuf>,
}

/// How a path is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bind {
    /// Whether it may be changed.
    pub(crate) write: bool,
    /// Whether the spec names it, so that leaving it out would be a surprise.
    pub(crate) named: bool,
}

/// Why a path is not taken that the program could have bent.
const ASTRAY: &str = "a link in a folder that the program may change leads there; \
                      name the place it leads to";

const GIVEN: Bind = Bind { write: false, named: false };

/// What the caller's surroundings say.
#[derive(Debug)]
pub(crate) struct Surroundings {
    /// The folder relative paths refer to.
    pub(crate) cwd: PathBuf,
    /// The caller's home folder.
    pub(crate) home: Option<PathBuf>,
    /// `PATH`.
    pub(crate) search: String,
}

/// Lists all that an order exposes, and finds its program.
pub(crate) fn plan(
    order: &Order,
    around: &Surroundings,
) -> Result<(Exposure, Option<PathBuf>), Refusal> {
    let mut exposure = Exposure::default();
    let given = order.write.iter().filter_map(|path| walk(&around.cwd.join(path)).ok());
    exposure.changeable = given.map(|walked| walked.real).collect();
    if let Some(cwd) = &order.cwd
        && walk(cwd).is_ok_and(|walked| exposure.is_led_astray(&walked))
    {
        return Err(Refusal::Path { path: cwd.clone(), reason: ASTRAY.to_owned() });
    }
    let fixed = SYSTEM.iter().chain(&SETTINGS);
    let network = NETWORK.iter().filter(|_| order.network == Network::Host);
    for path in fixed.chain(network) {
        exposure.offer(Path::new(path));
    }
    let read = order.read.iter().map(|path| (path, false));
    let mut named: Vec<_> = read.chain(order.write.iter().map(|path| (path, true))).collect();
    // What leads astray comes last: it may lead to what the spec names elsewhere.
    let astray =
        |path: &Path| walk(&around.cwd.join(path)).is_ok_and(|walk| exposure.is_led_astray(&walk));
    named.sort_by_cached_key(|(path, _)| astray(path));
    for (path, write) in named {
        let refuse = |reason: String| Refusal::Path { path: path.clone(), reason };
        let bind = Bind { write, named: true };
        exposure.add(&around.cwd.join(path), bind).map_err(|error| refuse(error.to_string()))?;
    }
    let program = match order.command.first() {
        Some(_) if order.probe => None,
        None => None,
        Some(command) => Some(exposure.program(command, order, around)?),
    };
    for path in &order.hide {
        exposure.hide(&around.cwd.join(path))?;
    }
    Ok((exposure, program))
}

impl Exposure {
    /// Exposes a path under its own name and under its real one.
    fn add(&mut self, path: &Path, bind: Bind) -> io::Result<PathBuf> {
        let walked = walk(path)?;
        let kernel = KERNEL.iter().any(|kernel| walked.real.starts_with(kernel));
        if kernel || walked.real == Path::new("/") {
            return Err(io::Error::other("it belongs to the system as a whole"));
        }
        if self.is_led_astray(&walked) && !self.covers(&walked.real, bind.write) {
            return Err(io::Error::other(ASTRAY));
        }
        // Readable at all? Told here, where the path can still be named.
        fs::metadata(&walked.real)?;
        self.links.extend(walked.links);
        let held = self.binds.entry(walked.real.clone()).or_insert(bind);
        held.write |= bind.write;
        held.named |= bind.named;
        Ok(walked.real)
    }

    /// Whether the program could have set one of the links on the way.
    fn is_led_astray(&self, walked: &Walk) -> bool {
        walked.links.iter().any(|(link, _)| self.may_change(link))
    }

    fn may_change(&self, path: &Path) -> bool {
        self.changeable.iter().any(|folder| path.starts_with(folder))
    }

    /// Whether a path is exposed already, for changing if so asked.
    fn covers(&self, path: &Path, write: bool) -> bool {
        path.ancestors().any(|above| self.binds.get(above).is_some_and(|bind| bind.write || !write))
    }

    /// Exposes a path for reading, if it is there.
    fn offer(&mut self, path: &Path) {
        // What is not there, or not for us to read, is not there inside.
        self.add(path, GIVEN).ok();
    }

    /// Exposes the program, what is installed with it, and the files its arguments name.
    fn program(
        &mut self,
        command: &str,
        order: &Order,
        around: &Surroundings,
    ) -> Result<PathBuf, Refusal> {
        let found = program::find(command, &around.cwd, &around.search);
        let Program { path, names } = found.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Refusal::NotFound { command: command.to_owned() },
            _ => Refusal::Exec { command: command.to_owned(), reason: error.to_string() },
        })?;
        let place = Place::new(around);
        // What a script or a link says that the program may change itself is not believed.
        let believed = !names.iter().any(|name| self.may_change(name));
        for name in &names {
            if !believed && walk(name).is_ok_and(|walked| self.covers(&walked.real, false)) {
                continue;
            }
            if !believed {
                let reason = format!(
                    "a file that it may change itself leads to `{}`; name that under what it may \
                     read",
                    name.display()
                );
                return Err(Refusal::Exec { command: command.to_owned(), reason });
            }
            self.offer(name);
            for part in place.installed_with(name) {
                self.offer(&part);
            }
        }
        for argument in order.command.iter().skip(1).filter(|argument| !argument.is_empty()) {
            let named = around.cwd.join(argument);
            let Ok(walked) = walk(&named) else { continue };
            if self.is_led_astray(&walked) && !self.covers(&walked.real, false) {
                continue;
            }
            for part in place.belongs_to(&named).into_iter().chain(place.belongs_to(&walked.real)) {
                self.offer(&part);
            }
        }
        for beside in ["node_modules", "package.json"] {
            self.offer(&around.cwd.join(beside));
        }
        Ok(path)
    }

    /// Takes a path out of everything exposed so far.
    fn hide(&mut self, path: &Path) -> Result<(), Refusal> {
        let hidden = resolved(path);
        let refuse = |bind: &Path, how: &str| Refusal::Path {
            path: bind.to_owned(),
            reason: format!("it {how} `{}`, which is hidden", hidden.display()),
        };
        let touched: Vec<(PathBuf, Bind)> = self
            .binds
            .iter()
            .filter(|(path, _)| path.starts_with(&hidden) || hidden.starts_with(path))
            .map(|(path, bind)| (path.clone(), *bind))
            .collect();
        for (path, bind) in touched {
            if path.starts_with(&hidden) {
                if bind.named {
                    return Err(refuse(&path, "is part of"));
                }
                self.binds.remove(&path);
            } else if bind.write {
                return Err(refuse(&path, "may be changed and holds"));
            } else {
                self.binds.remove(&path);
                self.give_around(&path, &hidden, bind).map_err(|error| {
                    refuse(&path, &format!("cannot be listed ({error}) around"))
                })?;
            }
        }
        Ok(())
    }

    /// Gives the entries of a folder one by one, except what leads to the hidden path. It was the
    /// folder that was named, not they: another hidden path may be one of them.
    fn give_around(&mut self, folder: &Path, hidden: &Path, bind: Bind) -> io::Result<()> {
        let bind = Bind { named: false, ..bind };
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let path = entry.path();
            let kind = entry.file_type()?;
            if kind.is_symlink() {
                self.links.insert(path.clone(), fs::read_link(&path)?);
            } else if path == hidden {
                // Not this one.
            } else if hidden.starts_with(&path) {
                self.give_around(&path, hidden, bind)?;
            } else if kind.is_dir() || kind.is_file() {
                self.binds.entry(path).or_insert(bind);
            }
        }
        Ok(())
    }
}

/// The real path, also of what does not exist yet.
pub(crate) fn resolved(path: &Path) -> PathBuf {
    if let Ok(walked) = walk(path) {
        return walked.real;
    }
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => resolved(parent).join(name),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests;
