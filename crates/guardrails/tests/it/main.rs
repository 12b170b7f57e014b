//! The guard, driven as a gateway drives it.

mod driver;
mod laundering;
mod monotone;
mod scenario;
mod streams;
mod timing;
mod ungranted;
