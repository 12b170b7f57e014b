//! Finding tools by words: BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework",
//! 2009, §3) over what a definition says of a tool. The same list and the same words always give
//! the same order; nothing is learned and nobody is asked.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use doorward_core::{ToolList, ToolName, ToolSpec};
use serde_json::Value;

/// How soon more of the same word counts no more.
const K1: f64 = 1.2;
/// How far long definitions are held against a tool.
const B: f64 = 0.75;
/// What a word counts for, by where it stands.
const IN_NAME: f64 = 4.0;
const IN_TITLE: f64 = 3.0;
const IN_ARGUMENT: f64 = 2.0;
const IN_TEXT: f64 = 1.0;
/// What a word counts for that only begins like the one that was asked for.
const BEGINS: f64 = 0.5;
/// The shortest beginning that counts.
const SHORTEST: usize = 3;
/// The most words of a query that are looked for.
const MOST_WORDS: usize = 32;
/// How much of one definition's texts is read, in bytes.
const MOST_TEXT: usize = 8 << 10;
/// The most definitions whose words are kept.
const MOST_KEPT: usize = 50_000;

/// A search over lists of tools. Keeps the words of definitions it has read.
#[derive(Default)]
pub struct Search {
    read: Mutex<HashMap<ToolName, Read>>,
}

/// A definition that was read, and its words.
type Read = (Weak<ToolSpec>, Arc<Words>);

impl fmt::Debug for Search {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Search").finish_non_exhaustive()
    }
}

/// The words of one definition.
#[derive(Debug, Default)]
struct Words {
    /// How often each stands there, by its weight.
    counts: HashMap<Box<str>, f64>,
    length: f64,
}

impl Search {
    /// The tools of a list that fit these words, the best first; equals by name. At most `limit`,
    /// of one server where it is named. Without words: the first by name.
    ///
    /// ```
    /// use doorward_core::{ToolList, ToolName, ToolSpec};
    /// use doorward_mcp_broker::Search;
    /// use serde_json::value::to_raw_value;
    /// use std::sync::Arc;
    ///
    /// let tool = |name: &str, description: &str| {
    ///     let definition = serde_json::json!({"name": name, "description": description});
    ///     let definition = to_raw_value(&definition).unwrap();
    ///     Arc::new(ToolSpec { name: ToolName::new(name), server: "s".into(), definition })
    /// };
    /// let tools = vec![tool("s__get_issue", "Reads an issue."), tool("s__send", "Sends a mail.")];
    /// let list = ToolList { tools, gaps: vec![] };
    /// let found = Search::default().rank(&list, "send an e-mail", 5, None);
    /// assert_eq!(found[0].name.as_str(), "s__send");
    /// ```
    pub fn rank(
        &self,
        list: &ToolList,
        query: &str,
        limit: usize,
        server: Option<&str>,
    ) -> Vec<Arc<ToolSpec>> {
        let fits = |tool: &&Arc<ToolSpec>| server.is_none_or(|server| *tool.server == *server);
        let tools: Vec<_> = list.tools.iter().filter(fits).collect();
        let asked: BTreeSet<String> = split(query).into_iter().take(MOST_WORDS).collect();
        if asked.is_empty() {
            return tools.into_iter().take(limit).cloned().collect();
        }
        let words = self.words(&tools);
        let scores = scores(&words, &asked);
        let mut found: Vec<_> =
            tools.into_iter().zip(scores).filter(|(_, score)| *score > 0.0).collect();
        found.sort_by(|(a, x), (b, y)| y.total_cmp(x).then_with(|| a.name.cmp(&b.name)));
        found.into_iter().take(limit).map(|(tool, _)| tool.clone()).collect()
    }

