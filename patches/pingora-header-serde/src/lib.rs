//! What pingora's cache names of the `pingora-header-serde` crate: heads of answers that are kept, which refuses here,
//! since nothing is. See `docs/adr/0042-*`.

use pingora_error::{Error, ErrorType, Result};
use pingora_http::ResponseHeader;

/// Refuses to keep heads.
#[derive(Debug)]
pub struct HeaderSerde;

impl HeaderSerde {
    /// With any dictionary, or none.
    pub fn new(_: Option<Vec<u8>>) -> Self {
        Self
    }

    /// Refuses.
    pub fn serialize(&self, _: &ResponseHeader) -> Result<Vec<u8>> {
        refused()
    }

    /// Refuses.
    pub fn deserialize(&self, _: &[u8]) -> Result<ResponseHeader> {
        refused()
    }
}

fn refused<T>() -> Result<T> {
    Error::e_explain(ErrorType::InternalError, "nothing is cached here")
}
