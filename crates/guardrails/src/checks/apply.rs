//! The checks over requests, arguments and results.

use doorward_core::{Code, Cx, EmbedCall, EmbedInput, ModelCall, ToolName};
use serde_json::value::RawValue;

use super::scan::{Scans, Stop, Tally};
use super::verdict::{Content, Opinion, Question, ToolAsked, Verdicts};
use super::visit::{self, Reach};
use super::{Action, Checks, Compiled, Kind, Sizes, Stage, tree};

/// The longest reason of somebody else's that is shown, in characters.
const LONGEST_REASON: usize = 300;

impl Stop {
    /// A thought that its issuer has signed holds what must not leave.
    pub(super) fn signed() -> Self {
        Self {
            rule: "check.signed".to_owned(),
            reason:
                "the thought behind the last tool calls holds what a check takes out, and it is \
                     signed: it can neither be changed nor left out"
                    .to_owned(),
            code: Code::Forbidden,
        }
    }
}

impl Checks {
    /// Looks at a request, and changes it.
    pub(super) async fn screen_call(
        &self,
        cx: &Cx,
        call: &mut ModelCall,
        tally: &mut Tally,
    ) -> Result<(), Stop> {
        for at in self.chosen(Stage::Request, cx, Some(&call.model)) {
            let Some(check) = self.list.get(at) else { continue };
            match &check.kind {
                Kind::Match(_) | Kind::Unseen => {
                    let mut edit = |text: &str| Scans::whole(self, check, text, tally);
                    visit::call(call, Reach::All, &mut edit)?;
                }
                Kind::Size(most) => self.size_of_call(check, *most, call, tally)?,
                Kind::Shape(_) => {}
                Kind::Verdicts(verdicts) => {
                    let mut texts = Vec::new();
                    let mut collect = |text: &str| {
                        texts.push(text.to_owned());
                        Ok(None)
                    };
                    visit::call(call, Reach::Messages, &mut collect)?;
                    let model = call.model.clone();
                    let question = Question {
                        cx,
                        stage: Stage::Request,
                        model: Some(&model),
                        tool: None,
                        content: Content::Texts(&texts),
                    };
                    let new = self.ask(check, &**verdicts, question, tally).await?;
                    let Some(new) = new else { continue };
                    let mut pairs = new.into_iter().zip(&texts);
                    let mut put = |_: &str| {
                        Ok(pairs.next().filter(|(new, old)| new != *old).map(|(new, _)| new))
                    };
                    visit::call(call, Reach::Messages, &mut put)?;
                }
            }
        }
        Ok(())
    }

    /// Looks at texts to be embedded, and changes them.
    pub(super) async fn screen_embed(
        &self,
        cx: &Cx,
        call: &mut EmbedCall,
        tally: &mut Tally,
    ) -> Result<(), Stop> {
        let mut changed = false;
        for at in self.chosen(Stage::Request, cx, Some(&call.model)) {
            let Some(check) = self.list.get(at) else { continue };
            let mut texts: Vec<String> = call
                .input
                .iter()
                .filter_map(|input| match input {
                    EmbedInput::Text(text) => Some(text.clone()),
                    EmbedInput::Tokens(_) => None,
                })
                .collect();
            match &check.kind {
                Kind::Match(_) | Kind::Unseen => {
                    for text in &mut texts {
                        if let Some(new) = Scans::whole(self, check, text, tally)? {
                            *text = new;
                        }
                    }
                }
                Kind::Size(most) => {
                    let bytes = texts.iter().map(String::len).sum();
                    self.most(check, "bytes", most.bytes, bytes, tally)?;
                }
                Kind::Shape(_) => {}
                Kind::Verdicts(verdicts) => {
                    let question = Question {
                        cx,
                        stage: Stage::Request,
                        model: Some(&call.model),
                        tool: None,
                        content: Content::Texts(&texts),
                    };
                    if let Some(new) = self.ask(check, &**verdicts, question, tally).await? {
                        texts = new;
                    }
                }
            }
            let places = call.input.iter_mut().filter_map(|input| match input {
                EmbedInput::Text(text) => Some(text),
                EmbedInput::Tokens(_) => None,
            });
            for (place, text) in places.zip(texts) {
                changed |= *place != text;
                *place = text;
            }
        }
        if let (true, Some(raw)) = (changed, &mut call.raw) {
            raw.body.clear();
        }
        Ok(())
    }

