//! A scripted model provider, a test clock and conformance suites for the traits. For tests only.
