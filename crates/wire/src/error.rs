//! What goes wrong in reading and writing, and how an upstream's own errors are understood.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use doorward_core::{CallError, Code, DialectId, Relayed};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::{Text, Word};

/// Why bytes could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadError {
    /// Not UTF-8 text.
    Utf8 {
        /// The first byte that is not.
        at: usize,
    },
    /// Not what is expected at this place.
    Field {
        /// The JSON path (`messages[0].content`); empty for the whole.
        path: String,
        /// What was found and what was expected.
        problem: Cow<'static, str>,
    },
    /// Longer than Doorward reads.
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The answer stopped before its end.
    Cut,
}

impl ReadError {
    pub(crate) fn field(path: impl Into<String>, problem: impl Into<Cow<'static, str>>) -> Self {
        Self::Field { path: path.into(), problem: problem.into() }
    }

    /// As the client's mistake, in words for the client.
    pub fn in_request(self) -> CallError {
        let code = match self {
            Self::TooLarge { .. } => Code::TooLarge,
            _ => Code::InvalidRequest,
        };
        CallError::new(code, self.to_string())
    }

    /// As the upstream's mistake. The client learns only that there was one.
    pub fn in_answer(self) -> CallError {
        let public = match self {
            Self::Cut => "the upstream's answer stopped before its end",
            Self::TooLarge { .. } => "the upstream's answer is too large",
            _ => "the upstream's answer could not be read",
        };
        CallError::new(Code::Upstream, public).with_source(self)
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Utf8 { at } => write!(f, "not UTF-8 from byte {at} on"),
            Self::Field { path, problem } if path.is_empty() => f.write_str(problem),
            Self::Field { path, problem } => write!(f, "{path}: {problem}"),
            Self::TooLarge { limit } => write!(f, "longer than {limit} bytes"),
            Self::Cut => f.write_str("stopped before its end"),
        }
    }
}

impl std::error::Error for ReadError {}

/// Why a call cannot be written in a dialect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteError {
    /// Where in the call.
    pub path: String,
    /// Why.
    pub reason: &'static str,
}

impl WriteError {
    /// In words for the client.
    pub fn in_request(self) -> CallError {
        CallError::new(Code::InvalidRequest, self.to_string())
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.reason)
    }
}

impl std::error::Error for WriteError {}

/// The HTTP status of a failure, the same in every dialect.
pub const fn status(code: Code) -> u16 {
    match code {
        Code::InvalidRequest => 400,
        Code::Unauthenticated => 401,
        Code::BudgetExhausted => 402,
        Code::Forbidden => 403,
        Code::NotFound => 404,
        Code::TooLarge => 413,
        Code::RateLimited => 429,
        Code::Cancelled => 499,
        Code::Internal => 500,
        Code::Upstream => 502,
        Code::Overloaded => 503,
        Code::Timeout => 504,
    }
}

/// The most of an upstream's message that is told on, in characters.
const MOST_MESSAGE: usize = 2000;

/// What an upstream says went wrong, whatever shape it says it in.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) message: String,
    /// The provider's type or code, in its words.
    kinds: [String; 3],
    retry_after: Option<Duration>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, default)]
    message: Word<'a>,
    #[serde(borrow, default)]
    detail: Word<'a>,
    #[serde(borrow, default, rename = "type")]
    kind: Word<'a>,
    #[serde(borrow, default)]
    code: Word<'a>,
    #[serde(borrow, default)]
    status: Word<'a>,
    #[serde(borrow, default)]
    details: Option<&'a RawValue>,
    #[serde(default)]
    retry_after: Option<Seconds>,
    #[serde(borrow, default)]
    metadata: Option<&'a RawValue>,
}

/// Seconds as a number; anything else is nothing.
#[derive(Clone, Copy)]
struct Seconds(Option<Duration>);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = Word::deserialize(deserializer)?;
        let seconds = word.0.parse().ok();
        Ok(Self(seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())))
    }
}

#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow, default)]
    error_type: Word<'a>,
    #[serde(default)]
    retry_after: Option<Seconds>,
    #[serde(default)]
    retry_after_seconds: Option<Seconds>,
}

#[derive(Deserialize)]
struct Detail<'a> {
    #[serde(borrow, default, rename = "retryDelay")]
    retry_delay: Word<'a>,
}

