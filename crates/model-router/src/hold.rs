//! Room reserved for one attempt, never left unsettled.

use std::sync::Arc;

use doorward_core::{CallError, Purse, Reservation, Spent};

/// Room for one attempt. Whoever drops it, because the caller left or another target was quicker,
/// leaves the worst case standing: the upstream may charge.
#[derive(Debug, Default)]
pub(crate) struct Held {
    inner: Option<(Arc<dyn Purse>, Box<dyn Reservation>)>,
}

impl Held {
    /// Reserves, where somebody counts.
    pub(crate) async fn reserve(
        purse: Option<&Arc<dyn Purse>>,
        target: &str,
    ) -> Result<Self, CallError> {
        let Some(purse) = purse else { return Ok(Self::default()) };
        let reservation = purse.attempt(target).await?;
        Ok(Self { inner: Some((purse.clone(), reservation)) })
    }

    /// The attempt failed.
    pub(crate) fn failed(mut self, target: &str, reached: bool) {
        self.give_back(Some(target), reached);
    }

    /// The attempt answers: whoever drives the answer settles it.
    pub(crate) fn kept(mut self) -> Option<Box<dyn Reservation>> {
        self.inner.take().map(|(_, reservation)| reservation)
    }

    fn give_back(&mut self, target: Option<&str>, reached: bool) {
        if let Some((purse, reservation)) = self.inner.take() {
            let target = target.map(str::to_owned);
            purse.failed(reservation, &Spent { reached, target, ..Spent::default() });
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.give_back(None, true);
    }
}
