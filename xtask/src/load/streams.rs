//! Many slow streams at once: none may lose a frame.

use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::contender::Contender;
use super::generator;
use super::mock::Mock;
use super::process::Daemon;
use super::scenario::HELD_STREAM;

/// A chunk a second, for ten seconds.
const CHUNKS: usize = 10;
const GAP: Duration = Duration::from_secs(1);

/// Holds so many streams through doorward and tells what became of them.
///
/// # Errors
///
/// Where doorward does not start or connections cannot be opened; lost frames are told, not failed
/// on.
pub(super) async fn hold(program: &Path, mock: &Mock, count: usize) -> Result<String, String> {
    mock.script.wait(Duration::ZERO);
    mock.script.stream(CHUNKS, GAP);
    let mut doorward = Contender::doorward(program, mock.address, count + 1000).await?;
    let resident = |one: &Contender| one.daemon.as_ref().map_or(0, Daemon::resident);
    let spent = |one: &Contender| one.daemon.as_ref().map_or(Duration::ZERO, Daemon::cpu);
    let (idle, before) = (resident(&doorward), spent(&doorward));
    let start = Instant::now();
    let held = generator::hold(&doorward.target(&HELD_STREAM), count, &AtomicUsize::new(0)).await;
    let held = held.map_err(|failure| doorward.explain(&failure))?;
    let opened = start.elapsed();
    sleep(GAP * 2).await;
    let busy = resident(&doorward);
    let (answers, failures) = held.answers().await;
    let cpu = spent(&doorward).saturating_sub(before);
    let came: usize = answers.iter().map(|answer| answer.words).sum();
    let due = count * CHUNKS;
    let first = failures.first().map(|failure| format!("; the first: {failure}"));
    Ok(format!(
        "{count} streams of {CHUNKS} chunks, one a second, through doorward\n\
         lost frames   {} of {due}\n\
         failed        {}{}\n\
         opened in     {:.1} s, all ended after {:.1} s\n\
         RSS           {} MiB idle, {} MiB held ({} KiB a stream)\n\
         CPU           {:.2} s, {:.1} µs a chunk",
        due.saturating_sub(came),
        failures.len(),
        first.unwrap_or_default(),
        opened.as_secs_f64(),
        start.elapsed().as_secs_f64(),
        idle >> 10,
        busy >> 10,
        busy.saturating_sub(idle) / (count.max(1) as u64),
        cpu.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / f64::from(u32::try_from(due.max(1)).unwrap_or(u32::MAX)),
    ))
}
