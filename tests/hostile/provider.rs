//! J and N: a provider that misbehaves.
