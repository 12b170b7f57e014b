//! Groups that a token cannot hold.

use std::fmt;
use std::sync::Arc;

use doorward_core::{BoxFuture, CallError};

/// Knows the groups of people. Entra puts at most 200 into a token, and a hint that there are
/// more (`_claim_names`, `hasgroups`); Microsoft Graph knows them all.
///
/// The address that such a token brings along (`_claim_sources`) is not used: an implementation
/// knows where its directory is.
pub trait Directory: Send + Sync + fmt::Debug {
    /// The groups, as the rules name them. The answer is believed for some minutes.
    ///
    /// # Errors
    ///
    /// Where they cannot be had: they are unknown then, and nothing is allowed by group.
    fn groups<'a>(&'a self, member: &'a Member) -> BoxFuture<'a, Result<Vec<Arc<str>>, CallError>>;
}

/// Whose groups are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The issuer that vouches.
    pub issuer: Arc<str>,
    /// The `sub` claim.
    pub subject: Arc<str>,
    /// Entra's tenant (`tid`).
    pub tenant: Option<Arc<str>>,
    /// Entra's object id (`oid`), as Graph knows people.
    pub object: Option<Arc<str>>,
}
