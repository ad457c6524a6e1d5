//! What idp does, told as examples. One binary, one chapter a file.

mod architecture;
mod database;
mod descriptors;
