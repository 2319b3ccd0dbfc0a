//! M: no magic word opens a door, and no fault does.
