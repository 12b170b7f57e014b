//! For which calls something is meant.

use std::cell::OnceCell;

use doorward_core::{Body, Cx, MediaKind, ModelCall, Part, Pattern};
use serde::Deserialize;

/// A condition on a call: all that is said must hold; nothing said holds always.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct When {
    /// The prompt has at least so many tokens, as estimated here.
    pub min_input_tokens: Option<u64>,
    /// The prompt has at most so many tokens, as estimated here.
    pub max_input_tokens: Option<u64>,
    /// Whether the call declares tools.
    pub tools: Option<bool>,
    /// The prompt holds media of one of these kinds.
    pub media: Vec<Medium>,
    /// Whether a stream is asked for.
    pub stream: Option<bool>,
    /// The team that the caller belongs to; may hold `*`. Nobody's team fits none.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub team: Option<Pattern>,
    /// The agent that the client names; may hold `*`. A label of the client's, no proof.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub agent: Option<Pattern>,
    /// Who calls; may hold `*`.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub principal: Option<Pattern>,
}

/// A kind of media.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Medium {
    /// A picture.
    Image,
    /// Sound.
    Audio,
    /// A document.
    File,
}

impl From<Medium> for MediaKind {
    fn from(medium: Medium) -> Self {
        match medium {
            Medium::Image => Self::Image,
            Medium::Audio => Self::Audio,
            Medium::File => Self::File,
        }
    }
}

/// What conditions ask of a call, found out once and only where one asks.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) call: Option<&'a ModelCall>,
    input: OnceCell<u64>,
    media: OnceCell<[bool; 3]>,
}

impl<'a> Facts<'a> {
    pub(crate) fn of(call: &'a ModelCall) -> Self {
        Self { call: Some(call), input: OnceCell::new(), media: OnceCell::new() }
    }

    /// Of a call that is no completion.
    pub(crate) fn plain(input_tokens: u64) -> Self {
        Self { call: None, input: input_tokens.into(), media: OnceCell::new() }
    }

    /// Tokens of the prompt, estimated.
    pub(crate) fn input(&self) -> u64 {
        *self.input.get_or_init(|| self.call.map_or(0, crate::estimate))
    }

    pub(crate) fn media(&self, kind: MediaKind) -> bool {
        let found = self.media.get_or_init(|| {
            let mut found = [false; 3];
            let parts = self.call.into_iter().flat_map(|call| &call.messages);
            for part in parts.flat_map(|message| &message.parts) {
                note_media(part, &mut found);
            }
            found
        });
        found[kind as usize]
    }
}

fn note_media(part: &Part, found: &mut [bool; 3]) {
    match &part.body {
        Body::Media(media) => found[media.kind as usize] = true,
        Body::ToolResult(result) => {
            result.content.iter().for_each(|part| note_media(part, found));
        }
        _ => {}
    }
}

impl When {
    /// What of it does not hold, in words; `None` where all does.
    pub(crate) fn misfit(&self, cx: &Cx, facts: &Facts<'_>) -> Option<&'static str> {
        let call = facts.call;
        let differs = |wanted: Option<bool>, is: bool| wanted.is_some_and(|wanted| wanted != is);
        let fits = |wanted: &Option<Pattern>, is: Option<&str>| {
            wanted.as_ref().is_none_or(|wanted| is.is_some_and(|is| wanted.matches(is)))
        };
        if differs(self.tools, call.is_some_and(|call| !call.tools.is_empty())) {
            Some("tools")
        } else if differs(self.stream, call.is_some_and(|call| call.stream)) {
            Some("stream")
        } else if !fits(&self.team, cx.principal.team.as_deref()) {
            Some("team")
        } else if !fits(&self.agent, cx.agent.as_deref()) {
            Some("agent")
        } else if !fits(&self.principal, Some(&cx.principal.id)) {
            Some("principal")
        } else if !self.media.is_empty()
            && !self.media.iter().any(|medium| facts.media((*medium).into()))
        {
            Some("media")
        } else if self.min_input_tokens.is_some_and(|least| facts.input() < least) {
            Some("min_input_tokens")
        } else if self.max_input_tokens.is_some_and(|most| facts.input() > most) {
            Some("max_input_tokens")
        } else {
            None
        }
    }
}
