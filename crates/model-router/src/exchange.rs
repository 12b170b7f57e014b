//! One exchange with one target: the request as the target wants it, and its answer up to the
//! first event.

use doorward_core::{Audience, CallError, Code, Credential, Cx, DialectId, ModelCall};
use doorward_wire::{Destination, Dialect};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};

use crate::answer::{self, Opened, Refused};
use crate::route::Target;
use crate::transport::Outbound;
use crate::{Auth, Router, Upstream};

impl Router {
    /// Sends the call to a target and waits for its first event.
    pub(crate) async fn attempt(
        &self,
        cx: &Cx,
        call: &ModelCall,
        target: &Target,
    ) -> Result<(DialectId, Opened), Refused> {
        let unsent = |error| Refused { error, status: None };
        let lost = || unsent(CallError::internal(format!("no endpoint for {target}")));
        let upstream = self.upstream(target).ok_or_else(lost)?;
        let client = call.raw.as_ref().map(|raw| raw.dialect);
        let (id, uri) = upstream.endpoint(client).ok_or_else(lost)?;
        let dialect = doorward_wire::dialect(*id).ok_or_else(lost)?;
        let request =
            self.request(cx, call, target, upstream, dialect, uri).await.map_err(unsent)?;
        let inbound = self.transport.send(request).await;
        let inbound = inbound.map_err(|error| unsent(answer::broken(error)))?;
        let opened = answer::open(inbound, dialect, call.stream, &upstream.provider.quirks).await?;
        Ok((*id, opened))
    }

    async fn request(
        &self,
        cx: &Cx,
        call: &ModelCall,
        target: &Target,
        upstream: &Upstream,
        dialect: &'static dyn Dialect,
        uri: &http::Uri,
    ) -> Result<Outbound, CallError> {
        let ask_usage = call.ask_usage && upstream.stream_usage;
        let to = Destination { model: &target.model, ask_usage, quirks: &upstream.provider.quirks };
        let written = dialect.write_call(call, &to).map_err(|error| {
            CallError::new(Code::InvalidRequest, format!("{target} cannot take this: {error}"))
        })?;
        for dropped in &written.dropped {
            tracing::debug!(%target, ?dropped, "left out: the target's dialect cannot carry it");
        }
        let mut request = Outbound::new(written.body);
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = uri.clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let accept = if call.stream { "text/event-stream" } else { "application/json" };
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        for (name, value) in &upstream.provider.headers {
            set(headers, name, value);
        }
        if let Some(raw) = call.raw.as_ref().filter(|raw| raw.dialect == dialect.id()) {
            raw.headers.iter().for_each(|(name, value)| set(headers, name, value));
        }
        if let Some(trace) = &cx.trace {
            set(headers, "traceparent", &trace.traceparent);
            if let Some(state) = &trace.tracestate {
                set(headers, "tracestate", state);
            }
        }
        self.authorise(cx, upstream, headers).await?;
        Ok(request)
    }

    /// Shows the upstream its credential.
    pub(crate) async fn authorise(
        &self,
        cx: &Cx,
        upstream: &Upstream,
        headers: &mut http::HeaderMap,
    ) -> Result<(), CallError> {
        let audience = Audience::Upstream(&upstream.name);
        let Some(credential) = self.credentials.credential(cx, audience).await? else {
            return Ok(());
        };
        let (name, value) = match (&credential, upstream.provider.auth) {
            (Credential::Key(key), Auth::Bearer) => {
                (AUTHORIZATION, HeaderValue::try_from(format!("Bearer {}", key.expose())))
            }
            (Credential::Key(key), Auth::XApiKey) => {
                (HeaderName::from_static("x-api-key"), HeaderValue::try_from(key.expose()))
            }
            (Credential::Aws { .. } | Credential::ServiceAccount(_), _) => {
                let public = format!("upstream `{}` cannot use this credential", upstream.name);
                return Err(CallError::internal(public));
            }
            (Credential::Header { name, value }, _) => {
                let name = HeaderName::try_from(name.as_ref()).map_err(CallError::internal)?;
                (name, HeaderValue::try_from(value.expose()))
            }
        };
        // The cause may quote the value, so it is not kept.
        let mut value = value.map_err(|_| {
            CallError::internal(format!(
                "the credential for `{}` is no header value",
                upstream.name
            ))
        })?;
        value.set_sensitive(true);
        headers.insert(name, value);
        Ok(())
    }
}

/// Sets a header, unless the text can be none.
pub(crate) fn set(headers: &mut http::HeaderMap, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
        headers.insert(name, value);
    }
}
