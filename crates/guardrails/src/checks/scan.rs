//! One check over one text, whole or in pieces, and what all of them found.

use doorward_core::{CallError, Code, Decision};

use super::invisible::Sieve;
use super::matcher::Rule;
use super::window::{Edit, Halt, Window};
use super::{Action, Checks, Compiled, Kind, OnFailure, Stage};
use crate::Stance;

/// What was found at a stage.
#[derive(Debug)]
pub(super) struct Tally {
    stage: Stage,
    findings: Vec<Finding>,
    edits: u64,
}

#[derive(Debug)]
struct Finding {
    rule: String,
    title: std::sync::Arc<str>,
    action: Action,
    stage: Stage,
    count: u32,
    failed: bool,
}

impl Tally {
    pub(super) const fn new(stage: Stage) -> Self {
        Self { stage, findings: Vec::new(), edits: 0 }
    }

    /// Goes on at another stage.
    pub(super) fn at(&mut self, stage: Stage) -> &mut Self {
        self.stage = stage;
        self
    }

    /// Whether nothing was found.
    pub(super) fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }

    /// How often something was changed so far.
    pub(super) const fn edits(&self) -> u64 {
        self.edits
    }

    pub(super) fn note(&mut self, check: &Compiled, rule: &str, action: Action) {
        self.edits += u64::from(action != Action::Observe);
        self.put(check, rule, action, false);
    }

    fn put(&mut self, check: &Compiled, rule: &str, action: Action, failed: bool) {
        let rule = format!("check.{}.{rule}", check.family);
        let stage = self.stage;
        let known = self.findings.iter_mut().find(|it| it.rule == rule && it.stage == stage);
        if let Some(known) = known {
            known.count = known.count.saturating_add(1);
        } else {
            let title = check.title.clone();
            self.findings.push(Finding { rule, title, action, stage, count: 1, failed });
        }
    }

    /// A check could not look. Whether the call may go on all the same.
    pub(super) fn failed(
        &mut self,
        checks: &Checks,
        check: &Compiled,
        why: &str,
    ) -> Result<(), Stop> {
        self.put(check, "failed", Action::Observe, true);
        if check.on_failure == OnFailure::Pass || checks.stance == Stance::Observe {
            return Ok(());
        }
        Err(Stop {
            rule: format!("check.{}.failed", check.family),
            reason: format!(
                "the check `{}` could not look at the {}: {why}",
                check.title,
                self.word()
            ),
            code: Code::Forbidden,
        })
    }

    pub(super) fn word(&self) -> &'static str {
        self.stage.as_str()
    }

    /// What it found, for the record.
    pub(super) fn decisions(&self, checks: &Checks) -> Vec<Decision> {
        let observed = checks.stance == Stance::Observe;
        let told = self.findings.iter().map(|finding| {
            let before = if observed { "would." } else { "" };
            let rule = format!("{before}{}", finding.rule);
            let done = match (finding.failed, finding.action) {
                (true, _) => "the check could not look",
                (_, Action::Deny) => "refused",
                (_, Action::Redact) => "taken out",
                (_, Action::Mask) => "masked",
                (_, Action::Observe) => "left as it is",
            };
            let (title, stage, count) = (&finding.title, finding.stage.as_str(), finding.count);
            let reason = format!("`{title}` in the {stage}, {count} times: {done}");
            match finding.action {
                Action::Deny => Decision::deny(rule, reason),
                _ => Decision::allow(rule, reason),
            }
        });
        told.collect()
    }
}

/// A check refuses.
#[derive(Debug)]
pub(super) struct Stop {
    pub(super) rule: String,
    pub(super) reason: String,
    pub(super) code: Code,
}

impl Stop {
    pub(super) fn found(check: &Compiled, rule: &str, stage: Stage) -> Self {
        let (family, title) = (check.family, &check.title);
        let what = rule.replace('_', " ");
        Self {
            rule: format!("check.{family}.{rule}"),
            reason: format!("the check `{title}` found {what} in the {}", stage.as_str()),
            code: Code::Forbidden,
        }
    }

    pub(super) fn into_error(self) -> CallError {
        CallError::new(self.code, self.reason).with_rule(self.rule)
    }

    pub(super) fn into_decision(self) -> Decision {
        Decision::deny(self.rule, self.reason)
    }
}

/// One check over one text.
#[derive(Debug)]
pub(super) enum Scan {
    Match(Window),
    Unseen(Sieve),
    /// It gave up; the rest goes on unseen, as its failure mode says.
    Off,
}

/// What is known of the end of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// More comes.
    More,
    /// Something else comes between; more may follow.
    Cut,
    /// Nothing follows.
    End,
}

struct Editor<'a> {
    check: &'a Compiled,
    action: Action,
    tally: &'a mut Tally,
    rule: String,
}

impl Edit for Editor<'_> {
    fn edit(&mut self, rule: &Rule, found: &str, instead: Option<String>) -> Option<String> {
        self.tally.note(self.check, &rule.id, self.action);
        match self.action {
            Action::Deny => {
                self.rule = rule.id.clone().into_owned();
                None
            }
            Action::Observe => Some(found.to_owned()),
            Action::Mask => Some(masked(found)),
            Action::Redact => Some(instead.unwrap_or_else(|| format!("[redacted:{}]", rule.id))),
        }
    }
}

