//! The authorization endpoint: from a client's request to a person's question (RFC 6749 §4.1.1,
//! OAuth 2.1 §4.1.1, RFC 9207, RFC 9700 §4.11).

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use doorward_core::{Principal, Secret};
use http::header::{self, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use super::client::{Client, GrantType, Origin};
use super::consent::Question;
use super::fault::Fault;
use super::redirect::with_answer;
use super::request::{Form, Request};
use super::resource::ProtectedResource;
use super::server::OAuthServer;
use crate::oauth_client::encode_form;

/// The longest `state` that is handed back.
const STATE_MOST: usize = 4096;

/// Whoever has signed in at the browser that asks.
#[derive(Debug, Clone, Copy)]
pub struct SignedIn<'a> {
    /// Who it is.
    pub principal: &'a Principal,
    /// The browser session, by a value that nobody else knows (its cookie).
    pub session: &'a Secret,
}

/// What comes of a request at the authorization endpoint.
#[derive(Debug)]
pub enum Authorize {
    /// Nobody has signed in yet. Once somebody has, their browser goes on there: a path of this
    /// server's own, with the request in it.
    NeedsLogin {
        /// The path and query to come back to.
        return_to: String,
    },
    /// The person is to be asked.
    Consent(Box<Question>),
    /// The browser goes on to the client.
    Redirect(Redirect),
    /// The request is not answered, least of all where it says.
    Refused(Refused),
}

/// A browser is sent on to a client, at a URI that was registered for it.
#[derive(Clone)]
pub struct Redirect {
    location: String,
}

impl fmt::Debug for Redirect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The query holds a code.
        let place = self.location.split('?').next();
        f.debug_struct("Redirect").field("to", &place).finish_non_exhaustive()
    }
}

impl Redirect {
    /// Where to.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// The answer to send: 303, since browsers must not repeat a posted answer there
    /// (RFC 9700 §4.12).
    ///
    /// # Errors
    ///
    /// Where the URI cannot be a header's value.
    pub fn answer(&self) -> Result<Response<Bytes>, Refused> {
        let location = HeaderValue::try_from(self.location.as_str());
        let wrong = |_| Refused::of(&Fault::invalid_request("the answer cannot be sent"));
        let mut answer = Response::new(Bytes::new());
        *answer.status_mut() = StatusCode::SEE_OTHER;
        let headers = answer.headers_mut();
        headers.insert(header::LOCATION, location.map_err(wrong)?);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let policy = HeaderName::from_static("referrer-policy");
        headers.insert(policy, HeaderValue::from_static("no-referrer"));
        Ok(answer)
    }
}

/// Why a request is not answered where it says: for the page that tells the person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}: {description}")]
pub struct Refused {
    /// The HTTP status.
    pub status: u16,
    /// OAuth's error code.
    pub error: &'static str,
    /// A sentence. Nothing of the request is in it.
    pub description: String,
}

impl Refused {
    pub(crate) fn of(fault: &Fault) -> Self {
        let (status, error) = (fault.status.as_u16(), fault.code);
        Self { status, error, description: fault.description.to_string() }
    }
}

/// A request whose client and redirect URI are right.
pub(crate) struct Valid<'a> {
    pub(crate) client: Arc<Client>,
    pub(crate) redirect_uri: Arc<str>,
    pub(crate) remembered: Arc<str>,
    pub(crate) state: Option<String>,
    pub(crate) scopes: Vec<String>,
    pub(crate) resource: &'a ProtectedResource,
    pub(crate) challenge: Arc<str>,
    pub(crate) key: Option<Arc<str>>,
}

impl OAuthServer {
    /// What to do about a request at the authorization endpoint: everything that can be wrong
    /// with it is found before anybody signs in.
    pub async fn authorize(
        &self,
        request: Request<'_>,
        signed_in: Option<SignedIn<'_>>,
    ) -> Authorize {
        let asked = Box::pin(self.asked(&request, signed_in)).await;
        asked.unwrap_or_else(|fault| Authorize::Refused(Refused::of(&fault)))
    }

    async fn asked(
        &self,
        request: &Request<'_>,
        signed_in: Option<SignedIn<'_>>,
    ) -> Result<Authorize, Fault> {
        if request.method != http::Method::GET {
            let fault = Fault::invalid_request("this method is not for here");
            return Err(fault.with_status(StatusCode::METHOD_NOT_ALLOWED));
        }
        let query = request.uri.query().unwrap_or_default();
        let form = Form::read(query)?;
        let id = form.needed("client_id")?;
        let needs_login = || {
            let return_to = format!("{}/oauth/authorize?{query}", self.path);
            Ok(Authorize::NeedsLogin { return_to })
        };
        if signed_in.is_none()
            && !self.clients.contains_key(id)
            && self.document_place(id).is_some()
        {
            // Its document is fetched once somebody is there whom it matters to.
            return if is_silent(&form) { Err(login_required()) } else { needs_login() };
        }
        let client = self.client(id, signed_in.is_some()).await?;
        let client = client.ok_or_else(|| self.failed(request, unknown_client()))?;
        let (redirect_uri, remembered) = redirect(&client, &form)?;
        // From here on there is somebody to tell what is wrong.
        let tell = |fault: Fault| self.told(&client, &redirect_uri, form.text("state"), fault);
        let valid = self.valid(&client, &form, (&redirect_uri, remembered));
        let valid = match valid {
            Ok(valid) => valid,
            Err(fault) => return tell(fault),
        };
        let Some(signed_in) = signed_in else {
            return if is_silent(&form) { tell(login_required()) } else { needs_login() };
        };
        let again =
            form.text("prompt").is_some_and(|how| how.split(' ').any(|one| one == "consent"));
        if !again && self.is_consented(&valid, signed_in.principal).await? {
            return self.issue(valid.pending(signed_in), signed_in).await.map(Authorize::Redirect);
        }
        if is_silent(&form) {
            return tell(Fault::new("consent_required", "the person has not consented yet"));
        }
        let question = self.question(valid, signed_in).await?;
        Ok(Authorize::Consent(Box::new(question)))
    }

