//! Headscale's authorization request, as a browser brings it. Input: the query, without its `?`.

use headwarden::issuer::Issuer;
use url::{Url, form_urlencoded};

use super::issuing::{CALLBACK, CLIENT, House};

pub fn run(data: &[u8]) {
    thread_local! {
        static HOUSE: House = House::new();
    }
    let query: Vec<(String, String)> = form_urlencoded::parse(data).into_owned().collect();
    let answer = HOUSE.with(|house| house.issuer.authorize(&query));
    let Ok(request) = answer else {
        return;
    };
    check_request(&query, &request);
    let location = Issuer::callback_location(&request, "code-0123456789");
    let url = Url::parse(&location).expect("the callback's address");
    let (before, _) = location.split_once('?').expect("a query");
    assert_eq!(before, CALLBACK);
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let wanted = [
        ("code", "code-0123456789"),
        ("state", request.state.as_str()),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(pairs, wanted, "{location}");
    assert!(
        url.fragment().is_none() && location.is_ascii(),
        "{location}"
    );
}

/// What counts is there once, and says what it must.
pub fn check_request(
    query: &[(String, String)],
    request: &headwarden::domain::leg::AuthorizeRequest,
) {
    let all = |name: &str| -> Vec<&str> {
        query
            .iter()
            .filter(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
            .collect()
    };
    assert_eq!(all("client_id"), [CLIENT], "{query:?}");
    assert_eq!(all("redirect_uri"), [CALLBACK], "{query:?}");
    assert_eq!(all("response_type"), ["code"], "{query:?}");
    assert_eq!(all("state"), [request.state.as_str()], "{query:?}");
    assert_eq!(all("nonce"), [request.nonce.as_str()], "{query:?}");
    assert_eq!(all("scope"), [request.scope.as_str()], "{query:?}");
    assert!(
        request.scope.split(' ').any(|word| word == "openid"),
        "{query:?}"
    );
    assert_eq!(request.redirect_uri, CALLBACK);
    let challenge = request.challenge.as_deref();
    assert_eq!(
        all("code_challenge")
            .first()
            .copied()
            .filter(|text| !text.is_empty()),
        challenge,
        "{query:?}"
    );
    if challenge.is_some() {
        assert_eq!(all("code_challenge_method"), ["S256"], "{query:?}");
        assert_eq!(challenge.map(str::len), Some(43), "{query:?}");
    }
    for value in [&request.state, &request.nonce] {
        assert!(
            !value.is_empty() && value.bytes().all(|b| b.is_ascii_graphic()),
            "{value:?}"
        );
    }
}
