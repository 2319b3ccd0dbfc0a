use proptest::prelude::*;
use serde_json::json;

use super::*;

fn groups(all: &[(&str, &[&str])]) -> Groups {
    let member = |token: &&str| Member {
        token: (*token).to_owned(),
        name: token
            .split('/')
            .next_back()
            .unwrap()
            .trim_end_matches('@')
            .to_owned(),
    };
    let one = |(name, members): &(&str, &[&str])| {
        (
            GroupName::parse(name).unwrap(),
            members.iter().map(member).collect(),
        )
    };
    all.iter().map(one).collect()
}

const POLICY: &str = "{
  // who is who
  \"groups\": { // people
    \"group:guests\": [\"visitor@\"], // for a week
    /* old: \"group:x\": [] */
  },
  \"acls\": [
    {\"action\": \"accept\", \"src\": [\"group:admins\"], \"dst\": [\"*:*\"]}, // us
  ],
}
";

#[test]
fn our_part_is_put_in_and_everything_else_stays_as_it_was() {
    let made = with_groups(
        POLICY,
        &groups(&[
            ("admins", &["https://auth/o/hs/2@", "https://auth/o/hs/1@"]),
            ("staff", &[]),
        ]),
    )
    .unwrap();
    let meant = POLICY.replace(
        "// people\n",
        "// people
    // headwarden: begin (written by Headwarden; changes between these lines are lost)
    \"group:admins\": [
      \"https://auth/o/hs/1@\", // 1
      \"https://auth/o/hs/2@\", // 2
    ],
    \"group:staff\": [],
    // headwarden: end\n",
    );
    assert_eq!(made, meant);
    let again = with_groups(&made, &groups(&[("admins", &["https://auth/o/hs/3@"])])).unwrap();
    let meant = POLICY.replace(
        "// people\n",
        "// people
    // headwarden: begin (written by Headwarden; changes between these lines are lost)
    \"group:admins\": [
      \"https://auth/o/hs/3@\", // 3
    ],
    // headwarden: end\n",
    );
    assert_eq!(again, meant);
}

