//! Virtual keys, scopes, credentials and the OAuth client through their public face.

#[cfg(test)]
mod access;
#[cfg(test)]
#[cfg(feature = "oauth-client")]
mod oauth;
