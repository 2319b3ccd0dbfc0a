//! `Accept-Language` (RFC 9110 section 12.5.4): what somebody reads, the best first.

use unic_langid::LanguageIdentifier;

/// Most ranges that are looked at: nobody reads more.
const MOST: usize = 32;

/// The ranges of the fields' values that name a language, by their weight and then as they stand. What is
/// not wanted (`q=0`) and what cannot be read is left out; so is `*`, which asks for nothing.
pub(super) fn in_order<'a>(values: impl IntoIterator<Item = &'a str>) -> Vec<LanguageIdentifier> {
    let ranges = values.into_iter().flat_map(|value| value.split(','));
    let mut wanted: Vec<(u16, LanguageIdentifier)> = ranges.take(MOST).filter_map(range).collect();
    wanted.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
    wanted.into_iter().map(|(_, range)| range).collect()
}

/// A range and its weight in thousandths.
fn range(text: &str) -> Option<(u16, LanguageIdentifier)> {
    let (tag, parameters) = text.split_once(';').unwrap_or((text, ""));
    let weight = match parameters.trim() {
        "" => 1000,
        parameters => weight(parameters)?,
    };
    let tag = tag.trim();
    let plain = !tag.is_empty() && tag != "*";
    (plain && weight > 0).then_some((weight, tag.parse().ok()?))
}

/// `q=0.5` (RFC 9110 section 12.4.2).
fn weight(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    let (whole, part) = value.split_once('.').unwrap_or((value, ""));
    let digits = part.len() <= 3 && part.bytes().all(|b| b.is_ascii_digit());
    if !name.eq_ignore_ascii_case("q") || !digits {
        return None;
    }
    let part: u16 = format!("{part:0<3}").parse().ok()?;
    match whole {
        "0" => Some(part),
        "1" if part == 0 => Some(1000),
        _ => None,
    }
}
