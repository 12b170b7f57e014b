//! AWS Signature Version 4
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>).

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign as signed};
use aws_sigv4::sign::v4::SigningParams;
use doorward_core::{CallError, Credential, Timestamp};
use http::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue};

use crate::transport::Outbound;

/// What signatures for Bedrock's control and data plane are scoped to.
const SERVICE: &str = "bedrock";

/// Signs a request with these keys, and with nothing from the environment: a session token goes
/// along only where the credential holds one (trap 47).
pub(super) fn sign(
    request: &mut Outbound,
    credential: &Credential,
    region: &str,
    now: Timestamp,
) -> Result<(), CallError> {
    sign_for(request, credential, SERVICE, region, now)
}

fn sign_for(
    request: &mut Outbound,
    credential: &Credential,
    service: &str,
    region: &str,
    now: Timestamp,
) -> Result<(), CallError> {
    let Credential::Aws { access_key_id, secret_access_key, session_token } = credential else {
        return Err(CallError::internal("only AWS keys can sign"));
    };
    let identity = Credentials::new(
        &**access_key_id,
        secret_access_key.expose(),
        session_token.as_ref().map(|token| token.expose().to_owned()),
        None,
        "doorward",
    )
    .into();
    let since = Duration::from_micros(u64::try_from(now.as_micros()).unwrap_or_default());
    let params = SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(SystemTime::UNIX_EPOCH + since)
        .settings(SigningSettings::default())
        .build()
        .map_err(|_| CallError::internal("the signature's parameters are incomplete"))?
        .into();
    let made = {
        // Only what no hop on the way changes is signed.
        let headers = request.headers().iter().filter_map(|(name, value)| {
            let stable = *name == CONTENT_TYPE || *name == HOST;
            let stable = stable || name.as_str().starts_with("x-amz");
            stable.then(|| Some((name.as_str(), value.to_str().ok()?))).flatten()
        });
        let uri = request.uri().to_string();
        let body = SignableBody::Bytes(request.body());
        SignableRequest::new(request.method().as_str(), uri, headers, body)
            .and_then(|signable| signed(signable, &params))
            // The cause may quote what was signed, so it is not kept.
            .map_err(|_| CallError::internal("the request cannot be signed"))?
            .into_parts()
            .0
    };
    for (name, value) in made.headers() {
        let name = HeaderName::try_from(name).map_err(CallError::internal)?;
        let value = HeaderValue::try_from(value);
        let mut value = value.map_err(|_| CallError::internal("the signature is no header"))?;
        value.set_sensitive(true);
        request.headers_mut().insert(name, value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use doorward_core::Secret;

    use super::*;

    fn keys(session_token: Option<&str>) -> Credential {
        Credential::Aws {
            access_key_id: "AKIDEXAMPLE".into(),
            secret_access_key: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            session_token: session_token.map(Secret::new),
        }
    }

    /// 2015-08-30T12:36:00Z, the time of AWS's test suite.
    const THEN: Timestamp = Timestamp::from_micros(1_440_938_160_000_000);

    fn request(method: &str, uri: &str) -> Outbound {
        let mut request = Outbound::new(Bytes::new());
        *request.method_mut() = method.parse().unwrap();
        *request.uri_mut() = uri.parse().unwrap();
        request
    }

    fn header(request: &Outbound, name: &str) -> String {
        request.headers()[name].to_str().unwrap().to_owned()
    }

    /// Cases `get-vanilla`, `post-vanilla` and `get-vanilla-query-order-key-case` of AWS's
    /// Signature Version 4 test suite.
    #[test]
    fn signatures_are_those_of_the_test_suite() {
        for (method, uri, signature) in VECTORS {
            let mut request = request(method, uri);
            sign_for(&mut request, &keys(None), "service", "us-east-1", THEN).unwrap();
            assert_eq!(header(&request, "x-amz-date"), "20150830T123600Z");
            let expected = format!(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                 SignedHeaders=host;x-amz-date, Signature={signature}"
            );
            assert_eq!(header(&request, "authorization"), expected, "{method} {uri}");
        }
    }

    /// Case `get-vanilla-with-session-token` of the same suite.
    #[test]
    fn a_session_token_is_signed() {
        let mut request = request("GET", "https://example.amazonaws.com/");
        let keys = keys(Some("6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267"));
        sign_for(&mut request, &keys, "service", "us-east-1", THEN).unwrap();
        let signature = "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8";
        assert!(header(&request, "authorization").ends_with(signature));
    }

    const VECTORS: &[(&str, &str, &str)] = &[
        (
            "GET",
            "https://example.amazonaws.com/",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
        (
            "POST",
            "https://example.amazonaws.com/",
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
        ),
        (
            "GET",
            "https://example.amazonaws.com/?Param2=value2&Param1=value1",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
    ];

    /// Trap 47: nothing but the credential's own session token goes along, and it is signed.
    #[test]
    fn a_session_token_is_the_credentials_own() {
        let uri = "https://bedrock-runtime.us-east-1.amazonaws.com/model/a%3A0/converse";
        for token in [None, Some("session-1")] {
            let mut request = request("POST", uri);
            sign(&mut request, &keys(token), "us-east-1", THEN).unwrap();
            let sent = request.headers().get("x-amz-security-token");
            assert_eq!(sent.map(|value| value.to_str().unwrap()), token);
            let signed = header(&request, "authorization").contains("x-amz-security-token");
            assert_eq!(signed, token.is_some());
            let printed = format!("{request:?}");
            assert!(!printed.contains("session-1") && !printed.contains("AKID"), "{printed}");
        }
    }
}
