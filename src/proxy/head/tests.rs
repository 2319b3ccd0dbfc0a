use super::*;

fn parse(raw: &str) -> Result<Head, HeadError> {
    Head::parse(raw.as_bytes())
}

#[test]
fn an_ordinary_request_is_read_whole() {
    let head = parse(concat!(
        "POST /ts2021 HTTP/1.1\r\nHost: hs.example:443\r\nConnection: keep-alive, Upgrade\r\n",
        "Upgrade: tailscale-control-protocol\r\nContent-Length: 0\r\n\r\n"
    ))
    .unwrap();
    assert_eq!(head.method, "POST");
    assert_eq!(head.target.path(), "/ts2021");
    assert_eq!(head.host.unwrap().to_string(), "hs.example:443");
    assert_eq!(head.upgrade.as_deref(), Some("tailscale-control-protocol"));
    assert_eq!(head.body, Framing::None);
}

#[test]
fn an_upgrade_counts_only_when_it_is_nominated_and_alone() {
    for fields in [
        "Upgrade: websocket\r\n",
        "Connection: close\r\nUpgrade: websocket\r\n",
        "Connection: upgrade\r\nUpgrade: websocket, h2c\r\n",
        "Connection: upgrade\r\nUpgrade: websocket\r\nUpgrade: DERP\r\n",
        "Connection: upgrade\r\nUpgrade:\r\n",
        "Connection: xupgrade\r\nUpgrade: websocket\r\n",
    ] {
        let head = parse(&format!("GET /derp HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).unwrap();
        assert_eq!(head.upgrade, None, "{fields:?}");
    }
    let head = parse("GET /derp HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: DERP\r\n\r\n").unwrap();
    assert_eq!(head.upgrade, None, "HTTP/1.0 cannot upgrade");
}

#[test]
fn what_two_parsers_could_read_differently_is_refused() {
    let rows = [
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n: empty\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
        "GET /\r\n\r\n",
        "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    ];
    for raw in rows {
        let refused = parse(raw);
        assert!(
            matches!(refused, Err(HeadError::Malformed(_) | HeadError::Target(_))),
            "{raw:?} gave {refused:?}"
        );
    }
}

#[test]
fn a_body_is_framed_as_its_one_field_says() {
    for (field, framing) in [
        ("", Framing::None),
        ("Content-Length: 0\r\n", Framing::None),
        ("Content-Length: 5\r\n", Framing::Length(5)),
        ("Transfer-Encoding: chunked\r\n", Framing::Chunked),
        ("transfer-encoding: Chunked\r\n", Framing::Chunked),
    ] {
        let head = parse(&format!("POST / HTTP/1.1\r\nHost: a\r\n{field}\r\n")).unwrap();
        assert_eq!(head.body, framing, "{field:?}");
    }
}

#[test]
fn too_many_fields_are_too_large() {
    let fields: String = (0..=MAX_FIELDS).map(|n| format!("X-{n}: a\r\n")).collect();
    let refused = parse(&format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    assert!(matches!(refused, Err(HeadError::TooLarge)), "{refused:?}");
}

const SOON: Patience = Patience {
    first_byte: Duration::from_secs(5),
    head: Some(Duration::from_secs(5)),
};

#[tokio::test]
async fn bytes_behind_the_head_are_given_back() {
    let mut raw: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nEARLY\r\n\r\n";
    let (head, length, bytes) = read_head(&mut raw, SOON).await.unwrap();
    assert_eq!(head.target.path(), "/");
    assert_eq!(&bytes[length..], b"EARLY\r\n\r\n");
}

#[tokio::test(start_paused = true)]
async fn a_head_that_trickles_ends_at_the_deadline_and_not_later() {
    use tokio::io::AsyncWriteExt as _;
    let (mut client, mut ours) = tokio::io::duplex(1024);
    let trickle = tokio::spawn(async move {
        for byte in b"GET / HTTP/1.1\r\nHost: aaaaaaaaaaaaaaaaaaa\r\n\r\n" {
            client.write_all(&[*byte]).await?;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        io::Result::Ok(())
    });
    let started = Instant::now();
    let refused = read_head(&mut ours, SOON).await;
    assert!(matches!(refused, Err(HeadError::Slow)), "{refused:?}");
    assert_eq!(started.elapsed(), Duration::from_secs(5));
    trickle.abort();
}

#[tokio::test(start_paused = true)]
async fn a_new_connection_has_one_deadline_for_its_first_byte_and_its_head() {
    use tokio::io::AsyncWriteExt as _;
    let (mut client, mut ours) = tokio::io::duplex(1024);
    let started = Instant::now();
    let sending = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(4)).await;
        client.write_all(b"GET / HTTP/1.1\r\n").await?;
        std::future::pending::<io::Result<()>>().await
    });
    let patience = Patience { head: None, ..SOON };
    let refused = read_head(&mut ours, patience).await;
    assert!(matches!(refused, Err(HeadError::Slow)), "{refused:?}");
    assert_eq!(started.elapsed(), Duration::from_secs(5));
    sending.abort();
}

#[tokio::test(start_paused = true)]
async fn a_kept_connection_may_wait_for_a_request_and_not_within_one() {
    use tokio::io::AsyncWriteExt as _;
    let (mut client, mut ours) = tokio::io::duplex(1024);
    let started = Instant::now();
    let sending = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_mins(1)).await;
        client.write_all(b"GET / HTTP/1.1\r\n").await?;
        tokio::time::sleep(Duration::from_secs(3)).await;
        client.write_all(b"Host: a\r\n").await?;
        std::future::pending::<io::Result<()>>().await
    });
    let patience = Patience {
        first_byte: Duration::from_secs(75),
        ..SOON
    };
    let refused = read_head(&mut ours, patience).await;
    assert!(matches!(refused, Err(HeadError::Slow)), "{refused:?}");
    assert_eq!(started.elapsed(), Duration::from_secs(65));
    sending.abort();
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_idle_and_owes_nothing() {
    let (_client, mut ours) = tokio::io::duplex(1024);
    assert!(matches!(
        read_head(&mut ours, SOON).await,
        Err(HeadError::Idle)
    ));
}