impl Problem {
    /// Reads an error body, or the error object alone. `None` where it is no JSON object.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let text = text.trim_start_matches('\u{feff}').trim();
        if text.starts_with('[') {
            // Gemini's surface in OpenAI's dialect puts the error in a list.
            let list: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            return Self::read_one(list.first()?.get());
        }
        Self::read_one(text)
    }

    fn read_one(text: &str) -> Option<Self> {
        let outer = serde_json::from_str::<Envelope<'_>>(text).ok()?;
        let inner = outer.error.map_or(text, RawValue::get);
        if inner.starts_with('"') {
            let message = serde_json::from_str::<Text<'_>>(inner).ok()?.into_string();
            return Some(Self { message, ..Self::default() });
        }
        let fields = serde_json::from_str::<Fields<'_>>(inner).ok()?;
        let metadata = fields.metadata.and_then(|raw| serde_json::from_str(raw.get()).ok());
        let metadata: Metadata<'_> = metadata.unwrap_or(Metadata {
            error_type: Word::default(),
            retry_after: None,
            retry_after_seconds: None,
        });
        let message = if fields.message.0.is_empty() { fields.detail } else { fields.message };
        let told = [fields.retry_after, metadata.retry_after, metadata.retry_after_seconds];
        let retry_after = told
            .into_iter()
            .flatten()
            .find_map(|Seconds(wait)| wait)
            .or_else(|| fields.details.and_then(|raw| retry_delay(raw.get())))
            .or_else(|| wait_in_words(&message.0));
        let kind = if fields.kind.0.is_empty() { metadata.error_type } else { fields.kind };
        let kinds = [fields.code.0, kind.0, fields.status.0].map(Cow::into_owned);
        Some(Self { message: message.0.into_owned(), kinds, retry_after })
    }

    /// What kind of failure it is, by the provider's words first, then by the HTTP status.
    pub(crate) fn code(&self, status: Option<u16>) -> Code {
        let by_word = self.kinds.iter().find_map(|word| code_of_word(word));
        let number = || self.kinds.iter().find_map(|word| word.parse().ok());
        let by_number = |number: Option<u16>| number.filter(|n| *n >= 400).map(code_of_status);
        // Providers call nearly everything below 500 an invalid request, a refused key too: where
        // the status says more than the word, the status counts.
        let told =
            by_word.filter(|code| *code != Code::InvalidRequest || by_number(status).is_none());
        told.or_else(|| by_number(status.or_else(number))).unwrap_or(Code::Upstream)
    }
}

fn retry_delay(details: &str) -> Option<Duration> {
    let details: Vec<&RawValue> = serde_json::from_str(details).ok()?;
    details.into_iter().find_map(|raw| {
        let detail = serde_json::from_str::<Detail<'_>>(raw.get()).ok()?;
        duration(&detail.retry_delay.0)
    })
}

/// The wait in "Please try again in 1m2.5s."
fn wait_in_words(message: &str) -> Option<Duration> {
    let (_, rest) = message.split_once("ry again in ")?;
    duration(rest.split(|c: char| c.is_whitespace() || c == ',').next()?.trim_end_matches('.'))
}

/// `6ms`, `20s`, `1m30s`, `1h2m`.
fn duration(text: &str) -> Option<Duration> {
    let (mut rest, mut total) = (text, Duration::ZERO);
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let amount: f64 = rest[..end].parse().ok()?;
        let (unit, seconds) = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)]
            .into_iter()
            .find(|(unit, _)| rest[end..].starts_with(unit))?;
        total = total.checked_add(Duration::try_from_secs_f64(amount * seconds).ok()?)?;
        rest = &rest[end + unit.len()..];
    }
    (!text.is_empty()).then_some(total)
}

/// What a provider's own word for a failure means. A complaint about the credential is the
/// upstream's failure: the credential is Doorward's, not the caller's.
fn code_of_word(word: &str) -> Option<Code> {
    Some(match word {
        "overloaded_error"
        | "provider_overloaded"
        | "UNAVAILABLE"
        | "server_overloaded"
        | "server_is_overloaded"
        | "slow_down" => Code::Overloaded,
        "insufficient_quota" | "billing_error" | "billing_hard_limit_reached" => {
            Code::BudgetExhausted
        }
        "rate_limit_error" | "rate_limit_exceeded" | "RESOURCE_EXHAUSTED" => Code::RateLimited,
        "authentication_error"
        | "permission_error"
        | "invalid_api_key"
        | "UNAUTHENTICATED"
        | "PERMISSION_DENIED" => Code::Upstream,
        "not_found_error" | "model_not_found" => Code::NotFound,
        "request_too_large" => Code::TooLarge,
        "timeout_error" | "DEADLINE_EXCEEDED" => Code::Timeout,
        "invalid_request_error"
        | "context_length_exceeded"
        | "invalid_prompt"
        | "INVALID_ARGUMENT" => Code::InvalidRequest,
        _ => return None,
    })
}

