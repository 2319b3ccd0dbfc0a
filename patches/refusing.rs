/// A writer of this name that refuses; `new` takes what is written to, and arguments of these types.
macro_rules! refusing {
    ($name:ident $(, $argument:ty)*) => {
        /// Refuses to be written to, with [`std::io::ErrorKind::Unsupported`].
        #[derive(Debug)]
        pub struct $name<W>(W);

        impl<W> $name<W> {
            /// Holds `writer` and never writes to it.
            pub fn new(writer: W $(, _: $argument)*) -> Self {
                Self(writer)
            }

            /// Refuses.
            pub fn try_finish(&mut self) -> std::io::Result<()> {
                Err(std::io::ErrorKind::Unsupported.into())
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

        impl<W> std::io::Write for $name<W> {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::Unsupported.into())
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Err(std::io::ErrorKind::Unsupported.into())
            }
        }
    };
}
