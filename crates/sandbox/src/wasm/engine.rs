//! The process that runs one component.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncRead, ReadBuf};
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{CallHook, Config, Engine, ResourceLimiter, Store, Trap};
use wasmtime_wasi::cli::AsyncStdinStream;
use wasmtime_wasi::p2::bindings::Command;
use wasmtime_wasi::{FsPerms, I32Exit, WasiCtx, WasiCtxView, WasiView};

use super::{Order, fence};
use crate::control::{Refusal, Report, TERMINATE, call, receive, send};

/// Memory the runtime itself needs, to compile above all.
const HEADROOM: u64 = 1 << 30;

/// The largest component, in bytes.
const LARGEST: u64 = 256 << 20;

/// Handles a component may hold at one time.
const HANDLES: usize = 10_000;

/// Bytes the runtime copies for a component in one call.
const COPIED: usize = 16 << 20;

/// What a table's entry counts for, in bytes.
const ENTRY: usize = 16;

/// The exit code of a component that was stopped, as of a program that aborts.
const STOPPED: u8 = 134;

type Told<T> = Result<T, String>;

pub(super) fn run(door: &str) -> ExitCode {
    let Ok(mut control) = call(door) else { return ExitCode::FAILURE };
    let Ok(order) = receive::<Order>(&mut control) else { return ExitCode::FAILURE };
    let command = order.component.display().to_string();
    let runtime = match prepare(&order, &control) {
        Ok(runtime) => runtime,
        Err(reason) => {
            send(&mut control, &Report::Refused(Refusal::Exec { command, reason })).ok();
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.tokio.block_on(async {
        match build(&order, runtime.bytes).await {
            Ok((store, command)) => {
                if send(&mut control, &Report::Started(Vec::new())).is_err() {
                    return ExitCode::FAILURE;
                }
                execute(store, &command).await
            }
            Err(reason) => {
                send(&mut control, &Report::Refused(Refusal::Exec { command, reason })).ok();
                ExitCode::FAILURE
            }
        }
    });
    // A read of standard input that never ends is not waited for.
    runtime.tokio.shutdown_background();
    code
}

/// The surroundings of a component.
struct Runtime {
    tokio: tokio::runtime::Runtime,
    bytes: Vec<u8>,
}

/// Reads the component and gives up what running it does not need, while there is one thread.
fn prepare(order: &Order, control: &UnixStream) -> Told<Runtime> {
    let told = |error: io::Error| error.to_string();
    let mut bytes = Vec::new();
    let file = fs::File::open(&order.component).map_err(told)?;
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(told)?;
    if bytes.len() as u64 > LARGEST {
        return Err(format!("it is larger than {LARGEST} bytes"));
    }
    bound(order).map_err(|error| format!("its limits could not be set: {error}"))?;
    fence::put_up(order).map_err(|error| error.to_string())?;
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(told)?;
    let watched = control.try_clone().map_err(told)?;
    watched.set_read_timeout(None).map_err(told)?;
    std::thread::spawn(move || watch(watched));
    Ok(Runtime { tokio, bytes })
}

/// Ends this process with its caller, or when that asks for it: a component hears no signals.
fn watch(mut control: UnixStream) {
    let mut byte = [0];
    loop {
        match control.read(&mut byte) {
            Ok(1) if byte[0] == TERMINATE => std::process::exit(143),
            Ok(1) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(_) | Err(_) => std::process::exit(137),
        }
    }
}

fn bound(order: &Order) -> io::Result<()> {
    let limits = &order.limits;
    let bounds = [
        (Resource::Data, Some(limits.memory.saturating_add(HEADROOM))),
        (Resource::Nofile, Some(limits.open_files.max(64))),
        (Resource::Fsize, Some(limits.file_size)),
        (Resource::Cpu, limits.cpu_seconds),
        (Resource::Core, Some(0)),
    ];
    for (resource, bound) in bounds {
        let Some(bound) = bound else { continue };
        let bound = getrlimit(resource).maximum.map_or(bound, |most| bound.min(most));
        setrlimit(resource, Rlimit { current: Some(bound), maximum: Some(bound) })?;
    }
    Ok(())
}

/// What belongs to one component.
struct World {
    wasi: WasiCtx,
    table: ResourceTable,
    memory: Memory,
}

impl WasiView for World {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// What is left of a component's memory, in bytes.
struct Memory {
    left: usize,
}

impl Memory {
    fn take(&mut self, bytes: usize) -> bool {
        let left = self.left.checked_sub(bytes);
        self.left = left.unwrap_or(self.left);
        left.is_some()
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let allowed = maximum.is_none_or(|most| desired <= most);
        Ok(allowed && self.take(desired.saturating_sub(current)))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let allowed = maximum.is_none_or(|most| desired <= most);
        Ok(allowed && self.take(desired.saturating_sub(current).saturating_mul(ENTRY)))
    }

    fn instances(&self) -> usize {
        1000
    }

    fn tables(&self) -> usize {
        1000
    }

    fn memories(&self) -> usize {
        1000
    }
}

/// Compiles and links the component.
async fn build(order: &Order, bytes: Vec<u8>) -> Told<(Store<World>, Command)> {
    let told = |error: wasmtime::Error| format!("{error:#}");
    let mut config = Config::new();
    config.consume_fuel(true);
    let engine = Engine::new(&config).map_err(told)?;
    let component = Component::from_binary(&engine, &bytes).map_err(told)?;
    drop(bytes);
    let mut linker = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker).map_err(told)?;

    let heard = Arc::new(AtomicBool::new(false));
    let mut table = ResourceTable::new();
    table.set_max_capacity(HANDLES);
    let left = usize::try_from(order.limits.memory).unwrap_or(usize::MAX);
    let world = World { wasi: wasi(order, &heard)?, table, memory: Memory { left } };
    let mut store = Store::new(&engine, world);
    store.limiter(|world| &mut world.memory);
    store.set_hostcall_fuel(COPIED);
    store.set_fuel(order.fuel).map_err(told)?;
    let fuel = order.fuel;
    store.call_hook(move |mut store, hook| {
        // Only here has the component written back what it has used up.
        if matches!(hook, CallHook::ReturningFromHost) && heard.swap(false, Ordering::Relaxed) {
            store.set_fuel(fuel)?;
        }
        Ok(())
    });
    let command = Command::instantiate_async(&mut store, &component, &linker).await;
    Ok((store, command.map_err(told)?))
}

fn wasi(order: &Order, heard: &Arc<AtomicBool>) -> Told<WasiCtx> {
    let mut wasi = WasiCtx::builder();
    wasi.args(&order.arguments).envs(&order.env);
    let input = Input { inner: tokio::io::stdin(), heard: heard.clone() };
    wasi.stdin(AsyncStdinStream::new(input)).inherit_stdout().inherit_stderr();
    for folder in &order.folders {
        let perms = if folder.write { FsPerms::ReadWrite } else { FsPerms::ReadOnly };
        wasi.preopened_dir(&folder.source, &folder.name, perms)
            .map_err(|error| format!("`{}`: {error}", folder.name))?;
    }
    wasi.allow_tcp(order.network).allow_udp(order.network).allow_ip_name_lookup(order.network);
    if order.network {
        wasi.inherit_network();
    }
    Ok(wasi.build())
}

/// Standard input that notes when something came.
struct Input {
    inner: tokio::io::Stdin,
    heard: Arc<AtomicBool>,
}

impl AsyncRead for Input {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.heard.store(true, Ordering::Relaxed);
        }
        read
    }
}

/// Runs the component to its end.
async fn execute(mut store: Store<World>, command: &Command) -> ExitCode {
    let ended = command.wasi_cli_run().call_run(&mut store).await;
    match ended {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(())) => ExitCode::FAILURE,
        Err(error) => {
            if let Some(exit) = error.downcast_ref::<I32Exit>() {
                return ExitCode::from(u8::try_from(exit.0).unwrap_or(255));
            }
            let why = match error.downcast_ref::<Trap>() {
                Some(Trap::OutOfFuel) => "its fuel is used up".to_owned(),
                _ => format!("{:#}", error.root_cause()),
            };
            // Where nobody listens nobody is told.
            writeln!(io::stderr(), "the component was stopped: {why}").ok();
            ExitCode::from(STOPPED)
        }
    }
}
