//! What a kind of value needs to stand in the person's words.

use memchr::memmem;

use super::Provenance;
use super::index::{CLOSING, OPENING};
use crate::contract::SinkKind;
use crate::literal;

/// A value that somebody asks for, with what is known of the argument that it is for.
#[derive(Debug, Clone)]
pub(crate) struct Asked<'a> {
    pub(crate) text: &'a str,
    pub(crate) kind: Option<SinkKind>,
    /// What the argument is called, and what the tool is called: `issue` of `issue_number`.
    pub(crate) argument: &'a str,
    pub(crate) tool: &'a str,
}

/// What a word that asks for something asks it for.
#[derive(Debug)]
pub(crate) struct Demand {
    /// Whether it points back at anything that was said: `read the note and send it`.
    pub(crate) whole: bool,
    /// What is said between such a word and the next thing that is asked for.
    pub(crate) scopes: Provenance,
}

/// Words that point back.
const POINTING: &[&str] = &[
    "it",
    "its",
    "them",
    "they",
    "this",
    "that",
    "these",
    "those",
    "there",
    "him",
    "her",
    "so",
    "same",
    "each",
    "both",
    "everyone",
    "everybody",
    "one",
    "ones",
    "here",
    "following",
    "follows",
    "below",
    "above",
];
/// Words with which another matter begins.
const MATTERS: &[&str] = &[
    "add",
    "answer",
    "append",
    "approve",
    "archive",
    "ask",
    "book",
    "buy",
    "cancel",
    "change",
    "check",
    "close",
    "comment",
    "compare",
    "copy",
    "create",
    "delete",
    "download",
    "draft",
    "edit",
    "email",
    "explain",
    "fetch",
    "find",
    "fix",
    "forward",
    "get",
    "go",
    "grant",
    "invite",
    "list",
    "look",
    "mail",
    "make",
    "mark",
    "merge",
    "message",
    "move",
    "notify",
    "open",
    "order",
    "pay",
    "plan",
    "post",
    "print",
    "publish",
    "put",
    "read",
    "remind",
    "remove",
    "rename",
    "reply",
    "report",
    "reschedule",
    "reserve",
    "review",
    "run",
    "save",
    "schedule",
    "search",
    "send",
    "set",
    "share",
    "show",
    "summarise",
    "summarize",
    "tell",
    "transfer",
    "translate",
    "update",
    "upload",
    "visit",
    "write",
];
/// Words of argument names that say nothing of what is named.
const HOLLOW: &[&str] = &[
    "id",
    "ids",
    "key",
    "name",
    "names",
    "new",
    "no",
    "number",
    "old",
    "ref",
    "slug",
    "source",
    "target",
    "title",
    "to",
    "from",
    "value",
    "values",
    "list",
    "uuid",
    "identifier",
    "by",
    "of",
];
/// What `one/other` names.
const OF_PAIRS: &[&str] = &["owner", "repo", "repository", "org", "organization", "workspace"];
/// Verbs of tool names; the rest names the thing.
const VERBS: &[&str] = &[
    "add", "append", "book", "cancel", "close", "create", "delete", "edit", "get", "invite",
    "list", "make", "merge", "modify", "move", "open", "post", "put", "read", "remove", "rename",
    "reply", "reserve", "run", "send", "set", "share", "update", "write",
];
/// Words between a noun and what it names: `the channel called general`.
const FILLERS: &[&str] = &[
    "called",
    "named",
    "number",
    "no",
    "nr",
    "id",
    "with",
    "the",
    "is",
    "request",
    "name",
    "of",
    "key",
    "code",
    "reference",
];

impl Provenance {
    /// Whether the value stands in the texts, as the kind of value that the argument takes.
    /// `forms`: its canonical forms of that kind.
    pub(crate) fn proves(&self, asked: &Asked<'_>, forms: &[String]) -> bool {
        let text = asked.text;
        let named = matches!(asked.kind, Some(SinkKind::Id | SinkKind::Name));
        if named && literal::is_address_or_day(text) {
            return false;
        }
        if self.holds_any(forms) {
            return true;
        }
        match asked.kind {
            None => {
                self.holds_phrase(text)
                    || self.holds_list(text)
                    || self.names(text)
                    || self.marks(asked)
                    || self.holds_day(text)
            }
            Some(SinkKind::Email) => !text.contains('<') && self.holds_list(text),
            Some(SinkKind::Date) => self.holds_day(text),
            Some(SinkKind::Text) => self.holds_words(text) || self.holds_quoted(text),
            Some(SinkKind::Path) => literal::path(text).is_some() && self.holds_phrase(text),
            Some(SinkKind::Id) => {
                self.names(text) || self.marks(asked) || is_key(text) && self.holds_whole(text)
            }
            Some(SinkKind::Name) => {
                self.holds_phrase(text) || self.names(text) || self.marks(asked)
            }
            Some(_) => false,
        }
    }