#[tokio::test]
async fn a_head_without_end_is_too_large() {
    let raw = format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(MAX_HEAD + CHUNK));
    let refused = read_head(&mut raw.as_bytes(), SOON).await;
    assert!(matches!(refused, Err(HeadError::TooLarge)), "{refused:?}");
}

#[tokio::test]
async fn a_head_without_end_is_too_large_whatever_its_pieces_are() {
    use tokio::io::AsyncWriteExt as _;
    for piece in [999, 1000, 1024, 4097] {
        let (mut client, mut ours) = tokio::io::duplex(piece);
        let sending = tokio::spawn(async move {
            let raw = format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(MAX_HEAD + CHUNK));
            client.write_all(raw.as_bytes()).await
        });
        let refused = read_head(&mut ours, SOON).await;
        assert!(matches!(refused, Err(HeadError::TooLarge)), "{refused:?}");
        drop(ours);
        assert!(sending.await.unwrap().is_err(), "all of it was read");
    }
}

/// The length of the head in bytes, however it comes in pieces.
#[tokio::test]
async fn a_head_of_32_kib_is_read_and_one_of_a_byte_more_is_not() {
    const MOST: usize = 32 * 1024;
    let bare = "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n";
    for (length, passes) in [(MOST - 1, true), (MOST, true), (MOST + 1, false)] {
        let filling = "a".repeat(length - bare.len());
        let raw = bare.replace("X: ", &format!("X: {filling}"));
        assert_eq!(raw.len(), length);
        let read = read_head(&mut raw.as_bytes(), SOON).await;
        match read {
            Ok((_, read, _)) => assert!(passes && read == length, "{length}"),
            Err(HeadError::TooLarge) => assert!(!passes, "{length}"),
            Err(other) => panic!("{length}: {other}"),
        }
    }
}

/// These are refused here, whatever the parser behind thinks of them.
#[test]
fn a_line_that_does_not_end_as_lines_do_is_refused_by_its_name() {
    for (raw, reason) in [
        ("GET / HTTP/1.1\nHost: a\r\n\r\n", "a bare line feed"),
        (
            "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
            "a bare carriage return",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
            "a folded line",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\n\tfolded\r\n\r\n",
            "a folded line",
        ),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", "a NUL byte"),
    ] {
        let refused = parse(raw);
        let same = matches!(&refused, Err(HeadError::Malformed(why)) if *why == reason);
        assert!(same, "{raw:?} gave {refused:?}");
    }
}

#[test]
fn what_is_printed_of_a_request_is_neither_its_fields_nor_its_query() {
    let head = parse(concat!(
        "GET /oidc/callback?code=s3cret HTTP/1.1\r\nHost: a\r\nCookie: b=s3cret\r\n",
        "Authorization: Bearer s3cret\r\n\r\n"
    ));
    let printed = format!("{:?}", head.unwrap());
    assert!(
        printed.contains("GET") && !printed.contains("s3cret"),
        "{printed}"
    );
}

proptest::proptest! {
    /// The quick look and the one that says what is wrong are of one opinion.
    #[test]
    fn what_looks_clean_has_nothing_wrong(raw in "([ab\\r\\n \\t\0]|\\r\\n){0,12}") {
        let raw = raw.as_bytes();
        proptest::prop_assert_eq!(is_clean(raw), what_is_wrong(raw).is_none());
    }
}
