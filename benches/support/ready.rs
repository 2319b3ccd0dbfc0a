//! What a future gives that waits for nothing: sessions in memory never do.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// `None` if it waits, or failed.
pub fn ready<T, E>(future: impl Future<Output = Result<T, E>>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output.ok(),
        Poll::Pending => None,
    }
}
