//! Clicks that decide, beside lookups, for two minutes: how long each is waited for until it is acknowledged, and so
//! written down, with fsync on.
//!
//! The load is open: each request is due at its time, whether or not those before it were answered, and is measured from
//! then on. Beside it, in the same run: plain inserts of the same rows at the same rate, and nothing else.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;
use sqlx::PgPool;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::sleep_until;

use crate::address::address;
use crate::figure::Figures;
use crate::import::Imported;
use crate::load::{SECRET, now_s, read_answer, slash_command};
use crate::process::Server;

/// The catalog that lookups are answered from.
pub const ENTITIES: usize = 10_000;

/// How many clicks, and how many lookups, a second.
const RATE: usize = 500;
/// For how long.
const FOR_S: usize = 120;
/// Connections of each kind: enough that none is waited for.
const CONNECTIONS: usize = 64;
/// Few, as the program keeps for acknowledgements; each row is a transaction here.
const CONTROL_CONNECTIONS: u32 = 2;
/// How long the server may take until it answers, and until it has decided what it has acknowledged.
const PATIENCE: Duration = Duration::from_secs(600);
const DECIDERS: usize = 8;
const TENANT: &str = "T0000BENCH";

pub async fn measure(imported: &Imported, figures: &mut Figures) {
    println!("clicks, {RATE} and {RATE} lookups a second for {FOR_S} s");
    let clicks = RATE * FOR_S;
    let pool = &imported.db.pool;
    let control = inserts(pool).await;
    let slack = slack().await;
    let address = address();
    prepare(imported);
    let mut idp = imported.idp();
    idp.args(["serve", "--portal", "portal", "--listen", &address.to_string()])
        .env("SLACK_SIGNING_SECRET", SECRET)
        .env("SLACK_API_URL", format!("http://{slack}/api/"))
        .env("OPS_SECRET", "a secret of operations");
    let server = Server::start(idp);
    link(imported).await;
    let first = first_request(address, pool).await;
    let more = "insert into idp.request (action, revision, target, inputs, pinned, intent, rule, quorum, risk, requester, platform,
          tenant, account, places, timeline, expires_at)
        select action, revision, target, inputs, pinned, intent, rule, quorum, risk, requester, platform,
          tenant, account, places, timeline, expires_at
        from idp.request, generate_series(1, $2) where id = $1";
    let count = i64::try_from(clicks).unwrap();
    sqlx::query(more).bind(first).bind(count).execute(pool).await.unwrap();
    sqlx::query("analyze idp.request").execute(pool).await.unwrap();
    let decides = (0..clicks).map(|it| click(first + 1 + it as i64, it, slack)).collect();
    let looks = (0..clicks).map(|it| slash_command("owner clicked", 1_000_000 + it)).collect();
    let begun = Instant::now();
    let (acknowledged, looked_up) = tokio::join!(open(address, decides), open(address, looks));
    add(figures, "clicks-ack", acknowledged);
    add(figures, "clicks-lookup", looked_up);
    add(figures, "clicks-control-insert", control);
    let decided = async || {
        let decided = "select count(*) from idp.vote";
        sqlx::query_scalar::<_, i64>(decided).fetch_one(pool).await.unwrap()
    };
    let at_the_end = decided().await;
    while decided().await < count {
        assert!(begun.elapsed() < PATIENCE, "{} of {clicks} clicks were decided", decided().await);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    figures.add("clicks-decided-at-the-end", at_the_end as f64 / clicks as f64, "");
    figures.add("clicks-decided-after", begun.elapsed().as_secs_f64(), "s");
    drop(server);
}

