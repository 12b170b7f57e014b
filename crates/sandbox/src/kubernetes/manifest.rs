//! What is sent to the cluster. Golden copies are in the tests.

use std::path::{Component, Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::{Kubernetes, Volume, within};
use crate::{Network, SpawnError, Spec};

/// The label that everything of one pod has.
pub(super) const ID: &str = "doorward.dev/id";

/// The label of the gateway's name.
pub(super) const INSTANCE: &str = "doorward.dev/instance";

/// The annotation that tells who started it.
pub(super) const LIFE: &str = "doorward.dev/life";

/// The name of the pod's only container.
pub(super) const PROGRAM: &str = "program";

/// The longest name and value of all variables together: what a `Secret` may hold.
const VARIABLES: usize = 1 << 20;

/// What is peculiar to one pod.
#[derive(Debug)]
pub(super) struct Pod {
    /// The name of the pod and of what belongs to it.
    pub(super) name: String,
    /// What everything of it is known by.
    pub(super) id: String,
    /// Who started it.
    pub(super) life: String,
}

impl Kubernetes {
    /// What must be there before the pod: the policy, so that it has none of the network at any
    /// time, and the variables.
    pub(super) fn before(&self, spec: &Spec, pod: &Pod) -> Result<Value, SpawnError> {
        let mut items = vec![self.policy(spec, pod)?];
        if !spec.env.is_empty() {
            items.push(self.secret(spec, pod)?);
        }
        Ok(json!({ "apiVersion": "v1", "kind": "List", "items": items }))
    }

    fn about(&self, pod: &Pod) -> Value {
        let mut labels = Map::new();
        labels.insert("app.kubernetes.io/managed-by".into(), "doorward".into());
        labels.insert(ID.into(), pod.id.as_str().into());
        labels.insert(INSTANCE.into(), self.instance.as_str().into());
        if let Some(server) = &self.server {
            labels.insert("doorward.dev/server".into(), server.as_str().into());
        }
        json!({
            "name": pod.name,
            "namespace": self.namespace,
            "labels": labels,
            "annotations": { LIFE: pod.life },
        })
    }

    fn policy(&self, spec: &Spec, pod: &Pod) -> Result<Value, SpawnError> {
        let missing = |reason: &str| SpawnError::Layer {
            layer: "network policy".into(),
            reason: reason.into(),
        };
        if spec.network != Network::Host && !self.enforced {
            return Err(missing(
                "nobody has said that the cluster's network plugin enforces policies",
            ));
        }
        let egress = match (spec.network, &self.gate) {
            (Network::None, _) => json!([]),
            // One empty rule lets everything through.
            (Network::Host, _) => json!([{}]),
            (Network::Proxy, Some(gate)) => json!([{
                "to": [{
                    "namespaceSelector": {
                        "matchLabels": { "kubernetes.io/metadata.name": gate.namespace },
                    },
                    "podSelector": { "matchLabels": gate.pods },
                }],
                "ports": [{ "protocol": "TCP", "port": gate.port }],
            }]),
            (Network::Proxy, None) => {
                return Err(SpawnError::Unsupported {
                    asked: "network `proxy`".into(),
                    reason: "no proxy of the cluster is named".into(),
                });
            }
        };
        Ok(json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": self.about(pod),
            "spec": {
                "podSelector": { "matchLabels": { ID: pod.id } },
                "policyTypes": ["Ingress", "Egress"],
                "ingress": [],
                "egress": egress,
            },
        }))
    }

    fn secret(&self, spec: &Spec, pod: &Pod) -> Result<Value, SpawnError> {
        let mut data = Map::new();
        let mut length = 0;
        for (name, value) in &spec.env {
            let refuse = |reason: &str| SpawnError::Unsupported {
                asked: format!("variable `{name}`"),
                reason: reason.to_owned(),
            };
            // What is neither is left out of a pod's environment without a word.
            let first = |byte: &u8| byte.is_ascii_alphabetic() || b"_.-".contains(byte);
            let other = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
            if !name.as_bytes().first().is_some_and(first) || !name.bytes().all(other) {
                return Err(refuse("such a name cannot be passed to a pod"));
            }
            length += name.len() + value.len();
            if value.contains('\0') || length > VARIABLES {
                return Err(refuse("its value has a null byte, or all together are too long"));
            }
            data.insert(name.clone(), STANDARD.encode(value).into());
        }
        Ok(json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": self.about(pod),
            "type": "Opaque",
            "immutable": true,
            "data": data,
        }))
    }

    /// The pod itself.
    pub(super) fn pod(&self, spec: &Spec, pod: &Pod) -> Result<Value, SpawnError> {
        if spec.limits.cpu_seconds.is_some() {
            return Err(SpawnError::Unsupported {
                asked: "a limit on processor seconds".into(),
                reason: "a cluster counts the time a pod lives, not what it computes".into(),
            });
        }
        let (volumes, mounts) = self.mounts(spec)?;
        let mut body = json!({
            "automountServiceAccountToken": false,
            "containers": [self.container(spec, pod, &mounts)?],
            "enableServiceLinks": false,
            "hostIPC": false,
            "hostNetwork": false,
            "hostPID": false,
            "hostname": "sandbox",
            "nodeSelector": { "kubernetes.io/os": "linux" },
            "restartPolicy": "Never",
            "securityContext": {
                "fsGroup": self.user.1,
                "runAsGroup": self.user.1,
                "runAsNonRoot": true,
                "runAsUser": self.user.0,
                "seccompProfile": { "type": "RuntimeDefault" },
            },
            "terminationGracePeriodSeconds": 5,
            "volumes": volumes,
        });
        if spec.network != Network::Host {
            body["dnsPolicy"] = "None".into();
            body["dnsConfig"] = json!({ "nameservers": ["127.0.0.1"] });
        }
        if let Some(deadline) = self.deadline {
            body["activeDeadlineSeconds"] = deadline.as_secs().max(1).into();
        }
        if let Some(name) = &self.pull_secret {
            body["imagePullSecrets"] = json!([{ "name": name }]);
        }
        if self.user_namespace {
            body["hostUsers"] = false.into();
        }
        Ok(json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": self.about(pod),
            "spec": body,
        }))
    }

    fn container(&self, spec: &Spec, pod: &Pod, mounts: &Value) -> Result<Value, SpawnError> {
        let bytes = |bytes: u64| bytes.to_string();
        let limits = &spec.limits;
        let mut most = json!({
            "memory": bytes(limits.memory),
            // What stands in the container's own layer is read-only: `/tmp` is all there is.
            "ephemeral-storage": bytes(limits.scratch.saturating_add(64 << 20)),
        });
        if self.cpus > 0 {
            most["cpu"] = format!("{}m", self.cpus).into();
        }
        // What is set aside: a waiting server needs little. Without, it would be the limits.
        let least = json!({
            "cpu": "10m",
            "memory": bytes(limits.memory.min(64 << 20)),
            "ephemeral-storage": bytes(limits.scratch.min(16 << 20)),
        });
        let mut container = json!({
            "name": PROGRAM,
            "image": self.image,
            "env": self.plain(spec),
            "resources": { "limits": most, "requests": least },
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "capabilities": { "drop": ["ALL"] },
                "privileged": false,
                "readOnlyRootFilesystem": true,
                "runAsNonRoot": true,
                "seccompProfile": { "type": "RuntimeDefault" },
            },
            "stdin": true,
            "stdinOnce": true,
            "tty": false,
            "volumeMounts": mounts,
        });
        if !spec.env.is_empty() {
            container["envFrom"] = json!([{ "secretRef": { "name": pod.name } }]);
        }
        // The cluster would put variables in the place of `$(NAME)`.
        let literal = |words: &[String]| -> Vec<String> {
            words.iter().map(|word| word.replace("$(", "$$(")).collect()
        };
        match (spec.command.as_slice(), self.entrypoint) {
            ([], _) => {}
            (words, true) => container["args"] = literal(words).into(),
            ([program, words @ ..], false) => {
                container["command"] = literal(std::slice::from_ref(program)).into();
                container["args"] = literal(words).into();
            }
        }
        if let Some(cwd) = &spec.cwd {
            container["workingDir"] = absolute(cwd)?.into();
        }
        Ok(container)
    }

    /// The variables that are no secrets.
    fn plain(&self, spec: &Spec) -> Vec<Value> {
        let mut all = Vec::new();
        let places = ["HOME", "TMPDIR"].map(|name| (name.to_owned(), "/tmp".to_owned()));
        let gate = self.gate.as_ref().filter(|_| spec.network == Network::Proxy);
        let proxies = gate.into_iter().flat_map(|gate| {
            ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"].into_iter().flat_map(|name| {
                [(name.to_owned(), gate.proxy.clone()), (name.to_lowercase(), gate.proxy.clone())]
            })
        });
        // What stands here goes before what the secret has.
        let unset = |name: &String| !spec.env.contains_key(name);
        for (name, value) in places.into_iter().filter(|(name, _)| unset(name)).chain(proxies) {
            all.push(json!({ "name": name, "value": value }));
        }
        all
    }

    /// The volumes the spec's paths lie in, and where they appear.
    fn mounts(&self, spec: &Spec) -> Result<(Value, Value), SpawnError> {
        let scratch = spec.limits.scratch.to_string();
        let mut volumes = vec![json!({ "name": "tmp", "emptyDir": { "sizeLimit": scratch } })];
        let mut mounts = vec![json!({ "name": "tmp", "mountPath": "/tmp" })];
        let mut used: Vec<&Path> = Vec::new();
        for (path, write) in given_paths(spec) {
            let refuse = |reason: String| SpawnError::Path { path: path.clone(), reason };
            let target = absolute(&path)?;
            if let Some(hidden) = spec
                .hide
                .iter()
                .find(|hidden| path.starts_with(hidden) || hidden.starts_with(&path))
            {
                return Err(refuse(format!("it touches `{}`, which is hidden", hidden.display())));
            }
            // The innermost volume is the one that is seen.
            let found = self
                .volumes
                .iter()
                .rev()
                .find_map(|(at, volume)| Some((at.as_path(), volume, within(&path, at)?)));
            let Some((at, volume, part)) = found else {
                return Err(refuse("no volume of the cluster is declared for it".into()));
            };
            if write && matches!(volume, Volume::ConfigMap(_)) {
                return Err(refuse("a config map is for reading only".into()));
            }
            let number = used.iter().position(|known| *known == at).unwrap_or_else(|| {
                let name = format!("volume-{}", used.len());
                volumes.push(match volume {
                    Volume::Claim(claim) => {
                        json!({ "name": name, "persistentVolumeClaim": { "claimName": claim } })
                    }
                    Volume::ConfigMap(map) => json!({ "name": name, "configMap": { "name": map } }),
                });
                used.push(at);
                used.len() - 1
            });
            let mut mount = json!({
                "name": format!("volume-{number}"), "mountPath": target, "readOnly": !write,
            });
            if let Some(part) = part.to_str().filter(|part| !part.is_empty()) {
                mount["subPath"] = part.into();
            }
            mounts.push(mount);
        }
        Ok((volumes.into(), mounts.into()))
    }
}

