//! What every store of the memory of trust must do.
#![expect(clippy::expect_used, reason = "a suite fails by panicking, as a test does")]

use std::sync::Arc;

use doorward_core::{
    ConversationId, Decision, GrantId, Integrity, Label, RequestId, Timestamp, TurnId,
};
use doorward_guardrails::{
    Claim, Denial, FiledLeaf, FiledText, Filing, Grant, Mark, Standing, TurnStore,
};

/// Puts a store through everything that [`TurnStore`] promises. `make` gives a fresh, empty one.
///
/// # Panics
///
/// Where it breaks a promise.
pub async fn turn_store_conforms(make: impl Fn() -> Arc<dyn TurnStore>) {
    an_empty_store_knows_nothing(&*make()).await;
    the_longest_known_prefix_is_recalled(&*make()).await;
    the_last_standing_of_a_prefix_counts(&*make()).await;
    nothing_past_its_expiry_is_given_out(&*make()).await;
    the_worse_label_of_a_text_stays(&*make()).await;
    leaves_are_told_with_every_result(&*make()).await;
    fingerprints_join_their_labels(&*make()).await;
    a_grant_is_claimed_once(&*make()).await;
    a_refusal_stays_and_counts_before_grants(&*make()).await;
    a_decision_replaces_its_opposite_of_the_same_conversation(&*make()).await;
    the_worst_grant_goes_first(&*make()).await;
    hints_come_first(&*make()).await;
    taint_is_of_one_owner_and_ends(&*make()).await;
    the_worst_live_taint_counts(&*make()).await;
}

const NOW: Timestamp = at(1_000);
const LATER: Timestamp = at(2_000);

const fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros((1_767_225_600 + seconds) * 1_000_000)
}

fn mark(number: u8) -> Mark {
    Mark::from_bytes([number; 16])
}

fn conversation(number: u8) -> ConversationId {
    ConversationId::from_bytes([number; 16])
}

fn standing(number: u8) -> Standing {
    Standing {
        conversation: conversation(number),
        turn: TurnId::from_bytes([number; 16]),
        label: Label::trusted("crm"),
        answered: true,
        system: vec![(mark(90), true)],
        borrowed: vec![0, 7],
        results: vec![mark(91), mark(92)],
        crowded: number.is_multiple_of(2),
    }
}

fn grant(number: u8, of: u8, label: Label, hint: Option<&str>) -> Grant {
    Grant {
        id: GrantId::from_bytes([number; 16]),
        conversation: conversation(of),
        turn: TurnId::from_bytes([of; 16]),
        cause: RequestId::from_bytes([number; 16]),
        label,
        hint: hint.map(Into::into),
    }
}

fn denial(of: u8, label: Label, hint: Option<&str>) -> Denial {
    Denial {
        decision: Decision::deny("contract.control", "no").with_remedy("ask"),
        conversation: conversation(of),
        turn: TurnId::from_bytes([of; 16]),
        cause: RequestId::from_bytes([of; 16]),
        label,
        hint: hint.map(Into::into),
    }
}

async fn claim(store: &dyn TurnStore, hint: Option<&str>) -> Option<Claim> {
    store.claim(mark(1), hint, NOW).await.expect("an answer")
}

async fn give(store: &dyn TurnStore, grant: Grant) {
    store.grant(mark(1), grant, LATER).await.expect("kept");
}

async fn refuse(store: &dyn TurnStore, denial: Denial) {
    store.refuse(mark(1), denial, LATER).await.expect("kept");
}

async fn an_empty_store_knows_nothing(store: &dyn TurnStore) {
    assert_eq!(store.recall(&[], NOW).await, Ok(None));
    assert_eq!(store.recall(&[mark(1)], NOW).await, Ok(None));
    assert_eq!(store.texts(&[mark(1), mark(2)], NOW).await, Ok(vec![None, None]));
    assert_eq!(store.leaves(&[mark(1), mark(2)], NOW).await, Ok(vec![vec![], vec![]]));
    assert_eq!(store.printed(&[1, 2], NOW).await, Ok(None));
    assert_eq!(store.claim(mark(1), None, NOW).await, Ok(None));
    assert_eq!(store.tainted(mark(1), NOW).await, Ok(None));
}

