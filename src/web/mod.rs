//! HTTP in.

pub mod slack;

use std::sync::Arc;

use axum::Router;

use crate::app::App;

/// Everything the routes need.
#[derive(Clone)]
pub struct Web {
    pub app: Arc<App>,
    /// `None`: Slack's routes answer 404.
    pub slack: Option<Arc<slack::Slack>>,
}

pub fn router(_web: Web) -> Router {
    todo!()
}
