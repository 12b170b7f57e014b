//! The rules that come with the gateway: what credentials and personal data look like.
//!
//! The shapes are those that the issuers document, as the lists of gitleaks, of GitHub's and of
//! Google's secret scanning have them; numbers prove themselves by their checksums
//! ([`proof`](super::proof)). Classes are those of ASCII, and every repetition has a bound that the
//! automaton stays small by, but for the last one of a token.

use std::ops::Range;

use super::matcher::{Rule, Tail};
use super::proof;

/// Credentials.
pub(super) fn secrets() -> Vec<Rule> {
    let mut rules = clouds();
    rules.extend(code_hosts());
    rules.extend(services());
    rules.extend(models());
    rules.extend(carriers());
    rules
}

/// A token that is known by how it begins.
const fn token(id: &'static str, regex: &'static str, safe: usize) -> Rule {
    Rule::new(id, regex, safe).tail(Tail::Token)
}

fn clouds() -> Vec<Rule> {
    vec![
        Rule::new("aws_access_key", r"\b(?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b", 6),
        Rule::new(
            "aws_secret_key",
            r#"\b(?i:aws_?)?(?i:secret)(?i:_?access)?(?i:_?key)["']?[ \t]{0,4}(?:=>|:=|[=:])[ \t]{0,4}["']?[A-Za-z0-9/+]{40}\b"#,
            32,
        )
        .part(value),
        Rule::new(
            "aws_session_token",
            r#"\b(?i:aws_?)(?i:session|security)(?i:_?token)["']?[ \t]{0,4}(?:=>|:=|[=:])[ \t]{0,4}["']?[A-Za-z0-9/+=]{100,}"#,
            32,
        )
        .part(value)
        .tail(Tail::Token),
        Rule::new("gcp_api_key", r"\bAIza[0-9A-Za-z_-]{35}", 8),
        Rule::new("gcp_oauth_secret", r"\bGOCSPX-[0-9A-Za-z_-]{28}", 10),
        token("gcp_access_token", r"\bya29\.[0-9A-Za-z_-]{20,}", 8),
        Rule::new("azure_storage_key", r"\bAccountKey=[A-Za-z0-9+/]{86}==", 14).part(after_equals),
        Rule::new("azure_sas", r"[?&]sig=[A-Za-z0-9%]{43,100}(?:%3[Dd]|=)", 8),
        Rule::new("digitalocean_token", r"\bdo[opr]_v1_[a-f0-9]{64}\b", 10),
        Rule::new("databricks_token", r"\bdapi[a-f0-9]{32}(?:-[0-9])?\b", 8),
        token("vault_token", r"\bhv[sbr]\.[A-Za-z0-9_-]{24,}", 8),
    ]
}

fn code_hosts() -> Vec<Rule> {
    vec![
        Rule::new("github_token", r"\bgh[pousr]_[A-Za-z0-9]{36,255}\b", 8)
            .summed(proof::crc_base62),
        Rule::new("github_fine_grained_token", r"\bgithub_pat_[A-Za-z0-9_]{82}\b", 14),
        token(
            "gitlab_token",
            r"\bgl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|oas|soat)-[A-Za-z0-9_-]{20,}",
            10,
        ),
        Rule::new("npm_token", r"\bnpm_[A-Za-z0-9]{36}\b", 8).summed(proof::crc_base62),
        token("pypi_token", r"\bpypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,}", 24),
        token("docker_token", r"\bdckr_(?:pat|oat)_[A-Za-z0-9_-]{27,}", 14),
        token("atlassian_token", r"\bATATT3[A-Za-z0-9_=-]{100,}", 10),
        Rule::new("age_key", r"\bAGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}\b", 20),
        Rule::new("linear_token", r"\blin_(?:api|oauth)_[A-Za-z0-9]{40,64}\b", 14),
    ]
}

