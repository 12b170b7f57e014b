//! One operation of a document, ready to be called.

use std::collections::BTreeSet;

use doorward_core::Credential;
use http::header::{ACCEPT, CONTENT_TYPE, COOKIE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use serde_json::Value;
use serde_json::value::RawValue;

use super::body::Body;
use super::document::{At, Document, Refused, step};
use super::parameter::{Parameter, Place, Shape, Style};
use super::security::{Reserved, Scheme};
use super::{OpenApiError, escape, schema};
use crate::edit;

/// The argument that fills the body.
pub(super) const BODY: &str = "body";
/// The most bytes of a URL.
const LONGEST_URL: usize = 32 << 10;

/// A piece of a path.
#[derive(Debug, Clone)]
pub(super) enum Piece {
    /// Written as it is.
    Literal(String),
    /// The parameter at this place of the list.
    Parameter(usize),
}

/// An operation.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) method: Method,
    /// Scheme, host and the server's path, without a slash at the end.
    pub(super) base: String,
    pub(super) path: Vec<Piece>,
    pub(super) parameters: Vec<Parameter>,
    pub(super) body: Option<Body>,
    pub(super) scheme: Scheme,
}

/// An argument, by name and as written.
type Argument<'a> = (String, &'a str);

impl Operation {
    /// The request for these arguments.
    pub(super) fn request(
        &self,
        reserved: &Reserved,
        arguments: &RawValue,
        credential: Option<&Credential>,
    ) -> Result<Request<bytes::Bytes>, OpenApiError> {
        let arguments = self.arguments(arguments)?;
        let mut headers = headers();
        let path = self.write_path(&arguments)?;
        let mut query = self.write_query(reserved, &arguments)?;
        self.write_headers(reserved, &arguments, &mut headers)?;
        let body = self.write_body(&arguments, &mut headers)?;
        query.extend(self.scheme.show(credential, &mut headers)?);
        let mut url = [self.base.as_str(), &path].concat();
        if !query.is_empty() {
            url.push('?');
            url.push_str(&query.join("&"));
        }
        if url.len() > LONGEST_URL {
            return Err(OpenApiError::argument("", "the arguments make the URL too long"));
        }
        let uri = Uri::try_from(url)
            .map_err(|_| OpenApiError::argument("", "the arguments make no URL"))?;
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// The arguments, each known and none twice.
    fn arguments<'a>(&self, arguments: &'a RawValue) -> Result<Vec<Argument<'a>>, OpenApiError> {
        let members = edit::members(arguments.get())
            .ok_or_else(|| OpenApiError::argument("", "the arguments are no object"))?;
        let mut seen = BTreeSet::new();
        let mut found = Vec::with_capacity(members.len());
        for member in members {
            let name = member.name.into_owned();
            let is_known = self.parameters.iter().any(|parameter| parameter.argument == name)
                || (name == BODY && self.body.is_some());
            if !is_known {
                return Err(OpenApiError::argument(&name, "there is no such argument"));
            }
            if !seen.insert(name.clone()) {
                return Err(OpenApiError::argument(&name, "stands twice"));
            }
            found.push((name, member.value));
        }
        Ok(found)
    }

    /// What a parameter is filled with.
    fn value(
        parameter: &Parameter,
        arguments: &[Argument<'_>],
    ) -> Result<Option<Value>, OpenApiError> {
        let given = arguments.iter().find(|(name, _)| *name == parameter.argument);
        let value = match given {
            Some((name, raw)) => Some(
                serde_json::from_str(raw)
                    .map_err(|_| OpenApiError::argument(name, "is no JSON"))?,
            ),
            None if parameter.required => Some(
                parameter
                    .default
                    .clone()
                    .ok_or_else(|| OpenApiError::argument(&parameter.argument, "is required"))?,
            ),
            None => None,
        };
        Ok(value)
    }

    fn in_place<'a>(
        &'a self,
        place: Place,
        arguments: &'a [Argument<'_>],
    ) -> impl Iterator<Item = Result<(&'a Parameter, Value), OpenApiError>> {
        let parameters = self.parameters.iter().filter(move |parameter| parameter.place == place);
        parameters.filter_map(move |parameter| {
            Some(Self::value(parameter, arguments).transpose()?.map(|value| (parameter, value)))
        })
    }

    fn write_path(&self, arguments: &[Argument<'_>]) -> Result<String, OpenApiError> {
        let mut path = String::new();
        for piece in &self.path {
            match piece {
                Piece::Literal(text) => path.push_str(text),
                Piece::Parameter(at) => {
                    let Some(parameter) = self.parameters.get(*at) else { continue };
                    let value = Self::value(parameter, arguments)?.unwrap_or_default();
                    let written = parameter.shape.path(&parameter.name, &value);
                    path.push_str(
                        &written
                            .map_err(|unfit| OpenApiError::argument(&parameter.argument, unfit))?,
                    );
                }
            }
        }
        // Two harmless pieces may be a step together: `{a}.{b}`.
        let climbs = |segment: &str| {
            escape::decoded(segment).is_none_or(|text| matches!(text.as_str(), "." | ".."))
        };
        if path.split('/').any(climbs) {
            return Err(OpenApiError::argument("", "the arguments lead out of the path"));
        }
        Ok(path)
    }

    fn write_query(
        &self,
        reserved: &Reserved,
        arguments: &[Argument<'_>],
    ) -> Result<Vec<String>, OpenApiError> {
        let mut query = Vec::new();
        for filled in self.in_place(Place::Query, arguments) {
            let (parameter, value) = filled?;
            let pairs = parameter.shape.pairs(&parameter.name, &value);
            let pairs =
                pairs.map_err(|unfit| OpenApiError::argument(&parameter.argument, unfit))?;
            for (name, value) in pairs {
                self.guard(reserved, Place::Query, parameter, &name)?;
                query.push([&name, "=", &value].concat());
            }
        }
        Ok(query)
    }

    /// An object spread over a query or the cookies brings names of its own: not those that
    /// credentials or other parameters have.
    fn guard(
        &self,
        reserved: &Reserved,
        place: Place,
        parameter: &Parameter,
        written: &str,
    ) -> Result<(), OpenApiError> {
        let name = escape::decoded(written).unwrap_or_default();
        let is_other = |other: &&Parameter| {
            other.place == place && other.name == name && other.argument != parameter.argument
        };
        if reserved.holds(place, &name) || self.parameters.iter().any(|other| is_other(&other)) {
            let reason = "has a member that is not for it to set";
            return Err(OpenApiError::argument(&parameter.argument, reason));
        }
        Ok(())
    }

    fn write_headers(
        &self,
        reserved: &Reserved,
        arguments: &[Argument<'_>],
        headers: &mut HeaderMap,
    ) -> Result<(), OpenApiError> {
        let mut cookies = Vec::new();
        for filled in self.in_place(Place::Header, arguments) {
            let (parameter, value) = filled?;
            let unfit = |unfit| OpenApiError::argument(&parameter.argument, unfit);
            let name = HeaderName::from_bytes(parameter.name.as_bytes())
                .map_err(|_| unfit("has a name that no header has"))?;
            parameter.shape.header(&name, &value, headers).map_err(unfit)?;
        }
        for filled in self.in_place(Place::Cookie, arguments) {
            let (parameter, value) = filled?;
            let pairs = parameter.shape.pairs(&parameter.name, &value);
            let pairs =
                pairs.map_err(|unfit| OpenApiError::argument(&parameter.argument, unfit))?;
            for (name, value) in pairs {
                cookies.push((parameter, name, value));
            }
        }
        if cookies.is_empty() {
            return Ok(());
        }
        for (parameter, name, _) in &cookies {
            self.guard(reserved, Place::Cookie, parameter, name)?;
        }
        let line: Vec<_> =
            cookies.iter().map(|(_, name, value)| [name, "=", value].concat()).collect();
        let value = HeaderValue::try_from(line.join("; "))
            .map_err(|_| OpenApiError::argument("", "the arguments make no cookie"))?;
        headers.insert(COOKIE, value);
        Ok(())
    }

    fn write_body(
        &self,
        arguments: &[Argument<'_>],
        headers: &mut HeaderMap,
    ) -> Result<bytes::Bytes, OpenApiError> {
        let Some(body) = &self.body else { return Ok(bytes::Bytes::new()) };
        let Some((_, raw)) = arguments.iter().find(|(name, _)| name == BODY) else {
            return if body.required {
                Err(OpenApiError::argument(BODY, "is required"))
            } else {
                Ok(bytes::Bytes::new())
            };
        };
        let written = body.write(raw).map_err(|unfit| OpenApiError::argument(BODY, unfit))?;
        headers.insert(CONTENT_TYPE, written.1);
        Ok(written.0)
    }
}

/// What every request says of itself.
fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    let liked = HeaderValue::from_static("application/json, text/*;q=0.8, */*;q=0.5");
    headers.insert(ACCEPT, liked);
    let agent = concat!("doorward/", env!("CARGO_PKG_VERSION"));
    headers.insert(USER_AGENT, HeaderValue::from_static(agent));
    headers
}

/// A path's template in pieces.
pub(super) fn pieces(
    template: &At<'_>,
    text: &str,
    parameters: &[Parameter],
) -> Result<Vec<Piece>, Refused> {
    if !text.starts_with('/') {
        return Err(template.refuse("a path begins with `/`"));
    }
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, after)) = after.split_once('}') else {
            return Err(template.refuse("has a `{` without `}`"));
        };
        let at = parameters
            .iter()
            .position(|parameter| parameter.place == Place::Path && parameter.name == name)
            .ok_or_else(|| template.refuse(format!("has no parameter for {{{name}}}")))?;
        let mut literal = String::new();
        escape::literal(before, &mut literal);
        pieces.extend([Piece::Literal(literal), Piece::Parameter(at)]);
        rest = after;
    }
    let mut literal = String::new();
    escape::literal(rest, &mut literal);
    pieces.push(Piece::Literal(literal));
    Ok(pieces)
}

