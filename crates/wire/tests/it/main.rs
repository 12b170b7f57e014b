//! The codecs through their public surface.

mod answers;
mod calls;
mod cases;
mod guarded;
mod hostile;
mod splices;
mod splits;
