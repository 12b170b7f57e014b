//! Who may do what on the admin listener.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use cedar_policy::{
    Authorizer as Engine, Context, Entities, Entity, EntityTypeName, EntityUid, PolicySet, Request,
    RestrictedExpression as Value, Schema, ValidationMode, Validator,
};
use doorward_core::{Decision, Principal, PrincipalKind};

use super::fault::{Place, PolicyError, told};
use super::vocabulary::uid;

const SCHEMA: &str = include_str!("admin.cedarschema");
const POLICIES: &str = include_str!("admin.cedar");

/// What somebody is on the admin listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Everything; the only one who makes owners and admins, and who changes policies.
    Owner,
    /// Runs the gateway day by day.
    Admin,
    /// Sees everything and changes nothing.
    Auditor,
    /// Sees and makes their own keys.
    Member,
}

impl Role {
    /// The word used in config and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Auditor => "auditor",
            Self::Member => "member",
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub enum AdminAction<'a> {
    /// See the configuration.
    ReadConfig,
    /// See the policies.
    ReadPolicy,
    /// See and export the record.
    ReadAudit,
    /// See what was used and spent.
    ReadUsage,
    /// Change the configuration.
    WriteConfig,
    /// Change the policies.
    WritePolicy,
    /// Approve a tool's definition.
    ApproveTool,
    /// See a key, never its text.
    ReadKey {
        /// Whose it is.
        owner: &'a str,
    },
    /// Make, change or revoke a key.
    WriteKey {
        /// Whose it is.
        owner: &'a str,
        /// Whether it would be good for more than whoever asks may do.
        wider: bool,
    },
    /// Give somebody a role, or take it away.
    AssignRole {
        /// Who.
        to: &'a Principal,
        /// Which role.
        role: Role,
        /// The roles they have.
        held: &'a [Role],
    },
}

impl AdminAction<'_> {
    const fn as_str(self) -> &'static str {
        match self {
            Self::ReadConfig => "read_config",
            Self::ReadPolicy => "read_policy",
            Self::ReadAudit => "read_audit",
            Self::ReadUsage => "read_usage",
            Self::WriteConfig => "write_config",
            Self::WritePolicy => "write_policy",
            Self::ApproveTool => "approve_tool",
            Self::ReadKey { .. } => "read_key",
            Self::WriteKey { .. } => "write_key",
            Self::AssignRole { .. } => "assign_role",
        }
    }
}

/// Who asks, as what, and what for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Who.
    pub principal: &'a Principal,
    /// The roles they have.
    pub roles: &'a [Role],
    /// What for.
    pub action: AdminAction<'a>,
}

/// The shipped policies of the admin listener. What none of them permits is denied.
///
/// ```
/// use doorward_core::Principal;
/// use doorward_identity::cedar::{AdminAction, AdminPolicies, Asked, Role};
///
/// let policies = AdminPolicies::shipped()?;
/// let (alice, roles) = (Principal::person("alice@corp.example"), [Role::Admin]);
/// let asked = Asked { principal: &alice, roles: &roles, action: AdminAction::ReadAudit };
/// assert!(policies.authorize(&asked).is_allowed());
///
/// // Nobody raises themselves.
/// let action = AdminAction::AssignRole { to: &alice, role: Role::Owner, held: &roles };
/// let refused = policies.authorize(&Asked { action, ..asked });
/// assert_eq!(&*refused.rule, "admin.nobody_raises_themselves");
/// # Ok::<(), doorward_identity::cedar::PolicyError>(())
/// ```
pub struct AdminPolicies {
    engine: Engine,
    policies: PolicySet,
    actions: Entities,
    names: Names,
}

struct Names {
    user: EntityTypeName,
    service: EntityTypeName,
    role: EntityTypeName,
    gateway: EntityTypeName,
    key: EntityTypeName,
    action: EntityTypeName,
}

impl fmt::Debug for AdminPolicies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminPolicies").finish_non_exhaustive()
    }
}

