//! The schema: what policies can be about, and what operators declare of their tools' arguments.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use cedar_policy::{Entity, EntityId, EntityTypeName, EntityUid, Schema, SchemaFragment};
use serde_json::{Value, json};

use super::arguments::Shape;
use super::fault::{Fault, Place, PolicyError, told};
use super::load::PolicySource;

/// The schema that Doorward ships, in Cedar's schema syntax.
pub const SCHEMA: &str = include_str!("gateway.cedarschema");

/// The action of calls whose tool has no declaration.
pub(super) const UNDECLARED: &str = "call_undeclared_tool";

/// The names of the schema, made once.
#[derive(Debug, Clone)]
pub(super) struct TypeNames {
    pub(super) user: EntityTypeName,
    pub(super) service: EntityTypeName,
    pub(super) group: EntityTypeName,
    pub(super) role: EntityTypeName,
    pub(super) team: EntityTypeName,
    pub(super) model: EntityTypeName,
    pub(super) upstream: EntityTypeName,
    pub(super) tool: EntityTypeName,
    pub(super) server: EntityTypeName,
    pub(super) route: EntityTypeName,
}

impl TypeNames {
    fn new() -> Result<Self, cedar_policy::ParseErrors> {
        Ok(Self {
            user: "User".parse()?,
            service: "Service".parse()?,
            group: "Group".parse()?,
            role: "Role".parse()?,
            team: "Team".parse()?,
            model: "Model".parse()?,
            upstream: "Upstream".parse()?,
            tool: "Tool".parse()?,
            server: "Server".parse()?,
            route: "Route".parse()?,
        })
    }
}

/// An entity's name from its type's and its own.
pub(super) fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

/// One thing that can be done.
#[derive(Debug, Clone)]
pub(super) struct Verb {
    pub(super) uid: EntityUid,
    /// The action with the groups of actions it is in.
    pub(super) entity: Entity,
    pub(super) groups: HashSet<EntityUid>,
    /// What its arguments are declared to be.
    pub(super) shape: Shape,
}

/// What policies can be about.
#[derive(Debug)]
pub(super) struct Vocabulary {
    pub(super) schema: Schema,
    pub(super) names: TypeNames,
    pub(super) verbs: BTreeMap<Arc<str>, Verb>,
}

impl Vocabulary {
    /// The shipped schema with the declarations of these sources.
    pub(super) fn new<'a>(
        declarations: impl Iterator<Item = &'a PolicySource>,
    ) -> Result<Self, PolicyError> {
        let shipped: Arc<str> = "gateway.cedarschema".into();
        let broken = |error: &dyn std::fmt::Display| {
            PolicyError::one(Place::at(&shipped, "", 0), error.to_string())
        };
        let mut whole = fragment(SCHEMA, &shipped)?.to_json_value().map_err(|e| broken(&e))?;
        let (mut faults, mut declared) = (Vec::new(), BTreeMap::new());
        for source in declarations {
            match declare(&mut whole, source, &mut declared) {
                Ok(()) => {}
                Err(error) => faults.extend(error.faults().iter().cloned()),
            }
        }
        if !faults.is_empty() {
            return Err(PolicyError::new(faults));
        }
        let types = whole[""]["commonTypes"].clone();
        let schema = Schema::from_json_value(whole.clone()).map_err(|error| {
            let place = declared.values().next().map(|(_, place): &(String, Place)| place.clone());
            PolicyError::one(place.unwrap_or(Place::at(&shipped, "", 0)), error.to_string())
        })?;
        let names = TypeNames::new().map_err(|e| broken(&e))?;
        let mut verbs = BTreeMap::new();
        let entities = schema.action_entities().map_err(|e| broken(&e))?;
        for uid in schema.actions() {
            let id = uid.id().unescaped().to_owned();
            let arguments = &whole[""]["actions"][&id]["appliesTo"]["context"]["attributes"];
            let shape = match arguments.get("arguments") {
                Some(json) => Shape::read(json, &types).map_err(|message| {
                    let place = declared.get(&id).map(|(_, place)| place.clone());
                    PolicyError::one(place.unwrap_or(Place::at(&shipped, "", 0)), message)
                })?,
                None => Shape::default(),
            };
            let Some(entity) = entities.get(uid) else { continue };
            let groups = entities.ancestors(uid).into_iter().flatten().cloned().collect();
            let verb = Verb { uid: uid.clone(), entity: entity.clone(), groups, shape };
            verbs.insert(Arc::from(id), verb);
        }
        Ok(Self { schema, names, verbs })
    }

    /// The action of a call of this tool.
    pub(super) fn call_of(&self, tool: &str) -> &str {
        // Names of tools hold `__`, those of the shipped actions do not.
        match self.verbs.get_key_value(tool) {
            Some((id, _)) if tool.contains("__") => id,
            _ => UNDECLARED,
        }
    }
}

