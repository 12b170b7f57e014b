//! Why a verb did not do what it was asked.

use std::fmt;

/// Why a verb did not do what it was asked, in one line with its causes.
#[derive(Debug)]
pub struct Failure {
    what: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Failure {
    /// A failure without a cause.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), source: None }
    }

    /// Whether the reader of the output went away, which is nobody's fault.
    pub fn is_broken_pipe(&self) -> bool {
        self.source
            .as_deref()
            .and_then(|source| source.downcast_ref::<std::io::Error>())
            .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    }

    /// A failure with its cause.
    pub fn of(
        what: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { what: what.into(), source: Some(source.into()) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if let Some(source) = &self.source {
            write!(f, ": {}", chain(&**source))?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

impl From<doorward_gateway::StartError> for Failure {
    fn from(error: doorward_gateway::StartError) -> Self {
        let what = error.to_string();
        match std::error::Error::source(&error) {
            Some(source) => Self::of(what, chain(source)),
            None => Self::new(what),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::of("output failed", error)
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
