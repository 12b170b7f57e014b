//! The sandbox made of a pod in a cluster, by `kubectl`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::container::is_label;
use crate::keeper::{self, Errand};
use crate::launch::inherited;
use crate::stage::Stage;
use crate::step::{Failure, Step};
use crate::{Child, Layer, Network, Sandbox, SpawnError, Spec, life};

mod layers;
mod manifest;

use manifest::{PROGRAM, Pod};

/// The longest any short command may take.
const SHORT: Duration = Duration::from_secs(30);

/// Stands in a later command where the pod's number is to be, which only its creation tells.
const NUMBER: &str = "doorward:pod-uid";

/// Variables of the caller that tell `kubectl` where its cluster is.
const PASSED: [&str; 8] = [
    "PATH",
    "HOME",
    "KUBECONFIG",
    "KUBERNETES_SERVICE_HOST",
    "KUBERNETES_SERVICE_PORT",
    "HTTPS_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
];

/// What stands behind a path of the spec: the cluster knows none of this machine's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Volume {
    /// A persistent volume claim of the namespace.
    Claim(String),
    /// A config map of the namespace; for reading only.
    ConfigMap(String),
}

/// A proxy in the cluster, for [`Network::Proxy`]: the only thing the pod may reach.
///
/// Whoever names one vouches that it lets through what the spec's [`egress`](Spec::egress) names
/// and no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodGate {
    /// Its address by number, `http://10.96.0.7:3128`: the pod resolves no names.
    pub proxy: String,
    /// The namespace of the proxy's pods.
    pub namespace: String,
    /// The labels of the proxy's pods.
    pub pods: BTreeMap<String, String>,
    /// The port the proxy's pods listen on.
    pub port: u16,
}

/// Runs each program in a pod of its own, which is gone when the program is.
///
/// The pod keeps to the *restricted* Pod Security Standard: no root, no capabilities, no way to
/// gain rights, the runtime's seccomp filter, no mount of the node; further a read-only root
/// folder, an empty `/tmp` of [`Limits::scratch`](crate::Limits::scratch), no token of the
/// cluster's API, no variables of its services. Variables are in a `Secret` that the pod owns,
/// never in the pod itself. [`Spec::read`] and [`Spec::write`] must lie in a
/// [`volume`](Self::volume).
///
/// For [`Network::None`] a `NetworkPolicy` refuses all traffic, names included; for
/// [`Network::Proxy`] all but that to the [`gate`](Self::gate). A cluster whose network plugin
/// does not know policies would take them and not keep them: the operator must say that it does
/// ([`enforces_policies`](Self::enforces_policies)), or both are refused. [`Network::Host`] is
/// the pod's own network without a policy, never the node's.
///
/// Of the [`Limits`](crate::Limits), a pod has memory and scratch space; processes, open files
/// and file size are the node's to bound, and [`Limits::cpu_seconds`](crate::Limits::cpu_seconds)
/// is refused (see [`deadline`](Self::deadline)).
///
/// As with [`Container`](crate::Container) a launcher process stands between and removes the pod
/// also where the caller is killed; where the machine goes, the next [`sweep`](Sandbox::sweep)
/// does.
///
/// ```no_run
/// use doorward_sandbox::{Kubernetes, Network, Sandbox, Spec, SpawnError, Volume};
///
/// # fn main() -> Result<(), SpawnError> {
/// let sandbox = Kubernetes::new("doorward-tools", "ghcr.io/acme/tracker-mcp@sha256:5e3f...")
///     .volume("/srv/tracker/cache", Volume::Claim("tracker-cache".into()))
///     .enforces_policies();
/// sandbox.sweep()?;
///
/// let mut spec = Spec::new(["tracker-mcp", "--stdio"]);
/// spec.env.insert("TRACKER_TOKEN".into(), "s3cret".into());
/// spec.write.push("/srv/tracker/cache".into());
/// let child = sandbox.spawn(&spec)?;
///
/// // It is refused: there is no such volume, and no path of the node is ever given.
/// spec.read.push("/etc/ssl".into());
/// assert!(matches!(sandbox.spawn(&spec), Err(SpawnError::Path { .. })));
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Kubernetes {
    launcher: PathBuf,
    program: String,
    context: Option<String>,
    namespace: String,
    image: String,
    pull_secret: Option<String>,
    volumes: BTreeMap<PathBuf, Volume>,
    user: (u32, u32),
    cpus: u32,
    entrypoint: bool,
    enforced: bool,
    user_namespace: bool,
    gate: Option<PodGate>,
    deadline: Option<Duration>,
    patience: Duration,
    passed: Vec<String>,
    instance: String,
    server: Option<String>,
}

