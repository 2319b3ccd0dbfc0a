//! How Headscale calls somebody who signed in: the issuer without the slash at its end, a slash, and the
//! subject, tidied as a URL.

/// Headscale's name for `subject` of `issuer`, as it stands in a user's `providerId`. Only for a subject that
/// no other one shares it with: that is for the caller to have checked.
pub fn provider_id(issuer: &str, subject: &str) -> String {
    let whole = format!("{}/{subject}", issuer.trim_end_matches('/'));
    let path = whole
        .split_once("://")
        .and_then(|(scheme, rest)| Some(scheme.len() + 3 + rest.find('/')?));
    let Some((origin, path)) = path.and_then(|at| whole.split_at_checked(at)) else {
        return whole;
    };
    // Go leaves a path alone that is written with the characters of one (RFC 3986 section 3.3), and escapes
    // it otherwise, and then some of those, too.
    if path
        .bytes()
        .all(|byte| stays(byte) || b"!'()*[]".contains(&byte))
    {
        return whole;
    }
    let escaped = path.bytes().map(|byte| {
        if stays(byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    });
    format!("{origin}{}", escaped.collect::<String>())
}

/// Whether Go never escapes it in a path.
fn stays(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_called_as_headscale_calls_them() {
        let authentik = "https://auth.company/application/o/headscale/";
        for (issuer, subject, id) in [
            (
                authentik,
                "4f1c",
                "https://auth.company/application/o/headscale/4f1c",
            ),
            (
                "https://auth.company",
                "ann@company",
                "https://auth.company/ann@company",
            ),
            (
                "http://127.0.0.1:8181",
                "a=b&c+d",
                "http://127.0.0.1:8181/a=b&c+d",
            ),
            ("https://a.b", "tenant/ann", "https://a.b/tenant/ann"),
            ("https://a.b", "auth0|12", "https://a.b/auth0%7C12"),
            ("https://a.b", "Ann B.", "https://a.b/Ann%20B."),
            ("https://a.b", "zo\u{eb}", "https://a.b/zo%C3%AB"),
            ("https://a.b", "o'neil(x)*!", "https://a.b/o'neil(x)*!"),
            ("https://a.b", "o'neil|x", "https://a.b/o%27neil%7Cx"),
        ] {
            assert_eq!(provider_id(issuer, subject), id);
        }
    }
}
