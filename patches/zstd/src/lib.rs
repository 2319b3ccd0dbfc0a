//! What pingora names of the `zstd` crate: an encoder that cannot be had. See `docs/adr/0042-*`.

/// Streams.
pub mod stream {
    /// Compresses what is written.
    pub mod write {
        use std::convert::Infallible;
        use std::io::{self, Write};
        use std::marker::PhantomData;

        /// There is none.
        #[derive(Debug)]
        pub struct Encoder<'a, W> {
            none: Infallible,
            of: PhantomData<&'a W>,
        }

        impl<W> Encoder<'_, W> {
            /// Refuses, with [`io::ErrorKind::Unsupported`].
            pub fn new(_: W, _: i32) -> io::Result<Self> {
                Err(io::ErrorKind::Unsupported.into())
            }

            /// Refuses, with [`io::ErrorKind::Unsupported`].
            pub fn with_dictionary(_: W, _: i32, _: &[u8]) -> io::Result<Self> {
                Err(io::ErrorKind::Unsupported.into())
            }

            /// The writer.
            pub fn get_ref(&self) -> &W {
                match self.none {}
            }

            /// The writer.
            pub fn get_mut(&mut self) -> &mut W {
                match self.none {}
            }

            /// Ends the stream.
            pub fn do_finish(&mut self) -> io::Result<()> {
                match self.none {}
            }
        }

        impl<W> Write for Encoder<'_, W> {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                match self.none {}
            }

            fn flush(&mut self) -> io::Result<()> {
                match self.none {}
            }
        }
    }
}
