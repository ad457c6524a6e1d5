//! Slack over Socket Mode, against a server that opens and closes real WebSockets as Slack does.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use idp::chat::link::{Link, Standing};
use idp::chat::slack::socket::{Pauses, SocketMode};
use idp::integrations::http::{Client, Policy};
use rand::Rng;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use crate::scale::at_full;
use crate::waiting::until;
use crate::world::{TEAM, World, mention};

/// How long Slack leaves a connection open that it asked to leave; really ten seconds.
const CLOSES_AFTER: Duration = Duration::from_secs(2);

pub fn pauses() -> Pauses {
    Pauses { retry: Duration::from_millis(20), lived: Duration::ZERO, ..Pauses::default() }
}

/// Slack's end of Socket Mode.
#[derive(Default)]
pub struct Sockets {
    open: Mutex<Vec<Connection>>,
    /// Envelopes that wait for their acknowledgement, with the connection they went to.
    pending: Mutex<HashMap<String, (Value, usize)>>,
    /// Each acknowledgement, whole.
    acks: Mutex<HashMap<String, Value>>,
    /// Envelopes for which there was no connection.
    lost: AtomicUsize,
    opened: AtomicUsize,
}

struct Connection {
    number: usize,
    tell: UnboundedSender<Order>,
    is_leaving: bool,
}

enum Order {
    Say(Value),
    /// The connection breaks off without a word.
    Drop,
    /// Nothing is read or said any more.
    Mute,
}

impl Sockets {
    /// Listens, and is what `apps.connections.open` of `world` leads to.
    pub async fn of(world: &World) -> Arc<Sockets> {
        let sockets = Arc::new(Sockets::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/link/?ticket=1", listener.local_addr().unwrap());
        *world.fake.moods.socket.lock().unwrap() = json!({ "ok": true, "url": url });
        let accepting = sockets.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(accepting.clone().accept(stream));
            }
        });
        sockets
    }

    async fn accept(self: Arc<Self>, stream: TcpStream) {
        let mut socket = accept_async(stream).await.unwrap();
        let number = self.opened.fetch_add(1, Ordering::SeqCst);
        let (tell, mut orders) = unbounded_channel();
        let hello = json!({ "type": "hello", "num_connections": 1 });
        socket.send(Message::text(hello.to_string())).await.unwrap();
        self.open.lock().unwrap().push(Connection { number, tell, is_leaving: false });
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Say(text)) => {
                        if socket.send(Message::text(text.to_string())).await.is_err() {
                            break;
                        }
                    }
                    Some(Order::Mute) => return mute(socket, orders).await,
                    Some(Order::Drop) | None => break,
                },
                message = socket.next() => match message {
                    Some(Ok(Message::Text(text))) => self.acknowledge(&text),
                    Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                    Some(Ok(_)) => {}
                },
            }
        }
        self.open.lock().unwrap().retain(|it| it.number != number);
        let unanswered: Vec<Value> = {
            let mut pending = self.pending.lock().unwrap();
            let (gone, kept) = pending.drain().partition(|(_, (_, to))| *to == number);
            *pending = kept;
            let gone: HashMap<String, (Value, usize)> = gone;
            gone.into_values().map(|(envelope, _)| envelope).collect()
        };
        unanswered.into_iter().for_each(|envelope| self.sends(envelope));
    }

    fn acknowledge(&self, text: &str) {
        let ack: Value = serde_json::from_str(text).unwrap();
        let id = ack["envelope_id"].as_str().unwrap().to_string();
        self.pending.lock().unwrap().remove(&id);
        self.acks.lock().unwrap().insert(id, ack);
    }

    /// `envelope` goes to one of the connections.
    pub fn sends(&self, envelope: Value) {
        let open = self.open.lock().unwrap();
        let Some(chosen) = open.get(rand::rng().random_range(0..open.len().max(1))) else {
            self.lost.fetch_add(1, Ordering::SeqCst);
            return;
        };
        let id = envelope["envelope_id"].as_str().unwrap().to_string();
        self.pending.lock().unwrap().insert(id, (envelope.clone(), chosen.number));
        let _ = chosen.tell.send(Order::Say(envelope));
    }

    fn sends_to_all(&self, envelope: &Value) {
        for connection in &*self.open.lock().unwrap() {
            let _ = connection.tell.send(Order::Say(envelope.clone()));
        }
    }

    /// Asks the oldest connection that stands to leave, and closes it after `CLOSES_AFTER`.
    fn refreshes(&self, reason: &str) {
        let mut open = self.open.lock().unwrap();
        let connection = open.iter_mut().find(|it| !it.is_leaving).unwrap();
        connection.is_leaving = true;
        let tell = connection.tell.clone();
        let _ = tell.send(Order::Say(json!({ "type": "disconnect", "reason": reason })));
        tokio::spawn(async move {
            tokio::time::sleep(CLOSES_AFTER).await;
            let _ = tell.send(Order::Drop);
        });
    }

    fn orders_the_oldest(&self, order: Order) {
        let _ = self.open.lock().unwrap()[0].tell.send(order);
    }

    fn standing(&self) -> usize {
        self.open.lock().unwrap().iter().filter(|it| !it.is_leaving).count()
    }

    async fn stands(&self, count: usize) {
        until("the connections stand", async || self.standing(), |it| *it == count).await;
    }

    /// Every connection is closed.
    async fn closes(&self) {
        until("closed", async || self.open.lock().unwrap().len(), |it| *it == 0).await;
    }

    /// So many were opened so far.
    async fn opens(&self, count: usize) {
        until("opened", async || self.opened.load(Ordering::SeqCst), |it| *it == count).await;
    }

    pub async fn acknowledged(&self, id: &str) -> Value {
        let ack = async || self.acks.lock().unwrap().get(id).cloned();
        until("acknowledged", ack, Option::is_some).await.unwrap()
    }
}

