//! F: who the client is, and who may say so.
