//! The Doorward gateway: arguments, telemetry, signals, exit codes. Everything else is in the
//! crates.

mod args;
mod demo;
mod init;
mod report;
mod serve;
mod verbs;

use std::process::ExitCode;

use clap::Parser;
use doorward_sandbox::launch;

/// Requests allocate and free in a pattern that mimalloc serves with less work.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // The sandbox starts this program again as its launcher, while it has a single thread.
    if launch::is_launch(std::env::args_os()) {
        return launch::run(std::env::args_os());
    }
    match args::Arguments::try_parse() {
        Ok(arguments) => verbs::run(arguments),
        Err(told) => {
            // Help and version go to standard output and are no failure.
            let failed = told.use_stderr();
            if told.print().is_err() || failed {
                ExitCode::from(verbs::USAGE)
            } else {
                ExitCode::SUCCESS
            }
        }
    }
}
