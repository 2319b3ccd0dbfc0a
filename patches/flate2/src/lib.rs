//! What pingora names of the `flate2` crate: writers that refuse whatever is written. See `docs/adr/0042-*`.

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
    use std::io::{self, Write};

    use super::Compression;

    macro_rules! refusing {
        ($name:ident $(, $argument:ty)*) => {
            /// Refuses to be written to, with [`io::ErrorKind::Unsupported`].
            #[derive(Debug)]
            pub struct $name<W>(W);

            impl<W> $name<W> {
                /// Holds `writer` and never writes to it.
                pub fn new(writer: W $(, _: $argument)*) -> Self {
                    Self(writer)
                }

                /// Refuses.
                pub fn try_finish(&mut self) -> io::Result<()> {
                    Err(io::ErrorKind::Unsupported.into())
                }

                /// The writer.
                pub fn get_ref(&self) -> &W {
                    &self.0
                }

                /// The writer.
                pub fn get_mut(&mut self) -> &mut W {
                    &mut self.0
                }
            }

            impl<W> Write for $name<W> {
                fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                    Err(io::ErrorKind::Unsupported.into())
                }

                fn flush(&mut self) -> io::Result<()> {
                    Err(io::ErrorKind::Unsupported.into())
                }
            }
        };
    }

    refusing!(GzDecoder);
    refusing!(GzEncoder, Compression);
}
