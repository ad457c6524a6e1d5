//! The prompt of `idp demo`: completion and history.
