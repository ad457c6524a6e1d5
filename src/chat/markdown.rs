//! Markdown of our own templates, read into blocks that every platform can show.