/// All letters and digits but the last four, and all of a short one.
fn masked(found: &str) -> String {
    let count = found.chars().filter(|char| char.is_alphanumeric()).count();
    let hidden = if count < 8 { count } else { count - 4 };
    let mut seen = 0;
    let mask = |char: char| {
        seen += usize::from(char.is_alphanumeric());
        if char.is_alphanumeric() && seen <= hidden { '*' } else { char }
    };
    found.chars().map(mask).collect()
}

impl Scan {
    fn of(check: &Compiled) -> Self {
        match &check.kind {
            Kind::Match(_) => Self::Match(Window::default()),
            Kind::Unseen => Self::Unseen(Sieve::default()),
            Kind::Size(_) | Kind::Shape(_) | Kind::Verdicts(_) => Self::Off,
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Match(window) => window.is_empty(),
            Self::Unseen(sieve) => sieve.is_empty(),
            Self::Off => true,
        }
    }

    /// Takes a piece; appends what goes on.
    fn step(
        &mut self,
        checks: &Checks,
        check: &Compiled,
        piece: &str,
        until: Until,
        out: &mut String,
        tally: &mut Tally,
    ) -> Result<(), Stop> {
        let action = checks.action(check);
        match (&mut *self, &check.kind) {
            (Self::Match(window), Kind::Match(matcher)) => {
                let stage = tally.stage;
                let mut editor = Editor { check, action, tally, rule: String::new() };
                let done =
                    window.push(matcher, piece, &mut editor, out).and_then(|()| match until {
                        Until::More => Ok(()),
                        Until::Cut => window.interrupt(matcher, &mut editor, out),
                        Until::End => window.finish(matcher, &mut editor, out),
                    });
                match done {
                    Ok(()) => Ok(()),
                    Err(Halt::Refused) => Err(Stop::found(check, &editor.rule, stage)),
                    Err(Halt::Lost) => {
                        tally.failed(checks, check, "it holds too much")?;
                        window.release(out);
                        *self = Self::Off;
                        Ok(())
                    }
                }
            }
            (Self::Unseen(sieve), _) => {
                let mut found: Vec<&'static str> = Vec::new();
                let mut tell = |kind: super::invisible::Unseen| found.push(kind.id());
                sieve.push(piece, out, &mut tell);
                if until != Until::More {
                    sieve.finish(out, &mut tell);
                }
                for rule in &found {
                    tally.note(check, rule, action);
                }
                match (action, found.first()) {
                    (Action::Deny, Some(rule)) => Err(Stop::found(check, rule, tally.stage)),
                    _ => Ok(()),
                }
            }
            _ => {
                out.push_str(piece);
                Ok(())
            }
        }
    }
}

/// Several checks over one text, one behind the other.
#[derive(Debug, Default)]
pub(super) struct Scans(Vec<(usize, Scan)>);

impl Scans {
    /// Of the checks at these places, those that look at texts as they come.
    pub(super) fn of(checks: &Checks, chosen: &[usize]) -> Self {
        let scans = chosen.iter().filter_map(|at| {
            let check = checks.list.get(*at).filter(|check| check.scans())?;
            Some((*at, Scan::of(check)))
        });
        Self(scans.collect())
    }

    /// Whether nothing is kept back.
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|(_, scan)| scan.is_empty())
    }

    /// Takes a piece and hands on what goes on of it.
    pub(super) fn step(
        &mut self,
        checks: &Checks,
        piece: String,
        until: Until,
        tally: &mut Tally,
    ) -> Result<String, Stop> {
        let mut piece = piece;
        for (at, scan) in &mut self.0 {
            let Some(check) = checks.list.get(*at) else { continue };
            let mut out = String::with_capacity(piece.len());
            scan.step(checks, check, &piece, until, &mut out, tally)?;
            // What is only observed goes on at once, as it came.
            if checks.action(check) != Action::Observe {
                piece = out;
            }
        }
        Ok(piece)
    }

    /// One check over a whole text: the text that takes its place, where another does.
    pub(super) fn whole(
        checks: &Checks,
        check: &Compiled,
        text: &str,
        tally: &mut Tally,
    ) -> Result<Option<String>, Stop> {
        let mut out = String::with_capacity(text.len());
        Scan::of(check).step(checks, check, text, Until::End, &mut out, tally)?;
        let kept = checks.action(check) == Action::Observe || out == text;
        Ok((!kept).then_some(out))
    }
}

#[cfg(test)]
mod tests {
    use super::masked;

    #[test]
    fn a_mask_shows_the_last_four_at_most() {
        for (found, shown) in [
            ("4111 1111 1111 1234", "**** **** **** 1234"),
            ("short", "*****"),
            ("alice@corp.com", "*****@***p.com"),
        ] {
            assert_eq!(masked(found), shown);
        }
    }
}
