//! What differs between two texts of which one is the other with one part changed.

use std::fmt::Write as _;

/// Lines that are shown around what differs.
const AROUND: usize = 3;

/// What `diff` says, and `patch` reads, where the last line has no end.
const NO_END: &str = "\n\\ No newline at end of file\n";

/// The difference in the unified format, as one piece from the first line that differs to the last. Empty, if
/// the texts are the same.
pub fn unified(old: &str, new: &str, name: &str) -> String {
    let lines = |text| str::split_inclusive(text, '\n').collect();
    let (a, b): (Vec<&str>, Vec<&str>) = (lines(old), lines(new));
    if old == new {
        return String::new();
    }
    let same = |(a, b): &(&&str, &&str)| a == b;
    let front = a.iter().zip(&b).take_while(same).count();
    let most = a.len().min(b.len()).saturating_sub(front);
    let back = a
        .iter()
        .rev()
        .zip(b.iter().rev())
        .take(most)
        .take_while(same)
        .count();
    let first = front.saturating_sub(AROUND);
    let part = |all: &[&str]| -> (usize, usize) {
        let end = all.len().saturating_sub(back);
        (end, (end + AROUND).min(all.len()))
    };
    let ((a_end, a_last), (b_end, b_last)) = (part(&a), part(&b));
    let place = |first: usize, last: usize| {
        let count = last.saturating_sub(first);
        let begins = if count == 0 { first } else { first + 1 };
        format!("{begins},{count}")
    };
    let mut out = format!("--- {name}\n+++ {name}\n");
    // A text that is written to cannot fail.
    let _ = writeln!(
        out,
        "@@ -{} +{} @@",
        place(first, a_last),
        place(first, b_last)
    );
    let mut lines = |mark: char, lines: Option<&[&str]>| {
        for line in lines.unwrap_or_default() {
            let _ = write!(out, "{mark}{line}");
            if !line.ends_with('\n') {
                out.push_str(NO_END);
            }
        }
    };
    lines(' ', a.get(first..front));
    lines('-', a.get(front..a_end));
    lines('+', b.get(front..b_end));
    lines(' ', a.get(a_end..a_last));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_that_differs_is_shown_with_three_lines_around_it() {
        let old = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
        for (new, meant) in [
            (old, ""),
            (
                "1\n2\n3\n4\nx\ny\n6\n7\n8\n9\n",
                "--- p\n+++ p\n@@ -2,7 +2,8 @@\n 2\n 3\n 4\n-5\n+x\n+y\n 6\n 7\n 8\n",
            ),
            (
                "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n",
                "--- p\n+++ p\n@@ -1,3 +1,4 @@\n+0\n 1\n 2\n 3\n",
            ),
            (
                "1\n2\n3\n4\n5\n6\n7\n8\n",
                "--- p\n+++ p\n@@ -6,4 +6,3 @@\n 6\n 7\n 8\n-9\n",
            ),
            (
                "1\n2\n3\n4\n5\n5\n6\n7\n8\n9\n",
                "--- p\n+++ p\n@@ -3,6 +3,7 @@\n 3\n 4\n 5\n+5\n 6\n 7\n 8\n",
            ),
        ] {
            assert_eq!(unified(old, new, "p"), meant);
        }
        for (old, new, meant) in [
            (
                "1\r\n2\r\n",
                "1\r\nx\r\n",
                "@@ -1,2 +1,2 @@\n 1\r\n-2\r\n+x\r\n",
            ),
            (
                "1",
                "0\n1",
                "@@ -1,1 +1,2 @@\n+0\n 1\n\\ No newline at end of file\n",
            ),
            (
                "1",
                "1\n",
                "@@ -1,1 +1,1 @@\n-1\n\\ No newline at end of file\n+1\n",
            ),
        ] {
            assert_eq!(unified(old, new, "p"), format!("--- p\n+++ p\n{meant}"));
        }
        assert_eq!(
            unified("", "a\n", "p"),
            "--- p\n+++ p\n@@ -0,0 +1,1 @@\n+a\n"
        );
    }
}
