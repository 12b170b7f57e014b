//! The pages where people connect tools: a link that a call gave out leads here, whoever opens it
//! proves that the question is theirs, and is sent on to the authorization server and back.
//!
//! Nothing here trusts a link. A page shows what it is about only to the principal whose call
//! asked; every change takes a POST with a token of the browser's own session; a sign-in begins a
//! new session; the way back from an authorization server counts only in the browser that left.

mod form;
mod page;
mod place;
mod session;
mod sign_in;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use doorward_core::{Clock, Code, Entropy, Principal, Secret};
use doorward_identity::oauth_client::{Callback, Connection, OAuthClient, OAuthError, Visitor};
use doorward_mcp_broker::SealKeys;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;

pub use self::sign_in::{KeySignIn, SignIn, SignedIn};

pub(super) use self::place::Place;

use self::form::Form;
use self::page::{Offered, Page};
use self::session::{Sessions, Visit};
use super::ResponseBody;
use super::request;

/// The largest form.
const LARGEST: usize = 16 << 10;
/// How long a form may take to come, and an authorization server to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the pages work with.
pub struct ConnectParts {
    /// The clients that ask for consent, each with servers of its own; they may share a store.
    pub clients: Vec<OAuthClient>,
    /// How people prove who they are.
    pub sign_in: Arc<dyn SignIn>,
    /// Where people reach the gateway, without a slash at its end: the clients' own URL.
    pub public_url: String,
    /// What browsers' sessions are sealed with.
    pub keys: SealKeys,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Makes sessions.
    pub entropy: Arc<dyn Entropy>,
}

impl fmt::Debug for ConnectParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectParts")
            .field("clients", &self.clients)
            .field("public_url", &self.public_url)
            .finish_non_exhaustive()
    }
}

/// The pages where people connect tools.
pub struct Connect {
    clients: Vec<OAuthClient>,
    sign_in: Arc<dyn SignIn>,
    sessions: Sessions,
    /// What stands before the paths of our pages, for browsers.
    base: String,
    /// Our own origin, as browsers write it.
    origin: String,
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("clients", &self.clients)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

type Answer = Response<ResponseBody>;

/// Somebody who is signed in.
struct Known {
    visit: Visit,
    principal: Arc<Principal>,
}

impl Known {
    fn visitor(&self) -> Visitor<'_> {
        Visitor { principal: &self.principal.id, session: &self.visit.id }
    }
}

/// What a posted form is about.
enum Post {
    SignIn(Option<String>),
    Begin(String),
    Disconnect,
    SignOut,
}

impl Connect {
    /// The pages of these parts.
    pub fn new(parts: ConnectParts) -> Self {
        let ConnectParts { clients, sign_in, public_url, keys, clock, entropy } = parts;
        let uri: http::Uri = public_url.parse().unwrap_or_default();
        let path = uri.path().trim_end_matches('/');
        let origin = public_url.strip_suffix(path).unwrap_or(&public_url);
        Self {
            clients,
            sign_in,
            sessions: Sessions::new(&keys, uri.scheme_str() == Some("https"), clock, entropy),
            base: format!("{path}/connect"),
            origin: origin.trim_end_matches('/').to_owned(),
        }
    }

    /// Serves a page.
    pub(super) async fn serve(
        &self,
        place: Place,
        source: IpAddr,
        request: Request<Incoming>,
    ) -> Answer {
        let post = request.method() == Method::POST;
        let get = matches!(*request.method(), Method::GET | Method::HEAD);
        let about = match (place, get, post) {
            (Place::Metadata, true, _) => return self.metadata(),
            (Place::Home, true, _) => return self.home(&request).await,
            (Place::Ask(handle), true, _) => return self.ask(&handle, &request).await,
            (Place::Callback, true, _) => return self.callback(&request).await,
            (Place::SignIn(handle), _, true) => Post::SignIn(handle),
            (Place::Ask(handle), _, true) => Post::Begin(handle),
            (Place::Disconnect, _, true) => Post::Disconnect,
            (Place::SignOut, _, true) => Post::SignOut,
            (place, ..) => return page::not_allowed(place.allows()),
        };
        self.posted(about, source, request).await
    }

    /// The document that stands at our own client id's URL.
    fn metadata(&self) -> Answer {
        match self.clients.iter().find_map(OAuthClient::client_metadata) {
            Some(json) => page::document(json),
            None => Page::gone().into_answer(),
        }
    }

