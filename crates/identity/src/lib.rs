//! Who calls, may they, and with which credential upstream.
