//! Whether people can use the pages who do not see them, see them badly, or have no mouse: axe-core in both
//! themes, and the way of the Tab key.

use headwarden::pages::Language;
use serde_json::Value;

use crate::gallery::Exhibition;
use crate::scene::Visitor;

/// Smallest target, in CSS pixels (WCAG 2.2, 2.5.8).
const TARGET: f64 = 24.0;

#[test]
fn axe_finds_nothing_on_any_page_light_and_wide_or_dark_and_narrow() {
    examined(Language::english(), [(false, 1100), (true, 320)]);
}

#[test]
fn axe_finds_nothing_on_any_german_page_light_and_narrow_or_dark_and_wide() {
    examined(Language::accepted(["de"]), [(false, 320), (true, 1100)]);
}

fn examined(language: Language, looks: [(bool, u32); 2]) {
    let exhibition = Exhibition::open(language);
    let mut visitor = Visitor::new();
    let mut findings = Vec::new();
    for &(name, _) in &exhibition.pages {
        visitor.browser.open(&exhibition.url(name));
        for (dark, width) in looks {
            for finding in visitor.browser.examine(dark, width) {
                findings.push(format!("{name}, dark {dark}, {width} px: {finding}"));
            }
        }
    }
    assert_eq!(findings, Vec::<String>::new());
}

#[test]
fn the_tab_key_reaches_everything_in_the_order_of_the_page_and_shows_where_it_is() {
    let exhibition = Exhibition::open(Language::english());
    let mut visitor = Visitor::new();
    for &(name, _) in &exhibition.pages {
        visitor.browser.open(&exhibition.url(name));
        let stops = visitor.browser.tab_stops();
        let places: Vec<u64> = stops
            .iter()
            .filter_map(|stop| stop["place"].as_u64())
            .collect();
        let reached = u64::try_from(places.len()).expect("a few");
        let all = stops.first().and_then(|stop| stop["of"].as_u64());
        assert_eq!(reached, all.unwrap_or_default(), "{name}: {stops:?}");
        assert!(places.is_sorted(), "{name}: {stops:?}");
        for stop in &stops {
            let size = |side: &str| stop[side].as_f64().unwrap_or_default();
            assert_eq!(stop["ring"], Value::Bool(true), "{name}: {stop}");
            // A link in a sentence is as high as the line (2.5.8, "Inline").
            let inline = stop["what"]
                .as_str()
                .is_some_and(|what| what.starts_with("<a"));
            assert!(
                inline || size("height") >= TARGET && size("width") >= TARGET,
                "{name}: {stop}"
            );
        }
    }
}
