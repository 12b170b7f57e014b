//! What the name of a tool says that it does.

use crate::contract::EffectKind;

/// Verbs, what each does, and the words with which people ask for it.
struct Family {
    effect: EffectKind,
    verbs: &'static [&'static str],
    intent: &'static [&'static str],
}

const SAY: &[&str] = &[
    "send",
    "reply",
    "respond",
    "forward",
    "answer",
    "mail",
    "email",
    "e-mail",
    "message",
    "write to",
    "write back",
    "write an email",
    "write a mail",
    "write a message",
    "tell",
    "notify",
    "inform",
    "ask",
    "remind",
    "thank",
    "share",
    "post",
    "contact",
    "ping",
    "announce",
    "comment",
    "publish",
    "dm",
    "upload",
    "submit",
];
const MAKE: &[&str] = &[
    "create", "add", "make", "schedule", "plan", "put", "set up", "set", "arrange", "organize",
    "organise", "write", "save", "record", "draft", "prepare", "block", "store", "generate",
    "invite", "copy", "fork", "raise", "enter", "register",
];
const CHANGE: &[&str] = &[
    "update",
    "change",
    "edit",
    "modify",
    "move",
    "reschedule",
    "rename",
    "set",
    "adjust",
    "correct",
    "fix",
    "mark",
    "postpone",
    "replace",
    "append",
    "add",
    "put",
    "push",
    "shift",
    "extend",
    "label",
    "tag",
    "archive",
    "assign",
    "close",
    "reopen",
    "write",
    "invite",
    "save",
    "implement",
    "refactor",
    "insert",
    "increase",
    "decrease",
    "raise",
    "lower",
    "turn",
    "switch",
];
const END: &[&str] = &[
    "delete",
    "remove",
    "erase",
    "clear",
    "clean",
    "cancel",
    "discard",
    "trash",
    "purge",
    "drop",
    "call off",
    "get rid",
    "revoke",
    "unsubscribe",
    "uninstall",
    "kick",
    "ban",
    "close",
    "reset",
];
const BIND: &[&str] = &[
    "book",
    "reserve",
    "order",
    "buy",
    "purchase",
    "pay",
    "send",
    "transfer",
    "wire",
    "settle",
    "refund",
    "remit",
    "reimburse",
    "rent",
    "schedule",
    "sign",
    "approve",
    "accept",
    "subscribe",
    "donate",
    "make a reservation",
    "make a booking",
    "make a payment",
    "make a transfer",
];
const OPEN_UP: &[&str] = &[
    "share",
    "grant",
    "give",
    "invite",
    "add",
    "include",
    "allow",
    "authorize",
    "publish",
    "enroll",
];
const ALTER: &[&str] = &[
    "update", "change", "edit", "modify", "set", "reset", "correct", "adjust", "replace", "renew",
];
const RUN: &[&str] = &[
    "run", "start", "trigger", "rerun", "retry", "launch", "deploy", "execute", "stop", "restart",
    "call", "release", "test", "build", "merge", "land", "approve", "accept", "install",
];

const FAMILIES: &[Family] = &[
    Family {
        effect: EffectKind::Read,
        verbs: &[
            "get",
            "list",
            "search",
            "find",
            "read",
            "show",
            "view",
            "describe",
            "query",
            "lookup",
            "check",
            "count",
            "retrieve",
            "fetch",
            "browse",
            "ls",
            "cat",
            "grep",
            "glob",
            "stat",
            "diff",
            "status",
            "whoami",
            "preview",
            "compare",
            "calculate",
            "compute",
            "validate",
            "explain",
            "analyze",
            "analyse",
            "inspect",
            "history",
            "info",
            "lint",
            "resolve",
            "load",
            "download",
            "watch",
            "wait",
            "convert",
            "estimate",
            "now",
            "current",
            "tree",
            "head",
            "tail",
        ],
        intent: &[],
    },
    Family {
        effect: EffectKind::Egress,
        verbs: &[
            "send", "post", "reply", "respond", "forward", "publish", "notify", "email", "mail",
            "message", "dm", "comment", "tweet", "announce", "upload", "webhook", "react",
            "submit",
        ],
        intent: SAY,
    },
    Family {
        effect: EffectKind::Destroy,
        verbs: &[
            "delete",
            "remove",
            "destroy",
            "drop",
            "purge",
            "clear",
            "erase",
            "trash",
            "cancel",
            "revoke",
            "unsubscribe",
            "wipe",
            "truncate",
            "uninstall",
            "kick",
            "ban",
            "reset",
            "prune",
            "kill",
        ],
        intent: END,
    },
    Family {
        effect: EffectKind::Commit,
        verbs: &[
            "pay",
            "transfer",
            "buy",
            "purchase",
            "order",
            "book",
            "reserve",
            "checkout",
            "sign",
            "accept",
            "withdraw",
            "deposit",
            "donate",
            "charge",
            "refund",
            "subscribe",
            "rent",
            "wire",
            "bid",
        ],
        intent: BIND,
    },
    Family {
        effect: EffectKind::Commit,
        verbs: &[
            "run", "execute", "exec", "eval", "invoke", "trigger", "deploy", "release", "merge",
            "approve", "start", "stop", "restart", "call", "install", "bash", "shell", "click",
            "type", "press", "fill", "navigate", "rerun",
        ],
        intent: RUN,
    },
    Family {
        effect: EffectKind::Admin,
        verbs: &["share", "grant", "invite", "authorize", "authorise", "enroll", "impersonate"],
        intent: OPEN_UP,
    },
    Family {
        effect: EffectKind::Write,
        verbs: &[
            "create",
            "add",
            "make",
            "copy",
            "fork",
            "generate",
            "new",
            "save",
            "record",
            "log",
            "schedule",
            "draft",
            "store",
            "put",
            "register",
            "import",
            "init",
            "duplicate",
        ],
        intent: MAKE,
    },
    Family {
        effect: EffectKind::Write,
        verbs: &[
            "update",
            "edit",
            "set",
            "write",
            "append",
            "insert",
            "rename",
            "move",
            "modify",
            "mark",
            "label",
            "tag",
            "assign",
            "patch",
            "replace",
            "reschedule",
            "change",
            "toggle",
            "enable",
            "disable",
            "upsert",
            "archive",
            "restore",
            "close",
            "reopen",
            "transition",
            "star",
            "pin",
            "link",
            "apply",
            "sync",
            "lock",
            "unlock",
            "follow",
            "dismiss",
            "manage",
        ],
        intent: CHANGE,
    },
];

