//! Documents as people write them, and calls as models make them.

use doorward_core::Secret;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const PETS: &str = include_str!("tests/pets.yaml");

fn raw(value: &Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).unwrap()
}

fn pets() -> OpenApi {
    OpenApi::read(PETS.as_bytes(), &OpenApiOptions::default()).unwrap()
}

fn definition(api: &OpenApi, name: &str) -> Value {
    let found = api.definitions().iter().find(|definition| definition.name == name);
    serde_json::from_str(found.unwrap_or_else(|| panic!("no {name}")).json.get()).unwrap()
}

fn key() -> Credential {
    Credential::Key(Secret::new("k 1"))
}

fn request(api: &OpenApi, tool: &str, arguments: &Value) -> Request<Bytes> {
    api.request(tool, &raw(arguments), None).unwrap()
}

fn refusal(api: &OpenApi, tool: &str, arguments: &Value) -> String {
    api.request(tool, &raw(arguments), None).unwrap_err().to_string()
}

#[test]
fn operations_become_tools() {
    let api = pets();
    let mut names: Vec<_> = api.definitions().iter().map(|tool| tool.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "createPet",
            "delete_pets_petId",
            "getFile",
            "listPets",
            "patchPet",
            "pets_get_one",
            "putPet",
            "upload",
            "uploadRaw",
            "uploadText",
        ]
    );
    let list = definition(&api, "listPets");
    assert_eq!(list["title"], "List pets");
    assert_eq!(list["annotations"], json!({"readOnlyHint": true, "openWorldHint": true}));
    assert_eq!(list["inputSchema"]["additionalProperties"], false);
    let properties = list["inputSchema"]["properties"].as_object().unwrap();
    // Credentials and what frames a message are no arguments.
    let arguments: Vec<_> = properties.keys().map(String::as_str).collect();
    assert_eq!(
        arguments,
        ["limit", "page_token", "tags", "filter", "extra", "where", "X-Trace", "theme"]
    );
    assert_eq!(
        properties["limit"],
        json!({"type": "integer", "exclusiveMinimum": 0, "maximum": 100})
    );
    assert!(list.get("outputSchema").is_none(), "a list is no structured content");
    let delete = definition(&api, "delete_pets_petId");
    assert_eq!(delete["annotations"]["destructiveHint"], true);
    assert_eq!(delete["annotations"]["idempotentHint"], true);
    assert_eq!(delete["description"], "DELETE /pets/{petId}");
}

#[test]
fn schemas_are_of_2020_12_and_complete() {
    let api = pets();
    let create = definition(&api, "createPet");
    let body = &create["inputSchema"]["properties"]["body"];
    assert_eq!(create["inputSchema"]["required"], json!(["body"]));
    // What the server sets is not asked for, what it takes is not told.
    assert_eq!(body["required"], json!(["name"]));
    assert!(body["properties"].get("id").is_none());
    assert_eq!(body["properties"]["name"], json!({"type": "string", "examples": ["Rex"]}));
    assert_eq!(
        body["properties"]["tag"],
        json!({"type": ["string", "null"], "enum": ["dog", "cat", null]})
    );
    assert_eq!(
        body["properties"]["owner"]["properties"]["pets"]["items"],
        json!({"$ref": "#/$defs/Pet"})
    );
    assert!(create["inputSchema"]["$defs"]["Pet"]["properties"].get("password").is_some());
    let output = &create["outputSchema"];
    assert!(output["properties"].get("password").is_none());
    assert!(output["properties"].get("id").is_some());
    assert_eq!(output["type"], "object");
    let raw = definition(&api, "upload");
    let file = &raw["inputSchema"]["properties"]["body"]["properties"]["file"];
    assert_eq!(*file, json!({"type": "string", "contentEncoding": "base64"}));
}

#[test]
fn what_cannot_be_carried_is_told_with_its_place() {
    let api = pets();
    let told: Vec<_> = api
        .skipped()
        .iter()
        .map(|skipped| (skipped.operation.as_str(), skipped.pointer.as_str()))
        .collect();
    let mut told = told;
    told.sort_unstable();
    assert_eq!(
        told,
        [
            ("GET /both", "/paths/~1both/get/security"),
            ("GET /elsewhere", "/paths/~1elsewhere/get"),
            ("GET /far", "/paths/~1far/get/parameters/0/$ref"),
            ("GET /local", "/paths/~1local/get/parameters/0/schema/$ref"),
            ("POST /xml", "/paths/~1xml/post/requestBody/content"),
        ]
    );
    let far = api.skipped().iter().find(|skipped| skipped.operation == "GET /far").unwrap();
    assert!(far.reason.contains("https://evil.example.com/parameters.yaml#/x"), "{far}");
}