    /// The words of each tool, read where its definition is new.
    fn words(&self, tools: &[&Arc<ToolSpec>]) -> Vec<Arc<Words>> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if read.len() > MOST_KEPT {
            read.retain(|_, (tool, _)| tool.strong_count() > 0);
        }
        if read.len() > MOST_KEPT {
            read.clear();
        }
        let words = tools.iter().map(|tool| {
            let known = read.get(&tool.name);
            let same = known.filter(|(of, _)| std::ptr::eq(of.as_ptr(), Arc::as_ptr(tool)));
            if let Some((_, words)) = same {
                return words.clone();
            }
            let words = Arc::new(Words::of(tool));
            read.insert(tool.name.clone(), (Arc::downgrade(tool), words.clone()));
            words
        });
        words.collect()
    }
}

/// How well each fits what was asked.
fn scores(all: &[Arc<Words>], asked: &BTreeSet<String>) -> Vec<f64> {
    #[expect(clippy::cast_precision_loss, reason = "counts of tools")]
    let count = all.len() as f64;
    let average = all.iter().map(|words| words.length).sum::<f64>() / count.max(1.0);
    let mut scores = vec![0.0; all.len()];
    for word in asked {
        let weights: Vec<f64> = all.iter().map(|words| words.weight(word)).collect();
        #[expect(clippy::cast_precision_loss, reason = "counts of tools")]
        let having = weights.iter().filter(|weight| **weight > 0.0).count() as f64;
        let rarity = (1.0 + (count - having + 0.5) / (having + 0.5)).ln();
        for ((score, weight), words) in scores.iter_mut().zip(weights).zip(all) {
            let long = 1.0 - B + B * words.length / average.max(1.0);
            *score += rarity * weight * (K1 + 1.0) / (weight + K1 * long);
        }
    }
    scores
}

impl Words {
    fn of(tool: &ToolSpec) -> Self {
        let mut words = Self::default();
        words.add(tool.name.as_str(), IN_NAME);
        let definition: Value = serde_json::from_str(tool.definition.get()).unwrap_or_default();
        for (text, weight) in [
            (&definition["title"], IN_TITLE),
            (&definition["annotations"]["title"], IN_TITLE),
            (&definition["description"], IN_TEXT),
        ] {
            words.add(text.as_str().unwrap_or_default(), weight);
        }
        let arguments = definition["inputSchema"]["properties"].as_object();
        for (name, argument) in arguments.into_iter().flatten() {
            words.add(name, IN_ARGUMENT);
            words.add(argument["description"].as_str().unwrap_or_default(), IN_TEXT);
        }
        words
    }

    fn add(&mut self, text: &str, weight: f64) {
        let text = &text[..text.floor_char_boundary(MOST_TEXT)];
        for word in split(text) {
            *self.counts.entry(word.into()).or_default() += weight;
            self.length += weight;
        }
    }

    /// What the definition has of a word: the word itself, else one that begins so.
    fn weight(&self, word: &str) -> f64 {
        if let Some(weight) = self.counts.get(word) {
            return *weight;
        }
        if word.chars().count() < SHORTEST {
            return 0.0;
        }
        let begins = self.counts.iter().filter(|(known, _)| known.starts_with(word));
        begins.map(|(_, weight)| weight * BEGINS).fold(0.0, f64::max)
    }
}

/// The words of a text: in small letters, cut where it is no letter or digit and where a capital
/// follows a small letter, plurals without their `s`.
fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut small = false;
    for c in text.chars().chain([' ']) {
        if !c.is_alphanumeric() || (small && c.is_uppercase()) {
            let whole = std::mem::take(&mut word);
            if !whole.is_empty() && !is_filler(&whole) {
                words.push(singular(whole));
            }
        }
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
        small = c.is_lowercase() || c.is_numeric();
    }
    words
}

fn singular(mut word: String) -> String {
    let plural = word.len() > 3 && word.is_ascii() && word.ends_with('s') && !word.ends_with("ss");
    if plural {
        word.pop();
    }
    word
}

