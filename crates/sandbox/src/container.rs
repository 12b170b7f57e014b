//! The sandbox made of a container, by an OCI runtime's command line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::grant::grants;
use crate::keeper::{self, Errand, Folder};
use crate::launch::inherited;
use crate::stage::Stage;
use crate::step::{Failure, Step};
use crate::{Child, Layer, Sandbox, SpawnError, Spec, life};

mod flags;
mod layers;
mod variables;

use flags::Run;
pub(crate) use flags::is_label;
use variables::Carried;

/// The longest any of the runtime's short commands may take.
const SHORT: Duration = Duration::from_secs(20);

/// Variables of the caller that tell the command line where its runtime is.
const PASSED: [&str; 16] = [
    "PATH",
    "HOME",
    "XDG_RUNTIME_DIR",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "DBUS_SESSION_BUS_ADDRESS",
    "DOCKER_HOST",
    "DOCKER_CONFIG",
    "DOCKER_CONTEXT",
    "DOCKER_CERT_PATH",
    "DOCKER_TLS_VERIFY",
    "CONTAINER_HOST",
    "CONTAINER_CONNECTION",
    "CONTAINERS_CONF",
    "CONTAINERD_ADDRESS",
    "CONTAINERD_NAMESPACE",
];

/// Whose command line is spoken; they differ in a few words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runtime {
    /// `docker`
    Docker,
    /// `podman`
    Podman,
    /// `nerdctl`. It keeps a log of what the program says: it has no way to keep none.
    Nerdctl,
}

impl Runtime {
    fn program(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Nerdctl => "nerdctl",
        }
    }
}

/// Whether an image is fetched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pull {
    /// Never: it must be there.
    #[default]
    Never,
    /// Where it is not there yet.
    Missing,
    /// Each time.
    Always,
}

/// A network that leads nowhere but to a proxy, for [`Network::Proxy`](crate::Network::Proxy).
///
/// A container runtime knows no list of hosts. Whoever names a gate vouches for both: that
/// nothing else can be reached on this network, and that the proxy there lets through what the
/// spec's [`egress`](Spec::egress) names and no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// The runtime's name of the network, such as one made by `docker network create --internal`.
    pub network: String,
    /// The proxy as it is reached there: `http://10.89.0.1:3128`.
    pub proxy: String,
}

/// Runs each program in a container of its own, which is gone when the program is.
///
/// The root folder is read-only, `/tmp` is the only other place to write to and nothing there can
/// be executed; there are no capabilities, no way to gain rights, no root; memory (swap counted
/// in), processes, processor share, open files and file size are bounded for the container as a
/// whole. [`Spec::read`] and [`Spec::write`] are bind mounts; unlike under
/// [`Native`](crate::Native) nothing else of the machine is there, neither the program nor what
/// stands beside it: those come with the image. Relative paths refer to the caller's folder, and
/// [`Spec::cwd`] is a folder of the container.
///
/// No secret stands on a command line: variables are passed in the environment of the runtime's
/// own command, or in a file only the caller may read where their name would steer that command.
/// A Docker client whose configuration has `proxies` sets those variables in every container, and
/// Docker and nerdctl make a folder that the image declares as a volume one to write to.
///
/// A launcher process (see [`Native`](crate::Native)) stands between the caller and the runtime:
/// the container is removed also where the caller is killed.
///
/// ```no_run
/// use doorward_sandbox::{Container, Network, Sandbox, Spec, SpawnError};
///
/// # fn main() -> Result<(), SpawnError> {
/// let sandbox = Container::podman("ghcr.io/acme/tracker-mcp@sha256:5e3f...").require_digest();
/// sandbox.sweep()?;
///
/// let mut spec = Spec::new(["tracker-mcp", "--stdio"]);
/// spec.env.insert("TRACKER_TOKEN".into(), "s3cret".into());
/// spec.write.push("/srv/tracker/cache".into());
/// let child = sandbox.spawn(&spec)?;
///
/// // It is refused: there is no network with only a proxy in it.
/// spec.network = Network::Proxy;
/// assert!(matches!(sandbox.spawn(&spec), Err(SpawnError::Unsupported { .. })));
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Container {
    launcher: PathBuf,
    runtime: Runtime,
    program: String,
    image: String,
    pull: Pull,
    digest: bool,
    user: (u32, u32),
    cpus: u32,
    entrypoint: bool,
    init: bool,
    gate: Option<Gate>,
    extra: Vec<String>,
    passed: Vec<String>,
    instance: String,
    server: Option<String>,
    patience: Duration,
    layers: Arc<OnceLock<Vec<Layer>>>,
}