#[test]
fn documents_that_cannot_be_used_say_why() {
    let read =
        |text: &str, options: &OpenApiOptions| OpenApi::read(text.as_bytes(), options).unwrap_err();
    let plain = OpenApiOptions::default();
    assert!(matches!(read("{", &plain), OpenApiError::Syntax(_)));
    assert!(matches!(read("a: [", &plain), OpenApiError::Syntax(_)));
    assert_eq!(read(r#"{"swagger":"2.0"}"#, &plain), OpenApiError::Version("swagger 2.0".into()));
    assert_eq!(read("openapi: 3.2.0", &plain), OpenApiError::Version("3.2.0".into()));
    let bare = |servers: &str| {
        format!(r#"{{"openapi":"3.1.0","servers":{servers},"paths":{{"/a":{{"get":{{}}}}}}}}"#)
    };
    for (servers, pointer) in [
        ("[]", "/servers"),
        (r#"[{"url":"/v1"}]"#, "/servers/0"),
        (r#"[{"url":"ftp://h"}]"#, "/servers/0"),
        (r#"[{"url":"https://user:pw@h"}]"#, "/servers/0"),
        (r#"[{"url":"https://h/../x"}]"#, "/servers/0"),
        (r#"[{"url":"https://{h}/"}]"#, "/servers/0"),
        (r#"[{"url":"https://h/?a=b"}]"#, "/servers/0"),
    ] {
        match read(&bare(servers), &plain) {
            OpenApiError::Invalid { pointer: found, .. } => assert_eq!(found, pointer, "{servers}"),
            other => panic!("{servers}: {other}"),
        }
    }
    let few = OpenApiOptions { max_tools: 2, ..plain.clone() };
    assert!(matches!(read(PETS, &few), OpenApiError::TooMany { most: 2, .. }));
    let none = OpenApiOptions { include: vec![Pattern::new("onlyXml")], ..plain };
    assert!(read(PETS, &none).to_string().contains("POST /xml"));
    let bomb = "openapi: 3.1.0\na: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f,*f]\nh: [*g,*g,*g,*g,*g,*g,*g,*g,*g,*g]\n";
    assert!(matches!(read(bomb, &OpenApiOptions::default()), OpenApiError::Syntax(_)));
}

#[test]
fn operators_choose_operations() {
    let names = |include: &[&str], exclude: &[&str]| {
        let patterns = |list: &[&str]| list.iter().map(|text| Pattern::new(*text)).collect();
        let options = OpenApiOptions {
            include: patterns(include),
            exclude: patterns(exclude),
            ..OpenApiOptions::default()
        };
        let api = OpenApi::read(PETS.as_bytes(), &options).unwrap();
        let mut names: Vec<_> = api.definitions().iter().map(|tool| tool.name.clone()).collect();
        names.sort_unstable();
        names
    };
    assert_eq!(names(&["pets"], &[]), ["listPets"]);
    assert_eq!(names(&["GET /pets*"], &[]), ["listPets", "pets_get_one"]);
    assert_eq!(
        names(&["/pets*"], &["DELETE *", "put*"]),
        ["createPet", "listPets", "patchPet", "pets_get_one"]
    );
}

#[test]
fn parameters_go_where_the_document_says() {
    let api = pets();
    let arguments = json!({
        "limit": 5, "page_token": "a&b", "tags": ["x", "y|z"], "filter": {"age": {"min": 1}},
        "where": {"a": "b c"}, "X-Trace": "t", "theme": "dark; sid=1", "extra": {"k": true},
    });
    let made = request(&api, "listPets", &arguments);
    assert_eq!(made.method(), Method::GET);
    assert_eq!(
        made.uri().to_string(),
        "https://eu.pets.example.com/v1/pets?limit=5&page_token=a%26b&tags=x%7Cy%7Cz\
         &filter%5Bage%5D%5Bmin%5D=1&k=true&where=%7B%22a%22%3A%22b%20c%22%7D"
    );
    assert_eq!(made.headers()["x-trace"], "t");
    assert_eq!(made.headers()["cookie"], "theme=dark%3B%20sid%3D1");
    // A name taken twice gains its place.
    let put = definition(&api, "putPet");
    let names: Vec<_> =
        put["inputSchema"]["properties"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, ["petId", "petId_query", "body_header", "body"]);
    let made = request(
        &api,
        "putPet",
        &json!({"petId": 1, "petId_query": "q", "body_header": "h", "body": {"a": 1}}),
    );
    assert_eq!(made.uri().to_string(), "https://eu.pets.example.com/v1/pets/1?petId=q");
    assert_eq!(made.headers()["body"], "h");
    assert_eq!(made.body(), r#"{"a":1}"#);
}

#[test]
fn arguments_are_known_given_once_and_enough() {
    let api = pets();
    for (tool, arguments, told) in [
        ("pets_get_one", json!({}), "petId: is required"),
        ("createPet", json!({}), "body: is required"),
        ("listPets", json!({"nope": 1}), "nope: there is no such argument"),
        ("listPets", json!({"api_key": "x"}), "api_key: there is no such argument"),
        ("listPets", json!({"Authorization": "x"}), "Authorization: there is no such argument"),
        (
            "listPets",
            json!({"extra": {"api_key": "x"}}),
            "extra: has a member that is not for it to set",
        ),
        (
            "listPets",
            json!({"extra": {"limit": 1}}),
            "extra: has a member that is not for it to set",
        ),
        (
            "listPets",
            json!({"X-Trace": "a\r\nX-Admin: 1"}),
            "X-Trace: holds characters that a header cannot hold",
        ),
        ("nope", json!({}), "there is no tool \"nope\""),
    ] {
        assert_eq!(refusal(&api, tool, &arguments), told);
    }
    let twice = RawValue::from_string(r#"{"petId":1,"petId":2}"#.into()).unwrap();
    assert!(api.request("pets_get_one", &twice, None).is_err());
    let list = RawValue::from_string("[]".into()).unwrap();
    assert!(api.request("pets_get_one", &list, None).is_err());
}

#[test]
fn path_arguments_stay_in_their_place() {
    let api = pets();
    for (name, ending) in
        [("..", "x"), ("a/../..", "x"), ("", "x"), ("a", "../../admin"), ("%2e%2e/", "x")]
    {
        refusal(&api, "getFile", &json!({"name": name, "ending": ending}));
    }
    let made = request(&api, "getFile", &json!({"name": "a/b?c#d", "ending": "txt"}));
    assert_eq!(made.uri().path(), "/v1/files/a%2Fb%3Fc%23d.txt");
    assert_eq!(made.uri().query(), None);
}

#[test]
fn the_credential_goes_where_the_scheme_says() {
    let api = pets();
    let shown = |tool: &str, arguments: Value, credential: &Credential| {
        let made = api.request(tool, &raw(&arguments), Some(credential)).unwrap();
        let header =
            |name: &str| made.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        (
            made.uri().query().map(str::to_owned),
            header("authorization"),
            header("cookie"),
            header("x-pets-key"),
        )
    };
    let id = json!({"petId": 1});
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        shown("listPets", json!({"limit": 1}), &key()),
        (some("limit=1&api_key=k%201"), None, None, None)
    );
    assert_eq!(
        shown("pets_get_one", id.clone(), &key()),
        (None, some("Basic ayAxOg=="), None, None)
    );
    let pair = Credential::Key(Secret::new("ann:pw"));
    assert_eq!(shown("pets_get_one", id.clone(), &pair).1, some("Basic YW5uOnB3"));
    assert_eq!(shown("putPet", id.clone(), &key()).2, some("sid=k%201"));
    assert_eq!(shown("patchPet", id.clone(), &key()).3, some("k 1"));
    assert_eq!(shown("delete_pets_petId", id.clone(), &key()), (None, None, None, None));
    let file = json!({"name": "a", "ending": "b"});
    assert_eq!(shown("getFile", file, &key()).1, some("Bearer k 1"));
    let own = Credential::Header { name: "x-own".into(), value: Secret::new("v") };
    let made = api.request("pets_get_one", &raw(&id), Some(&own)).unwrap();
    assert_eq!(made.headers()["x-own"], "v");
    assert!(!format!("{made:?}").contains("\"v\""), "credentials are not shown");
    let broken = Credential::Key(Secret::new("a\r\nb"));
    let refused = api.request("patchPet", &raw(&id), Some(&broken)).unwrap_err();
    assert!(!refused.to_string().contains('\n'));
}

#[test]
fn bodies_are_written_in_their_format() {
    let api = pets();
    let made = request(&api, "upload", &json!({"body": {"file": "aGk=", "note": "n"}}));
    assert!(
        made.headers()["content-type"]
            .to_str()
            .unwrap()
            .starts_with("multipart/form-data; boundary=")
    );
    assert!(
        String::from_utf8_lossy(made.body())
            .contains("filename=\"file\"\r\nContent-Type: application/octet-stream\r\n\r\nhi\r\n")
    );
    assert_eq!(request(&api, "uploadRaw", &json!({"body": "AAE="})).body().as_ref(), [0, 1]);
    assert_eq!(request(&api, "uploadText", &json!({"body": "a\nb"})).body(), "a\nb");
    assert_eq!(refusal(&api, "uploadText", &json!({"body": {}})), "body: must be a text");
    let exact =
        RawValue::from_string(r#"{"body": {"n": 1.0, "big": 12345678901234567890123} }"#.into())
            .unwrap();
    let made = api.request("createPet", &exact, None).unwrap();
    assert_eq!(made.body(), r#"{"n": 1.0, "big": 12345678901234567890123}"#);
    assert_eq!(made.headers()["content-type"], "application/json");
}

/// As large payment APIs describe themselves: forms, `deepObject`, one key as a user name.
#[test]
fn form_apis_are_called_with_forms() {
    let document = json!({
        "openapi": "3.0.0", "servers": [{"url": "https://pay.example.com/"}],
        "security": [{"basic": []}, {"bearer": []}],
        "components": {"securitySchemes": {
            "basic": {"type": "http", "scheme": "basic"}, "bearer": {"type": "http", "scheme": "bearer"}}},
        "paths": {"/v1/customers": {
            "get": {"operationId": "GetCustomers", "parameters": [
                {"name": "created", "in": "query", "style": "deepObject", "explode": true, "schema": {"anyOf": [
                    {"type": "object", "properties": {"gt": {"type": "integer"}}}, {"type": "integer"}]}},
                {"name": "expand", "in": "query", "style": "deepObject", "explode": true,
                    "schema": {"type": "array", "items": {"type": "string"}}},
                {"name": "starting_after", "in": "query", "schema": {"type": "string"}}],
                "requestBody": {"content": {"application/x-www-form-urlencoded": {"encoding": {}, "schema": {"type": "object", "properties": {}}}}},
                "responses": {"200": {"description": "", "content": {"application/json": {"schema": {"type": "object", "required": ["data"], "properties": {"data": {"type": "array", "items": {}}}}}}},
                    "default": {"description": "error"}}},
            "post": {"operationId": "PostCustomers", "requestBody": {"content": {"application/x-www-form-urlencoded": {
                "encoding": {"metadata": {"style": "deepObject", "explode": true}},
                "schema": {"type": "object", "properties": {"email": {"type": "string"}, "metadata": {"type": "object"}}}}}}}
        }}
    });
    let api = OpenApi::read(document.to_string().as_bytes(), &OpenApiOptions::default()).unwrap();
    let made = request(&api, "GetCustomers", &json!({"created": {"gt": 5}, "expand": ["data.a"]}));
    assert_eq!(
        made.uri().to_string(),
        "https://pay.example.com/v1/customers?created%5Bgt%5D=5&expand%5B0%5D=data.a"
    );
    let made = api
        .request(
            "PostCustomers",
            &raw(&json!({"body": {"email": "a@b", "metadata": {"k": "v"}}})),
            Some(&key()),
        )
        .unwrap();
    assert_eq!(made.body(), "email=a%40b&metadata%5Bk%5D=v");
    assert_eq!(made.headers()["content-type"], "application/x-www-form-urlencoded");
    assert_eq!(made.headers()["authorization"], "Basic ayAxOg==");
    assert_eq!(definition(&api, "GetCustomers")["outputSchema"]["required"], json!(["data"]));
    let page = json!({"has_more": true, "data": [{"id": "c_1"}, {"id": "c_2"}]});
    assert_eq!(
        next(&api, "GetCustomers", &json!({"expand": ["x"]}), "", &page),
        json!({"expand": ["x"], "starting_after": "c_2"})
    );
    assert_eq!(
        next(
            &api,
            "GetCustomers",
            &json!({}),
            "",
            &json!({"has_more": false, "data": [{"id": "c"}]})
        ),
        Value::Null
    );
}

/// The arguments for the next page that a reply tells.
fn next(api: &OpenApi, tool: &str, arguments: &Value, link: &str, body: &Value) -> Value {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "application/json; charset=utf-8".parse().unwrap());
    headers.insert("link", link.parse().unwrap());
    let body = Bytes::from(body.to_string());
    let reply = api.reply(tool, &raw(arguments), StatusCode::OK, &headers, &body).unwrap();
    let result: Value = serde_json::from_str(reply.result.get()).unwrap();
    let next = result["_meta"]["doorward/next"].clone();
    assert_eq!(result["content"].as_array().unwrap().len() == 2, !next.is_null());
    next
}

#[test]
fn the_next_page_is_told_by_declared_parameters_only() {
    let parameter =
        |name: &str, kind: &str| json!({"name": name, "in": "query", "schema": {"type": kind}});
    let list = |names: &[(&str, &str)]| {
        let parameters: Vec<_> = names.iter().map(|(name, kind)| parameter(name, kind)).collect();
        json!({"get": {"operationId": "list", "parameters": parameters}})
    };
    let api = |names: &[(&str, &str)]| {
        let document = json!({"openapi": "3.1.0", "servers": [{"url": "https://x"}], "paths": {"/a": list(names)}});
        OpenApi::read(document.to_string().as_bytes(), &OpenApiOptions::default()).unwrap()
    };
    let paged = [("page", "integer"), ("per_page", "integer"), ("q", "string")];
    let cursor = [("cursor", "string"), ("limit", "integer")];
    for (names, given, link, body, expected) in [
        (
            &paged[..],
            json!({"q": "a"}),
            r#"<https://x/a?q=a&page=2&per_page=30&token=s>; rel="next", <https://x/a?page=9>; rel="last""#,
            json!([]),
            json!({"q": "a", "page": 2, "per_page": 30}),
        ),
        (&paged[..], json!({}), r#"<https://x/a?page=9>; rel="last""#, json!([]), Value::Null),
        (&paged[..], json!({"page": 1}), "", json!({"next_page": 2}), json!({"page": 2})),
        (&paged[..], json!({}), "", json!({"next": "https://x/a?page=4"}), json!({"page": 4})),
        (&paged[..], json!({}), "", json!({"next": null, "next_page": null}), Value::Null),
        (
            &cursor[..],
            json!({"limit": 5}),
            "",
            json!({"nextCursor": "abc"}),
            json!({"limit": 5, "cursor": "abc"}),
        ),
        (
            &cursor[..],
            json!({}),
            "",
            json!({"response_metadata": {"next_cursor": "dXNlcg=="}}),
            json!({"cursor": "dXNlcg=="}),
        ),
        (
            &cursor[..],
            json!({}),
            "",
            json!({"response_metadata": {"next_cursor": ""}}),
            Value::Null,
        ),
        (&cursor[..], json!({"cursor": "same"}), "", json!({"nextCursor": "same"}), Value::Null),
        (
            &cursor[..],
            json!({}),
            "",
            json!({"_links": {"next": {"href": "/a?cursor=z"}}}),
            json!({"cursor": "z"}),
        ),
        (&[("q", "string")][..], json!({}), "", json!({"nextCursor": "abc"}), Value::Null),
        (
            &[("page_token", "string")][..],
            json!({}),
            "",
            json!({"nextPageToken": "t"}),
            json!({"page_token": "t"}),
        ),
    ] {
        assert_eq!(next(&api(names), "list", &given, link, &body), expected, "{link} {body}");
    }
}

#[test]
fn answers_become_results() {
    let api = pets();
    let reply = |status: u16, media: &str, body: &[u8]| {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", media.parse().unwrap());
        headers.insert("retry-after", "7".parse().unwrap());
        headers.insert("location", "https://evil.example.com/".parse().unwrap());
        let status = StatusCode::from_u16(status).unwrap();
        let body = Bytes::copy_from_slice(body);
        let reply = api.reply("listPets", &raw(&json!({})), status, &headers, &body).unwrap();
        let result: Value = serde_json::from_str(reply.result.get()).unwrap();
        assert_eq!(reply.is_error, result["isError"] == true);
        (result["content"][0].clone(), result["structuredContent"].clone(), reply.is_error)
    };
    let words = |text: &str| json!({"type": "text", "text": text});
    for (status, media, body, content, structured) in [
        (200, "application/json", &b"{\"a\":\n1.0}"[..], words("{\"a\": 1.0}"), json!({"a": 1.0})),
        (200, "application/problem+json; charset=utf-8", b"{}", words("{}"), json!({})),
        (200, "application/json", b"[1]", words("[1]"), Value::Null),
        (200, "application/json", b"{broken", words("{broken"), Value::Null),
        (200, "text/plain; charset=iso-8859-1", b"\xe9", words("é"), Value::Null),
        (200, "text/html", b"<p>", words("<p>"), Value::Null),
        (204, "", b"", words("HTTP 204 No Content"), Value::Null),
        (
            200,
            "image/png",
            b"\x89P",
            json!({"type": "image", "data": "iVA=", "mimeType": "image/png"}),
            Value::Null,
        ),
        (
            200,
            "audio/mpeg",
            b"\xff",
            json!({"type": "audio", "data": "/w==", "mimeType": "audio/mpeg"}),
            Value::Null,
        ),
        (
            200,
            "application/zip",
            b"PK",
            json!({"type": "resource", "resource": {"uri": "doorward:result/listPets", "mimeType": "application/zip", "blob": "UEs="}}),
            Value::Null,
        ),
    ] {
        assert_eq!(reply(status, media, body), (content, structured, false), "{media}");
    }
    let (content, _, is_error) = reply(429, "application/json", br#"{"message":"slow down"}"#);
    assert_eq!(
        content,
        words("HTTP 429 Too Many Requests\nRetry-After: 7\n{\"message\":\"slow down\"}")
    );
    assert!(is_error);
    let (content, _, is_error) = reply(302, "text/html", b"");
    assert!(is_error && content["text"].as_str().unwrap().contains("redirects are not followed"));
    let (content, ..) = reply(500, "text/plain", "é".repeat(10_000).as_bytes());
    assert!(content["text"].as_str().unwrap().chars().count() < 4_100);
    let large = vec![0; 5 << 20];
    assert!(
        reply(200, "application/zip", &large).0["text"].as_str().unwrap().contains("5242880 bytes")
    );
}

/// As large source hosting APIs describe themselves: 3.1, enumerations, arrays, notes beside
/// references, no security at all.
#[test]
fn version_3_1_is_read_as_it_is() {
    let document = json!({
        "openapi": "3.1.0", "servers": [{"url": "https://api.code.example.com"}],
        "components": {
            "parameters": {"owner": {"name": "owner", "in": "path", "required": true, "schema": {"type": "string"}}},
            "schemas": {
                "state": {"type": "string", "enum": ["open", "closed"], "description": "Any state."},
                "node": {"type": "object", "properties": {"next": {"$ref": "#/components/schemas/node"}}},
                "issue": {"type": ["object"], "properties": {"body": {"type": ["string", "null"]}, "state": {"$ref": "#/components/schemas/state"}}}
            }
        },
        "paths": {"/repos/{owner}/issues": {"get": {
            "operationId": "issues/list-for-repo",
            "parameters": [
                {"$ref": "#/components/parameters/owner"},
                {"name": "state", "in": "query", "schema": {"$ref": "#/components/schemas/state", "description": "Which state.", "default": "open"}},
                {"name": "labels", "in": "query", "explode": false, "schema": {"type": "array", "items": {"type": "string"}}},
                {"name": "node", "in": "query", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/node"}}}},
                {"name": "page[size]", "in": "query", "schema": {"const": 10}, "required": true}
            ],
            "responses": {"200": {"description": "", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/issue"}}}},
                "202": {"description": "later"}}
        }}}
    });
    let api = OpenApi::read(document.to_string().as_bytes(), &OpenApiOptions::default()).unwrap();
    let tool = definition(&api, "issues_list-for-repo");
    let input = &tool["inputSchema"];
    assert_eq!(
        input["properties"]["state"],
        json!({"type": "string", "enum": ["open", "closed"], "description": "Which state.", "default": "open"})
    );
    assert_eq!(input["properties"]["node"]["properties"]["next"], json!({"$ref": "#/$defs/node"}));
    assert_eq!(input["$defs"]["node"]["properties"]["next"], json!({"$ref": "#/$defs/node"}));
    assert_eq!(input["required"], json!(["owner"]));
    assert!(tool.get("outputSchema").is_none(), "another success has no content");
    let made = api
        .request(
            "issues_list-for-repo",
            &raw(&json!({"owner": "o", "labels": ["a", "b c"]})),
            Some(&key()),
        )
        .unwrap();
    assert_eq!(
        made.uri().to_string(),
        "https://api.code.example.com/repos/o/issues?labels=a,b%20c&page%5Bsize%5D=10"
    );
    assert_eq!(made.headers()["authorization"], "Bearer k 1");
    let moved = OpenApiOptions {
        base_url: Some("http://127.0.0.1:1/x/".into()),
        ..OpenApiOptions::default()
    };
    let api = OpenApi::read(document.to_string().as_bytes(), &moved).unwrap();
    let made = request(&api, "issues_list-for-repo", &json!({"owner": "o"}));
    assert!(made.uri().to_string().starts_with("http://127.0.0.1:1/x/repos/o/issues?"));
    assert!(!api.is_secure());
}

#[test]
fn what_grows_without_end_is_kept_apart() {
    // Each schema names the next one twice: inlined it would double at every step.
    let mut schemas = serde_json::Map::new();
    for level in 0..30 {
        let next = json!({"$ref": format!("#/components/schemas/s{}", level + 1)});
        schemas.insert(
            format!("s{level}"),
            json!({"type": "object", "properties": {"a": next, "b": next}}),
        );
    }
    schemas.insert("s30".into(), json!({"type": "string"}));
    let document = json!({"openapi": "3.1.0", "servers": [{"url": "https://x"}], "components": {"schemas": schemas},
        "paths": {"/a": {"post": {"operationId": "a", "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/s0"}}}}}},
            "/b": {"get": {"operationId": "b", "parameters": [{"$ref": "#/paths/~1b/get/parameters/0"}]}}}});
    let api = OpenApi::read(document.to_string().as_bytes(), &OpenApiOptions::default()).unwrap();
    let tool = definition(&api, "a");
    assert!(tool["inputSchema"]["$defs"].as_object().unwrap().len() > 5);
    assert!(tool.to_string().len() < 256 << 10);
    assert_eq!(api.skipped()[0].reason, "references lead in a circle");
}

#[test]
fn no_text_leads_out_of_a_path() {
    let api = pets();
    let texts = prop_oneof!["\\PC{0,12}", "[./\\\\%25;2eE\\n]{1,12}"];
    proptest!(|(name in texts.clone(), ending in texts)| {
        if let Ok(made) = api.request("getFile", &raw(&json!({"name": name, "ending": ending})), None) {
            let segments: Vec<_> = made.uri().path().split('/').collect();
            prop_assert_eq!(&segments[..3], &["", "v1", "files"]);
            prop_assert_eq!(segments.len(), 4);
            let last = escape::decoded(segments[3]).unwrap();
            prop_assert_eq!(&last, &format!("{name}.{ending}"));
            prop_assert!(last.split(['/', '\\']).all(|step| step != ".."));
        }
    });
}

#[test]
fn no_document_panics() {
    let places = prop::collection::vec((0..PETS.len(), "[ -~\\n]{0,3}"), 1..4);
    proptest!(ProptestConfig::with_cases(60), |(places in places)| {
        let mut text = PETS.to_owned();
        for (at, piece) in places {
            if text.is_char_boundary(at) && at < text.len() {
                text.insert_str(at, &piece);
            }
        }
        let _ = OpenApi::read(text.as_bytes(), &OpenApiOptions::default());
    });
}

#[cfg(feature = "schema")]
#[test]
fn the_schemas_of_tools_compile() {
    use crate::schema::Checked;
    for tool in pets().definitions() {
        for member in ["inputSchema", "outputSchema"] {
            let Some(schema) = crate::edit::member(tool.json.get(), member) else { continue };
            let schema = RawValue::from_string(schema.to_owned()).unwrap();
            assert!(Checked::compile(&schema).is_ok(), "{} {member}", tool.name);
        }
    }
}
