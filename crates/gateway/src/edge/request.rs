//! Reading requests: credentials, circumstances, bodies.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use doorward_core::{
    CallError, Code, Cx, Presented, Principal, Proof, RequestId, Secret, TraceContext, TurnId,
};
use doorward_wire::Dialect;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;

use super::{EdgeLimits, EdgeParts, reads_request_id};

/// Headers that carry a credential, beside `Authorization: Bearer`.
static KEY_HEADERS: [HeaderName; 3] = [
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-goog-api-key"),
];

/// Headers in which clients name their conversation.
static CONVERSATION_HEADERS: [HeaderName; 5] = [
    HeaderName::from_static("x-doorward-conversation"),
    HeaderName::from_static("x-claude-code-session-id"),
    HeaderName::from_static("x-session-id"),
    HeaderName::from_static("session-id"),
    HeaderName::from_static("thread-id"),
];

/// The header in which clients name their agent.
static AGENT: HeaderName = HeaderName::from_static("x-doorward-agent");

/// W3C Trace Context.
static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// What a caller shows.
/// Google's clients may show their key in the address (`?key=`).
///
/// A token shown by the scheme `DPoP` comes with its proof; beside `Bearer`, a proof is none
/// (RFC 9449 §7.2).
pub(super) fn presented(
    source: IpAddr,
    (method, uri): (&Method, &http::Uri),
    headers: &HeaderMap,
) -> Presented {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let authorization = text(&header::AUTHORIZATION).and_then(|value| value.split_once(' '));
    let by = |wanted: &str| {
        let (scheme, token) = authorization?;
        scheme.eq_ignore_ascii_case(wanted).then(|| token.trim())
    };
    if let Some(token) = by("dpop") {
        let proof = Some(proof(method, uri, headers));
        let token = Some(Secret::new(token));
        return Presented { token, source: Some(source), proof, ..Presented::default() };
    }
    let bearer = by("bearer");
    let in_query = || {
        let query = uri.query().filter(|_| uri.path().contains("/models"))?;
        query.split('&').find_map(|pair| pair.strip_prefix("key=")).map(decoded)
    };
    let token = bearer.or_else(|| KEY_HEADERS.iter().find_map(text));
    let token = token.map(Secret::new).or_else(|| in_query().map(Secret::new));
    Presented { token, source: Some(source), ..Presented::default() }
}

/// The proof of possession, for the URL that the client meant: a gateway without TLS of its own is
/// called by the one that its proxy names.
fn proof(method: &Method, uri: &http::Uri, headers: &HeaderMap) -> Proof {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let mut shown = headers.get_all("dpop").iter();
    let jws = shown.next().filter(|_| shown.next().is_none());
    let host = uri.authority().map(http::uri::Authority::as_str).or_else(|| text("host"));
    let scheme = text("x-forwarded-proto").filter(|scheme| *scheme == "https").unwrap_or("http");
    let path = uri.path();
    Proof {
        jws: Secret::new(jws.and_then(|value| value.to_str().ok()).unwrap_or_default()),
        method: method.as_str().into(),
        url: format!("{scheme}://{}{path}", host.unwrap_or_default()).into(),
    }
}

/// Browsers may be led here by any page; a page must neither call nor rebind a name to us.
pub(super) fn admissible(
    limits: &EdgeLimits,
    request: &Request<Incoming>,
) -> Result<(), CallError> {
    let headers = request.headers();
    if let Some(origin) = headers.get(header::ORIGIN) {
        let known = origin.to_str().is_ok_and(|origin| {
            limits.origins.iter().any(|allowed| allowed == origin) || is_loopback_origin(origin)
        });
        if !known {
            let public = "this origin may not call; see listen.origins";
            return Err(CallError::new(Code::Forbidden, public).with_rule("edge.origin"));
        }
    }
    addressed_here(limits, request)
}

/// Names that lead here are those we know of.
pub(super) fn addressed_here(
    limits: &EdgeLimits,
    request: &Request<Incoming>,
) -> Result<(), CallError> {
    let Some(hosts) = &limits.hosts else { return Ok(()) };
    let host = request
        .uri()
        .authority()
        .map(http::uri::Authority::as_str)
        .or_else(|| request.headers().get(header::HOST).and_then(|value| value.to_str().ok()))
        .unwrap_or_default();
    let name = host_name(host);
    if is_loopback_name(name) || hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(name)) {
        return Ok(());
    }
    let public = "requests for this host are not served; see listen.hosts";
    Err(CallError::new(Code::Forbidden, public).with_rule("edge.host"))
}

/// Whether a `Host` header (or an authority) names this machine by a loopback name, whatever the
/// port.
pub fn is_loopback_host(host: &str) -> bool {
    is_loopback_name(host_name(host))
}

