//! What the common form has no words for (files, images, audio, batches), sent on as it is.

use std::sync::Arc;

use bytes::Bytes;
use doorward_core::{BoxStream, CallError, Code, Cx, Preferences, RelayCall, RelayReply};
use futures_util::StreamExt;
use http::HeaderMap;
use http::header::HeaderName;

use crate::answer;
use crate::exchange::{finish, set};
use crate::policy::{Labels, Policy};
use crate::transport::{Outbound, TransportError, gather};
use crate::{Auth, Router, Upstream};

/// Headers of one connection only (RFC 9110 §7.6.1).
const HOP_BY_HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Request headers that are the client's own affair: its credentials, and where it came from.
const CLIENTS_OWN: &[&str] = &[
    "authorization",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "x-goog-iam-authorization-token",
    "x-amz-security-token",
    "cookie",
    "host",
    "expect",
    "accept-encoding",
    "forwarded",
    "via",
    "origin",
    "referer",
    "traceparent",
    "tracestate",
];

/// Answer headers that are the provider's own affair.
const PROVIDERS_OWN: &[&str] = &[
    "set-cookie",
    "alt-svc",
    "strict-transport-security",
    "server",
    "via",
    "report-to",
    "nel",
    "www-authenticate",
    "clear-site-data",
];

/// Query parameters that carry a client's credential.
const SECRET_QUERY: &[&str] = &["key", "api_key", "api-key", "access_token"];

impl Router {
    /// Sends a request to the upstream that takes it, with that upstream's credential.
    pub(crate) async fn relayed(&self, cx: &Cx, call: RelayCall) -> Result<RelayReply, CallError> {
        let path = safe(&call.path)?;
        let (upstream, address) = self.relay_to(cx, &call, &path)?;
        let (head, body) = self.relay_request(cx, &upstream, call, &address).await?;
        let inbound = match body {
            Relaying::Whole(body) => self.send(&upstream, Outbound::from_parts(head, body)).await,
            Relaying::Streamed(body) => {
                let transport = upstream.transport.as_ref().unwrap_or(&self.transport);
                transport.stream(http::Request::from_parts(head, body)).await
            }
        };
        let inbound = inbound.map_err(answer::broken)?;
        let status = inbound.head.status.as_u16();
        if status == 401 {
            // It is about our credential, not about the caller's (trap 57).
            let public = "the upstream refused the gateway's credential";
            return Err(CallError::new(Code::Upstream, public));
        }
        Ok(RelayReply {
            upstream: upstream.name.to_string(),
            status,
            headers: answered(&inbound.head.headers),
            body: Box::pin(inbound.body.map(|piece| piece.map_err(answer::broken))),
        })
    }

    /// The upstream for a request, and the address there: the one that is named; else the one that
    /// the model leads to; else the only one that takes such requests.
    fn relay_to(
        &self,
        cx: &Cx,
        call: &RelayCall,
        path: &str,
    ) -> Result<(Arc<Upstream>, String), CallError> {
        let none = Labels::new();
        let policy = Policy::new(cx, &self.teams, &none);
        let takes = |upstream: &Upstream| upstream.relay(call.dialect, path);
        let may = |upstream: &Upstream| policy.misfit(upstream).is_none();
        let at = |upstream: &Upstream| takes(upstream).filter(|_| may(upstream));
        let refused = |upstream: &Arc<Upstream>| takes(upstream).is_some() && !may(upstream);
        let named =
            |it: &&Arc<Upstream>| call.upstream.as_ref().is_none_or(|name| **name == *it.name);
        let mut meant = self.upstreams.iter().filter(named);
        if !meant.clone().any(|it| at(it).is_some()) && meant.any(refused) {
            return Err(policy.refusal(path));
        }
        let nowhere = |public: String| CallError::new(Code::NotFound, public);
        if let Some(name) = &call.upstream {
            let found = self.upstreams.iter().find(|upstream| *upstream.name == **name);
            let found = found.and_then(|upstream| Some((upstream.clone(), at(upstream)?)));
            return found
                .ok_or_else(|| nowhere(format!("upstream `{name}` does not take this path")));
        }
        if let Some(model) = &call.model {
            let found = self.targets(cx, model, &Preferences::default(), 0);
            let found = found.map(|(found, _)| found).unwrap_or_default();
            let mut leads = found.iter().map(|it| &it.upstream);
            let found = leads.find_map(|upstream| Some((upstream.clone(), at(upstream)?)));
            if let Some(found) = found {
                return Ok(found);
            }
        }
        let able = |upstream: &Arc<Upstream>| Some((upstream.clone(), at(upstream)?));
        let mut able = self.upstreams.iter().filter_map(able);
        match (able.next(), able.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => Err(nowhere("no upstream takes this path".to_owned())),
            (Some(_), Some(_)) => {
                let public = "several upstreams take this path: name one";
                Err(CallError::new(Code::InvalidRequest, public))
            }
        }
    }

