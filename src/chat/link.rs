//! How a connection to a platform is, for whoever watches the process.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

/// Connections, each with what it is to.
pub type Links = Vec<(&'static str, Link)>;

/// Shared between who keeps the connection and who tells of it. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Link(Arc<Mutex<Standing>>);

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Standing {
    #[default]
    Connecting,
    Up,
    /// Another process is connected; this one takes over when that one goes.
    StandingBy,
    /// It does not connect until somebody mends what is told.
    Down {
        mend: String,
    },
}

impl Link {
    pub fn set(&self, standing: Standing) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = standing;
    }

    pub fn standing(&self) -> Standing {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