/// Who decides, what they decide on, and whose their accounts are.
fn prepare(imported: &Imported) {
    let portal = imported.data.path().join("portal");
    let header = "apiVersion: backstage.io/v1alpha1\n";
    let mut catalog = format!(
        "{header}kind: Group\nmetadata: {{name: deciders}}\nspec: {{type: team, children: []}}\n---\n\
         {header}kind: Component\nmetadata: {{name: clicked}}\nspec: {{type: service, lifecycle: production, owner: deciders}}\n"
    );
    let mut links = String::new();
    for number in 0..=DECIDERS {
        let team = if number < DECIDERS { "deciders" } else { "" };
        catalog += &format!(
            "---\n{header}kind: User\nmetadata: {{name: d{number}}}\nspec: {{memberOf: [{team}]}}\n"
        );
        links += &format!(
            "- {{platform: slack, tenant: {TENANT}, user_id: U{number}, user: d{number}}}\n"
        );
    }
    let action = "name: restart\ntitle: Restart\ntarget: {kinds: [Component]}\nrisk: low\n\
         approve: {by: [{who: owner, count: 2}], within: 4h}\n\
         invoke: {webhook: \"https://ops.acme.example/restart\", secret: ops}\n";
    for (name, text) in [
        ("catalog/clicked.yaml", &*catalog),
        ("actions/restart.yaml", action),
        ("links.yaml", &*links),
    ] {
        let path = portal.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let settings = std::fs::read_to_string(portal.join("idp.yaml")).unwrap();
    let settings = settings.replacen("sources:\n", "sources:\n  - path: catalog\n", 1);
    let settings = format!("{settings}secrets: {{ops: {{env: OPS_SECRET}}}}\n");
    std::fs::write(portal.join("idp.yaml"), settings).unwrap();
}

/// Says whose the accounts are, once the server has read who there is.
async fn link(imported: &Imported) {
    let begun = Instant::now();
    let last = format!("user:default/d{DECIDERS}");
    let is_there = async || {
        let is_there = "select exists (select from idp.stored_entity where ref = $1)";
        sqlx::query_scalar::<_, bool>(is_there)
            .bind(&last)
            .fetch_one(&imported.db.pool)
            .await
            .unwrap()
    };
    while !is_there().await {
        assert!(begun.elapsed() < PATIENCE, "{last} was never read");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut idp = imported.idp();
    idp.args(["access", "import", "portal/links.yaml"]).stdout(Stdio::null());
    assert!(idp.status().unwrap().success(), "the accounts were not linked");
}

/// Slack, which takes every answer.
async fn slack() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(async || axum::Json(json!({ "ok": true })));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

/// The number of a request that the program itself has written down, once it serves.
async fn first_request(address: SocketAddr, pool: &PgPool) -> i64 {
    let begun = Instant::now();
    let mut number = 0;
    loop {
        assert!(begun.elapsed() < PATIENCE, "nothing could be asked for");
        if let Ok(mut stream) = TcpStream::connect(address).await {
            number += 1;
            let request = slash_command("run restart clicked", 2_000_000 + number);
            let text = String::from_utf8(request).unwrap();
            let body = text.split_once("\r\n\r\n").unwrap().1;
            let body = body.replace("U0000BENCH", &format!("U{DECIDERS}"));
            stream.write_all(&signed("/slack/commands", &body)).await.unwrap();
            read_answer(&mut stream, &mut Vec::new()).await;
            let asked = "select max(id) from idp.request";
            let asked: Option<i64> = sqlx::query_scalar(asked).fetch_one(pool).await.unwrap();
            if let Some(asked) = asked {
                return asked;
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Somebody clicks on Approve of the request `id`, as Slack tells it.
fn click(id: i64, number: usize, slack: SocketAddr) -> Vec<u8> {
    let payload = json!({
        "type": "block_actions", "trigger_id": format!("click-{number}"),
        "team": { "id": TENANT }, "user": { "id": format!("U{}", number % DECIDERS), "team_id": TENANT },
        "channel": { "id": "C0000BENCH", "name": "general" }, "container": { "message_ts": "1.5" },
        "response_url": format!("http://{slack}/respond/{number}"),
        "actions": [{ "type": "button", "action_id": "idp:0", "value": format!("approve {id}") }],
    });
    let body = serde_urlencoded::to_string([("payload", payload.to_string())]).unwrap();
    signed("/slack/interactions", &body)
}

fn signed(path: &str, body: &str) -> Vec<u8> {
    let now_s = now_s();
    let mut signature = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    signature.update(format!("v0:{now_s}:{body}").as_bytes());
    let signature = hex::encode(signature.finalize().into_bytes());
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\
         x-slack-request-timestamp: {now_s}\r\nx-slack-signature: v0={signature}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// The time at which the request `number` is due.
fn due(begun: Instant, number: usize) -> Instant {
    begun + Duration::from_micros((number * 1_000_000 / RATE) as u64)
}

/// Sends `requests` when each is due; how long after that each was answered.
async fn open(address: SocketAddr, requests: Vec<Vec<u8>>) -> Vec<Duration> {
    let (requests, next, begun) =
        (Arc::new(requests), Arc::new(AtomicUsize::new(0)), Instant::now());
    let connections = (0..CONNECTIONS).map(|_| {
        let (requests, next) = (requests.clone(), next.clone());
        tokio::spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let (mut buffer, mut took) = (Vec::new(), Vec::new());
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(request) = requests.get(number) else { return took };
                let due = due(begun, number);
                sleep_until(due.into()).await;
                stream.write_all(request).await.unwrap();
                read_answer(&mut stream, &mut buffer).await;
                took.push(due.elapsed());
            }
        })
    });
    let mut took = Vec::new();
    for connection in connections.collect::<Vec<_>>() {
        took.extend(connection.await.unwrap());
    }
    took
}

/// The control: the same rows, written by nobody else at the same rate for a quarter of the time.
async fn inserts(pool: &PgPool) -> Vec<Duration> {
    let make = "create table idp.copied_inbox (like idp.inbox including all)";
    sqlx::raw_sql(make).execute(pool).await.unwrap();
    let options = (*pool.connect_options()).clone();
    let control = sqlx::postgres::PgPoolOptions::new()
        .max_connections(CONTROL_CONNECTIONS)
        .connect_with(options)
        .await
        .unwrap();
    let (next, begun, count) = (Arc::new(AtomicUsize::new(0)), Instant::now(), RATE * FOR_S / 4);
    let writers = (0..CONNECTIONS).map(|_| {
        let (next, control) = (next.clone(), control.clone());
        tokio::spawn(async move {
            let mut took = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return took;
                }
                let due = due(begun, number);
                sleep_until(due.into()).await;
                let body = json!({ "clicked": { "click": { "words": format!("approve {number}") },
                    "response_url": "https://hooks.slack.com/actions/T0000BENCH/1/a", "replaces": false } });
                let insert = "insert into idp.copied_inbox (platform, tenant, envelope, body, lease_until)
                    values ('slack', $1, $2, $3, clock_timestamp() + interval '30 s') on conflict do nothing";
                let insert = sqlx::query(insert).bind(TENANT).bind(number.to_string()).bind(body);
                insert.execute(&control).await.unwrap();
                took.push(due.elapsed());
            }
        })
    });
    let mut took = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        took.extend(writer.await.unwrap());
    }
    sqlx::raw_sql("drop table idp.copied_inbox").execute(pool).await.unwrap();
    took
}

fn add(figures: &mut Figures, name: &str, mut took: Vec<Duration>) {
    took.sort_unstable();
    figures.add(format!("{name}-count"), took.len() as f64, "");
    for (word, share) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)] {
        let place = ((took.len() - 1) as f64 * share).round() as usize;
        figures.add(format!("{name}-{word}"), took[place].as_secs_f64() * 1e3, "ms");
    }
}
