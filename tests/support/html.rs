//! Just enough HTML to find forms and links, as the pages of this house and its peers write them.

use url::Url;

/// A form as a browser would submit it untouched.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    pub(crate) id: String,
    pub(crate) action: Url,
    pub(crate) post: bool,
    /// Names and preset values of inputs, in order; the first named button last.
    pub(crate) fields: Vec<(String, String)>,
}

struct Tag {
    name: String,
    attributes: Vec<(String, String)>,
}

impl Tag {
    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// Every form of a page at `base`.
pub(crate) fn forms(html: &str, base: &Url) -> Vec<Form> {
    let mut forms: Vec<Form> = Vec::new();
    let mut inside = false;
    let mut button_taken = false;
    for tag in tags(html) {
        match tag.name.as_str() {
            "form" => {
                inside = true;
                button_taken = false;
                let action = tag.attribute("action").filter(|action| !action.is_empty());
                let action = action.map_or_else(|| base.clone(), |action| join(base, action));
                let post = tag
                    .attribute("method")
                    .is_some_and(|m| m.eq_ignore_ascii_case("post"));
                let id = tag.attribute("id").unwrap_or_default().to_owned();
                forms.push(Form {
                    id,
                    action,
                    post,
                    fields: Vec::new(),
                });
            }
            "/form" => inside = false,
            "input" | "button" if inside => {
                let is_button =
                    tag.name == "button" || tag.attribute("type").is_some_and(|t| t == "submit");
                let name = tag.attribute("name").unwrap_or_default();
                let skipped = name.is_empty() || (is_button && button_taken);
                if let (false, Some(form)) = (skipped, forms.last_mut()) {
                    button_taken |= is_button;
                    let value = tag.attribute("value").unwrap_or_default();
                    form.fields.push((name.to_owned(), value.to_owned()));
                }
            }
            _ => {}
        }
    }
    forms
}

/// Targets of every link of a page at `base`.
pub(crate) fn links(html: &str, base: &Url) -> Vec<Url> {
    let anchors = tags(html).into_iter().filter(|tag| tag.name == "a");
    anchors
        .filter_map(|tag| tag.attribute("href").map(|href| join(base, href)))
        .collect()
}

fn join(base: &Url, reference: &str) -> Url {
    base.join(reference)
        .unwrap_or_else(|error| panic!("{reference:?} at {base}: {error}"))
}

fn tags(html: &str) -> Vec<Tag> {
    let mut tags = Vec::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        if let Some(comment) = rest.strip_prefix("!--") {
            rest = comment.split_once("-->").map_or("", |(_, after)| after);
            continue;
        }
        let (tag, after) = tag(rest);
        tags.push(tag);
        rest = after;
    }
    tags
}

/// The tag that begins here, after its `<`, and what follows it.
fn tag(text: &str) -> (Tag, &str) {
    let end = text
        .find(|c: char| c.is_ascii_whitespace() || c == '>')
        .unwrap_or(text.len());
    let name = text[..end].trim_end_matches('/').to_ascii_lowercase();
    let name = if text.starts_with('/') {
        format!("/{}", name.trim_matches('/'))
    } else {
        name
    };
    let mut attributes = Vec::new();
    let mut rest = &text[end..];
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        if rest.is_empty() {
            return (Tag { name, attributes }, rest);
        }
        if let Some(after) = rest.strip_prefix('>') {
            return (Tag { name, attributes }, after);
        }
        let stops = |c: char| c.is_ascii_whitespace() || matches!(c, '=' | '>' | '/');
        let end = rest.find(stops).unwrap_or(rest.len()).max(1);
        let key = rest[..end].to_ascii_lowercase();
        rest = rest[end..].trim_start();
        let mut value = String::new();
        if let Some(after) = rest.strip_prefix('=') {
            (value, rest) = attribute_value(after.trim_start());
        }
        attributes.push((key, value));
    }
}

fn attribute_value(text: &str) -> (String, &str) {
    for quote in ['"', '\''] {
        if let Some(quoted) = text.strip_prefix(quote) {
            let (value, rest) = quoted.split_once(quote).unwrap_or((quoted, ""));
            return (unescaped(value), rest);
        }
    }
    let end = text
        .find(|c: char| c.is_ascii_whitespace() || c == '>')
        .unwrap_or(text.len());
    (unescaped(&text[..end]), &text[end..])
}

/// The character references that template engines write.
fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let Some((name, after)) = rest[1..].split_once(';') else {
            break;
        };
        let numbered = name.strip_prefix('#').and_then(|number| {
            let hex = number.strip_prefix(['x', 'X']);
            let code = hex.map_or_else(|| number.parse(), |hex| u32::from_str_radix(hex, 16));
            code.ok().and_then(char::from_u32)
        });
        let named = match name {
            "amp" => Some('&'),
            "lt" => Some('<'),
            "gt" => Some('>'),
            "quot" => Some('"'),
            "apos" => Some('\''),
            _ => numbered,
        };
        if let Some(character) = named {
            out.push(character);
            rest = after;
        } else {
            out.push('&');
            rest = &rest[1..];
        }
    }
    out + rest
}
