//! `doorward serve`: bind, announce, serve, drain.

use std::io::{self, Write};
use std::net::SocketAddr;

use doorward_console::{Failure, admin, keys};
use doorward_gateway::config::Root;
use doorward_gateway::{Drained, Gateway, Surroundings};
use doorward_identity::NewKey;
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::report::{self, say};

/// How many connections may wait to be accepted. A burst beyond it is told to try again after
/// seconds, so there is room for one of many agents starting at once.
const BACKLOG: u32 = 4096;

/// Runs the gateway until `SIGTERM` or `SIGINT`.
pub(crate) fn run(root: &Root, around: &Surroundings) -> Result<(), Failure> {
    report::log(&around.environment);
    // On one core a scheduler for many threads is only work.
    let alone = std::thread::available_parallelism().is_ok_and(|cores| cores.get() == 1);
    let mut builder = if alone {
        tokio::runtime::Builder::new_current_thread()
    } else {
        tokio::runtime::Builder::new_multi_thread()
    };
    let runtime = builder
        .enable_all()
        .build()
        .map_err(|error| Failure::of("the runtime cannot start", error))?;
    runtime.block_on(serve(root, around))
}

async fn serve(root: &Root, around: &Surroundings) -> Result<(), Failure> {
    let data = bind(root.listen.data)?;
    let control = bind(root.listen.admin)?;
    // Port 0 is whichever is free: links to our pages name the one it came to be.
    let mut root = root.clone();
    root.listen.data = address(&data)?;
    let root = &root;
    let first = first_key(root, around)?;
    let gateway = Gateway::start(root, around)?;
    announce(&gateway, &data, &control, first)?;

    let (stop, stopped) = watch::channel(false);
    let watching = tokio::spawn(async move {
        until_told().await;
        say("doorward: draining");
        // Nobody listens any more only where everything has ended already.
        let _ = stop.send(true);
    });
    let told = |mut stopped: watch::Receiver<bool>| async move {
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    let admin = tokio::spawn(admin::serve(control, gateway.sight().clone(), told(stopped.clone())));
    let edge = gateway.edge().clone();
    let drained = doorward_gateway::serve(data, edge, told(stopped), root.listen.drain.0).await;
    if drained == Drained::Cut {
        say("doorward: time is up; what still ran was cut off");
    }
    watching.abort();
    admin.abort();
    gateway.close().await.map_err(|error| Failure::of("records were not written", error))
}

fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    let listen = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listen().map_err(|error| Failure::of(format!("{address} cannot be listened on"), error))
}

fn address(listener: &TcpListener) -> Result<SocketAddr, Failure> {
    listener.local_addr().map_err(|error| Failure::of("a listener has no address", error))
}

/// Without a configuration and without a key nobody could call: the first key is made and shown
/// once.
fn first_key(root: &Root, around: &Surroundings) -> Result<bool, Failure> {
    if around.config_file.is_some() || !keys::none(root)? {
        return Ok(false);
    }
    let text = keys::create(root, around, NewKey::new("first", "first"))?;
    writeln!(io::stdout(), "{}", text.expose())?;
    Ok(true)
}

fn announce(
    gateway: &Gateway,
    data: &TcpListener,
    control: &TcpListener,
    first: bool,
) -> Result<(), Failure> {
    let (data, control) = (address(data)?, address(control)?);
    if first {
        say("doorward: the line above is the first API key; it is not shown again");
    }
    let upstreams = gateway.sight().upstreams();
    if upstreams.is_empty() {
        say(
            "doorward: no model upstream: set a provider's key (OPENAI_API_KEY, …) or configure one",
        );
    } else {
        say(&format!("doorward: model upstreams: {}", upstreams.join(", ")));
    }
    say(&format!("doorward: listening on http://{data}, admin on http://{control}"));
    Ok(())
}

async fn until_told() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        // Without signal handling the defaults end the process.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