    /// What the person asked for with one of these words; `None` where nothing.
    pub(crate) fn demand(&self, words: &[Box<str>]) -> Option<Demand> {
        let lower = self.lower().get(self.spoken..).unwrap_or_default();
        let said = self.joined.get(self.spoken..).unwrap_or_default();
        let mut scopes = Vec::new();
        for word in words {
            for at in memmem::find_iter(lower.as_bytes(), word.as_bytes()) {
                let end = at + word.len();
                if is_whole(lower, at, end) && asks(lower, at, end) {
                    scopes.push(said.get(end..scope_end(lower, end)).unwrap_or_default());
                }
            }
        }
        if scopes.is_empty() {
            return None;
        }
        let points =
            |scope: &&str| plain_words(scope).split(' ').any(|word| POINTING.contains(&word));
        Some(Demand { whole: scopes.iter().any(points), scopes: Self::of(scopes) })
    }

    /// Whether one of these words stands in what the person said, in the plural or not.
    pub(crate) fn mentions(&self, nouns: &[String]) -> bool {
        let said = plain_words(self.joined.get(self.spoken..).unwrap_or_default());
        said.split(' ').any(|word| nouns.iter().any(|noun| singular(noun) == singular(word)))
    }

    /// Every run of up to `longest` words of the person's, in the form of [`plain_words`].
    pub(crate) fn runs(&self, longest: usize, most: usize) -> Vec<String> {
        let mut runs = Vec::new();
        let spoken = self.texts.iter().filter(|text| text.start >= self.spoken);
        for text in spoken {
            let words = plain_words(self.joined.get(text.start..text.end).unwrap_or_default());
            let words: Vec<&str> = words.split(' ').filter(|word| !word.is_empty()).collect();
            for at in 0..words.len() {
                for length in 1..=longest.min(words.len() - at) {
                    if runs.len() >= most {
                        return runs;
                    }
                    runs.push(words[at..at + length].join(" "));
                }
            }
        }
        runs
    }

    fn holds_whole(&self, value: &str) -> bool {
        memmem::find_iter(self.joined.as_bytes(), value.as_bytes())
            .any(|at| is_whole(&self.joined, at, at + value.len()))
    }

    /// Whether a text of two words or more stands there, letter by letter and line by line.
    fn holds_words(&self, value: &str) -> bool {
        let value = value.trim();
        let words = value.split_whitespace().filter(|word| word.chars().any(char::is_alphanumeric));
        words.count() >= 2 && self.holds_whole(value)
    }

    /// Whether it stands there between quotation marks, and nothing else with it.
    fn holds_quoted(&self, value: &str) -> bool {
        let fits = value.chars().any(char::is_alphanumeric);
        fits && memmem::find_iter(self.joined.as_bytes(), value.as_bytes()).any(|at| {
            let before = self.joined.get(..at).and_then(|text| text.chars().next_back());
            let after = self.joined.get(at + value.len()..).and_then(|text| text.chars().next());
            matches!(
                (before, after),
                (Some('"'), Some('"')) | (Some('`'), Some('`')) | (Some('“'), Some('”'))
            )
        })
    }

    /// Whether a name stands there: capitalised words that are no beginning of a sentence.
    fn names(&self, value: &str) -> bool {
        let words: Vec<&str> = value.split(' ').collect();
        let capital = |word: &&str| {
            word.starts_with(char::is_uppercase)
                && word.chars().all(|char| char.is_alphabetic() || "'’.-".contains(char))
        };
        let letters = value.chars().filter(|char| char.is_alphabetic()).count();
        let named = (1..=5).contains(&words.len())
            && words.iter().all(capital)
            && letters >= 3
            && !words.iter().all(|word| literal::is_common(word));
        named
            && memmem::find_iter(self.joined.as_bytes(), value.as_bytes()).any(|at| {
                let end = at + value.len();
                is_whole(&self.joined, at, end) && (words.len() > 1 || !begins(&self.joined, at))
            })
    }

