//! A stream that its client may come back to: numbered events, kept for a while.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::session::lock;

/// The events of one request's stream. One reader at a time: whoever comes last.
pub(super) struct Tape {
    pub(super) id: u64,
    most_bytes: usize,
    roll: Mutex<Roll>,
    /// Something was added, or the reader changed.
    pub(super) moved: Notify,
}

struct Roll {
    /// The number of the first event that is kept.
    first: u64,
    events: VecDeque<Bytes>,
    bytes: usize,
    /// Nothing more comes.
    done: bool,
    /// The end was handed to a reader.
    read: bool,
    /// Nobody may read it any more.
    abandoned: bool,
    /// Which reader counts.
    reader: u64,
    /// Since when there is none.
    alone_since: Option<Instant>,
}

/// What a reader gets.
pub(super) enum Piece {
    Event(Bytes),
    Wait,
    End,
}

impl Tape {
    pub(super) fn new(id: u64, most_bytes: usize) -> Self {
        let roll = Roll {
            first: 0,
            events: VecDeque::new(),
            bytes: 0,
            done: false,
            read: false,
            abandoned: false,
            reader: 0,
            alone_since: Some(Instant::now()),
        };
        Self { id, most_bytes, roll: Mutex::new(roll), moved: Notify::new() }
    }

    /// An event's id, by its number.
    pub(super) fn event_id(id: u64, number: u64) -> String {
        format!("{id:016x}-{number}")
    }

    /// Which tape and event an id names.
    pub(super) fn place(event_id: &str) -> Option<(u64, u64)> {
        let (id, number) = event_id.split_once('-')?;
        if id.len() != 16 {
            return None;
        }
        Some((u64::from_str_radix(id, 16).ok()?, number.parse().ok()?))
    }

    /// Tells the client where it is before there is anything to tell, and when to come back.
    pub(super) fn prime(&self, retry: Duration) {
        self.push(|id| format!("id: {id}\nretry: {}\ndata: \n\n", retry.as_millis()), false);
    }

    /// Adds a message; `last` where it is the final one.
    pub(super) fn add(&self, message: &str, last: bool) {
        self.push(|id| format!("id: {id}\nevent: message\ndata: {message}\n\n"), last);
    }

    fn push(&self, event: impl FnOnce(&str) -> String, last: bool) {
        let mut roll = lock(&self.roll);
        let number = roll.first + roll.events.len() as u64;
        let event = Bytes::from(event(&Self::event_id(self.id, number)));
        roll.bytes += event.len();
        roll.events.push_back(event);
        // The newest stays whatever its size: it may be the answer.
        while roll.bytes > self.most_bytes && roll.events.len() > 1 {
            if let Some(gone) = roll.events.pop_front() {
                roll.bytes -= gone.len();
                roll.first += 1;
            }
        }
        roll.done |= last;
        drop(roll);
        self.moved.notify_waiters();
    }

    /// Nothing more comes; the stream ends without an answer.
    pub(super) fn close(&self) {
        lock(&self.roll).done = true;
        self.moved.notify_waiters();
    }

    /// Ends it for everybody.
    pub(super) fn abandon(&self) {
        let mut roll = lock(&self.roll);
        (roll.done, roll.abandoned) = (true, true);
        roll.events.clear();
        drop(roll);
        self.moved.notify_waiters();
    }

    /// Becomes the reader; whoever was it before is not any more.
    pub(super) fn attach(&self) -> u64 {
        let mut roll = lock(&self.roll);
        roll.reader += 1;
        roll.alone_since = None;
        let reader = roll.reader;
        drop(roll);
        self.moved.notify_waiters();
        reader
    }

    /// The reader went away.
    pub(super) fn detach(&self, reader: u64) {
        let mut roll = lock(&self.roll);
        if roll.reader == reader {
            roll.alone_since = Some(Instant::now());
        }
        drop(roll);
        self.moved.notify_waiters();
    }

    /// The event at this place, and the place after it.
    pub(super) fn read(&self, reader: u64, next: &mut u64) -> Piece {
        let mut roll = lock(&self.roll);
        if roll.reader != reader || roll.abandoned {
            return Piece::End;
        }
        *next = (*next).max(roll.first);
        let at = usize::try_from(*next - roll.first).unwrap_or(usize::MAX);
        match roll.events.get(at).cloned() {
            Some(event) => {
                *next += 1;
                Piece::Event(event)
            }
            None if roll.done => {
                roll.read = true;
                drop(roll);
                self.moved.notify_waiters();
                Piece::End
            }
            None => Piece::Wait,
        }
    }

    /// Since when nobody has been reading.
    pub(super) fn alone_since(&self) -> Option<Instant> {
        lock(&self.roll).alone_since
    }

    /// Whether nobody needs it any more.
    pub(super) fn is_spent(&self) -> bool {
        let roll = lock(&self.roll);
        roll.abandoned || (roll.done && roll.read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest(tape: &Tape, reader: u64, mut next: u64) -> Vec<String> {
        let mut read = Vec::new();
        while let Piece::Event(event) = tape.read(reader, &mut next) {
            read.push(String::from_utf8(event.to_vec()).unwrap());
        }
        read
    }

    #[tokio::test]
    async fn a_reader_goes_on_where_it_was() {
        let tape = Tape::new(7, 1000);
        tape.prime(Duration::from_secs(1));
        tape.add("a", false);
        tape.add("b", true);
        let reader = tape.attach();
        let all = rest(&tape, reader, 0);
        assert_eq!(all[0], "id: 0000000000000007-0\nretry: 1000\ndata: \n\n");
        assert_eq!(all.len(), 3);
        let (id, number) = Tape::place("0000000000000007-1").unwrap();
        assert_eq!((id, rest(&tape, reader, number + 1)), (7, all[2..].to_vec()));
        assert!(tape.is_spent());
        for wrong in ["", "7-1", "0000000000000007", "000000000000000x-1", "0000000000000007-x"] {
            assert!(Tape::place(wrong).is_none(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_tape_keeps_so_many_bytes_and_always_the_answer() {
        let tape = Tape::new(1, 100);
        for _ in 0..50 {
            tape.add("0123456789", false);
        }
        let long = "x".repeat(500);
        tape.add(&long, true);
        let reader = tape.attach();
        let all = rest(&tape, reader, 0);
        assert_eq!(all.len(), 1);
        assert!(all[0].contains(&long) && all[0].starts_with("id: 0000000000000001-50\n"));
    }

    #[tokio::test]
    async fn only_the_last_reader_reads() {
        let tape = Tape::new(1, 100);
        let first = tape.attach();
        let second = tape.attach();
        tape.add("a", false);
        assert!(matches!(tape.read(first, &mut 0), Piece::End));
        assert!(matches!(tape.read(second, &mut 0), Piece::Event(_)));
        tape.detach(first);
        assert!(tape.alone_since().is_none());
        tape.detach(second);
        assert!(tape.alone_since().is_some());
    }
}