fn code_of_status(status: u16) -> Code {
    match status {
        401 | 403 | 407 => Code::Upstream,
        402 => Code::BudgetExhausted,
        404 => Code::NotFound,
        408 | 504 | 524 => Code::Timeout,
        413 => Code::TooLarge,
        429 => Code::RateLimited,
        503 | 529 => Code::Overloaded,
        400..=499 => Code::InvalidRequest,
        _ => Code::Upstream,
    }
}

/// Whether an upstream's status is about Doorward's own account or key there. Such an answer is
/// never relayed: the caller would take it for a word about the caller's.
const fn is_ours(status: u16) -> bool {
    matches!(status, 401 | 402 | 403 | 407)
}

/// Reads an upstream's answer that is no success.
pub(crate) fn read_error(dialect: DialectId, status: u16, body: Bytes) -> CallError {
    let problem = std::str::from_utf8(&body).ok().and_then(Problem::read).unwrap_or_default();
    let code = match status {
        401 | 403 | 407 => Code::Upstream,
        402 => Code::BudgetExhausted,
        // The status is the surer word for what the caller did wrong, the body for the rest.
        400 | 404 | 413 | 422 => code_of_status(status),
        _ => problem.code(Some(status)),
    };
    let public: Cow<'static, str> = match status {
        402 => "the upstream's own quota is used up".into(),
        _ if is_ours(status) => "the upstream refused Doorward's credential".into(),
        _ if problem.message.is_empty() => format!("the upstream answered {status}").into(),
        _ => problem.message.chars().take(MOST_MESSAGE).collect::<String>().into(),
    };
    let mut error = CallError::new(code, public);
    error.retry_after = problem.retry_after;
    error.relayed = Some(Box::new(Relayed { dialect, status, body }));
    error
}

/// The upstream's own answer, if a client of `dialect` may have it as it came.
pub(crate) fn relay(dialect: DialectId, error: &CallError) -> Option<(u16, Bytes)> {
    let relayed = error.relayed.as_ref()?;
    let fits = relayed.dialect == dialect
        && (400..600).contains(&relayed.status)
        && !is_ours(relayed.status)
        && is_in_words_of(dialect, &relayed.body);
    fits.then(|| (relayed.status, relayed.body.clone()))
}

#[derive(Deserialize)]
struct Told<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Text<'a>>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Inner<'a> {
    #[serde(borrow, rename = "message")]
    _message: Text<'a>,
}