    async fn relay_request(
        &self,
        cx: &Cx,
        upstream: &Upstream,
        call: RelayCall,
        address: &str,
    ) -> Result<(http::request::Parts, Relaying), CallError> {
        let wrong = |what| CallError::new(Code::InvalidRequest, what);
        let mut request = Outbound::new(Bytes::new());
        *request.method_mut() = call.method.parse().map_err(|_| wrong("no HTTP method"))?;
        *request.uri_mut() = address.parse().map_err(|_| wrong("no path"))?;
        forward(&call.headers, request.headers_mut());
        finish(&mut request, cx, upstream);
        if let Some(timeouts) = upstream.timeouts {
            request.extensions_mut().insert(timeouts);
        }
        let body: BoxStream<'static, _> =
            Box::pin(call.body.map(|piece| piece.map_err(|e| TransportError::Body(Box::new(e)))));
        if upstream.auth == Auth::SigV4 {
            // A signature is over the whole body.
            *request.body_mut() = gather(body).await.map_err(answer::broken)?;
            self.authorise(cx, upstream, 0, &mut request).await?;
            let (head, body) = request.into_parts();
            return Ok((head, Relaying::Whole(body)));
        }
        self.authorise(cx, upstream, 0, &mut request).await?;
        let (head, _) = request.into_parts();
        Ok((head, Relaying::Streamed(body)))
    }
}

/// A body on its way through.
enum Relaying {
    Whole(Bytes),
    Streamed(BoxStream<'static, Result<Bytes, TransportError>>),
}

/// A path that cannot lead out of where it is put, without credentials in its query.
fn safe(path: &str) -> Result<String, CallError> {
    let wrong = || CallError::new(Code::InvalidRequest, "this path cannot be relayed");
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'#');
    if !path.starts_with('/') || !path.bytes().chain(query.bytes()).all(plain) {
        return Err(wrong());
    }
    for segment in path.split('/').skip(1) {
        let dots = segment.to_ascii_lowercase().replace("%2e", ".");
        let hidden = dots.contains("%2f") || dots.contains("%5c") || dots.contains("%00");
        if matches!(dots.as_str(), "." | "..") || hidden {
            return Err(wrong());
        }
    }
    let kept: Vec<&str> = query
        .split('&')
        .filter(|pair| {
            let name = pair.split('=').next().unwrap_or_default();
            !pair.is_empty() && !SECRET_QUERY.iter().any(|secret| name.eq_ignore_ascii_case(secret))
        })
        .collect();
    Ok(if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) })
}

/// Hands on a client's headers, without those of its connection, its credentials and ours.
fn forward(from: &[(String, String)], to: &mut HeaderMap) {
    let listed: Vec<String> = from
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("connection"))
        .flat_map(|(_, value)| value.split(',').map(|name| name.trim().to_ascii_lowercase()))
        .collect();
    for (name, value) in from {
        let lower = name.to_ascii_lowercase();
        let dropped = HOP_BY_HOP.contains(&lower.as_str())
            || CLIENTS_OWN.contains(&lower.as_str())
            || listed.contains(&lower)
            || ["x-doorward-", "x-forwarded-", "x-real-", "proxy-", "sec-", "cf-"]
                .iter()
                .any(|own| lower.starts_with(own));
        if !dropped {
            set(to, &lower, value);
        }
    }
}

/// The headers of an answer that a client may see.
fn answered(from: &HeaderMap) -> Vec<(String, String)> {
    let listed: Vec<String> = from
        .get_all("connection")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(|name| name.trim().to_ascii_lowercase()))
        .collect();
    let kept = |name: &HeaderName| {
        let name = name.as_str();
        !HOP_BY_HOP.contains(&name)
            && !PROVIDERS_OWN.contains(&name)
            && !listed.iter().any(|own| own == name)
            && !["access-control-", "cf-", "x-doorward-", "content-security-policy"]
                .iter()
                .any(|own| name.starts_with(own))
    };
    from.iter()
        .filter(|(name, _)| kept(name))
        .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
        .map(|(name, value)| match name.as_str() {
            "x-request-id" | "request-id" => ("x-upstream-request-id".to_owned(), value),
            _ => (name, value),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_cannot_leave_its_place() {
        for path in [
            "",
            "files",
            "/files/../responses",
            "/files/%2e%2E/responses",
            "/files/.",
            "/files/..%2fresponses",
            "/files\\..\\responses",
            "/files#x",
            "/files/a b",
            "/files/é",
            "/files/\r\nx: y",
        ] {
            assert!(safe(path).is_err(), "{path}");
        }
        for (path, same) in [
            ("/files", "/files"),
            ("/files/file-1/content?limit=2", "/files/file-1/content?limit=2"),
            ("/files?key=sk-1&limit=2&API_KEY=3", "/files?limit=2"),
            ("/files?key=sk-1", "/files"),
            ("/files/a..b", "/files/a..b"),
        ] {
            assert_eq!(safe(path).unwrap(), same);
        }
    }

    #[test]
    fn only_what_concerns_the_request_goes_on() {
        let from = [
            ("Content-Type", "multipart/form-data; boundary=x"),
            ("content-length", "7"),
            ("OpenAI-Beta", "assistants=v2"),
            ("Connection", "close, X-Odd"),
            ("x-odd", "1"),
            ("Authorization", "Bearer dw-1"),
            ("X-Api-Key", "dw-1"),
            ("api-key", "dw-1"),
            ("x-goog-api-key", "dw-1"),
            ("cookie", "a=b"),
            ("host", "gateway"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-doorward-agent", "me"),
            ("transfer-encoding", "chunked"),
        ];
        let from: Vec<_> = from.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let mut to = HeaderMap::new();
        forward(&from, &mut to);
        let mut names: Vec<&str> = to.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-length", "content-type", "openai-beta"]);
    }
}