impl Container {
    /// A sandbox of containers of this image. The image is best named by its digest
    /// (`name@sha256:…`): a tag is whatever somebody moves it to.
    pub fn new(runtime: Runtime, image: impl Into<String>) -> Self {
        Self {
            launcher: "/proc/self/exe".into(),
            runtime,
            program: runtime.program().into(),
            image: image.into(),
            pull: Pull::Never,
            digest: false,
            user: (65532, 65532),
            cpus: 1000,
            entrypoint: false,
            init: true,
            gate: None,
            extra: Vec::new(),
            passed: Vec::new(),
            instance: "default".into(),
            server: None,
            patience: Duration::from_mins(1),
            layers: Arc::default(),
        }
    }

    /// Containers run by `docker`.
    pub fn docker(image: impl Into<String>) -> Self {
        Self::new(Runtime::Docker, image)
    }

    /// Containers run by `podman`.
    pub fn podman(image: impl Into<String>) -> Self {
        Self::new(Runtime::Podman, image)
    }

    /// Containers run by `nerdctl`.
    pub fn nerdctl(image: impl Into<String>) -> Self {
        Self::new(Runtime::Nerdctl, image)
    }

    /// The runtime's command, if it is not to be found under its usual name in `PATH`.
    pub fn program(self, program: impl Into<String>) -> Self {
        Self { program: program.into(), ..self }
    }

    /// The launcher, as in [`Native::new`](crate::Native::new); by default the running program.
    pub fn launcher(self, launcher: impl Into<PathBuf>) -> Self {
        Self { launcher: launcher.into(), ..self }
    }

    /// Whether the image is fetched; [`Pull::Never`] unless set. Fetching counts as part of
    /// [`patience`](Self::patience).
    pub fn pull(self, pull: Pull) -> Self {
        Self { pull, ..self }
    }

    /// Refuses an image that is not named by its digest.
    pub fn require_digest(self) -> Self {
        Self { digest: true, ..self }
    }

    /// The user and group within; 65532 unless set. They must be able to read what the spec
    /// gives.
    pub fn user(self, user: u32, group: u32) -> Self {
        Self { user: (user, group), ..self }
    }

    /// The processor share in thousandths of a processor; 1000 unless set, 0 for no bound.
    pub fn cpus(self, thousandths: u32) -> Self {
        Self { cpus: thousandths, ..self }
    }

    /// Keeps the image's own entry point: [`Spec::command`] is what it is told, and may be empty.
    /// Otherwise the command replaces it.
    pub fn keep_entrypoint(self) -> Self {
        Self { entrypoint: true, ..self }
    }

    /// Runs the program as process 1, without the runtime's small init before it: what the
    /// program leaves behind is then not reaped, and it hears no `SIGTERM` it does not ask for.
    pub fn without_init(self) -> Self {
        Self { init: false, ..self }
    }

    /// Where [`Network::Proxy`](crate::Network::Proxy) leads. Without, it is refused.
    pub fn gate(self, gate: Gate) -> Self {
        Self { gate: Some(gate), ..self }
    }

    /// Further options of the runtime's `run`, after all others and so before them. They can
    /// undo any of the isolation.
    pub fn extra<S: Into<String>>(self, options: impl IntoIterator<Item = S>) -> Self {
        Self { extra: options.into_iter().map(Into::into).collect(), ..self }
    }

    /// Further variables of the caller that the runtime's command (not the program) gets.
    pub fn pass<S: Into<String>>(self, names: impl IntoIterator<Item = S>) -> Self {
        Self { passed: names.into_iter().map(Into::into).collect(), ..self }
    }

    /// The name under which [`sweep`](Sandbox::sweep) knows its own: one per running gateway.
    /// Label `doorward.instance`; `default` unless set.
    pub fn instance(self, name: impl Into<String>) -> Self {
        Self { instance: name.into(), ..self }
    }

    /// Which server the containers are for. Label `doorward.server`.
    pub fn server(self, name: impl Into<String>) -> Self {
        Self { server: Some(name.into()), ..self }
    }

    /// How long a container may take to be created; a minute unless set.
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// The environment of the runtime's command, without anything for the program.
    fn environment(&self) -> BTreeMap<String, String> {
        let names = PASSED.iter().copied().chain(self.passed.iter().map(String::as_str));
        names.filter_map(|name| Some((name.to_owned(), inherited(name)?))).collect()
    }

