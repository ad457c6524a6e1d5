//! Other people's servers: the one HTTP client, and one file a vendor.

pub mod http;
