//! HTTP APIs as tools: an OpenAPI 3.0 or 3.1 document becomes tools that are called directly.
//!
//! Each operation is one tool. Its parameters are arguments by their own names (another's name
//! taken, their place is added: `id_query`; letters that model APIs do not take become `_`), and
//! its body, whatever it is, is the argument `body`. Credentials are never arguments: they come
//! with the call and go where the document's security schemes say.
//!
//! ```
//! use doorward_core::{Credential, Secret};
//! use doorward_mcp_broker::openapi::{OpenApi, OpenApiOptions};
//! use serde_json::value::RawValue;
//!
//! let document = r#"{
//!   "openapi": "3.1.0", "info": {"title": "Pets", "version": "1"},
//!   "servers": [{"url": "https://pets.example.com/v1"}],
//!   "components": {"securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "x-key"}}},
//!   "security": [{"key": []}],
//!   "paths": {"/pets/{id}": {"get": {"operationId": "get_pet", "parameters": [
//!     {"name": "id", "in": "path", "required": true, "schema": {"type": "string"}}]}}}
//! }"#;
//! let api = OpenApi::read(document.as_bytes(), &OpenApiOptions::default())?;
//! assert_eq!(api.definitions()[0].name, "get_pet");
//!
//! let key = Credential::Key(Secret::new("k-1"));
//! let arguments = RawValue::from_string(r#"{"id":"7/8"}"#.into()).unwrap();
//! let request = api.request("get_pet", &arguments, Some(&key))?;
//! assert_eq!(request.uri(), "https://pets.example.com/v1/pets/7%2F8");
//! assert_eq!(request.headers()["x-key"], "k-1");
//!
//! // An argument cannot climb out of its place in the path.
//! let arguments = RawValue::from_string(r#"{"id":"../admin"}"#.into()).unwrap();
//! assert!(api.request("get_pet", &arguments, Some(&key)).is_err());
//! # Ok::<(), doorward_mcp_broker::openapi::OpenApiError>(())
//! ```

mod body;
mod caller;
mod document;
mod escape;
mod next;
mod operation;
mod parameter;
mod reply;
mod schema;
mod security;
mod servers;
mod tool;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bytes::Bytes;
use doorward_core::{Credential, Pattern, ToolReply};
use http::{HeaderMap, Method, Request, StatusCode};
use serde_json::value::RawValue;

use body::Body;
use document::{At, Document, Refused};
use operation::Operation;
use security::{Reserved, Scheme};

pub use caller::{Caller, SendError};

/// What an operator says about a document.
#[derive(Debug, Clone)]
pub struct OpenApiOptions {
    /// Where the API is, instead of where the document says. All operations go there.
    pub base_url: Option<String>,
    /// Operations to take; all where empty. A pattern fits an operation by its `operationId`, its
    /// path (`/pets/*`), its method and path (`GET /pets/*`), or one of its tags.
    pub include: Vec<Pattern>,
    /// Operations to leave out, even where they are included.
    pub exclude: Vec<Pattern>,
    /// The most tools; more is an error, never a silent cut.
    pub max_tools: usize,
    /// Whether tools declare a schema of their results. Clients may then refuse an answer that is
    /// not what the document says.
    pub output_schemas: bool,
}

impl Default for OpenApiOptions {
    /// All operations, at most 500, where the document says, with schemas of their results.
    fn default() -> Self {
        Self {
            base_url: None,
            include: Vec::new(),
            exclude: Vec::new(),
            max_tools: 500,
            output_schemas: true,
        }
    }
}

