//! The command line that runs a container.

use std::path::{Path, PathBuf};

use super::variables::Carried;
use super::{Container, Pull, Runtime};
use crate::grant::Grant;
use crate::{Network, SpawnError, Spec};

/// The file of variables in the run's folder.
pub(super) const VARIABLES: &str = "env";

/// The file the runtime writes the container's number to.
pub(super) const NUMBER: &str = "cid";

/// What is peculiar to one run.
#[derive(Debug)]
pub(super) struct Run {
    /// The container's name.
    pub(super) name: String,
    /// A folder of the caller's own.
    pub(super) folder: PathBuf,
    /// Who started it.
    pub(super) life: String,
}

impl Container {
    /// The whole command line.
    pub(super) fn words(
        &self,
        spec: &Spec,
        run: &Run,
        grants: &[Grant],
        carried: &Carried,
    ) -> Result<Vec<String>, SpawnError> {
        self.vet()?;
        let mut words = vec![self.program.clone(), "run".into(), "--rm".into()];
        words.push("--interactive".into());
        if self.init {
            words.push("--init".into());
        }
        words.push(format!("--name={}", run.name));
        words.push(format!("--cidfile={}", run.folder.join(NUMBER).display()));
        words.extend(self.labels(run));
        words.extend(self.isolation());
        words.extend(self.limits(spec));
        words.extend(self.network(spec)?);
        for grant in grants {
            words.push(mount(grant)?);
        }
        words.extend(variables(spec, run, carried));
        if let Some(cwd) = &spec.cwd {
            let folder = cwd.to_str().filter(|folder| folder.starts_with('/'));
            let refused = || refused_path(cwd, "it must be an absolute path of the container");
            words.push(format!("--workdir={}", folder.ok_or_else(refused)?));
        }
        let mut command = spec.command.as_slice();
        if let ([program, arguments @ ..], false) = (command, self.entrypoint) {
            words.push(format!("--entrypoint={program}"));
            command = arguments;
        }
        words.extend(self.extra.iter().cloned());
        words.push(self.image.clone());
        words.extend(command.iter().cloned());
        Ok(words)
    }

    fn vet(&self) -> Result<(), SpawnError> {
        let refuse =
            |reason: &str| SpawnError::Image { image: self.image.clone(), reason: reason.into() };
        let named = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:@".contains(&byte);
        let first = self.image.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
        if !first || !self.image.bytes().all(named) {
            return Err(refuse("it is no name of an image"));
        }
        if self.digest && !has_digest(&self.image) {
            return Err(refuse("it is not named by its digest (`@sha256:…`)"));
        }
        for (what, name) in [("instance", Some(&self.instance)), ("server", self.server.as_ref())] {
            if name.is_some_and(|name| !is_label(name)) {
                return Err(SpawnError::Unsupported {
                    asked: format!("label `{what}`"),
                    reason: "up to 63 letters, digits, `.`, `_` and `-` make one".into(),
                });
            }
        }
        Ok(())
    }

    fn labels(&self, run: &Run) -> Vec<String> {
        let mut words = vec![
            format!("--label=doorward.instance={}", self.instance),
            format!("--label=doorward.life={}", run.life),
        ];
        words.extend(self.server.iter().map(|name| format!("--label=doorward.server={name}")));
        words
    }

    fn isolation(&self) -> Vec<String> {
        let pull = match self.pull {
            Pull::Never => "never",
            Pull::Missing => "missing",
            Pull::Always => "always",
        };
        let mut words = vec![
            format!("--pull={pull}"),
            "--read-only".into(),
            "--cap-drop=ALL".into(),
            "--security-opt=no-new-privileges".into(),
            format!("--user={}:{}", self.user.0, self.user.1),
            "--ipc=private".into(),
            "--hostname=sandbox".into(),
        ];
        // What a program says is its caller's business and goes into no log.
        let own: &[&str] = match self.runtime {
            Runtime::Docker => &["--log-driver=none", "--no-healthcheck"],
            // Its `--read-only` brings further places to write to, and it passes its own
            // command's proxies on.
            Runtime::Podman => &[
                "--log-driver=none",
                "--no-healthcheck",
                "--read-only-tmpfs=false",
                "--image-volume=ignore",
                "--http-proxy=false",
            ],
            Runtime::Nerdctl => &[],
        };
        words.extend(own.iter().map(|&word| word.to_owned()));
        words
    }