impl AdminPolicies {
    /// The shipped ones.
    ///
    /// # Errors
    ///
    /// Where the shipped text is wrong: a build that has this fails its tests.
    pub fn shipped() -> Result<Self, PolicyError> {
        let (schema_file, file): (Arc<str>, Arc<str>) =
            ("admin.cedarschema".into(), "admin.cedar".into());
        let wrong = |error: &dyn fmt::Display| {
            PolicyError::one(Place::at(&schema_file, SCHEMA, 0), error.to_string())
        };
        let (schema, _) = Schema::from_cedarschema_str(SCHEMA)
            .map_err(|error| PolicyError::new(told(&error, &schema_file, SCHEMA, 0)))?;
        let read: PolicySet =
            POLICIES.parse().map_err(|error| PolicyError::new(told(&error, &file, POLICIES, 0)))?;
        let told_apart = read.policies().map(|policy| match policy.annotation("id") {
            Some(id) => policy.new_id(cedar_policy::PolicyId::new(id)),
            None => policy.clone(),
        });
        let policies = PolicySet::from_policies(told_apart).map_err(|error| wrong(&error))?;
        let actions = schema.action_entities().map_err(|error| wrong(&error))?;
        let result = Validator::new(schema).validate(&policies, ValidationMode::Strict);
        let mut faults = Vec::new();
        for error in result.validation_errors() {
            faults.extend(told(error, &file, POLICIES, 0));
        }
        for warning in result.validation_warnings() {
            faults.extend(told(warning, &file, POLICIES, 0));
        }
        if !faults.is_empty() {
            return Err(PolicyError::new(faults));
        }
        let name = |text: &str| text.parse::<EntityTypeName>().map_err(|error| wrong(&error));
        let names = Names {
            user: name("User")?,
            service: name("Service")?,
            role: name("Role")?,
            gateway: name("Gateway")?,
            key: name("Key")?,
            action: name("Action")?,
        };
        Ok(Self { engine: Engine::new(), policies, actions, names })
    }

    /// The decision. Its rule is the policy's name, or `admin.default` where none permits.
    pub fn authorize(&self, asked: &Asked<'_>) -> Decision {
        match self.ask(asked) {
            Ok(decision) => decision,
            Err(error) => Decision::deny("admin.error", error),
        }
    }

    fn ask(&self, asked: &Asked<'_>) -> Result<Decision, String> {
        let text = |error: &dyn fmt::Display| error.to_string();
        let roles = asked.roles.iter().map(|role| uid(&self.names.role, role.as_str()));
        let principal = self.somebody(asked.principal, roles.collect())?;
        let (resource, context) = self.thing(asked.action)?;
        let action = uid(&self.names.action, asked.action.as_str());
        let verb = self.actions.get(&action).ok_or("no such action")?.clone();
        let request = Request::new(principal.uid(), action, resource.uid(), context, None);
        let request = request.map_err(|error| text(&error))?;
        let mut entities = vec![verb];
        // Whoever acts on themselves is one entity: the one with the roles.
        if resource.uid() != principal.uid() {
            entities.push(resource);
        }
        entities.push(principal);
        let entities = Entities::from_entities(entities, None).map_err(|error| text(&error))?;
        let response = self.engine.is_authorized(&request, &self.policies, &entities);
        let diagnostics = response.diagnostics();
        if let Some(error) = diagnostics.errors().next() {
            return Err(error.to_string());
        }
        let decider = diagnostics.reason().min();
        let reason = decider.and_then(|id| self.policies.annotation(id, "reason"));
        let rule = decider.map_or_else(|| "admin.default".into(), ToString::to_string);
        Ok(match response.decision() {
            cedar_policy::Decision::Allow => Decision::allow(rule, "the role permits it"),
            cedar_policy::Decision::Deny => {
                let reason = reason.unwrap_or("no role of yours permits it");
                Decision::deny(rule, reason.to_owned())
            }
        })
    }

    fn somebody(&self, principal: &Principal, roles: HashSet<EntityUid>) -> Result<Entity, String> {
        let kind = match principal.kind {
            PrincipalKind::Person => &self.names.user,
            PrincipalKind::Service => &self.names.service,
        };
        let id = Value::new_string(principal.id.to_string());
        let attributes = HashMap::from([("id".to_owned(), id)]);
        Entity::new(uid(kind, &principal.id), attributes, roles).map_err(|error| error.to_string())
    }

    /// What is acted on, and the circumstances.
    fn thing(&self, action: AdminAction<'_>) -> Result<(Entity, Context), String> {
        let key = |owner: &str| {
            let attributes =
                HashMap::from([("owner".to_owned(), Value::new_string(owner.to_owned()))]);
            Entity::new(uid(&self.names.key, "key"), attributes, HashSet::new())
                .map_err(|error| error.to_string())
        };
        let context = |pairs: Vec<(String, Value)>| {
            Context::from_pairs(pairs).map_err(|error| error.to_string())
        };
        match action {
            AdminAction::ReadKey { owner } => Ok((key(owner)?, Context::empty())),
            AdminAction::WriteKey { owner, wider } => {
                Ok((key(owner)?, context(vec![("wider".to_owned(), Value::new_bool(wider))])?))
            }
            AdminAction::AssignRole { to, role, held } => {
                let word = |role: Role| Value::new_string(role.as_str().to_owned());
                let held = Value::new_set(held.iter().map(|&role| word(role)));
                let pairs = vec![("role".to_owned(), word(role)), ("held".to_owned(), held)];
                Ok((self.somebody(to, HashSet::new())?, context(pairs)?))
            }
            _ => {
                let gateway =
                    Entity::new_no_attrs(uid(&self.names.gateway, "gateway"), HashSet::new());
                Ok((gateway, Context::empty()))
            }
        }
    }
}