/// Holds the connection open and neither reads nor says anything.
async fn mute<T>(_socket: T, mut orders: UnboundedReceiver<Order>) {
    while orders.recv().await.is_some() {}
}

pub struct Heard {
    pub world: World,
    pub sockets: Arc<Sockets>,
    stop: CancellationToken,
    running: JoinHandle<()>,
    link: Link,
}

impl Heard {
    /// What a person must mend, once it is told.
    async fn is_down(&self) -> String {
        let down = |it: &Standing| matches!(it, Standing::Down { .. });
        let told = until("it is told", async || self.link.standing(), down).await;
        let Standing::Down { mend } = told else { unreachable!() };
        mend
    }
}

/// A world that is heard by Socket Mode, with both connections standing.
pub async fn heard(pauses: Pauses) -> Heard {
    let world = World::new().await;
    let sockets = Sockets::of(&world).await;
    let link = Link::default();
    let socket_mode =
        SocketMode::new(world.dispatcher.clone(), "xapp-of-the-world".into(), link.clone());
    let stop = CancellationToken::new();
    let running = tokio::spawn(socket_mode.pausing(pauses).run(stop.clone()));
    sockets.stands(2).await;
    assert_eq!(link.standing(), Standing::Up);
    Heard { world, sockets, stop, running, link }
}

pub fn envelope(id: &str, kind: &str, payload: Value) -> Value {
    json!({ "type": kind, "envelope_id": id, "payload": payload, "accepts_response_payload": true })
}

fn click(world: &World, id: &str, words: &str) -> Value {
    let payload = json!({
        "type": "block_actions", "trigger_id": id,
        "team": { "id": TEAM }, "user": { "id": "U0ADA", "team_id": TEAM },
        "channel": { "id": "C0NOBODY", "name": "random" },
        "container": { "message_ts": "1.5", "is_ephemeral": true },
        "response_url": format!("http://{}/respond/{id}", world.fake.address),
        "actions": [{ "type": "button", "action_id": "idp:0", "value": words }],
    });
    envelope(id, "interactive", payload)
}

