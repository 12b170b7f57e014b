use super::*;

fn built(builder: Builder) -> Result<(), BuildError> {
    builder.build().map(|_| ())
}

#[test]
fn parts_that_do_not_fit_are_named() {
    let http = |name: &str| Server::http(name, "http://127.0.0.1:1/mcp");
    let twice = || BuildError::Twice("a".into());
    for (builder, error) in [
        (Broker::builder().server(http("a.b")), BuildError::ServerName("a.b".into())),
        (Broker::builder().server(http("a__b")), BuildError::ServerName("a__b".into())),
        (Broker::builder().server(http("a")).server(http("a")), twice()),
        (Broker::builder().server(http("a")).profile("a", vec![], vec![]), twice()),
        (Broker::builder().profile("a", vec![], vec![]).profile("a", vec![], vec![]), twice()),
        (
            Broker::builder().profile("p", vec!["x".into()], vec![]),
            BuildError::UnknownServer { profile: "p".into(), server: "x".into() },
        ),
        (
            Broker::builder().server(Server::stdio("a", Vec::<String>::new())),
            BuildError::EmptyCommand("a".into()),
        ),
        (Broker::builder().server(Server::stdio("a", ["x"])), BuildError::NoLauncher("a".into())),
        (
            Broker::builder().server(Server { concurrency: 0, ..http("a") }),
            BuildError::Zero { server: "a".into(), field: "concurrency" },
        ),
    ] {
        assert_eq!(built(builder), Err(error));
    }
}

#[cfg(feature = "http")]
#[test]
fn only_web_addresses_are_taken() {
    for (url, fits) in [
        ("http://localhost:8080/mcp", true),
        ("https://crm.internal/mcp", true),
        ("ftp://crm.internal/mcp", false),
        ("crm.internal/mcp", false),
        ("/mcp", false),
        ("", false),
    ] {
        let outcome = built(Broker::builder().server(Server::http("a", url)));
        let wrong = outcome == Err(BuildError::Url("a".into()));
        assert_eq!(!wrong, fits, "{url}: {outcome:?}");
    }
}