fn fragment(text: &str, file: &Arc<str>) -> Result<SchemaFragment, PolicyError> {
    match SchemaFragment::from_cedarschema_str(text) {
        Ok((fragment, _)) => Ok(fragment),
        Err(error) => Err(PolicyError::new(told(&error, file, text, 0))),
    }
}

/// Takes over `@tool("server__name") type Name = { … };`, and types that those use.
fn declare(
    whole: &mut Value,
    source: &PolicySource,
    declared: &mut BTreeMap<String, (String, Place)>,
) -> Result<(), PolicyError> {
    let (file, text) = (&source.file, &*source.text);
    let parsed = fragment(text, file)?;
    let mut json = parsed
        .clone()
        .to_json_value()
        .map_err(|error| PolicyError::one(Place::at(file, text, 0), error.to_string()))?;
    let mut faults = Vec::new();
    let mut wrong = |byte: usize, message: String| {
        faults.push(Fault { place: Place::at(file, text, byte), message });
    };
    let spaces = json.as_object().map(serde_json::Map::len).unwrap_or_default();
    if spaces > usize::from(json.get("").is_some()) {
        wrong(0, "namespaces are not used here".into());
    }
    for key in ["entityTypes", "actions"] {
        let found = json[""].get(key).and_then(Value::as_object);
        for name in found.into_iter().flatten().map(|(name, _)| name) {
            let message = format!("`{name}`: only types can be declared here");
            wrong(find(text, name), message);
        }
    }
    let types = json[""]["commonTypes"].as_object_mut().map(std::mem::take).unwrap_or_default();
    for (name, definition) in types {
        let byte = find(text, &format!("type {name}"));
        if !whole[""]["commonTypes"][&name].is_null() {
            wrong(byte, format!("another type is called `{name}`"));
            continue;
        }
        whole[""]["commonTypes"][&name] = definition;
        let Some(tool) = parsed.common_type_annotation(None, &name, "tool") else { continue };
        // What no tool can be called would declare nothing.
        if tool != "*" && (!tool.contains("__") || tool.contains(['.', '*'])) {
            wrong(byte, format!("`{tool}` is not a tool's name: expected `server__tool` or `*`"));
            continue;
        }
        let action = if tool == "*" { UNDECLARED } else { tool };
        if let Some((other, _)) = declared.get(action) {
            wrong(byte, format!("the arguments of `{tool}` are declared by `{other}` already"));
            continue;
        }
        declared.insert(action.to_owned(), (name.clone(), Place::at(file, text, byte)));
        let mut call = whole[""]["actions"][UNDECLARED].clone();
        call["appliesTo"]["context"]["attributes"]["arguments"] =
            json!({ "type": "EntityOrCommon", "name": name });
        whole[""]["actions"][action] = call;
    }
    if faults.is_empty() { Ok(()) } else { Err(PolicyError::new(faults)) }
}

/// Where a name stands, as the schema's own form has no places.
fn find(text: &str, name: &str) -> usize {
    let ends = |at: usize| {
        let after = text[at + name.len()..].chars().next();
        after.is_none_or(|c| !c.is_alphanumeric() && c != '_')
    };
    text.match_indices(name).map(|(at, _)| at).find(|&at| ends(at)).unwrap_or(0)
}

/// Whether an action is the named one, or in the named group.
pub(super) fn is_or_in(verb: &Verb, named: &EntityUid) -> bool {
    verb.uid == *named || verb.groups.contains(named)
}

/// Something for every action, by the action's name.
pub(super) type ByAction<T> = HashMap<Arc<str>, T>;
