//! The keeper: what runs between the caller and the command line of a container runtime.
//!
//! A container outlives the command that started it, and a pod the machine that did. The keeper
//! is a process of its own that starts it, watches the caller over the control stream, and
//! removes what was started whichever of the three ends first. The program's pipes lead past it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitCode, ExitStatus};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SIGKILL, killpg};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::control::{Refusal, Report, TERMINATE, call, receive, send};
use crate::step::{Failure, Step, command};

/// The second argument of a keeper.
pub(crate) const ROLE: &str = "keep";

/// Between two looks at whether the program has started, in milliseconds.
const LOOK: u16 = 10;

/// How often the exit code is asked for before the answer counts as lost.
const ASKED: u32 = 25;

/// Between two such questions.
const PAUSE: Duration = Duration::from_millis(200);

/// What a keeper is told to do.
#[derive(Serialize, Deserialize)]
pub(crate) struct Errand {
    /// The whole environment of every command.
    pub(crate) env: BTreeMap<String, String>,
    /// A folder for what the commands pass to each other, there until the program runs.
    pub(crate) folder: Option<Folder>,
    /// What comes first; where one fails, nothing more is done than removing.
    pub(crate) prepare: Vec<Step>,
    /// Tells more about the failure of the last of these.
    pub(crate) diagnose: Option<Step>,
    /// The command with the program's pipes. It lasts as long as the program.
    pub(crate) run: Vec<String>,
    /// A file of the folder that is written when there is a program to speak of, and how long
    /// that may take. Without it, the program runs as soon as the command does.
    pub(crate) sign: Option<(PathBuf, Duration)>,
    /// Asks how the program ended, where the command does not tell.
    pub(crate) code: Option<Step>,
    /// Asks the program to end.
    pub(crate) terminate: Step,
    /// Removes the program and all that was prepared for it.
    pub(crate) remove: Vec<Step>,
}

/// A folder only the caller's user may enter, and the files in it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
    pub(crate) files: BTreeMap<String, String>,
}

impl Folder {
    fn build(&self) -> io::Result<()> {
        // Never one that is there already, whoever made it.
        fs::DirBuilder::new().mode(0o700).create(&self.path)?;
        for (name, text) in &self.files {
            let mut options = fs::OpenOptions::new();
            let mut file =
                options.write(true).create_new(true).mode(0o600).open(self.path.join(name))?;
            file.write_all(text.as_bytes())?;
        }
        Ok(())
    }
}

/// How the program's time ended.
enum End {
    /// The command ended.
    Command(ExitStatus),
    /// The caller let go of the program, or died.
    Caller,
}

/// Does a keeper's work: what the second argument [`ROLE`] stands for.
pub(crate) fn run(door: &str) -> ExitCode {
    let Ok(mut control) = call(door) else { return ExitCode::FAILURE };
    let Ok(mut errand) = receive::<Errand>(&mut control) else { return ExitCode::FAILURE };
    let ended = errand.start(&mut control).map(|mut process| {
        // Held open here, the program's pipes would outlast it.
        let let_go = let_go();
        match let_go.and_then(|()| send(&mut control, &Report::Started(Vec::new()))) {
            Ok(()) => errand.watch(&mut control, &mut process),
            // Nobody is there to be told.
            Err(_) => end(&mut process),
        }
    });
    let code = match &ended {
        Ok(End::Command(status)) => errand.code_of(*status),
        Ok(End::Caller) | Err(_) => ExitCode::from(137),
    };
    errand.remove();
    if let Err(refusal) = ended {
        send(&mut control, &Report::Refused(refusal)).ok();
    }
    code
}

/// Ends the command at once.
fn end(process: &mut Child) -> End {
    if let Ok(pid) = i32::try_from(process.id()) {
        killpg(Pid::from_raw(pid), SIGKILL).ok();
    }
    process.wait().ok();
    End::Caller
}

/// Gives up the program's pipes.
fn let_go() -> io::Result<()> {
    let nothing = File::options().read(true).write(true).open("/dev/null")?;
    nix::unistd::dup2_stdin(&nothing)?;
    nix::unistd::dup2_stdout(&nothing)?;
    nix::unistd::dup2_stderr(&nothing)?;
    Ok(())
}

