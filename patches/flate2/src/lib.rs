//! What pingora names of the `flate2` crate: writers that refuse whatever is written. See `docs/adr/0042-*`.

#[macro_use]
#[path = "../../refusing.rs"]
mod refusing;

/// How much to compress.
#[derive(Clone, Copy, Debug)]
pub struct Compression;

impl Compression {
    /// Any level.
    pub fn new(_: u32) -> Self {
        Self
    }
}

/// Compresses and decompresses what is written.
pub mod write {
    use super::Compression;

    refusing!(GzDecoder);
    refusing!(GzEncoder, Compression);
}