    fn limits(&self, spec: &Spec) -> Vec<String> {
        let limits = &spec.limits;
        let scratch = limits.scratch;
        // Podman would give it the rights and the content that the image's own has.
        let bare = if self.runtime == Runtime::Podman { ",notmpcopyup" } else { "" };
        let mut words = vec![
            format!("--tmpfs=/tmp:rw,noexec,nosuid,nodev,size={scratch},mode=1777{bare}"),
            format!("--memory={}", limits.memory),
            // Both together: no more with swap than without.
            format!("--memory-swap={}", limits.memory),
            format!("--pids-limit={}", limits.processes),
        ];
        if self.cpus > 0 {
            words.push(format!("--cpus={}.{:03}", self.cpus / 1000, self.cpus % 1000));
        }
        let bounds = [
            ("nofile", Some(limits.open_files)),
            ("fsize", Some(limits.file_size)),
            ("cpu", limits.cpu_seconds),
            ("core", Some(0)),
        ];
        for (name, bound) in bounds {
            words.extend(bound.map(|bound| format!("--ulimit={name}={bound}:{bound}")));
        }
        words
    }

    fn network(&self, spec: &Spec) -> Result<Vec<String>, SpawnError> {
        let proxy = match (spec.network, &self.gate) {
            (Network::None, _) => return Ok(vec!["--network=none".into()]),
            (Network::Host, _) => return Ok(vec!["--network=host".into()]),
            (Network::Proxy, Some(gate)) => gate,
            (Network::Proxy, None) => {
                return Err(SpawnError::Unsupported {
                    asked: "network `proxy`".into(),
                    reason: "no network of the container runtime is named that leads only to a \
                             proxy"
                        .into(),
                });
            }
        };
        let mut words = vec![format!("--network={}", proxy.network)];
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
            words.push(format!("--env={name}={}", proxy.proxy));
            words.push(format!("--env={}={}", name.to_ascii_lowercase(), proxy.proxy));
        }
        Ok(words)
    }
}

fn has_digest(image: &str) -> bool {
    image.split_once("@sha256:").is_some_and(|(name, digest)| {
        !name.is_empty() && digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit())
    })
}

/// Whether a name can be a label of a container and of a pod.
pub(crate) fn is_label(name: &str) -> bool {
    let ends = [name.as_bytes().first(), name.as_bytes().last()];
    (1..=63).contains(&name.len())
        && ends.iter().all(|end| end.is_some_and(u8::is_ascii_alphanumeric))
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

fn refused_path(path: &Path, reason: &str) -> SpawnError {
    SpawnError::Path { path: path.to_owned(), reason: reason.to_owned() }
}

/// A bind mount. The option is a line of comma-separated values: what would need quoting there
/// is refused, because each runtime reads quotes in its own way.
fn mount(grant: &Grant) -> Result<String, SpawnError> {
    let text = |path: &'_ Path| -> Result<String, SpawnError> {
        let text = path.to_str().ok_or_else(|| refused_path(path, "it is no text"))?;
        if text.contains([',', '"']) || text.contains(char::is_control) {
            return Err(refused_path(path, "it has a comma, a quote or a control character"));
        }
        Ok(text.to_owned())
    };
    let (source, target) = (text(&grant.source)?, text(&grant.target)?);
    if grant.target == Path::new("/tmp") {
        return Err(refused_path(&grant.target, "a container has a `/tmp` of its own"));
    }
    let mode = if grant.write { "" } else { ",readonly" };
    Ok(format!("--mount=type=bind,source={source},target={target}{mode}"))
}

fn variables(spec: &Spec, run: &Run, carried: &Carried) -> Vec<String> {
    let mut words = Vec::new();
    for name in ["HOME", "TMPDIR"] {
        if !spec.env.contains_key(name) {
            words.push(format!("--env={name}=/tmp"));
        }
    }
    // By name only: the value is in the environment of this command.
    words.extend(carried.passed.keys().map(|name| format!("--env={name}")));
    if !carried.file.is_empty() {
        words.push(format!("--env-file={}", run.folder.join(VARIABLES).display()));
    }
    words
}

#[cfg(test)]
mod tests;
