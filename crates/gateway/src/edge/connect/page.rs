//! The pages themselves: plain HTML without a script, that says who asks for what.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use doorward_identity::oauth_client::{Connection, Question};
use http::{HeaderValue, Response, StatusCode, header};
use sha2::{Digest, Sha256};

use super::{Answer, ResponseBody, guard, value};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;color:#1c2024;background:#f5f6f7;\
    margin:0}main{max-width:34rem;margin:8vh auto;background:#fff;border:1px solid #d9dde1;\
    border-radius:8px;padding:1.5rem 2rem}h1{font-size:1.25rem;margin:0 0 1rem}dt{color:#5b6570;\
    font-size:.875rem;margin-top:.75rem}dd{margin:0;overflow-wrap:anywhere}ul{margin:0;\
    padding-left:1.2rem}input{font:inherit;width:100%;box-sizing:border-box;padding:.5rem;\
    border:1px solid #8b949e;border-radius:4px}button{font:inherit;margin-top:1rem;padding:.5rem \
    1rem;border:0;border-radius:4px;background:#1a5fb4;color:#fff;cursor:pointer}button.plain{\
    background:#fff;color:#1c2024;border:1px solid #8b949e}p.bad{color:#a51d2d}section{border-top:\
    1px solid #d9dde1;margin-top:1rem;padding-top:.25rem}@media(prefers-color-scheme:dark){body{\
    background:#16191d;color:#e6e9ec}main{background:#1f2429;border-color:#3a424a}dt{color:#9aa5b1}\
    input,button.plain{background:#16191d;color:#e6e9ec}p.bad{color:#ff8b8b}}";

/// A page that is not sent yet.
pub(super) struct Page {
    status: StatusCode,
    title: String,
    body: String,
    /// Where forms may lead, beside to ourselves.
    leads: &'static str,
    cookie: Option<String>,
}

/// What the page that asks for consent shows.
pub(super) struct Offered<'a> {
    pub(super) base: &'a str,
    pub(super) handle: &'a str,
    pub(super) csrf: &'a str,
    pub(super) principal: &'a str,
    pub(super) question: &'a Question,
}

impl Page {
    fn new(title: impl Into<String>, body: impl Into<String>) -> Self {
        let (title, body) = (title.into(), body.into());
        Self { status: StatusCode::OK, title, body, leads: "", cookie: None }
    }

    fn failure(status: StatusCode, title: &str, told: &str) -> Self {
        Self::new(title, format!("<p>{}</p>", shown(told))).with_status(status)
    }

    pub(super) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    pub(super) fn with_cookie(mut self, cookie: String) -> Self {
        self.cookie = Some(cookie);
        self
    }

    /// Nothing is shown of what the link is about: whoever is here has not said who they are.
    pub(super) fn sign_in(action: &str, csrf: &str, told: Option<&str>) -> Self {
        let told = told.map(|told| format!("<p class=\"bad\">{}</p>", shown(told)));
        let body = format!(
            "{}<p>Sign in with the key that your AI application uses for this gateway. Whoever \
             asks you to sign in with another key wants to get into your accounts.</p>\
             <form method=\"post\" action=\"{}\"><input type=\"hidden\" name=\"csrf\" value=\"{}\">\
             <label>Key <input type=\"password\" name=\"key\" autocomplete=\"off\" required \
             autofocus></label><button>Sign in</button></form>",
            told.unwrap_or_default(),
            shown(action),
            shown(csrf),
        );
        Self::new("Who are you?", body)
    }

    pub(super) fn ask(offered: &Offered<'_>) -> Self {
        let Offered { base, handle, csrf, principal, question } = offered;
        let server = shown(&question.server);
        let scopes = if question.scopes.is_empty() {
            "what the sign-in service gives without being asked for more".to_owned()
        } else {
            let items = question.scopes.iter();
            let items = items.map(|scope| format!("<li><code>{}</code></li>", shown(scope)));
            format!("<ul>{}</ul>", items.collect::<String>())
        };
        let whom = if question.shared {
            "<strong>everybody</strong> who uses this gateway: they will all act there as you"
        } else {
            "you alone"
        };
        let body = format!(
            "<p>A call of yours needs an account at the tool server <strong>{server}</strong>. You \
             will be sent to its sign-in service. Go on only if you yourself were just using it.\
             </p><dl><dt>You are</dt><dd><bdi>{}</bdi></dd><dt>Tool server</dt><dd><bdi>{}</bdi>\
             </dd><dt>Sign-in service</dt><dd><bdi>{}</bdi></dd><dt>Asked for</dt><dd>{scopes}</dd>\
             <dt>For</dt><dd>{whom}</dd></dl><form method=\"post\" action=\"{}/{}\">{}\
             <button>Go on</button></form>",
            shown(principal),
            shown(&question.resource),
            shown(&question.issuer),
            shown(base),
            shown(handle),
            hidden("csrf", csrf),
        );
        // Browsers hold a form's redirects against the policy too, and the sign-in service may
        // lead on to any other.
        let leads =
            if question.issuer.starts_with("http://") { " https: http:" } else { " https:" };
        Self { leads, ..Self::new(format!("Connect {}", question.server), body) }
    }

    pub(super) fn done(base: &str, server: &str) -> Self {
        let body = format!(
            "<p><strong>{}</strong> is connected. You can close this page and go back to where you \
             came from.</p><p><a href=\"{}\">Your connections</a></p>",
            shown(server),
            shown(base),
        );
        Self::new("Connected", body)
    }

    pub(super) fn home(
        base: &str,
        csrf: &str,
        principal: &str,
        connections: &[Connection],
    ) -> Self {
        let mut body = format!("<p>You are <bdi>{}</bdi>.</p>", shown(principal));
        if connections.is_empty() {
            body.push_str("<p>You are connected to no tool server.</p>");
        }
        let (base, own) = (shown(base), hidden("csrf", csrf));
        for connection in connections {
            let scopes = connection.scopes.join(" ");
            let last = if connection.shared {
                "<p>It serves everybody who uses this gateway.</p>".to_owned()
            } else {
                format!(
                    "<form method=\"post\" action=\"{base}/disconnect\">{own}{}\
                     <button class=\"plain\">Disconnect</button></form>",
                    hidden("server", &connection.server),
                )
            };
            _ = write!(
                body,
                "<section><dl><dt>Tool server</dt><dd>{}</dd><dt>Sign-in service</dt><dd>\
                 <bdi>{}</bdi></dd><dt>Scopes</dt><dd><bdi>{}</bdi></dd></dl>{last}</section>",
                shown(&connection.server),
                shown(&connection.issuer),
                shown(&scopes),
            );
        }
        _ = write!(
            body,
            "<section><form method=\"post\" action=\"{base}/sign-out\">{own}\
             <button class=\"plain\">Sign out</button></form></section>"
        );
        Self::new("Your connections", body)
    }

    pub(super) fn gone() -> Self {
        let told = "This link has ended, was used before, or was made for somebody else. Make the \
                    call once more for a new one.";
        Self::failure(StatusCode::NOT_FOUND, "Nothing to do here", told)
    }

    pub(super) fn stale() -> Self {
        let told = "This page is out of date, or was sent by another site. Open the link again.";
        Self::failure(StatusCode::FORBIDDEN, "Not done", told)
    }

    pub(super) fn refused(told: &str) -> Self {
        Self::failure(StatusCode::FORBIDDEN, "Not done", told)
    }

    pub(super) fn unanswered() -> Self {
        let told = "The sign-in service does not answer. Try again in a while.";
        Self::failure(StatusCode::BAD_GATEWAY, "Not done", told)
    }

    pub(super) fn broken() -> Self {
        Self::failure(StatusCode::INTERNAL_SERVER_ERROR, "Not done", "Something is wrong here.")
    }

    pub(super) fn into_answer(self) -> Answer {
        let html = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta \
             name=\"viewport\" content=\"width=device-width\"><title>{title}</title><style>{STYLE}\
             </style></head><body><main><h1>{title}</h1>{body}</main></body></html>\n",
            title = shown(&self.title),
            body = self.body,
        );
        let mut answer = Response::new(ResponseBody::whole(html));
        *answer.status_mut() = self.status;
        let style = STANDARD.encode(Sha256::digest(STYLE));
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{style}'; form-action 'self'{}; \
             frame-ancestors 'none'; base-uri 'none'",
            self.leads
        );
        let headers = answer.headers_mut();
        let kind = HeaderValue::from_static("text/html; charset=utf-8");
        headers.insert(header::CONTENT_TYPE, kind);
        headers.insert(header::CONTENT_SECURITY_POLICY, value(&policy));
        if let Some(cookie) = &self.cookie {
            headers.insert(header::SET_COOKIE, value(cookie));
        }
        guard(&mut answer);
        answer
    }
}

