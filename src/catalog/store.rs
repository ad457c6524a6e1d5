//! The catalog's SQL.