    /// Whoever has this page open, if they are signed in.
    async fn known(&self, visit: Visit) -> Result<Known, Visit> {
        let principal = match &visit.ticket {
            Some(ticket) => self.sign_in.recall(ticket).await,
            None => None,
        };
        match principal {
            Some(principal) => Ok(Known { visit, principal }),
            None => Err(visit),
        }
    }

    fn sign_in_page(&self, visit: &Visit, handle: Option<&str>, told: Option<&str>) -> Page {
        let action = match handle {
            Some(handle) => format!("{}/{handle}/sign-in", self.base),
            None => format!("{}/sign-in", self.base),
        };
        let page = Page::sign_in(&action, &visit.csrf(), told);
        page.with_cookie(self.sessions.cookie(visit))
    }

    /// What the visitor is connected to.
    async fn home(&self, request: &Request<Incoming>) -> Answer {
        let known = match self.known(self.sessions.visit(request.headers())).await {
            Ok(known) => known,
            Err(visit) => return self.sign_in_page(&visit, None, None).into_answer(),
        };
        let mut connections: Vec<Connection> = Vec::new();
        for client in &self.clients {
            for server in client.servers() {
                match client.connection(&known.principal, server).await {
                    Ok(found) => connections.extend(found),
                    Err(error) => return failed(&error).into_answer(),
                }
            }
        }
        connections.sort_by(|a, b| a.server.cmp(&b.server));
        Page::home(&self.base, &known.visit.csrf(), &known.principal.id, &connections).into_answer()
    }

    /// What a link asks.
    async fn ask(&self, handle: &str, request: &Request<Incoming>) -> Answer {
        let known = match self.known(self.sessions.visit(request.headers())).await {
            Ok(known) => known,
            Err(visit) => return self.sign_in_page(&visit, Some(handle), None).into_answer(),
        };
        let asked = match self.client_of(handle).await {
            Ok(client) => client.question(handle, known.visitor()).await,
            Err(error) => Err(error),
        };
        match asked {
            Err(error) => failed(&error).into_answer(),
            Ok(question) => Page::ask(&Offered {
                base: &self.base,
                handle,
                csrf: &known.visit.csrf(),
                principal: &known.principal.id,
                question: &question,
            })
            .into_answer(),
        }
    }

    /// The client that knows a link or a state.
    async fn client_of(&self, text: &str) -> Result<&OAuthClient, OAuthError> {
        for client in &self.clients {
            if client.is_asked(text).await? {
                return Ok(client);
            }
        }
        Err(OAuthError::SignIn("nothing of that name is under way"))
    }

    /// The way back from an authorization server.
    async fn callback(&self, request: &Request<Incoming>) -> Answer {
        let Ok(known) = self.known(self.sessions.visit(request.headers())).await else {
            // What was begun stays as it is: only the browser that began it may take it up.
            return Page::refused("You are not signed in here any more, or not in this browser.")
                .into_answer();
        };
        let query = Form::read(request.uri().query().unwrap_or_default());
        let callback = match (query.one("state"), query.one("code"), query.one("iss")) {
            (Ok(Some(state)), Ok(code), Ok(iss)) => {
                Callback { state, code, iss, error: query.any("error") }
            }
            _ => return failed(&OAuthError::SignIn("the answer says things twice")).into_answer(),
        };
        let finished =
            async { self.client_of(callback.state).await?.finish(callback, known.visitor()).await };
        match tokio::time::timeout(PATIENCE, finished).await {
            Ok(Ok(server)) => {
                tracing::info!(%server, principal = %known.principal.id, "connected");
                Page::done(&self.base, &server).into_answer()
            }
            Ok(Err(error)) => failed(&error).into_answer(),
            Err(_) => Page::unanswered().into_answer(),
        }
    }

    async fn posted(&self, about: Post, source: IpAddr, request: Request<Incoming>) -> Answer {
        if !self.is_own(&request) {
            return Page::stale().into_answer();
        }
        let visit = self.sessions.visit(request.headers());
        let body = tokio::time::timeout(PATIENCE, request::body(LARGEST, request)).await;
        let Ok(Ok(body)) = body else { return Page::stale().into_answer() };
        let form = Form::read(&String::from_utf8_lossy(&body));
        if !form.any("csrf").is_some_and(|shown| visit.takes(shown)) {
            return Page::stale().into_answer();
        }
        if let Post::SignIn(handle) = &about {
            return self.sign_in(visit, handle.as_deref(), source, &form).await;
        }
        let home = self.base.clone();
        let known = match (self.known(visit).await, &about) {
            (Ok(known), _) => known,
            // The page asks them to sign in.
            (Err(_), Post::Begin(handle)) => {
                return page::see(&format!("{home}/{handle}"), None);
            }
            (Err(_), _) => return page::see(&home, None),
        };
        match about {
            Post::Begin(handle) => self.begin(&handle, &known).await,
            Post::Disconnect => self.disconnect(&form, &known).await,
            Post::SignIn(_) | Post::SignOut => page::see(&home, Some(&self.sessions.no_cookie())),
        }
    }