/// Why a document or a call cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenApiError {
    /// It is neither JSON nor YAML.
    #[error("the document cannot be read: {0}")]
    Syntax(String),
    /// It is not OpenAPI 3.0 or 3.1.
    #[error("expected OpenAPI 3.0 or 3.1, found {0:?}")]
    Version(String),
    /// A part that all depends on is wrong.
    #[error("the document is wrong at {pointer}: {reason}")]
    Invalid {
        /// Where: a JSON Pointer into the document.
        pointer: String,
        /// What is wrong.
        reason: String,
    },
    /// It has more operations than were asked for.
    #[error(
        "the document has {found} operations, more than {most}: choose with include or exclude"
    )]
    TooMany {
        /// How many there are.
        found: usize,
        /// The most that may be.
        most: usize,
    },
    /// Not one operation can be a tool.
    #[error("the document has no operation that can be a tool{}", .0.first().map(|first| format!("; {first}")).unwrap_or_default())]
    Empty(Vec<Skipped>),
    /// There is no tool of this name.
    #[error("there is no tool {0:?}")]
    Tool(String),
    /// An argument is missing or cannot go where it should.
    #[error("{}{reason}", argument.as_ref().map(|name| format!("{name}: ")).unwrap_or_default())]
    Argument {
        /// The argument; `None` where it is all of them.
        argument: Option<String>,
        /// What is wrong, without its value.
        reason: String,
    },
    /// The credential cannot be shown.
    #[error("the credential cannot be shown: {0}")]
    Credential(&'static str),
}

impl OpenApiError {
    fn argument(name: &str, reason: &str) -> Self {
        let argument = (!name.is_empty()).then(|| name.chars().take(100).collect());
        Self::Argument { argument, reason: reason.to_owned() }
    }
}

impl From<Refused> for OpenApiError {
    fn from(refused: Refused) -> Self {
        Self::Invalid { pointer: refused.pointer, reason: refused.reason }
    }
}

/// One operation as a tool.
#[derive(Debug, Clone)]
pub struct Definition {
    /// The tool's name: the `operationId`, else method and path, made legal and unique.
    pub name: String,
    /// The MCP definition.
    pub json: Box<RawValue>,
}

/// An operation that is no tool, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Its method and path.
    pub operation: String,
    /// Where the reason stands: a JSON Pointer into the document.
    pub pointer: String,
    /// Why.
    pub reason: String,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}", self.operation, self.pointer, self.reason)
    }
}

/// A document's operations as tools.
pub struct OpenApi {
    definitions: Vec<Definition>,
    operations: BTreeMap<String, Operation>,
    skipped: Vec<Skipped>,
    reserved: Reserved,
}

impl fmt::Debug for OpenApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenApi")
            .field("tools", &self.definitions.len())
            .field("skipped", &self.skipped.len())
            .finish_non_exhaustive()
    }
}

impl OpenApi {
    /// Reads a document, JSON or YAML. An operation that cannot be carried (a body in XML, a
    /// reference to another document, several credentials at once) is left out and told by
    /// [`skipped`](Self::skipped).
    ///
    /// # Errors
    ///
    /// Where the document as a whole cannot be used.
    pub fn read(document: &[u8], options: &OpenApiOptions) -> Result<Self, OpenApiError> {
        let document = Document::read(document)?;
        let chosen = chosen(&document, options)?;
        if chosen.len() > options.max_tools {
            return Err(OpenApiError::TooMany { found: chosen.len(), most: options.max_tools });
        }
        let servers = servers::Servers::of(&document, options.base_url.as_deref())?;
        let mut api = Self {
            definitions: Vec::new(),
            operations: BTreeMap::new(),
            skipped: Vec::new(),
            reserved: Reserved::of(&document),
        };
        let mut taken = BTreeSet::new();
        for choice in &chosen {
            match api.compile(&document, &servers, choice, options, &mut taken) {
                Ok((definition, operation)) => {
                    api.operations.insert(definition.name.clone(), operation);
                    api.definitions.push(definition);
                }
                Err(Refused { pointer, reason }) => {
                    let operation = format!("{} {}", choice.method, choice.template);
                    api.skipped.push(Skipped { operation, pointer, reason });
                }
            }
        }
        if api.definitions.is_empty() { Err(OpenApiError::Empty(api.skipped)) } else { Ok(api) }
    }

    /// The tools, sorted by path, then by method.
    pub fn definitions(&self) -> &[Definition] {
        &self.definitions
    }

    /// Chosen operations that are no tools.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// Whether any tool is called by `https`.
    pub fn is_secure(&self) -> bool {
        self.operations.values().any(|operation| operation.base.starts_with("https:"))
    }