/// Words that say nothing of a tool.
fn is_filler(word: &str) -> bool {
    const FILLERS: [&str; 22] = [
        "a", "an", "and", "are", "as", "at", "be", "by", "for", "from", "in", "is", "it", "its",
        "of", "on", "or", "that", "the", "this", "to", "with",
    ];
    FILLERS.contains(&word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(name: &str, definition: &Value) -> Arc<ToolSpec> {
        let definition = serde_json::value::to_raw_value(definition).unwrap();
        let server = name.split("__").next().unwrap().into();
        Arc::new(ToolSpec { name: ToolName::new(name), server, definition })
    }

    fn catalogue() -> ToolList {
        let said = |text: &str| serde_json::json!({ "description": text });
        let tools = vec![
            tool("mail__send_email", &said("Sends an e-mail to one or more people.")),
            tool("mail__search", &said("Searches the mailbox for messages.")),
            tool(
                "tracker__createIssue",
                &said("Opens a new ticket. Mail is sent to its watchers."),
            ),
            tool(
                "tracker__get_issue",
                &serde_json::json!({
                    "title": "Read a ticket",
                    "inputSchema": {"properties": {"issue_number": {"description": "Which one."}}},
                }),
            ),
            tool("weather__forecast", &said("The weather of the next days.")),
        ];
        ToolList { tools, gaps: vec![] }
    }

    #[test]
    fn the_best_comes_first() {
        let (search, list) = (Search::default(), catalogue());
        for (query, best) in [
            ("send email", Some("mail__send_email")),
            ("Send an EMAIL, please", Some("mail__send_email")),
            ("create an issue", Some("tracker__createIssue")),
            ("issue number", Some("tracker__get_issue")),
            ("read ticket", Some("tracker__get_issue")),
            ("forecasts", Some("weather__forecast")),
            ("fore", Some("weather__forecast")),
            ("search messages", Some("mail__search")),
            ("quantum chromodynamics", None),
        ] {
            let found = search.rank(&list, query, 3, None);
            assert_eq!(found.first().map(|tool| tool.name.as_str()), best, "{query}");
        }
    }

    #[test]
    fn equal_tools_come_by_name_and_every_time_the_same() {
        let same = serde_json::json!({ "description": "Does the thing." });
        let names = ["c__x", "a__x", "b__x"];
        let list = ToolList { tools: names.map(|name| tool(name, &same)).into(), gaps: vec![] };
        let ranked = |search: &Search| {
            let found = search.rank(&list, "thing", 10, None);
            found.iter().map(|tool| tool.name.to_string()).collect::<Vec<_>>()
        };
        let search = Search::default();
        assert_eq!(ranked(&search), ["a__x", "b__x", "c__x"]);
        assert_eq!(ranked(&search), ranked(&Search::default()));
    }

    #[test]
    fn limit_and_server_hold() {
        let (search, list) = (Search::default(), catalogue());
        assert_eq!(search.rank(&list, "mail", 1, None).len(), 1);
        let found = search.rank(&list, "mail", 9, Some("tracker"));
        assert_eq!(found.iter().map(|tool| &*tool.server).collect::<Vec<_>>(), ["tracker"]);
        assert_eq!(search.rank(&list, "", 2, None).len(), 2);
        assert!(search.rank(&list, "mail", 9, Some("nobody")).is_empty());
    }

    #[test]
    fn a_changed_definition_is_read_anew() {
        let search = Search::default();
        let one = |text: &str| ToolList {
            tools: vec![tool("a__x", &serde_json::json!({ "description": text }))],
            gaps: vec![],
        };
        assert_eq!(search.rank(&one("apples"), "apple", 1, None).len(), 1);
        assert!(search.rank(&one("pears"), "apple", 1, None).is_empty());
    }

    #[test]
    fn texts_are_cut_into_words() {
        for (text, words) in [
            ("getHTTPResponse_codes", vec!["get", "httpresponse", "code"]),
            ("list-all.files/2024", vec!["list", "all", "file", "2024"]),
            ("Größe der ÄPFEL", vec!["größe", "der", "äpfel"]),
            ("pass the bus", vec!["pass", "bus"]),
        ] {
            assert_eq!(split(text), words, "{text}");
        }
    }
}
