use crate::config::{Root, Syntax};

/// What is told of a server with these settings, beginning at the line within its section.
fn told(settings: &str) -> String {
    let text = format!("[[server]]\nname = \"s\"\n{settings}\n");
    match Root::parse(&text, Syntax::Toml, "d.toml") {
        Ok(_) => "fine".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// Settings, and what is told of them.
const WRONG: &[(&str, &str)] = &[
    ("", "1:1: server[0].command: either command, url or openapi is needed"),
    ("command = []", "3:11: server[0].command: expected a program and its arguments"),
    ("command = [\"x\"]\nurl = \"http://y\"", "4:7: server[0].url: both command and url are given"),
    (
        "url = \"http://y\"\nopenapi = \"z\"",
        "4:11: server[0].openapi: beside openapi, command or url is given",
    ),
    ("url = \"y\"", "3:7: server[0].url: expected an http(s) URL"),
    (
        "url = \"http://y\"\nsandbox = \"none\"",
        "4:11: server[0].sandbox: only a server by command has one",
    ),
    (
        "url = \"http://y\"\nread = [\"/a\"]",
        "4:8: server[0].read: only a server by command has one",
    ),
    (
        "url = \"http://y\"\negress = { hosts = [] }",
        "4:10: server[0].egress: only a server by command has one",
    ),
    (
        "url = \"http://y\"\ninclude = [\"a\"]",
        "4:11: server[0].include: only a server by openapi has one",
    ),
    (
        "command = [\"x\"]\nheader = { name = \"a\", value = { env = \"B\" } }",
        "4:10: server[0].header: a server by command has none",
    ),
    (
        "url = \"http://y\"\nheader = { name = \"a b\", value = { env = \"B\" } }",
        "4:19: server[0].header.name: expected the name of a header",
    ),
    (
        "command = [\"x\"]\noauth = { issuer = \"i\", client_id = \"c\" }",
        "4:9: server[0].oauth: only a server by url has one",
    ),
    (
        "url = \"https://y\"\noauth = { grant = \"client-credentials\", issuer = \"https://i\", client_id = \"c\" }",
        "4:9: server[0].oauth.client_secret: either client_secret or private_key is needed",
    ),
    (
        "url = \"https://y\"\noauth = { client_secret = { env = \"S\" } }",
        "4:9: server[0].oauth.client_id: client credentials are those of a client: its id is needed",
    ),
    (
        "url = \"https://y\"\noauth = { grant = \"consent\", client_secret = { env = \"S\" } }",
        "4:9: server[0].oauth.client_id: without a client's id, its secret is nobody's",
    ),
    (
        "url = \"https://y\"\noauth = { client_id = \"c\" }",
        "4:9: server[0].oauth.issuer: a client is known to one authorization server: its issuer is needed",
    ),
    (
        "url = \"https://y\"\n[server.oauth]\nclient_secret = { env = \"S\" }\nprivate_key = { env = \"P\" }",
        "6:15: server[0].oauth.private_key: both client_secret and private_key are given",
    ),
    (
        "url = \"https://y\"\noauth = { issuer = \"i\" }",
        "4:20: server[0].oauth.issuer: expected an http(s) URL without a query",
    ),
    (
        "url = \"https://y\"\noauth = { issuer = \"https://i/?a=b\" }",
        "4:20: server[0].oauth.issuer: expected an http(s) URL without a query",
    ),
    (
        "url = \"http://y\"\noauth = {}",
        "4:9: server[0].oauth.allow_private: tokens go over https; with `allow_private = true` over",
    ),
    (
        "url = \"https://y\"\noauth = { scopes = [\"a\", \"b c\"] }",
        "4:26: server[0].oauth.scopes[1]: expected a scope, without spaces and quotes",
    ),
    (
        "url = \"https://y\"\nshared = true\noauth = {}",
        "4:10: server[0].shared: with each principal's own token no two of them share a session",
    ),
    (
        "url = \"https://y\"\nheader = { name = \"a\", value = { env = \"B\" } }\noauth = {}",
        "4:10: server[0].header: beside oauth, a header is given",
    ),
    (
        "url = \"https://y\"\noauth = { grant = \"workload\", issuer = \"https://i\", client_id = \"c\" }",
        "4:9: server[0].oauth.assertion: what the platform says of the gateway is needed",
    ),
    (
        "url = \"https://y\"\noauth = { grant = \"consent\", assertion = { file = \"f\" } }",
        "4:42: server[0].oauth.assertion: only `grant = \"workload\"` has one",
    ),
    (
        "url = \"https://y\"\noauth = { assertion = { file = \"f\" } }",
        "4:9: server[0].oauth.client_id: a platform vouches for a client: its id is needed",
    ),
    (
        "url = \"https://y\"\noauth = { grant = \"enterprise\" }",
        "4:9: server[0].oauth.identity_provider: who vouches for principals is needed",
    ),
    (
        "url = \"https://y\"\n[server.oauth]\nissuer = \"https://i\"\nclient_id = \"c\"\nshared = true\nidentity_provider = { issuer = \"https://p\", token_endpoint = \"https://p/t\", client_id = \"d\" }",
        "7:10: server[0].oauth.shared: each principal is vouched for",
    ),
    (
        "url = \"https://y\"\n[server.oauth]\nissuer = \"https://i\"\nclient_id = \"c\"\nidentity_provider = { issuer = \"https://p\", token_endpoint = \"https://p/t\", client_id = \"d\" }",
        "7:32: server[0].oauth.identity_provider.issuer: no `[[issuer]]` has this `url`",
    ),
    (
        "url = \"https://y\"\noauth = { grant = \"password\" }",
        "4:19: server[0].oauth.grant: unknown value `password`",
    ),
    (
        "url = \"https://y\"\noauth = { scope = \"a\" }",
        "4:11: server[0].oauth.scope: unknown key `scope`; did you mean `scopes`?",
    ),
    (
        "command = [\"x\"]\nsandbox = \"container\"",
        "1:1: server[0].container: the sandbox of this kind needs it",
    ),
    (
        "command = [\"x\"]\ncontainer = { image = \"i\" }",
        "4:13: server[0].container: the sandbox is of another kind",
    ),
    (
        "command = [\"x\"]\nkubernetes = { image = \"i\", namespace = \"n\" }",
        "4:14: server[0].kubernetes: the sandbox is of another kind",
    ),
    (
        "command = [\"x\"]\nwasm = { fuel = 1 }",
        "4:8: server[0].wasm: the sandbox is of another kind",
    ),
    (
        "command = [\"x\"]\nnetwork = \"proxy\"",
        "1:1: server[0].egress: `network = \"proxy\"` needs `egress = { hosts = […] }`",
    ),
    (
        "command = [\"x\"]\nnetwork = \"host\"\negress = { hosts = [] }",
        "4:11: server[0].network: with `egress`, only `proxy` makes sense",
    ),
    (
        "command = [\"x\"]\nsandbox = \"none\"\negress = { hosts = [] }",
        "5:10: server[0].egress: without a sandbox nothing keeps the command to it",
    ),
    (
        "command = [\"x\"]\nsandbox = \"kubernetes\"\nkubernetes = { image = \"i\", namespace = \"n\" }\negress = { hosts = [] }",
        "6:10: server[0].egress: a pod has no proxy here: `network` is `none` or `host`",
    ),
    (
        "command = [\"x\"]\nsandbox = \"container\"\ncontainer = { image = \"i\" }\negress = { hosts = [] }",
        "6:10: server[0].egress: a container needs `gate` for it: a network with only a proxy on it",
    ),
    (
        "command = [\"x\"]\negress = { hosts = [\"https://a.b/\"] }",
        "4:20: server[0].egress.hosts: `https://a.b/` cannot be used: it is a host with or without a port, not a URL",
    ),
    (
        "command = [\"x\"]\negress = { hosts = [], private = [\"10.0.0.1/8\"] }",
        "4:34: server[0].egress.private: `10.0.0.1/8` cannot be used: ",
    ),
    ("command = [\"x\"]\nconcurrency = 0", "4:15: server[0].concurrency: expected more than 0"),
    ("command = [\"x\"]\ntimeout = \"0s\"", "4:11: server[0].timeout: expected more than 0"),
    (
        "command = [\"x\"]\nlimits = { processes = 0 }",
        "4:10: server[0].limits: expected more than 0",
    ),
    (
        "command = [\"x\"]\nlimits = { procs = 1 }",
        "4:12: server[0].limits.procs: unknown key `procs`",
    ),
    (
        "command = [\"x\"]\npins = { first_use = \"maybe\" }",
        "4:22: server[0].pins.first_use: unknown value `maybe`",
    ),
    (
        "command = [\"x\"]\nsandbox = \"nativ\"",
        "4:11: server[0].sandbox: unknown value `nativ`; did you mean `native`?",
    ),
    ("command = [\"x\"]\nenv = { A = { var = \"B\" } }", "4:"),
];

#[test]
fn a_wrong_setting_is_told_with_its_line_its_key_and_what_is_wrong() {
    for (settings, wanted) in WRONG {
        let told = told(settings);
        assert!(told.starts_with(&format!("d.toml:{wanted}")), "{settings}\n{told}\n{wanted}");
    }
}

#[test]
fn what_fits_together_is_taken() {
    for settings in [
        "command = [\"x\"]\negress = { hosts = [\"127.0.0.1:8080\"], private = [\"127.0.0.0/8\"] }",
        "command = [\"x\"]\nsandbox = \"container\"\ncontainer = { image = \"i\", gate = { network = \"n\", proxy = \"http://10.0.0.1:3128\" } }\negress = { hosts = [\"a.b\"] }",
        "openapi = \"a.yaml\"\ninclude = [\"get*\"]\nheader = { name = \"x-key\", value = { file = \"k\" } }",
        "url = \"https://y\"\noauth = { issuer = \"https://i\", client_id = \"c\", client_secret = { env = \"S\" } }",
        "url = \"https://y\"\noauth = { grant = \"client_credentials\", issuer = \"https://i\", client_id = \"c\", private_key = { file = \"k\" } }",
        "url = \"https://y\"\noauth = {}",
        "url = \"http://127.0.0.1:1/\"\noauth = { allow_private = true, scopes = [\"a\"] }",
        "url = \"https://y\"\nshared = true\noauth = { shared = true }",
    ] {
        assert_eq!(told(settings), "fine", "{settings}");
    }
}

#[test]
fn a_secret_decides_for_whom_tokens_are_got_where_nothing_else_does() {
    for (oauth, asks) in [
        ("", true),
        ("issuer = \"https://i\", client_id = \"c\"", true),
        ("issuer = \"https://i\", client_id = \"c\", client_secret = { env = \"S\" }", false),
        (
            "grant = \"consent\", issuer = \"https://i\", client_id = \"c\", client_secret = { env = \"S\" }",
            true,
        ),
    ] {
        let text =
            format!("[[server]]\nname = \"s\"\nurl = \"https://y\"\noauth = {{ {oauth} }}\n");
        let root = Root::parse(&text, Syntax::Toml, "d.toml").unwrap();
        assert_eq!(root.server[0].asks_people(), asks, "{oauth}");
    }
}

#[test]
fn the_pages_have_an_address() {
    let root = |text: &str| Root::parse(text, Syntax::Toml, "d.toml").unwrap();
    for (text, wanted) in [
        ("", Some("http://127.0.0.1:8787")),
        ("[listen]\ndata = \"[::1]:1\"\n", Some("http://[::1]:1")),
        ("[listen]\ndata = \"0.0.0.0:1\"\n", None),
        (
            "[listen]\ndata = \"0.0.0.0:1\"\npublic_url = \"https://gw.example/door/\"\n",
            Some("https://gw.example/door"),
        ),
    ] {
        assert_eq!(root(text).listen.public_url().as_deref(), wanted, "{text}");
    }
    let connect = root("").connect;
    assert_eq!(connect.metadata_url("http://localhost:1"), None);
    let served = connect.metadata_url("https://gw.example").unwrap();
    assert_eq!(served, "https://gw.example/oauth/client-metadata.json");
    let off = root("[connect]\nclient_metadata = \"off\"\n").connect;
    assert_eq!(off.metadata_url("https://gw.example"), None);
}

#[test]
fn the_side_towards_clients_is_checked_too() {
    for (settings, wanted) in [
        (
            "[listen]\npublic_url = \"http://gw.example\"\n",
            "d.toml:2:14: listen.public_url: expected an https URL, or an http URL of this machine",
        ),
        (
            "[listen]\npublic_url = \"https://gw.example/?a\"\n",
            "d.toml:2:14: listen.public_url: expected an https URL",
        ),
        (
            "[connect]\nclient_metadata = \"https://gw.example\"\n",
            "d.toml:2:19: connect.client_metadata: expected an https URL with a path",
        ),
        ("[connect]\nclient_name = \" \"\n", "d.toml:2:15: connect.client_name: expected a name"),
        (
            "[listen]\ndata = \"0.0.0.0:1\"\n[[server]]\nname = \"s\"\nurl = \"https://y\"\noauth = {}\n",
            "d.toml:6:9: server[0].oauth: people give their consent at the gateway's own pages, and \
             it is not known where they reach it; expected `listen.public_url",
        ),
        ("[mcp]\npage = 0\n", "d.toml:2:8: mcp.page: expected more than 0"),
        ("[mcp]\nsession_ttl = \"0s\"\n", "d.toml:2:15: mcp.session_ttl: expected more than 0"),
        ("[mcp]\ndisclosure = \"some\"\n", "d.toml:2:14: mcp.disclosure: unknown value `some`"),
        ("[mcp]\nsession_keys = [\"00\"]\n", "d.toml:2:"),
        (
            "[[profile]]\nname = \"p\"\nservers = [\"nobody\"]\n",
            "d.toml:3:12: profile[0].servers[0]: no server is called `nobody`",
        ),
    ] {
        let told = Root::parse(settings, Syntax::Toml, "d.toml").unwrap_err().to_string();
        assert!(told.starts_with(wanted), "{settings}\n{told}");
    }
}

#[test]
fn yaml_says_the_same() {
    let text = "server:\n  - name: shop\n    openapi: shop.yaml\n    include: [get*]\n    \
                header: { name: x-key, value: { env: K } }\n    pins: { first_use: ask }\n  - name: notes\n    \
                command: [notes-mcp]\n    egress: { hosts: [api.example.com] }\n    idle_after: 2m\n\
                mcp: { disclosure: search, session_keys: [{ env: S }] }\n";
    let root = Root::parse(text, Syntax::Yaml, "d.yaml").unwrap();
    assert_eq!(root.server.len(), 2);
    assert_eq!(root.mcp.session_keys.len(), 1);
    let wrong = text.replace("idle_after: 2m", "header: { name: a, value: { env: K } }");
    let told = Root::parse(&wrong, Syntax::Yaml, "d.yaml").unwrap_err().to_string();
    assert_eq!(told, "d.yaml: server[1].header: a server by command has none");
}

#[test]
fn the_schema_knows_the_keys() {
    let schema = Root::schema().to_string();
    for key in [
        "openapi",
        "base_url",
        "include",
        "exclude",
        "oauth",
        "egress",
        "private",
        "first_use",
        "on_change",
        "redact",
        "validate",
        "idle_after",
        "max_connections",
        "shared",
        "container",
        "kubernetes",
        "fuel",
        "disclosure",
        "session_keys",
        "session_ttl",
        "enforces_policies",
        "grant",
        "issuer",
        "allow_private",
        "public_url",
        "client_metadata",
        "client_name",
    ] {
        assert!(schema.contains(&format!("\"{key}\":")), "{key}");
    }
}
