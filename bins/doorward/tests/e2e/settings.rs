//! What is told of servers' settings before anything is started.

use serde_json::Value;

use crate::fixture::{Fixture, HARMLESS};
use crate::gateway::{Site, doorward};

/// What `doorward check` prints, whether it finds fault or not.
fn checked(site: &Site, environment: &[(&str, &str)]) -> (bool, String) {
    let mut command = doorward();
    command.arg("check").arg("--config").arg(&site.config).envs(environment.iter().copied());
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[test]
fn check_prints_the_layers_and_what_each_server_lacks() {
    let fixture = Fixture::new("notes", &[]);
    let boxed = "[[server]]\nname = \"boxed\"\ncommand = [\"serve\"]\nsandbox = \"container\"\n\
                 container = { image = \"notes@sha256:00\", program = \"/no/such/podman\" }\n\n";
    let site = Site::new(&[fixture.section(""), HARMLESS.into()].concat());
    let (good, told) = checked(&site, &[]);
    assert!(good, "{told}");
    for layer in ["user namespace", "landlock", "seccomp", "egress", "cgroup"] {
        let holds = |line: &str| line.starts_with("ok") && line.contains(layer);
        assert!(told.lines().any(holds), "{layer} is told: {told}");
    }
    let text = std::fs::read_to_string(&site.config).unwrap();
    std::fs::write(&site.config, [&text, boxed].concat()).unwrap();
    let (good, told) = checked(&site, &[]);
    let faults: Vec<_> = told.lines().filter(|line| line.starts_with("FAIL")).collect();
    assert!(!good && faults.len() == 1, "{told}");
    assert!(faults[0].contains("server `boxed` cannot be run: "), "{told}");
    assert!(faults[0].contains("/no/such/podman"), "{told}");
}

#[test]
fn check_finds_what_would_keep_the_gateway_from_starting() {
    let key = "7c".repeat(32);
    let shop = "[[server]]\nname = \"shop\"\nopenapi = \"/no/such/shop.yaml\"\n";
    let sealed = "[mcp]\nsession_keys = [{ env = \"SESSION\" }]\n";
    for (section, environment, wanted) in [
        (shop, None, Some("server `shop`: /no/such/shop.yaml cannot be read")),
        (sealed, None, Some("a key of `mcp.session_keys`: environment variable `SESSION`")),
        (sealed, Some("beef"), Some("`mcp.session_keys` cannot be used: expected 64 hex")),
        (sealed, Some(key.as_str()), None),
    ] {
        let site = Site::new(section);
        let environment: Vec<_> = environment.map(|value| ("SESSION", value)).into_iter().collect();
        let (good, told) = checked(&site, &environment);
        assert_eq!(good, wanted.is_none(), "{told}");
        assert!(wanted.is_none_or(|wanted| told.contains(wanted)), "{told}");
        assert!(!told.contains("beef"), "{told}");
    }
}

#[test]
fn a_host_that_cannot_be_one_is_refused_with_its_line() {
    let site = Site::new(
        "[[server]]\nname = \"web\"\ncommand = [\"x\"]\negress = { hosts = [\"https://a.example/\"] }\n",
    );
    for verb in ["check", "serve"] {
        let told = site.run(&[verb]).unwrap_err();
        let wanted = "doorward.toml:12:20: server[0].egress.hosts: `https://a.example/` cannot be \
                      used: it is a host with or without a port, not a URL";
        assert!(told.contains(wanted), "{told}");
    }
}

#[test]
fn the_schema_is_printed_with_the_keys_of_servers() {
    let output = doorward().arg("schema").output().unwrap();
    let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
    let server = &schema["$defs"]["ServerConfig"]["properties"];
    for key in ["openapi", "egress", "pins", "validate", "redact", "oauth", "shared", "limits"] {
        assert!(server.get(key).is_some(), "{key}: {server}");
    }
    assert!(schema["$defs"]["McpConfig"]["properties"]["session_keys"].is_object());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_in_yaml_is_as_good() {
    let fixture = Fixture::new("notes", &["add"]);
    let mut site = Site::new("");
    // Lists are written alike in both languages.
    let section = fixture.section("");
    let value = |key: &str| section.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    let yaml = site.path().join("doorward.yaml");
    let text = format!(
        "listen: {{ data: \"127.0.0.1:0\", admin: \"127.0.0.1:0\" }}\nstorage:\n  url: \"sqlite://{}\"\nserver:\n  - name: notes\n    command: {}\n    read: {}\n    idle_after: 2m\n    pins: {{ first_use: trust }}\n",
        site.path().join("data/doorward.db").display(),
        value("command = "),
        value("read = "),
    );
    std::fs::write(&yaml, text).unwrap();
    site.config = yaml;
    let key = site.key(&["--name", "ci"]);
    let gateway = site.start();
    assert_eq!(gateway.tools(&key).await, ["notes__add"], "{}", gateway.log());
}