    /// The request of a call. Pure: the same call makes the same request.
    ///
    /// # Errors
    ///
    /// Where there is no such tool, or an argument or the credential cannot go where it should.
    pub fn request(
        &self,
        tool: &str,
        arguments: &RawValue,
        credential: Option<&Credential>,
    ) -> Result<Request<Bytes>, OpenApiError> {
        self.operation(tool)?.request(&self.reserved, arguments, credential)
    }

    /// The result of a call from its answer. A JSON object is `structuredContent` too; where more
    /// pages follow, `_meta["doorward/next"]` holds the arguments for the next one.
    ///
    /// # Errors
    ///
    /// Where there is no such tool.
    pub fn reply(
        &self,
        tool: &str,
        arguments: &RawValue,
        status: StatusCode,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Result<ToolReply, OpenApiError> {
        Ok(reply::reply(self.operation(tool)?, tool, arguments, status, headers, body))
    }

    fn operation(&self, tool: &str) -> Result<&Operation, OpenApiError> {
        self.operations
            .get(tool)
            .ok_or_else(|| OpenApiError::Tool(tool.chars().take(100).collect()))
    }

    fn compile<'d>(
        &self,
        document: &'d Document,
        servers: &servers::Servers,
        choice: &Choice<'d>,
        options: &OpenApiOptions,
        taken: &mut BTreeSet<String>,
    ) -> Result<(Definition, Operation), Refused> {
        let Choice { method, template, path, operation } = choice;
        let parameters = operation::parameters(document, path, operation, &self.reserved)?;
        let body = match operation.member("requestBody") {
            Some(place) => {
                let place = document.resolve(place)?;
                Body::of(document, &place)?.map(|(body, schema)| (body, schema, place))
            }
            None => None,
        };
        let filled: Vec<_> = parameters.iter().map(|(parameter, ..)| parameter.clone()).collect();
        let pieces = operation::pieces(path, template, &filled)?;
        let base = servers.base(path, operation)?;
        let scheme = Scheme::of(document, operation)?;
        let mut names = taken.clone();
        let name = tool::name(operation, method, template, &mut names);
        let json = tool::definition(&tool::Subject {
            document,
            name: &name,
            method,
            path: template,
            operation,
            parameters: &parameters,
            body: body.as_ref().map(|(body, schema, place)| (body, schema.clone(), place.clone())),
            with_output: options.output_schemas,
        })?;
        *taken = names;
        let body = body.map(|(body, ..)| body);
        let method = method.clone();
        let operation = Operation { method, base, path: pieces, parameters: filled, body, scheme };
        Ok((Definition { name, json }, operation))
    }
}

/// An operation that an operator chose.
struct Choice<'d> {
    method: Method,
    template: &'d str,
    path: At<'d>,
    operation: At<'d>,
}

/// The operations that the options choose.
fn chosen<'d>(
    document: &'d Document,
    options: &OpenApiOptions,
) -> Result<Vec<Choice<'d>>, OpenApiError> {
    let methods =
        [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    let mut chosen = Vec::new();
    let paths = document.at("/paths");
    for (template, path) in paths.iter().flat_map(At::members) {
        if !template.starts_with('/') {
            continue;
        }
        let path = document.resolve(path)?;
        for method in &methods {
            let word = method.as_str().to_ascii_lowercase();
            let Some(operation) = path.member(&word) else { continue };
            let choice = Choice { method: method.clone(), template, path: path.clone(), operation };
            let is_in = options.include.is_empty() || choice.fits(&options.include);
            if is_in && !choice.fits(&options.exclude) {
                chosen.push(choice);
            }
        }
    }
    Ok(chosen)
}

impl Choice<'_> {
    fn fits(&self, patterns: &[Pattern]) -> bool {
        let line = format!("{} {}", self.method, self.template);
        let tags = self.operation.member("tags");
        patterns.iter().any(|pattern| {
            self.operation.text("operationId").is_some_and(|id| pattern.matches(id))
                || pattern.matches(self.template)
                || pattern.matches(&line)
                || tags
                    .iter()
                    .flat_map(At::items)
                    .any(|tag| tag.value.as_str().is_some_and(|tag| pattern.matches(tag)))
        })
    }
}

#[cfg(test)]
mod tests;