fn command(world: &World, id: &str, text: &str) -> Value {
    let payload = json!({
        "team_id": TEAM, "user_id": "U0ADA", "channel_id": "C0NOBODY", "channel_name": "random",
        "command": "/idp", "text": text, "trigger_id": id,
        "response_url": format!("http://{}/respond/{id}", world.fake.address),
    });
    envelope(id, "slash_commands", payload)
}

#[tokio::test]
async fn a_slash_command_is_answered_on_its_acknowledgement() {
    let Heard { world, sockets, .. } = heard(pauses()).await;
    sockets.sends(command(&world, "e1", "owner payment-api"));
    let ack = sockets.acknowledged("e1").await;
    assert!(ack["payload"]["blocks"].to_string().contains("owned by"), "{ack}");
    assert_eq!(ack["payload"]["response_type"], "in_channel");
    // The same again on both: a copy is acknowledged, and not answered.
    sockets.acks.lock().unwrap().clear();
    sockets.sends_to_all(&command(&world, "e1", "owner payment-api"));
    assert_eq!(sockets.acknowledged("e1").await, json!({ "envelope_id": "e1" }));
}

/// D1: what comes on both connections is answered once; it is written down before it is acknowledged.
#[tokio::test]
async fn a_mention_and_a_click_are_written_down_then_acknowledged_and_answered_once() {
    let Heard { world, sockets, .. } = heard(pauses()).await;
    let said = mention("Ev1", "U0ADA", "owner payment-api");
    for envelope in [envelope("e1", "events_api", said), click(&world, "e2", "owner checkout")] {
        sockets.sends(envelope.clone());
        let id = envelope["envelope_id"].as_str().unwrap();
        assert_eq!(sockets.acknowledged(id).await, json!({ "envelope_id": id }));
        let known = if id == "e1" { "Ev1" } else { "e2" };
        let written: i64 = sqlx::query_scalar("select count(*) from idp.inbox where envelope = $1")
            .bind(known)
            .fetch_one(&world.fresh.pool)
            .await
            .unwrap();
        assert_eq!(written, 1, "{known}");
        sockets.sends_to_all(&envelope);
        let path = world.fake.hears().await.path;
        assert_eq!(path, if id == "e1" { "/api/chat.postMessage" } else { "/respond/e2" });
    }
    // Nothing came twice: what is heard next is the next.
    sockets.sends(click(&world, "e3", "owner checkout"));
    assert_eq!(world.fake.hears().await.path, "/respond/e3");
}

#[tokio::test]
async fn a_form_that_is_wrong_is_told_so_on_its_acknowledgement() {
    let Heard { world, sockets, .. } = heard(pauses()).await;
    let origin = json!({ "channel_id": "C1", "response_url": format!("http://{}/respond/f", world.fake.address) });
    let field = |name: &str, value: &str| json!({ format!("idp-field:{name}"): { "selected_option": { "value": value } } });
    let payload = json!({
        "type": "view_submission", "trigger_id": "e1",
        "team": { "id": TEAM }, "user": { "id": "U0ADA" },
        "view": {
            "callback_id": "idp-form:path", "private_metadata": origin.to_string(),
            "state": { "values": { "from": field("from", "paymnt-api"), "to": field("to", "checkout") } },
        },
    });
    sockets.sends(envelope("e1", "interactive", payload));
    let ack = sockets.acknowledged("e1").await;
    assert_eq!(ack["payload"]["response_action"], "errors", "{ack}");
}

#[tokio::test]
async fn a_new_connection_stands_before_the_old_one_goes() {
    for reason in ["warning", "refresh_requested"] {
        let Heard { world, sockets, stop, running, .. } = heard(pauses()).await;
        sockets.refreshes(reason);
        sockets.stands(2).await;
        assert_eq!(sockets.open.lock().unwrap().len(), 3, "{reason}: the old one still hears");
        sockets.orders_the_oldest(Order::Say(click(&world, "late", "owner checkout")));
        assert_eq!(world.fake.hears().await.path, "/respond/late");
        stop.cancel();
        running.await.unwrap();
        sockets.closes().await;
    }
}

