//! Virtual keys, tokens, scopes, policies, credentials, the OAuth client and the authorization server
//! through their public face.

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
#[cfg(test)]
#[cfg(feature = "oauth-server")]
mod oauth_server;
