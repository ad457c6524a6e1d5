//! A client that asks as fast as it is answered, over connections that stay open.
//!
//! Requests are made and signed beforehand, so that the client takes little of the cores it shares.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::figure::Figures;

pub const CONNECTIONS: usize = 16;
pub const SECRET: &str = "4f1c7a90b3d2468e9a5d0c6b7e8f1234";

/// So many different requests are made; the connections take them in turn, each from another one on.
const REQUESTS: usize = 100_000;

/// `/idp <text>` as Slack sends it, signed. `number` makes it another request.
///
/// Source: <https://docs.slack.dev/authentication/verifying-requests-from-slack>
pub fn slash_command(text: &str, number: usize) -> Vec<u8> {
    let trigger = format!("{number}.1.abcdef");
    let body = serde_urlencoded::to_string([
        ("team_id", "T0000BENCH"),
        ("team_domain", "acme"),
        ("channel_id", "C0000BENCH"),
        ("channel_name", "general"),
        ("user_id", "U0000BENCH"),
        ("user_name", "ada"),
        ("command", "/idp"),
        ("text", text),
        ("api_app_id", "A0000BENCH"),
        ("is_enterprise_install", "false"),
        ("response_url", "https://hooks.slack.com/commands/T0000BENCH/1/a"),
        ("trigger_id", &trigger),
    ])
    .unwrap();
    let now_s = now_s();
    let mut signature = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    signature.update(format!("v0:{now_s}:{body}").as_bytes());
    let signature = hex::encode(signature.finalize().into_bytes());
    let length = body.len();
    format!(
        "POST /slack/commands HTTP/1.1\r\nhost: localhost\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {length}\r\n\
         x-slack-request-timestamp: {now_s}\r\nx-slack-signature: v0={signature}\r\n\r\n{body}"
    )
    .into_bytes()
}

pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Asks `texts` in turn for `duration`, and adds the figures under `name`.
pub async fn commands(
    address: SocketAddr,
    texts: &[String],
    duration: Duration,
    name: &str,
    figures: &mut Figures,
) {
    let requests = (0..REQUESTS).map(|it| slash_command(&texts[it % texts.len()], it));
    ask(address, requests.collect(), duration, name, figures).await;
}

/// Sends `requests` in turn for `duration`, and adds the figures under `name`.
pub async fn ask(
    address: SocketAddr,
    requests: Vec<Vec<u8>>,
    duration: Duration,
    name: &str,
    figures: &mut Figures,
) {
    let requests = Arc::new(requests);
    let whole = Instant::now();
    let connections = (0..CONNECTIONS).map(|number| {
        let requests = requests.clone();
        tokio::spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let mut answers = Vec::new();
            let mut buffer = Vec::new();
            let first = number * requests.len() / CONNECTIONS;
            for request in requests.iter().cycle().skip(first) {
                let start = Instant::now();
                if start - whole > duration {
                    break;
                }
                stream.write_all(request).await.unwrap();
                read_answer(&mut stream, &mut buffer).await;
                answers.push(start.elapsed());
            }
            answers
        })
    });
    let connections: Vec<_> = connections.collect();
    let mut answers = Vec::new();
    for connection in connections {
        answers.extend(connection.await.unwrap());
    }
    figures.add_answers(name, answers, whole.elapsed());
}

/// The body of one answer, which must be a 200 with a content-length.
pub async fn read_answer<'a>(stream: &mut TcpStream, buffer: &'a mut Vec<u8>) -> Cow<'a, str> {
    buffer.clear();
    let head = loop {
        assert_ne!(stream.read_buf(buffer).await.unwrap(), 0, "the server hung up");
        if let Some(end) = buffer.windows(4).position(|it| it == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let text = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
    assert!(text.starts_with("http/1.1 200"), "{}", String::from_utf8_lossy(buffer));
    let length = text.split("content-length: ").nth(1).and_then(|it| it.split("\r\n").next());
    let length: usize = length.expect("an answer says its length").parse().unwrap();
    while buffer.len() < head + length {
        assert_ne!(stream.read_buf(buffer).await.unwrap(), 0, "the server hung up");
    }
    String::from_utf8_lossy(&buffer[head..])
}
