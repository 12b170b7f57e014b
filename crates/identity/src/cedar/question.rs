//! One question to the policies: who, what, on which thing, under which circumstances.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use cedar_policy::{Context, Entities, Entity, EntityUid, Request, RestrictedExpression as Value};
use doorward_core::{Action, Cx, Fetch, Label, Principal, PrincipalKind, Timestamp};
use jiff::tz::TimeZone;
use serde_json::value::RawValue;

use super::arguments;
use super::load::{Loaded, People};
use super::vocabulary::{TypeNames, Vocabulary, uid};

/// Under which name relayed routes are asked for.
const RELAY: &str = "relay/";

/// Why a question could not be put.
#[derive(Debug)]
pub(super) enum Unaskable {
    /// The arguments are not what is declared.
    Arguments(String),
    /// Anything else.
    Other(String),
}

impl Unaskable {
    fn other(error: impl std::fmt::Display) -> Self {
        Self::Other(error.to_string())
    }
}

/// A question ready for Cedar.
pub(super) struct Question {
    pub(super) verb: String,
    pub(super) request: Request,
    pub(super) entities: Entities,
    /// Whether all groups of the principal are in `entities`.
    pub(super) groups_known: bool,
    /// Whether arguments and label are yet to come.
    pub(super) before: bool,
}

/// Which action of the schema is meant, and the thing it is on.
pub(super) struct Meant<'a> {
    pub(super) verb: Cow<'a, str>,
    pub(super) on: On<'a>,
    pub(super) call: Option<(&'a RawValue, &'a Label)>,
    pub(super) before: bool,
}

/// The thing.
#[derive(Debug, Clone, Copy)]
pub(super) enum On<'a> {
    Model(&'a str),
    Route(&'a str),
    Tool(&'a str),
    Server(&'a str),
}

impl<'a> Meant<'a> {
    pub(super) fn by(action: Action<'a>, vocabulary: &'a Vocabulary) -> Self {
        let (tool, call) = match action {
            Action::Model(name) if name.starts_with(RELAY) => {
                let verb = Cow::Borrowed("relay");
                return Self { verb, on: On::Route(name), call: None, before: false };
            }
            Action::Model(name) => {
                let verb = Cow::Borrowed("call_model");
                return Self { verb, on: On::Model(name), call: None, before: false };
            }
            Action::Tool(tool) => (tool.as_str(), None),
            Action::Call { tool, arguments, label } => (tool.as_str(), Some((arguments, label))),
        };
        let (verb, on) = match Fetch::of_tool_name(tool) {
            Some(fetch) => {
                let verb = match fetch {
                    Fetch::Resource => "read_resource",
                    Fetch::Prompt => "get_prompt",
                    Fetch::Completion => "complete",
                    Fetch::TaskGet | Fetch::TaskResult | Fetch::TaskUpdate | Fetch::TaskCancel => {
                        "use_task"
                    }
                };
                (verb, On::Server(server_of(tool)))
            }
            None => (vocabulary.call_of(tool), On::Tool(tool)),
        };
        Self { verb: Cow::Borrowed(verb), on, call, before: call.is_none() }
    }
}

fn server_of(tool: &str) -> &str {
    tool.split_once("__").map_or("", |(server, _)| server)
}

impl Question {
    /// Puts the question together; of the circumstances only what a policy asks about.
    pub(super) fn new(
        loaded: &Loaded,
        cx: &Cx,
        meant: &Meant<'_>,
        now: Timestamp,
        zone: &TimeZone,
    ) -> Result<Self, Unaskable> {
        let vocabulary = &loaded.vocabulary;
        let verb = vocabulary.verbs.get(&*meant.verb);
        let verb = verb.ok_or_else(|| Unaskable::Other(format!("no action `{}`", meant.verb)))?;
        let bench = loaded.benches.get(&*meant.verb);
        let mentions = bench.map(|bench| bench.mentions).unwrap_or_default();
        let (principal, groups_known) =
            principal(&vocabulary.names, &loaded.people, &cx.principal)?;
        let resource = resource(&vocabulary.names, meant.on)?;
        let mut pairs = circumstances(cx)?;
        if mentions.time {
            pairs.push(("time".to_owned(), time(now, zone)?));
        }
        if let Some((given, label)) = meant.call {
            if mentions.arguments {
                let read = arguments::read(&verb.shape, given).map_err(Unaskable::Arguments)?;
                pairs.push(("arguments".to_owned(), read.record));
                pairs.push(("arguments_complete".to_owned(), Value::new_bool(read.complete)));
            }
            if mentions.label {
                pairs.push(("label".to_owned(), labelled(label)?));
            }
        }
        let context = Context::from_pairs(pairs).map_err(Unaskable::other)?;
        let (who, what) = (principal.uid(), resource.uid());
        let request = Request::new(who, verb.uid.clone(), what, context, None);
        let request = request.map_err(Unaskable::other)?;
        let entities = [principal, resource, verb.entity.clone()];
        let entities = Entities::from_entities(entities, None).map_err(Unaskable::other)?;
        let verb = meant.verb.clone().into_owned();
        Ok(Self { verb, request, entities, groups_known, before: meant.before })
    }
}

/// Who calls, with everything they are in; and whether that is all of their groups.
fn principal(
    names: &TypeNames,
    people: &People,
    principal: &Principal,
) -> Result<(Entity, bool), Unaskable> {
    let kind = match principal.kind {
        PrincipalKind::Person => &names.user,
        PrincipalKind::Service => &names.service,
    };
    let who = uid(kind, &principal.id);
    let mut parents: HashSet<EntityUid> = HashSet::new();
    let listed = people.above(&who);
    parents.extend(listed.into_iter().flatten().cloned());
    if let Some(team) = &principal.team {
        parents.insert(uid(&names.team, team));
    }
    let known = match &principal.identity {
        Some(identity) => {
            parents.extend(identity.roles.iter().map(|role| uid(&names.role, role)));
            for group in identity.groups.iter().flatten() {
                let group = uid(&names.group, group);
                parents.extend(people.above(&group).into_iter().flatten().cloned());
                parents.insert(group);
            }
            identity.groups.is_some()
        }
        // Programs have the groups that the entities file gives them. A person has groups
        // somewhere, and a key does not tell them.
        None => listed.is_some() || principal.kind == PrincipalKind::Service,
    };
    let attributes =
        HashMap::from([("id".to_owned(), Value::new_string(principal.id.to_string()))]);
    let entity = Entity::new(who, attributes, parents).map_err(Unaskable::other)?;
    Ok((entity, known))
}

fn resource(names: &TypeNames, on: On<'_>) -> Result<Entity, Unaskable> {
    let (kind, name, parent) = match on {
        On::Model(name) => {
            let upstream = name.split_once('/').map(|(upstream, _)| uid(&names.upstream, upstream));
            (&names.model, name, upstream)
        }
        On::Route(name) => (&names.route, name, None),
        On::Tool(name) => (&names.tool, name, Some(uid(&names.server, server_of(name)))),
        On::Server(name) => (&names.server, name, None),
    };
    let attributes = HashMap::from([("name".to_owned(), Value::new_string(name.to_owned()))]);
    let parents = parent.into_iter().collect();
    Entity::new(uid(kind, name), attributes, parents).map_err(Unaskable::other)
}

fn circumstances(cx: &Cx) -> Result<Vec<(String, Value)>, Unaskable> {
    let text = |text: &str| Value::new_string(text.to_owned());
    let principal = &cx.principal;
    let actors = principal.actors.iter().map(|actor| text(&actor.id));
    let mut pairs = Vec::with_capacity(11);
    pairs.push(("actors".to_owned(), Value::new_set(actors)));
    let identity = principal.identity.as_ref();
    let texts = [
        ("agent", cx.agent.as_deref()),
        ("conversation", cx.conversation_hint.as_deref()),
        ("issuer", identity.map(|identity| &*identity.issuer)),
        ("client", identity.and_then(|identity| identity.client.as_deref())),
    ];
    let given = texts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), text(value?))));
    pairs.extend(given);
    if let Some(id) = principal.key {
        let mut key = vec![("id".to_owned(), text(&id.to_string()))];
        key.extend(principal.key_name.as_deref().map(|name| ("name".to_owned(), text(name))));
        pairs.push(("key".to_owned(), Value::new_record(key).map_err(Unaskable::other)?));
    }
    if let Some(source) = cx.source {
        // An IPv4 address that came over an IPv6 socket is the IPv4 address.
        pairs.push(("source".to_owned(), Value::new_ip(source.to_canonical().to_string())));
    }
    Ok(pairs)
}

