//! How hard a call looks. The same call always looks the same: nothing is asked and nothing is
//! learned, so that the receipt can say in a line why a target was chosen.

use std::fmt::Write;

use doorward_core::{Body, ModelCall, ResponseFormat, Role};

use crate::Tier;
use crate::when::Facts;

/// How much of the last question is read, in bytes.
const READ: usize = 16 << 10;

/// Words of somebody who wants more than a look-up, in a few languages; lower case.
const REASONING: &[&str] = &[
    "prove",
    "step by step",
    "why ",
    "analyse",
    "analyze",
    "compare",
    "derive",
    "design",
    "plan ",
    "trade-off",
    "optimi",
    "debug",
    "refactor",
    "root cause",
    "architect",
    "evaluate",
    "strategy",
    "beweise",
    "warum",
    "vergleich",
    "entwirf",
    "démontre",
    "pourquoi",
    "compara",
    "demuestra",
    "por qué",
];

/// What code looks like.
const CODE: &[&str] = &[
    "```",
    "fn ",
    "def ",
    "class ",
    "#include",
    "import ",
    "select ",
    "function ",
    "public static",
    "traceback (",
    "error[e",
    "exception in",
    "</",
    "=> {",
    "();",
];

/// How hard a call looks, and by what.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Complexity {
    pub(crate) tier: Tier,
    pub(crate) score: u32,
    /// What counted, in words.
    pub(crate) signs: String,
}

/// Scores a call: up to 2 points are simple, up to 5 medium, more complex.
pub(crate) fn score(call: &ModelCall, facts: &Facts<'_>) -> Complexity {
    let mut sheet = Sheet::default();
    let input = facts.input();
    let length = [200, 1_000, 4_000, 16_000].iter().filter(|least| input >= **least).count();
    sheet.add(length, format_args!("{input} tokens"));

    let question = last_question(call).to_lowercase();
    let found = |words: &[&str]| words.iter().filter(|word| question.contains(*word)).count();
    let code = found(CODE);
    let is_code = question.contains("```") || code >= 2;
    sheet.add(if is_code { 2 } else { 0 }, format_args!("code"));
    sheet.add(found(REASONING).min(3), format_args!("reasoning words"));

    let tools = call.tools.iter().filter(|tool| !tool.hidden).count();
    let weight = [1, 3, 10].iter().filter(|least| tools >= **least).count();
    sheet.add(weight, format_args!("{tools} tools"));
    let structured = matches!(call.params.response_format, Some(ResponseFormat::JsonSchema { .. }));
    sheet.add(structured.into(), format_args!("structured output"));

    let turns = call.messages.iter().filter(|message| message.role == Role::User).count();
    let weight = [4, 12].iter().filter(|least| turns >= **least).count();
    sheet.add(weight, format_args!("{turns} turns"));
    let thinks = call.params.thinking_budget.is_some()
        || call.params.thinking == Some(true)
        || matches!(call.params.reasoning_effort.as_deref(), Some("high" | "xhigh" | "max"));
    sheet.add(if thinks { 3 } else { 0 }, format_args!("asked to think"));
    sheet.tier()
}

#[derive(Default)]
struct Sheet {
    score: u32,
    signs: String,
}

impl Sheet {
    fn add(&mut self, points: usize, sign: std::fmt::Arguments<'_>) {
        if points == 0 {
            return;
        }
        self.score += u32::try_from(points).unwrap_or(u32::MAX);
        let comma = if self.signs.is_empty() { "" } else { ", " };
        // Writing to a string cannot fail.
        let _ = write!(self.signs, "{comma}{sign}");
    }

    fn tier(self) -> Complexity {
        let tier = match self.score {
            0..=2 => Tier::Simple,
            3..=5 => Tier::Medium,
            _ => Tier::Complex,
        };
        Complexity { tier, score: self.score, signs: self.signs }
    }
}

/// The last text that the user wrote, cut to what is read.
fn last_question(call: &ModelCall) -> &str {
    let users = call.messages.iter().rev().filter(|message| message.role == Role::User);
    let text = users
        .flat_map(|message| message.parts.iter().rev())
        .find_map(|part| match &part.body {
            Body::Text(text) => Some(text.as_str()),
            _ => None,
        })
        .unwrap_or_default();
    &text[..text.floor_char_boundary(READ)]
}

#[cfg(test)]
mod tests {
    use doorward_core::{Message, ToolDef};

    use super::*;

    fn call(text: &str, tools: usize, turns: usize) -> ModelCall {
        let tool = ToolDef {
            name: "t".into(),
            description: None,
            schema: None,
            strict: None,
            cache_control: None,
            opaque: None,
            custom: false,
            hidden: false,
        };
        let mut messages = vec![Message::text(Role::User, "hi"); turns.saturating_sub(1)];
        messages.push(Message::text(Role::User, text));
        ModelCall { messages, tools: vec![tool; tools], ..ModelCall::default() }
    }

    #[test]
    fn harder_calls_score_higher_and_say_why() {
        let long = "word ".repeat(4_000);
        for (text, tools, turns, tier, signs) in [
            ("What is the capital of France?", 0, 1, Tier::Simple, ""),
            ("Warum ist der Himmel blau?", 0, 1, Tier::Simple, "reasoning words"),
            (
                "Debug this:\n```rust\nfn main() {}\n```",
                0,
                1,
                Tier::Medium,
                "code, reasoning words",
            ),
            (
                "Refactor and debug, step by step: ```fn a() {}```",
                3,
                1,
                Tier::Complex,
                "code, reasoning words, 3 tools",
            ),
            (&long, 0, 1, Tier::Medium, "5004 tokens"),
            ("go on", 12, 12, Tier::Medium, "12 tools, 12 turns"),
        ] {
            let call = call(text, tools, turns);
            let found = score(&call, &Facts::of(&call));
            assert_eq!((found.tier, found.signs.as_str()), (tier, signs), "{text:.40}");
            assert_eq!(found, score(&call, &Facts::of(&call)), "always the same");
        }
    }
}
