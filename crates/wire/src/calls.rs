//! Telling tool calls apart in streams whose indexes cannot be trusted, and naming them.

use std::borrow::Cow;

use doorward_core::{IssuerState, ModelEvent, ToolDef};
use serde_json::value::RawValue;

use crate::emit;
use crate::json::Source;

/// The most tool calls in one answer.
const MOST_CALLS: usize = 1024;

/// The tool calls of one answer, as deltas bring them.
///
/// Upstream indexes may start anywhere, have gaps, repeat or be missing; ids may be empty, late
/// or repeated with every delta. A call is recognised by its index, then its id, then by being
/// the last one; it is over when the next begins or the answer finishes, never because its
/// arguments parse.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    list: Vec<Call>,
    /// How many were told.
    told: u32,
}

#[derive(Debug)]
struct Call {
    choice: u32,
    index: Option<u64>,
    /// As the upstream gave it; empty where it gave none.
    id: String,
    name: String,
    /// Arguments are free text, told as `{"input":"…"}`.
    free_text: bool,
    /// What the issuer wants back with it, until told.
    state: Option<IssuerState>,
    /// Its number, once told.
    number: Option<u32>,
    open: bool,
    /// Whether any argument text came that is not blank.
    filled: bool,
}

/// One delta of one call.
#[derive(Debug, Default)]
pub(crate) struct Piece<'a> {
    pub(crate) index: Option<u64>,
    pub(crate) id: &'a str,
    pub(crate) name: &'a str,
    pub(crate) arguments: &'a str,
    pub(crate) free_text: bool,
    /// Whether the piece is a whole call.
    pub(crate) whole: bool,
    /// State that the issuer wants back with the call.
    pub(crate) state: Option<IssuerState>,
}

impl Calls {
    /// Takes a delta. An error says what is wrong with it.
    pub(crate) fn piece(
        &mut self,
        choice: u32,
        piece: &Piece<'_>,
        answer: &str,
        out: &mut Vec<ModelEvent>,
    ) -> Result<(), &'static str> {
        let at = match self.find(choice, piece) {
            Some(at) => at,
            None => self.begin(choice, piece, answer, out)?,
        };
        let call = &mut self.list[at];
        if !call.open {
            // Blanks after the end change nothing; more would change what was judged.
            let blank = piece.arguments.trim().is_empty();
            return if blank { Ok(()) } else { Err("more arguments for a call that is over") };
        }
        if call.id.is_empty() {
            piece.id.clone_into(&mut call.id);
        }
        if call.number.is_none() && call.state.is_none() {
            call.state.clone_from(&piece.state);
        }
        if call.name.is_empty() {
            piece.name.clone_into(&mut call.name);
        } else if !piece.name.is_empty() && call.name != piece.name {
            return Err("another name for a call that has one");
        }
        if !call.name.is_empty() {
            call.tell(&mut self.told, piece.arguments, answer, out);
        } else if !piece.arguments.trim().is_empty() {
            // They would pass before anyone could judge whose they are.
            return Err("arguments before the tool's name");
        }
        Ok(())
    }

    /// Ends the open calls of one answer, or of all.
    pub(crate) fn end(&mut self, choice: Option<u32>, answer: &str, out: &mut Vec<ModelEvent>) {
        let (list, told) = (&mut self.list, &mut self.told);
        let of_choice = |call: &&mut Call| choice.is_none_or(|choice| call.choice == choice);
        for call in list.iter_mut().filter(|call| call.open).filter(of_choice) {
            call.end(told, answer, out);
        }
    }

    /// Whether an answer made any call.
    pub(crate) fn any(&self, choice: u32) -> bool {
        self.list.iter().any(|call| call.choice == choice && call.number.is_some())
    }

    fn find(&self, choice: u32, piece: &Piece<'_>) -> Option<usize> {
        if piece.whole {
            return None;
        }
        let last = |fits: &dyn Fn(&Call) -> bool| {
            self.list.iter().rposition(|call| call.choice == choice && fits(call))
        };
        let Some(index) = piece.index else {
            if !piece.id.is_empty() {
                return last(&|call| call.id == piece.id);
            }
            let at = last(&|call| call.open)?;
            let is_new = !piece.name.is_empty() && !self.list[at].name.is_empty();
            return (!is_new).then_some(at);
        };
        let at = last(&|call| call.index == Some(index))?;
        let call = &self.list[at];
        let other_id = !piece.id.is_empty() && !call.id.is_empty() && call.id != piece.id;
        let reused = !call.open && !piece.name.is_empty() && piece.id != call.id;
        (!other_id && !reused).then_some(at)
    }

    fn begin(
        &mut self,
        choice: u32,
        piece: &Piece<'_>,
        answer: &str,
        out: &mut Vec<ModelEvent>,
    ) -> Result<usize, &'static str> {
        if self.list.len() == MOST_CALLS {
            return Err("too many tool calls");
        }
        self.end(Some(choice), answer, out);
        self.list.push(Call {
            choice,
            index: piece.index,
            id: String::new(),
            name: String::new(),
            free_text: piece.free_text,
            state: None,
            number: None,
            open: true,
            filled: false,
        });
        Ok(self.list.len() - 1)
    }
}