fn services() -> Vec<Rule> {
    vec![
        token("slack_token", r"\bxox[abeoprs]-(?:[0-9]-)?[A-Za-z0-9-]{10,}", 9),
        token("slack_app_token", r"\bxapp-[0-9]-[A-Za-z0-9-]{20,}", 9),
        token(
            "slack_webhook",
            r"\bhttps://hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/[A-Za-z0-9_/+-]{20,}",
            42,
        ),
        token("stripe_key", r"\b[rs]k_(?:live|test|prod)_[A-Za-z0-9]{10,}", 11),
        token("stripe_webhook_secret", r"\bwhsec_[A-Za-z0-9+/]{24,}", 10),
        Rule::new("twilio_key", r"\bSK[0-9a-f]{32}\b", 6),
        Rule::new("sendgrid_key", r"\bSG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{16,64}", 6),
        Rule::new("mailgun_key", r"\bkey-[0-9a-f]{32}\b", 8),
        Rule::new("mailchimp_key", r"\b[0-9a-f]{32}-us[0-9]{1,2}\b", 16),
        Rule::new("telegram_token", r"\b[0-9]{8,10}:AA[A-Za-z0-9_-]{33}", 13),
        Rule::new(
            "discord_token",
            r"\b[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,38}",
            28,
        ),
        token(
            "discord_webhook",
            r"\bhttps://(?:[a-z]{1,8}\.)?discord(?:app)?\.com/api/webhooks/[0-9]{16,20}/[A-Za-z0-9_-]{40,}",
            60,
        ),
        Rule::new("shopify_token", r"\bshp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}\b", 10),
        Rule::new(
            "square_token",
            r"\b(?:sq0[a-z]{3}-[A-Za-z0-9_-]{22,43}|EAAA[A-Za-z0-9_-]{60})",
            10,
        ),
        token("notion_token", r"\b(?:ntn_[A-Za-z0-9]{40,}|secret_[A-Za-z0-9]{43})", 11),
        Rule::new("figma_token", r"\bfig[dour]_[A-Za-z0-9_-]{40}", 8),
        Rule::new("postman_key", r"\bPMAK-[a-f0-9]{24}-[a-f0-9]{34}\b", 8),
        token("sentry_token", r"\bsntry[su]_[A-Za-z0-9+/=_-]{40,}", 10),
        token("grafana_token", r"\bgl(?:sa|c)_[A-Za-z0-9+/=_]{32,}", 8),
        Rule::new("newrelic_key", r"\bNRAK-[A-Z0-9]{27}\b", 8),
        Rule::new("doorward_key", r"\bdw-[0-9A-Za-z]{72}\b", 8),
    ]
}

fn models() -> Vec<Rule> {
    vec![
        token("anthropic_key", r"\bsk-ant-[A-Za-z0-9_-]{20,}", 12),
        token("openrouter_key", r"\bsk-or-v1-[A-Za-z0-9]{32,}", 14),
        token("openai_key", r"\bsk-(?:proj-|svcacct-|admin-|None-)?[A-Za-z0-9_-]{20,}", 12),
        token("huggingface_token", r"\bhf_[A-Za-z0-9]{30,}", 7),
        token("groq_key", r"\bgsk_[A-Za-z0-9]{40,}", 8),
        token("xai_key", r"\bxai-[A-Za-z0-9]{60,}", 8),
        token("perplexity_key", r"\bpplx-[A-Za-z0-9]{40,}", 9),
        Rule::new("replicate_token", r"\br8_[A-Za-z0-9]{37}\b", 7),
        token("langsmith_key", r"\blsv2_(?:pt|sk)_[a-f0-9]{32}_[a-f0-9]{10}\b", 12),
    ]
}

fn carriers() -> Vec<Rule> {
    vec![
        token("jwt", r"\beyJ[A-Za-z0-9_-]{8,1000}\.eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?", 12),
        Rule::new(
            "private_key",
            r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,4}PRIVATE KEY(?: BLOCK)?-----",
            40,
        )
        .tail(Tail::Pem),
        Rule::new(
            "connection_string",
            r#"\b[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s:/@"'<>\[\]()]{0,64}:[^\s/@"'<>\[\]()]{3,128}@"#,
            48,
        )
        .part(password),
        Rule::new(
            "authorization_header",
            r#"\b(?i:authorization)["']?\s{0,4}[:=]\s{0,4}["']?(?i:bearer|basic|token)\s{1,4}[A-Za-z0-9._~+/=-]{16,}"#,
            32,
        )
        .part(last_word)
        .tail(Tail::Token),
    ]
}

/// Credentials by their surroundings or their looks only: more of them are none.
pub(super) fn guesses() -> Vec<Rule> {
    vec![
        Rule::new(
            "assigned",
            r#"\b[A-Za-z0-9_.-]{0,32}(?i:api_?key|apikey|secret|passwd|password|token|credential)s?["']?[ \t]{0,4}(?:=>|:=|[=:])[ \t]{0,4}["'][^"'\s]{8,200}["']"#,
            64,
        )
        .part(quoted),
        Rule::new("random", r"\b[A-Za-z0-9+/_-]{24,200}\b", 16).proved(proof::random),
    ]
}

