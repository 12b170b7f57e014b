//! Storage for the other rooms' traits: SQLite.