impl Errand {
    /// Does what comes first, and starts the command.
    fn start(&mut self, control: &mut UnixStream) -> Result<Child, Refusal> {
        let program = self.run.first().cloned().unwrap_or_default();
        let refuse = |reason: String| Refusal::Exec { command: program.clone(), reason };
        let fail = |failure: Failure| match failure {
            Failure::NotFound => Refusal::NotFound { command: program.clone() },
            Failure::Said(reason) => refuse(reason),
        };
        if let Some(folder) = &self.folder {
            let place = || folder.path.display();
            folder.build().map_err(|error| refuse(format!("`{}`: {error}", place())))?;
        }
        self.prepare().map_err(fail)?;
        let mut command =
            command(&self.run, &self.env).ok_or_else(|| refuse("it is empty".into()))?;
        let mut process = command.process_group(0).spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Refusal::NotFound { command: program.clone() },
            _ => refuse(error.to_string()),
        })?;
        if let Some((sign, patience)) = &self.sign
            && let Err(reason) = await_sign(sign, *patience, control, &mut process)
        {
            end(&mut process);
            return Err(refuse(reason));
        }
        // The program was created: what stood in the folder was read.
        self.clear();
        Ok(process)
    }

    /// Runs the first steps, and puts what they answer into the later ones.
    fn prepare(&mut self) -> Result<(), Failure> {
        let mut answers: Vec<(String, String)> = Vec::new();
        for index in 0..self.prepare.len() {
            let mut step = self.prepare[index].clone();
            for (name, answer) in &answers {
                for text in step.words.iter_mut().chain(&mut step.input) {
                    *text = text.replace(name.as_str(), answer);
                }
            }
            let said = step.run(&self.env).map_err(|failure| {
                let last = index + 1 == self.prepare.len();
                let more = self.diagnose.as_ref().filter(|_| last);
                let more = more.and_then(|step| step.run(&self.env).ok()).unwrap_or_default();
                match failure {
                    Failure::Said(reason) if !more.trim().is_empty() => {
                        Failure::Said(format!("{reason}: {}", more.trim()))
                    }
                    failure => failure,
                }
            })?;
            if let Some(name) = step.answers {
                answers.push((name, said.trim().to_owned()));
            }
        }
        Ok(())
    }

    /// Waits for the command to end or the caller to let go.
    fn watch(&self, control: &mut UnixStream, process: &mut Child) -> End {
        let handle = handle_of(process);
        control.set_nonblocking(true).ok();
        loop {
            // Without a handle of the process the look has to be taken time and again.
            let wait = if handle.is_some() { PollTimeout::NONE } else { PollTimeout::from(100u16) };
            let mut watched = vec![PollFd::new(control.as_fd(), PollFlags::POLLIN)];
            watched.extend(handle.iter().map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)));
            // An interrupted wait is a short wait.
            poll(&mut watched, wait).ok();
            if let Ok(Some(status)) = process.try_wait() {
                return End::Command(status);
            }
            let mut byte = [0];
            match control.read(&mut byte) {
                Ok(1) if byte[0] == TERMINATE => {
                    // A program that is not there any more needs no asking.
                    self.terminate.run(&self.env).ok();
                }
                Ok(1) => {}
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                    ) => {}
                Ok(_) | Err(_) => return end(process),
            }
        }
    }

    fn code_of(&self, status: ExitStatus) -> ExitCode {
        let asked = self.code.as_ref().and_then(|step| self.asked(step));
        let told = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
        let code = asked.or_else(|| told.and_then(|code| u8::try_from(code).ok()));
        ExitCode::from(code.unwrap_or(255))
    }

    /// What a command says the exit code was. It may take the other side a moment to know.
    fn asked(&self, step: &Step) -> Option<u8> {
        for _ in 0..ASKED {
            // One that is not known there any more has no exit code to be waited for.
            if let Ok(code) = step.run(&self.env).ok()?.trim().parse() {
                return Some(code);
            }
            std::thread::sleep(PAUSE);
        }
        None
    }

    fn remove(&self) {
        for step in &self.remove {
            // One that fails has nothing to remove, or is left to the next sweep.
            step.run(&self.env).ok();
        }
        self.clear();
    }

    fn clear(&self) {
        if let Some(folder) = &self.folder {
            fs::remove_dir_all(&folder.path).ok();
        }
    }
}

/// Something to wait on that tells of a process's end (`pidfd_open(2)`).
fn handle_of(process: &Child) -> Option<OwnedFd> {
    let pid = i32::try_from(process.id()).ok().and_then(rustix::process::Pid::from_raw)?;
    rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok()
}

/// Waits until the command has created a program.
fn await_sign(
    sign: &Path,
    patience: Duration,
    control: &mut UnixStream,
    process: &mut Child,
) -> Result<(), String> {
    for _ in 0..patience.as_millis() / u128::from(LOOK) {
        if fs::metadata(sign).is_ok_and(|file| file.len() > 0) {
            return Ok(());
        }
        if let Ok(Some(status)) = process.try_wait() {
            // It may have been quick.
            let created = fs::metadata(sign).is_ok_and(|file| file.len() > 0);
            return if created { Ok(()) } else { Err(format!("it ended: {status}")) };
        }
        // Only the end of the stream is to be seen here: the caller waits for the answer.
        let mut watched = [PollFd::new(control.as_fd(), PollFlags::POLLIN)];
        if poll(&mut watched, PollTimeout::from(LOOK)).is_ok_and(|ready| ready > 0) {
            return Err("the caller is gone".into());
        }
    }
    Err(format!("nothing was started within {} seconds", patience.as_secs()))
}