    /// What is wrong, told to the client, if it is one that somebody here vouches for. To others
    /// nobody is sent who did not choose to go: any link could lead anywhere by way of this host.
    fn told(
        &self,
        client: &Client,
        redirect_uri: &str,
        state: Option<&str>,
        fault: Fault,
    ) -> Result<Authorize, Fault> {
        if client.origin != Origin::Configured {
            return Err(fault);
        }
        let answer = [("error", fault.code), ("error_description", &*fault.description)];
        Ok(Authorize::Redirect(self.redirect(redirect_uri, state, answer)))
    }

    /// A redirect with `state` and `iss` (RFC 9207).
    pub(crate) fn redirect<'a>(
        &self,
        uri: &str,
        state: Option<&'a str>,
        answer: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Redirect {
        let state = state.map(|state| ("state", state));
        let pairs: Vec<_> = answer.into_iter().chain(state).collect();
        let location = with_answer(uri, pairs);
        let issuer = encode_form([("iss", &*self.issuer)]);
        Redirect { location: format!("{location}&{issuer}") }
    }

    fn valid(
        &self,
        client: &Arc<Client>,
        form: &Form,
        (redirect_uri, remembered): (&Arc<str>, Arc<str>),
    ) -> Result<Valid<'_>, Fault> {
        let wrong = Fault::invalid_request;
        for (name, code) in
            [("request", "request_not_supported"), ("request_uri", "request_uri_not_supported")]
        {
            if form.text(name).is_some() {
                return Err(Fault::new(code, "parameters are in the query"));
            }
        }
        if form.needed("response_type")? != "code" {
            let why = "the only response type is `code`";
            return Err(Fault::new("unsupported_response_type", why));
        }
        if form.text("response_mode").is_some_and(|mode| mode != "query") {
            return Err(wrong("the only response mode is `query`"));
        }
        if !client.may(GrantType::AuthorizationCode) {
            return Err(Fault::new("unauthorized_client", "this client may not use codes"));
        }
        let challenge = form.needed("code_challenge")?;
        // What is left out is `plain` (RFC 7636 §4.3), which protects nothing.
        if form.text("code_challenge_method") != Some("S256") {
            return Err(wrong("`code_challenge_method` must be S256"));
        }
        if !is_thumbprint(challenge) {
            return Err(wrong("`code_challenge` is none by S256"));
        }
        let key = form.text("dpop_jkt");
        if key.is_some_and(|key| !is_thumbprint(key)) {
            return Err(wrong("`dpop_jkt` is no thumbprint"));
        }
        if form.text("state").is_some_and(|state| state.len() > STATE_MOST) {
            return Err(wrong("`state` is too long"));
        }
        let resource = self.target(client, form.all("resource"))?;
        Ok(Valid {
            client: client.clone(),
            redirect_uri: redirect_uri.clone(),
            remembered,
            state: form.text("state").map(str::to_owned),
            scopes: self.granted(client, resource, form.text("scope"))?,
            resource,
            challenge: challenge.into(),
            key: key.map(Into::into),
        })
    }
}

/// Where the answer goes, as it was asked for, and what stands for that in a consent.
fn redirect(client: &Client, form: &Form) -> Result<(Arc<str>, Arc<str>), Fault> {
    let wrong = || Fault::invalid_request("`redirect_uri` is not one that this client registered");
    match (form.text("redirect_uri"), client.uris.as_slice()) {
        (Some(asked), _) => {
            let known = client.redirect(asked).ok_or_else(wrong)?;
            Ok((asked.into(), known.remembered()))
        }
        (None, [only]) if only.web_host().is_some() => Ok((only.text().clone(), only.remembered())),
        (None, _) => Err(wrong()),
    }
}

/// 256 bits as base64url, as S256 and thumbprints are.
fn is_thumbprint(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    text.len() == 43 && text.bytes().all(legal)
}

fn is_silent(form: &Form) -> bool {
    form.text("prompt").is_some_and(|how| how.split(' ').any(|one| one == "none"))
}

fn unknown_client() -> Fault {
    Fault::invalid_request("this client is not known here")
}

fn login_required() -> Fault {
    Fault::new("login_required", "nobody has signed in")
}
