//! A turn told from its records.

use doorward_audit::{Chain, Memory, Record, Story, turn, turns};
use doorward_core::{
    Decision, Digest, Event, EventId, Kind, Outcome, RequestId, Timestamp, ToolName, TurnId,
};
use doorward_testkit::log::event;

fn tool(id: u8, cause: RequestId, outcome: Outcome, at: i64) -> Event {
    Event {
        id: EventId::from_bytes([id; 16]),
        at: Timestamp::from_micros(at),
        kind: Kind::Tool {
            tool: ToolName::new("tracker__get_issue"),
            arguments: Digest::from_bytes([0; 32]),
            cause: Some(cause),
            grant: None,
            result: None,
        },
        request: RequestId::from_bytes([id; 16]),
        outcome,
        ..event(0)
    }
}

fn records(events: &[Event]) -> Vec<Record> {
    let mut chain = Chain::default();
    events.iter().map(|event| chain.seal(event).unwrap().record().unwrap()).collect()
}

#[test]
fn two_entries_of_a_call_are_one_step_and_know_their_cause() {
    let model = event(0);
    let base = model.at.as_micros();
    let mut denied = tool(8, model.request, Outcome::Denied, base + 30);
    denied.decision = Decision::deny("key.tools", "not on the list");
    let mut ended = tool(7, model.request, Outcome::Completed, base + 10);
    ended.took_us = Some(50);
    let events = [
        model.clone(),
        tool(7, model.request, Outcome::Started, base + 10),
        denied,
        ended,
        tool(9, RequestId::from_bytes([99; 16]), Outcome::Started, base + 40),
        event(15),
    ];
    let Story { steps, who, began, .. } = turn(records(&events), model.turn).unwrap();
    let told: Vec<_> = steps
        .iter()
        .map(|step| (step.first, step.last, step.cause, step.event.outcome, step.is_finished()))
        .collect();
    assert_eq!(
        told,
        [
            (1, 1, None, Outcome::Completed, true),
            (2, 4, Some(0), Outcome::Completed, true),
            (3, 3, Some(0), Outcome::Denied, true),
            (5, 5, None, Outcome::Started, false),
        ]
    );
    assert_eq!((who.len(), began), (1, model.at));
    assert_eq!(turn(records(&events), TurnId::from_bytes([99; 16])), None);
}

#[test]
fn stories_come_in_the_order_they_began() {
    let events: Vec<Event> = [0, 10, 1, 20, 11].map(event).into();
    let stories = turns(records(&events));
    let told: Vec<_> = stories.iter().map(|story| (story.turn, story.steps.len())).collect();
    assert_eq!(told, [(event(0).turn, 2), (event(10).turn, 2), (event(20).turn, 1)]);
    assert_eq!(turns(vec![]), []);
}

#[test]
fn what_is_no_record_is_not_read_as_one() {
    let mut sealed = Chain::default().seal(&event(1)).unwrap();
    assert_eq!(sealed.record().unwrap().event, event(1));
    sealed.seq = 2;
    assert!(sealed.record().unwrap_err().source.is_none(), "filed under another number");
    sealed.entry.pop();
    assert!(sealed.record().unwrap_err().source.is_some());
    let log = Memory::from_parts([sealed], None);
    assert_eq!(log.entries().count(), 1);
}