#[tokio::test]
async fn where_there_are_too_many_connections_no_other_is_opened_at_once() {
    let slow = Pauses { crowded: Duration::from_secs(3_600), ..pauses() };
    let Heard { world, sockets, .. } = heard(slow).await;
    sockets.refreshes("too_many_websockets");
    for number in 0..20 {
        sockets.sends(click(&world, &format!("e{number}"), "owner checkout"));
        world.fake.hears().await;
    }
    assert_eq!(sockets.opened.load(Ordering::SeqCst), 2);
    // The control: with no pause it is.
    let Heard { sockets, .. } = heard(Pauses { crowded: Duration::ZERO, ..pauses() }).await;
    sockets.refreshes("too_many_websockets");
    sockets.stands(2).await;
    assert_eq!(sockets.opened.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_link_that_was_switched_off_is_told_and_tried_again_later() {
    let heard_one = heard(pauses()).await;
    heard_one.sockets.refreshes("link_disabled");
    heard_one.sockets.refreshes("link_disabled");
    assert!(heard_one.is_down().await.contains("Socket Mode is off"));
    heard_one.sockets.closes().await;
    let opened = heard_one.world.fake.moods.sockets_opened.load(Ordering::SeqCst);
    assert_eq!(opened, 2, "and nothing is opened");
    // Somebody has switched it on again by the next time.
    let Heard { sockets, link, .. } =
        heard(Pauses { mend: Duration::from_millis(20), ..pauses() }).await;
    sockets.refreshes("link_disabled");
    sockets.refreshes("link_disabled");
    sockets.opens(4).await;
    until("up again", async || link.standing(), |it| *it == Standing::Up).await;
}

#[tokio::test]
async fn a_token_that_slack_does_not_take_is_told_and_tried_again_later() {
    for (mend, word) in [(Duration::from_secs(3_600), "once"), (Duration::ZERO, "again")] {
        let world = World::new().await;
        *world.fake.moods.socket.lock().unwrap() = json!({ "ok": false, "error": "invalid_auth" });
        let link = Link::default();
        let socket_mode =
            SocketMode::new(world.dispatcher.clone(), "xapp-of-nobody".into(), link.clone());
        let running =
            tokio::spawn(socket_mode.pausing(Pauses { mend, ..pauses() }).run(world.stop.clone()));
        let down = |it: &Standing| matches!(it, Standing::Down { .. });
        until("told", async || link.standing(), down).await;
        let asked = async || world.fake.moods.sockets_opened.load(Ordering::SeqCst);
        match word {
            "once" => assert_eq!(asked().await, 1),
            _ => drop(until("asked again", asked, |it| *it > 1).await),
        }
        world.stop.cancel();
        running.await.unwrap();
    }
}

#[tokio::test]
async fn a_connection_that_breaks_or_falls_silent_is_replaced() {
    let Heard { sockets, .. } = heard(pauses()).await;
    sockets.orders_the_oldest(Order::Drop);
    sockets.opens(3).await;

    let short =
        Pauses { ping: Duration::from_millis(50), silence: Duration::from_secs(1), ..pauses() };
    let Heard { world, sockets, .. } = heard(short).await;
    sockets.orders_the_oldest(Order::Mute);
    sockets.opens(3).await;
    sockets.open.lock().unwrap().remove(0);
    // The other one, which answers pings, stood all the time.
    sockets.orders_the_oldest(Order::Say(click(&world, "e1", "owner checkout")));
    assert_eq!(world.fake.hears().await.path, "/respond/e1");
    assert_eq!(sockets.open.lock().unwrap()[0].number, 1);
}

#[tokio::test]
async fn a_slack_that_is_away_is_tried_again() {
    let world = World::new().await;
    let sockets = Sockets::of(&world).await;
    let url = world.fake.moods.socket.lock().unwrap().clone();
    *world.fake.moods.socket.lock().unwrap() = json!({ "ok": false, "error": "internal_error" });
    let link = Link::default();
    let socket_mode = SocketMode::new(world.dispatcher.clone(), "xapp-of-the-world".into(), link);
    tokio::spawn(socket_mode.pausing(pauses()).run(world.stop.clone()));
    let asked = async || world.fake.moods.sockets_opened.load(Ordering::SeqCst);
    until("asked again", asked, |it| *it > 2).await;
    *world.fake.moods.socket.lock().unwrap() = url;
    sockets.stands(2).await;
}

#[tokio::test]
async fn what_is_under_way_is_acknowledged_before_it_stops() {
    let Heard { world, sockets, stop, running, .. } = heard(pauses()).await;
    let holder = world.holds_history_up().await;
    sockets.sends(command(&world, "e1", "history payment-api"));
    let waiting =
        "select count(*) from pg_locks where relation = 'idp.change'::regclass and not granted";
    let waiters = async || sqlx::query_scalar(waiting).fetch_one(&world.fresh.pool).await.unwrap();
    until("worked on", waiters, |it: &i64| *it > 0).await;
    stop.cancel();
    let ack = sockets.acknowledged("e1").await;
    assert!(ack["payload"]["text"].as_str().is_some_and(|it| !it.is_empty()), "{ack}");
    holder.rollback().await.unwrap();
    running.await.unwrap();
}

/// D7: Slack refreshes connections all the time, under clicks.
#[tokio::test]
async fn no_click_is_lost_or_handled_twice_while_connections_are_refreshed() {
    let refreshes = at_full(1_000).max(50);
    let Heard { world, sockets, stop, running, .. } = heard(pauses()).await;
    let (world, done) = (Arc::new(world), CancellationToken::new());
    let clicking = tokio::spawn(clicks(world.clone(), sockets.clone(), done.clone()));
    for number in 0..refreshes {
        sockets.stands(2).await;
        match number % 10 {
            // Without a word; what was on its way is sent again, on another.
            7 => sockets.orders_the_oldest(Order::Drop),
            // Both at once.
            8 => ["warning", "refresh_requested"].iter().for_each(|it| sockets.refreshes(it)),
            _ => sockets.refreshes("refresh_requested"),
        }
    }
    done.cancel();
    let sent = clicking.await.unwrap();
    let mut answered = HashSet::new();
    for _ in 0..sent {
        let heard = world.fake.hears().await;
        assert!(answered.insert(heard.path.clone()), "{} was handled twice", heard.path);
    }
    sockets.sends(click(&world, "last", "owner checkout"));
    assert_eq!(world.fake.hears().await.path, "/respond/last", "one was handled twice");
    assert_eq!(sockets.lost.load(Ordering::SeqCst), 0);
    stop.cancel();
    running.await.unwrap();
    println!("REL D7 {refreshes} refreshes, {sent} clicks, 0 lost, 0 handled twice");
}

/// The control of D7: who closes the old connection before the new one stands loses clicks.
#[tokio::test]
async fn who_closes_first_loses_clicks() {
    let world = Arc::new(World::new().await);
    let sockets = Sockets::of(&world).await;
    let url = world.fake.moods.socket.lock().unwrap()["url"].as_str().unwrap().to_string();
    let http = Client::new(Policy { allowed: Vec::new(), loopback: true });
    let done = CancellationToken::new();
    let clicking = tokio::spawn(clicks(world.clone(), sockets.clone(), done.clone()));
    while sockets.lost.load(Ordering::SeqCst) == 0 {
        let mut socket = http.web_socket(&url).await.unwrap();
        sockets.stands(1).await;
        socket.close(None).await.unwrap();
        drop(socket);
        sockets.stands(0).await;
    }
    done.cancel();
    clicking.await.unwrap();
}

/// Clicks fifty times a second until `done`; how often.
async fn clicks(world: Arc<World>, sockets: Arc<Sockets>, done: CancellationToken) -> usize {
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    let mut sent = 0;
    while done.run_until_cancelled(ticks.tick()).await.is_some() {
        sockets.sends(click(&world, &format!("c{sent}"), "owner checkout"));
        sent += 1;
    }
    sent
}
