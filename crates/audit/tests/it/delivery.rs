//! Records on their way out.

use std::io::Read as _;
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use doorward_audit::{
    Block, Checkpoint, Delivery, DeliveryError, DeliveryOptions, Destination, FileDestination,
    Format, Head, HttpDestination, Log, LogError, Memory, Outbox, Post, PostAnswer, PostError,
    Sealed, Syslog, SyslogTransport, deliver,
};
use doorward_core::Digest;
use doorward_testkit::log::append;

/// A log in memory with cursors; clones share it.
#[derive(Clone, Default)]
struct Shelf(Arc<Mutex<(Memory, std::collections::BTreeMap<String, u64>)>>);

impl Shelf {
    fn with(records: u64) -> Self {
        let shelf = Self::default();
        shelf.grow(0, records);
        shelf
    }

    fn grow(&self, from: u64, to: u64) {
        append(&mut self.0.lock().unwrap().0, from, to).unwrap();
    }
}

impl Log for Shelf {
    fn last(&mut self) -> Result<Head, LogError> {
        self.0.lock().unwrap().0.last()
    }
    fn append(&mut self, entries: &[Sealed], signed: &Checkpoint) -> Result<(), LogError> {
        self.0.lock().unwrap().0.append(entries, signed)
    }
    fn read(&mut self, from: u64, most: usize) -> Result<Vec<Sealed>, LogError> {
        self.0.lock().unwrap().0.read(from, most)
    }
    fn checkpoint(&mut self) -> Result<Option<Checkpoint>, LogError> {
        self.0.lock().unwrap().0.checkpoint()
    }
    fn keep_blocks(&mut self, _: &[Block]) -> Result<(), LogError> {
        Ok(())
    }
    fn block(&mut self, _: u8, _: u64) -> Result<Option<Digest>, LogError> {
        Ok(None)
    }
}

impl Outbox for Shelf {
    fn cursor(&mut self, reader: &str) -> Result<u64, LogError> {
        Ok(self.0.lock().unwrap().1.get(reader).copied().unwrap_or(0))
    }
    fn advance(&mut self, reader: &str, to: u64) -> Result<(), LogError> {
        self.0.lock().unwrap().1.insert(reader.to_owned(), to);
        Ok(())
    }
    fn cursors(&mut self) -> Result<Vec<(String, u64)>, LogError> {
        Ok(self.0.lock().unwrap().1.clone().into_iter().collect())
    }
}

/// Takes records, or fails as often as it was told to: half of the time after taking them.
#[derive(Clone, Default)]
struct Taker(Arc<Mutex<(Vec<u64>, u32)>>);

impl Destination for Taker {
    fn deliver(&mut self, records: &[Sealed]) -> Result<(), DeliveryError> {
        let mut state = self.0.lock().unwrap();
        if state.1 > 0 {
            state.1 -= 1;
            if state.1.is_multiple_of(2) {
                state.0.extend(records.iter().map(|sealed| sealed.seq));
            }
            return Err(DeliveryError::Refused { status: 503 });
        }
        state.0.extend(records.iter().map(|sealed| sealed.seq));
        Ok(())
    }
}

