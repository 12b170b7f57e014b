//! Arguments that a modern client has to show in headers too (`Mcp-Param-*`): a gateway reads
//! bodies, so it has to see to it that both say the same.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue};
use serde_json::Value;
use serde_json::value::RawValue;

use super::call::Place;
use super::era::{Refusal, decoded};
use super::session::lock;
use crate::edit;
use crate::upstream::mirror::Mirror;

/// How long it is remembered which tools want headers.
const FRESH: Duration = Duration::from_secs(30);
/// How long a call waits to know.
const LONGEST_LIST: Duration = Duration::from_secs(5);
/// How many views of the catalogue are remembered.
const MOST: usize = 1024;

/// The headers of a request that mirror arguments, without their prefix.
#[derive(Default)]
pub(super) struct Shown(Vec<(String, HeaderValue)>);

impl Shown {
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, Refusal> {
        let mut shown: Vec<(String, HeaderValue)> = Vec::new();
        for (name, value) in headers {
            let Some(name) = name.as_str().strip_prefix("mcp-param-") else { continue };
            if shown.iter().any(|(known, _)| known == name) {
                return Err(Refusal::header(format!("Mcp-Param-{name}: given twice")));
            }
            shown.push((name.to_owned(), value.clone()));
        }
        Ok(Self(shown))
    }

    /// The value shown for an argument.
    fn value(&self, header: &str) -> Result<Option<String>, Refusal> {
        let found = self.0.iter().find(|(name, _)| name.eq_ignore_ascii_case(header));
        let Some((name, value)) = found else { return Ok(None) };
        let name = format!("Mcp-Param-{name}");
        let value = value.to_str().ok().filter(|text| !text.contains('\t'));
        let value = value.ok_or_else(|| Refusal::header(format!("{name}: malformed")))?;
        decoded(&name, value.trim_matches([' ', '\t'])).map(|value| Some(value.into_owned()))
    }
}

/// Which tools of a view have annotated arguments.
type Wanted = Arc<HashMap<String, Vec<Mirror>>>;

/// What is remembered of each view of the catalogue, by principal and scope.
#[derive(Default)]
pub(super) struct Annotated {
    hasher: RandomState,
    views: Mutex<HashMap<u64, (Instant, Wanted)>>,
}

impl Place {
    async fn wanted(&self) -> Wanted {
        let memory = &self.front.hall.annotated;
        let now = self.front.settings.clock.instant();
        let view = memory.hasher.hash_one((&self.cx.principal.id, &self.scope));
        if let Some((since, wanted)) = lock(&memory.views).get(&view)
            && now.saturating_duration_since(*since) < FRESH
        {
            return wanted.clone();
        }
        // What cannot be listed now is not refused for it.
        let listed = self.front.settings.tools.list(&self.cx, &self.scope);
        let listed = tokio::time::timeout(LONGEST_LIST, listed).await;
        let list = listed.ok().and_then(Result::ok).unwrap_or_default();
        let annotated = list.tools.iter().filter_map(|tool| {
            let mirrors = Mirror::all(&tool.definition).ok().filter(|all| !all.is_empty())?;
            let name = edit::member(tool.definition.get(), "name")?;
            Some((serde_json::from_str(name).ok()?, mirrors))
        });
        let wanted: Wanted = Arc::new(annotated.collect());
        let mut views = lock(&memory.views);
        if views.len() >= MOST {
            views.retain(|_, (since, _)| now.saturating_duration_since(*since) < FRESH);
        }
        if views.len() < MOST {
            views.insert(view, (now, wanted.clone()));
        }
        wanted
    }

    /// Refuses a call whose headers say something else than its arguments.
    pub(super) async fn check_mirrors(
        &self,
        name: &str,
        arguments: &RawValue,
        shown: &Shown,
    ) -> Result<(), Refusal> {
        let wanted = self.wanted().await;
        let Some(mirrors) = wanted.get(name) else { return Ok(()) };
        let arguments: Value = serde_json::from_str(arguments.get()).unwrap_or_default();
        for mirror in mirrors {
            let header = &mirror.header;
            let refuse = |what| Err(Refusal::header(format!("Mcp-Param-{header} {what}")));
            match (mirror.value(&arguments), shown.value(header)?) {
                (None, None) => {}
                (Some(value), Some(said)) if same(&value, &said, mirror, &arguments) => {}
                (Some(_), Some(_)) => return refuse("differs from the body"),
                (Some(_), None) => return refuse("is missing"),
                (None, Some(_)) => return refuse("has no argument in the body"),
            }
        }
        Ok(())
    }
}

/// Whether header and argument say the same: text by its characters, numbers by their value.
fn same(value: &str, said: &str, mirror: &Mirror, arguments: &Value) -> bool {
    if value == said {
        return true;
    }
    let found = mirror.path.iter().try_fold(arguments, |value, name| value.get(name));
    let is_number = found.is_some_and(Value::is_number);
    let number = |text: &str| {
        // A header holds a plain decimal number, nothing that only some readers take for one.
        let plain = text.bytes().all(|byte| byte.is_ascii_digit() || b"-+.eE".contains(&byte));
        if plain { text.parse::<f64>().ok() } else { None }
    };
    let whole = |text: &str| text.parse::<i128>().ok();
    is_number
        && match (whole(value), whole(said)) {
            (Some(value), Some(said)) => value == said,
            _ => {
                matches!((number(value), number(said)), (Some(a), Some(b)) if a.total_cmp(&b).is_eq())
            }
        }
}
