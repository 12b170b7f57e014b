//! Content beside the record.

use std::time::Duration;

use doorward_audit::{
    Chain, Content, ContentError, ContentKey, ContentKeys, ContentPolicy, ContentStore, Log,
    Memory, MemoryContent, verify,
};
use doorward_core::{ContentDigest, ContentPart, Event, EventId, SystemClock, SystemEntropy};
use doorward_testkit::log::{event, signing_key};

fn policy() -> ContentPolicy {
    ContentPolicy::new(Duration::from_mins(1))
        .keep(ContentPart::Arguments)
        .keep(ContentPart::Result)
}

fn key(id: u8) -> ContentKey {
    ContentKey::new(id.into(), [id; 32])
}

fn content(policy: ContentPolicy) -> Content<MemoryContent> {
    Content::new(MemoryContent::default(), policy, ContentKeys::new(key(1)))
}

fn call(n: u8) -> EventId {
    EventId::from_bytes([n; 16])
}

fn keep<S: ContentStore>(content: &mut Content<S>, n: u8, text: &str) -> Option<ContentDigest> {
    let part = ContentPart::Arguments;
    content.keep(call(n), part, text.as_bytes(), &SystemEntropy, &SystemClock).unwrap()
}

#[test]
fn nothing_is_kept_unless_the_policy_says_so() {
    assert_eq!(keep(&mut content(ContentPolicy::default()), 1, "{}"), None);
    let answers = ContentPolicy::new(Duration::from_secs(1)).keep(ContentPart::Answer);
    assert_eq!(keep(&mut content(answers), 1, "{}"), None);
}

#[test]
fn fields_are_taken_out_before_anything_is_hashed_or_stored() {
    for (pointer, text, kept) in [
        ("/password", r#"{"password":"s3cret"}"#, r#"{"password":"[redacted]"}"#),
        (
            "/a/*/b",
            r#"{"a":[{"b":1},{"b":{"c":2}},3]}"#,
            r#"{"a":[{"b":"[redacted]"},{"b":"[redacted]"},3]}"#,
        ),
        ("/a/1", r#"{"a":["s3cret","s3cret"]}"#, r#"{"a":["s3cret","[redacted]"]}"#),
        ("/x~1y~0z", r#"{"x/y~z":7}"#, r#"{"x/y~z":"[redacted]"}"#),
        ("/absent", r#"{"a":1}"#, r#"{"a":1}"#),
        ("/a", "s3cret, and no JSON", r#""[redacted]""#),
    ] {
        let mut content = content(policy().redact(pointer).unwrap());
        let digest = keep(&mut content, 1, text).unwrap();
        let read = content.read(call(1), &digest).unwrap().unwrap();
        assert_eq!(String::from_utf8(read).unwrap(), kept, "{pointer}");
    }
    assert!(matches!(policy().redact("a"), Err(ContentError::Pointer(_))));
}

#[test]
fn content_is_bound_to_its_call_and_digest() {
    let mut store = MemoryContent::default();
    let mut content = Content::new(&mut store, policy(), ContentKeys::new(key(1)));
    let one = keep(&mut content, 1, "one").unwrap();
    let two = keep(&mut content, 2, "one").unwrap();
    assert_ne!(one.digest, two.digest, "the salt is each one's own");
    assert!(matches!(content.read(call(1), &two), Err(ContentError::Altered)));
    let row = store.part(call(1), ContentPart::Arguments).unwrap().unwrap();
    assert!(!row.sealed.windows(3).any(|text| text == b"one"), "it is encrypted");
    for at in 0..row.sealed.len() {
        let mut changed = row.clone();
        changed.sealed[at] ^= 1;
        store.put(&changed).unwrap();
        let mut content = Content::new(&mut store, policy(), ContentKeys::new(key(1)));
        assert!(matches!(content.read(call(1), &one), Err(ContentError::Altered)), "byte {at}");
    }
    let mut moved = row;
    moved.event = call(2);
    store.put(&moved).unwrap();
    let mut content = Content::new(&mut store, policy(), ContentKeys::new(key(1)));
    assert!(matches!(content.read(call(2), &one), Err(ContentError::Altered)), "moved");
}

#[test]
fn keys_are_rotated_by_number_and_not_shown() {
    let mut store = MemoryContent::default();
    let old = ContentKeys::new(key(1));
    let digest = keep(&mut Content::new(&mut store, policy(), old), 1, "said").unwrap();
    let both = ContentKeys::new(key(2)).with_previous(key(1));
    assert!(!format!("{both:?}").contains("1, 1"));
    let read = Content::new(&mut store, policy(), both).read(call(1), &digest).unwrap();
    assert_eq!(read.as_deref(), Some(&b"said"[..]));
    let only = ContentKeys::new(key(2));
    let lost = Content::new(&mut store, policy(), only).read(call(1), &digest);
    assert!(matches!(lost, Err(ContentError::NoKey(1))), "{lost:?}");
}

#[test]
fn deleting_content_leaves_the_record_whole() {
    let mut content = content(policy());
    let digest = keep(&mut content, 1, "said").unwrap();
    let recorded = Event { id: call(1), content: vec![digest], ..event(1) };
    let (mut log, mut chain) = (Memory::default(), Chain::default());
    let entries = [chain.seal(&recorded).unwrap()];
    let signed = signing_key().checkpoint("test", chain.tree_head(), recorded.at);
    log.append(&entries, &signed).unwrap();
    assert_eq!(content.forget(call(1)).unwrap(), 1);
    assert_eq!(content.read(call(1), &digest).unwrap(), None);
    assert_eq!(verify(&mut log, &signing_key().verifying_key()).unwrap().records, 1);
    let kept = log.read(1, 1).unwrap()[0].record().unwrap().event;
    assert_eq!(kept.content, [digest]);

    let again = keep(&mut content, 2, "said").unwrap();
    let now = doorward_core::Clock::now(&SystemClock);
    assert_eq!(content.expire(now).unwrap(), 0);
    assert_eq!(content.expire(now.after(Duration::from_secs(61))).unwrap(), 1);
    assert_eq!(content.read(call(2), &again).unwrap(), None);
}
