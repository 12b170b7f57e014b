//! Many MCP servers as one catalogue.
