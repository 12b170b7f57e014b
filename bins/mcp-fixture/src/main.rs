//! An MCP server of both eras, for the conformance suite and for tests of what crosses eras.

mod asks;
mod catalogue;
mod changes;
mod edge;
mod fixture;
mod tasks;
mod tools;

use std::error::Error;

use clap::{Parser, ValueEnum};
use rmcp::ServiceExt;
use tokio::net::TcpListener;

use crate::fixture::{Fixture, Shared};

/// Which protocol the server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Era {
    /// Sessions and single requests, as the client asks.
    Both,
    /// Sessions only, as every server before 2026-07-28.
    Legacy,
    /// Single requests only: `initialize` is unknown.
    Modern,
}

/// An MCP server for tests.
#[derive(Debug, Parser)]
struct Arguments {
    /// The port on the loopback address; 0 takes a free one. The address is printed.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Which protocol to speak.
    #[arg(long, value_enum, default_value_t = Era::Both)]
    era: Era,
    /// Serve standard input and output instead of a port.
    #[arg(long)]
    stdio: bool,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let shared = Shared::new(arguments.era);
    if arguments.stdio {
        let running = Fixture::new(shared).serve(rmcp::transport::stdio()).await?;
        running.waiting().await?;
        return Ok(());
    }
    let listener = TcpListener::bind(("127.0.0.1", arguments.port)).await?;
    announce(&format!("http://{}/mcp", listener.local_addr()?));
    edge::serve(listener, shared).await
}

#[expect(clippy::print_stdout, reason = "whoever started it reads the address there")]
fn announce(url: &str) {
    println!("{}", serde_json::json!({ "url": url }));
}
