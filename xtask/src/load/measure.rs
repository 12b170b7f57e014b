//! Rounds of one scenario through all contenders, one after the other, so that what else the
//! machine does falls on all.

use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::time::sleep;

use super::contender::Contender;
use super::generator::{self, Answer, Target};
use super::mock::Script;
use super::report::{Figures, Memory};
use super::scenario::{ALL, CHUNKS, GAP, Scenario};

const CONNECTIONS: usize = 16;
/// What a proxy does behind an answer (records, logs) is part of its cost.
const SETTLE: Duration = Duration::from_millis(200);
const HELD: usize = 500;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    rounds: usize,
    /// One request of so many.
    share: usize,
    open: Duration,
}

impl Extent {
    pub(super) const WHOLE: Self = Self { rounds: 3, share: 1, open: Duration::from_secs(3) };
    pub(super) const QUICK: Self = Self { rounds: 1, share: 4, open: Duration::from_secs(1) };
}

/// Measures one scenario through each contender that takes it.
///
/// # Errors
///
/// The first answer that is not as it should be.
pub(super) async fn scenario(
    scenario: &Scenario,
    contenders: &mut [Contender],
    script: &Script,
    extent: Extent,
    number: &AtomicUsize,
) -> Result<Vec<(&'static str, Figures)>, String> {
    script.wait(Duration::ZERO);
    script.stream(CHUNKS, GAP);
    let mut taken: Vec<_> = contenders.iter_mut().filter(|one| one.takes(scenario)).collect();
    let mut rounds = vec![Vec::new(); taken.len()];
    for _ in 0..extent.rounds {
        for (contender, rounds) in taken.iter_mut().zip(&mut rounds) {
            let figures = round(scenario, contender, extent, number).await;
            rounds.push(figures.map_err(|failure| contender.explain(&failure))?);
        }
    }
    let names = taken.iter().map(|contender| contender.name);
    Ok(names.zip(rounds.iter().map(|rounds| middle(rounds))).collect())
}

async fn round(
    scenario: &Scenario,
    contender: &Contender,
    extent: Extent,
    number: &AtomicUsize,
) -> Result<Figures, String> {
    let target = contender.target(scenario);
    let count = (scenario.requests / extent.share / contender.share).max(20);
    generator::closed(&target, CONNECTIONS, count / 10, number).await?;
    sleep(SETTLE).await;
    let cpu = || contender.daemon.as_ref().map(super::process::Daemon::cpu);
    let before = cpu();
    let took = generator::closed(&target, CONNECTIONS, count, number).await?;
    sleep(SETTLE).await;
    let spent = cpu().zip(before).map(|(after, before)| after.saturating_sub(before));
    let rate = (scenario.rate / u32::try_from(contender.share).unwrap_or(1)).max(5);
    let answers = steady(&target, rate, extent, number).await?;
    let requests = u32::try_from(count).unwrap_or(u32::MAX);
    Ok(Figures {
        cpu: spent.map(|spent| micros(spent / requests)),
        rate: f64::from(requests) / took.as_secs_f64(),
        p50: percentile(&answers, 50, |answer| answer.whole),
        p99: percentile(&answers, 99, |answer| answer.whole),
        first: percentile(&answers, 50, |answer| answer.first),
    })
}

async fn steady(
    target: &Target,
    rate: u32,
    extent: Extent,
    number: &AtomicUsize,
) -> Result<Vec<Answer>, String> {
    // The first requests find cold connections.
    generator::open(target, rate, extent.open / 10, number).await?;
    generator::open(target, rate, extent.open, number).await
}

/// Memory of the proxies: idle, and with many requests that wait for the mock.
///
/// # Errors
///
/// Where a request fails.
pub(super) async fn memory(
    contenders: &mut [Contender],
    script: &Script,
    number: &AtomicUsize,
) -> Result<Vec<Memory>, String> {
    let mut found = Vec::new();
    script.wait(Duration::from_secs(3));
    for contender in contenders.iter_mut().filter(|one| one.daemon.is_some()) {
        let resident =
            |one: &Contender| one.daemon.as_ref().map_or(0, super::process::Daemon::resident);
        let idle = resident(contender);
        let held = generator::hold(&contender.target(&ALL[0]), HELD, number).await;
        let held = held.map_err(|failure| contender.explain(&failure))?;
        sleep(Duration::from_secs(2)).await;
        let busy = resident(contender);
        if let Some(failure) = held.answers().await.1.first() {
            return Err(contender.explain(failure));
        }
        found.push(Memory { name: contender.name, idle, held: busy });
    }
    script.wait(Duration::ZERO);
    Ok(found)
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// In microseconds.
fn percentile(answers: &[Answer], percent: usize, of: impl Fn(&Answer) -> Duration) -> f64 {
    let mut sorted: Vec<Duration> = answers.iter().map(of).collect();
    sorted.sort();
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().map_or(0.0, micros)
}

/// Each figure's median.
fn middle(rounds: &[Figures]) -> Figures {
    let of = |figure: fn(&Figures) -> f64| median(rounds.iter().map(figure).collect());
    let spent: Option<Vec<f64>> = rounds.iter().map(|round| round.cpu).collect();
    Figures {
        cpu: spent.map(median),
        rate: of(|round| round.rate),
        p50: of(|round| round.p50),
        p99: of(|round| round.p99),
        first: of(|round| round.first),
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_the_rounds_counts_figure_by_figure() {
        let round = |cpu, rate| Figures { cpu: Some(cpu), rate, p50: 1.0, p99: 2.0, first: 3.0 };
        let middle = middle(&[round(30.0, 7.0), round(10.0, 9.0), round(20.0, 8.0)]);
        assert_eq!(middle.cpu, Some(20.0));
        assert!((middle.rate - 8.0).abs() < 1e-9);
    }

    #[test]
    fn percentiles_are_taken_from_sorted_answers() {
        let answers: Vec<Answer> = (0..100)
            .rev()
            .map(|at| Answer { first: Duration::ZERO, whole: Duration::from_micros(at), words: 1 })
            .collect();
        let at = |percent| percentile(&answers, percent, |answer| answer.whole);
        assert!((at(50) - 50.0).abs() < 1e-6 && (at(99) - 99.0).abs() < 1e-6);
        assert!(percentile(&[], 50, |answer| answer.whole).abs() < 1e-9);
    }
}
