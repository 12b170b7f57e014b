//! From specs to contracts, with every contradiction told.

use doorward_core::{Integrity, Pattern, Readers};

use super::{Contract, ContractSpec, EffectKind, Field, Mode, Requires, Sink, SinkSpec, Ungranted};
use crate::pointer::Pointer;

/// A contract that does not hold together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("contract {} (`{tool}`), `{field}`: expected {expected}", index + 1)]
pub struct ContractError {
    /// Which contract of the list, from 0.
    pub index: usize,
    /// Its tool pattern.
    pub tool: String,
    /// The field that is wrong.
    pub field: &'static str,
    /// What was expected there.
    pub expected: String,
}

/// What is wrong with one field.
type Flaw = (&'static str, String);

pub(super) fn compile(specs: Vec<ContractSpec>) -> Result<Vec<(Pattern, Contract)>, ContractError> {
    let mut compiled: Vec<(Pattern, Contract)> = Vec::with_capacity(specs.len());
    for (index, spec) in specs.into_iter().enumerate() {
        let tool = spec.tool.clone();
        let error = |(field, expected): Flaw| ContractError {
            index,
            tool: tool.to_string(),
            field,
            expected,
        };
        let rival = compiled.iter().position(|(other, _)| ties(other, &tool));
        if let Some(rival) = rival {
            let other = compiled[rival].0.as_str();
            return Err(error((
                "tool",
                format!("a pattern more or less specific than contract {} (`{other}`)", rival + 1),
            )));
        }
        compiled.push((tool.clone(), contract(&spec).map_err(error)?));
    }
    Ok(compiled)
}

fn contract(spec: &ContractSpec) -> Result<Contract, Flaw> {
    if spec.tool.as_str().is_empty() {
        return Err(("tool", "a tool's name or a pattern".into()));
    }
    let sink = spec.effect != EffectKind::Read;
    let sinks = sinks_of(spec)?;
    let mut control = match &spec.control {
        Some(list) => Some(pointers("control", list)?),
        None => None,
    };
    if !sinks.is_empty() {
        if control.as_ref().is_some_and(Vec::is_empty) {
            return Err(("sinks", "no sink beside `control = []`".into()));
        }
        let control = control.get_or_insert_default();
        for sink in &sinks {
            if !control.iter().any(|pointer| covers(pointer, &sink.pointer)) {
                control.push(sink.pointer.clone());
            }
        }
    }
    let content = pointers("content", &spec.content)?;
    if sink {
        sink_holds(spec, control.as_deref(), &content)?;
    } else {
        read_holds(spec)?;
    }
    let (result, readers) = result_of(spec)?;
    Ok(Contract {
        effect: spec.effect,
        declared: true,
        fields: fields_of(spec)?,
        result,
        readers,
        control,
        sinks,
        content,
        intent: intent_of(spec)?,
        requires: if sink { Some(spec.requires.unwrap_or_default()) } else { None },
        mode: spec.mode,
        hide: spec.hide.unwrap_or(spec.mode == Mode::Deny),
        ungranted: spec.ungranted.unwrap_or(Ungranted::Floor),
    })
}

/// A read needs nothing, so nothing may be written that could never apply.
fn read_holds(spec: &ContractSpec) -> Result<(), Flaw> {
    let never = |field, what: &str| {
        Err((field, format!("no {what} on a read; if the call reaches anyone, it is an `egress`")))
    };
    if spec.requires.is_some() {
        return never("requires", "requirement");
    }
    if spec.control.is_some() {
        return never("control", "controlling argument");
    }
    if !spec.content.is_empty() {
        return never("content", "content argument");
    }
    if !spec.sinks.is_empty() {
        return never("sinks", "sink");
    }
    if spec.intent.is_some() {
        return never("intent", "word");
    }
    if spec.mode != Mode::Deny {
        return never("mode", "`ask` or `quarantine`");
    }
    if spec.hide == Some(true) {
        return never("hide", "hiding");
    }
    Ok(())
}

fn sink_holds(
    spec: &ContractSpec,
    control: Option<&[Pointer]>,
    content: &[Pointer],
) -> Result<(), Flaw> {
    let Some(control) = control else {
        return Err((
            "control",
            "the arguments that say who or what is affected, or `[]` where the decision to call \
             is itself what must not be steered"
                .into(),
        ));
    };
    if let Some(both) = content.iter().find(|pointer| control.contains(pointer)) {
        return Err(("content", format!("`{}` in one list only", both.as_str())));
    }
    let demands = spec.sinks.iter().map(|sink| ("sinks", sink.requires));
    for (field, requires) in demands.chain([("requires", spec.requires)]) {
        let Some(Requires { control, choice }) = requires else { continue };
        if control == Integrity::System || choice == Integrity::System {
            let expected = "`untrusted`, `trusted` or `user`: nothing a model writes is `system`";
            return Err((field, expected.into()));
        }
    }
    Ok(())
}

fn sinks_of(spec: &ContractSpec) -> Result<Vec<Sink>, Flaw> {
    let mut sinks: Vec<Sink> = Vec::with_capacity(spec.sinks.len());
    for one in &spec.sinks {
        let pointer = pointer("sinks", &one.pointer)?;
        if sinks.iter().any(|other| other.pointer == pointer) {
            return Err(("sinks", format!("`{}` once", one.pointer)));
        }
        if spec.content.contains(&one.pointer) {
            return Err(("content", format!("`{}` in one list only", one.pointer)));
        }
        let SinkSpec { kind, optional, requires, .. } = *one;
        sinks.push(Sink { pointer, kind, optional, requires });
    }
    Ok(sinks)
}

fn intent_of(spec: &ContractSpec) -> Result<Option<Vec<Box<str>>>, Flaw> {
    let Some(words) = &spec.intent else { return Ok(None) };
    if words.is_empty() || words.iter().any(|word| word.trim().is_empty()) {
        return Err(("intent", "words that ask for such a call, such as `[\"send\"]`".into()));
    }
    Ok(Some(words.iter().map(|word| word.trim().to_lowercase().into()).collect()))
}

/// Whether every place that `inner` names is named by `outer`, or lies below one that is.
fn covers(outer: &Pointer, inner: &Pointer) -> bool {
    outer.len() <= inner.len()
        && outer.names().zip(inner.names()).all(|(a, b)| a.is_none() || a == b)
}

fn result_of(spec: &ContractSpec) -> Result<(Integrity, Readers), Flaw> {
    let Some(result) = &spec.result else { return Ok((Integrity::Untrusted, Readers::Public)) };
    if result.integrity == Integrity::System {
        return Err(("result", "`untrusted`, `trusted` or `user`: no tool is the operator".into()));
    }
    let readers = match &result.readers {
        None => Readers::Public,
        Some(names) if names.iter().any(|name| name.trim().is_empty()) => {
            return Err(("result", "readers with names".into()));
        }
        Some(names) => Readers::only(names.iter().map(String::as_str)),
    };
    Ok((result.integrity, readers))
}

fn fields_of(spec: &ContractSpec) -> Result<Vec<Field>, Flaw> {
    let base = spec.result.as_ref().map_or(Integrity::Untrusted, |result| result.integrity);
    let mut fields: Vec<Field> = Vec::with_capacity(spec.fields.len());
    for field in &spec.fields {
        let pointer = pointer("fields", &field.pointer)?;
        if field.integrity == Integrity::System {
            return Err(("fields", "`untrusted`, `trusted` or `user`".into()));
        }
        if field.kind.is_some() && field.integrity <= base {
            return Err((
                "fields",
                format!(
                    "`kind` of `{}` only where it is worth more than the result",
                    field.pointer
                ),
            ));
        }
        if fields.iter().any(|other| other.pointer == pointer) {
            return Err(("fields", format!("`{}` once", field.pointer)));
        }
        fields.push(Field { pointer, integrity: field.integrity, kind: field.kind });
    }
    let idle = fields.iter().find(|field| {
        field.integrity == base
            && !fields.iter().any(|other| overlaps(&field.pointer, &other.pointer))
    });
    match idle {
        Some(Field { pointer, integrity, .. }) => Err((
            "fields",
            format!(
                "`{}` to differ from the result, which is `{}` anyway",
                pointer.as_str(),
                integrity.as_str()
            ),
        )),
        None => Ok(fields),
    }
}

/// Whether `other` is another rule that can name a place of `pointer` or above it.
fn overlaps(pointer: &Pointer, other: &Pointer) -> bool {
    pointer != other
        && other.len() <= pointer.len()
        && pointer.names().zip(other.names()).all(|(a, b)| a.is_none() || b.is_none() || a == b)
}

fn pointers(field: &'static str, texts: &[String]) -> Result<Vec<Pointer>, Flaw> {
    let mut pointers: Vec<Pointer> = Vec::with_capacity(texts.len());
    for text in texts {
        let next = pointer(field, text)?;
        if pointers.contains(&next) {
            return Err((field, format!("`{text}` once")));
        }
        if let Some(above) = pointers.iter().find(|p| next.extends(p) || p.extends(&next)) {
            return Err((
                field,
                format!("`{text}` or `{}`: one names a part of the other", above.as_str()),
            ));
        }
        pointers.push(next);
    }
    Ok(pointers)
}

fn pointer(field: &'static str, text: &str) -> Result<Pointer, Flaw> {
    Pointer::parse(text).map_err(|expected| (field, format!("{expected}, not `{text}`")))
}

/// How specific a pattern is: exact before any glob, then by its text before the first `*`.
pub(super) fn specificity(pattern: &Pattern) -> (bool, usize) {
    let text = pattern.as_str();
    (pattern.is_exact(), text.find('*').unwrap_or(text.len()))
}

/// Whether some name fits both and neither is more specific.
fn ties(a: &Pattern, b: &Pattern) -> bool {
    specificity(a) == specificity(b) && intersect(a.as_str().as_bytes(), b.as_str().as_bytes())
}

/// Whether some text fits both globs: row by row over what is left of each.
fn intersect(a: &[u8], b: &[u8]) -> bool {
    let width = b.len() + 1;
    let mut below = vec![false; width];
    for i in (0..=a.len()).rev() {
        let mut row = vec![false; width];
        for j in (0..=b.len()).rev() {
            let (x, y) = (a.get(i), b.get(j));
            row[j] = match (x, y) {
                (None, None) => true,
                (Some(b'*'), _) if below[j] => true,
                (_, Some(b'*')) if row[j + 1] => true,
                (Some(b'*'), Some(_)) => row[j + 1],
                (Some(_), Some(b'*')) => below[j],
                (Some(x), Some(y)) => x == y && below[j + 1],
                _ => false,
            };
        }
        below = row;
    }
    below[0]
}

#[cfg(test)]
mod tests {
    use super::intersect;

    #[test]
    fn globs_intersect_where_one_name_fits_both() {
        for (a, b, meet) in [
            ("*", "anything", true),
            ("mail__*", "mail__send*", true),
            ("*__get", "*__read", false),
            ("*__get*", "*__*read", true),
            ("a*b", "a*c", false),
            ("a*", "b*", false),
            ("a", "a", true),
            ("**", "", true),
        ] {
            assert_eq!(intersect(a.as_bytes(), b.as_bytes()), meet, "{a} and {b}");
            assert_eq!(intersect(b.as_bytes(), a.as_bytes()), meet, "{b} and {a}");
        }
    }
}
