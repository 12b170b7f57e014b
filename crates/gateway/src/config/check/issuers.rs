//! What no single key of an `[[issuer]]` can tell.

use std::collections::HashSet;

use doorward_identity::jwt::Algorithm;

use super::{Fault, Root, Step, fault};
use crate::config::{AllowConfig, IssuerConfig};

type Wrong = (Vec<Step>, String);

/// Checks each issuer.
pub(super) fn issuers(root: &Root) -> Result<(), Fault> {
    let mut seen = HashSet::new();
    for (index, issuer) in root.issuer.iter().enumerate() {
        let at = |(key, message): Wrong| fault("issuer", index, key, message);
        if !seen.insert(&issuer.url) {
            let message = format!("another issuer is `{}`", issuer.url);
            return Err(at((vec!["url".into()], message)));
        }
        issuer_fault(issuer).map_or(Ok(()), |wrong| Err(at(wrong)))?;
        for (place, allow) in issuer.allow.iter().enumerate() {
            allow_fault(allow).map_or(Ok(()), |message| {
                Err(at((vec!["allow".into(), place.into()], message.to_owned())))
            })?;
        }
    }
    Ok(())
}

fn issuer_fault(issuer: &IssuerConfig) -> Option<Wrong> {
    let wrong = |key: &str, message: &str| Some((vec![key.into()], message.to_owned()));
    if issuer.audiences.is_empty() {
        return wrong("audiences", "no audience: every token of the issuer would be accepted");
    }
    let places = [issuer.metadata.is_some(), issuer.jwks_url.is_some(), issuer.jwks_file.is_some()];
    if places.iter().filter(|given| **given).count() > 1 {
        return wrong("metadata", "only one of metadata, jwks_url and jwks_file can be given");
    }
    for (place, name) in issuer.algorithms.iter().flatten().enumerate() {
        if name.parse::<Algorithm>().is_err() {
            let message = format!("`{name}` is no signature algorithm with public keys");
            return Some((vec!["algorithms".into(), place.into()], message));
        }
    }
    if issuer.algorithms.as_ref().is_some_and(Vec::is_empty) {
        return wrong("algorithms", "no algorithm: no token could be accepted");
    }
    if issuer.names.as_ref().is_some_and(Vec::is_empty) {
        return wrong("names", "no claim: nobody could be named");
    }
    None
}

fn allow_fault(allow: &AllowConfig) -> Option<&'static str> {
    let held = [&allow.group, &allow.role, &allow.scope];
    let given = held.iter().filter(|held| held.is_some()).count();
    (given != 1).then_some("expected one of group, role and scope")
}

#[cfg(test)]
mod tests {
    use crate::config::{Root, Syntax};

    #[test]
    fn faults_of_issuers_name_their_place() {
        let whole = "[[issuer]]\nurl = \"https://i\"\naudiences = [\"a\"]\n";
        for (settings, expected) in [
            ("", "fine"),
            ("claims = \"okta\"", "fine"),
            ("algorithms = [\"ES256\", \"EdDSA\"]", "fine"),
            ("claims = \"octa\"", "d.toml:4:10: issuer[0].claims: "),
            (
                "algorithms = [\"ES256\", \"HS256\"]",
                "d.toml:4:24: issuer[0].algorithms[1]: `HS256` is no signature algorithm",
            ),
            ("algorithms = []", "d.toml:4:14: issuer[0].algorithms: no algorithm"),
            ("names = []", "d.toml:4:9: issuer[0].names: no claim"),
            (
                "jwks_url = \"https://i/k\"\nmetadata = \"https://i/m\"",
                "d.toml:5:12: issuer[0].metadata: only one of",
            ),
            (
                "allow = [{ group = \"g\", role = \"r\" }]",
                "d.toml:4:10: issuer[0].allow[0]: expected",
            ),
            ("allow = [{ tools = [] }]", "d.toml:4:10: issuer[0].allow[0]: expected one of"),
            ("audience = \"a\"", "d.toml:4:1: issuer[0].audience: unknown key"),
            ("[[issuer]]\nurl = \"https://i\"\naudiences = [\"b\"]", "d.toml:5:7: issuer[1].url: "),
        ] {
            let parsed = Root::parse(&format!("{whole}{settings}\n"), Syntax::Toml, "d.toml");
            let told = parsed.map_or_else(|error| error.to_string(), |_| "fine".to_owned());
            assert!(told.starts_with(expected), "{settings}\n{told}");
        }
        let told =
            Root::parse("[[issuer]]\nurl = \"https://i\"\naudiences = []\n", Syntax::Toml, "d");
        assert!(told.unwrap_err().to_string().contains("no audience"));
    }
}