/// Verbs that are as often the thing that another verb is about.
const NOUNS: &[&str] = &[
    "order", "message", "post", "comment", "email", "mail", "book", "log", "share", "call", "run",
    "label", "tag", "release", "deposit", "invite", "transfer", "charge", "check", "history",
    "info", "status", "schedule", "draft", "link", "view", "star", "text", "type", "record",
    "diff", "tree", "head", "count", "watch", "current", "now", "reply", "fork", "register",
    "store", "preview", "archive", "query", "webhook", "query", "copy", "sign", "pin", "change",
    "new", "import", "lock",
];

/// Words that say that access is what a tool is about.
const OF_ACCESS: &[&str] = &[
    "password",
    "permission",
    "permissions",
    "role",
    "roles",
    "access",
    "credential",
    "credentials",
    "token",
    "tokens",
    "secret",
    "secrets",
    "acl",
    "admin",
    "member",
    "members",
    "collaborator",
    "collaborators",
    "policy",
    "key",
    "keys",
    "user",
    "users",
    "filter",
    "filters",
    "rule",
    "rules",
    "forwarding",
];
/// Words that say that money is.
const OF_MONEY: &[&str] = &[
    "money",
    "payment",
    "payments",
    "transaction",
    "transactions",
    "funds",
    "invoice",
    "bill",
    "payout",
    "transfer",
    "transfers",
    "checkout",
    "subscription",
];

/// What a name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Saying {
    pub(super) effect: EffectKind,
    pub(super) intent: &'static [&'static str],
    /// Whether a verb was known.
    pub(super) known: bool,
}

/// What a tool of this name does; egress where no verb is known.
pub(super) fn saying(name: &str) -> Saying {
    let words = words(name);
    let unknown = Saying { effect: EffectKind::Egress, intent: &[], known: false };
    let Some((at, family)) = leading(&words) else { return unknown };
    let narrow = NARROW.iter().find(|(verb, _)| words.get(at).is_some_and(|word| word == verb));
    let intent = narrow.map_or(family.intent, |(_, words)| *words);
    let mut saying = Saying { effect: family.effect, intent, known: true };
    // `get_or_create`, `find_and_delete`: the strictest holds.
    let joined = words.iter().any(|word| matches!(word.as_str(), "and" | "or" | "then"));
    if joined {
        for word in &words[at..] {
            let other = family_of(word).filter(|_| !NOUNS.contains(&word.as_str()));
            if let Some(other) = other.filter(|other| rank(other.effect) > rank(saying.effect)) {
                saying = Saying { effect: other.effect, intent: other.intent, known: true };
            }
        }
    }
    if saying.effect == EffectKind::Read {
        return saying;
    }
    let about = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
    if about(OF_MONEY) && matches!(saying.effect, EffectKind::Write | EffectKind::Egress) {
        saying = Saying { effect: EffectKind::Commit, intent: BIND, known: true };
        if matches!(
            words.get(at).map(String::as_str),
            Some("update" | "edit" | "change" | "modify")
        ) {
            saying.intent = CHANGE;
        }
    } else if about(OF_ACCESS) && matches!(saying.effect, EffectKind::Write) {
        let adds =
            matches!(words.get(at).map(String::as_str), Some("add" | "create" | "put" | "new"));
        let intent = if adds { OPEN_UP } else { ALTER };
        saying = Saying { effect: EffectKind::Admin, intent, known: true };
    }
    saying
}

