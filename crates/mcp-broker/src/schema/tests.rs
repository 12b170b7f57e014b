//! What fits, what does not, and what is not even tried.

use proptest::prelude::*;
use serde_json::json;
use serde_json::value::to_raw_value;

use super::*;

fn compile(schema: &Value) -> Result<Checked, SchemaError> {
    Checked::compile(&to_raw_value(schema).unwrap())
}

fn check(schema: &Value, value: &Value) -> Vec<String> {
    let outcome = compile(schema).unwrap().check(value);
    outcome.err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

#[test]
fn violations_name_place_and_expectation() {
    for (schema, value, told) in [
        (json!({"type": "string"}), json!(1), "must be a string"),
        (json!({"type": ["integer", "null"]}), json!(1.5), "must be null or an integer"),
        (json!({"properties": {"a": {"minimum": 3}}}), json!({"a": 2}), "/a: must be 3 or more"),
        (json!({"required": ["a"]}), json!({}), "must have \"a\""),
        (
            json!({"properties": {"a": {}}, "additionalProperties": false}),
            json!({"b": 1}),
            "must not have \"b\"",
        ),
        (json!({"enum": ["x", 1]}), json!("secret"), "must be one of \"x\", 1"),
        (json!({"const": 4}), json!("secret"), "must be 4"),
        (
            json!({"items": {"maxLength": 2}}),
            json!(["ab", "secret"]),
            "/1: must have 2 characters or fewer",
        ),
        (json!({"pattern": "^a+$"}), json!("secret"), "must match ^a+$"),
        (json!({"uniqueItems": true}), json!([7, 7]), "must not have the same item twice"),
        (
            json!({"propertyNames": {"maxLength": 1}}),
            json!({"ab": 1}),
            "has a member whose name must have 1 characters or fewer",
        ),
        (
            json!({"anyOf": [{"type": "string"}, {"properties": {"a": {"type": "null"}}}]}),
            json!({"a": "secret"}),
            "fits none of the alternatives; of the nearest, /a must be null",
        ),
        (json!({"oneOf": [{}, {}]}), json!("secret"), "fits more than one of the alternatives"),
        (json!({"not": {}}), json!("secret"), "is what the schema excludes"),
        (json!(false), json!("secret"), "is not allowed"),
    ] {
        assert_eq!(check(&schema, &value), [told], "{schema}");
    }
}

#[test]
fn values_are_never_quoted() {
    let schema = json!({"properties": {"p": {
        "type": "integer", "enum": [1], "const": 1, "pattern": "^x$", "maxLength": 1,
        "format": "email", "not": {"type": "string"},
        "anyOf": [{"type": "null"}, {"minLength": 100}], "oneOf": [{"type": "null"}],
    }}});
    let told = check(&schema, &json!({"p": "hunter2"}));
    assert!(told.len() > 5 && told.iter().all(|line| !line.contains("hunter2")), "{told:?}");
}

#[test]
fn violations_are_bounded() {
    let told = check(&json!({"items": false}), &json!(vec![0; 1000]));
    assert_eq!(told.len(), MOST_VIOLATIONS);
}

#[test]
fn drafts_are_honoured() {
    let tuple = json!([1, "a"]);
    let old = json!({"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "string"}]});
    assert_eq!(check(&old, &tuple), ["/0: must be a string"]);
    let new = json!({"prefixItems": [{"type": "string"}]});
    assert_eq!(check(&new, &tuple), ["/0: must be a string"]);
    let beside = |schema: &str| {
        json!({"$schema": schema, "definitions": {"a": {}},
        "properties": {"p": {"$ref": "#/definitions/a", "type": "string"}}})
    };
    // Beside a reference nothing counted in draft 7.
    assert!(check(&beside("http://json-schema.org/draft-07/schema#"), &json!({"p": 1})).is_empty());
    assert_eq!(
        check(&beside("https://json-schema.org/draft/2020-12/schema"), &json!({"p": 1})).len(),
        1
    );
    let oldest = json!({"$schema": "http://json-schema.org/draft-04/schema#", "minimum": 1, "exclusiveMinimum": true});
    assert_eq!(check(&oldest, &json!(1)), ["must be more than 1"]);
    assert!(
        check(&json!({"$schema": "https://example.com/own", "minimum": 1}), &json!(1)).is_empty()
    );
}

#[test]
fn references_stay_inside() {
    for (schema, error) in [
        (json!({"$ref": "https://example.com/x.json"}), SchemaError::Outside("/$ref".into())),
        (json!({"$ref": "file:///etc/passwd"}), SchemaError::Outside("/$ref".into())),
        (json!({"items": {"$ref": "other.json#/a"}}), SchemaError::Outside("/items/$ref".into())),
        (
            json!({"items": {"$id": "http://example.com/y"}}),
            SchemaError::Outside("/items/$id".into()),
        ),
        (json!({"$ref": "#/$defs/none"}), SchemaError::Nowhere(String::new())),
        (json!({"$ref": "#none"}), SchemaError::Nowhere(String::new())),
        (json!({"default": {"a": {}}, "$ref": "#/default/a"}), SchemaError::Nowhere(String::new())),
        (json!(7), SchemaError::NoSchema),
    ] {
        assert_eq!(compile(&schema).unwrap_err(), error, "{schema}");
    }
    for schema in [
        json!({"$id": "https://example.com/own", "$ref": "https://example.com/own#/$defs/a", "$defs": {"a": {"type": "null"}}}),
        json!({"$ref": "#a", "$defs": {"x": {"$anchor": "a", "type": "null"}}}),
        json!({"$ref": "#/$defs/a~1b%25", "$defs": {"a/b%": {"type": "null"}}}),
        json!({"$ref": "#/x-mine/a", "x-mine": {"a": {"type": "null"}}}),
        json!({"properties": {"$ref": {"type": "string"}}, "type": "null"}),
    ] {
        assert_eq!(check(&schema, &json!(1)), ["must be null"], "{schema}");
    }
}

#[test]
fn invalid_schemas_are_refused() {
    for schema in [
        json!({"type": "text"}),
        json!({"minimum": "1"}),
        json!({"properties": []}),
        json!({"allOf": {}, "$ref": "#"}),
    ] {
        assert!(compile(&schema).is_err(), "{schema}");
    }
    let deep = (0..100).fold(json!({}), |inner, _| json!({"items": inner}));
    assert_eq!(compile(&deep).unwrap_err(), SchemaError::TooLarge);
    let long = json!({"description": "x".repeat(LARGEST)});
    assert_eq!(compile(&long).unwrap_err(), SchemaError::TooLarge);
}

#[test]
fn recursive_schemas_check_to_the_bottom() {
    let tree =
        json!({"type": "object", "properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}});
    assert!(check(&tree, &json!({"left": {"left": {}, "right": {}}})).is_empty());
    assert_eq!(check(&tree, &json!({"left": {"right": 1}})), ["/left/right: must be an object"]);
    for endless in [
        json!({"$ref": "#"}),
        json!({"anyOf": [{"$ref": "#"}, {}]}),
        json!({"$ref": "#/$defs/a", "$defs": {"a": {"not": {"$ref": "#/$defs/b"}}, "b": {"$ref": "#/$defs/a"}}}),
        json!({"$dynamicRef": "#m", "$dynamicAnchor": "m"}),
    ] {
        assert!(matches!(compile(&endless), Err(SchemaError::Endless(_))), "{endless}");
    }
}

#[test]
fn a_pattern_takes_linear_time() {
    let bomb = json!({"pattern": "^(a+)+$"});
    assert_eq!(check(&bomb, &json!(["a".repeat(200_000), "!".into()].concat())).len(), 1);
    let ahead =
        compile(&json!({"properties": {"p": {"pattern": "^(?=a)", "maxLength": 1}}})).unwrap();
    assert_eq!(ahead.unchecked(), ["/properties/p/pattern"]);
    assert!(ahead.check(&json!({"p": "bb"})).is_err(), "the rest still holds");
    let names = json!({"patternProperties": {"^(?!x)": {}}});
    assert!(matches!(compile(&names), Err(SchemaError::Pattern(_))));
    assert!(matches!(
        compile(&json!({"patternProperties": {"(": {}}})),
        Err(SchemaError::Pattern(_))
    ));
    let huge = compile(&json!({"pattern": "^((a{0,99}b){0,99}c){9,99}$"})).unwrap();
    assert_eq!(huge.unchecked(), ["/pattern"]);
}

/// Each definition asks twice for the next one: 2^n ways through.
fn doubling(levels: usize, keyword: &str) -> Value {
    let mut definitions = Map::new();
    for level in 0..levels {
        let next = json!({"$ref": format!("#/$defs/d{}", level + 1)});
        definitions.insert(format!("d{level}"), json!({keyword: [next, next]}));
    }
    definitions.insert(format!("d{levels}"), json!({"type": "null"}));
    json!({"$ref": "#/$defs/d0", "$defs": definitions})
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the test measures time")]
fn a_schema_bomb_ends_in_time() {
    let begun = std::time::Instant::now();
    for keyword in ["anyOf", "oneOf", "allOf"] {
        // In place, all over one value; and one level of the value for each of the schema.
        let told = check(&doubling(14, keyword), &json!(1));
        assert!(!told.is_empty(), "{keyword}");
        let branch =
            json!({"properties": {"x": {"$ref": "#"}, "y": {"$ref": "#"}}, "required": ["z"]});
        let tree = json!({keyword: [branch, branch]});
        let deep = (0..60).fold(json!({}), |inner, _| json!({"x": inner}));
        assert!(!check(&tree, &deep).is_empty(), "{keyword}");
    }
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
}

#[test]
fn a_check_that_runs_out_of_steps_refuses() {
    // Every item follows a reference.
    let many = json!({"not": {"items": {"$ref": "#/$defs/n"}}, "$defs": {"n": {"type": "number"}}});
    let values = |count: u32| json!((0..count).collect::<Vec<_>>());
    assert_eq!(check(&many, &values(10)), ["is what the schema excludes"]);
    let twice = json!({"allOf": [
        {"items": {"$ref": "#/$defs/n"}}, {"items": {"$ref": "#/$defs/n"}}, many,
    ], "$defs": {"n": {"type": "number"}}});
    assert_eq!(check(&twice, &values(150_000)), ["takes too long to check against this schema"]);
}

#[test]
fn large_values_are_not_tried() {
    let tree = json!({"properties": {"x": {"$ref": "#"}}});
    let deep = (0..100).fold(json!({}), |inner, _| json!({"x": inner}));
    assert_eq!(check(&tree, &deep), ["is too large to check"]);
    assert_eq!(check(&json!({}), &json!(vec![0; MOST_VALUES])), ["is too large to check"]);
}

#[test]
fn the_deepest_check_fits_a_small_stack() {
    let run = || {
        let mut chain = json!({"properties": {"x": {"$ref": "#"}}, "type": "object"});
        for _ in 0..3 {
            chain = json!({"allOf": [chain]});
        }
        let compiled = compile(&chain).unwrap();
        let deepest = (1..60)
            .map(|depth| (0..depth).fold(json!(1), |inner, _| json!({"x": inner})))
            .rfind(|value| compiled.check(value).unwrap_err()[0].keyword != "size");
        assert!(deepest.is_some());
        let flat = compile(&json!({"properties": {"x": {"$ref": "#"}}, "type": "object"})).unwrap();
        let deep = (0..60).fold(json!(1), |inner, _| json!({"x": inner}));
        assert_eq!(flat.check(&deep).unwrap_err()[0].keyword, "type");
    };
    std::thread::Builder::new().stack_size(1 << 20).spawn(run).unwrap().join().unwrap();
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-z#/$]{0,6}".prop_map(Value::from),
        prop_oneof![Just("#"), Just("#/items"), Just("string"), Just("(")].prop_map(Value::from),
    ];
    let name = prop_oneof![
        Just("type"),
        Just("items"),
        Just("properties"),
        Just("$ref"),
        Just("allOf"),
        Just("not"),
        Just("pattern"),
        Just("enum"),
        Just("a"),
        Just("minimum"),
        Just("$anchor"),
        Just("$schema"),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(name.clone(), inner, 0..4)
                .prop_map(|map| map.into_iter().map(|(n, v)| (n.to_owned(), v)).collect()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn nothing_panics(schema in any_json(), value in any_json()) {
        if let Ok(checked) = compile(&schema) {
            let _ = checked.check(&value);
        }
    }
}
