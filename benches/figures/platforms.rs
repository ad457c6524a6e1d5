//! `idp serve` without a public address: connected to both platforms, each a server on this machine.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::Uri;
use axum::routing::any;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async};

use crate::figure::Figures;
use crate::generated::Generated;
use crate::import::Imported;
use crate::process::{Server, memory_mb};

const TEAM: &str = "T0000BENCH";
const GUILD: &str = "700000000000000001";
const APPLICATION: &str = "800000000000000001";

/// How long both platforms may wait for their first answer.
const START_MAX: Duration = Duration::from_secs(60);

/// How long nothing happens before memory is read.
const IDLE: Duration = Duration::from_secs(5);

/// From the start of the process until it has answered a question of each platform, and what it holds then.
pub async fn measure(generated: &Generated, imported: &Imported, figures: &mut Figures) {
    println!("platforms, {} entities", generated.len());
    let name = |figure: &str| format!("platforms-{}-{figure}", generated.len());
    let mut platforms = Platforms::start(&generated.hub().name).await;
    let start = Instant::now();
    let server = start_server(imported, &platforms);
    let mut waiting = vec!["slack", "discord"];
    while !waiting.is_empty() {
        let answered = tokio::time::timeout(START_MAX, platforms.answers.recv()).await;
        let platform = answered.expect("both platforms are answered in time").unwrap();
        // Slack asks on each of its connections.
        if let Some(place) = waiting.iter().position(|it| *it == platform) {
            waiting.remove(place);
            figures.add(name(&format!("start-{platform}")), start.elapsed().as_secs_f64(), "s");
        }
    }
    tokio::time::sleep(IDLE).await;
    figures.add(name("memory-idle"), memory_mb(server.id()), "MB");
}

/// `idp serve`, connected to `platforms`.
fn start_server(imported: &Imported, platforms: &Platforms) -> Server {
    let mut idp = imported.idp();
    idp.args(["serve", "--portal", "portal", "--listen", "127.0.0.1:0"])
        .env("SLACK_API_URL", format!("http://{}/api/", platforms.api))
        .env("SLACK_BOT_TOKEN", "xoxb-of-the-figures")
        .env("SLACK_APP_TOKEN", "xapp-of-the-figures")
        .env("DISCORD_API_URL", format!("http://{}/api/v10/", platforms.api))
        .env("DISCORD_APPLICATION_ID", APPLICATION)
        .env("DISCORD_BOT_TOKEN", "of-the-figures");
    Server::start(idp)
}

/// Both platforms: each asks one question of whoever connects.
struct Platforms {
    api: SocketAddr,
    /// The platform whose question was answered.
    answers: UnboundedReceiver<&'static str>,
}

#[derive(Clone)]
struct Told {
    slack: String,
    discord: String,
    answered: UnboundedSender<&'static str>,
}

impl Platforms {
    async fn start(service: &str) -> Platforms {
        let (answered, answers) = unbounded_channel();
        let (asked, tell) = (format!("owner {service}"), answered.clone());
        let slack = sockets(move |socket| socket_mode(socket, asked.clone(), tell.clone())).await;
        let service = service.to_string();
        let discord = sockets(move |socket| gateway(socket, service.clone())).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = listener.local_addr().unwrap();
        let routes =
            Router::new().fallback(any(call)).with_state(Told { slack, discord, answered });
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Platforms { api, answers }
    }
}

/// The APIs of both.
async fn call(State(told): State<Told>, uri: Uri) -> String {
    let said = match uri.path() {
        "/api/auth.test" => json!({ "ok": true, "team_id": TEAM, "user_id": "U0BOT" }),
        "/api/apps.connections.open" => json!({ "ok": true, "url": told.slack }),
        "/api/v10/gateway/bot" => {
            json!({ "url": told.discord, "shards": 1, "session_start_limit": {
                "total": 1_000, "remaining": 1_000, "reset_after": 86_400_000, "max_concurrency": 1,
            }})
        }
        "/api/v10/users/@me" => json!({ "id": "900000000000000001" }),
        path if path.ends_with("/commands") => json!([]),
        path if path.ends_with("/callback") => {
            let _ = told.answered.send("discord");
            json!({})
        }
        _ => json!({ "ok": true }),
    };
    said.to_string()
}

/// Where every WebSocket that is opened is spoken to by `speak`.
async fn sockets<S, F>(speak: S) -> String
where
    S: Fn(WebSocketStream<TcpStream>) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(speak(accept_async(stream).await.unwrap()));
        }
    });
    url
}

async fn say(socket: &mut WebSocketStream<TcpStream>, said: Value) {
    let _ = socket.send(Message::text(said.to_string())).await;
}

/// What the other side says, until it goes.
async fn hear(socket: &mut WebSocketStream<TcpStream>) -> Option<Value> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).ok(),
            Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
            Some(Ok(_)) => {}
        }
    }
}

async fn socket_mode(
    mut socket: WebSocketStream<TcpStream>,
    asked: String,
    answered: UnboundedSender<&'static str>,
) {
    say(&mut socket, json!({ "type": "hello", "num_connections": 1 })).await;
    let payload = json!({
        "team_id": TEAM, "user_id": "U0000BENCH", "channel_id": "C0000BENCH", "command": "/idp", "text": asked,
    });
    say(&mut socket, json!({
        "type": "slash_commands", "envelope_id": "1", "payload": payload, "accepts_response_payload": true,
    }))
    .await;
    while let Some(ack) = hear(&mut socket).await {
        if ack["payload"].to_string().contains("is owned by") {
            let _ = answered.send("slack");
        }
    }
}

async fn gateway(mut socket: WebSocketStream<TcpStream>, service: String) {
    say(&mut socket, json!({ "op": 10, "d": { "heartbeat_interval": 41_250 } })).await;
    while let Some(heard) = hear(&mut socket).await {
        match heard["op"].as_u64() {
            Some(1) => say(&mut socket, json!({ "op": 11 })).await,
            Some(2) => {
                say(&mut socket, json!({ "op": 0, "s": 1, "t": "READY", "d": {
                    "v": 10, "session_id": "1", "resume_gateway_url": "ws://127.0.0.1:1", "guilds": [],
                    "user": { "id": "900000000000000001" }, "application": { "id": APPLICATION },
                }}))
                .await;
                say(&mut socket, json!({ "op": 0, "s": 2, "t": "INTERACTION_CREATE", "d": {
                    "type": 2, "id": "1", "token": "1", "version": 1, "application_id": APPLICATION,
                    "guild_id": GUILD, "channel_id": "600000000000000001",
                    "member": { "user": { "id": "400000000000000001", "username": "ada" }, "roles": [] },
                    "data": { "id": "1", "name": "idp", "type": 1, "options": [
                        { "type": 1, "name": "owner", "options": [{ "type": 3, "name": "entity", "value": service }] },
                    ]},
                }}))
                .await;
            }
            _ => {}
        }
    }
}