    fn step(&self, words: &[&str]) -> Step {
        let arguments = words.iter().map(|&word| word.to_owned());
        Step::new([self.program.clone()].into_iter().chain(arguments).collect(), SHORT)
    }

    fn ask(&self, words: &[&str]) -> Result<String, SpawnError> {
        let command = self.program.clone();
        self.step(words).run(&self.environment()).map_err(|failure| match failure {
            Failure::NotFound => SpawnError::NotFound { command },
            Failure::Said(reason) => SpawnError::Exec { command, reason },
        })
    }

    fn errand(&self, spec: &Spec, run: &Run, cwd: &Path) -> Result<Errand, SpawnError> {
        let carried = Carried::new(&spec.env)?;
        let given = grants(spec, cwd)?;
        let words = self.words(spec, run, &given, &carried)?;
        let mut files = BTreeMap::new();
        if !carried.file.is_empty() {
            files.insert(flags::VARIABLES.to_owned(), carried.file);
        }
        let mut env = self.environment();
        env.extend(carried.passed);
        Ok(Errand {
            env,
            folder: Some(Folder { path: run.folder.clone(), files }),
            prepare: Vec::new(),
            diagnose: None,
            run: words,
            sign: Some((run.folder.join(flags::NUMBER), self.patience)),
            code: None,
            terminate: self.step(&["kill", "--signal", "TERM", &run.name]),
            // The first is quick where the second waits for the program to end by itself.
            remove: vec![
                self.step(&["kill", "--signal", "KILL", &run.name]),
                self.step(&["rm", "--force", "--volumes", &run.name]),
            ],
        })
    }

    /// The containers that an earlier gateway left, by their numbers.
    fn orphans(&self) -> Result<Vec<String>, SpawnError> {
        let mine = format!("label=doorward.instance={}", self.instance);
        let all = self.ask(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &mine])?;
        let mut orphans = Vec::new();
        for number in all.split_ascii_whitespace() {
            let format = "{{index .Config.Labels \"doorward.life\"}}";
            // One that is gone by now is no orphan.
            let Ok(life) = self.ask(&["inspect", "--format", format, number]) else { continue };
            if !life::runs(life.trim()) {
                orphans.push(number.to_owned());
            }
        }
        Ok(orphans)
    }
}

impl Sandbox for Container {
    fn spawn(&self, spec: &Spec) -> Result<Child, SpawnError> {
        if !self.entrypoint && spec.command.first().is_none_or(String::is_empty) {
            return Err(SpawnError::EmptyCommand);
        }
        let unstarted = |source| SpawnError::Launcher { path: self.launcher.clone(), source };
        let fresh = life::fresh().map_err(unstarted)?;
        let run = Run {
            name: format!("doorward-{fresh}"),
            folder: scratch().join(format!("doorward-{fresh}")),
            life: life::own().map_err(unstarted)?,
        };
        let cwd = std::env::current_dir().map_err(unstarted)?;
        let errand = self.errand(spec, &run, &cwd)?;
        let secrets: Vec<String> = spec.env.values().cloned().collect();
        let layers = self.layers.get().cloned().unwrap_or_else(|| self.layers());
        let patience = self.patience + SHORT * 3;
        let stage =
            Stage { launcher: &self.launcher, role: keeper::ROLE, patience, grace: SHORT * 2 };
        stage.start(&errand, &secrets, layers)
    }

    /// What the runtime says of itself. It is asked each time; a child has what was said last.
    fn layers(&self) -> Vec<Layer> {
        match self.ask(&["info", "--format", "{{json .}}"]) {
            Ok(said) => {
                let layers = layers::read(self.runtime, &said);
                // The first answer stays with this sandbox's children.
                self.layers.set(layers.clone()).ok();
                layers
            }
            Err(error) => layers::none(&error.to_string()),
        }
    }

    fn sweep(&self) -> Result<usize, SpawnError> {
        let orphans = self.orphans()?;
        for number in &orphans {
            self.ask(&["rm", "--force", "--volumes", number])?;
        }
        Ok(orphans.len())
    }
}

/// Where a folder of the caller's own may stand for a moment.
fn scratch() -> PathBuf {
    inherited("XDG_RUNTIME_DIR")
        .filter(|path| path.starts_with('/'))
        .map_or_else(|| "/tmp".into(), PathBuf::from)
}
