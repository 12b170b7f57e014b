//! What a client wishes of the routing, as `OpenRouter` and Vercel write it.
//!
//! The fields stay among a call's extra fields too: an upstream that is such a gateway itself gets
//! them as they were.

use doorward_core::{MaxPrice, Preferences, Sort};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::{Members, Source, Text, Word};
use crate::{Dropped, ReadError};

/// Reads the wishes among the members of a request, and takes a routing variant off the model's
/// name.
pub(crate) fn read<'a>(
    source: Source<'a>,
    members: &Members<'a>,
    model: &mut String,
) -> Result<Preferences, ReadError> {
    let mut wishes = Preferences::default();
    let given = |name: &str| {
        members.find(name).map(|member| member.value).filter(|value| value.get() != "null")
    };
    if let Some(models) = given("models") {
        wishes.models = strings(source.read::<Vec<Text<'a>>>(models)?);
    }
    if let Some(provider) = given("provider") {
        provider_wishes(source, source.read(provider)?, &mut wishes)?;
    }
    if let Some(options) = given("providerOptions")
        && let Some(gateway) = source.read::<OptionsIn<'a>>(options)?.gateway
    {
        gateway_wishes(source, source.read(gateway)?, &mut wishes)?;
    }
    if let Some(usage) = given("usage") {
        wishes.tell_cost = source.read::<UsageIn>(usage)?.include.unwrap_or(false);
    }
    for (variant, sort) in [(":nitro", Sort::Throughput), (":floor", Sort::Price)] {
        if let Some(name) = model.strip_suffix(variant).filter(|name| !name.is_empty()) {
            *model = name.to_owned();
            wishes.sort = Some(sort);
            break;
        }
    }
    Ok(wishes)
}

#[derive(Deserialize)]
struct UsageIn {
    include: Option<bool>,
}

/// `OpenRouter`'s `provider`.
#[derive(Deserialize)]
struct ProviderIn<'a> {
    #[serde(borrow)]
    order: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    only: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    ignore: Option<Vec<Text<'a>>>,
    allow_fallbacks: Option<bool>,
    require_parameters: Option<bool>,
    #[serde(borrow)]
    data_collection: Option<Text<'a>>,
    zdr: Option<bool>,
    #[serde(borrow)]
    sort: Option<&'a RawValue>,
    #[serde(borrow)]
    max_price: Option<MaxPriceIn<'a>>,
}

#[derive(Deserialize)]
struct MaxPriceIn<'a> {
    #[serde(borrow)]
    prompt: Option<Word<'a>>,
    #[serde(borrow)]
    completion: Option<Word<'a>>,
}

#[derive(Deserialize)]
struct SortIn<'a> {
    #[serde(borrow)]
    by: Option<Text<'a>>,
}

fn provider_wishes<'a>(
    source: Source<'a>,
    provider: ProviderIn<'a>,
    wishes: &mut Preferences,
) -> Result<(), ReadError> {
    wishes.order = strings(provider.order.unwrap_or_default());
    wishes.only = strings(provider.only.unwrap_or_default());
    wishes.ignore = strings(provider.ignore.unwrap_or_default());
    wishes.allow_fallbacks = provider.allow_fallbacks;
    wishes.require_parameters = provider.require_parameters.unwrap_or(false);
    if provider.data_collection.is_some_and(|word| word.as_str() == "deny") {
        require(wishes, "training", "no");
    }
    if provider.zdr == Some(true) {
        require(wishes, "retention", "none");
    }
    if let Some(sort) = provider.sort.filter(|value| value.get() != "null") {
        let by = if sort.get().starts_with('{') {
            source.read::<SortIn<'a>>(sort)?.by
        } else {
            Some(source.read::<Text<'a>>(sort)?)
        };
        wishes.sort = by.and_then(|by| sort_of(by.as_str()));
    }
    if let Some(most) = provider.max_price {
        let price = |word: Option<Word<'a>>, field: &str| match word {
            Some(Word(text)) if !text.is_empty() => match text.parse::<f64>() {
                Ok(price) if price.is_finite() && price >= 0.0 => Ok(Some(price)),
                _ => {
                    let path = format!("provider.max_price.{field}");
                    Err(ReadError::field(path, "expected a price in US dollars"))
                }
            },
            _ => Ok(None),
        };
        let input = price(most.prompt, "prompt")?;
        let output = price(most.completion, "completion")?;
        wishes.max_price = Some(MaxPrice { input, output });
    }
    Ok(())
}

#[derive(Deserialize)]
pub(crate) struct OptionsIn<'a> {
    /// Vercel's own.
    #[serde(borrow)]
    pub(crate) gateway: Option<&'a RawValue>,
}

/// Vercel's `providerOptions.gateway`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GatewayIn<'a> {
    #[serde(borrow)]
    order: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    only: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    models: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    sort: Option<Text<'a>>,
    zero_data_retention: Option<bool>,
    disallow_prompt_training: Option<bool>,
}