/// Whether a client of the dialect finds the message. Who hosts another vendor's models often
/// speaks the vendor's dialect in all but the errors: Bedrock about Claude says `message` alone,
/// Vertex wraps it as Google does.
fn is_in_words_of(dialect: DialectId, body: &[u8]) -> bool {
    if body.first() != Some(&b'{') {
        return false;
    }
    let Ok(told) = serde_json::from_slice::<Told<'_>>(body) else { return false };
    let is_whole = |error: &RawValue| serde_json::from_str::<Inner<'_>>(error.get()).is_ok();
    match dialect {
        DialectId::BEDROCK_CONVERSE | DialectId::COHERE_CHAT | DialectId::OLLAMA_CHAT => true,
        DialectId::ANTHROPIC_MESSAGES => {
            told.kind.is_some_and(|kind| kind.as_str() == "error")
                && told.error.is_some_and(is_whole)
        }
        _ => told.error.is_some_and(is_whole),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAT: DialectId = DialectId::OPENAI_CHAT;

    fn read(status: u16, body: &'static str) -> CallError {
        read_error(CHAT, status, Bytes::from_static(body.as_bytes()))
    }

    #[test]
    fn upstream_errors_keep_their_kind() {
        for (status, body, code) in [
            (
                400,
                r#"{"error":{"message":"bad","type":"invalid_request_error"}}"#,
                Code::InvalidRequest,
            ),
            (
                429,
                r#"{"error":{"message":"slow","type":"requests","code":"rate_limit_exceeded"}}"#,
                Code::RateLimited,
            ),
            // What the word leaves open, the status tells.
            (
                429,
                r#"{"error":{"message":"slow","type":"invalid_request_error"}}"#,
                Code::RateLimited,
            ),
            (
                401,
                r#"{"error":{"message":"no key","type":"invalid_request_error","code":null}}"#,
                Code::Upstream,
            ),
            // Trap 56: a used-up quota is no rate limit.
            (
                429,
                r#"{"error":{"message":"pay","type":"insufficient_quota"}}"#,
                Code::BudgetExhausted,
            ),
            (
                529,
                r#"{"type":"error","error":{"type":"overloaded_error","message":"busy"}}"#,
                Code::Overloaded,
            ),
            (
                500,
                r#"{"type":"error","error":{"type":"overloaded_error","message":"busy"}}"#,
                Code::Overloaded,
            ),
            (503, "<html>", Code::Overloaded),
            (500, "", Code::Upstream),
            (404, r#"{"detail":"no such model"}"#, Code::NotFound),
        ] {
            assert_eq!(read(status, body).code, code, "{status} {body}");
        }
    }

    #[test]
    fn trap_57_a_refused_upstream_key_is_not_the_callers() {
        let error = read(401, r#"{"error":{"message":"Incorrect API key provided: sk-ab12"}}"#);
        assert_eq!(error.code, Code::Upstream);
        assert!(!error.public.contains("sk-ab12"));
        assert_eq!(error.relayed.as_ref().map(|relayed| relayed.status), Some(401));
        assert!(relay(CHAT, &error).is_none());
    }

    #[test]
    fn only_json_of_the_same_dialect_is_relayed() {
        let error = read(429, r#"{"error":{"message":"slow"}}"#);
        assert!(relay(CHAT, &error).is_some());
        assert!(relay(DialectId::ANTHROPIC_MESSAGES, &error).is_none());
        assert!(relay(CHAT, &read(503, "<html>busy</html>")).is_none());
        assert!(relay(CHAT, &read(503, "{broken")).is_none());
    }

    #[test]
    fn an_error_in_its_hosts_words_is_told_in_the_clients() {
        let (messages, converse) = (DialectId::ANTHROPIC_MESSAGES, DialectId::BEDROCK_CONVERSE);
        for (dialect, body, relayed) in [
            (messages, r#"{"type":"error","error":{"type":"x","message":"m"}}"#, true),
            (messages, r#"{"message":"m"}"#, false),
            (
                messages,
                r#"{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT"}}"#,
                false,
            ),
            (CHAT, r#"{"error":{"message":"m"}}"#, true),
            (CHAT, r#"{"error":"m"}"#, false),
            (CHAT, r#"{"detail":"m"}"#, false),
            (DialectId::GEMINI, r#"[{"error":{"code":400,"message":"m"}}]"#, false),
            (converse, r#"{"message":"m"}"#, true),
        ] {
            let error = read_error(dialect, 400, Bytes::from_static(body.as_bytes()));
            assert_eq!(relay(dialect, &error).is_some(), relayed, "{dialect:?} {body}");
            assert_eq!(error.public, "m", "{body}");
        }
    }

    #[test]
    fn trap_55_the_wait_is_found_in_the_body() {
        let gemini = r#"[{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"x",
            "details":[{"@type":"a"},{"@type":"t.RetryInfo","retryDelay":"13s"}]}}]"#;
        for (body, millis) in [
            (gemini, 13_000),
            (r#"{"error":{"message":"Limit. Please try again in 1m2.5s. Visit"}}"#, 62_500),
            (r#"{"error":{"message":"try again in 6ms."}}"#, 6),
            (r#"{"error":{"message":"x","metadata":{"retry_after_seconds":7}}}"#, 7_000),
            (r#"{"error":{"message":"x","retry_after":2}}"#, 2_000),
        ] {
            let wait = read(429, body).retry_after;
            assert_eq!(wait, Some(Duration::from_millis(millis)), "{body}");
        }
        assert_eq!(read(429, r#"{"error":{"message":"try again in a while"}}"#).retry_after, None);
    }
}