/// The parameters of an operation, those of its path included; with the place of each schema.
pub(super) fn parameters<'d>(
    document: &'d Document,
    path: &At<'d>,
    operation: &At<'d>,
    reserved: &Reserved,
) -> Result<Vec<(Parameter, At<'d>, Option<At<'d>>)>, Refused> {
    let mut found: Vec<(Place, String, At<'d>)> = Vec::new();
    for list in [path.member("parameters"), operation.member("parameters")].iter().flatten() {
        for place in list.items() {
            let place = document.resolve(place)?;
            let within = place.text("in").and_then(Place::of);
            let (Some(within), Some(name)) = (within, place.text("name")) else {
                return Err(
                    place.refuse("a parameter has a name and is in path, query, header or cookie")
                );
            };
            // The operation's own takes the place of the path's.
            found.retain(|(other, known, _)| (*other, known.as_str()) != (within, name));
            found.push((within, name.to_owned(), place));
        }
    }
    found.retain(|(within, name, _)| !reserved.holds(*within, name));
    found.sort_by_key(|(within, ..)| *within);
    let mut taken = BTreeSet::from([BODY.to_owned()]);
    let mut parameters = Vec::new();
    for (place, name, at) in found {
        let argument = argument(&name, place, &mut taken);
        parameters.push(parameter(document, argument, name, place, at)?);
    }
    Ok(parameters)
}

fn parameter<'d>(
    document: &'d Document,
    argument: String,
    name: String,
    place: Place,
    at: At<'d>,
) -> Result<(Parameter, At<'d>, Option<At<'d>>), Refused> {
    let (style, schema) = if let Some(content) = at.member("content") {
        let Some((media, inner)) = content.members().next() else {
            return Err(content.refuse("is empty"));
        };
        let plain = Style::of(None, place).unwrap_or(Style::Form);
        let style = if media.contains("json") { Style::Json } else { plain };
        (style, inner.member("schema"))
    } else {
        let style = Style::of(at.text("style"), place)
            .ok_or_else(|| Refused::new(step(&at.pointer, "style"), "is no style of this place"))?;
        (style, at.member("schema"))
    };
    let explode = at.value.get("explode").and_then(Value::as_bool);
    let explode = explode.unwrap_or(matches!(style, Style::Form | Style::Deep));
    let reserved = place == Place::Query && at.is("allowReserved");
    let resolved = match &schema {
        Some(schema) => Some(document.resolve(schema.clone())?),
        None => None,
    };
    let single = |schema: &At<'_>| match schema
        .value
        .get("enum")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
    {
        Some([only]) => Some(only.clone()),
        _ => schema.value.get("const").cloned(),
    };
    let default = resolved
        .as_ref()
        .and_then(|schema| schema.value.get("default").cloned().or_else(|| single(schema)));
    let parameter = Parameter {
        argument,
        name,
        place,
        required: place == Place::Path || at.is("required"),
        shape: Shape { style, explode, reserved },
        default,
        kind: schema.as_ref().and_then(|schema| schema::kind(document, schema)).map(str::to_owned),
    };
    Ok((parameter, at, schema))
}

/// The argument for a parameter: its name where model APIs take it, with its place where another
/// has it already.
fn argument(name: &str, place: Place, taken: &mut BTreeSet<String>) -> String {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let plain: String = name.chars().map(|c| if legal(c) { c } else { '_' }).collect();
    let plain = plain.trim_end_matches('_');
    let plain: String =
        if plain.is_empty() { "parameter".into() } else { plain.chars().take(48).collect() };
    let mut argument = plain.clone();
    let mut count = 1;
    while !taken.insert(argument.clone()) {
        argument = match count {
            1 => format!("{plain}_{}", place.word()),
            _ => format!("{plain}_{}_{count}", place.word()),
        };
        count += 1;
    }
    argument
}