impl Kubernetes {
    /// A sandbox of pods of this image in this namespace of the current context's cluster.
    pub fn new(namespace: impl Into<String>, image: impl Into<String>) -> Self {
        Self {
            launcher: "/proc/self/exe".into(),
            program: "kubectl".into(),
            context: None,
            namespace: namespace.into(),
            image: image.into(),
            pull_secret: None,
            volumes: BTreeMap::new(),
            user: (65532, 65532),
            cpus: 1000,
            entrypoint: false,
            enforced: false,
            user_namespace: false,
            gate: None,
            deadline: None,
            patience: Duration::from_mins(2),
            passed: Vec::new(),
            instance: "default".into(),
            server: None,
        }
    }

    /// The command, if it is not `kubectl` in `PATH`.
    pub fn program(self, program: impl Into<String>) -> Self {
        Self { program: program.into(), ..self }
    }

    /// The launcher, as in [`Native::new`](crate::Native::new); by default the running program.
    pub fn launcher(self, launcher: impl Into<PathBuf>) -> Self {
        Self { launcher: launcher.into(), ..self }
    }

    /// The context of `kubectl`'s configuration; by default the current one.
    pub fn context(self, context: impl Into<String>) -> Self {
        Self { context: Some(context.into()), ..self }
    }

    /// The secret with which the image is fetched.
    pub fn pull_secret(self, name: impl Into<String>) -> Self {
        Self { pull_secret: Some(name.into()), ..self }
    }

    /// What stands behind a path and all within it.
    pub fn volume(mut self, path: impl Into<PathBuf>, volume: Volume) -> Self {
        self.volumes.insert(path.into(), volume);
        self
    }

    /// The user and group within, not 0; 65532 unless set. Volumes are given to the group.
    pub fn user(self, user: u32, group: u32) -> Self {
        Self { user: (user, group), ..self }
    }

    /// The most processor time in thousandths of a processor; 1000 unless set, 0 for no bound.
    pub fn cpus(self, thousandths: u32) -> Self {
        Self { cpus: thousandths, ..self }
    }

    /// Keeps the image's own entry point, as in
    /// [`Container::keep_entrypoint`](crate::Container::keep_entrypoint).
    pub fn keep_entrypoint(self) -> Self {
        Self { entrypoint: true, ..self }
    }

    /// Says that the cluster's network plugin enforces network policies.
    pub fn enforces_policies(self) -> Self {
        Self { enforced: true, ..self }
    }

    /// Gives the pod a user namespace (`hostUsers: false`), where the cluster has that.
    pub fn user_namespace(self) -> Self {
        Self { user_namespace: true, ..self }
    }

    /// Where [`Network::Proxy`] leads. Without, it is refused.
    pub fn gate(self, gate: PodGate) -> Self {
        Self { gate: Some(gate), ..self }
    }

    /// The longest a pod may live, to the second; it is ended then whatever it does.
    pub fn deadline(self, deadline: Duration) -> Self {
        Self { deadline: Some(deadline), ..self }
    }

