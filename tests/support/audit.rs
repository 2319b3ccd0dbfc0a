//! The audit log of a running house, as it is by now.

use std::path::Path;

use serde_json::Value;

/// Its whole lines; none, while there is no file. Of a line that is being written only a part may be seen.
pub(crate) fn lines(directory: &Path) -> Vec<Value> {
    let text = match std::fs::read_to_string(directory.join("audit.jsonl")) {
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => String::new(),
        read => read.expect("an audit log"),
    };
    let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
    whole
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}
