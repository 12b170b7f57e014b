//! OCSF 1.5: API Activity, class 6003.

use doorward_core::{Effect, Event, Kind, Outcome, PrincipalKind};
use serde_json::{Map, Value, json};

use super::fields::{Fields, Severity};
use crate::Record;

/// Category Application Activity.
const CATEGORY: u64 = 6;
/// Class API Activity.
const CLASS: u64 = 6003;
const VERSION: &str = "1.5.0";

pub(super) fn line(record: &Record) -> String {
    let event = &record.event;
    let fields = Fields::of(event);
    let (activity, activity_name) = activity(event);
    let (severity_id, severity) = match fields.severity() {
        Severity::Information => (1, "Informational"),
        Severity::Warning => (3, "Medium"),
        Severity::Error => (2, "Low"),
    };
    let mut map = Map::new();
    let mut set = |name: &str, value: Value| {
        map.insert(name.to_owned(), value);
    };
    set("activity_id", activity.into());
    set("activity_name", activity_name.into());
    set("category_uid", CATEGORY.into());
    set("category_name", "Application Activity".into());
    set("class_uid", CLASS.into());
    set("class_name", "API Activity".into());
    set("type_uid", (CLASS * 100 + activity).into());
    set("type_name", format!("API Activity: {activity_name}").into());
    set("severity_id", severity_id.into());
    set("severity", severity.into());
    // Timestamps are milliseconds.
    set("time", event.at.as_micros().div_euclid(1000).into());
    if let Some(took) = event.took_us {
        set("duration", (took / 1000).into());
    }
    set("message", event.decision.reason.as_ref().into());
    let (status_id, status) = status(event.outcome);
    set("status_id", status_id.into());
    set("status", status.into());
    if let Some(error) = event.error {
        set("status_code", error.as_str().into());
    }
    set("metadata", metadata(record));
    set("actor", actor(event));
    set("api", api(event, &fields));
    set("src_endpoint", source(event));
    set("resources", resources(&fields));
    control(event, &mut map);
    map.insert("unmapped".to_owned(), unmapped(event, &fields));
    Value::Object(map).to_string()
}

/// The activity as OCSF counts them: calls of models and tools are none of create, read, update
/// and delete, and say so.
fn activity(event: &Event) -> (u64, &'static str) {
    match &event.kind {
        Kind::Admin { action, .. } => match action.rsplit('.').next().unwrap_or_default() {
            "create" | "add" => (1, "Create"),
            "read" | "list" | "show" | "export" => (2, "Read"),
            "revoke" | "delete" | "remove" | "prune" => (4, "Delete"),
            _ => (3, "Update"),
        },
        Kind::Relay { method, .. } => match method.as_str() {
            "GET" | "HEAD" => (2, "Read"),
            "DELETE" => (4, "Delete"),
            _ => (99, "Relay"),
        },
        Kind::Model { .. } => (99, "Model call"),
        Kind::Tool { .. } => (99, "Tool call"),
    }
}

fn status(outcome: Outcome) -> (u64, &'static str) {
    match outcome {
        Outcome::Completed => (1, "Success"),
        Outcome::Denied | Outcome::Failed => (2, "Failure"),
        Outcome::Started => (99, "Started"),
        Outcome::Cancelled => (99, "Cancelled"),
    }
}

fn metadata(record: &Record) -> Value {
    json!({
        "version": VERSION,
        "product": {
            "name": "Doorward",
            "vendor_name": "Doorward",
            "version": env!("CARGO_PKG_VERSION"),
        },
        "profiles": ["security_control"],
        "uid": record.event.id.to_string(),
        "sequence": record.seq,
        "correlation_uid": record.event.turn.to_string(),
        "log_name": "audit",
    })
}

fn actor(event: &Event) -> Value {
    let who = &event.who;
    let (type_id, kind) = match who.kind {
        PrincipalKind::Person => (1, "User"),
        PrincipalKind::Service => (99, "Service"),
    };
    let mut user = json!({ "uid": &*who.id, "name": &*who.id, "type_id": type_id, "type": kind });
    if let Some(subject) = &who.subject {
        user["uid_alt"] = json!(&**subject);
    }
    if let Some(issuer) = &who.issuer {
        user["domain"] = json!(&**issuer);
    }
    if let Some(key) = who.key {
        user["credential_uid"] = json!(key.to_string());
    }
    if let Some(team) = &who.team {
        user["groups"] = json!([{ "name": &**team }]);
    }
    let mut actor = json!({ "user": user });
    if let Some(agent) = &event.agent {
        actor["app_name"] = json!(&**agent);
    }
    actor
}

fn api(event: &Event, fields: &Fields<'_>) -> Value {
    let mut api = json!({
        "operation": format!("{}.{}", fields.kind, fields.operation),
        "request": { "uid": event.request.to_string() },
        "service": { "name": fields.object },
    });
    if let Some(error) = event.error {
        api["response"] = json!({ "error": error.as_str() });
    }
    api
}

/// Where the call came from, as far as the record knows: the agent that made it.
fn source(event: &Event) -> Value {
    let who = &event.who;
    let name = event.agent.as_ref().or(who.key_name.as_ref()).unwrap_or(&who.id);
    json!({ "name": &**name })
}

fn resources(fields: &Fields<'_>) -> Value {
    let mut resource = json!({ "name": fields.object, "type": fields.kind });
    if let Some(target) = &fields.target {
        resource["uid"] = json!(target);
    }
    json!([resource])
}

/// What Doorward decided (profile `security_control`).
fn control(event: &Event, map: &mut Map<String, Value>) {
    let allowed = event.decision.effect == Effect::Allow;
    let (action_id, action) = if allowed { (1, "Allowed") } else { (2, "Denied") };
    let (disposition_id, disposition) = if allowed { (1, "Allowed") } else { (2, "Blocked") };
    map.insert("action_id".into(), action_id.into());
    map.insert("action".into(), action.into());
    map.insert("disposition_id".into(), disposition_id.into());
    map.insert("disposition".into(), disposition.into());
    map.insert("policy".into(), json!({ "name": &*event.decision.rule }));
}

fn unmapped(event: &Event, fields: &Fields<'_>) -> Value {
    let mut rest = json!({ "outcome": event.outcome.as_str() });
    if let Some(conversation) = event.conversation {
        rest["conversation"] = json!(conversation.to_string());
    }
    if !event.who.actors.is_empty() {
        let actors: Vec<&str> = event.who.actors.iter().map(|actor| &*actor.id).collect();
        rest["actors"] = json!(actors);
    }
    if let Some((input, output)) = fields.tokens {
        rest["tokens"] = json!({ "input": input, "output": output });
    }
    if let Some(nanos) = fields.cost_nanos {
        rest["cost_nanos_usd"] = json!(nanos);
    }
    if let Kind::Tool { arguments, .. } = &event.kind {
        rest["arguments_sha256"] = json!(arguments.to_string());
    }
    if let Some(label) = &event.label {
        rest["label"] = json!(label);
    }
    rest
}
