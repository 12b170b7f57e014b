//! Virtual keys, tokens, scopes, policies, credentials and the OAuth client through their public
//! face.

#[cfg(test)]
mod access;
#[cfg(all(test, feature = "cedar"))]
mod cedar;
#[cfg(all(test, feature = "jwt"))]
mod jwt;
#[cfg(all(test, feature = "oauth-client"))]
mod oauth;
