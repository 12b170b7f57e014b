//! The client's own HTTP: what it does on the wire and where it does not go.

use doorward_core::Secret;
use doorward_identity::oauth_client::{Ask, Content, Http, HttpError, HyperHttp, Reach};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn get(url: &str) -> Ask {
    Ask { url: url.parse().unwrap(), content: Content::None, authorization: None }
}

/// Serves this answer to everybody and hands out the first request.
async fn serve(answer: String) -> (u16, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let length = stream.read(&mut request).await.unwrap();
        stream.write_all(answer.as_bytes()).await.ok();
        String::from_utf8_lossy(&request[..length]).into_owned()
    });
    (port, served)
}

#[tokio::test]
async fn names_and_addresses_of_this_machine_are_out_of_reach() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let http = HyperHttp::new(Reach::default(), None).unwrap();
    for host in ["localhost", "127.0.0.1", "[::1]", "0.0.0.0", "[::ffff:127.0.0.1]", "127.1"] {
        for scheme in ["https", "http"] {
            let sent = http.send(get(&format!("{scheme}://{host}:{port}/"))).await;
            assert!(
                matches!(sent, Err(HttpError::OutOfReach | HttpError::Broken(_))),
                "{host}: {sent:?}"
            );
        }
    }
    let none = tokio::time::timeout(std::time::Duration::from_millis(50), listener.accept()).await;
    assert!(none.is_err(), "somebody connected");
    // What is declared is reached, but not in the clear.
    let http = HyperHttp::new(Reach::default().with_host("localhost"), None).unwrap();
    let sent = http.send(get(&format!("http://localhost:{port}/"))).await;
    assert!(matches!(sent, Err(HttpError::OutOfReach)), "{sent:?}");
}

#[tokio::test]
async fn a_form_is_posted_and_a_redirect_is_not_followed() {
    let answer = "HTTP/1.1 307 x\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 2\r\n\r\n{}";
    let (port, served) = serve(answer.to_owned()).await;
    let http = HyperHttp::new(Reach::default().with_private_networks(), None).unwrap();
    let ask = Ask {
        content: Content::Form(Secret::new("a=b")),
        authorization: Some(Secret::new("Basic eA==")),
        ..get(&format!("http://localhost:{port}/token"))
    };
    let answer = http.send(ask).await.unwrap();
    assert_eq!((answer.status, answer.location.as_deref()), (307, Some("http://127.0.0.1:1/")));
    let request = served.await.unwrap().to_ascii_lowercase();
    assert!(request.starts_with("post /token http/1.1\r\n"), "{request}");
    assert!(request.contains("content-type: application/x-www-form-urlencoded\r\n"));
    assert!(request.contains("authorization: basic ea==\r\n"));
    assert!(request.ends_with("\r\n\r\na=b"));
}

#[tokio::test]
async fn an_answer_without_end_is_given_up() {
    let body = "x".repeat(300 << 10);
    let answer = format!("HTTP/1.1 200 x\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let (port, _served) = serve(answer).await;
    let http = HyperHttp::new(Reach::default().with_private_networks(), None).unwrap();
    let sent = http.send(get(&format!("http://127.0.0.1:{port}/"))).await;
    assert!(matches!(sent, Err(HttpError::TooLarge)), "{sent:?}");
}
