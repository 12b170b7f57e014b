//! Counts for Prometheus. Label values come from small fixed sets, users are never one.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use doorward_core::{Event, Kind, Outcome};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    plane: &'static str,
    outcome: &'static str,
    error: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Plane {
    plane: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Token {
    r#type: &'static str,
}

/// What the gateway counts.
pub struct Metrics {
    registry: Registry,
    calls: Family<Ended, Counter>,
    seconds: Family<Plane, Histogram, fn() -> Histogram>,
    tokens: Family<Token, Counter>,
    decided: Family<Ended, Counter>,
    in_flight: Gauge<i64, std::sync::atomic::AtomicI64>,
    refused: Counter<u64, AtomicU64>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("doorward");
        let seconds: fn() -> Histogram = || Histogram::new(exponential_buckets(0.001, 2.5, 14));
        let metrics = Self {
            calls: Family::default(),
            seconds: Family::new_with_constructor(seconds),
            tokens: Family::default(),
            decided: Family::default(),
            in_flight: Gauge::default(),
            refused: Counter::default(),
            registry: Registry::default(),
        };
        registry.register("calls", "Calls that ended, by plane and outcome", metrics.calls.clone());
        registry.register_with_unit(
            "call_duration",
            "From admission to the end of a call",
            Unit::Seconds,
            metrics.seconds.clone(),
        );
        registry.register("tokens", "Tokens that providers reported", metrics.tokens.clone());
        registry.register(
            "model_tool_calls",
            "Tool calls that models asked for, by decision",
            metrics.decided.clone(),
        );
        registry.register("requests_in_flight", "Requests being served", metrics.in_flight.clone());
        registry.register(
            "requests_refused",
            "Requests turned away before a principal was known",
            metrics.refused.clone(),
        );
        Self { registry, ..metrics }
    }
}

impl Metrics {
    /// Counts a call that ended.
    pub(crate) fn call(&self, event: &Event, took: Duration) {
        let plane = match &event.kind {
            Kind::Model { usage, calls, .. } => {
                if let Some(usage) = usage {
                    self.tokens.get_or_create(&Token { r#type: "input" }).inc_by(usage.input);
                    self.tokens.get_or_create(&Token { r#type: "output" }).inc_by(usage.output);
                }
                for call in calls {
                    let allowed = call.decision.is_allowed();
                    let outcome = if allowed { "allowed" } else { Outcome::Denied.as_str() };
                    let labels = Ended { plane: "model", outcome, error: "" };
                    self.decided.get_or_create(&labels).inc();
                }
                "model"
            }
            Kind::Tool { .. } => "tool",
            Kind::Relay { .. } => "relay",
            Kind::Admin { .. } => "admin",
        };
        let error = event.error.map_or("", doorward_core::Code::as_str);
        let ended = Ended { plane, outcome: event.outcome.as_str(), error };
        self.calls.get_or_create(&ended).inc();
        self.seconds.get_or_create(&Plane { plane }).observe(took.as_secs_f64());
    }

    /// Counts a request that is being served until the returned value is dropped.
    pub(crate) fn serving(self: &std::sync::Arc<Self>) -> Serving {
        self.in_flight.inc();
        Serving(self.clone())
    }

    /// Counts a request turned away before a principal was known.
    pub(crate) fn refuse(&self) {
        self.refused.inc();
    }

    /// The counts in the `OpenMetrics` text format.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing into a string does not fail; an empty page would say so.
        if encode(&mut text, &self.registry).is_err() {
            text.clear();
        }
        text
    }
}

/// A request being served.
#[derive(Debug)]
pub(crate) struct Serving(std::sync::Arc<Metrics>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.in_flight.dec();
    }
}
