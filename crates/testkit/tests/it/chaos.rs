//! Each way goes as it says.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use doorward_testkit::chaos::{ANSWER, Chaos, Way};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What comes back, and whether the connection ended well within half a second.
async fn ask(base: &str, streamed: bool) -> (String, Option<bool>) {
    let (address, way) = base.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let body = format!(
        r#"{{"stream":{streamed},"messages":[{{"role":"user","content":"n {streamed}"}}]}}"#
    );
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head =
        format!("POST /{way}/chat/completions HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    let (mut got, mut piece) = (Vec::new(), [0; 4096]);
    let reading = async {
        loop {
            match stream.read(&mut piece).await {
                Ok(0) => return true,
                Ok(count) => got.extend_from_slice(&piece[..count]),
                Err(_) => return false,
            }
        }
    };
    let patience = if way.starts_with("drip") { 5000 } else { 500 };
    let ended = tokio::time::timeout(Duration::from_millis(patience), reading).await.ok();
    (String::from_utf8(got).unwrap(), ended)
}

#[tokio::test]
async fn each_way_goes_wrong_as_it_says() {
    let chaos = Chaos::start().await.unwrap();
    for way in Way::ALL {
        for streamed in [false, true] {
            let (got, ended) = ask(&chaos.base_url(way), streamed).await;
            let name = way.name();
            let hangs = matches!(way, Way::Hang | Way::HangHead | Way::HangLater);
            assert_eq!(ended.is_none(), hangs, "{name}: {got}");
            let resets =
                matches!(way, Way::ResetBefore | Way::ResetHead | Way::ResetLater | Way::FailedCut);
            assert_eq!(ended == Some(false), resets, "{name}: {got}");
            assert_eq!(got.contains("total_tokens"), way.completes(), "{name}: {got}");
            let told = got.contains("All ") || got.contains(ANSWER);
            // The first half of a whole body need not hold a word of the answer.
            assert!(
                if streamed { told == way.tells() } else { told <= way.tells() },
                "{name}: {got}"
            );
            let attempt = chaos.attempts().pop().unwrap();
            assert_eq!((attempt.way, attempt.streamed), (way, streamed));
            assert_eq!(attempt.mark, format!("n {streamed}"));
            assert_eq!((attempt.billed, attempt.completed), (way.tells(), way.completes()));
        }
    }
}
