//! The content checks, as the configuration says.

use std::sync::Arc;

use doorward_core::{Guard, Names, Tools};
use doorward_guardrails::Stance;
use doorward_guardrails::checks::{
    Applies, Check, CheckError, Checks, Misfit, Opinion, Question, Shapes, Sizes, VerdictError,
    Verdicts,
};
use doorward_mcp_broker::schema::SchemaCache;
use doorward_model_router::{HttpTransport, Timeouts};
use serde_json::value::RawValue;

use super::{StartError, Surroundings};
use crate::config::{CheckConfig, CheckKind, GuardMode, Root, SecretRef, Size, WebhookConfig};
use crate::webhook::{Webhook, WebhookOptions};

/// So many compiled schemas of answers are kept.
const SCHEMAS: usize = 256;

/// The guard with the configured checks around it; the guard itself where there are none.
pub(super) fn around(
    root: &Root,
    guard: Arc<dyn Guard>,
    names: Arc<dyn Names>,
    tools: &Arc<dyn Tools>,
    surroundings: &Surroundings,
) -> Result<Arc<dyn Guard>, StartError> {
    if root.check.is_empty() {
        return Ok(guard);
    }
    let mut checks = Vec::with_capacity(root.check.len());
    for config in &root.check {
        let verdicts = match &config.webhook {
            Some(webhook) => Some(verdicts(webhook, tools, surroundings)?),
            None => None,
        };
        checks.push(check(config, verdicts));
    }
    let checks = Checks::compile(checks)
        .map_err(|error| StartError::new("a content check is wrong", error))?
        .names(names)
        .stance(match root.guard.mode {
            GuardMode::Enforce => Stance::Enforce,
            GuardMode::Observe => Stance::Observe,
        });
    Ok(Arc::new(checks.around(guard)))
}

fn verdicts(
    config: &WebhookConfig,
    tools: &Arc<dyn Tools>,
    around: &Surroundings,
) -> Result<Arc<dyn Verdicts>, StartError> {
    let transport = HttpTransport::new(Timeouts::default())
        .map_err(|error| StartError::new("no transport to webhooks", error))?;
    let url = config.url.parse().map_err(|error: http::uri::InvalidUri| {
        StartError::new("the URL of a check's webhook is none", error)
    })?;
    let secret = |reference: &Option<SecretRef>| match reference {
        None => Ok(None),
        Some(reference) => reference
            .resolve(&around.environment)
            .map(Some)
            .map_err(|error| StartError::new("a secret of a check's webhook is missing", error)),
    };
    let options = WebhookOptions {
        url,
        protocol: config.protocol,
        timeout: config.timeout.0,
        secret: secret(&config.secret)?,
        token: secret(&config.token)?,
        send: config.send.clone(),
    };
    let webhook = Webhook::new(Arc::new(transport), around.clock.clone(), options);
    Ok(Arc::new(webhook.with_tools(tools.clone())))
}

/// One check, to be compiled. Without anybody to ask, a webhook is one that never answers.
fn check(config: &CheckConfig, verdicts: Option<Arc<dyn Verdicts>>) -> Check {
    let check = match config.kind {
        CheckKind::Secrets => Check::secrets(),
        CheckKind::Pii => Check::personal(),
        CheckKind::Patterns => {
            let own = config.patterns.iter().map(|own| (own.name.clone(), own.regex.clone()));
            Check::patterns(own.collect())
        }
        CheckKind::Links if config.images_only => Check::images(),
        CheckKind::Links => Check::links(),
        CheckKind::Invisible => Check::invisible(),
        CheckKind::Size => Check::size(Sizes {
            bytes: config.max_bytes.map(Size::as_usize),
            messages: config.max_messages,
            tools: config.max_tools,
        }),
        CheckKind::Schema => Check::shape(Arc::new(Schemas(SchemaCache::new(SCHEMAS)))),
        CheckKind::Webhook => Check::verdicts(verdicts.unwrap_or_else(|| Arc::new(Nobody))),
    };
    let applies = Applies {
        principals: config.principals.clone(),
        teams: config.teams.clone(),
        models: config.models.clone(),
        tools: config.tools.clone(),
    };
    let mut check = check
        .on_failure(config.on_failure)
        .applies(applies)
        .rules(config.rules.clone())
        .except(config.except.clone())
        .allow(config.allow.clone())
        .verify(config.verify);
    if let Some(name) = &config.name {
        check = check.named(name.as_str());
    }
    if let Some(stages) = &config.stages {
        check = check.at(stages.clone());
    }
    if let Some(action) = config.action {
        check = check.action(action);
    }
    check
}

/// Whether a configured check can be made, without asking anybody anything. The names of the
/// rules that its kind has come with the error.
pub(crate) fn compiles(config: &CheckConfig) -> Result<(), (CheckError, Vec<String>)> {
    let check = check(config, None);
    let known = check.rule_names();
    Checks::compile(vec![check]).map(drop).map_err(|error| (error, known))
}

struct Nobody;

impl Verdicts for Nobody {
    fn ask<'a>(
        &'a self,
        _: Question<'a>,
    ) -> doorward_core::BoxFuture<'a, Result<Opinion, VerdictError>> {
        Box::pin(std::future::ready(Err(VerdictError("there is nobody to ask"))))
    }
}

/// The shapes of answers, checked as the shapes of tools' arguments are.
struct Schemas(SchemaCache);

impl Shapes for Schemas {
    fn check(&self, schema: &RawValue, value: &RawValue) -> Result<(), Misfit> {
        let checked = self.0.checked(schema).map_err(|error| Misfit::Schema(error.to_string()))?;
        let value = serde_json::from_str(value.get())
            .map_err(|_| Misfit::Value("it nests too deep".to_owned()))?;
        checked.check(&value).map_err(|violations| {
            let told: Vec<String> = violations.iter().take(3).map(ToString::to_string).collect();
            Misfit::Value(told.join("; "))
        })
    }
}
