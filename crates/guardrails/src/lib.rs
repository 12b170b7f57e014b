//! Labels, tool contracts, the tool engine and grants: deterministic guards for agents.
