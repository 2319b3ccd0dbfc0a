//! G: cookies and sessions.
