//! Contracts as they are written in a config file.

use doorward_core::{Integrity, Label, Pattern};
use serde::Deserialize;

/// What a call does in the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum EffectKind {
    /// Changes nothing and tells nobody. A read whose arguments reach strangers (fetching any
    /// address) is [`Egress`](Self::Egress).
    Read,
    /// Changes something that can be changed back.
    Write,
    /// Tells somebody outside.
    Egress,
    /// Takes something away for good.
    Destroy,
    /// Binds somebody: buys, signs, publishes.
    Commit,
    /// Changes who may do what.
    Admin,
}

impl EffectKind {
    /// The word used in config.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Egress => "egress",
            Self::Destroy => "destroy",
            Self::Commit => "commit",
            Self::Admin => "admin",
        }
    }
}

impl SinkKind {
    /// The word used in config.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Iban => "iban",
            Self::Url => "url",
            Self::Host => "host",
            Self::Path => "path",
            Self::Money => "money",
            Self::Date => "date",
            Self::Id => "id",
            Self::Name => "name",
            Self::Text => "text",
        }
    }
}

/// In which canonical form a value of a sink is compared: only values that read as this kind can
/// be proved, and nothing of another kind proves them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SinkKind {
    /// An e-mail address, with a display name or not; the address counts.
    Email,
    /// A phone number.
    Phone,
    /// An account by ISO 13616, its check digits right.
    Iban,
    /// A whole web address.
    Url,
    /// A host, bare or as part of a web address.
    Host,
    /// A path in a file system; with `..` in it, it is never equal to anything.
    Path,
    /// An amount: a number beside its currency in the user's words, or one of four digits.
    Money,
    /// A day, with the time of day or not.
    Date,
    /// An identifier: with digits or underscores, quoted, or beside its noun (`issue 42`).
    Id,
    /// The name of a person, place or thing: capitalised, quoted, or beside its noun.
    Name,
    /// Free text: only a phrase or a quotation proves it.
    Text,
}

/// What one controlling argument takes and needs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SinkSpec {
    /// Where it is: a JSON Pointer (RFC 6901), `*` for any key or index.
    pub pointer: String,
    /// In which form its values are compared.
    pub kind: SinkKind,
    /// Whether leaving it out says nothing, where something is destroyed, bound or administered.
    /// Default: no, for an empty filter may mean everything.
    #[serde(default)]
    pub optional: bool,
    /// What its values need, where that is not what the contract's `requires` says.
    #[serde(default)]
    pub requires: Option<Requires>,
}

/// What happens to a call whose contract is not met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It is refused.
    #[default]
    Deny,
    /// A person is asked. Refused as long as no approver is connected.
    Ask,
    /// The untrusted part is put to a quarantined model. Refused as long as none is connected.
    Quarantine,
}

/// What happens to a tool call that no model decision is known for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Ungranted {
    /// It runs.
    Allow,
    /// It is judged at the floor label.
    Floor,
    /// It is refused.
    Deny,
}

/// The label of a tool's result.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ResultSpec {
    /// How far every part is trusted that no field rule names: `untrusted`, `trusted`, or `user`
    /// for a tool that asks the person.
    #[cfg_attr(feature = "schema", schemars(schema_with = "integrity_schema"))]
    pub integrity: Integrity,
    /// Who may see it. Without: anyone.
    #[serde(default)]
    pub readers: Option<Vec<String>>,
}

/// The label of one part of a result.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FieldSpec {
    /// JSON Pointer (RFC 6901) into the result; a segment `*` stands for any key or index.
    pub pointer: String,
    /// How far it is trusted.
    #[cfg_attr(feature = "schema", schemars(schema_with = "integrity_schema"))]
    pub integrity: Integrity,
    /// Only values that read as this kind; any other is worth what the result is. For fields that
    /// should hold an id, a number or a date, so that no sentence gets by in them.
    #[serde(default)]
    pub kind: Option<SinkKind>,
}