    /// Whether a form comes from one of our own pages, as far as the browser says. With
    /// `Referrer-Policy: no-referrer` browsers send `Origin: null` from our own pages too: what
    /// decides is the token in the form.
    fn is_own(&self, request: &Request<Incoming>) -> bool {
        let text = |name: &str| request.headers().get(name).map(HeaderValue::as_bytes);
        let origin = text("origin");
        let site = text("sec-fetch-site");
        origin.is_none_or(|origin| origin == b"null" || origin == self.origin.as_bytes())
            && site.is_none_or(|site| matches!(site, b"same-origin" | b"none"))
    }

    async fn sign_in(
        &self,
        visit: Visit,
        handle: Option<&str>,
        source: IpAddr,
        form: &Form,
    ) -> Answer {
        let shown = Secret::new(form.any("key").unwrap_or_default().trim());
        match self.sign_in.by_text(shown, source).await {
            Ok(SignedIn { ticket, .. }) => {
                let to = match handle {
                    Some(handle) => format!("{}/{handle}", self.base),
                    None => self.base.clone(),
                };
                // A session that somebody may have planted here is left behind.
                let session = self.sessions.signed_in(ticket);
                page::see(&to, Some(&self.sessions.cookie(&session)))
            }
            Err(error) => {
                let (told, status) = match error.code {
                    Code::RateLimited => (
                        "Too many wrong keys came from your address. Try again in a while.",
                        StatusCode::TOO_MANY_REQUESTS,
                    ),
                    Code::Unauthenticated => ("This is no valid key.", StatusCode::UNAUTHORIZED),
                    _ => ("Keys cannot be checked right now.", StatusCode::SERVICE_UNAVAILABLE),
                };
                self.sign_in_page(&visit, handle, Some(told)).with_status(status).into_answer()
            }
        }
    }

    /// Sends the visitor on to the authorization server.
    async fn begin(&self, handle: &str, known: &Known) -> Answer {
        let begun = async { self.client_of(handle).await?.begin(handle, known.visitor()).await };
        match tokio::time::timeout(PATIENCE, begun).await {
            Ok(Ok(url)) => page::see(&url, None),
            Ok(Err(error)) => failed(&error).into_answer(),
            Err(_) => Page::unanswered().into_answer(),
        }
    }

    /// Forgets a token. One that serves everybody is not one principal's to forget.
    async fn disconnect(&self, form: &Form, known: &Known) -> Answer {
        let Some(server) = form.any("server") else { return Page::stale().into_answer() };
        for client in &self.clients {
            let forgotten = match client.connection(&known.principal, server).await {
                Ok(Some(found)) if !found.shared => {
                    client.disconnect(&known.principal, server).await
                }
                Ok(_) => continue,
                Err(error) => Err(error),
            };
            if let Err(error) = forgotten {
                return failed(&error).into_answer();
            }
            tracing::info!(%server, principal = %known.principal.id, "disconnected");
        }
        page::see(&self.base, None)
    }
}

/// What a visitor is told. The cause is for the log: it may hold what strangers wrote.
fn failed(error: &OAuthError) -> Page {
    tracing::info!(%error, "a sign-in at a tool was not finished");
    match error {
        // The same for a link that has ended and for somebody else's.
        OAuthError::SignIn(_) => Page::gone(),
        OAuthError::Unanswered { .. } => Page::unanswered(),
        OAuthError::Key(_) | OAuthError::Store(_) => Page::broken(),
        OAuthError::Refused { .. }
        | OAuthError::Address(_)
        | OAuthError::Metadata { .. }
        | OAuthError::Unregistered { .. } => {
            Page::refused("The sign-in service did not complete the sign-in.")
        }
    }
}

/// A header's value of a text that we made ourselves.
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// What every answer of a page carries.
fn guard(answer: &mut Answer) {
    let headers = answer.headers_mut();
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