/// Whether a word is a verb of some family and no noun besides.
pub(super) fn is_verb(word: &str) -> bool {
    family_of(word).is_some() && !NOUNS.contains(&word)
}

/// Verbs that change something in one way only, with the words by which people ask for that.
const NARROW: &[(&str, &[&str])] = &[
    ("reschedule", &["reschedule", "move", "postpone", "shift", "push", "delay", "bring forward"]),
    ("rename", &["rename", "call"]),
    ("append", &["append", "add", "write", "put", "insert", "include", "note"]),
    ("insert", &["insert", "add", "write", "put", "include"]),
    ("move", &["move", "put", "archive", "sort", "rename"]),
    ("close", &["close", "resolve"]),
    ("reopen", &["reopen", "open"]),
    ("assign", &["assign", "give"]),
    ("archive", &["archive", "clean"]),
    ("label", &["label", "tag", "mark"]),
    ("tag", &["tag", "label", "mark"]),
    ("mark", &["mark", "flag", "set"]),
    ("follow", &["follow", "subscribe"]),
    ("star", &["star", "mark", "flag"]),
];

/// The first verb that is no noun here, else the first.
fn leading(words: &[String]) -> Option<(usize, &'static Family)> {
    let verbs =
        || words.iter().enumerate().filter_map(|(at, word)| Some((at, word, family_of(word)?)));
    let clear = verbs().find(|(_, word, _)| !NOUNS.contains(&word.as_str()));
    let first = verbs().next();
    // `post_get`: a doubtful word that stands first and is stricter holds before a read.
    match (first, clear) {
        (Some((0, _, first)), Some((_, _, clear)))
            if words.len() > 1
                && rank(first.effect) > rank(clear.effect)
                && clear.effect != EffectKind::Read =>
        {
            Some((0, first))
        }
        (_, Some((at, _, family))) | (Some((at, _, family)), None) => Some((at, family)),
        (None, None) => None,
    }
}

fn family_of(word: &str) -> Option<&'static Family> {
    FAMILIES.iter().find(|family| family.verbs.contains(&word))
}

/// How strict an effect is, for choosing between two.
pub(super) fn rank(effect: EffectKind) -> u8 {
    match effect {
        EffectKind::Read => 0,
        EffectKind::Write => 1,
        EffectKind::Egress => 2,
        EffectKind::Destroy => 3,
        EffectKind::Commit => 4,
        EffectKind::Admin => 5,
    }
}

/// The words by which people ask for an effect, where the tool's name does not tell better ones.
pub(super) fn intent_of(effect: EffectKind) -> &'static [&'static str] {
    match effect {
        EffectKind::Read => &[],
        EffectKind::Write => CHANGE,
        EffectKind::Egress => SAY,
        EffectKind::Destroy => END,
        EffectKind::Commit => BIND,
        EffectKind::Admin => OPEN_UP,
    }
}

/// The words of a name, in lower case: `createIssue`, `slack_post_message`, `API-get-user`.
pub(super) fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut before = ' ';
    for char in name.chars() {
        let fresh = !before.is_alphanumeric() || before.is_lowercase() && char.is_uppercase();
        if char.is_alphanumeric() {
            if fresh || words.is_empty() {
                words.push(String::new());
            }
            if let Some(word) = words.last_mut() {
                word.extend(char.to_lowercase());
            }
        }
        before = char;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_a_tool_does() {
        use EffectKind::{Admin, Commit, Destroy, Egress, Read, Write};
        for (name, effect) in [
            ("get_unread_emails", Read),
            ("search_emails", Read),
            ("send_email", Egress),
            ("delete_email", Destroy),
            ("cancel_calendar_event", Destroy),
            ("create_calendar_event", Write),
            ("reschedule_calendar_event", Write),
            ("share_file", Admin),
            ("send_money", Commit),
            ("schedule_transaction", Commit),
            ("update_scheduled_transaction", Commit),
            ("update_password", Admin),
            ("reserve_hotel", Commit),
            ("get_all_hotels_in_city", Read),
            ("invite_user_to_slack", Admin),
            ("remove_user_from_slack", Destroy),
            ("post_webpage", Egress),
            ("add_user_to_channel", Admin),
            ("issue_read", Read),
            ("API-delete-a-block", Destroy),
            ("getJiraIssue", Read),
            ("addCommentToJiraIssue", Write),
            ("get_or_create_label", Write),
            ("find_and_delete", Destroy),
            ("message_list", Read),
            ("run_command", Commit),
            ("frobnicate", Egress),
            ("get_order", Read),
            ("list_comments", Read),
        ] {
            assert_eq!(saying(name).effect, effect, "{name}");
        }
        assert!(!saying("frobnicate").known);
    }
}
