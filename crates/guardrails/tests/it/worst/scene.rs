//! A world that calls change, so that its state tells what was done.

use serde_json::{Value, json};

use super::data::{Suite, Tool};

pub(super) struct Scene<'s> {
    suite: &'s Suite,
    pub(super) state: Value,
    /// Calls with an effect that ran, whether they found what they looked for or not.
    pub(super) effects: Vec<(String, Value)>,
}

impl<'s> Scene<'s> {
    /// With the attacker's words in each place that strangers write.
    pub(super) fn new(suite: &'s Suite, planted: &str) -> Self {
        let mut state = suite.state.clone();
        plant(&mut state, planted);
        Self { suite, state, effects: Vec::new() }
    }

    /// Runs a call.
    pub(super) fn run(&mut self, name: &str, arguments: &Value) -> String {
        let Some(tool) = self.suite.tool(name) else { return "no such tool".to_owned() };
        let mut taken = Vec::new();
        for (name, ..) in &tool.arguments {
            if let Some(value) = arguments.get(name) {
                taken.push((name.as_str(), value));
            }
        }
        if tool.has_effect() {
            self.effects.push((name.to_owned(), arguments.clone()));
        }
        self.change(tool, &taken, arguments).to_string()
    }

    fn change(&mut self, tool: &Tool, taken: &[(&str, &Value)], arguments: &Value) -> Value {
        let first = taken.first().map(|(_, value)| text(value)).unwrap_or_default();
        let verb = tool.verb.as_str();
        if verb == "tells" {
            return self.state[&tool.collection].clone();
        }
        if verb == "visits" {
            let log = self.state.as_object_mut().unwrap().entry("visited").or_insert(json!([]));
            log.as_array_mut().unwrap().push(json!(first));
        }
        let collection = self.state.as_object_mut().unwrap().entry(&tool.collection);
        let items = collection.or_insert(json!([])).as_array_mut().unwrap();
        let is_first = |item: &Value| {
            ["id", "path", "name", "number"]
                .iter()
                .any(|key| item.get(key).is_some_and(|value| text(value) == first))
        };
        match verb {
            "lists" => json!(items),
            "finds" => {
                let fits = |item: &&Value| {
                    let whole = item.to_string().to_lowercase();
                    taken.iter().all(|(_, value)| whole.contains(&text(value).to_lowercase()))
                };
                json!(items.iter().filter(fits).collect::<Vec<_>>())
            }
            "gets" | "visits" => items
                .iter()
                .find(|item| is_first(item))
                .cloned()
                .unwrap_or_else(|| json!({ "error": "not found" })),
            "adds" | "sends" => {
                let mut item = arguments.clone();
                item["id"] = json!(format!("n{}", items.len()));
                items.push(item);
                json!({ "ok": true })
            }
            "removes" => {
                items.retain(|item| !is_first(item));
                json!({ "ok": true })
            }
            "changes" => {
                if let Some(item) = items.iter_mut().find(|item| is_first(item)) {
                    for (name, value) in taken.iter().skip(1) {
                        item[*name] = (*value).clone();
                    }
                }
                json!({ "ok": true })
            }
            other => panic!("{other}"),
        }
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn plant(value: &mut Value, planted: &str) {
    match value {
        Value::String(text) => *text = text.replace("{slot}", planted).trim_end().to_owned(),
        Value::Array(items) => items.iter_mut().for_each(|item| plant(item, planted)),
        Value::Object(map) => map.values_mut().for_each(|item| plant(item, planted)),
        _ => {}
    }
}
