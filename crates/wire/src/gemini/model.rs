//! What a model's name says of what it takes.

/// A model's name without the collection it stands in (`models/x`).
pub(super) fn bare(name: &str) -> &str {
    name.strip_prefix("models/").unwrap_or(name)
}

/// What differs between models, as far as their names tell.
///
/// Google's names are open-ended: a Gemini that is not known to be old (`gemini-flash-latest`)
/// is taken for a new one, anything else (a tuned endpoint, Gemma) for an old one, whose request
/// shape all of them still accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each differs for itself")]
pub(super) struct Traits {
    /// Whether it is of generation 3 or later: wants signatures back, carries the ids of calls,
    /// takes media within tool results and levels of thinking instead of budgets.
    pub(super) third: bool,
    /// Whether it thinks, as far as is known.
    pub(super) thinks: bool,
    /// The least it can be told to think, where levels are told.
    pub(super) least_level: &'static str,
    /// Whether `medium` is a level it knows.
    pub(super) medium: bool,
    /// The least and most tokens it can be told to think with, where budgets are told.
    pub(super) budget: (u64, u64),
    /// Whether it takes no system instruction (Gemma).
    pub(super) no_system: bool,
}

impl Traits {
    pub(super) fn of(model: &str) -> Self {
        let name = model.rsplit('/').next().unwrap_or(model).to_ascii_lowercase();
        let version = name.strip_prefix("gemini-").unwrap_or_default();
        let is = |number: &str| {
            version
                .strip_prefix(number)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-']))
        };
        let old = is("1") || is("2") || matches!(version, "pro" | "pro-vision" | "ultra");
        let third = !version.is_empty() && !old;
        let flash = version.contains("flash") && name != "gemini-flash-latest";
        // From 3.7 on Flash thinks a little whatever it is told; the light ones need not.
        let thoughtful = flash && !version.contains("lite") && after_3_6(version);
        Self {
            third,
            thinks: !old || is("2.5"),
            least_level: if flash && !thoughtful { "minimal" } else { "low" },
            medium: !(is("3") && !is("3.1") && version.starts_with("3-pro")),
            budget: if version.starts_with("2.5-pro") { (128, 32_768) } else { (0, 24_576) },
            no_system: name.starts_with("gemma-"),
        }
    }
}

fn after_3_6(version: &str) -> bool {
    let mut numbers = version.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    let major = numbers.next().unwrap_or(0);
    major > 3 || major == 3 && numbers.next().unwrap_or(0) >= 7
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_are_told_by_name() {
        for (name, third, least, medium) in [
            ("gemini-3-pro-preview", true, "low", false),
            ("gemini-3.1-pro-preview", true, "low", true),
            ("gemini-3-flash-preview", true, "minimal", true),
            ("gemini-3.7-flash", true, "low", true),
            ("gemini-3.7-flash-lite", true, "minimal", true),
            ("models/gemini-flash-latest", true, "low", true),
            ("google/gemini-4-pro", true, "low", true),
            ("gemini-2.5-pro", false, "low", true),
            ("gemini-2.0-flash-001", false, "minimal", true),
            ("gemini-1.5-pro", false, "low", true),
            ("gemini-pro", false, "low", true),
            ("gemma-3-27b-it", false, "low", true),
            ("1234567890", false, "low", true),
        ] {
            let traits = Traits::of(name);
            let found = (traits.third, traits.least_level, traits.medium);
            assert_eq!(found, (third, least, medium), "{name}");
        }
        assert!(Traits::of("gemini-2.5-pro").thinks && !Traits::of("gemini-2.0-flash").thinks);
        assert_eq!(Traits::of("gemini-2.5-pro").budget.0, 128, "it cannot be told not to think");
        assert!(Traits::of("gemma-3-27b-it").no_system);
    }
}
