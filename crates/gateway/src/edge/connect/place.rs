//! Which of the pages a request is for.

/// Which page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::edge) enum Place {
    /// What the visitor is connected to.
    Home,
    /// What a link asks.
    Ask(String),
    /// Who is there; then back to what a link asks.
    SignIn(Option<String>),
    Callback,
    Disconnect,
    SignOut,
    /// The gateway's client metadata document.
    Metadata,
}

impl Place {
    /// The page at a path.
    pub(in crate::edge) fn of(path: &str) -> Option<Self> {
        if path == "/oauth/client-metadata.json" {
            return Some(Self::Metadata);
        }
        let rest = path.strip_prefix("/connect")?;
        Some(match rest {
            "" | "/" => Self::Home,
            "/callback" => Self::Callback,
            "/sign-in" => Self::SignIn(None),
            "/sign-out" => Self::SignOut,
            "/disconnect" => Self::Disconnect,
            _ => {
                let rest = rest.strip_prefix('/')?;
                match rest.strip_suffix("/sign-in") {
                    Some(handle) => Self::SignIn(Some(handle_of(handle)?)),
                    None => Self::Ask(handle_of(rest)?),
                }
            }
        })
    }

    /// The methods that it takes.
    pub(super) const fn allows(&self) -> &'static str {
        match self {
            Self::Home | Self::Callback | Self::Metadata => "GET, HEAD",
            Self::Ask(_) => "GET, HEAD, POST",
            Self::SignIn(_) | Self::Disconnect | Self::SignOut => "POST",
        }
    }
}

/// A handle is base64url: nothing else is looked up, and nothing else gets into a page or a
/// `Location`.
fn handle_of(text: &str) -> Option<String> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    ((16..=128).contains(&text.len()) && text.bytes().all(legal)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_looks_like_a_handle_is_one() {
        let handle = "A1b2-C3d4_E5f6g7h8i9j0";
        let of = |path: &str| Place::of(path);
        assert_eq!(of(&format!("/connect/{handle}")), Some(Place::Ask(handle.into())));
        assert_eq!(
            of(&format!("/connect/{handle}/sign-in")),
            Some(Place::SignIn(Some(handle.into())))
        );
        assert_eq!(of("/connect/callback"), Some(Place::Callback));
        for wrong in [
            "/connected",
            "/connect/short",
            "/connect//evil.example/aaaaaaaaaaaa",
            "/connect/https:evil.example/aaaaaaa",
            "/connect/%0d%0aset-cookie:aaaaaaaaaa",
            "/connect/\"><script>aaaaaaaaaaaaaaaa",
            "/connect/../connect/aaaaaaaaaaaaaaaa",
        ] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }
}
