//! (see the room's contract)
