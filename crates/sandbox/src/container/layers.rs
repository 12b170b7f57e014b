//! What a container runtime says of itself.

use serde_json::Value;

use super::Runtime;
use crate::Layer;

/// The names of all layers, in the order in which they are reported.
const NAMES: [&str; 9] = [
    "container runtime",
    "namespaces",
    "read-only root",
    "no capabilities",
    "user namespace",
    "seccomp",
    "mandatory access control",
    "memory limit",
    "process limit",
];

/// Nothing holds, for one reason.
pub(super) fn none(reason: &str) -> Vec<Layer> {
    NAMES.iter().map(|name| Layer { name, holds: false, detail: reason.to_owned() }).collect()
}

/// Reads what `info` says as JSON.
pub(super) fn read(runtime: Runtime, said: &str) -> Vec<Layer> {
    let Ok(info) = serde_json::from_str::<Value>(said) else {
        return none("the container runtime does not say what it can do");
    };
    let told = match runtime {
        Runtime::Podman => Told::podman(&info),
        Runtime::Docker | Runtime::Nerdctl => Told::docker(&info),
    };
    let Some(told) = told else { return none("the container runtime is not running") };
    let held = |detail: &str| (true, detail.to_owned());
    let either = |holds: bool, yes: &str, no: &str| (holds, if holds { yes } else { no }.into());
    let bound = "the kernel's control groups cannot bound it here";
    let state = [
        held(&told.version),
        held("mount, pid, network, ipc and uts"),
        held("`/tmp` and what is named can be written to"),
        held("all dropped, none to be gained"),
        either(told.user, "root within is nobody without", "numbers are the host's"),
        either(told.seccomp, "the runtime's filter", "switched off in the runtime"),
        either(told.control, "the runtime's profile", "neither AppArmor nor SELinux"),
        either(told.memory, "of the container as a whole, swap counted in", bound),
        either(told.processes, "of the container as a whole", bound),
    ];
    NAMES.iter().zip(state).map(|(name, (holds, detail))| Layer { name, holds, detail }).collect()
}

#[expect(clippy::struct_excessive_bools, reason = "each is an answer of its own")]
struct Told {
    version: String,
    user: bool,
    seccomp: bool,
    control: bool,
    memory: bool,
    processes: bool,
}

impl Told {
    fn docker(info: &Value) -> Option<Self> {
        let version = info["ServerVersion"].as_str().filter(|version| !version.is_empty())?;
        let options: Vec<&str> =
            info["SecurityOptions"].as_array()?.iter().filter_map(Value::as_str).collect();
        // `name=seccomp,profile=builtin`
        let has = |wanted: &str| {
            options.iter().any(|option| {
                let mut parts = option.split(',');
                parts.next() == Some(&format!("name={wanted}"))
                    && parts.all(|part| part != "profile=unconfined")
            })
        };
        Some(Self {
            version: format!("version {version}"),
            user: has("rootless") || has("userns"),
            seccomp: has("seccomp"),
            control: has("apparmor") || has("selinux"),
            memory: info["MemoryLimit"] == true,
            processes: info["PidsLimit"] == true,
        })
    }

    fn podman(info: &Value) -> Option<Self> {
        let version = info["version"]["Version"].as_str()?;
        let host = &info["host"];
        let security = &host["security"];
        let groups = host["cgroupControllers"].as_array();
        let has = |wanted: &str| groups.is_some_and(|all| all.iter().any(|name| name == wanted));
        Some(Self {
            version: format!(
                "version {version}, {}",
                host["ociRuntime"]["name"].as_str().unwrap_or("unknown runtime")
            ),
            user: security["rootless"] == true,
            seccomp: security["seccompEnabled"] == true,
            control: security["apparmorEnabled"] == true || security["selinuxEnabled"] == true,
            memory: has("memory"),
            processes: has("pids"),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn holding(runtime: Runtime, info: &Value) -> Vec<&'static str> {
        let layers = read(runtime, &info.to_string());
        assert_eq!(layers.len(), NAMES.len());
        layers.iter().filter(|layer| layer.holds).map(|layer| layer.name).collect()
    }

    #[test]
    fn docker_is_taken_at_its_word() {
        let info = json!({
            "ServerVersion": "28.2.2", "MemoryLimit": true, "PidsLimit": true,
            "SecurityOptions": ["name=apparmor", "name=seccomp,profile=builtin", "name=rootless"],
        });
        assert_eq!(holding(Runtime::Docker, &info), NAMES);
        let info = json!({
            "ServerVersion": "28.2.2", "MemoryLimit": true, "PidsLimit": false,
            "SecurityOptions": ["name=seccomp,profile=unconfined", "name=cgroupns"],
        });
        let expected = [&NAMES[..4], &["memory limit"]].concat();
        assert_eq!(holding(Runtime::Docker, &info), expected);
        // The client answers also where there is no daemon.
        let info = json!({ "ServerErrors": ["Cannot connect"], "ServerVersion": "" });
        assert!(holding(Runtime::Docker, &info).is_empty());
    }

    #[test]
    fn podman_is_taken_at_its_word() {
        let info = json!({
            "version": { "Version": "4.3.1" },
            "host": {
                "ociRuntime": { "name": "runc" },
                "cgroupControllers": ["memory", "pids"],
                "security": { "rootless": false, "seccompEnabled": true },
            },
        });
        let expected = [&NAMES[..4], &["seccomp", "memory limit", "process limit"]].concat();
        assert_eq!(holding(Runtime::Podman, &info), expected);
    }

    #[test]
    fn what_is_no_answer_holds_nothing() {
        for said in ["", "null", "[]", "{}", "Cannot connect to the daemon"] {
            for runtime in [Runtime::Docker, Runtime::Podman, Runtime::Nerdctl] {
                assert!(read(runtime, said).iter().all(|layer| !layer.holds), "{said}");
            }
        }
    }
}
