//! What pingora names of the `brotli` crate: writers that refuse whatever is written. See `docs/adr/0042-*`.

#[macro_use]
#[path = "../../refusing.rs"]
mod refusing;

// The size of a buffer, the quality, the size of the window.
refusing!(CompressorWriter, usize, u32, u32);
refusing!(DecompressorWriter, usize);
