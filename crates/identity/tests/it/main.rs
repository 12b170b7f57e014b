//! Virtual keys, scopes and credentials through their public face.

#[cfg(test)]
mod access;
