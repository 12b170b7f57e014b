//! An HTTP API that a document describes, called as tools.

use doorward_testkit::provider::{Answer, Provider};
use serde_json::json;

use crate::fixture::HARMLESS;
use crate::gateway::Site;

const DOCUMENT: &str = r#"
openapi: 3.1.0
info: { title: Shop, version: "1" }
servers: [{ url: "https://api.invalid" }]
paths:
  /orders/{id}:
    get:
      operationId: getOrder
      summary: One order
      parameters:
        - { name: id, in: path, required: true, schema: { type: integer } }
        - { name: fields, in: query, schema: { type: array, items: { type: string } } }
      responses: { "200": { description: The order } }
  /orders:
    post:
      operationId: createOrder
      requestBody:
        required: true
        content:
          application/json:
            schema:
              type: object
              required: [item]
              additionalProperties: false
              properties: { item: { type: string }, count: { type: integer, minimum: 1 } }
      responses: { "201": { description: Made } }
  /admin/wipe:
    post:
      operationId: wipe
      responses: { "200": { description: All is gone } }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn operations_are_tools_and_their_arguments_arrive() {
    let api = Provider::start(|request| match request.target.as_str() {
        target if target.starts_with("GET /v2/orders/7") => {
            Answer::json(200, r#"{"id":7,"item":"chair"}"#)
        }
        "POST /v2/orders" => Answer::json(201, r#"{"id":8}"#),
        _ => Answer::json(404, r#"{"error":"no such order"}"#),
    })
    .await
    .unwrap();
    let site = Site::new("");
    let document = site.path().join("shop.yaml");
    std::fs::write(&document, DOCUMENT).unwrap();
    let text = std::fs::read_to_string(&site.config).unwrap();
    let section = format!(
        "[[server]]\nname = \"shop\"\nopenapi = \"{}\"\nbase_url = \"{}/v2\"\n\
         exclude = [\"wipe\"]\nheader = {{ name = \"x-shop-key\", value = {{ env = \"SHOP\" }} }}\n\n",
        document.display(),
        api.url()
    );
    std::fs::write(&site.config, [text, section, HARMLESS.into()].concat()).unwrap();
    let key = site.key(&["--name", "ci"]);
    let gateway = site.start_with(&[("SHOP", "shop-secret-91")]);
    let mut tools = gateway.tools(&key).await;
    tools.sort();
    assert_eq!(tools, ["shop__createOrder", "shop__getOrder"], "{}", gateway.log());

    let (text, failed) =
        gateway.call(&key, "shop__getOrder", json!({ "id": 7, "fields": ["item", "a b"] })).await;
    assert!(!failed && text.contains("chair"), "{text}");
    let made = json!({ "body": { "item": "table", "count": 2 } });
    let (text, failed) = gateway.call(&key, "shop__createOrder", made).await;
    assert!(!failed && text.contains('8'), "{text}");
    let seen = api.recorded();
    assert_eq!(seen[0].target, "GET /v2/orders/7?fields=item&fields=a%20b");
    assert_eq!(seen[1].json(), json!({ "item": "table", "count": 2 }));
    assert!(seen.iter().all(|request| request.headers["x-shop-key"] == "shop-secret-91"));

    let (text, failed) = gateway.call(&key, "shop__getOrder", json!({ "id": 9 })).await;
    assert!(failed && text.contains("no such order") && text.contains("404"), "{text}");
    // What does not fit the schema goes nowhere.
    let sent = api.recorded().len();
    for (tool, arguments) in [
        ("shop__getOrder", json!({})),
        ("shop__getOrder", json!({ "id": "../admin" })),
        ("shop__createOrder", json!({ "body": { "count": 1 } })),
        ("shop__createOrder", json!({ "body": { "item": "x", "count": 0 } })),
        ("shop__wipe", json!({})),
    ] {
        let (text, failed) = gateway.call(&key, tool, arguments.clone()).await;
        assert!(failed, "{tool} {arguments}: {text}");
    }
    assert_eq!(api.recorded().len(), sent);

    let list = gateway.mcp("/mcp", &key, "tools/list", json!({})).await.unwrap().to_string();
    assert!(!list.contains("x-shop-key") && !list.contains("shop-secret-91"), "{list}");
    assert!(!gateway.log().contains("shop-secret-91"));
    gateway.stop();
    assert!(!site.run(&["audit", "export"]).unwrap().contains("shop-secret-91"));
}
