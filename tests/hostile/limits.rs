//! N: floods, slow peers and bounds.