    /// Whether a value that alone is too common stands beside its noun, or marked as a name:
    /// `issue 42`, `the general channel`, `#general`, `@dora`.
    pub(crate) fn marks(&self, asked: &Asked<'_>) -> bool {
        let value = asked.text;
        if value.is_empty() || value.len() > 64 || value.contains(['\n', '\r']) {
            return false;
        }
        let nouns = nouns(asked);
        memmem::find_iter(self.joined.as_bytes(), value.as_bytes()).any(|at| {
            let end = at + value.len();
            if !is_whole(&self.joined, at, end) {
                return false;
            }
            let before = self.joined[..at].chars().next_back();
            matches!(before, Some('#' | '@')) || beside(&self.joined, at, end, &nouns)
        }) || nouns.iter().any(|noun| OF_PAIRS.contains(&noun.as_str())) && self.is_in_pair(value)
    }

    /// Whether it is one side of `owner/repository`.
    fn is_in_pair(&self, value: &str) -> bool {
        let mut words = self.joined.split_whitespace();
        words.any(|word| {
            let word = word.trim_start_matches(OPENING).trim_end_matches(CLOSING);
            let word = word.strip_suffix("'s").or(word.strip_suffix("’s")).unwrap_or(word);
            let pair = word.split_once('/').filter(|(_, name)| !name.contains('/'));
            pair.is_some_and(|(owner, name)| owner == value || name == value)
        })
    }

    /// Whether the day of a date, and its time of day where it has one, stand there; the person
    /// need not write the year.
    fn holds_day(&self, value: &str) -> bool {
        let Some(form) = literal::date(value.trim()) else { return false };
        let Some((day, time)) = form.trim_start_matches("d:").split_once('T').map_or_else(
            || Some((form.trim_start_matches("d:"), None)),
            |(day, time)| Some((day, Some(time))),
        ) else {
            return false;
        };
        let stands = |text: &str| {
            let lower = self.lower();
            memmem::find_iter(lower.as_bytes(), text.as_bytes())
                .any(|at| is_whole(lower, at, at + text.len()))
        };
        let said = self.holds_any(&[format!("d:{day}")])
            || literal::day_words(day).iter().any(|text| stands(text));
        said && time.is_none_or(|time| {
            time == "00:00" || literal::time_words(time).iter().any(|text| stands(text))
        })
    }

    fn lower(&self) -> &str {
        self.lower.get_or_init(|| self.joined.to_ascii_lowercase())
    }
}

/// A text's letters and digits in lower case, with single spaces for all between.
pub(crate) fn plain_words(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for char in text.chars() {
        if char.is_alphanumeric() {
            plain.extend(char.to_lowercase());
        } else if !plain.is_empty() && !plain.ends_with(' ') {
            plain.push(' ');
        }
    }
    plain.truncate(plain.trim_end().len());
    plain
}

/// Whether it is a key as trackers give them out: `OPS-7`.
fn is_key(value: &str) -> bool {
    value.split_once('-').is_some_and(|(project, number)| {
        (2..=12).contains(&project.len())
            && project.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
            && project.starts_with(|char: char| char.is_ascii_uppercase())
            && (1..=9).contains(&number.len())
            && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// What the argument names: the telling words of its own name, else of its tool's.
fn nouns(asked: &Asked<'_>) -> Vec<String> {
    let mut own: Vec<String> = telling(asked.argument, HOLLOW).collect();
    if own.is_empty() {
        let tool = asked.tool.rsplit_once("__").map_or(asked.tool, |(_, tool)| tool);
        own = telling(tool, VERBS).collect();
    }
    own.push(singular(&asked.argument.to_lowercase()));
    for (short, long) in [("repo", "repository"), ("org", "organization"), ("dir", "directory")] {
        if own.iter().any(|noun| noun == short) {
            own.push(long.to_owned());
        }
    }
    own
}

fn telling<'n>(name: &'n str, without: &'n [&'n str]) -> impl Iterator<Item = String> + 'n {
    let mut words: Vec<String> = Vec::new();
    let mut fresh = true;
    for char in name.chars() {
        if !char.is_alphanumeric() {
            fresh = true;
            continue;
        }
        if fresh || char.is_uppercase() {
            words.push(String::new());
        }
        fresh = false;
        if let Some(word) = words.last_mut() {
            word.extend(char.to_lowercase());
        }
    }
    words.into_iter().filter(|word| !without.contains(&word.as_str())).map(|word| singular(&word))
}

