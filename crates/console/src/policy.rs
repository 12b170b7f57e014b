//! `doorward policy`: what the policies decide, and why.

use std::io::Write;
use std::path::Path;

use doorward_gateway::config::Root;
use doorward_gateway::{Surroundings, policies};
use doorward_identity::cedar::cases::{self, Asking};
use doorward_identity::cedar::{Policies, Verdict};

use crate::Failure;
use crate::story::Paint;

pub use replay::replay;
pub use suggest::{Definitions, coverage, suggest};

mod replay;
mod suggest;

fn configured(root: &Root, around: &Surroundings) -> Result<Policies, Failure> {
    policies(root, around.clock.clone())?.ok_or_else(|| {
        Failure::new("no policies are configured: `[policy]` with `files = [\"house.cedar\"]`")
    })
}

/// Runs a table of cases against the configured policies.
///
/// # Errors
///
/// Where a case does not hold, or policies, cases or output fail.
pub fn test(
    root: &Root,
    around: &Surroundings,
    file: &Path,
    paint: Paint,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let policies = configured(root, around)?;
    let name = file.display();
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::of(format!("{name}: cannot be read"), error))?;
    let results =
        cases::run(&policies, &text).map_err(|error| Failure::new(format!("{name}:{error}")))?;
    for result in &results {
        let (mark, told) = match &result.failure {
            None => (paint.good("ok  "), format!("`{}`", result.decision.rule)),
            Some(failure) => (paint.bad("FAIL"), failure.clone()),
        };
        writeln!(out, "{mark} {name}:{}: {}: {told}", result.line, result.name)?;
    }
    match results.iter().filter(|result| result.failure.is_some()).count() {
        0 if results.is_empty() => Err(Failure::new(format!("{name}: no cases"))),
        0 => Ok(writeln!(out, "{} cases hold", results.len())?),
        failed => Err(Failure::new(format!("{failed} of {} cases do not hold", results.len()))),
    }
}

/// Tells what the policies decide, by which policy, and why the others do not apply.
///
/// # Errors
///
/// Where it is not clear what is asked, or policies or output fail.
pub fn explain(
    root: &Root,
    around: &Surroundings,
    asking: &Asking,
    paint: Paint,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let policies = configured(root, around)?;
    let told = asking.explain(&policies, around.clock.now()).map_err(Failure::new)?;
    let decision = &told.decision;
    let word = if decision.is_allowed() { paint.good("allow") } else { paint.bad("deny") };
    writeln!(out, "{word} by `{}`: {}", decision.rule, decision.reason)?;
    for remedy in &decision.remedies {
        writeln!(out, "  - {remedy}")?;
    }
    if !told.groups_known {
        writeln!(out, "the principal's groups are not known")?;
    }
    for one in told.policies.iter().filter(|one| one.verdict != Verdict::OtherAction) {
        let effect = if one.forbids { "forbid" } else { "permit" };
        writeln!(out, "{}: {effect} `{}` {}", one.place, one.id, one.verdict)?;
    }
    let others = told.policies.iter().filter(|one| one.verdict == Verdict::OtherAction).count();
    if others > 0 {
        writeln!(out, "{others} more are about other actions")?;
    }
    Ok(())
}
