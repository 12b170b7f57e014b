//! What every audit log must do, and records to do it with.
#![expect(clippy::expect_used, reason = "a suite fails by panicking, as a test does")]

use std::sync::Arc;

use doorward_audit::{Chain, Head, Log, LogError, Sealed, SigningKey, Tree, verify};
use doorward_core::{
    Decision, Event, EventId, Kind, Operation, Outcome, PrincipalKind, RequestId, Timestamp,
    TurnId, Usage, Who,
};

/// The record of a plain model call. Equal numbers make equal records; each ten belong to one
/// turn.
pub fn event(number: u64) -> Event {
    let id = |kind: u8, number: u64| {
        let mut bytes = [kind; 16];
        bytes[8..].copy_from_slice(&number.to_be_bytes());
        bytes
    };
    Event {
        id: EventId::from_bytes(id(1, number)),
        at: Timestamp::from_micros(1_767_225_600_000_000 + i64::try_from(number).unwrap_or(0)),
        kind: Kind::Model {
            operation: Operation::Complete,
            billed: None,
            settled: None,
            model: "openai/gpt-5-mini".into(),
            route: None,
            usage: Some(Usage { input: 1000 + number, output: 250, ..Usage::default() }),
            hidden: vec![],
            calls: vec![],
        },
        turn: TurnId::from_bytes(id(2, number / 10)),
        request: RequestId::from_bytes(id(3, number)),
        conversation: None,
        who: Who {
            id: "alice@example.com".into(),
            kind: PrincipalKind::Person,
            issuer: None,
            subject: None,
            team: Some("search".into()),
            key: None,
            key_name: Some("laptop".into()),
            actors: vec![],
        },
        agent: Some(Arc::from("assistant")),
        decision: Decision::allow("key.models", "on the key's list"),
        would: None,
        checks: vec![],
        label: None,
        outcome: Outcome::Completed,
        error: None,
        took_us: Some(1200),
        content: vec![],
    }
}

/// The key that the suites sign with.
pub fn signing_key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

/// Appends the records numbered `from..to` in one batch, signed.
///
/// # Errors
///
/// As [`Log::append`] does.
///
/// # Panics
///
/// Where a record cannot be sealed.
pub fn append(log: &mut dyn Log, from: u64, to: u64) -> Result<Vec<Sealed>, LogError> {
    let mut chain = Chain::resume(log).map_err(LogError::storage)?;
    let seal = |number| chain.seal(&event(number)).expect("an event can be sealed");
    let entries: Vec<Sealed> = (from..to).map(seal).collect();
    let time = Timestamp::from_micros(0);
    log.keep_blocks(&chain.take_blocks())?;
    log.append(&entries, &signing_key().checkpoint("test", chain.tree_head(), time))?;
    Ok(entries)
}

/// Puts a log through everything that [`Log`] promises. `make` gives a fresh, empty one.
///
/// # Panics
///
/// Where it breaks a promise.
pub fn log_conforms(make: impl Fn() -> Box<dyn Log>) {
    an_empty_log_has_nothing(&mut *make());
    what_is_appended_is_read_back(&mut *make());
    pages_follow_on_each_other(&mut *make());
    entries_that_do_not_follow_are_refused_whole(&mut *make());
    a_turn_is_found(&mut *make());
}

fn an_empty_log_has_nothing(log: &mut dyn Log) {
    assert_eq!(log.last().expect("readable"), Head::EMPTY);
    assert_eq!(log.read(0, 10).expect("readable"), []);
    assert_eq!(log.read(u64::MAX, 10).expect("readable"), []);
    assert_eq!(log.checkpoint().expect("readable"), None);
    assert_eq!(log.turn(event(0).turn).expect("readable"), []);
}

fn what_is_appended_is_read_back(log: &mut dyn Log) {
    let mut all = append(log, 0, 3).expect("appended");
    all.extend(append(log, 3, 4).expect("appended"));
    assert_eq!(log.read(1, 100).expect("readable"), all);
    let last = all.last().expect("four entries");
    assert_eq!(log.last().expect("readable"), Head { size: 4, link: last.link });
    let checkpoint = log.checkpoint().expect("readable").expect("signed");
    assert_eq!(checkpoint.size, 4, "the last one");
    let verified = verify(log, &signing_key().verifying_key()).expect("as written");
    assert_eq!((verified.records, verified.root), (4, checkpoint.root));
}

fn pages_follow_on_each_other(log: &mut dyn Log) {
    let all = append(log, 0, 25).expect("appended");
    assert_eq!(log.read(1, 0).expect("readable"), []);
    assert_eq!(log.read(1, 10).expect("readable"), all[..10]);
    assert_eq!(log.read(11, 10).expect("readable"), all[10..20]);
    assert_eq!(log.read(21, 10).expect("readable"), all[20..]);
    assert_eq!(log.read(26, 10).expect("readable"), []);
}

fn entries_that_do_not_follow_are_refused_whole(log: &mut dyn Log) {
    let all = append(log, 0, 5).expect("appended");
    let checkpoint = log.checkpoint().expect("readable").expect("signed");
    let head = Head { size: 5, link: Head::EMPTY.link };
    let mut elsewhere = Chain::new(head, Tree::default());
    let forked = elsewhere.seal(&event(9)).expect("sealed");
    for (case, wrong) in [("again", &all[4..]), ("from the start", &all[..]), ("a fork", &[forked])]
    {
        let refused = log.append(wrong, &checkpoint);
        assert!(matches!(refused, Err(LogError::Conflict { found: 5, .. })), "{case}: {refused:?}");
    }
    assert_eq!(log.read(1, 100).expect("readable"), all);
    assert_eq!(log.checkpoint().expect("readable"), Some(checkpoint));
}

fn a_turn_is_found(log: &mut dyn Log) {
    let all = append(log, 0, 35).expect("appended");
    assert_eq!(log.turn(event(10).turn).expect("readable"), all[10..20]);
    assert_eq!(log.turn(TurnId::from_bytes([9; 16])).expect("readable"), []);
}
