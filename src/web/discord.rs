//! Discord's one request: an interaction.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};

use super::Web;
use super::signed::{self, Headers, Rejection};
use crate::chat::discord::dispatcher::Dispatcher;
use crate::chat::discord::inbound;
use crate::chat::discord::signature::{PublicKey, UnfitKey};

/// What Discord's route needs.
pub struct Discord {
    key: PublicKey,
    dispatcher: Arc<Dispatcher>,
}

impl Discord {
    /// The route of who signs for the public `key`, in hexadecimal digits.
    ///
    /// # Errors
    /// A key that anybody could sign for.
    pub fn new(key: &str, dispatcher: Arc<Dispatcher>) -> Result<Discord, UnfitKey> {
        Ok(Discord { key: PublicKey::new(key)?, dispatcher })
    }

    /// The raw body of a request that Discord signed.
    async fn genuine(&self, request: Request) -> Result<Bytes, Rejection> {
        let headers =
            Headers { timestamp: "x-signature-timestamp", signature: "x-signature-ed25519" };
        signed::body(request, headers, |timestamp, signature, body, now_s| {
            self.key.signed(timestamp, signature, body, now_s)
        })
        .await
    }
}

/// A command, a click, a form, someone typing, or Discord trying the address out.
pub async fn interaction(State(web): State<Web>, request: Request) -> Response {
    let answered = async {
        let discord = web.discord.ok_or(Rejection::Off)?;
        let body = discord.genuine(request).await?;
        let heard = inbound::interaction(&body).ok_or(Rejection::Malformed)?;
        Ok(signed::json(discord.dispatcher.hear(heard).await?))
    };
    answered.await.unwrap_or_else(|rejection: Rejection| rejection.into_response())
}