async fn the_longest_known_prefix_is_recalled(store: &dyn TurnStore) {
    for known in [2, 4] {
        store.remember(mark(known), &standing(known), LATER).await.expect("kept");
    }
    for (asked, expected) in [
        (vec![1, 2, 3, 4, 5], Some((3, 4))),
        (vec![1, 2, 3], Some((1, 2))),
        (vec![4], Some((0, 4))),
        (vec![4, 2], Some((1, 2))),
        (vec![1, 3, 5], None),
    ] {
        let prefixes: Vec<Mark> = asked.iter().copied().map(mark).collect();
        let expected = expected.map(|(place, number)| (place, standing(number)));
        assert_eq!(store.recall(&prefixes, NOW).await, Ok(expected), "{asked:?}");
    }
}

async fn the_last_standing_of_a_prefix_counts(store: &dyn TurnStore) {
    for number in [1, 2] {
        store.remember(mark(1), &standing(number), LATER).await.expect("kept");
    }
    assert_eq!(store.recall(&[mark(1)], NOW).await, Ok(Some((0, standing(2)))));
}

async fn nothing_past_its_expiry_is_given_out(store: &dyn TurnStore) {
    let label = Arc::new(Label::untrusted("web"));
    let leaf = FiledLeaf { result: mark(9), integrity: Integrity::Untrusted };
    let filing = Filing {
        owner: mark(200),
        texts: vec![(mark(1), FiledText { result: mark(9), label: Arc::clone(&label) })],
        leaves: vec![(mark(1), leaf)],
        prints: vec![1],
        printed: Arc::clone(&label),
    };
    store.remember(mark(1), &standing(1), at(10)).await.expect("kept");
    store.file(filing, at(10)).await.expect("kept");
    store.taint(mark(1), &label, at(10)).await.expect("kept");
    for (slot, number) in [(1, 1), (2, 2)] {
        let grant = grant(number, 1, Label::user(), None);
        store.grant(mark(slot), grant, at(10)).await.expect("kept");
    }
    store.refuse(mark(3), denial(1, Label::user(), None), at(10)).await.expect("kept");
    for (now, known) in [(at(9), true), (at(10), false), (at(11), false)] {
        let recalled = store.recall(&[mark(1)], now).await.expect("an answer");
        assert_eq!(recalled.is_some(), known, "a standing");
        assert_eq!(store.texts(&[mark(1)], now).await.expect("an answer")[0].is_some(), known);
        assert_eq!(store.leaves(&[mark(1)], now).await.expect("an answer")[0].is_empty(), !known);
        assert_eq!(store.printed(&[1], now).await.expect("an answer").is_some(), known);
        assert_eq!(store.tainted(mark(1), now).await.expect("an answer").is_some(), known);
        // The first grant is used up while it lives, the second one is left to expire.
        let slot = if known { mark(1) } else { mark(2) };
        assert_eq!(store.claim(slot, None, now).await.expect("an answer").is_some(), known);
        assert_eq!(store.claim(mark(3), None, now).await.expect("an answer").is_some(), known);
    }
}

async fn the_worse_label_of_a_text_stays(store: &dyn TurnStore) {
    let file = |text: u8, result: u8, label: Label| {
        let text = (mark(text), FiledText { result: mark(result), label: Arc::new(label) });
        store.file(Filing { texts: vec![text], ..Filing::of(mark(200)) }, LATER)
    };
    for (text, first, second) in [
        (1, Label::untrusted("web"), Label::trusted("crm")),
        (2, Label::trusted("crm"), Label::untrusted("web")),
    ] {
        file(text, 1, first).await.expect("kept");
        file(text, 2, second).await.expect("kept");
    }
    file(3, 3, Label::trusted("crm")).await.expect("kept");
    let texts = store.texts(&[mark(1), mark(2), mark(4), mark(3)], NOW).await.expect("an answer");
    let told: Vec<_> = texts
        .iter()
        .map(|text| text.as_ref().map(|text| (text.label.integrity, text.label.choice)))
        .collect();
    let worst = Some((Integrity::Untrusted, Integrity::Untrusted));
    let good = Some((Integrity::Trusted, Integrity::User));
    assert_eq!(told, [worst, worst, None, good], "one answer per mark, in their order");
}