/// Takes Vercel's wishes.
pub(crate) fn gateway_wishes<'a>(
    source: Source<'a>,
    gateway: GatewayIn<'a>,
    wishes: &mut Preferences,
) -> Result<(), ReadError> {
    wishes.order.extend(strings(gateway.order.unwrap_or_default()));
    wishes.only.extend(strings(gateway.only.unwrap_or_default()));
    for model in gateway.models.unwrap_or_default() {
        // An object is a condition on another model's answer: nobody here can judge it.
        if model.get().starts_with('"') {
            wishes.models.push(source.read::<Text<'a>>(model)?.into_string());
        }
    }
    if let Some(sort) = gateway.sort {
        wishes.sort = sort_of(sort.as_str());
    }
    if gateway.zero_data_retention == Some(true) {
        require(wishes, "retention", "none");
    }
    if gateway.disallow_prompt_training == Some(true) {
        require(wishes, "training", "no");
    }
    Ok(())
}

fn strings(list: Vec<Text<'_>>) -> Vec<String> {
    list.into_iter().map(Text::into_string).collect()
}

fn require(wishes: &mut Preferences, label: &str, value: &str) {
    wishes.require.insert(label.to_owned(), vec![value.to_owned()]);
}

fn sort_of(word: &str) -> Option<Sort> {
    match word {
        "price" | "cost" => Some(Sort::Price),
        "throughput" | "tps" => Some(Sort::Throughput),
        "latency" | "ttft" => Some(Sort::Latency),
        _ => None,
    }
}

/// Keys of `provider` that Doorward obeys.
const PROVIDER: [&str; 9] = [
    "order",
    "only",
    "ignore",
    "allow_fallbacks",
    "require_parameters",
    "data_collection",
    "zdr",
    "sort",
    "max_price",
];

/// Keys of `providerOptions.gateway` that Doorward obeys, and those that only tell.
const GATEWAY: [&str; 10] = [
    "order",
    "only",
    "models",
    "sort",
    "zeroDataRetention",
    "disallowPromptTraining",
    "user",
    "tags",
    "idempotencyKey",
    "quotaEntityId",
];

/// What is lost where a gateway's field goes no further: what Doorward neither obeys itself nor
/// may ignore.
pub(crate) fn losses(name: &str, value: &RawValue) -> Vec<Dropped> {
    const REASON: &str = "neither Doorward nor this upstream does it";
    let lost = |path: String| Dropped { path, reason: REASON };
    let keys = |value: &RawValue| -> Vec<(String, String)> {
        let Ok(source) = Source::new(value.get().as_bytes()) else { return Vec::new() };
        let Ok(members) = source.members() else { return Vec::new() };
        let pair = |name: &str, value: &RawValue| (name.to_owned(), value.get().to_owned());
        members.iter().map(|member| pair(&member.name, member.value)).collect()
    };
    let unknown = |path: &str, value: &RawValue, known: &[&str]| -> Vec<Dropped> {
        let keys = keys(value).into_iter().filter(|(key, _)| !known.contains(&key.as_str()));
        keys.map(|(key, _)| lost(format!("{path}.{key}"))).collect()
    };
    match name {
        _ if matches!(value.get(), "null" | "[]" | "{}") => Vec::new(),
        "models" | "route" | "usage" | "session_id" | "trace" => Vec::new(),
        "provider" => unknown("provider", value, &PROVIDER),
        "providerOptions" => {
            let mut all = unknown("providerOptions", value, &["gateway"]);
            let gateway = keys(value).into_iter().find(|(key, _)| key == "gateway");
            if let Some((_, gateway)) = gateway {
                let gateway = crate::json::raw(gateway);
                all.extend(unknown("providerOptions.gateway", &gateway, &GATEWAY));
            }
            all
        }
        _ => vec![lost(name.to_owned())],
    }
}

/// Whether a field of Responses asks for what holds anyway: that nothing is stored, and that log
/// probabilities and the state of thoughts come with the answer.
fn is_kept_to(name: &str, value: &RawValue) -> bool {
    const COME: [&str; 2] = ["message.output_text.logprobs", "reasoning.encrypted_content"];
    match name {
        "store" => value.get() == "false",
        "include" => serde_json::from_str::<Vec<String>>(value.get())
            .is_ok_and(|all| all.iter().all(|it| COME.contains(&it.as_str()))),
        _ => false,
    }
}

/// Reports the fields of a call that another dialect has no word for. What Doorward obeys itself
/// is not lost.
pub(crate) fn lost(name: &str, value: &RawValue, reason: &'static str) -> Vec<Dropped> {
    if crate::GATEWAY_FIELDS.contains(&name) {
        return losses(name, value);
    }
    if is_kept_to(name, value) {
        return Vec::new();
    }
    vec![Dropped { path: name.to_owned(), reason }]
}
