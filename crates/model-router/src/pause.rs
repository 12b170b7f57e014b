//! Waiting as a parameter.

use std::fmt;
use std::pin::pin;
use std::time::Duration;

use doorward_core::BoxFuture;
use futures_util::future::{Either, select};

/// Lets time pass: backoff, timeouts and hedges wait with it. Without one a router never waits:
/// it goes on to the next target at once, and time limits are the transport's.
///
/// ```
/// use std::time::Duration;
/// use doorward_model_router::{BoxFuture, Pause};
///
/// /// Waits for nothing, for tests.
/// #[derive(Debug)]
/// struct AtOnce;
/// impl Pause for AtOnce {
///     fn pause(&self, _time: Duration) -> BoxFuture<'static, ()> {
///         Box::pin(async {})
///     }
/// }
/// ```
pub trait Pause: Send + Sync + fmt::Debug {
    /// Is ready when so much time has passed. Dropping it ends the wait.
    fn pause(&self, time: Duration) -> BoxFuture<'static, ()>;
}

/// Waits with tokio's timer.
#[cfg(feature = "http")]
#[derive(Debug, Clone, Copy, Default)]
pub struct TokioPause;

#[cfg(feature = "http")]
impl Pause for TokioPause {
    fn pause(&self, time: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(time))
    }
}

/// What the future gives, or `None` where it takes longer than the limit.
pub(crate) async fn within<T>(
    pause: Option<&dyn Pause>,
    limit: Option<Duration>,
    future: impl Future<Output = T>,
) -> Option<T> {
    let (Some(pause), Some(limit)) = (pause, limit) else { return Some(future.await) };
    match select(pin!(future), pause.pause(limit)).await {
        Either::Left((given, _)) => Some(given),
        Either::Right(((), _)) => None,
    }
}