fn singular(word: &str) -> String {
    let cut = word.len() > 3 && word.ends_with('s') && !word.ends_with("ss");
    if cut { word[..word.len() - 1].to_owned() } else { word.to_owned() }
}

/// Whether one of the nouns stands next to the place, or with a filler between.
fn beside(text: &str, start: usize, end: usize, nouns: &[String]) -> bool {
    let bare = |word: &str| {
        singular(&word.trim_start_matches(OPENING).trim_end_matches(CLOSING).to_lowercase())
    };
    let is_noun = |word: &str| nouns.iter().any(|noun| *noun == bare(word));
    let line = |part: &str, last: bool| {
        let mut lines = part.split('\n');
        if last { lines.next_back() } else { lines.next() }.unwrap_or_default().to_owned()
    };
    let after = line(text.get(end..).unwrap_or_default(), false);
    let next = after.trim_start_matches(CLOSING).split_whitespace().next().unwrap_or_default();
    // `file 13. Folder …`: what comes after a full stop is another matter.
    if !after.starts_with(['.', '!', '?', ';', ',']) && is_noun(next) {
        return true;
    }
    let before = line(text.get(..start).unwrap_or_default(), true);
    let words = before.split_whitespace().rev().filter(|word| !bare(word).is_empty());
    for (at, word) in words.take(3).enumerate() {
        if at > 0 && word.ends_with(['.', '!', '?', ';', ',']) {
            return false;
        }
        if is_noun(word) {
            return true;
        }
        if !FILLERS.contains(&bare(word).as_str()) {
            return false;
        }
    }
    false
}

/// Whether the place is a whole word, with `'s` behind it or not.
fn is_whole(text: &str, start: usize, end: usize) -> bool {
    let (Some(before), Some(after)) = (text.get(..start), text.get(end..)) else { return false };
    let joins = |char: char| char.is_alphanumeric() || "_@/-\\%+=".contains(char);
    let mut next = after.chars();
    let free_after = match next.next() {
        None => true,
        Some('.' | ':') => next.next().is_none_or(|char| !joins(char)),
        Some('@' | '-' | '/' | '_' | '\\' | '%' | '+' | '=') => false,
        Some(char) => !char.is_alphanumeric(),
    };
    let mut last = before.chars().rev();
    let free_before = match last.next() {
        None | Some('@') => true,
        Some('.' | ':') => last.next().is_none_or(|char| !joins(char)),
        Some(char) => !joins(char),
    };
    free_before && free_after
}

/// Whether a sentence begins at the place.
fn begins(text: &str, at: usize) -> bool {
    let before = text.get(..at).unwrap_or_default();
    let before = before.trim_end_matches([' ', '\t', '"', '\'', '(', '“', '*', '-', '•', '>']);
    before.is_empty() || before.ends_with(['.', '!', '?', ':', ';', '\n', '\r'])
}

/// Where what is asked for ends: with the sentence, or where something else is asked for.
fn scope_end(text: &str, from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    let mut end = rest.len();
    for (at, _) in rest.match_indices(['.', '!', '?']) {
        if rest[at + 1..].chars().next().is_none_or(char::is_whitespace) {
            end = at;
            break;
        }
    }
    end = rest.find("\n\n").map_or(end, |at| end.min(at));
    let mut at = 0;
    for word in rest[..end].split(char::is_whitespace) {
        let bare = word.trim_matches(|char: char| !char.is_alphanumeric());
        let start = from + at + word.find(bare).unwrap_or(0);
        if MATTERS.contains(&bare) && asks(text, start, start + bare.len()) {
            return from + at;
        }
        at += word.len() + 1;
    }
    from + end
}