fn host_name(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

fn is_loopback_name(name: &str) -> bool {
    matches!(name, "localhost" | "127.0.0.1" | "[::1]")
}

fn is_loopback_origin(origin: &str) -> bool {
    let after = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    after.is_some_and(is_loopback_host)
}

/// On whose behalf, within which turn, until when.
pub(super) fn circumstances(
    parts: &EdgeParts,
    request: RequestId,
    principal: Arc<Principal>,
    source: IpAddr,
    headers: &HeaderMap,
) -> Cx {
    let text = |name: &HeaderName| {
        let value = headers.get(name)?.to_str().ok()?;
        (!value.is_empty() && value.len() <= 512).then(|| Arc::<str>::from(value))
    };
    let trace = text(&TRACEPARENT)
        .map(|traceparent| TraceContext { traceparent, tracestate: text(&TRACESTATE) });
    Cx {
        turn: TurnId::random(&*parts.entropy),
        request,
        principal,
        agent: text(&AGENT),
        conversation_hint: CONVERSATION_HEADERS.iter().find_map(text),
        deadline: Some(parts.clock.instant() + parts.limits.timeout),
        trace,
        source: Some(source),
    }
}

/// Reads the whole body, up to the limit.
pub(super) async fn body(limit: usize, request: Request<Incoming>) -> Result<Bytes, CallError> {
    match Limited::new(request.into_body(), limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(CallError::new(Code::TooLarge, format!("the request is larger than {limit} bytes")))
        }
        Err(error) => {
            Err(CallError::new(Code::Cancelled, "the request broke off").with_source(error))
        }
    }
}

/// Waits no longer than the call's deadline.
pub(super) async fn within<T>(
    cx: &Cx,
    work: impl Future<Output = Result<T, CallError>>,
) -> Result<T, CallError> {
    match cx.deadline {
        None => work.await,
        Some(deadline) => tokio::time::timeout_at(deadline.into(), work)
            .await
            .unwrap_or_else(|_| Err(CallError::new(Code::Timeout, "the answer took too long"))),
    }
}

/// The client dialect's own request headers, for an upstream of the same dialect.
pub(super) fn dialect_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    static FORWARDED: [HeaderName; 3] = [
        HeaderName::from_static("anthropic-version"),
        HeaderName::from_static("anthropic-beta"),
        HeaderName::from_static("openai-beta"),
    ];
    let joined = |name: &HeaderName| {
        let values: Vec<&str> =
            headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
        (!values.is_empty()).then(|| (name.as_str().to_owned(), values.join(",")))
    };
    FORWARDED.iter().filter_map(joined).collect()
}

/// Names the answer by its request.
pub(super) fn name(headers: &mut HeaderMap, id: RequestId, dialect: &'static dyn Dialect) {
    if let Ok(value) = HeaderValue::try_from(id.to_string()) {
        if reads_request_id(dialect.id()) {
            headers.insert("request-id", value.clone());
        }
        headers.insert("x-request-id", value);
    }
}

/// A path segment with its percent-escapes undone (RFC 3986 §2.1); as it is where they are wrong.
pub(super) fn decoded(segment: &str) -> String {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escape = (first == b'%').then(|| tail.get(..2)).flatten();
        let byte = escape
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(first));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8(bytes).unwrap_or_else(|_| segment.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_found_where_clients_put_them() {
        let source = IpAddr::from([127, 0, 0, 1]);
        for (name, value, expected) in [
            ("authorization", "Bearer dw-1", Some("dw-1")),
            ("authorization", "bearer dw-1", Some("dw-1")),
            ("authorization", "Basic dw-1", None),
            ("x-api-key", "dw-1", Some("dw-1")),
            ("api-key", "dw-1", Some("dw-1")),
            ("x-goog-api-key", "dw-1", Some("dw-1")),
            ("cookie", "dw-1", None),
        ] {
            let headers = HeaderMap::from_iter([(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )]);
            let uri = http::Uri::from_static("/v1beta/models/g:generateContent");
            let token = presented(source, (&Method::GET, &uri), &headers).token;
            assert_eq!(token.as_ref().map(Secret::expose), expected, "{name}: {value}");
        }
    }

    #[test]
    fn googles_clients_may_show_their_key_in_the_address() {
        let source = IpAddr::from([127, 0, 0, 1]);
        for (address, expected) in [
            ("/v1beta/models/g:generateContent?alt=sse&key=dw-1", Some("dw-1")),
            ("/v1beta/models/g:generateContent?monkey=dw-1", None),
            ("/mcp?key=dw-1", None),
        ] {
            let token =
                presented(source, (&Method::GET, &address.parse().unwrap()), &HeaderMap::new())
                    .token;
            assert_eq!(token.as_ref().map(Secret::expose), expected, "{address}");
        }
    }

    #[test]
    fn names_of_hosts() {
        for (host, name) in [
            ("localhost:8787", "localhost"),
            ("localhost", "localhost"),
            ("[::1]:8787", "[::1]"),
            ("evil.test:80", "evil.test"),
            ("", ""),
        ] {
            assert_eq!(host_name(host), name);
        }
        assert!(is_loopback_origin("http://localhost:3000"));
        assert!(!is_loopback_origin("http://localhost.evil.test"));
        assert!(!is_loopback_origin("file://"));
    }

    #[test]
    fn escapes_are_undone_and_wrong_ones_kept() {
        for (from, to) in [
            ("a%2Fb", "a/b"),
            ("a%2", "a%2"),
            ("%zz", "%zz"),
            ("%C3%A9", "é"),
            ("%ff", "%ff"),
            ("%+f", "%+f"),
        ] {
            assert_eq!(decoded(from), to);
        }
    }
}
