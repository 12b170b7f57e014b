//! Tools that a provider runs itself, within the answer.
//!
//! Nobody judges their calls, and their results are in no request. So where one may have run, the
//! rest of that answer comes from a model that has read what its contract says: without one,
//! untrusted data.

use doorward_core::{Frame, Integrity, Label, ModelEvent, Names, ToolDef};
use memchr::memmem;

use crate::contract::Contracts;
use crate::words;

/// What only the answer of a provider holds that has run a tool: Anthropic, Responses, Gemini.
const MARKS: &[&[u8]] = &[
    b"server_tool_use",
    b"_tool_result",
    b"web_search_call",
    b"file_search_call",
    b"code_interpreter_call",
    b"image_generation_call",
    b"mcp_call",
    b"mcp_list_tools",
    b"groundingMetadata",
    b"urlContextMetadata",
    b"codeExecutionResult",
    b"executed_tools",
];

/// Tools with a declaration of their own that clients run themselves.
const RUN_BY_CLIENTS: &[&str] = &[
    "apply_patch",
    "bash",
    "computer",
    "local_shell",
    "memory",
    "shell",
    "str_replace",
    "text_editor",
];

/// The label of what the provider may read within the answer, if any tool of its own is declared.
pub(crate) fn label(tools: &[ToolDef], contracts: &Contracts, names: &dyn Names) -> Option<Label> {
    let hosted = tools.iter().filter(|tool| {
        let own = RUN_BY_CLIENTS.iter().any(|name| tool.name.starts_with(name));
        tool.opaque.is_some()
            && !tool.custom
            && !tool.hidden
            && !own
            && names.brokered(&tool.name).is_none()
            && contracts.of(&tool.name).worst_integrity() == Integrity::Untrusted
    });
    hosted.map(|tool| Label::untrusted(words::plain(&tool.name))).reduce(|a, b| a.join(&b))
}

/// Whether a tool of the provider's may have run, as far as a frame tells. One that was rewritten
/// does not tell.
pub(crate) fn may_have_run(frame: &Frame) -> bool {
    let told = frame.events.iter().any(|event| match event {
        ModelEvent::Citation { .. } => true,
        ModelEvent::Usage(usage) => usage.searches > 0,
        _ => false,
    });
    told || match &frame.raw {
        Some(raw) => MARKS.iter().any(|mark| memmem::find(raw, mark).is_some()),
        None => !frame.events.is_empty(),
    }
}