    /// How long a pod may take until it runs, the fetching of its image included; two minutes
    /// unless set.
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Further variables of the caller that `kubectl` (not the program) gets, for the plugins
    /// with which it proves who it is.
    pub fn pass<S: Into<String>>(self, names: impl IntoIterator<Item = S>) -> Self {
        Self { passed: names.into_iter().map(Into::into).collect(), ..self }
    }

    /// The name under which [`sweep`](Sandbox::sweep) knows its own: one per running gateway.
    /// Label `doorward.dev/instance`; `default` unless set.
    pub fn instance(self, name: impl Into<String>) -> Self {
        Self { instance: name.into(), ..self }
    }

    /// Which server the pods are for. Label `doorward.dev/server`.
    pub fn server(self, name: impl Into<String>) -> Self {
        Self { server: Some(name.into()), ..self }
    }

    fn environment(&self) -> BTreeMap<String, String> {
        let names = PASSED.iter().copied().chain(self.passed.iter().map(String::as_str));
        names.filter_map(|name| Some((name.to_owned(), inherited(name)?))).collect()
    }

    fn words(&self, words: &[&str]) -> Vec<String> {
        let mut all = vec![self.program.clone()];
        all.extend(self.context.iter().map(|context| format!("--context={context}")));
        all.push(format!("--namespace={}", self.namespace));
        all.extend(words.iter().map(|&word| word.to_owned()));
        all
    }

    fn step(&self, words: &[&str]) -> Step {
        Step::new(self.words(words), SHORT)
    }

    fn ask(&self, words: &[&str]) -> Result<String, SpawnError> {
        let command = self.program.clone();
        self.step(words).run(&self.environment()).map_err(|failure| match failure {
            Failure::NotFound => SpawnError::NotFound { command },
            Failure::Said(reason) => SpawnError::Exec { command, reason },
        })
    }

    /// Everything with this label, removed.
    fn removal(&self, label: &str) -> Step {
        let selector = format!("--selector={label}");
        let kinds = "pods,secrets,networkpolicies";
        self.step(&["delete", kinds, &selector, "--now", "--wait=false", "--ignore-not-found"])
    }

    fn vet(&self) -> Result<(), SpawnError> {
        let refuse = |what: &str, reason: &str| {
            Err(SpawnError::Unsupported { asked: what.into(), reason: reason.into() })
        };
        if self.user.0 == 0 || self.user.1 == 0 {
            return refuse("user 0", "pods run without root");
        }
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:@".contains(&byte);
        if self.image.is_empty() || !self.image.bytes().all(legal) {
            let reason = "it is no name of an image".into();
            return Err(SpawnError::Image { image: self.image.clone(), reason });
        }
        let names = [Some(&self.instance), self.server.as_ref(), Some(&self.namespace)];
        if names.into_iter().flatten().any(|name| !is_label(name)) {
            return refuse(
                "the instance, server or namespace",
                "up to 63 letters, digits, `.`, `_` and `-` make a name",
            );
        }
        Ok(())
    }

