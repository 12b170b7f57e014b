//! What an MCP server says in `WWW-Authenticate` when it refuses (RFC 9110 §11.6.1, RFC 6750 §3,
//! RFC 9728 §5.1).

/// The part of a server's challenge that says how to go on.
///
/// ```
/// use doorward_identity::oauth_client::Challenge;
/// let header = r#"Basic realm="x, y", Bearer error="insufficient_scope", scope="a b""#;
/// let challenge = Challenge::read(&[header.to_owned()]).ok_or("no Bearer challenge")?;
/// assert_eq!(challenge.scopes.as_deref(), Some(&["a".to_owned(), "b".to_owned()][..]));
/// assert!(challenge.is_insufficient_scope());
/// assert!(Challenge::read(&["Negotiate".to_owned()]).is_none());
/// # Ok::<(), &str>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Challenge {
    /// Where the resource describes itself (`resource_metadata`).
    pub resource_metadata: Option<String>,
    /// The scopes that this request needs. What is asked for follows them.
    pub scopes: Option<Vec<String>>,
    /// The error code.
    pub error: Option<String>,
}

impl Challenge {
    /// The first `Bearer` challenge among these header values.
    pub fn read(values: &[String]) -> Option<Self> {
        let mut found: Option<Self> = None;
        for value in values {
            let mut ours = false;
            for item in items(value) {
                let (scheme, param) = split_scheme(item);
                if let Some(scheme) = scheme {
                    if found.is_some() {
                        return found;
                    }
                    ours = scheme.eq_ignore_ascii_case("bearer");
                    if ours {
                        found = Some(Self::default());
                    }
                }
                if let (true, Some(challenge)) = (ours, &mut found) {
                    challenge.note(param);
                }
            }
            if found.is_some() {
                return found;
            }
        }
        found
    }

    /// Whether more scopes are wanted than the token has.
    pub fn is_insufficient_scope(&self) -> bool {
        self.error.as_deref() == Some("insufficient_scope")
    }

    fn note(&mut self, param: &str) {
        let Some((name, value)) = param.split_once('=') else { return };
        let value = unquote(value.trim());
        match name.trim().to_ascii_lowercase().as_str() {
            "resource_metadata" => self.resource_metadata = Some(value),
            "scope" => self.scopes = Some(scopes(&value)),
            "error" => self.error = Some(value),
            _ => {}
        }
    }
}

/// The scopes in a text, each once, in their order.
pub(crate) fn scopes(text: &str) -> Vec<String> {
    let mut list: Vec<String> = Vec::new();
    for scope in text.split_ascii_whitespace() {
        if !list.iter().any(|known| known == scope) {
            list.push(scope.to_owned());
        }
    }
    list
}

/// The parts between commas, commas in quotes not counted.
fn items(value: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    value
        .split(move |letter| {
            match letter {
                _ if escaped => escaped = false,
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                ',' => return !quoted,
                _ => {}
            }
            false
        })
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

/// The scheme that an item starts with, if it starts one, and the rest.
fn split_scheme(item: &str) -> (Option<&str>, &str) {
    let end = item.find([' ', '\t', '=']).unwrap_or(item.len());
    let (word, rest) = item.split_at(end);
    let rest = rest.trim_start();
    if rest.starts_with('=') { (None, item) } else { (Some(word), rest) }
}

fn unquote(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"') else { return value.to_owned() };
    let mut text = String::with_capacity(inner.len());
    let mut letters = inner.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => break,
            '\\' => text.extend(letters.next()),
            other => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Option<Challenge> {
        Challenge::read(&[value.to_owned()])
    }

    #[test]
    fn a_challenge_is_read_among_others() {
        let bearer = |value: &str| read(value).unwrap();
        assert_eq!(bearer("Bearer"), Challenge::default());
        let metadata = "https://a.example/.well-known/oauth-protected-resource";
        let text = format!(r#"bearer  scope = "a  b a" ,resource_metadata="{metadata}""#);
        assert_eq!(bearer(&text).resource_metadata.as_deref(), Some(metadata));
        assert_eq!(bearer(&text).scopes, Some(vec!["a".to_owned(), "b".to_owned()]));
        let two = bearer(r#"Bearer error=invalid_token, DPoP scope="x", error="y""#);
        assert_eq!((two.error.as_deref(), two.scopes), (Some("invalid_token"), None));
        let after = bearer(r#"Digest realm="a\", Bearer scope=evil", Bearer scope="good""#);
        assert_eq!(after.scopes, Some(vec!["good".to_owned()]));
        assert_eq!(bearer(r#"Negotiate abc==, Bearer error="x""#).error.as_deref(), Some("x"));
        let split = ["Basic realm=x".to_owned(), "Bearer scope=s".to_owned()];
        assert!(Challenge::read(&split).unwrap().scopes.is_some());
    }

    #[test]
    fn nonsense_is_no_challenge() {
        for value in ["", ",,,", "=", "scope=\"a\"", "\"", "Basic realm=\"Bearer scope=x"] {
            assert_eq!(read(value), None, "{value}");
        }
        assert_eq!(read("Bearer scope=\"unclosed").unwrap().scopes.unwrap(), ["unclosed"]);
    }
}
