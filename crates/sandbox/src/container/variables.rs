//! How variables get into a container without standing on a command line.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::SpawnError;

/// Names, or how names begin, that steer the runtime's command itself or what it starts. They
/// must not stand in its environment.
const STEERING: [&str; 38] = [
    "ALL_PROXY",
    "BUILDAH_",
    "BUILDKIT_",
    "CNI_",
    "CONMON_",
    "CONTAINER",
    "DBUS_",
    "DOCKER_",
    "FTP_PROXY",
    "GO",
    "GPG_",
    "GRPC_",
    "HOME",
    "HOSTNAME",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "IPTABLES_",
    "KUBE",
    "LANG",
    "LC_",
    "LD_",
    "LISTEN_",
    "LOGNAME",
    "NERDCTL_",
    "NETAVARK_",
    "NOTIFY_SOCKET",
    "NO_PROXY",
    "OTEL_",
    "PATH",
    "PODMAN_",
    "REGISTRY_",
    "SSH_",
    "SSL_CERT_",
    "STORAGE_",
    "TERM",
    "TMPDIR",
    "USER",
    "XDG_",
];

/// A program's variables, by the way they take.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Carried {
    /// In the environment of the runtime's command, which passes them on by name.
    pub(super) passed: BTreeMap<String, String>,
    /// The text of a file of variables.
    pub(super) file: String,
}

impl Carried {
    pub(super) fn new(env: &BTreeMap<String, String>) -> Result<Self, SpawnError> {
        let mut carried = Self::default();
        for (name, value) in env {
            let refuse = |reason: &str| SpawnError::Unsupported {
                asked: format!("variable `{name}`"),
                reason: reason.to_owned(),
            };
            if !is_name(name) {
                return Err(refuse("such a name cannot be passed to a container"));
            }
            if value.contains('\0') {
                return Err(refuse("its value has a null byte"));
            }
            if !steers(name) {
                carried.passed.insert(name.clone(), value.clone());
            } else if value.contains(['\n', '\r']) || value.len() > 60_000 {
                return Err(refuse(
                    "it would steer the container runtime, and in a file it can be only one line",
                ));
            } else {
                // A string takes whatever is written to it.
                writeln!(carried.file, "{name}={value}").ok();
            }
        }
        Ok(carried)
    }
}

/// Whether every runtime takes this for one name and nothing else (podman: `NAME*` is many).
fn is_name(name: &str) -> bool {
    let first = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
    name.as_bytes().first().is_some_and(first)
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

fn steers(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let name = name.strip_prefix('_').unwrap_or(&name);
    STEERING.iter().any(|start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carried(name: &str, value: &str) -> Result<Carried, SpawnError> {
        Carried::new(&BTreeMap::from([(name.to_owned(), value.to_owned())]))
    }

    #[test]
    fn any_value_is_carried_as_it_is() {
        let key = "-----BEGIN KEY-----\nabc=\n# no comment\r\n";
        for value in ["", "x", " spaced ", "\"quoted\"", key] {
            assert_eq!(carried("API_KEY", value).unwrap().passed["API_KEY"], value);
        }
    }

    #[test]
    fn a_variable_that_steers_the_runtime_stays_out_of_its_environment() {
        for name in ["PATH", "HTTP_PROXY", "https_proxy", "DOCKER_HOST", "LD_PRELOAD", "GODEBUG"] {
            let carried = carried(name, "v w#").unwrap();
            assert!(carried.passed.is_empty(), "{name}");
            assert_eq!(carried.file, format!("{name}=v w#\n"));
        }
        let error = carried("HOME", "a\nPATH=/evil").unwrap_err();
        assert!(matches!(error, SpawnError::Unsupported { .. }), "{error}");
    }

    #[test]
    fn a_name_that_is_none_is_refused() {
        for name in ["", "A*", "A=B", "A B", "-e", "1A", "A\n"] {
            let error = carried(name, "s3cret").unwrap_err();
            assert!(!error.to_string().contains("s3cret"), "{error}");
        }
        assert!(carried("A", "x\0").is_err());
    }
}
