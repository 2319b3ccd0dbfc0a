//! JSON of the provider, read so that it has one meaning: an object in which a name stands twice is
//! refused, at any depth (RFC 8259 section 4 leaves it to each reader which of the two counts, and
//! several readers look at a token). Depth is bounded by the parser, length by whoever read it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Why a text is not taken. The parser's own message is dropped: it may quote a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JsonFault {
    /// Not JSON, too deep, or not an object.
    NotAnObject,
    /// A name stands twice in one object.
    Repeated,
}

/// Reads the one object that `text` is.
pub(super) fn parse_object(text: &[u8]) -> Result<Map<String, Value>, JsonFault> {
    match serde_json::from_slice::<Unique>(text) {
        Ok(Unique(Value::Object(object))) => Ok(object),
        // The only complaint about the data, rather than the syntax, is ours below.
        Err(error) if error.is_data() => Err(JsonFault::Repeated),
        Ok(_) | Err(_) => Err(JsonFault::NotAnObject),
    }
}

/// A value without a repeated name in it.
struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Self)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Number::from_f64(number).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Unique(entry)) = entries.next_element()? {
            list.push(entry);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, Unique(value))) = members.next_entry::<String, _>()? {
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("a name stands twice"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_object_has_each_name_once_at_every_depth() {
        for (text, taken) in [
            ("{}", Ok(())),
            (
                r#"{"a":1,"b":[{"a":1},{"a":2}],"c":{"a":-1,"d":1.5}}"#,
                Ok(()),
            ),
            (r#"{"a":null,"A":true,"a ":"x"}"#, Ok(())),
            (r#"{"a":1,"a":1}"#, Err(JsonFault::Repeated)),
            (r#"{"a":1,"\u0061":2}"#, Err(JsonFault::Repeated)),
            (r#"{"x":[{"y":{"a":1,"a":2}}]}"#, Err(JsonFault::Repeated)),
            (r#"{"a":null,"a":null}"#, Err(JsonFault::Repeated)),
            ("", Err(JsonFault::NotAnObject)),
            ("[]", Err(JsonFault::NotAnObject)),
            ("null", Err(JsonFault::NotAnObject)),
            ("\"{}\"", Err(JsonFault::NotAnObject)),
            ("{} {}", Err(JsonFault::NotAnObject)),
            ("{\"a\":1,}", Err(JsonFault::NotAnObject)),
            ("{\"a\":1e999}", Err(JsonFault::NotAnObject)),
            ("{\"a\":NaN}", Err(JsonFault::NotAnObject)),
            ("\u{feff}{}", Err(JsonFault::NotAnObject)),
        ] {
            assert_eq!(parse_object(text.as_bytes()).map(drop), taken, "{text}");
        }
        assert_eq!(
            parse_object(b"{\"a\":\"\xff\"}").map(drop),
            Err(JsonFault::NotAnObject)
        );
    }

    #[test]
    fn depth_is_bounded() {
        for (depth, taken) in [(100, true), (200, false), (100_000, false)] {
            let text = format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
            assert_eq!(parse_object(text.as_bytes()).is_ok(), taken, "{depth}");
        }
    }

    proptest! {
        #[test]
        fn what_has_one_meaning_is_read_as_everybody_reads_it(
            names in proptest::collection::vec("[a-c]{1,2}", 0..6),
            number in any::<i64>(),
            text in "\\PC{0,20}",
        ) {
            let members: Vec<String> = names
                .iter()
                .map(|name| format!("{name:?}:[{number},{},null]", Value::from(text.clone())))
                .collect();
            let source = format!("{{{}}}", members.join(","));
            let mut distinct = names.clone();
            distinct.sort();
            distinct.dedup();
            let wanted = if distinct.len() == names.len() {
                Ok(serde_json::from_str::<Map<String, Value>>(&source).unwrap())
            } else {
                Err(JsonFault::Repeated)
            };
            prop_assert_eq!(parse_object(source.as_bytes()), wanted);
        }
    }
}
