//! What every sink of records must do.
#![expect(clippy::expect_used, reason = "a suite fails by panicking, as a test does")]

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use doorward_core::{Event, Sink, Slot};
use futures_util::FutureExt;

use crate::log::event;

/// A sink, and a look at what it has made durable.
pub struct Observed {
    /// The sink.
    pub sink: Arc<dyn Sink>,
    /// The events that are durable by now, in order.
    pub recorded: Box<dyn Fn() -> Vec<Event> + Send + Sync>,
}

impl fmt::Debug for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observed").finish_non_exhaustive()
    }
}

impl Observed {
    async fn open(&self) -> Box<dyn Slot> {
        soon(self.sink.open()).await.expect("a sink that takes records")
    }

    fn numbers(&self) -> Vec<Event> {
        (self.recorded)()
    }
}

/// Puts a sink through everything that [`Sink`] promises. `make` gives a fresh, empty one with
/// room for so many records. Needs a Tokio runtime with its clock.
///
/// # Panics
///
/// Where it breaks a promise.
pub async fn sink_conforms(make: impl Fn(usize) -> Observed) {
    records_keep_the_order_of_their_commits(&make(64)).await;
    a_receipt_means_durable(&make(4)).await;
    a_dropped_receipt_loses_nothing(&make(8)).await;
    room_is_bounded(&make(3)).await;
    a_dropped_slot_frees_its_room(&make(1)).await;
    whoever_stops_waiting_takes_no_room(&make(1)).await;
}

/// Long enough for a slow machine; nothing here takes long by design.
const LONG: Duration = Duration::from_secs(20);

async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, work).await.expect("nothing here may take this long")
}

fn events(numbers: impl IntoIterator<Item = u64>) -> Vec<Event> {
    numbers.into_iter().map(event).collect()
}

async fn records_keep_the_order_of_their_commits(seen: &Observed) {
    let mut slots = Vec::new();
    for _ in 0..32 {
        slots.push(seen.open().await);
    }
    // Committed last slot first: the order of the commits counts, not that of the slots.
    let mut receipts = Vec::new();
    for number in 0..32 {
        let slot = slots.pop().expect("one for each");
        receipts.push(slot.commit(event(number)));
    }
    for receipt in receipts.into_iter().rev() {
        soon(receipt).await.expect("durable");
    }
    assert_eq!(seen.numbers(), events(0..32));
}

async fn a_receipt_means_durable(seen: &Observed) {
    for number in 0..10 {
        soon(seen.open().await.commit(event(number))).await.expect("durable");
        assert_eq!(seen.numbers(), events(0..=number), "by now, not later");
    }
}

async fn a_dropped_receipt_loses_nothing(seen: &Observed) {
    for number in 0..50 {
        drop(seen.open().await.commit(event(number)));
    }
    soon(seen.open().await.commit(event(50))).await.expect("durable");
    assert_eq!(seen.numbers(), events(0..=50), "more than there is room for at once");
}

async fn room_is_bounded(seen: &Observed) {
    let mut slots = vec![seen.open().await, seen.open().await, seen.open().await];
    let mut fourth = pin!(seen.sink.open());
    for _ in 0..5 {
        assert!(fourth.as_mut().now_or_never().is_none(), "there is room for three");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let first = slots.pop().expect("three slots");
    soon(first.commit(event(0))).await.expect("durable");
    let fourth = soon(fourth).await.expect("room again");
    soon(fourth.commit(event(1))).await.expect("durable");
    assert_eq!(seen.numbers(), events(0..2));
}

async fn a_dropped_slot_frees_its_room(seen: &Observed) {
    for _ in 0..3 {
        let slot = seen.open().await;
        let mut next = pin!(seen.sink.open());
        assert!(next.as_mut().now_or_never().is_none(), "there is room for one");
        drop(slot);
        drop(soon(next).await.expect("room again"));
    }
    soon(seen.open().await.commit(event(0))).await.expect("durable");
    assert_eq!(seen.numbers(), events(0..1), "of a dropped slot nothing is recorded");
}

async fn whoever_stops_waiting_takes_no_room(seen: &Observed) {
    let slot = seen.open().await;
    for _ in 0..3 {
        let mut waiting = Box::pin(seen.sink.open());
        assert!(waiting.as_mut().now_or_never().is_none());
    }
    soon(slot.commit(event(0))).await.expect("durable");
    drop(seen.open().await);
    assert_eq!(seen.numbers(), events(0..1));
}
