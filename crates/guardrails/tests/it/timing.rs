//! How long a decision takes: `cargo test --release -p doorward-guardrails -- --ignored --nocapture`.

use std::time::Instant;

use doorward_core::{Cx, Frame, Guard, ModelCall};
use futures_util::FutureExt;

use crate::driver::{World, events, issue};

#[test]
#[ignore = "a measurement"]
#[expect(clippy::disallowed_methods, reason = "measures")]
fn admit_and_judge() {
    for (tainted, size) in [(false, 200), (false, 1000), (true, 200), (true, 1000)] {
        let world = World::new();
        let mut chat = world.chat();
        chat.tools.lock().unwrap().extend((0..12).map(|n| format!("server__tool_{n}")));
        chat.system(&"Be of use. ".repeat(size / 11));
        let words = |n: usize| format!("{n} {}", "word and another ".repeat(size / 17));
        for n in 0..24 {
            chat.user(&words(n));
            if n == 3 && tainted {
                chat.tool("r", "tracker__get_issue", r#"{"id":1}"#, &issue("hello world"));
            }
            chat.model(&words(n + 100), &[]);
        }
        chat.user("and mail bob@corp.com");
        let made = [("c", "mail__send_email", r#"{"recipients":["bob@corp.com"],"body":"x"}"#)];
        let rounds = 2000;
        let (mut admit, mut watch, mut finish) = (0, 0, 0);
        for _ in 0..rounds {
            let (cx, mut call) = (chat.cx(), chat.request());
            let frames: Vec<Frame> =
                events("", &made).into_iter().map(|event| Frame::of(vec![event])).collect();
            let start = Instant::now();
            let mut admission = world.engine.admit(&cx, &mut call).now_or_never().unwrap().unwrap();
            let middle = Instant::now();
            for frame in frames {
                if let doorward_core::Flow::Judge = admission.watch.frame(frame) {
                    admission.watch.judge().now_or_never().unwrap().unwrap();
                }
            }
            let end = Instant::now();
            assert!(admission.watch.decided()[0].decision.is_allowed());
            admission.watch.finish().now_or_never().unwrap().unwrap();
            finish += end.elapsed().as_nanos();
            admit += (middle - start).as_nanos();
            watch += (end - middle).as_nanos();
        }
        println!(
            "{} messages of {size} B, {} tools, tainted {tainted}: admit {} ns, judge {} ns, \
             finish {} ns",
            chat.messages.len(),
            chat.tools.lock().unwrap().len(),
            admit / rounds,
            watch / rounds,
            finish / rounds
        );
    }
    let world = World::new();
    let body = issue(&"some text of an issue with words in it. ".repeat(2500));
    let cx = world.chat().cx();
    let start = Instant::now();
    for n in 0..50 {
        world.run(&cx, "tracker__get_issue", &format!(r#"{{"id":{n}}}"#), &body);
    }
    println!("judge and file a {} B result: {} us", body.len(), start.elapsed().as_micros() / 50);
}

/// The load test's request: instructions are counted within `small_request` with
/// `valgrind --tool=callgrind --toggle-collect='*small_request'`.
#[test]
#[ignore = "a measurement"]
fn small_requests() {
    let world = World::new();
    let mut chat = world.chat();
    chat.tools.lock().unwrap().clear();
    chat.system(&"You are a helpful assistant. ".repeat(7)[..180]);
    chat.user(&"Tell me in some words of yours how it goes. ".repeat(16)[..700]);
    for _ in 0..SMALL_ROUNDS {
        small_request(&world, &chat.cx(), chat.request());
    }
}

const SMALL_ROUNDS: usize = 100;

#[inline(never)]
fn small_request(world: &World, cx: &Cx, mut call: ModelCall) {
    let mut admission = world.engine.admit(cx, &mut call).now_or_never().unwrap().unwrap();
    for event in events("It goes well, thank you for asking me about all of this.", &[]) {
        admission.watch.frame(Frame::of(vec![event]));
    }
    admission.watch.finish().now_or_never().unwrap().unwrap();
}
