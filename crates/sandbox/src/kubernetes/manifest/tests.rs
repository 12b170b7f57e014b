use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::{Limits, PodGate};

fn pod() -> Pod {
    Pod { name: "doorward-1".into(), id: "1".into(), life: "b.n.7.9".into() }
}

fn sandbox() -> Kubernetes {
    Kubernetes::new("tools", "acme/tracker@sha256:0123").instance("gw-1").enforces_policies()
}

/// Compares with a golden copy; shows what was made where they differ.
fn check(made: &Value, golden: &str) {
    let expected: Value = serde_json::from_str(golden).unwrap();
    assert_eq!(*made, expected, "{made:#}");
}

#[test]
fn a_pod_without_a_network() {
    let mut spec = Spec::new(["tracker", "--stdio", "$(HOME)"]);
    spec.env.insert("TOKEN".into(), "s3cret".into());
    check(&sandbox().before(&spec, &pod()).unwrap(), include_str!("golden/none-before.json"));
    let made = sandbox().pod(&spec, &pod()).unwrap();
    check(&made, include_str!("golden/none-pod.json"));
    assert!(!made.to_string().contains("s3cret"));
    assert!(!made.to_string().contains(&STANDARD.encode("s3cret")));
}

#[test]
fn a_pod_with_all_there_is() {
    let mut spec = Spec::new(["--stdio"]);
    spec.network = Network::Proxy;
    spec.read = vec!["/srv/config/app".into(), "/srv/data/in".into()];
    spec.write = vec!["/srv/data/cache/x".into()];
    spec.cwd = Some("/srv/data".into());
    spec.limits = Limits { memory: 128 << 20, scratch: 1 << 20, ..Limits::default() };
    let gate = PodGate {
        proxy: "http://10.96.0.7:3128".into(),
        namespace: "egress".into(),
        pods: BTreeMap::from([("app".to_owned(), "proxy".to_owned())]),
        port: 3128,
    };
    let sandbox = sandbox()
        .server("tracker")
        .gate(gate)
        .user(1000, 2000)
        .cpus(0)
        .keep_entrypoint()
        .user_namespace()
        .pull_secret("registry")
        .deadline(Duration::from_hours(1))
        .volume("/srv/data", Volume::Claim("data".into()))
        .volume("/srv/data/cache", Volume::Claim("cache".into()))
        .volume("/srv/config", Volume::ConfigMap("config".into()));
    check(&sandbox.before(&spec, &pod()).unwrap(), include_str!("golden/proxy-before.json"));
    check(&sandbox.pod(&spec, &pod()).unwrap(), include_str!("golden/proxy-pod.json"));
}

#[test]
fn the_hosts_network_is_the_pods_own() {
    let spec = Spec { network: Network::Host, ..Spec::new(["t"]) };
    // Without a policy to enforce nobody has to vouch for one.
    let sandbox = Kubernetes::new("tools", "t");
    let before = sandbox.before(&spec, &pod()).unwrap();
    assert_eq!(before["items"][0]["spec"]["egress"], json!([{}]));
    assert_eq!(before["items"][0]["spec"]["ingress"], json!([]));
    let made = sandbox.pod(&spec, &pod()).unwrap();
    assert_eq!(made["spec"]["hostNetwork"], false);
    assert_eq!(made["spec"]["dnsPolicy"], Value::Null);
}

#[test]
fn what_a_pod_cannot_have_is_refused() {
    let none = Spec::new(["t"]);
    let unvouched = Kubernetes::new("tools", "t").before(&none, &pod()).unwrap_err();
    assert!(matches!(unvouched, SpawnError::Layer { .. }), "{unvouched}");
    let proxy = Spec { network: Network::Proxy, ..none.clone() };
    let error = sandbox().before(&proxy, &pod()).unwrap_err();
    assert!(matches!(error, SpawnError::Unsupported { .. }), "{error}");
    let seconds =
        Spec { limits: Limits { cpu_seconds: Some(1), ..Limits::default() }, ..none.clone() };
    let error = sandbox().pod(&seconds, &pod()).unwrap_err();
    assert!(matches!(error, SpawnError::Unsupported { .. }), "{error}");

    for name in ["", "A=B", "1A", "A B", "-A!"] {
        let mut spec = none.clone();
        spec.env.insert(name.into(), "s3cret".into());
        let error = sandbox().before(&spec, &pod()).unwrap_err();
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
    let sandbox = sandbox()
        .volume("/srv", Volume::Claim("data".into()))
        .volume("/etc/app", Volume::ConfigMap("config".into()));
    let cases = [
        ("/etc/ssl", false, "no volume"),
        ("/var/run/docker.sock", true, "no volume"),
        ("srv/data", false, "absolute"),
        ("/srv/../etc", false, "absolute"),
        ("/srv/a:b", false, "absolute"),
        ("/etc/app", true, "for reading only"),
        ("/tmp", true, "its own"),
        ("/proc/1", false, "its own"),
        ("/", false, "its own"),
        ("/srv/hidden/x", false, "hidden"),
        ("/srv", true, "hidden"),
    ];
    for (path, write, expected) in cases {
        let mut spec = Spec { hide: vec!["/srv/hidden".into()], ..none.clone() };
        if write { &mut spec.write } else { &mut spec.read }.push(path.into());
        let error = sandbox.pod(&spec, &pod()).unwrap_err();
        assert!(matches!(error, SpawnError::Path { .. }), "{path}: {error}");
        assert!(error.to_string().contains(expected), "{path}: {error}");
    }
}
