//! The SQL of connections and migrations.
