//! HS: Headscale's doors, and what stands beside them.
