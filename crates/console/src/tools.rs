//! `doorward tools`: what was approved of each MCP tool, what waits, and the approval itself.
//!
//! A tool's definition is pinned when it is first seen. One that changes afterwards is out of
//! every list until somebody has read the difference and approved it.

use std::io::Write;

use doorward_core::Digest;
use doorward_gateway::config::Root;
use doorward_gateway::{Surroundings, open_storage};
use doorward_mcp_broker::pin::{Pin, PinStore as _, inspect_definition};
use doorward_store::SqlitePins;

use crate::story::Paint;
use crate::{Failure, time};

/// Which tools are meant.
#[derive(Debug, Clone)]
pub enum Which {
    /// All that wait for approval.
    Waiting,
    /// One: `server__tool`, by the server's own name of the tool.
    One(String),
}

fn pins(root: &Root) -> Result<SqlitePins, Failure> {
    let (_, sqlite, _) = open_storage(root)?;
    sqlite.pins().map_err(|error| Failure::of("the pins cannot be opened", error))
}

fn name(pin: &Pin) -> String {
    format!("{}__{}", pin.server, pin.tool)
}

fn found(pins: &SqlitePins, which: &Which) -> Result<Vec<Pin>, Failure> {
    let all = pins.all().map_err(|error| Failure::of("the pins cannot be read", error))?;
    match which {
        Which::Waiting => Ok(all.into_iter().filter(|pin| pin.pending.is_some()).collect()),
        Which::One(wanted) => {
            let found: Vec<Pin> = all.into_iter().filter(|pin| name(pin) == *wanted).collect();
            if found.is_empty() {
                let text = format!(
                    "no tool `{wanted}` was ever seen; `doorward tools list` tells which were"
                );
                return Err(Failure::new(text));
            }
            Ok(found)
        }
    }
}

/// Lists all tools that were ever seen, and where each stands.
///
/// # Errors
///
/// Where storage or output fails.
pub fn list(root: &Root, paint: Paint, out: &mut dyn Write) -> Result<(), Failure> {
    let all = pins(root)?.all().map_err(|error| Failure::of("the pins cannot be read", error))?;
    if all.is_empty() {
        writeln!(out, "no tools yet: they are pinned when a running gateway first lists them")?;
    }
    for pin in &all {
        let approved = match &pin.approved {
            Some(approval) => {
                format!("approved {} by {}", time::shown(approval.at), visible(&approval.by))
            }
            None => "never approved".to_owned(),
        };
        let waiting = pin.pending.as_ref().map(|pending| {
            let text = format!("  CHANGED {}, waits for approval", time::shown(pending.since));
            paint.bad(&text)
        });
        writeln!(out, "{}  {approved}{}", visible(&name(pin)), waiting.unwrap_or_default())?;
    }
    Ok(())
}

/// Shows what waits for approval: the difference, what is suspicious in it, and its digest.
///
/// # Errors
///
/// Where there is no such tool, or storage or output fails.
pub fn diff(root: &Root, which: &Which, paint: Paint, out: &mut dyn Write) -> Result<(), Failure> {
    let found = found(&pins(root)?, which)?;
    for pin in &found {
        show(pin, paint, out)?;
    }
    if found.iter().all(|pin| pin.pending.is_none()) {
        writeln!(out, "nothing waits for approval")?;
    }
    Ok(())
}

fn show(pin: &Pin, paint: Paint, out: &mut dyn Write) -> Result<(), Failure> {
    let (Some(diff), Some(pending)) = (pin.diff(), &pin.pending) else { return Ok(()) };
    let digest = pending.definition.fingerprint();
    writeln!(out, "{}  seen {}", visible(&name(pin)), time::shown(pending.since))?;
    write!(out, "{diff}")?;
    for finding in inspect_definition(&pending.definition) {
        let text = format!("! {}: {} ({})", finding.pointer, finding.message, finding.rule);
        writeln!(out, "{}", paint.bad(&visible(&text)))?;
    }
    writeln!(out, "digest {digest}\n")?;
    Ok(())
}

/// Approves what waits, and shows what that was. `digest` is the one that was read; without, what
/// is shown here is what is approved. A running gateway lists the tool within a second.
///
/// # Errors
///
/// Where nothing waits, where the tool changed again since it was read, or storage or output
/// fails.
pub fn approve(
    root: &Root,
    around: &Surroundings,
    which: &Which,
    digest: Option<Digest>,
    by: &str,
    paint: Paint,
    out: &mut dyn Write,
) -> Result<usize, Failure> {
    let pins = pins(root)?;
    let mut count = 0;
    for pin in found(&pins, which)? {
        let now = around.clock.now();
        let refused = |error| Failure::of(format!("`{}` was not approved", name(&pin)), error);
        let approved = match &pin.pending {
            Some(pending) => {
                let read = digest.unwrap_or_else(|| pending.definition.fingerprint());
                pin.approve(&read, by, now).map_err(refused)?
            }
            // First use approved it; it may be held back for what it does to other tools.
            None => match pin.vouch(by, now) {
                Ok(vouched) if digest.is_none_or(|read| shows(&vouched, read)) => vouched,
                _ => continue,
            },
        };
        show(&pin, paint, out)?;
        let kept = wait(pins.put(approved))
            .map_err(|error| Failure::of("the approval was not stored", error))?;
        if !kept {
            let text = format!("`{}` changed again meanwhile; look at it once more", name(&pin));
            return Err(Failure::new(text));
        }
        count += 1;
    }
    if count == 0 {
        return Err(Failure::new("nothing waits for approval"));
    }
    Ok(count)
}

fn shows(pin: &Pin, read: Digest) -> bool {
    pin.approved.as_ref().is_some_and(|approval| approval.definition.fingerprint() == read)
}

/// Names may be a stranger's: nothing in them acts on the terminal.
fn visible(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let plain = !c.is_control() && (c.is_ascii() || c.is_alphanumeric());
            let shown: Box<dyn Iterator<Item = char>> =
                if plain { Box::new(std::iter::once(c)) } else { Box::new(c.escape_unicode()) };
            shown
        })
        .collect()
}

/// Runs a future of the store to its end, on a runtime of its own: verbs have none.
fn wait<T>(
    future: impl Future<Output = Result<T, doorward_mcp_broker::pin::PinError>>,
) -> Result<T, doorward_mcp_broker::pin::PinError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    match runtime {
        Ok(runtime) => runtime.block_on(future),
        Err(error) => Err(doorward_mcp_broker::pin::PinError(error.into())),
    }
}