/// What a controlling argument needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Requires {
    /// The least integrity of its value. Default: `trusted`.
    #[serde(default = "default_control")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "integrity_schema"))]
    pub control: Integrity,
    /// The least integrity of whoever chose it. Default: `user`.
    #[serde(default = "default_choice")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "integrity_schema"))]
    pub choice: Integrity,
}

fn default_control() -> Integrity {
    Requires::default().control
}

fn default_choice() -> Integrity {
    Requires::default().choice
}

impl Default for Requires {
    fn default() -> Self {
        Self { control: Integrity::Trusted, choice: Integrity::User }
    }
}

impl Requires {
    /// Whether a value or context with this label meets it.
    pub fn is_met_by(&self, label: &Label) -> bool {
        label.integrity >= self.control && label.choice >= self.choice
    }
}

/// One `[[contract]]` of a config file.
///
/// ```
/// use doorward_guardrails::{ContractSpec, Contracts};
/// #[derive(serde::Deserialize)]
/// struct File {
///     contract: Vec<ContractSpec>,
/// }
/// let file: File = toml::from_str(r#"
///     [[contract]]
///     tool     = "mail__send_email"
///     effect   = "egress"
///     control  = ["/recipients", "/cc"]
///     content  = ["/subject", "/body"]
///     requires = { control = "trusted", choice = "user" }
///     mode     = "deny"
/// "#)?;
/// assert!(Contracts::compile(file.contract).is_ok());
///
/// // A sink that does not say what controls it is refused.
/// let file: File = toml::from_str(r#"contract = [{ tool = "shell__run", effect = "destroy" }]"#)?;
/// let error = Contracts::compile(file.contract).unwrap_err();
/// assert!(error.to_string().contains("contract 1 (`shell__run`), `control`"));
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ContractSpec {
    /// The tool's federated name (`server__tool`), or a client's own tool as it declares it; `*`
    /// stands for any run of characters. The most specific contract of a tool holds.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub tool: Pattern,
    /// What a call does.
    pub effect: EffectKind,
    /// What the result is worth. Without: untrusted.
    #[serde(default)]
    pub result: Option<ResultSpec>,
    /// Parts of the result that are worth more or less. The most exact pointer holds.
    #[serde(default)]
    pub fields: Vec<FieldSpec>,
    /// JSON Pointers of the arguments that say who or what is affected. Needed for every effect
    /// but `read`; empty where the decision to call is itself what must not be steered. An
    /// argument that neither list names controls too.
    #[serde(default)]
    pub control: Option<Vec<String>>,
    /// Controlling arguments with the kind of value that each takes. They need not stand in
    /// `control` as well.
    #[serde(default)]
    pub sinks: Vec<SinkSpec>,
    /// JSON Pointers of the arguments that are only carried.
    #[serde(default)]
    pub content: Vec<String>,
    /// Words one of which the user must have used to ask for such a call (`["send", "reply"]`),
    /// once the context is untrusted: that a value stands in the user's words does not mean that
    /// the user wants this done with it. Without: no word is needed.
    #[serde(default)]
    pub intent: Option<Vec<String>>,
    /// What controlling arguments need. Default: trusted values, chosen by the user.
    #[serde(default)]
    pub requires: Option<Requires>,
    /// What happens where that is not met.
    #[serde(default)]
    pub mode: Mode,
    /// Whether the tool is taken out of the model's sight while the context cannot meet it.
    /// Default: yes, except for reads and where the mode is not `deny`.
    #[serde(default)]
    pub hide: Option<bool>,
    /// What happens to a call that no model decision is known for. Default: `floor`.
    #[serde(default)]
    pub ungranted: Option<Ungranted>,
}

impl ContractSpec {
    /// A contract that says nothing but the effect.
    pub fn new(tool: &str, effect: EffectKind) -> Self {
        Self {
            tool: Pattern::new(tool),
            effect,
            result: None,
            fields: Vec::new(),
            control: None,
            sinks: Vec::new(),
            content: Vec::new(),
            intent: None,
            requires: None,
            mode: Mode::Deny,
            hide: None,
            ungranted: None,
        }
    }
}

#[cfg(feature = "schema")]
fn integrity_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "string",
        "enum": ["untrusted", "trusted", "user", "system"],
    })
}