/// Personal data.
pub(super) fn personal() -> Vec<Rule> {
    vec![
        Rule::new(
            "email",
            r"\b[A-Za-z0-9][A-Za-z0-9._%+'-]{0,63}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,4}[A-Za-z]{2,24}\b",
            64,
        )
        .proved(proof::email),
        Rule::new("phone", r"\+[1-9](?:[ ().-]{0,2}[0-9]){6,14}\b", 5).proved(proof::phone),
        Rule::new(
            "iban",
            r"\b[A-Za-z]{2}[0-9]{2}(?:[ -]?[A-Za-z0-9]{4}){2,7}(?:[ -]?[A-Za-z0-9]{1,3})?\b",
            8,
        )
        .proved(proof::iban),
        Rule::new("credit_card", r"\b[2-6](?:[ -]?[0-9]){12,18}\b", 7).proved(proof::card),
        Rule::new("us_ssn", r"\b[0-9]{3}[ -][0-9]{2}[ -][0-9]{4}\b", 4).proved(proof::ssn),
        Rule::new("ipv4", r"\b(?:[0-9]{1,3}\.){3}[0-9]{1,3}\b", 6).proved(proof::ipv4),
        Rule::new("ipv6", r"\b[0-9A-Fa-f]{1,4}:[0-9A-Fa-f:]{1,35}", 8).proved(proof::ipv6),
        Rule::new("uk_nhs", r"\b[0-9]{3}[ -][0-9]{3}[ -][0-9]{4}\b", 4).proved(proof::nhs),
        Rule::new(
            "uk_nino",
            r"\b[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D]\b",
            4,
        ),
        Rule::new("de_steuer_id", r"\b[1-9](?: ?[0-9]){10}\b", 4).proved(proof::steuer_id),
        Rule::new("es_dni", r"\b(?:[0-9]{8}|[XYZxyz]-?[0-9]{7})-?[A-Za-z]\b", 4).proved(proof::dni),
        Rule::new(
            "fr_nir",
            r"\b[12] ?[0-9]{2} ?[0-9]{2} ?[0-9][0-9AB] ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}\b",
            4,
        )
        .proved(proof::nir),
        Rule::new(
            "it_codice_fiscale",
            r"\b[A-Za-z]{6}[0-9]{2}[A-EHLMPRSTa-ehlmprst][0-9]{2}[A-Za-z][0-9]{3}[A-Za-z]\b",
            7,
        )
        .proved(proof::codice_fiscale),
        Rule::new("nl_bsn", r"\b(?i:bsn|burgerservicenummer)[ :#nr.-]{0,6}[0-9]{9}\b", 24)
            .proved(proof::bsn)
            .part(number),
        Rule::new("br_cpf", r"\b[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}\b", 4).proved(proof::cpf),
        Rule::new("pl_pesel", r"\b[0-9]{11}\b", 4).proved(proof::pesel),
        Rule::new("in_aadhaar", r"\b[2-9][0-9]{3}[ -]?[0-9]{4}[ -]?[0-9]{4}\b", 4)
            .proved(proof::aadhaar),
        Rule::new("se_personnummer", r"\b(?:19|20)?[0-9]{6}[-+][0-9]{4}\b", 4)
            .proved(proof::personnummer),
        Rule::new("ch_ahv", r"\b756\.?[0-9]{4}\.?[0-9]{4}\.?[0-9]{2}\b", 4).proved(proof::ahv),
        // Last, for it has no sum of its own.
        Rule::new(
            "phone_us",
            r"(?:\([2-9][0-9]{2}\) ?|\b[2-9][0-9]{2}[ .-])[2-9][0-9]{2}[ .-][0-9]{4}\b",
            6,
        ),
    ]
}

/// What is behind the last sign that sets it apart from its name.
fn value(text: &str) -> Range<usize> {
    let sign = text.find(['=', ':']).map_or(0, |at| at + 1);
    let skip = text[sign..].len()
        - text[sign..].trim_start_matches(['=', '>', ':', ' ', '\t', '"', '\'']).len();
    sign + skip..text.len()
}

fn after_equals(text: &str) -> Range<usize> {
    text.find('=').map_or(0, |at| at + 1)..text.len()
}

fn last_word(text: &str) -> Range<usize> {
    text.rfind(|char: char| char.is_ascii_whitespace()).map_or(0, |at| at + 1)..text.len()
}

/// The digits at the end.
fn number(text: &str) -> Range<usize> {
    text.rfind(|char: char| !char.is_ascii_digit()).map_or(0, |at| at + 1)..text.len()
}

/// What is in the last quotes.
fn quoted(text: &str) -> Range<usize> {
    let end = text.len().saturating_sub(1);
    let from = text.get(..end).and_then(|text| text.rfind(['"', '\''])).map_or(0, |at| at + 1);
    from..end
}

/// Between the second colon and the `@`.
fn password(text: &str) -> Range<usize> {
    let user = text.find("://").map_or(0, |at| at + 3);
    let from = text[user..].find(':').map_or(user, |at| user + at + 1);
    from..text.len().saturating_sub(1)
}
