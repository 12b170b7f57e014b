//! Rates, token and money budgets over both planes: reserve, settle, refuse.
//!
//! Before a call, the most it can cost is reserved under every limit that concerns it, all or
//! none. Afterwards what it did cost takes the reservation's place. So a limit holds however many
//! calls run at once.
//!
//! ```
//! use std::sync::Arc;
//! use doorward_core::{Ask, Estimate, Ledger, Spent, SystemClock, Usage};
//! # use doorward_core::{Cx, Principal, RequestId, SystemEntropy, TurnId};
//! use doorward_ledger::{
//!     Amount, Catalogue, Limits, Memory, Prices, Rule, Unit, Unpriced, Window,
//! };
//!
//! let rules = vec![
//!     Rule::new("at-once", Unit::Concurrency, Amount::whole(1), None),
//!     Rule::new("pocket", Unit::Usd, "0.02".parse()?, Window::Day),
//! ];
//! let prices = Prices::new(Unpriced::Deny).with_catalogue(Catalogue::shipped());
//! let limits = Limits::new(rules, prices, Arc::new(Memory::default()), Arc::new(SystemClock))?;
//! # let cx = Cx {
//! #     turn: TurnId::random(&SystemEntropy), request: RequestId::random(&SystemEntropy),
//! #     principal: Arc::new(Principal::service("ci")), agent: None, conversation_hint: None,
//! #     deadline: None, trace: None, source: None,
//! # };
//! # futures_util::FutureExt::now_or_never(async {
//! // The call: one of those at once.
//! let call = limits.reserve(&cx, Ask::Model { model: "fast" }).await?;
//! let refused = limits.reserve(&cx, Ask::Model { model: "fast" }).await.unwrap_err();
//! assert_eq!(refused.rule.as_deref(), Some("at-once"));
//!
//! // Each attempt at a target: the money that it takes at most.
//! let estimate = Estimate {
//!     model: "fast", target: "openai/gpt-5", input: 1_000, output: Some(1_000), tier: None,
//!     cache_1h: false,
//! };
//! let attempt = limits.reserve(&cx, Ask::Attempt(estimate)).await?;
//! let refused = limits.reserve(&cx, Ask::Attempt(estimate)).await.unwrap_err();
//! assert_eq!(refused.rule.as_deref(), Some("pocket"));
//! assert!(refused.retry_after.is_some());
//!
//! // What it did take stands in its place.
//! let usage = Usage { input: 200, output: 100, ..Usage::default() };
//! let settled = attempt.settle(&Spent { usage: Some(usage), reached: true, ..Spent::default() });
//! assert_eq!(settled.cost_nanos, Some(200 * 1_250 + 100 * 10_000));
//! assert!(limits.reserve(&cx, Ask::Attempt(estimate)).await.is_ok());
//! drop(call);
//! assert!(limits.reserve(&cx, Ask::Model { model: "fast" }).await.is_ok());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A window is the calendar's, and then around its edge up to twice the amount can be spent in the
//! length of one; or it is rolling, and then never more than the amount in any such length, and
//! room comes back late by up to a [sixtieth](ROLLING_PARTS) of it.

mod amount;
mod catalogue;
mod counters;
mod limits;
mod price;
mod prices;
mod rule;
mod window;

pub use amount::{Amount, AmountError};
pub use catalogue::{Catalogue, CatalogueError};
pub use counters::{
    Claim, Count, CounterKey, Counters, Full, Hold, HoldId, Memory, ROLLING_PARTS, ReserveError,
    Span, Subject, Used,
};
pub use limits::{Headroom, LimitState, Limits, LimitsError};
pub use price::{Above, Bound, Price, Tier};
pub use prices::{PriceRule, Prices, Unpriced};
pub use rule::{Per, Rule, Unit};
pub use window::Window;
