//! A tool call whose arguments are on their way, and come again and again: in pieces, at the end
//! of the pieces, in the item and in the whole answer. What was told first is what was judged, so
//! all later tellings must say the same.

use doorward_core::ModelEvent;
use serde_json::Value;

use crate::calls::made_id;
use crate::emit;

#[derive(Debug)]
pub(super) struct Call {
    number: u32,
    /// The arguments are free text, told as `{"input":"…"}`.
    free: bool,
    id: String,
    name: String,
    /// Arguments that stood in the item's beginning.
    given: String,
    /// Arguments told so far; of a free-form tool, the text.
    told: String,
    ended: bool,
}

impl Call {
    pub(super) fn begin(number: u32, free: bool, (id, name): (&str, &str), given: String) -> Self {
        let (id, name) = (id.to_owned(), name.to_owned());
        Self { number, free, id, name, given, told: String::new(), ended: false }
    }

    pub(super) fn is_free(&self) -> bool {
        self.free
    }

    /// Tells the start.
    pub(super) fn start(&self, answer: &str, out: &mut Vec<ModelEvent>) {
        let call = self.number;
        let id = if self.id.is_empty() { made_id(answer, call) } else { self.id.clone() };
        out.push(ModelEvent::ToolStart {
            call,
            choice: 0,
            id,
            name: self.name.clone(),
            state: None,
        });
        if self.free {
            out.push(ModelEvent::ToolDelta { call, json: r#"{"input":""#.into() });
        }
    }

    /// More arguments. Told even if empty: whoever holds a call back must hold all of it back.
    pub(super) fn more(
        &mut self,
        text: &str,
        out: &mut Vec<ModelEvent>,
    ) -> Result<(), &'static str> {
        if self.ended {
            let blank = text.trim().is_empty();
            return if blank { Ok(()) } else { Err("more arguments for a call that is over") };
        }
        self.told.push_str(text);
        let json = if self.free { emit::escape(text) } else { text.to_owned() };
        out.push(ModelEvent::ToolDelta { call: self.number, json });
        Ok(())
    }

    /// All arguments at once: what is missing of them is told. `always` tells even nothing.
    pub(super) fn settle(
        &mut self,
        whole: &str,
        always: bool,
        out: &mut Vec<ModelEvent>,
    ) -> Result<(), &'static str> {
        let rest = match whole.strip_prefix(self.told.as_str()) {
            _ if self.same(whole) => "",
            Some(rest) => rest,
            None => return Err("other arguments than were told"),
        };
        if self.ended {
            return if rest.is_empty() {
                Ok(())
            } else {
                Err("more arguments for a call that is over")
            };
        }
        if always || !rest.is_empty() {
            let rest = rest.to_owned();
            return self.more(&rest, out);
        }
        Ok(())
    }

    /// The call is over.
    pub(super) fn end(&mut self, out: &mut Vec<ModelEvent>) -> Result<(), &'static str> {
        if self.ended {
            return Ok(());
        }
        if self.told.is_empty() && !self.given.is_empty() {
            let given = std::mem::take(&mut self.given);
            self.more(&given, out)?;
        }
        let call = self.number;
        if self.free {
            out.push(ModelEvent::ToolDelta { call, json: r#""}"#.into() });
        } else if self.told.trim().is_empty() {
            out.push(ModelEvent::ToolDelta { call, json: "{}".into() });
        }
        out.push(ModelEvent::ToolEnd { call });
        self.ended = true;
        Ok(())
    }

    /// Whether this is the call of this name and these arguments.
    pub(super) fn is(&self, name: &str, arguments: &str) -> bool {
        self.name == name && self.same(arguments)
    }

    /// Whether arguments are those that were told, blanks between them aside. None at all may be
    /// told as an empty object, and may be left out where they were told before.
    fn same(&self, whole: &str) -> bool {
        if self.told == whole {
            return true;
        }
        if self.free {
            return whole.is_empty() && !self.told.is_empty();
        }
        let (told, whole) = (self.told.trim(), whole.trim());
        let value = |text: &str| serde_json::from_str::<Value>(text).ok();
        match (told.is_empty(), whole.is_empty()) {
            (true, false) => self.ended && whole == "{}",
            (_, true) => true,
            (false, false) => value(told).is_some_and(|told| Some(told) == value(whole)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(pieces: &[&str], done: &str) -> Result<String, &'static str> {
        let mut call = Call::begin(0, false, ("c", "f"), String::new());
        let mut out = Vec::new();
        for piece in pieces {
            call.more(piece, &mut out)?;
        }
        call.settle(done, true, &mut out)?;
        call.end(&mut out)?;
        let json = |event| match event {
            ModelEvent::ToolDelta { json, .. } => json,
            _ => String::new(),
        };
        Ok(out.into_iter().map(json).collect())
    }

    #[test]
    fn arguments_are_told_once_however_often_they_come() {
        for (pieces, done, expected) in [
            (&["{\"a\"", ":1}"][..], "{\"a\":1}", Ok("{\"a\":1}")),
            (&[], "{\"a\":1}", Ok("{\"a\":1}")),
            (&["{\"a\""], "{\"a\":1}", Ok("{\"a\":1}")),
            (&["{\"a\":1}"], "", Ok("{\"a\":1}")),
            (&["{\"a\": 1}"], "{\"a\":1}", Ok("{\"a\": 1}")),
            (&[], "", Ok("{}")),
            (&["{\"a\":1}"], "{\"a\":2}", Err("other arguments than were told")),
        ] {
            assert_eq!(told(pieces, done), expected.map(str::to_owned), "{pieces:?} {done}");
        }
    }

    #[test]
    fn a_call_that_is_over_stays_as_it_is() {
        let mut call = Call::begin(0, false, ("c", "f"), "{\"a\":1}".into());
        let mut out = Vec::new();
        call.end(&mut out).unwrap();
        assert!(
            call.is("f", "{\"a\":1}") && !call.is("f", "{\"a\":2}") && !call.is("g", "{\"a\":1}")
        );
        assert!(call.more(" ", &mut out).is_ok() && call.more("x", &mut out).is_err());
        assert!(call.settle("{\"a\":1}", true, &mut out).is_ok());
        assert!(call.settle("{\"a\":1,\"b\":2}", true, &mut out).is_err());
    }
}