fn until(what: &str, happened: impl Fn() -> bool) {
    for _ in 0..4000 {
        if happened() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("never happened: {what}");
}

#[test]
fn every_record_arrives_at_least_once_and_in_order() {
    let (shelf, taker) = (Shelf::with(100), Taker::default());
    taker.0.lock().unwrap().1 = 6;
    let options = DeliveryOptions {
        reader: "siem".into(),
        batch: 7,
        poll: Duration::from_millis(5),
        retry_first: Duration::from_millis(1),
        retry_most: Duration::from_millis(4),
    };
    let delivery = Delivery::start(shelf.clone(), taker.clone(), options.clone()).unwrap();
    until("all are delivered", || delivery.stats().delivered == 100);
    assert_eq!((delivery.stats().failures, delivery.stats().trouble), (6, None));
    shelf.grow(100, 110);
    until("new ones follow", || delivery.stats().delivered == 110);
    delivery.stop();
    let mut seen = taker.0.lock().unwrap().0.clone();
    assert!(seen.len() > 110, "some came twice");
    // Once a record has come, nothing before it is still missing.
    let mut highest = 0;
    for seq in &seen {
        assert!(*seq <= highest + 1, "{seq} after {highest}");
        highest = highest.max(*seq);
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, (1..=110).collect::<Vec<_>>());

    // Another start goes on where the cursor is.
    shelf.grow(110, 115);
    let fresh = Taker::default();
    let delivery = Delivery::start(shelf.clone(), fresh.clone(), options).unwrap();
    until("the rest follows", || delivery.stats().delivered == 5);
    drop(delivery);
    assert_eq!(fresh.0.lock().unwrap().0, [111, 112, 113, 114, 115]);
    assert_eq!(shelf.clone().cursors().unwrap(), [("siem".to_owned(), 115)]);
}

#[test]
fn readers_have_cursors_of_their_own() {
    let mut shelf = Shelf::with(10);
    let mut taker = Taker::default();
    assert_eq!(deliver(&mut shelf, &mut taker, "a", 4).unwrap(), 4);
    assert_eq!(deliver(&mut shelf, &mut taker, "b", 100).unwrap(), 10);
    assert_eq!(deliver(&mut shelf, &mut taker, "b", 100).unwrap(), 0);
    assert_eq!(shelf.cursor("a").unwrap(), 4);
}

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap().lines().map(String::from).collect()
}

#[test]
fn files_are_rotated_and_cut_lines_ended() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let file = || FileDestination::new(&path, Format::Jsonl, 4000, 2);
    let mut shelf = Shelf::with(30);
    let mut destination = file();
    while deliver(&mut shelf, &mut destination, "file", 3).unwrap() > 0 {}
    let older = |n: u32| folder.path().join(format!("audit.jsonl.{n}"));
    assert!(older(1).exists() && older(2).exists() && !older(3).exists());
    for path in [path.clone(), older(1), older(2)] {
        assert!(std::fs::metadata(&path).unwrap().len() <= 4000);
        assert!(lines(&path).iter().all(|line| line.starts_with("{\"seq\":")));
    }
    assert!(lines(&path).last().unwrap().starts_with("{\"seq\":30,"));

    // A crash in the middle of a line.
    let text = std::fs::read(&path).unwrap();
    std::fs::write(&path, &text[..text.len() - 40]).unwrap();
    shelf.grow(30, 31);
    deliver(&mut shelf, &mut file(), "file", 3).unwrap();
    let found = lines(&path);
    assert!(found.last().unwrap().starts_with("{\"seq\":31,"), "{found:?}");

    let path = folder.path().join("audit.csv");
    let mut csv = FileDestination::new(&path, Format::Csv, 1 << 20, 0);
    let mut shelf = Shelf::with(4);
    while deliver(&mut shelf, &mut csv, "csv", 2).unwrap() > 0 {}
    assert_eq!(lines(&path).len(), 5, "one header");
}

#[test]
fn a_destination_that_cannot_be_written_keeps_the_cursor() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = FileDestination::new(folder.path().join("no/such"), Format::Cef, 100, 1);
    let mut shelf = Shelf::with(3);
    assert!(matches!(deliver(&mut shelf, &mut file, "x", 3), Err(DeliveryError::Io(_))));
    assert_eq!(shelf.cursor("x").unwrap(), 0);
}

/// Takes octet-counted frames apart (RFC 6587 §3.4.1).
fn frames(mut bytes: &[u8]) -> Vec<String> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let space = bytes.iter().position(|byte| *byte == b' ').unwrap();
        let length: usize = std::str::from_utf8(&bytes[..space]).unwrap().parse().unwrap();
        let frame = &bytes[space + 1..=space + length];
        frames.push(String::from_utf8(frame.to_vec()).unwrap());
        bytes = &bytes[space + 1 + length..];
    }
    frames
}

