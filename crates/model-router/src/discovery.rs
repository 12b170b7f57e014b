//! Which models an upstream has, as it tells itself.

use bytes::Bytes;
use doorward_core::{CallError, Code, Cx};
use http::header::{ACCEPT, HeaderValue};

use crate::answer;
use crate::exchange::finish;
use crate::provider::ListedAt;
use crate::transport::{Outbound, gather};
use crate::{Router, Upstream};

impl Router {
    /// Asks an upstream for its models; none where it has no list.
    pub(crate) async fn list(
        &self,
        cx: &Cx,
        upstream: &Upstream,
    ) -> Result<Vec<String>, CallError> {
        let Some((address, listed)) = &upstream.list else { return Ok(vec![]) };
        let mut request = Outbound::new(Bytes::new());
        *request.uri_mut() = address.of("models")?;
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
        finish(&mut request, cx, upstream);
        self.authorise(cx, upstream, 0, &mut request).await?;
        let inbound = self.send(upstream, request).await.map_err(answer::broken)?;
        let status = inbound.head.status;
        let body = gather(inbound.body).await.map_err(answer::broken)?;
        if !status.is_success() {
            return Err(CallError::new(Code::Upstream, format!("HTTP status {status}")));
        }
        listed.read(&body)
    }
}

impl ListedAt {
    /// The names in a list.
    fn read(&self, body: &[u8]) -> Result<Vec<String>, CallError> {
        let none = || CallError::new(Code::Upstream, "the model list is none");
        let body: serde_json::Value = serde_json::from_slice(body).map_err(|_| none())?;
        let list = if self.list.is_empty() { Some(&body) } else { body.get(&self.list) };
        let list = list.and_then(serde_json::Value::as_array).ok_or_else(none)?;
        let names = list.iter().filter_map(|entry| entry.get(&self.id)?.as_str());
        Ok(names.map(|name| name.strip_prefix(&self.strip).unwrap_or(name).to_owned()).collect())
    }
}

#[cfg(test)]
mod tests {
    use crate::Provider;

    #[test]
    fn lists_are_read_in_every_shape() {
        for (provider, body, models) in [
            ("openai", r#"{"object":"list","data":[{"id":"gpt-5","x":1},{"no":1}]}"#, "gpt-5"),
            (
                "anthropic",
                r#"{"data":[{"type":"model","id":"claude-x"}],"has_more":false}"#,
                "claude-x",
            ),
            ("gemini", r#"{"models":[{"name":"models/gemini-3"}]}"#, "gemini-3"),
            ("cohere", r#"{"models":[{"name":"command-a"}]}"#, "command-a"),
            ("together", r#"[{"id":"meta/a"},{"id":"b"}]"#, "meta/a b"),
            (
                "bedrock",
                r#"{"inferenceProfileSummaries":[{"inferenceProfileId":"us.a:0"}]}"#,
                "us.a:0",
            ),
        ] {
            let listed = Provider::named(provider).unwrap().models.unwrap();
            assert_eq!(listed.read(body.as_bytes()).unwrap().join(" "), models, "{provider}");
            assert!(listed.read(b"<html>").is_err());
            assert!(listed.read(b"7").is_err());
        }
    }
}