async fn leaves_are_told_with_every_result(store: &dyn TurnStore) {
    let leaf = |result, integrity| FiledLeaf { result: mark(result), integrity };
    let wanted =
        [leaf(1, Integrity::Trusted), leaf(2, Integrity::Untrusted), leaf(3, Integrity::User)];
    for one in wanted {
        let leaves = vec![(mark(1), one), (mark(2), one)];
        store.file(Filing { leaves, ..Filing::of(mark(200)) }, LATER).await.expect("kept");
    }
    // Filed again, it is the same leaf of the same result.
    let leaves = vec![(mark(1), wanted[0])];
    store.file(Filing { leaves, ..Filing::of(mark(200)) }, LATER).await.expect("kept");
    let told = store.leaves(&[mark(3), mark(1), mark(2)], NOW).await.expect("an answer");
    assert_eq!(told.iter().map(Vec::len).collect::<Vec<_>>(), [0, 3, 3]);
    for one in wanted {
        assert!(told[1].contains(&one) && told[2].contains(&one), "{one:?}");
    }
}

async fn fingerprints_join_their_labels(store: &dyn TurnStore) {
    let file = |prints: &[u64], label: Label| {
        let (prints, printed) = (prints.to_vec(), Arc::new(label));
        store.file(Filing { prints, printed, ..Filing::of(mark(200)) }, LATER)
    };
    file(&[1, 2, u64::MAX], Label::untrusted("web")).await.expect("kept");
    file(&[2, 3], Label::untrusted("mail")).await.expect("kept");
    for (asked, sources) in [
        (&[1][..], &["web"][..]),
        (&[u64::MAX, 1, 1], &["web"]),
        (&[3], &["mail"]),
        (&[2], &["mail", "web"]),
        (&[1, 99, 3], &["mail", "web"]),
    ] {
        let label = store.printed(asked, NOW).await.expect("an answer").expect("on file");
        let mut names: Vec<&str> = label.sources.names().iter().map(|name| &**name).collect();
        names.sort_unstable();
        assert_eq!((label.integrity, &names[..]), (Integrity::Untrusted, sources), "{asked:?}");
    }
    assert_eq!(store.printed(&[98, 99], NOW).await, Ok(None));
}

async fn a_grant_is_claimed_once(store: &dyn TurnStore) {
    let [one, two] = [1, 2].map(|number| grant(number, 1, Label::user(), None));
    give(store, one.clone()).await;
    assert_eq!(store.claim(mark(2), None, NOW).await, Ok(None), "another call's");
    assert_eq!(claim(store, None).await, Some(Claim::Grant(one.clone())));
    assert_eq!(claim(store, None).await, None);
    // The same call decided twice may run twice.
    give(store, one).await;
    give(store, two).await;
    for left in [true, true, false] {
        assert_eq!(claim(store, None).await.is_some(), left);
    }
}

async fn a_refusal_stays_and_counts_before_grants(store: &dyn TurnStore) {
    // However good its own label and however bad the grant's.
    give(store, grant(1, 2, Label::untrusted("web"), None)).await;
    refuse(store, denial(1, Label::user(), None)).await;
    give(store, grant(2, 3, Label::user(), None)).await;
    for _ in 0..3 {
        assert_eq!(claim(store, None).await, Some(Claim::Denial(denial(1, Label::user(), None))));
    }
}

