use std::collections::BTreeMap;

use super::*;
use crate::container::Gate;

fn run() -> Run {
    Run { name: "doorward-1".into(), folder: "/run/doorward-1".into(), life: "b.n.7.9".into() }
}

fn words(container: &Container, spec: &Spec, grants: &[Grant]) -> Result<String, SpawnError> {
    let carried = Carried::new(&spec.env)?;
    Ok(container.words(spec, &run(), grants, &carried)?.join("\n"))
}

const DIGEST: &str = "acme/tracker@sha256:\
                      0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[test]
fn docker_gets_exactly_this() {
    let mut spec = Spec::new(["tracker", "--stdio", "a b"]);
    spec.env = BTreeMap::from(
        [("TOKEN", "s3cret"), ("HTTP_PROXY", "http://x"), ("HOME", "/data")]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    spec.cwd = Some("/data".into());
    let given = [
        Grant { source: "/srv/v2".into(), target: "/srv/now".into(), write: false },
        Grant { source: "/srv/cache".into(), target: "/srv/cache".into(), write: true },
    ];
    let container = Container::docker(DIGEST).require_digest().server("tracker").instance("gw-1");
    let expected = format!(
        "docker\nrun\n--rm\n--interactive\n--init\n--name=doorward-1\n\
         --cidfile=/run/doorward-1/cid\n--label=doorward.instance=gw-1\n\
         --label=doorward.life=b.n.7.9\n--label=doorward.server=tracker\n--pull=never\n\
         --read-only\n--cap-drop=ALL\n--security-opt=no-new-privileges\n--user=65532:65532\n\
         --ipc=private\n--hostname=sandbox\n--log-driver=none\n--no-healthcheck\n\
         --tmpfs=/tmp:rw,noexec,nosuid,nodev,size=268435456,mode=1777\n--memory=2147483648\n\
         --memory-swap=2147483648\n--pids-limit=256\n--cpus=1.000\n--ulimit=nofile=1024:1024\n\
         --ulimit=fsize=1073741824:1073741824\n--ulimit=core=0:0\n--network=none\n\
         --mount=type=bind,source=/srv/v2,target=/srv/now,readonly\n\
         --mount=type=bind,source=/srv/cache,target=/srv/cache\n--env=TMPDIR=/tmp\n--env=TOKEN\n\
         --env-file=/run/doorward-1/env\n--workdir=/data\n--entrypoint=tracker\n{DIGEST}\n\
         --stdio\na b"
    );
    assert_eq!(words(&container, &spec, &given).unwrap(), expected);
}

#[test]
fn each_setting_is_one_word_of_its_own() {
    let plain = Container::podman("tracker:1");
    let none = Spec::new(["t"]);
    let seconds =
        Spec { limits: crate::Limits { cpu_seconds: Some(9), ..none.limits }, ..none.clone() };
    let host = Spec { network: Network::Host, ..none.clone() };
    let proxy = Spec { network: Network::Proxy, ..none.clone() };
    let gate = Gate { network: "gated".into(), proxy: "http://10.89.0.1:3128".into() };
    let cases: [(Container, &Spec, &str); 15] = [
        (plain.clone(), &none, "\n--image-volume=ignore\n"),
        (plain.clone(), &none, "\n--read-only-tmpfs=false\n"),
        (plain.clone(), &none, "\n--http-proxy=false\n"),
        (plain.clone(), &none, "\n--env=HOME=/tmp\n"),
        (plain.clone().user(7, 8), &none, "\n--user=7:8\n"),
        (plain.clone().cpus(2500), &none, "\n--cpus=2.500\n"),
        (plain.clone().pull(Pull::Missing), &none, "\n--pull=missing\n"),
        (plain.clone().pull(Pull::Always), &none, "\n--pull=always\n"),
        (plain.clone().extra(["--a=b"]), &none, "\n--a=b\ntracker:1"),
        (plain.clone().program("/opt/podman"), &none, "/opt/podman\nrun\n"),
        (plain.clone().keep_entrypoint(), &none, "\ntracker:1\nt"),
        (plain.clone(), &seconds, "\n--ulimit=cpu=9:9\n"),
        (plain.clone(), &host, "\n--network=host\n"),
        (plain.clone().gate(gate.clone()), &proxy, "\n--network=gated\n"),
        (plain.clone().gate(gate), &proxy, "\n--env=https_proxy=http://10.89.0.1:3128\n"),
    ];
    for (container, spec, expected) in cases {
        let words = words(&container, spec, &[]).unwrap();
        assert!(words.contains(expected), "{expected:?} in {words}");
    }
    let without = [
        (plain.clone().without_init(), "--init"),
        (plain.clone().cpus(0), "--cpus"),
        (plain.keep_entrypoint(), "--entrypoint"),
        (Container::nerdctl("tracker"), "--log-driver"),
    ];
    for (container, word) in without {
        assert!(!words(&container, &none, &[]).unwrap().contains(word), "{word}");
    }
}

#[test]
fn what_cannot_be_carried_is_refused() {
    let none = Spec::new(["t"]);
    for image in ["", "-v", "--privileged", "a b", "a,b", "a\nb"] {
        let error = words(&Container::docker(image), &none, &[]).unwrap_err();
        assert!(matches!(error, SpawnError::Image { .. }), "{image}: {error}");
    }
    for image in ["tracker:1", "t@sha256:12", "@sha256:0123"] {
        let error = words(&Container::docker(image).require_digest(), &none, &[]).unwrap_err();
        assert!(matches!(error, SpawnError::Image { .. }), "{image}: {error}");
    }
    for (source, target) in [
        ("/a,readonly=false", "/a"),
        ("/a", "/a,b"),
        ("/a\"", "/a"),
        ("/a\n", "/a"),
        ("/a", "/tmp"),
    ] {
        let grant = Grant { source: source.into(), target: target.into(), write: false };
        let error = words(&Container::docker("t"), &none, &[grant]).unwrap_err();
        assert!(matches!(error, SpawnError::Path { .. }), "{source}: {error}");
    }
    let proxy = Spec { network: Network::Proxy, ..none.clone() };
    let error = words(&Container::docker("t"), &proxy, &[]).unwrap_err();
    assert!(matches!(error, SpawnError::Unsupported { .. }), "{error}");
    let relative = Spec { cwd: Some("data".into()), ..none.clone() };
    assert!(words(&Container::docker("t"), &relative, &[]).is_err());
    for name in ["", "a b", "a=b", "-a", &"x".repeat(64)] {
        assert!(words(&Container::docker("t").server(name), &none, &[]).is_err(), "{name}");
        assert!(words(&Container::docker("t").instance(name), &none, &[]).is_err(), "{name}");
    }
}