impl Call {
    /// Tells more arguments, after the call's start. A delta without any is told too: whoever
    /// holds a call back must hold its every delta back.
    fn tell(&mut self, told: &mut u32, arguments: &str, answer: &str, out: &mut Vec<ModelEvent>) {
        let is_new = self.number.is_none();
        let call = self.number(told, answer, out);
        if !arguments.is_empty() || !is_new {
            self.filled |= !arguments.trim().is_empty();
            let free = self.free_text;
            let json = if free { emit::escape(arguments) } else { arguments.to_owned() };
            out.push(ModelEvent::ToolDelta { call, json });
        }
    }

    /// The call's number; its start is told where it was not.
    fn number(&mut self, told: &mut u32, answer: &str, out: &mut Vec<ModelEvent>) -> u32 {
        *self.number.get_or_insert_with(|| {
            let call = *told;
            *told += 1;
            let id = if self.id.is_empty() { made_id(answer, call) } else { self.id.clone() };
            out.push(ModelEvent::ToolStart {
                call,
                choice: self.choice,
                id,
                name: self.name.clone(),
                state: self.state.take(),
            });
            if self.free_text {
                out.push(ModelEvent::ToolDelta { call, json: r#"{"input":""#.into() });
            }
            call
        })
    }

    fn end(&mut self, told: &mut u32, answer: &str, out: &mut Vec<ModelEvent>) {
        self.open = false;
        if self.number.is_none() && self.id.is_empty() {
            // Nothing but an index ever came.
            return;
        }
        let call = self.number(told, answer, out);
        if self.free_text {
            out.push(ModelEvent::ToolDelta { call, json: r#""}"#.into() });
        } else if !self.filled {
            out.push(ModelEvent::ToolDelta { call, json: "{}".into() });
        }
        out.push(ModelEvent::ToolEnd { call });
    }
}

/// An id for a call that came without: the same for the same call of the same answer.
pub(crate) fn made_id(answer: &str, call: u32) -> String {
    let plain: Vec<char> = answer.chars().filter(char::is_ascii_alphanumeric).collect();
    let tail: String = plain[plain.len().saturating_sub(20)..].iter().collect();
    if tail.is_empty() { format!("call_{call}") } else { format!("call_{tail}_{call}") }
}

/// An id that a provider takes: at most `most` of `[a-zA-Z0-9_-]`. The same for the same id, and
/// another for another.
pub(crate) fn fitting_id(id: &str, most: usize) -> Cow<'_, str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !id.is_empty() && id.len() <= most && id.chars().all(fits) {
        return Cow::Borrowed(id);
    }
    // FNV-1a, 64 bits.
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let plain = |c: char| if fits(c) { c } else { '_' };
    let head: String = id.chars().take(most.saturating_sub(17)).map(plain).collect();
    Cow::Owned(format!("{head}_{hash:016x}"))
}

/// A call's arguments as a JSON object, byte for byte where they are one. Otherwise the text is
/// wrapped, and `false` says so.
pub(crate) fn object_of(arguments: &str) -> (Cow<'_, str>, bool) {
    let text = arguments.trim();
    if text.is_empty() {
        return (Cow::Borrowed("{}"), true);
    }
    if text.starts_with('{') && serde_json::from_str::<&RawValue>(text).is_ok() {
        return (Cow::Borrowed(text), true);
    }
    (Cow::Owned(format!(r#"{{"arguments":"{}"}}"#, emit::escape(arguments))), false)
}

/// Whether a tool can be declared as a function in every dialect.
pub(crate) fn is_function(tool: &ToolDef) -> bool {
    tool.opaque.is_none() || tool.custom
}

/// The schema of a tool's arguments. A free-form tool is a function of one text. Most providers
/// refuse a schema that does not say that arguments are an object, `OpenAI` takes it as said; what
/// came in the provider's own dialect stays as it is.
pub(crate) fn schema_of(tool: &ToolDef, own: bool) -> Cow<'_, str> {
    let given = match &tool.schema {
        _ if tool.custom => {
            r#"{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}"#
        }
        Some(schema) if own => return Cow::Borrowed(schema.get()),
        Some(schema) => schema.get().trim(),
        None => r#"{"type":"object","properties":{}}"#,
    };
    let Some(rest) = given.strip_prefix('{').map(str::trim_start) else {
        return Cow::Borrowed(given);
    };
    if rest == "}" {
        return Cow::Borrowed(r#"{"type":"object","properties":{}}"#);
    }
    let is_typed = Source::new(given.as_bytes())
        .and_then(|source| source.members())
        .is_ok_and(|members| members.find("type").is_some());
    if is_typed { Cow::Borrowed(given) } else { Cow::Owned(format!(r#"{{"type":"object",{rest}"#)) }
}

#[cfg(test)]
mod tests;