async fn a_decision_replaces_its_opposite_of_the_same_conversation(store: &dyn TurnStore) {
    let granted = grant(1, 1, Label::user(), None);
    give(store, granted.clone()).await;
    refuse(store, denial(1, Label::user(), None)).await;
    assert!(matches!(claim(store, None).await, Some(Claim::Denial(_))), "the grant is void");
    give(store, granted.clone()).await;
    assert_eq!(claim(store, None).await, Some(Claim::Grant(granted)), "the refusal is lifted");
    assert_eq!(claim(store, None).await, None, "and the void grant did not come back");
}

async fn the_worst_grant_goes_first(store: &dyn TurnStore) {
    let labels = [Label::user(), Label::untrusted("web"), Label::trusted("crm")];
    for (number, label) in (1..).zip(labels) {
        give(store, grant(number, number, label, None)).await;
    }
    let mut order = Vec::new();
    while let Some(Claim::Grant(grant)) = claim(store, None).await {
        order.push(grant.label.integrity);
    }
    assert_eq!(order, [Integrity::Untrusted, Integrity::Trusted, Integrity::User]);
}

async fn hints_come_first(store: &dyn TurnStore) {
    let [bad, good, named] = [
        grant(1, 1, Label::untrusted("web"), None),
        grant(2, 2, Label::user(), Some("session-2")),
        grant(3, 3, Label::user(), None),
    ];
    for one in [&bad, &good, &named] {
        give(store, one.clone()).await;
    }
    let own_name = conversation(3).to_string();
    for (hint, expected) in [
        (Some("session-2"), Some(good)),
        (Some(&*own_name), Some(named)),
        (Some("nobody's"), Some(bad)),
        (Some("session-2"), None),
    ] {
        assert_eq!(claim(store, hint).await, expected.map(Claim::Grant), "{hint:?}");
    }
    // A refusal elsewhere does not keep a named conversation's grant from it.
    let wanted = grant(4, 4, Label::user(), Some("session-4"));
    refuse(store, denial(5, Label::user(), Some("session-5"))).await;
    give(store, wanted.clone()).await;
    assert_eq!(claim(store, Some("session-4")).await, Some(Claim::Grant(wanted)));
    assert!(matches!(claim(store, Some("session-4")).await, Some(Claim::Denial(_))));
}

async fn taint_is_of_one_owner_and_ends(store: &dyn TurnStore) {
    let label = Label::untrusted("web");
    store.taint(mark(1), &label, at(1_500)).await.expect("kept");
    assert_eq!(store.tainted(mark(1), NOW).await, Ok(Some(label.clone())));
    assert_eq!(store.tainted(mark(2), NOW).await, Ok(None));
    // A later request of such a conversation keeps it alive.
    store.taint(mark(1), &label, LATER).await.expect("kept");
    assert_eq!(store.tainted(mark(1), at(1_600)).await, Ok(Some(label)));
    assert_eq!(store.tainted(mark(1), LATER).await, Ok(None));
}

async fn the_worst_live_taint_counts(store: &dyn TurnStore) {
    // Both conversations steer, only one of them holds what anyone may have written.
    let steered = Label { choice: Integrity::Untrusted, ..Label::trusted("crm") };
    for (owner, first, second) in
        [(1, Label::untrusted("web"), steered.clone()), (2, steered, Label::untrusted("web"))]
    {
        store.taint(mark(owner), &first, LATER).await.expect("kept");
        store.taint(mark(owner), &second, LATER).await.expect("kept");
        let label = store.tainted(mark(owner), NOW).await.expect("an answer").expect("tainted");
        assert_eq!(label.integrity, Integrity::Untrusted, "owner {owner}");
    }
    // One that ends sooner does not end the other.
    let label = Label::untrusted("web");
    store.taint(mark(3), &label, LATER).await.expect("kept");
    store.taint(mark(3), &label, at(1_100)).await.expect("kept");
    assert_eq!(store.tainted(mark(3), at(1_500)).await, Ok(Some(label)));
}