/// Each path once, and whether it may be changed.
fn given_paths(spec: &Spec) -> Vec<(PathBuf, bool)> {
    let read = spec.read.iter().filter(|path| !spec.write.contains(path));
    let mut all: Vec<(PathBuf, bool)> = read.map(|path| (path.clone(), false)).collect();
    all.extend(spec.write.iter().map(|path| (path.clone(), true)));
    all.sort();
    all.dedup();
    all
}

/// A path of the pod. What would cover the pod's own folders is none.
fn absolute(path: &Path) -> Result<String, SpawnError> {
    let refuse =
        |reason: &str| SpawnError::Path { path: path.to_owned(), reason: reason.to_owned() };
    let plain = path.is_absolute()
        && path.components().all(|part| !matches!(part, Component::ParentDir | Component::CurDir));
    let text = path.to_str().filter(|text| plain && !text.contains([':', '\0']));
    let text = text.ok_or_else(|| refuse("it must be a plain absolute path without `:`"))?;
    let own = ["/", "/dev", "/proc", "/sys", "/tmp"];
    let covers = own.iter().any(|own| path == Path::new(own))
        || own[1..4].iter().any(|own| path.starts_with(own));
    if covers { Err(refuse("the pod has its own")) } else { Ok(text.to_owned()) }
}

#[cfg(test)]
mod tests;