    fn errand(&self, spec: &Spec, pod: &Pod) -> Result<Errand, SpawnError> {
        self.vet()?;
        let name = pod.name.as_str();
        let before = self.before(spec, pod)?.to_string();
        let create = |input: String| Step {
            input: Some(input),
            ..self.step(&["create", "--filename=-", "--output=jsonpath={.metadata.uid}"])
        };
        let owner = serde_json::json!({ "metadata": { "ownerReferences": [{
            "apiVersion": "v1", "kind": "Pod", "name": name, "uid": NUMBER,
        }]}});
        let patch = format!("--patch={owner}");
        let own = |kind: &str| self.step(&["patch", kind, name, "--type=merge", &patch]);
        let mut prepare = vec![create(before)];
        prepare.push(Step {
            answers: Some(NUMBER.into()),
            ..create(self.pod(spec, pod)?.to_string())
        });
        prepare.extend((!spec.env.is_empty()).then(|| own("secret")));
        prepare.push(own("networkpolicy"));
        let seconds = format!("--timeout={}s", self.patience.as_secs());
        let running =
            self.words(&["wait", "--for=condition=Ready", &format!("pod/{name}"), &seconds]);
        prepare.push(Step::new(running, self.patience + SHORT));
        let ask =
            |path: &str| self.step(&["get", "pod", name, &format!("--output=jsonpath={path}")]);
        Ok(Errand {
            env: self.environment(),
            folder: None,
            prepare,
            diagnose: Some(ask(
                "{.status.conditions[*].message} {.status.containerStatuses[0].state}",
            )),
            run: self.words(&[
                "attach",
                "--stdin",
                "--quiet",
                &format!("--container={PROGRAM}"),
                name,
            ]),
            sign: None,
            code: Some(ask("{.status.containerStatuses[0].state.terminated.exitCode}")),
            terminate: self.step(&["delete", "pod", name, "--wait=false"]),
            remove: vec![self.removal(&format!("{}={}", manifest::ID, pod.id))],
        })
    }

    /// What an earlier gateway left, by the labels of its pods.
    fn orphans(&self) -> Result<Vec<String>, SpawnError> {
        let mine = format!("--selector={}={}", manifest::INSTANCE, self.instance);
        let said = self.ask(&["get", "pods,secrets,networkpolicies", &mine, "--output=json"])?;
        let list: serde_json::Value = serde_json::from_str(&said).map_err(|error| {
            SpawnError::Exec { command: self.program.clone(), reason: error.to_string() }
        })?;
        let items = list["items"].as_array().into_iter().flatten();
        let mut orphans: Vec<String> = items
            .map(|item| &item["metadata"])
            .filter(|about| {
                !life::runs(about["annotations"][manifest::LIFE].as_str().unwrap_or(""))
            })
            .filter_map(|about| about["labels"][manifest::ID].as_str().map(str::to_owned))
            .collect();
        orphans.sort_unstable();
        orphans.dedup();
        Ok(orphans)
    }
}

impl Sandbox for Kubernetes {
    fn spawn(&self, spec: &Spec) -> Result<Child, SpawnError> {
        if !self.entrypoint && spec.command.first().is_none_or(String::is_empty) {
            return Err(SpawnError::EmptyCommand);
        }
        let unstarted = |source| SpawnError::Launcher { path: self.launcher.clone(), source };
        let id = life::fresh().map_err(unstarted)?;
        let life = life::own().map_err(unstarted)?;
        let pod = Pod { name: format!("doorward-{id}"), id, life };
        let errand = self.errand(spec, &pod)?;
        let secrets: Vec<String> =
            spec.env.values().flat_map(|value| [value.clone(), STANDARD.encode(value)]).collect();
        // Each step may take its time.
        let patience = self.patience + SHORT * 8;
        let layers = self.given(spec.network);
        Stage { launcher: &self.launcher, role: keeper::ROLE, patience, grace: SHORT }
            .start(&errand, &secrets, layers)
    }

    /// What a pod without a network has, and what the cluster says of itself.
    fn layers(&self) -> Vec<Layer> {
        let namespace = ["get", "namespace", &self.namespace, "--output=json"];
        layers::read(self.given(Network::None), self.ask(&namespace))
    }

    fn sweep(&self) -> Result<usize, SpawnError> {
        let orphans = self.orphans()?;
        for id in &orphans {
            let step = self.removal(&format!("{}={id}", manifest::ID));
            step.run(&self.environment()).map_err(|failure| SpawnError::Exec {
                command: self.program.clone(),
                reason: failure.reason(),
            })?;
        }
        Ok(orphans.len())
    }
}

/// The part of a volume that a path is, if it lies within.
fn within<'a>(path: &'a Path, volume: &Path) -> Option<&'a Path> {
    path.strip_prefix(volume).ok()
}