fn time(now: Timestamp, zone: &TimeZone) -> Result<Value, Unaskable> {
    let millis = now.as_micros().div_euclid(1000);
    let instant = jiff::Timestamp::from_millisecond(millis).map_err(Unaskable::other)?;
    let there = zone.to_datetime(instant);
    let weekday = match there.weekday() {
        jiff::civil::Weekday::Monday => "monday",
        jiff::civil::Weekday::Tuesday => "tuesday",
        jiff::civil::Weekday::Wednesday => "wednesday",
        jiff::civil::Weekday::Thursday => "thursday",
        jiff::civil::Weekday::Friday => "friday",
        jiff::civil::Weekday::Saturday => "saturday",
        jiff::civil::Weekday::Sunday => "sunday",
    };
    let text = |text: String| Value::new_string(text);
    // Cedar wants the milliseconds written out.
    let utc = TimeZone::UTC.to_datetime(instant);
    let (date, clock) = (utc.date(), utc.time());
    let now_text = format!(
        "{date}T{:02}:{:02}:{:02}.{:03}Z",
        clock.hour(),
        clock.minute(),
        clock.second(),
        clock.millisecond()
    );
    Value::new_record([
        ("now".to_owned(), Value::new_datetime(now_text)),
        ("unix".to_owned(), Value::new_long(instant.as_second())),
        ("date".to_owned(), text(there.date().to_string())),
        ("weekday".to_owned(), text(weekday.to_owned())),
        ("hour".to_owned(), Value::new_long(there.hour().into())),
        ("minute".to_owned(), Value::new_long(there.minute().into())),
    ])
    .map_err(Unaskable::other)
}

fn labelled(label: &Label) -> Result<Value, Unaskable> {
    let text = |text: &str| Value::new_string(text.to_owned());
    Value::new_record([
        ("integrity".to_owned(), text(label.integrity.as_str())),
        ("choice".to_owned(), text(label.choice.as_str())),
        ("trusted".to_owned(), Value::new_bool(label.is_trusted())),
        ("sources".to_owned(), Value::new_set(label.sources.names().iter().map(|name| text(name)))),
        ("sources_complete".to_owned(), Value::new_bool(!label.sources.has_more())),
    ])
    .map_err(Unaskable::other)
}
