//! Starting, stopping, and what is told while doing so.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use doorward_testkit::provider::{Answer, Provider};
use doorward_testkit::say::Say;
use http_body_util::BodyExt;
use serde_json::json;

use crate::gateway::{Gateway, Site, doorward, upstream};

#[tokio::test(flavor = "multi_thread")]
async fn it_serves_without_a_configuration() {
    let provider = Provider::start(|r| Say::text("hello").to(r)).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut command = doorward();
    command.arg("serve").current_dir(folder.path());
    let base = format!("{}/v1", provider.url());
    let environment = [("OPENAI_API_KEY", "sk-from-env"), ("OPENAI_BASE_URL", base.as_str())];
    let gateway = Gateway::spawn(command, &environment);
    let key = gateway.out.trim().to_owned();
    assert!(key.starts_with("dw-"), "the first key is printed once: {}", gateway.out);
    assert_eq!(gateway.get("/healthz", &[]).await, (200, "ok\n".to_owned()));
    assert_eq!(gateway.get("/readyz", &[]).await.0, 200);
    let ask = json!({ "model": "gpt-5-mini", "messages": [{ "role": "user", "content": "hi" }] });
    let (status, body) = gateway.post("/v1/chat/completions", &key, &ask).await;
    assert_eq!((status, &body["choices"][0]["message"]["content"]), (200, &json!("hello")));
    assert!(!gateway.log().contains(&key) && !gateway.log().contains("sk-from-env"));
    let listed = doorward().args(["keys", "list"]).current_dir(folder.path()).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("first") && !listed.contains(&key));
    for file in std::fs::read_dir(folder.path().join("doorward-data")).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        let has = |needle: &str| bytes.windows(needle.len()).any(|w| w == needle.as_bytes());
        assert!(!has(&key) && !has("sk-from-env"), "no secret at rest");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_lets_a_running_answer_end() {
    let provider = Provider::start(|r| {
        Say::text("one two three four five").to(r).every(Duration::from_millis(150))
    })
    .await
    .unwrap();
    let site = Site::new(&upstream("m", "openai-compatible", &provider.url()));
    let key = site.key(&["--name", "ci"]);
    let mut gateway = site.start_with(&[("UPSTREAM_KEY", "k")]);
    let ask = json!({ "model": "m/scripted-1", "stream": true, "messages": [{ "role": "user", "content": "hi" }] });
    let answer = gateway.post_raw("/v1/chat/completions", &key, &ask).await;
    gateway.signal("-TERM");
    let text = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(text.ends_with(b"data: [DONE]\n\n"));
    let status = wait(&mut gateway, Duration::from_secs(4));
    assert!(status.success());
    assert!(site.run(&["audit", "show"]).unwrap().contains("completed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_has_a_deadline() {
    let provider = Provider::start(|_| {
        Answer::events(["data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n"])
            .hang()
    })
    .await
    .unwrap();
    let site = Site::new(&upstream("m", "openai-compatible", &provider.url()));
    let text =
        std::fs::read_to_string(&site.config).unwrap().replace("drain = \"5s\"", "drain = \"1s\"");
    std::fs::write(&site.config, text).unwrap();
    let key = site.key(&["--name", "ci"]);
    let mut gateway = site.start_with(&[("UPSTREAM_KEY", "k")]);
    let ask = json!({ "model": "m/scripted-1", "stream": true, "messages": [{ "role": "user", "content": "hi" }] });
    let answer = gateway.post_raw("/v1/chat/completions", &key, &ask).await;
    let began = Instant::now();
    gateway.signal("-TERM");
    wait(&mut gateway, Duration::from_secs(6));
    assert!(began.elapsed() >= Duration::from_millis(900));
    drop(answer);
    assert!(site.run(&["audit", "verify"]).unwrap().starts_with("intact"));
    assert!(site.run(&["audit", "show"]).unwrap().contains("cancelled"));
}

fn wait(gateway: &mut Gateway, most: Duration) -> std::process::ExitStatus {
    let began = Instant::now();
    loop {
        if let Some(status) = gateway.process.try_wait().unwrap() {
            return status;
        }
        assert!(began.elapsed() < most, "it still runs: {}", gateway.log());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_wrong_configuration_is_one_line_and_exit_64() {
    let site = Site::new("[[upstreem]]\nname = \"x\"\n");
    let output = doorward().args(["serve", "--config"]).arg(&site.config).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(
        told.contains(
            "doorward.toml:9:3: upstreem: unknown key `upstreem`; did you mean `upstream`?"
        ),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_origins_and_rebound_names_are_refused() {
    let site = Site::new("");
    let key = site.key(&["--name", "ci"]);
    let gateway = site.start();
    let bearer = format!("Bearer {key}");
    let with = |name: &'static str, value: &'static str| {
        [("authorization", bearer.clone()), (name, value.to_owned())]
    };
    for (name, value, status) in [
        ("origin", "https://evil.example", 403),
        ("origin", "http://localhost:3000", 200),
        ("host", "evil.example", 403),
        ("host", "localhost:8787", 200),
    ] {
        let headers = with(name, value);
        let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
        assert_eq!(gateway.get("/v1/models", &headers).await.0, status, "{name}: {value}");
    }
    let (status, metrics) = {
        let client = gateway.admin.strip_prefix("http://").unwrap();
        let mut stream = std::net::TcpStream::connect(client).unwrap();
        write!(stream, "GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        (text.starts_with("HTTP/1.1 200"), text)
    };
    assert!(status && metrics.contains("doorward_requests_refused_total 2"), "{metrics}");
}
