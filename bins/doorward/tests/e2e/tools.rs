//! The tool route.

use std::time::Duration;

use serde_json::json;

use crate::gateway::Site;
use crate::process::everything;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the clients that scripts/test installs"]
async fn a_real_server_is_listed_and_called_in_its_sandbox() {
    let site = Site::new(&everything());
    let key = site.key(&["--name", "ci"]);
    let gateway = site.start();
    let tools = gateway.tools(&key).await;
    assert!(
        tools.len() >= 10 && tools.contains(&"everything__echo".to_owned()),
        "{tools:?}\n{}",
        gateway.log()
    );
    let (text, failed) = gateway.call(&key, "everything__echo", json!({ "message": "hé" })).await;
    assert_eq!((text.as_str(), failed), ("Echo: hé", false));
    let (text, _) = gateway.call(&key, "everything__get-env", json!({})).await;
    assert!(text.contains("HOME") && !text.contains("UPSTREAM"), "a cleared environment: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_server_is_federated_beside_a_child() {
    // Another gateway is an MCP server by HTTP as good as any.
    let program = env!("CARGO_BIN_EXE_doorward");
    let tracker = format!(
        "[[server]]\nname = \"tracker\"\ncommand = [{program:?}, \"demo-server\", \"tracker\"]\n\n[[contract]]\ntool = \"*\"\neffect = \"read\"\n"
    );
    let inner = Site::new(&tracker);
    let inner_key = inner.key(&["--name", "outer"]);
    let far = inner.start();
    assert_eq!(far.tools(&inner_key).await, ["tracker__get_issue"]);

    let outer = Site::new(&format!(
        "{tracker}\n[[server]]\nname = \"far\"\nurl = \"{}/mcp/tracker\"\nheader = {{ name = \"authorization\", value = {{ env = \"FAR\" }} }}\n",
        far.data
    ));
    let key = outer.key(&["--name", "ci"]);
    let bearer = format!("Bearer {inner_key}");
    let gateway = outer.start_with(&[("FAR", &bearer)]);
    for _ in 0..50 {
        if gateway.tools(&key).await.len() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(gateway.tools(&key).await, ["far__tracker__get_issue", "tracker__get_issue"]);
    let (text, failed) = gateway.call(&key, "far__tracker__get_issue", json!({ "id": 7 })).await;
    assert!(!failed && text.contains("Export fails"), "{text}");
    assert!(!gateway.log().contains(&inner_key), "the upstream's key is not logged");
}
