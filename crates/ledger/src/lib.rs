//! Rates, token and money budgets over both planes: reserve, settle, refuse.
//!
//! Before a call, the most it can cost is reserved under every limit that concerns it, all or
//! none. Afterwards what it did cost takes the reservation's place. So a limit holds however many
//! calls run at once.
//!
//! ```
//! use std::sync::Arc;
//! use doorward_core::{Ask, Ledger, Spent, SystemClock};
//! # use doorward_core::{Cx, Principal, RequestId, SystemEntropy, TurnId};
//! use doorward_ledger::{Amount, Limits, Memory, Prices, Rule, Unit, Window};
//!
//! let rule = Rule::new("two-a-day", Unit::Requests, Amount::whole(2), Window::Day);
//! let limits =
//!     Limits::new(vec![rule], Prices::default(), Arc::new(Memory::default()), Arc::new(SystemClock))?;
//! # let cx = Cx {
//! #     turn: TurnId::random(&SystemEntropy), request: RequestId::random(&SystemEntropy),
//! #     principal: Arc::new(Principal::service("ci")), agent: None, conversation_hint: None,
//! #     deadline: None, trace: None,
//! # };
//! # futures_util::FutureExt::now_or_never(async {
//! let ask = Ask::Model { model: "openai/gpt-5", input: 100, output: Some(100) };
//! for _ in 0..2 {
//!     limits.reserve(&cx, ask.clone()).await?.settle(&Spent::default());
//! }
//! let refused = limits.reserve(&cx, ask).await.unwrap_err();
//! assert_eq!(refused.rule.as_deref(), Some("two-a-day"));
//! assert!(refused.retry_after.is_some());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Windows are fixed: minutes, hours and days as UTC counts them. Around a window's edge up to
//! twice the amount can be spent in the length of one window.

mod amount;
mod counters;
mod limits;
mod price;
mod rule;

pub use amount::{Amount, AmountError};
pub use counters::{Claim, CounterKey, Counters, Full, Memory};
pub use limits::{Limits, LimitsError};
pub use price::{Price, Prices, Unpriced};
pub use rule::{Per, Rule, Unit, Window};
