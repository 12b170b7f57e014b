//! Virtual keys, scopes, credentials and the OAuth client through their public face.

#[cfg(test)]
mod access;
#[cfg(all(test, feature = "cedar"))]
mod cedar;
#[cfg(test)]
#[cfg(feature = "oauth-client")]
mod oauth;
