//! Answers of ours, written to pingora's session; and errors of the way there, turned into answers
//! in one place.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use pingora::{Error, ErrorSource, ErrorType};

use crate::pages::UpstreamFailure;

/// The largest body one of our own endpoints reads, in bytes.
pub const MAX_BODY: usize = 16 * 1024;

/// Writes a whole response. The answer to a HEAD has no body, but the length it would have had.
///
/// # Errors
/// When the client does not take it.
pub async fn write(
    session: &mut ServerSession,
    response: Response<Bytes>,
    is_head: bool,
) -> Result<(), Box<Error>> {
    let (parts, body) = response.into_parts();
    let mut header = ResponseHeader::build(parts.status, Some(parts.headers.len() + 1))?;
    for (name, value) in &parts.headers {
        header.append_header(name, value)?;
    }
    let no_body = body.is_empty() || is_head || matches!(parts.status.as_u16(), 204 | 304);
    if parts.status.as_u16() != 204 {
        header.insert_header(http::header::CONTENT_LENGTH, body.len().to_string())?;
    }
    session.write_response_header(Box::new(header)).await?;
    if !no_body {
        session.write_response_body(body, true).await?;
    }
    session.finish_body().await
}

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// More than [`MAX_BODY`].
    TooLarge,
    /// The client took too long to send it.
    Slow,
    /// The client did not send it.
    Broken,
}

/// Reads the whole body of a request to one of our own endpoints, which must come within `patience`.
///
/// # Errors
/// See [`BodyError`]; the connection must not be used again then.
pub async fn read_body(
    session: &mut ServerSession,
    patience: Duration,
) -> Result<Bytes, BodyError> {
    match tokio::time::timeout(patience, read_all(session)).await {
        Ok(body) => body,
        Err(_) => Err(BodyError::Slow),
    }
}

async fn read_all(session: &mut ServerSession) -> Result<Bytes, BodyError> {
    let mut body = bytes::BytesMut::new();
    while let Some(piece) = session
        .read_request_body()
        .await
        .map_err(|_| BodyError::Broken)?
    {
        if body.len() + piece.len() > MAX_BODY {
            return Err(BodyError::TooLarge);
        }
        body.extend_from_slice(&piece);
    }
    Ok(body.freeze())
}

/// What an error of the way to an upstream means. `None` when it was not the upstream's fault: the
/// client broke off, or sent what cannot be sent on.
pub fn upstream_failure(error: &Error) -> Option<UpstreamFailure> {
    match (&error.esource, &error.etype) {
        (ErrorSource::Downstream, _) => None,
        (
            _,
            ErrorType::ConnectTimedout
            | ErrorType::ReadTimedout
            | ErrorType::WriteTimedout
            | ErrorType::TLSHandshakeTimedout,
        ) => Some(UpstreamFailure::Timeout),
        (
            _,
            ErrorType::ConnectRefused
            | ErrorType::ConnectNoRoute
            | ErrorType::ConnectError
            | ErrorType::TLSHandshakeFailure
            | ErrorType::InvalidCert
            | ErrorType::SocketError,
        ) => Some(UpstreamFailure::Unreachable),
        _ if is_io(error, io::ErrorKind::TimedOut) => Some(UpstreamFailure::Timeout),
        _ => Some(UpstreamFailure::BadAnswer),
    }
}

/// What a failure of the client's request, which cannot be sent on (a `Connection` field that nominates
/// `Host`, say, or a body whose end is not clear), is answered with. `None` where it is one of its
/// connection: nobody is left to answer.
pub fn unusable_request(error: &Error) -> Option<(StatusCode, &'static str)> {
    if let ErrorType::HTTPStatus(408) = error.etype {
        return Some((StatusCode::REQUEST_TIMEOUT, "request_timeout"));
    }
    if error.esource != ErrorSource::Downstream {
        return None;
    }
    match error.etype {
        ErrorType::ReadError if is_io(error, io::ErrorKind::InvalidData) => {}
        ErrorType::ReadTimedout => return Some((StatusCode::REQUEST_TIMEOUT, "request_timeout")),
        ErrorType::ReadError
        | ErrorType::WriteError
        | ErrorType::ConnectionClosed
        | ErrorType::WriteTimedout => return None,
        _ => {}
    }
    Some((StatusCode::BAD_REQUEST, "bad_request"))
}

/// Whether an I/O error of this kind is behind it. pingora's errors name no `source`.
fn is_io(error: &Error, kind: io::ErrorKind) -> bool {
    let cause = error.root_cause().downcast_ref::<io::Error>();
    cause.is_some_and(|io| io.kind() == kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::unnecessary_box_returns, reason = "pingora's errors are boxed")]
    fn broken(etype: ErrorType, kind: io::ErrorKind) -> Box<Error> {
        let cause = io::Error::new(kind, "why");
        Error::because(etype, "when reading body", cause).more_context("and more")
    }

    #[test]
    fn a_request_that_cannot_be_read_has_an_answer_and_a_broken_connection_has_none() {
        let invalid = broken(ErrorType::ReadError, io::ErrorKind::InvalidData).into_down();
        assert_eq!(
            unusable_request(&invalid),
            Some((StatusCode::BAD_REQUEST, "bad_request"))
        );
        let gone = broken(ErrorType::ReadError, io::ErrorKind::ConnectionReset).into_down();
        assert_eq!(unusable_request(&gone), None);
        let stalled = broken(ErrorType::WriteError, io::ErrorKind::TimedOut).into_down();
        assert_eq!(unusable_request(&stalled), None);
        assert!(upstream_failure(&stalled).is_none());
    }

    #[test]
    fn an_upstream_that_takes_too_long_is_told_from_one_that_answers_badly() {
        for (kind, failure) in [
            (io::ErrorKind::TimedOut, UpstreamFailure::Timeout),
            (io::ErrorKind::InvalidData, UpstreamFailure::BadAnswer),
        ] {
            let error = broken(ErrorType::ReadError, kind).into_up();
            assert!(unusable_request(&error).is_none());
            let found = upstream_failure(&error).map(|found| std::mem::discriminant(&found));
            assert_eq!(found, Some(std::mem::discriminant(&failure)));
        }
    }
}