#[test]
fn syslog_over_tcp_counts_octets_and_connects_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    let mut syslog = Syslog::new(SyslogTransport::Tcp, to, "gate way\n1", Format::Cef);
    let mut shelf = Shelf::with(3);
    for round in 0..2_u64 {
        shelf.grow(3 + round, 4 + round);
        deliver(&mut shelf, &mut syslog, "siem", 100).unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let mut bytes = Vec::new();
        // Reads until nothing comes any more, and then hangs up.
        let _ = stream.read_to_end(&mut bytes);
        let frames = frames(&bytes);
        assert_eq!(frames.len(), if round == 0 { 4 } else { 1 });
        // Facility 13, severity informational: 13 · 8 + 6.
        let head = "<110>1 2026-01-01T00:00:00.00000";
        assert!(frames[0].starts_with(head), "{}", frames[0]);
        let parts: Vec<&str> = frames[0].splitn(8, ' ').collect();
        assert_eq!(parts[2..6], ["gateway1", "doorward", "-", "model"]);
        let sequence = 1 + if round == 0 { 0 } else { 4 };
        let expected = format!("[meta sequenceId=\"{sequence}\"] CEF:0|");
        assert!(parts[6..].join(" ").starts_with(&expected), "{parts:?}");
        drop(stream);
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(listener);
    shelf.grow(5, 6);
    assert!(deliver(&mut shelf, &mut syslog, "siem", 100).is_err());
    assert_eq!(shelf.cursor("siem").unwrap(), 5);
}

#[test]
fn syslog_over_udp_sends_one_datagram_each() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let to = socket.local_addr().unwrap();
    let mut syslog = Syslog::new(SyslogTransport::Udp, to, "", Format::Jsonl);
    deliver(&mut Shelf::with(2), &mut syslog, "siem", 100).unwrap();
    let mut buffer = vec![0; 65_536];
    for seq in 1..=2 {
        let length = socket.recv(&mut buffer).unwrap();
        let text = std::str::from_utf8(&buffer[..length]).unwrap();
        assert!(text.starts_with("<110>1 ") && text.contains(" - doorward - model "), "{text}");
        assert!(text.contains(&format!("{{\"seq\":{seq},")), "{text}");
    }
}

struct Poster(Vec<(Vec<u8>, String)>, Vec<Result<u16, ()>>);

impl Post for &mut Poster {
    fn post(&mut self, body: Vec<u8>, media_type: &str) -> Result<PostAnswer, PostError> {
        self.0.push((body, media_type.to_owned()));
        let status = self.1.remove(0).map_err(|()| PostError("hung up".into()))?;
        Ok(PostAnswer { status, body: vec![] })
    }
}

#[test]
fn an_http_collector_takes_a_batch_or_gets_it_again() {
    let mut poster = Poster(vec![], vec![Err(()), Ok(429), Ok(204)]);
    let mut http = HttpDestination::new(&mut poster, Format::Ocsf);
    let mut shelf = Shelf::with(3);
    assert!(matches!(deliver(&mut shelf, &mut http, "h", 9), Err(DeliveryError::Post(_))));
    let refused = deliver(&mut shelf, &mut http, "h", 9);
    assert!(matches!(refused, Err(DeliveryError::Refused { status: 429 })), "{refused:?}");
    assert_eq!(deliver(&mut shelf, &mut http, "h", 9).unwrap(), 3);
    assert_eq!(poster.0.len(), 3);
    let (body, media_type) = &poster.0[2];
    assert_eq!(media_type, "application/x-ndjson");
    assert_eq!(body.split(|byte| *byte == b'\n').count() - 1, 3);
}