/// What may stand before a word that asks for something.
const ASKING: &[&str] = &[
    "a",
    "after",
    "again",
    "also",
    "and",
    "be",
    "briefly",
    "but",
    "can",
    "could",
    "directly",
    "finally",
    "first",
    "gladly",
    "go",
    "help",
    "i'd",
    "i",
    "immediately",
    "instead",
    "it",
    "just",
    "kindly",
    "let's",
    "lets",
    "like",
    "maybe",
    "me",
    "must",
    "need",
    "next",
    "now",
    "or",
    "please",
    "politely",
    "quickly",
    "shall",
    "should",
    "simply",
    "so",
    "then",
    "therefore",
    "to",
    "today",
    "tomorrow",
    "want",
    "we",
    "will",
    "would",
    "you",
    "you'll",
    "them",
    "otherwise",
    "eventually",
    "accordingly",
    "immediately",
    "automatically",
    "always",
    "by",
    "for",
    "of",
];
/// Whom somebody tells something without telling anybody.
const ONESELF: &[&str] = &["me", "us", "your", "my", "yourself"];
/// What follows a word only where it is a noun.
const OF_NOUNS: &[&str] =
    &["from", "of", "which", "that", "was", "were", "is", "are", "has", "have"];

/// Whether the word at the place asks for something: `please send`, `and then send`, not `the
/// send button`, `do not send`.
fn asks(text: &str, start: usize, end: usize) -> bool {
    let (Some(before), Some(after)) = (text.get(..start), text.get(end..)) else { return false };
    let next = after.split_whitespace().next().unwrap_or_default();
    let next = next.trim_end_matches(CLOSING);
    let phrase = text.get(start..end).is_some_and(|word| word.contains(' '));
    if ONESELF.contains(&next) {
        return false;
    }
    if !phrase && OF_NOUNS.contains(&next) && !after.starts_with(['.', ',', ';', ':']) {
        return false;
    }
    if begins(text, start) || before.ends_with([',', ')', '"', '\u{201d}']) {
        return true;
    }
    let before = before.trim_end();
    if before.ends_with([',', ';', ')', '–', '—']) {
        return true;
    }
    let mut words = before.split_whitespace().rev();
    let last = words.next().unwrap_or_default().trim_start_matches(OPENING);
    if matches!(last, "a" | "of" | "by" | "for" | "be") {
        return false;
    }
    ASKING.contains(&last)
        && !words.take(3).any(|word| {
            matches!(word, "not" | "never" | "don't" | "dont" | "cannot" | "won't" | "without")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked<'a>(kind: Option<SinkKind>, argument: &'a str, text: &'a str) -> Asked<'a> {
        Asked { text, kind, argument, tool: "files__delete_file" }
    }

    #[test]
    fn a_value_counts_as_its_kind_only() {
        use SinkKind::{Date, Email, Host, Id, Money, Name, Path, Text, Url};
        for (said, kind, argument, value, holds) in [
            ("mail bob@corp.com", Some(Email), "to", "Bob <bob@corp.com>", true),
            ("mail bob@corp.com", Some(Email), "to", "bob@corp.com <eve@evil.com>", false),
            ("mail bob@corp.com", Some(Email), "to", "bob@corp.com, eve@evil.com", false),
            ("mail bob@corp.com", Some(Url), "to", "bob@corp.com", false),
            ("mail bob", Some(Email), "to", "bob", false),
            ("pay $50 to him", Some(Money), "amount", "50", true),
            ("pay $50 to him", Some(Money), "amount", "50.00", true),
            ("pay 50 euros", Some(Money), "amount", "50.0", true),
            ("pay 50 euros", Some(Money), "amount", "500", false),
            ("invite 50 people", Some(Money), "amount", "50", false),
            ("pay 50 euros", None, "amount", "50", false),
            ("on May 26th at 7 pm", Some(Date), "start", "2024-05-26 19:00", true),
            ("on 26 May", Some(Date), "start", "2024-05-26", true),
            ("on 2024-05-26 at 19:00", Some(Date), "start", "2024-05-26T19:00", true),
            ("on May 26th at 7 pm", Some(Date), "start", "2024-05-26 20:00", false),
            ("on May 26th", Some(Date), "start", "2024-06-26", false),
            ("list acme/rocket's issues", Some(Name), "owner", "acme", true),
            ("list acme/rocket.", Some(Name), "repo", "rocket", true),
            ("list acme/rocket", Some(Name), "hotel", "rocket", false),
            ("see https://corp.com/a", Some(Host), "host", "corp.com", true),
            ("see https://corp.com/a", Some(Host), "host", "evil.com", false),
            ("open README.md", Some(Host), "host", "readme.md", false),
            ("read ./docs//plan.txt", Some(Path), "path", "docs/plan.txt", true),
            ("read docs/plan.txt", Some(Path), "path", "docs/../plan.txt", false),
            ("close issue 42", Some(Id), "issue_number", "42", true),
            ("close issue #42", None, "issue_number", "42", true),
            ("close OPS-7 now", Some(Id), "issue_key", "OPS-7", true),
            ("close OPS-77 now", Some(Id), "issue_key", "OPS-7", false),
            ("close ops-7 now", Some(Id), "issue_key", "OPS-7", false),
            ("buy 42 apples", Some(Id), "issue_number", "42", false),
            ("delete file 13", None, "id", "13", true),
            ("on line 13, delete it", None, "id", "13", false),
            ("post to the general channel", Some(Name), "channel", "general", true),
            ("post to #random", None, "channel_id", "random", true),
            ("a general summary of the channel", None, "channel", "general", false),
            ("tell Alice about it", Some(Name), "recipient", "Alice", true),
            ("tell Alice about it", None, "recipient", "Alice", true),
            ("Delete it", None, "action", "Delete", false),
            ("tell Alice Smith", None, "recipient", "Alice", true),
            ("tell Malice", None, "recipient", "Alice", false),
            ("say \"see you\" there", Some(Text), "text", "see you there", false),
            ("Run cargo test and look", Some(Text), "command", "cargo test", true),
            ("Run cargo test and look", Some(Text), "command", "cargo test and", true),
            ("Run cargo test and look", Some(Text), "command", "cargo test\nand", false),
            ("Run cargo tests", Some(Text), "command", "cargo test", false),
            ("Run `ls`", Some(Text), "command", "ls", true),
            ("Run ls", Some(Text), "command", "ls", false),
            ("book Riverside View Hotel", Some(Name), "hotel", "Riverside View Hotel", true),
        ] {
            let own = Provenance::of([said]);
            let forms = kind.map_or_else(|| literal::forms(value), |k| literal::forms_as(k, value));
            let proved = own.proves(&asked(kind, argument, value), &forms);
            assert_eq!(proved, holds, "{said} / {value} {kind:?}");
        }
    }

    #[test]
    fn a_demand_is_no_mention() {
        let words: Vec<Box<str>> = ["mail", "send", "delete", "get rid"].map(Into::into).into();
        for (said, demands) in [
            ("Read the page and mail a summary to bob", true),
            ("Mail bob", true),
            ("Could you please send it?", true),
            ("Read it, then send it", true),
            ("I want you to delete the file", true),
            ("please get rid of it", true),
            ("Read it and send me a summary", false),
            ("Summarise the mail from bob", false),
            ("Which mail did bob send?", false),
            ("Do not send anything", false),
            ("please don't delete it", false),
            ("What does the delete button do?", false),
            ("Reply to mail from bob", false),
            ("resend it", false),
            ("", false),
        ] {
            assert_eq!(Provenance::of([said]).demand(&words).is_some(), demands, "{said}");
        }
        let own = Provenance::of_both(["You may send mail."], ["Summarise it"]);
        assert!(own.demand(&words).is_none(), "the operator's words ask for nothing");
    }

    #[test]
    fn a_demand_is_for_what_follows_it() {
        let words: Vec<Box<str>> = vec!["write".into(), "mail".into()];
        for (said, value, within) in [
            ("Read docs/b.md and write a summary to docs/c.md", "docs/c.md", true),
            ("Read docs/b.md and write a summary to docs/c.md", "docs/b.md", false),
            ("Read docs/b.md and write to it", "docs/b.md", true),
            ("Write docs/b.md. Then read docs/c.md.", "docs/c.md", false),
            ("Mail bob@corp.com and delete docs/b.md", "docs/b.md", false),
            ("Mail ann@corp.com, bob@corp.com", "bob@corp.com", true),
        ] {
            let own = Provenance::of([said]);
            let demand = own.demand(&words).unwrap();
            assert_eq!(demand.whole || demand.scopes.holds(value), within, "{said} {value}");
        }
    }

    #[test]
    fn runs_are_the_persons_words_only() {
        let own = Provenance::of_both(["Be of use"], ["Delete \"Q3-plan.docx\" now"]);
        let runs = own.runs(3, 100);
        assert!(runs.contains(&"q3 plan docx".to_owned()) && !runs.contains(&"be".to_owned()));
        assert_eq!(own.runs(3, 4).len(), 4);
    }
}
