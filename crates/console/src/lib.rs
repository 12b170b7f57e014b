//! What an operator does: verbs for the command line, the admin listener.
