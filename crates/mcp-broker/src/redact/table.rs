//! What secrets look like. Formats are the vendors' own, as their documentation and their
//! secret-scanning partners' lists give them.

use std::ops::Range;

/// One format.
pub(super) struct Row {
    pub(super) kind: &'static str,
    pub(super) pattern: &'static str,
    /// One of these stands in every match.
    pub(super) needles: &'static [&'static str],
    pub(super) is_generic: bool,
}

const fn row(kind: &'static str, needles: &'static [&'static str], pattern: &'static str) -> Row {
    Row { kind, pattern, needles, is_generic: false }
}

/// The kind of a member whose name says that it is a secret.
pub(super) const NAMED: &str = "secret";

pub(super) const RULES: &[Row] = &[
    row(
        "private_key",
        &["PRIVATE KEY"],
        r"(?s)-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\z)",
    ),
    row(
        "aws_access_key",
        &["AKIA", "ASIA", "ABIA", "ACCA"],
        r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b",
    ),
    row(
        "aws_secret_key",
        &[],
        r#"(?i)\baws[_\- ]?secret[_\- ]?(?:access[_\- ]?)?key["'`]?\s*(?:[:=]|=>)\s*["'`]?(?P<s>[A-Za-z0-9/+]{40})\b"#,
    ),
    row(
        "github_token",
        &["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"],
        r"\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255})",
    ),
    row(
        "gitlab_token",
        &[
            "glpat-", "gldt-", "glptt-", "glrt-", "glcbt-", "glft-", "gloas-", "glsoat-",
            "glagent-", "glimt-",
        ],
        r"\bgl(?:pat|dt|ptt|rt|cbt|ft|oas|soat|agent|imt)-[A-Za-z0-9_.\-]{20,255}",
    ),
    row(
        "slack_token",
        &["xox", "xapp-", "hooks.slack.com"],
        r"\b(?:xox[abeoprs]-[A-Za-z0-9\-]{10,255}|xoxe\.xox[bp]-[A-Za-z0-9\-]{10,255}|xapp-\d-[A-Z0-9]+-\d+-[A-Za-z0-9]{10,255})|hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9/]{20,255}",
    ),
    row("anthropic_key", &["sk-ant-"], r"\bsk-ant-[A-Za-z0-9_\-]{20,255}"),
    row(
        "openai_key",
        &["sk-"],
        r"\bsk-(?:(?:proj|svcacct|admin|None)-[A-Za-z0-9_\-]{20,255}|[A-Za-z0-9]{32,255})",
    ),
    row("google_key", &["AIza"], r"\bAIza[A-Za-z0-9_\-]{35}"),
    row(
        "google_token",
        &["ya29.", "GOCSPX-", "1//0"],
        r"\bya29\.[A-Za-z0-9_\-]{20,}|\bGOCSPX-[A-Za-z0-9_\-]{20,60}|\b1//0[A-Za-z0-9_\-]{40,200}",
    ),
    row(
        "stripe_key",
        &["k_live_", "k_test_", "k_prod_", "whsec_"],
        r"\b(?:[sr]k_(?:live|test|prod)_[A-Za-z0-9]{10,255}|whsec_[A-Za-z0-9+/=]{24,255})",
    ),
    row("npm_token", &["npm_"], r"\bnpm_[A-Za-z0-9]{36}\b"),
    row("pypi_token", &["pypi-AgE"], r"\bpypi-AgE[A-Za-z0-9_\-]{50,1000}"),
    row("huggingface_token", &["hf_"], r"\bhf_[A-Za-z0-9]{30,40}\b"),
    row("sendgrid_key", &["SG."], r"\bSG\.[A-Za-z0-9_\-]{16,32}\.[A-Za-z0-9_\-]{30,64}"),
    row("digitalocean_token", &["_v1_"], r"\bdo[opr]_v1_[a-f0-9]{64}\b"),
    row(
        "azure_key",
        &["AccountKey=", "SharedAccessKey="],
        r"\b(?:AccountKey|SharedAccessKey)=(?P<s>[A-Za-z0-9+/]{40,100}={0,2})",
    ),
    row("doorward_key", &["dw-"], r"\bdw-[0-9A-Za-z]{72}\b"),
    row("jwt", &["eyJ"], r"\beyJ[A-Za-z0-9_\-]{8,}\.eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}"),
    row(
        "url_password",
        &["://"],
        r#"\b[A-Za-z][A-Za-z0-9+.\-]{1,30}://[^\s/:@"'<>?#]{0,256}:(?P<s>[^\s/@"'<>]{1,256})@"#,
    ),
    row(
        "authorization",
        &[],
        r#"(?i)\b(?:proxy-)?authorization["'`]?\s*[:=]\s*["'`]?(?:bearer|basic|token|apikey)\s+(?P<s>[A-Za-z0-9._~+/=\-]{8,4096})"#,
    ),
    Row {
        kind: NAMED,
        needles: &[],
        is_generic: true,
        pattern: r#"(?i)(?:password|passwd|pwd|passphrase|secret|api[_\- ]?key|access[_\-]?key|secret[_\-]?key|private[_\-]?key|auth[_\-]?token|access[_\-]?token|refresh[_\-]?token|session[_\-]?token)["'`]?\s{0,8}(?:=>|[:=])\s{0,8}(?:"(?P<s>[^"\n]{4,512})"|'(?P<s1>[^'\n]{4,512})'|`(?P<s2>[^`\n]{4,512})`|(?P<s3>[^\s"'`&;,<>(){}\[\]]{6,512}))"#,
    },
];

/// Words that stand where a value would, and are none.
const WORDS: [&str; 22] = [
    "true",
    "false",
    "null",
    "none",
    "nil",
    "undefined",
    "required",
    "optional",
    "string",
    "integer",
    "boolean",
    "object",
    "secret",
    "password",
    "hidden",
    "redacted",
    "changeme",
    "example",
    "invalid",
    "incorrect",
    "missing",
    "expired",
];

/// Whether what stands after a name like `password` is a value, and not a word about it.
pub(super) fn looks_secret(text: &str, range: &Range<usize>) -> bool {
    let value = text.get(range.clone()).unwrap_or_default();
    let plain = value.trim_matches(|c: char| !c.is_alphanumeric()).to_ascii_lowercase();
    if plain.is_empty() || WORDS.contains(&plain.as_str()) || value.contains("[redacted:") {
        return false;
    }
    // `${DB_PASSWORD}`, `<your key>`, `{{ secret }}`, `****`: a place for a value.
    if value.starts_with(['$', '<', '{', '%', '*']) {
        return false;
    }
    let is_quoted = text[range.end..].starts_with(['"', '\'', '`']);
    let is_assigned = text[..range.start].ends_with('=');
    is_quoted || is_assigned || value.chars().any(|c| c.is_ascii_digit()) || is_mixed(value)
}

/// Capitals amid small letters, or signs that words do not have.
fn is_mixed(value: &str) -> bool {
    let inside = value.chars().skip(1).any(|c| c.is_ascii_uppercase());
    let small = value.chars().any(|c| c.is_ascii_lowercase());
    (inside && small) || value.contains(['!', '@', '#', '$', '%', '^', '*', '+', '_', '~'])
}

/// Whether a member of this name holds a secret as a whole.
pub(super) fn is_secret_name(name: &str) -> bool {
    let plain: String =
        name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    matches!(
        plain.as_str(),
        "password"
            | "passwd"
            | "passphrase"
            | "secret"
            | "clientsecret"
            | "apikey"
            | "apisecret"
            | "accesstoken"
            | "refreshtoken"
            | "authtoken"
            | "bearertoken"
            | "sessiontoken"
            | "secretkey"
            | "secretaccesskey"
            | "awssecretaccesskey"
            | "privatekey"
            | "signingkey"
            | "signingsecret"
            | "webhooksecret"
            | "encryptionkey"
            | "dbpassword"
    )
}
