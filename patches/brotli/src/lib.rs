//! What pingora names of the `brotli` crate: writers that refuse whatever is written. See `docs/adr/0042-*`.

use std::io::{self, Write};

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

// The size of a buffer, the quality, the size of the window.
refusing!(CompressorWriter, usize, u32, u32);
refusing!(DecompressorWriter, usize);