    /// Looks at a tool's arguments or result; what goes on in its place, where it changed.
    pub(super) async fn screen_json(
        &self,
        question: Question<'_>,
        tool: &ToolName,
        json: &RawValue,
        tally: &mut Tally,
    ) -> Result<Option<Box<RawValue>>, Stop> {
        let mut new: Option<Box<RawValue>> = None;
        for at in self.chosen(question.stage, question.cx, question.model) {
            let Some(check) = self.list.get(at) else { continue };
            if !check.applies.to_tool(tool.as_str()) {
                continue;
            }
            let now = new.as_deref().unwrap_or(json);
            match &check.kind {
                Kind::Match(_) | Kind::Unseen => {
                    let mut edit = |text: &str| Scans::whole(self, check, text, tally);
                    if let Some(changed) = tree::edit(now, &mut edit)? {
                        new = Some(changed);
                    }
                }
                Kind::Size(most) => {
                    self.most(check, "bytes", most.bytes, now.get().len(), tally)?;
                }
                Kind::Shape(_) => {}
                Kind::Verdicts(verdicts) => {
                    // A call of a brokered tool is asked about where it runs.
                    let brokered = |names: &std::sync::Arc<dyn doorward_core::Names>| {
                        names.brokered(tool.as_str()).is_some()
                    };
                    if question.model.is_some() && self.names.as_ref().is_some_and(brokered) {
                        continue;
                    }
                    let asked = Question { content: Content::Json(now), ..question };
                    if let Some(texts) = self.ask(check, &**verdicts, asked, tally).await? {
                        let text = texts.into_iter().next().unwrap_or_default();
                        match RawValue::from_string(text) {
                            Ok(changed) => new = Some(changed),
                            Err(_) => tally.failed(self, check, "it was answered with no JSON")?,
                        }
                    }
                }
            }
        }
        Ok(new)
    }

    /// Asks somebody else; the texts that go on in the place of those asked about, where others do.
    pub(super) async fn ask(
        &self,
        check: &Compiled,
        verdicts: &dyn Verdicts,
        question: Question<'_>,
        tally: &mut Tally,
    ) -> Result<Option<Vec<String>>, Stop> {
        let count = match question.content {
            Content::Texts(texts) => texts.len(),
            Content::Json(_) => 1,
        };
        let action = self.action(check);
        match verdicts.ask(question).await {
            Ok(Opinion::Allow) => Ok(None),
            Ok(Opinion::Deny(reason)) => {
                tally.note(check, &check.title, action);
                if action == Action::Observe {
                    return Ok(None);
                }
                let told = reason.chars().filter(|char| !char.is_control()).take(LONGEST_REASON);
                let mut stop = Stop::found(check, &check.title, question.stage);
                let told: String = told.collect();
                stop.reason = format!("`{}` refused the {}: {told}", check.title, tally.word());
                Err(stop)
            }
            Ok(Opinion::Replace(texts)) if texts.len() == count => {
                let done = if action == Action::Observe { action } else { Action::Redact };
                tally.note(check, &check.title, done);
                Ok((action != Action::Observe).then_some(texts))
            }
            Ok(Opinion::Replace(_)) => {
                tally.failed(self, check, "it was answered with another number of texts")?;
                Ok(None)
            }
            Err(error) => {
                tally.failed(self, check, error.0)?;
                Ok(None)
            }
        }
    }

    fn size_of_call(
        &self,
        check: &Compiled,
        most: Sizes,
        call: &mut ModelCall,
        tally: &mut Tally,
    ) -> Result<(), Stop> {
        self.most(check, "messages", most.messages, call.messages.len(), tally)?;
        self.most(check, "tools", most.tools, call.tools.len(), tally)?;
        let mut bytes = 0_usize;
        if most.bytes.is_some() {
            visit::call(call, Reach::All, &mut |text| {
                bytes = bytes.saturating_add(text.len());
                Ok(None)
            })?;
        }
        self.most(check, "bytes", most.bytes, bytes, tally)
    }

    /// Whether there are no more of something than may be.
    pub(super) fn most(
        &self,
        check: &Compiled,
        what: &'static str,
        most: Option<usize>,
        count: usize,
        tally: &mut Tally,
    ) -> Result<(), Stop> {
        let Some(most) = most.filter(|most| count > *most) else { return Ok(()) };
        let action = self.action(check);
        tally.note(check, what, action);
        if action == Action::Observe {
            return Ok(());
        }
        Err(Stop {
            rule: format!("check.size.{what}"),
            reason: format!("the {} has more than {most} {what}", tally.word()),
            code: Code::TooLarge,
        })
    }
}

/// A tool of which only the name is known.
pub(super) const fn tool_named(name: &ToolName) -> ToolAsked<'_> {
    ToolAsked { name, description: None, schema: None, arguments: None }
}
