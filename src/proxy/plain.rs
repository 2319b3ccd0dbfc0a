//! Answers written straight to a connection, before pingora has seen it: refusals of the porch and
//! of tunnels. Short, in plain text, and always the last thing on that connection.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// How long, and how much, we go on reading after the last word, so that the answer is not lost to
/// a reset that unread bytes would cause (RFC 9112 section 9.6).
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: u64 = 256 * 1024;
/// Longest wait for a client to take a refusal.
const WRITE: Duration = Duration::from_secs(5);

/// The fields of `pages::guard`, for answers that are written before there is a header map.
const GUARD: &str = "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\
    Referrer-Policy: no-referrer\r\nX-Frame-Options: DENY\r\n\
    Content-Security-Policy: default-src 'none'; frame-ancestors 'none'; base-uri 'none'\r\n";

/// A status line's code and phrase for the refusals written here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u16, pub &'static str);

/// Answers with `status`, `extra` header lines (each ending in CR LF) and one line of text, then
/// ends the connection.
pub async fn answer<S>(stream: &mut S, status: Status, extra: &str, text: &str)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    answer_exactly(stream, status, extra, &format!("{text}\n")).await;
}

/// The same with a text that is sent as it is, for machines that compare it.
pub async fn answer_exactly<S>(stream: &mut S, status: Status, extra: &str, text: &str)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Status(code, phrase) = status;
    let length = text.len();
    let response = format!(
        "HTTP/1.1 {code} {phrase}\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {length}\r\n{GUARD}{extra}Connection: close\r\n\r\n{text}"
    );
    let written = tokio::time::timeout(WRITE, stream.write_all(response.as_bytes())).await;
    if matches!(written, Ok(Ok(()))) {
        end(stream).await;
    }
}

/// Says one last thing, and ends the connection.
pub async fn end_with<S>(stream: &mut S, last: &[u8])
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let written = tokio::time::timeout(WRITE, stream.write_all(last)).await;
    if matches!(written, Ok(Ok(()))) {
        end(stream).await;
    }
}

/// Ends a connection in good order: nothing more from us, and a short while to let the peer read.
pub async fn end<S>(stream: &mut S)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let linger = async {
        let _ = stream.shutdown().await;
        let mut rest = (&mut *stream).take(LINGER_BYTES);
        let _ = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await;
    };
    let _ = tokio::time::timeout(LINGER, linger).await;
}
