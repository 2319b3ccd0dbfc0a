//! (see the module's contract)
