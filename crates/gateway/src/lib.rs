//! The policy stack around both planes, the HTTP and MCP edges, config, reload and drain.
