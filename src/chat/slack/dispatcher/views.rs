//! What happens in the bot's Home and in modals: there is no message, so the answer to a click is a view.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{Dispatcher, body, is_exchanged, not_opened, post};
use crate::chat::inbox::Delivery;
use crate::chat::inbox::worker::Answered;
use crate::chat::markdown::Opens;
use crate::chat::outbox::To;
use crate::chat::slack::client::SlackError;
use crate::chat::slack::inbound::Viewed;
use crate::chat::slack::modal::{self, Origin};
use crate::chat::slack::view::{self, DEPTH_MAX, OpenView};
use crate::conversation::{Form, Reply, Speaker, Way};

/// What a click is for opens a view within three seconds; so long the answer may take to be what it opens.
const OPEN_WITHIN: Duration = Duration::from_millis(1_500);

/// Slack shows what a form's request was answered once it has read it, over whatever came before.
const SETTLES_WITHIN: Duration = Duration::from_millis(500);

impl Dispatcher {
    /// Shows `speaker` their Home as it is now. Of two at once the later one stays, and both are true.
    pub(super) async fn publish_home(self: Arc<Self>, speaker: Speaker) {
        let published = async {
            let view = view::home(&self.app.home(&speaker).await)?;
            self.api.publish_home(&speaker.user_id, &view).await.context("views.publish")
        };
        if let Err(error) = published.await {
            tracing::warn!(error = format!("{error:#}"), "could not show somebody their Home");
        }
    }

    /// Shows what a click in a view asks for in a view of its own, or in the same where Slack takes no more.
    pub(super) async fn answer_in_view(self: Arc<Self>, viewed: Viewed) {
        let speaker = viewed.click.speaker.clone();
        let form = match viewed.opens {
            Opens::Form => self.app.form(&viewed.click),
            Opens::Answer => Ok(None),
        };
        let shown = match form {
            Ok(Some(form)) => {
                self.open_form(&viewed, &form).await.map_err(|error| (error, not_opened(&form)))
            }
            Ok(None) => self.open_answer(&viewed).await,
            Err(error) => {
                let reply = error.into_reply();
                self.open_reply(&viewed, &reply).await.map_err(|error| (error, reply))
            }
        };
        let Err((error, reply)) = shown else { return };
        // A copy of a click whose answer is open, or one whose view was closed meanwhile.
        if is_exchanged(&error) || error.downcast_ref().is_some_and(is_closed) {
            return;
        }
        tracing::warn!(error = format!("{error:#}"), "could not open a view");
        // Where no view can show it, it is written to them.
        let to = To { channel: speaker.user_id, ..To::default() };
        let post = post(speaker.tenant, viewed.trigger_id, to, reply);
        self.worker.outbox.post(&self, post, None).await;
    }

    /// The answer, or until it is there a view that says so. On an error the answer is given back.
    async fn open_answer(&self, viewed: &Viewed) -> Result<(), (anyhow::Error, Reply)> {
        let click = viewed.click.clone();
        let mut answer = Box::pin(self.app.answer(Way::Button, click.into()));
        if let Ok(reply) = timeout(self.answer_within.min(OPEN_WITHIN), &mut answer).await {
            return self.open_reply(viewed, &reply).await.map_err(|error| (error, reply));
        }
        let depth = viewed.depth();
        let opened = self.put(viewed, &view::looking_up(depth)).await;
        let reply = answer.await;
        let updated =
            async { Ok(self.api.update_view(&opened?, &view::answer(&reply, depth)?).await?) };
        updated.await.map_err(|error| (error, reply))
    }

    async fn open_reply(&self, viewed: &Viewed, reply: &Reply) -> anyhow::Result<()> {
        self.put(viewed, &view::answer(reply, viewed.depth())?).await.map(drop)
    }

    async fn open_form(&self, viewed: &Viewed, form: &Form) -> anyhow::Result<()> {
        let origin = Origin { depth: viewed.depth(), ..Origin::default() };
        self.put(viewed, &modal::view(form, &origin)?).await.map(drop)
    }

    /// Shows `view` where it belongs; its id.
    async fn put(&self, viewed: &Viewed, view: &Value) -> anyhow::Result<String> {
        let Viewed { trigger_id, view: OpenView { id, depth }, .. } = viewed;
        if viewed.stays() {
            self.api.update_view(id, view).await?;
            return Ok(id.clone());
        }
        Ok(match depth {
            0 => self.api.open_view(trigger_id, view).await?,
            _ => self.api.push_view(trigger_id, view).await?,
        })
    }

    /// What the form that was sent in `open` is answered: its answer in its place, at once or once it is there.
    pub(super) async fn submit_in_view(
        self: &Arc<Self>,
        open: &OpenView,
        answered: Option<Reply>,
        late: impl Future<Output = Reply> + Send + 'static,
        delivery: Delivery,
    ) -> anyhow::Result<Bytes> {
        if let Some(reply) = answered {
            let view = view::answer(&reply, open.depth)?;
            self.worker.finish(&delivery).await;
            return Ok(body(json!({ "response_action": "update", "view": view })));
        }
        let (slack, view) = (self.clone(), open.clone());
        self.tasks.spawn(async move {
            let (reply, ()) = tokio::join!(late, tokio::time::sleep(SETTLES_WITHIN));
            let sent = slack.update(&view, &reply).await;
            slack.worker.conclude(&slack, &delivery, sent).await;
        });
        Ok(body(json!({ "response_action": "update", "view": view::looking_up(open.depth) })))
    }

    /// The answer takes the place of what is in `open`.
    pub(super) async fn update(&self, open: &OpenView, reply: &Reply) -> anyhow::Result<Answered> {
        match self.api.update_view(&open.id, &view::answer(reply, open.depth)?).await {
            Ok(()) => Ok(Answered::Done),
            Err(error) if error.is_passing() => {
                tracing::warn!(error = error.to_string(), "could not show an answer yet");
                Ok(Answered::NotNow)
            }
            // Whoever asked does not look any more.
            Err(error) if is_closed(&error) => Ok(Answered::Done),
            Err(error) => Err(error.into()),
        }
    }
}

impl Viewed {
    /// Whether the answer takes the place of the view that was clicked in.
    fn stays(&self) -> bool {
        self.replaces || self.view.depth == DEPTH_MAX
    }

    /// The depth of the answer.
    fn depth(&self) -> u8 {
        if self.stays() { self.view.depth } else { self.view.next_depth() }
    }
}

/// Whether the view is not there any more.
fn is_closed(error: &SlackError) -> bool {
    matches!(error, SlackError::Gone { code } if code == "not_found")
}
