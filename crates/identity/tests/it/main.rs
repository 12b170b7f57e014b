//! Virtual keys, scopes, credentials and the OAuth client through their public face.

#[cfg(test)]
mod access;
#[cfg(all(test, feature = "cedar"))]
mod cedar;
#[cfg(all(test, feature = "jwt"))]
mod jwt;
#[cfg(test)]
#[cfg(feature = "oauth-client")]
mod oauth;