#[test]
fn a_group_that_a_rule_names_stays_and_is_empty_and_any_other_goes() {
    let made = with_groups(POLICY, &groups(&[("admins", &["a@"]), ("staff", &["b@"])])).unwrap();
    let none = with_groups(&made, &Groups::new()).unwrap();
    let told = groups_of(&none);
    assert_eq!(told.keys().collect::<Vec<_>>(), ["group:admins"]);
    assert!(told["group:admins"].is_empty());
    for (rule, stays) in [
        (r#""dst": ["group:staff:22"]"#, true),
        (r#""src": ["group:st\u0061ff"]"#, true),
        (r#""group:staff": 1"#, true),
        (r#""src": ["group:staff2"]"#, false),
        (r#""src": ["x"] // group:staff"#, false),
    ] {
        let policy = format!("{{\"groups\": {{}}, \"rules\": {{{rule}\n}}}}");
        let made = with_groups(&policy, &groups(&[("staff", &["b@"])])).unwrap();
        let none = with_groups(&made, &Groups::new()).unwrap();
        assert_eq!(
            groups_of(&none).contains_key("group:staff"),
            stays,
            "{rule}"
        );
    }
}

#[test]
fn wherever_the_marks_stand_between_groups_what_is_made_is_a_policy() {
    let wanted = groups(&[("a", &["1@"]), ("b", &[])]);
    for policy in [
        "{\"groups\":{/*headwarden: begin*//*headwarden: end*/}}",
        "{\"groups\":{\"group:x\":[]/* headwarden: begin */ /* headwarden: end */}}",
        "{\"groups\":{\"group:x\":[], // headwarden: begin\n\"group:old\": [\"z@\"], // headwarden: end\n \"group:y\":[]}}",
        "{\"groups\":{\"group:x\":[] // headwarden: begin\n, \"group:old\": [\"z@\"],\n// headwarden: end\n \"group:y\":[]}}",
        "{\"groups\":{\n\t\t// headwarden: begin here\n\t\t\"group:a\": [],\n\t\t// headwarden: end\n}}",
        "{\"groups\":{}}",
        "{\"groups\":{},}",
        "{ \"Groups\" : { \"group:x\" : [ ] } }",
        "{}",
        "{\r\n  \"acls\": [],\r\n}\r\n",
        "{ // nothing yet\n}\n",
        "{\n\t\"groups\": {\n\t\t\"group:x\": [\"headwarden: begin@\", \"// headwarden: end@\"]\n\t}\n}",
        "{\"groups\": { // headwarden: beginning\n \"group:x\": []}}",
        "// headwarden: begin\n{\"acls\": [/* headwarden: end */]}",
    ] {
        let made = with_groups(policy, &wanted).unwrap();
        let read = groups_of(&made);
        assert_eq!(
            read.keys().collect::<Vec<_>>(),
            ["group:a", "group:b"],
            "{made}"
        );
        assert_eq!(with_groups(&made, &wanted).as_ref(), Ok(&made), "{policy}");
        assert!(!made.contains("group:old"), "{made}");
        let crlf = policy.contains("\r\n");
        assert_eq!(
            made.matches("\r\n").count() == made.matches('\n').count(),
            crlf,
            "{made:?}"
        );
        let none = with_groups(&made, &Groups::new()).unwrap();
        let theirs = Document::parse(policy).unwrap().value;
        let left = Document::parse(&none).unwrap().value;
        let of = |value: &Value, name: &str| {
            let mut all = value["groups"]
                .as_object()
                .or(value["Groups"].as_object())
                .cloned();
            all.as_mut().and_then(|all| all.remove(name))
        };
        for name in ["group:x", "group:y"] {
            assert_eq!(of(&left, name), of(&theirs, name), "{none}");
        }
    }
}

#[test]
fn a_policy_that_nobody_can_be_sure_of_is_left_alone() {
    let wanted = groups(&[("a", &["1@"])]);
    let deep = format!(
        "{{\"groups\": {}{}}}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let long = format!("{{\"hosts\": {{}} }} // {}", "x".repeat(LONGEST));
    let full = format!("{{\"x\": \"{}\"}}", "x".repeat(LONGEST - 20));
    for (policy, why) in [
        ("", "no policy"),
        (" ", "cannot be read"),
        ("\u{feff}{}", "cannot be read"),
        ("[]", "not an object"),
        ("\"x\"", "not an object"),
        (deep.as_str(), "nested too deeply"),
        (long.as_str(), "1 MiB"),
        (full.as_str(), "1 MiB"),
        ("{\"groups\": {}, \"groups\": {}}", "more than once"),
        ("{\"groups\": {}, \"GROUPS\": {}}", "more than once"),
        ("{\"groups\": {}, \"gr_o-ups\": {}}", "more than once"),
        ("{\"groups\": {}, \"gr\\u006fups\": {}}", "more than once"),
        ("{\"groups\": null}", "not an object"),
        ("{\"groups\": [\"group:a\"]}", "not an object"),
        (
            "{\"groups\": {\"group:a\": []}}",
            "stands in the policy already",
        ),
        (
            "{\"groups\": {\"group:\\u0061\": []}}",
            "stands in the policy already",
        ),
        (
            "{\"groups\": {\"group:a\": [], /* headwarden: begin */ /* headwarden: end */}}",
            "stands in the policy already",
        ),
        ("{\"groups\": {/* headwarden: begin */}}", "once each"),
        ("{\"groups\": {/* headwarden: end */}}", "once each"),
        (
            "{\"groups\": {/* headwarden: end *//* headwarden: begin */}}",
            "once each",
        ),
        (
            "{\"groups\": {/* headwarden: begin *//* headwarden: end *//* headwarden: begin */}}",
            "once each",
        ),
        (
            "{\"groups\": {\"group:x\": [/* headwarden: begin *//* headwarden: end */]}}",
            "between groups",
        ),
        (
            "{\"groups\": {/* headwarden: begin */\"group:x\": [/* headwarden: end */]}}",
            "between groups",
        ),
        (
            "{\"groups\": {\"group:x\": /* headwarden: begin */[]/* headwarden: end */}}",
            "between groups",
        ),
        (
            "{\"groups\": {\"group:x\" /* headwarden: begin */: []/* headwarden: end */}}",
            "between groups",
        ),
        (
            "{\"groups\": {/* headwarden: begin */\"group:x\": []/* headwarden: end */, \"group:y\": []}}",
            "put it before",
        ),
    ] {
        let shown: String = policy.chars().take(90).collect();
        match with_groups(policy, &wanted) {
            Err(refusal) => assert!(refusal.to_string().contains(why), "{shown}: {refusal}"),
            Ok(made) => panic!("{shown} became {made}"),
        }
    }
}

#[test]
fn nothing_in_a_name_or_token_gets_out_of_its_place() {
    let hostile = [
        "x\n\"group:root\": [\"me@\"],\n//",
        "*/ } // headwarden: end",
        "\u{2028}\u{202e}\"]",
        "",
    ];
    let members = hostile.iter().map(|text| Member {
        token: format!("{text}@"),
        name: (*text).to_owned(),
    });
    let wanted = Groups::from([(GroupName::parse("a").unwrap(), members.collect())]);
    for policy in ["{\"groups\": {}}", POLICY] {
        let made = with_groups(policy, &wanted).unwrap();
        let read = groups_of(&made);
        let tokens: BTreeSet<String> = hostile.iter().map(|text| format!("{text}@")).collect();
        assert_eq!(read, BTreeMap::from([("group:a".to_owned(), tokens)]));
        assert_eq!(with_groups(&made, &wanted), Ok(made));
    }
}

/// A reader of somebody else's, for the meaning of what we made.
fn judged(text: &str) -> Option<Value> {
    let options = jsonc_parser::ParseOptions {
        allow_comments: true,
        allow_trailing_commas: true,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    let read = jsonc_parser::parse_to_value(text, &options).ok()??;
    Some(plain(read))
}

fn plain(value: jsonc_parser::JsonValue<'_>) -> Value {
    use jsonc_parser::JsonValue as It;
    match value {
        It::String(text) => Value::from(text.into_owned()),
        It::Number(text) => json!({ "number": text }),
        It::Boolean(flag) => Value::from(flag),
        It::Null => Value::Null,
        It::Object(object) => {
            let entries = object
                .into_iter()
                .map(|(key, value)| (key.to_string(), plain(value)));
            Value::Object(entries.collect())
        }
        It::Array(list) => list.into_iter().map(plain).collect(),
    }
}

fn blanks() -> impl Strategy<Value = String> {
    let one = prop_oneof![
        4 => Just(String::new()),
        2 => Just(" ".to_owned()),
        2 => Just("\n  ".to_owned()),
        1 => Just("\r\n\t".to_owned()),
        1 => Just(" // a: [\"{,} headwarden: end\n".to_owned()),
        1 => Just("/* \"x\": } // */".to_owned()),
    ];
    proptest::collection::vec(one, 0..3).prop_map(|all| all.concat())
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("\"// headwarden: begin\"".to_owned()),
        Just("\"/* headwarden: end */\"".to_owned()),
        Just("\"group:a\"".to_owned()),
        Just("\"group:a:22\"".to_owned()),
        "[a-z]{0,3}".prop_map(|text| format!("\"{text}\\\"\\u00e9@\"")),
    ]
}

fn object(entries: Vec<(String, String)>, around: Vec<String>, trailing: bool) -> String {
    let mut around = around.into_iter().cycle();
    let mut gap = || around.next().unwrap_or_default();
    let mut out = format!("{{{}", gap());
    let last = entries.len().saturating_sub(1);
    for (index, (key, value)) in entries.into_iter().enumerate() {
        out.extend(["\"", &key, "\"", &gap(), ":", &gap(), &value, &gap()]);
        if index < last || trailing {
            out.extend([",", &gap()]);
        }
    }
    out + "}"
}

fn policy() -> impl Strategy<Value = String> {
    let gaps = || proptest::collection::vec(blanks(), 5);
    let members =
        proptest::collection::vec(text(), 0..3).prop_map(|all| format!("[{}]", all.join(",")));
    let theirs = proptest::collection::btree_map("group:[x-z]", members, 0..3);
    let groups = (theirs, gaps(), any::<bool>())
        .prop_map(|(all, gaps, comma)| object(all.into_iter().collect(), gaps, comma));
    let rest = proptest::collection::btree_map("[a-f]{1,3}", text(), 0..3);
    (
        rest,
        proptest::option::of(groups),
        any::<proptest::sample::Index>(),
        gaps(),
        any::<bool>(),
        blanks(),
    )
        .prop_map(|(rest, groups, place, gaps, comma, before)| {
            let mut entries: Vec<(String, String)> = rest.into_iter().collect();
            if let Some(groups) = groups {
                entries.insert(
                    place.index(entries.len() + 1),
                    ("groups".to_owned(), groups),
                );
            }
            format!("{before}{}", object(entries, gaps, comma))
        })
}

fn wanted() -> impl Strategy<Value = Groups> {
    let member = "[a-z\"\\\\/*\n@-]{0,8}".prop_map(|token| Member {
        name: token.clone(),
        token,
    });
    let name = prop_oneof![Just("a"), Just("b"), Just("c")]
        .prop_map(|name| GroupName::parse(name).unwrap());
    let members = proptest::collection::btree_set(member, 0..3);
    proptest::collection::btree_map(name, members, 1..3)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_is_not_ours_stays_byte_for_byte_and_ours_is_what_was_wanted(
        policy in policy(), first in wanted(), second in wanted()
    ) {
        let before = judged(&policy).unwrap();
        let made = with_groups(&policy, &first).unwrap();
        for wanted in [&first, &second] {
            let made = with_groups(&made, wanted).unwrap();
            // Running again changes nothing.
            prop_assert_eq!(&with_groups(&made, wanted).unwrap(), &made);
            // It is theirs and ours.
            let mut after = judged(&made).unwrap();
            let read = after["groups"].as_object_mut().unwrap();
            for (name, members) in wanted {
                let tokens: Value = members.iter().map(|it| Value::from(it.token.clone())).collect();
                prop_assert_eq!(read.remove(name.as_str()), Some(tokens));
            }
            // One that a rule still names is empty.
            for (_, left) in read.iter().filter(|(name, _)| ["group:a", "group:b", "group:c"].contains(&name.as_str())) {
                prop_assert_eq!(left, &json!([]));
            }
            read.retain(|name, _| !["group:a", "group:b", "group:c"].contains(&name.as_str()));
            if read.is_empty() && before.get("groups").is_none() {
                after.as_object_mut().unwrap().remove("groups");
            }
            prop_assert_eq!(&after, &before);
            // What was put in is one piece, and around it is the policy.
            let same = |(a, b): &(u8, u8)| a == b;
            let front = policy.bytes().zip(made.bytes()).take_while(same).count();
            let back = policy.bytes().rev().zip(made.bytes().rev()).take_while(same).count();
            prop_assert!(front + back >= policy.len(), "{}", made);
        }
    }

    #[test]
    fn no_text_breaks_anything(text in any::<String>(), pieces in proptest::collection::vec(
        prop_oneof![Just("{"), Just("}"), Just("["), Just("]"), Just("\"groups\""), Just(":"), Just(","),
            Just("\"group:a\""), Just("// headwarden: begin\n"), Just("/* headwarden: end */"), Just("\"x@\""), Just("1")], 0..24)
    ) {
        let wanted = groups(&[("a", &["1@"])]);
        for text in [text, pieces.concat()] {
            if let Ok(made) = with_groups(&text, &wanted) {
                prop_assert_eq!(with_groups(&made, &wanted), Ok(made));
            }
        }
    }
}
