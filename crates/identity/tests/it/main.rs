//! Virtual keys, tokens, scopes, policies, credentials and the OAuth client through their public
//! face.

#[cfg(test)]
mod access;
#[cfg(test)]
#[cfg(feature = "cedar")]
mod cedar;
#[cfg(test)]
#[cfg(feature = "jwt")]
mod jwt;
#[cfg(test)]
#[cfg(feature = "oauth-client")]
mod oauth;