/// RFC 9110 §15.4.4: what follows a form is a page to get.
pub(super) fn see(location: &str, cookie: Option<&str>) -> Answer {
    let mut answer = Response::new(ResponseBody::whole(""));
    *answer.status_mut() = StatusCode::SEE_OTHER;
    answer.headers_mut().insert(header::LOCATION, value(location));
    if let Some(cookie) = cookie {
        answer.headers_mut().insert(header::SET_COOKIE, value(cookie));
    }
    guard(&mut answer);
    answer
}

pub(super) fn not_allowed(allowed: &'static str) -> Answer {
    let told = "This address takes another method.";
    let page = Page::failure(StatusCode::METHOD_NOT_ALLOWED, "Not done", told);
    let mut answer = page.into_answer();
    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    answer
}

/// A public document.
pub(super) fn document(json: String) -> Answer {
    let mut answer = Response::new(ResponseBody::whole(json));
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=3600"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

fn hidden(name: &str, value: &str) -> String {
    format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">", shown(value))
}

/// A text as part of a page: nothing in it is markup, and nothing turns what stands around it.
fn shown(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}' => {}
            other if other.is_control() => safe.push(' '),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_markup() {
        assert_eq!(
            shown("<script>alert('x\"&\")</script>").matches(['<', '>', '"', '\'']).count(),
            0
        );
        assert_eq!(shown("a\u{202e}b\u{200b}c\u{2066}d\n"), "abcd ");
        assert_eq!(shown("Müller & Söhne"), "Müller &amp; Söhne");
    }

    #[test]
    fn what_strangers_name_does_not_get_out_of_its_place() {
        let question = Question {
            server: "crm".into(),
            resource: "https://x/\"><img src=x onerror=alert(1)>".into(),
            issuer: "https://as/</dd><script>alert(1)</script>".into(),
            scopes: vec!["<b>all</b>".into()],
            shared: false,
        };
        let page = Page::ask(&Offered {
            base: "/connect",
            handle: "h",
            csrf: "c",
            principal: "<i>alice</i>",
            question: &question,
        });
        for wrong in ["<img", "<script", "<b>", "<i>"] {
            assert!(!page.body.contains(wrong), "{wrong}");
        }
        assert_eq!(page.leads, " https:");
    }
}
