//! Entities, their relations, and how they come in.
//!
//! ```text
//! sources/ ──text──▶ formats/ ──Descriptor──▶ flow ──▶ store (Postgres) ──StoredEntity──▶ Snapshot
//!                        └────────Problem──────┘                                     answers everything
//! ```

pub mod alias;
pub mod channel;
pub mod descriptor;
pub mod export;
pub mod flow;
pub mod follow;
pub mod formats;
pub mod import;
pub mod problem;
pub mod reference;
pub mod relation;
pub mod snapshot;
pub mod sources;
pub mod store;

pub use descriptor::{Descriptor, Place, StoredEntity};
pub use problem::{Problem, Severity};
pub use reference::{EntityRef, ReferenceError};
pub use relation::{Relation, RelationKind};
pub use snapshot::{Catalog, Entity, Snapshot};
