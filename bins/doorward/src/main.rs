//! The Doorward gateway.
fn main() {}
