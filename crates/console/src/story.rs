//! A turn told as a story: who asked, what the model decided, what ran, what was refused.

use std::fmt::Write as _;
use std::io::{self, Write};

use doorward_audit::{Step, Story};
use doorward_core::{
    DecidedCall, Event, Kind, Label, Operation, Outcome, PrincipalKind, Route, Settled, Usage, Who,
};

use crate::time;

/// With or without colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// No escape sequences.
    Plain,
    /// ANSI colours (ECMA-48 §8.3.117).
    Ansi,
}

impl Paint {
    fn wrap(self, code: &str, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Ansi => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }

    /// What went well.
    pub fn good(self, text: &str) -> String {
        self.wrap("32", text)
    }

    /// What was stopped or failed.
    pub fn bad(self, text: &str) -> String {
        self.wrap("1;31", text)
    }

    /// What stands out.
    pub fn strong(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// What is beside the point.
    pub fn faint(self, text: &str) -> String {
        self.wrap("2", text)
    }
}

/// Tells the stories.
///
/// # Errors
///
/// Where output fails.
pub fn tell(stories: &[Story], paint: Paint, out: &mut dyn Write) -> io::Result<()> {
    if stories.is_empty() {
        return writeln!(out, "no turns on record");
    }
    for (at, story) in stories.iter().enumerate() {
        if at > 0 {
            writeln!(out)?;
        }
        head(story, paint, out)?;
        for (number, step) in story.steps.iter().enumerate() {
            tell_step(number + 1, step, paint, out)?;
        }
    }
    Ok(())
}

fn head(story: &Story, paint: Paint, out: &mut dyn Write) -> io::Result<()> {
    let who: Vec<String> = story.who.iter().map(name).collect();
    writeln!(
        out,
        "{}  {}  {}",
        paint.strong(&who.join(", ")),
        story.turn,
        paint.faint(&time::shown(story.began)),
    )?;
    if !story.agents.is_empty() {
        let agents: Vec<String> = story.agents.iter().map(|agent| printable(agent)).collect();
        writeln!(out, "   agent {}", agents.join(", "))?;
    }
    Ok(())
}

fn name(who: &Who) -> String {
    let mut text = match who.kind {
        PrincipalKind::Person => printable(&who.id),
        PrincipalKind::Service => format!("service {}", printable(&who.id)),
    };
    if let Some(key) = &who.key_name {
        let _ = write!(text, " (key {})", printable(key));
    }
    for actor in &who.actors {
        let _ = write!(text, " through {}", printable(&actor.id));
    }
    text
}

fn tell_step(number: usize, step: &Step, paint: Paint, out: &mut dyn Write) -> io::Result<()> {
    let event = &step.event;
    let what = match &event.kind {
        Kind::Model { operation, model, route, .. } => asked(*operation, model, route.as_deref()),
        Kind::Relay { method, path, upstream, .. } => {
            let to = upstream.as_deref().map(|to| format!(" → {}", printable(to)));
            format!("relay {} {}{}", printable(method), printable(path), to.unwrap_or_default())
        }
        Kind::Tool { tool, .. } => format!("tool  {}", printable(tool.as_str())),
        Kind::Admin { action, object, .. } => {
            format!("admin {} {}", printable(action), printable(object))
        }
    };
    let took = event.took_us.map(time::took).unwrap_or_default();
    writeln!(
        out,
        " {number:>2}  {what}  {}  {}",
        ending(event, step.is_finished(), paint),
        paint.faint(&format!("{took} #{}", step.last)),
    )?;
    explain(step, paint, out)
}

fn asked(operation: Operation, model: &str, route: Option<&Route>) -> String {
    let word = match operation {
        Operation::Complete => "model",
        Operation::Embed => "embed",
        Operation::Count => "count",
    };
    let model = printable(model);
    match route {
        Some(route) if route.cached => format!("{word} {model} (from the cache)"),
        Some(route) if !route.target.is_empty() && printable(&route.target) != model => {
            format!("{word} {model} → {}", printable(&route.target))
        }
        _ => format!("{word} {model}"),
    }
}

/// Where else the call could have gone, and what became of that.
fn routed(route: &Route, paint: Paint, out: &mut dyn Write) -> io::Result<()> {
    if let Some(strategy) = &route.strategy {
        writeln!(out, "       {}", paint.faint(&printable(strategy)))?;
    }
    for attempt in &route.tried {
        let status = attempt.status.map(|status| format!(" (HTTP {status})")).unwrap_or_default();
        let billed = if attempt.maybe_billed { ", may be charged" } else { "" };
        let (target, code) = (printable(&attempt.target), attempt.code.as_str());
        writeln!(out, "       tried {target}: {code}{status}{billed}")?;
    }
    for excluded in &route.excluded {
        let (target, reason) = (printable(&excluded.target), printable(&excluded.reason));
        writeln!(out, "       left out {target}: {reason}")?;
    }
    Ok(())
}

/// Tokens and money.
fn spent(usage: Option<&Usage>, settled: Option<&Settled>) -> Option<String> {
    let tokens = usage.map(|usage| format!("{} tokens in, {} out", usage.input, usage.output));
    let cost = settled.and_then(|settled| {
        let nanos = settled.cost_nanos?;
        let most = if settled.estimated { "at most " } else { "" };
        Some(format!("{most}${}.{:06}", nanos / 1_000_000_000, nanos % 1_000_000_000 / 1_000))
    });
    match (tokens, cost) {
        (Some(tokens), Some(cost)) => Some(format!("{tokens}, {cost}")),
        (tokens, cost) => tokens.or(cost),
    }
}

fn ending(event: &Event, finished: bool, paint: Paint) -> String {
    let word = match event.outcome {
        Outcome::Completed => return paint.good("completed"),
        _ if !finished => "started, and no record of its end",
        Outcome::Denied => "DENIED",
        Outcome::Failed => "failed",
        Outcome::Cancelled => "cancelled",
        Outcome::Started => "started",
    };
    match event.error {
        Some(code) => paint.bad(&format!("{word} ({})", code.as_str())),
        None => paint.bad(word),
    }
}

fn explain(step: &Step, paint: Paint, out: &mut dyn Write) -> io::Result<()> {
    let event = &step.event;
    if let Some(label) = &event.label {
        writeln!(out, "       context {}", labelled(label, paint))?;
    }
    match &event.kind {
        Kind::Model { route, usage, settled, hidden, calls, .. } => {
            if let Some(route) = route {
                routed(route, paint, out)?;
            }
            if let Some(spent) = spent(usage.as_ref(), settled.as_ref()) {
                writeln!(out, "       {}", paint.faint(&spent))?;
            }
            if !hidden.is_empty() {
                let hidden: Vec<String> = hidden.iter().map(|tool| printable(tool)).collect();
                writeln!(out, "       hidden from the model: {}", hidden.join(", "))?;
            }
            calls.iter().try_for_each(|call| decided(call, paint, out))?;
        }
        Kind::Tool { arguments, result, .. } => {
            if let Some(cause) = step.cause {
                writeln!(out, "       asked for by step {}", cause + 1)?;
            }
            let digest = arguments.to_string();
            let digest = digest.get(..16).unwrap_or(&digest);
            writeln!(out, "       {}", paint.faint(&format!("arguments sha256 {digest}…")))?;
            if let Some(label) = result {
                writeln!(out, "       result {}", labelled(label, paint))?;
            }
        }
        Kind::Relay { .. } | Kind::Admin { .. } => {}
    }
    let (rule, reason) = (&event.decision.rule, &event.decision.reason);
    if event.decision.is_allowed() && would_be(rule).is_none() {
        return Ok(());
    }
    writeln!(out, "       {} {}", paint.bad(&printable(rule)), printable(reason))
}

/// The rule that would have refused, had the guard not only observed.
fn would_be(rule: &str) -> Option<&str> {
    rule.strip_prefix("would.")
}

fn decided(call: &DecidedCall, paint: Paint, out: &mut dyn Write) -> io::Result<()> {
    let (rule, reason) = (&call.decision.rule, &call.decision.reason);
    let refused = |by: &str, rule: &str| {
        format!("{}: {}", paint.bad(&format!("{by} {}", printable(rule))), printable(reason))
    };
    let verdict = match (call.decision.is_allowed(), would_be(rule)) {
        (true, None) => paint.good("allowed"),
        (true, Some(rule)) => refused("allowed, would be refused by", rule),
        (false, _) => refused("refused by", rule),
    };
    writeln!(out, "       decided on {}  {verdict}", printable(call.tool.as_str()))
}

fn labelled(label: &Label, paint: Paint) -> String {
    let word = label.integrity.min(label.choice).as_str();
    let mut text = if label.is_trusted() { paint.good(word) } else { paint.bad(word) };
    if !label.is_trusted() && !label.sources.names().is_empty() {
        let names: Vec<String> = label.sources.names().iter().map(|name| printable(name)).collect();
        let _ = write!(text, " (from {}", names.join(", "));
        text.push_str(if label.sources.has_more() { ", and more)" } else { ")" });
    }
    text
}

/// Names come from outside: what would move the cursor or recolour the terminal is shown instead.
fn printable(text: &str) -> String {
    if text.chars().any(char::is_control) {
        text.escape_debug().to_string()
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_in_names_are_not_played() {
        assert_eq!(printable("a\x1b[31mb"), "a\\u{1b}[31mb");
        assert_eq!(printable("plain é"), "plain é");
    }
}
