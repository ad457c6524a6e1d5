//! Lists of Slack's that come in pages.
//!
//! Source: <https://docs.slack.dev/apis/web-api/pagination>

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::client::{SlackApi, SlackError};

/// With 1,000 a page, 200,000 of anything: no list is waited for longer.
const PAGES_MAX: usize = 200;

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    response_metadata: Next,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Default, Deserialize)]
struct Next {
    /// Empty on the last page.
    #[serde(default)]
    next_cursor: String,
}

impl SlackApi {
    /// Everything in the `list` that `method` tells, asked with `parameters`.
    ///
    /// # Errors
    /// [`SlackError`]
    pub(super) async fn all<T: DeserializeOwned>(
        &self,
        method: &str,
        list: &str,
        parameters: &[(&str, Option<&str>)],
    ) -> Result<Vec<T>, SlackError> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        for _ in 0..PAGES_MAX {
            let from = Some(cursor.as_str()).filter(|it| !it.is_empty());
            let mut asked = parameters.to_vec();
            asked.push(("cursor", from));
            let mut page: Page = self.get(method, &asked).await?;
            let items = page.rest.remove(list).unwrap_or_default();
            let items: Vec<T> = serde_json::from_value(items)
                .map_err(|_| SlackError::Unavailable { why: format!("it tells no `{list}`") })?;
            all.extend(items);
            cursor = page.response_metadata.next_cursor;
            if cursor.is_empty() {
                break;
            }
        }
        Ok(all)
    }
}
