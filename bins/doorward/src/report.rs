//! Where the program writes: results to standard output, everything else to standard error.

use std::io::{self, IsTerminal, Write};

use doorward_console::story::Paint;
use doorward_gateway::config::Environment;

/// Colours where a person looks at standard output and has not asked for none
/// (<https://no-color.org>).
pub(crate) fn paint(environment: &Environment) -> Paint {
    let wanted = environment.var("NO_COLOR").is_none() && environment.var("TERM") != Some("dumb");
    let forced = environment.var("CLICOLOR_FORCE").is_some();
    if forced || (wanted && io::stdout().is_terminal()) { Paint::Ansi } else { Paint::Plain }
}

/// Writes a line to standard error. Nothing more can be told where that fails.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Starts the program's own log, on standard error: `DOORWARD_LOG` filters it (`info`,
/// `doorward_gateway=debug`, …), `DOORWARD_LOG_FORMAT=json` makes it one object a line.
pub(crate) fn log(environment: &Environment) {
    use tracing_subscriber::EnvFilter;

    let wanted = environment.var("DOORWARD_LOG").unwrap_or("warn,doorward=info");
    let filter = EnvFilter::try_new(wanted).unwrap_or_else(|error| {
        say(&format!("doorward: DOORWARD_LOG is not understood ({error}); using `info`"));
        EnvFilter::new("info")
    });
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let json = environment.var("DOORWARD_LOG_FORMAT") == Some("json");
    let started = if json {
        builder.json().try_init()
    } else {
        builder.with_ansi(io::stderr().is_terminal()).try_init()
    };
    if let Err(error) = started {
        say(&format!("doorward: no log: {error}"));
    }
}
