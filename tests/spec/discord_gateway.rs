//! Discord over its gateway, against a server that keeps sessions and breaks real WebSockets as Discord does.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use idp::chat::discord::gateway::{BEGINS_MAX, Gateway, Pauses};
use idp::chat::link::{Link, Standing};
use idp::integrations::http::{Client, Policy};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, accept_async};
use tokio_util::sync::CancellationToken;

use crate::discord_judge::{over_a_limit, seen};
use crate::discord_world::{
    APPLICATION, BOT_TOKEN, BOT_USER, FakeDiscord, GUILD, Heard, Told, call, interaction,
};
use crate::scale::at_full;
use crate::waiting::until;
use crate::world::World;
use idp::chat::ANSWER_WITHIN;

pub const ADA: &str = "400000000000000001";

/// How often Discord wants to hear a heartbeat: so seldom that none is due in a test.
const SELDOM: Duration = Duration::from_secs(3_600);

/// So often that one that is not heard ends the connection soon.
const OFTEN: Duration = Duration::from_millis(50);

fn pauses() -> Pauses {
    Pauses {
        retry: Duration::from_millis(20),
        lived: Duration::ZERO,
        anew: Duration::from_millis(5),
        identify: Duration::ZERO,
        note: Duration::from_millis(100),
        stand_by: Duration::from_millis(50),
        ..Pauses::default()
    }
}

/// Discord's end of the gateway.
pub struct Doors {
    url: String,
    state: Mutex<State>,
    identified: AtomicUsize,
    resumed: AtomicUsize,
    opened: AtomicUsize,
    /// A RESUME tells nothing of what was missed.
    forgets: AtomicBool,
    /// Heartbeats are wanted often, and the next connection hears none.
    is_deaf_once: AtomicBool,
    /// So many connections break as soon as a session is taken up.
    breaks_again: AtomicUsize,
    /// What an IDENTIFY is answered with, instead of a session.
    closes_with: Mutex<Option<u16>>,
    /// Whose the token is.
    application: Mutex<String>,
    /// What IDENTIFYs said.
    said: Mutex<Vec<Value>>,
}

#[derive(Default)]
struct State {
    session: Option<Session>,
    sessions: usize,
    connections: usize,
}

struct Session {
    id: String,
    /// The event number `n` is at `n - 1`.
    events: Vec<Value>,
    attached: Option<(usize, UnboundedSender<Order>)>,
}

enum Order {
    Say(Value),
    /// The connection breaks off without a word.
    Drop,
    Close(u16),
}

impl Doors {
    /// Listens, and is where Discord says that its gateway is.
    pub async fn of(discord: &FakeDiscord) -> Arc<Doors> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        discord.has_gateway(&url, 1_000);
        let doors = Arc::new(Doors {
            url,
            state: Mutex::default(),
            identified: AtomicUsize::new(0),
            resumed: AtomicUsize::new(0),
            opened: AtomicUsize::new(0),
            forgets: AtomicBool::new(false),
            is_deaf_once: AtomicBool::new(false),
            breaks_again: AtomicUsize::new(0),
            closes_with: Mutex::default(),
            application: Mutex::new(APPLICATION.into()),
            said: Mutex::default(),
        });
        let accepting = doors.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(accepting.clone().accept(stream));
            }
        });
        doors
    }

    /// One connection, until it ends.
    async fn accept(self: Arc<Self>, stream: TcpStream) {
        let Ok(mut socket) = accept_async(stream).await else { return };
        self.opened.fetch_add(1, Ordering::SeqCst);
        let number = {
            let mut state = self.state.lock().unwrap();
            state.connections += 1;
            state.connections
        };
        let is_deaf = self.is_deaf_once.swap(false, Ordering::SeqCst);
        let interval = if is_deaf { OFTEN } else { SELDOM };
        let hello = json!({ "op": 10, "d": { "heartbeat_interval": interval.as_millis() } });
        if socket.send(Message::text(hello.to_string())).await.is_err() {
            return;
        }
        let (tell, mut orders) = unbounded_channel();
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Say(said)) => {
                        if socket.send(Message::text(said.to_string())).await.is_err() {
                            break;
                        }
                    }
                    Some(Order::Close(code)) => return self.closes(socket, number, code).await,
                    Some(Order::Drop) | None => break,
                },
                message = socket.next() => {
                    let text = match message {
                        Some(Ok(Message::Text(text))) => text,
                        Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                        Some(Ok(_)) => continue,
                    };
                    let said: Value = serde_json::from_str(&text).unwrap();
                    match said["op"].as_u64().unwrap() {
                        1 if !is_deaf => drop(tell.send(Order::Say(json!({ "op": 11 })))),
                        1 => {}
                        2 => self.begins(number, said, &tell),
                        6 => self.takes_up(number, &said["d"], &tell),
                        other => panic!("Discord does not know the operation {other}"),
                    }
                }
            }
        }
        self.detach(number);
    }

    async fn closes(&self, mut socket: WebSocketStream<TcpStream>, number: usize, code: u16) {
        self.detach(number);
        let frame = CloseFrame { code: code.into(), reason: "".into() };
        let _ = socket.close(Some(frame)).await;
        // Until the other side has closed as well.
        while let Some(Ok(_)) = socket.next().await {}
    }

    fn detach(&self, number: usize) {
        if let Some(session) = &mut self.state.lock().unwrap().session
            && session.attached.as_ref().is_some_and(|(to, _)| *to == number)
        {
            session.attached = None;
        }
    }

    fn begins(&self, number: usize, said: Value, tell: &UnboundedSender<Order>) {
        self.identified.fetch_add(1, Ordering::SeqCst);
        let token = said["d"]["token"].clone();
        self.said.lock().unwrap().push(said["d"].clone());
        if token != BOT_TOKEN {
            return drop(tell.send(Order::Close(4_004)));
        }
        if let Some(code) = *self.closes_with.lock().unwrap() {
            return drop(tell.send(Order::Close(code)));
        }
        let mut state = self.state.lock().unwrap();
        state.sessions += 1;
        let id = format!("session-{}", state.sessions);
        let data = json!({
            "v": 10, "session_id": id, "resume_gateway_url": self.url, "guilds": [],
            "user": { "id": BOT_USER }, "application": { "id": *self.application.lock().unwrap() },
        });
        let ready = json!({ "op": 0, "s": 1, "t": "READY", "d": data });
        let _ = tell.send(Order::Say(ready.clone()));
        let attached = Some((number, tell.clone()));
        state.session = Some(Session { id, events: vec![ready], attached });
    }

    fn takes_up(&self, number: usize, said: &Value, tell: &UnboundedSender<Order>) {
        assert_eq!(said["token"], BOT_TOKEN);
        let mut state = self.state.lock().unwrap();
        let known = state.session.as_mut().filter(|it| said["session_id"] == *it.id);
        let Some(session) = known else {
            return drop(tell.send(Order::Say(json!({ "op": 9, "d": false }))));
        };
        let heard = usize::try_from(said["seq"].as_u64().unwrap()).unwrap();
        if heard > session.events.len() {
            return drop(tell.send(Order::Close(4_007)));
        }
        self.resumed.fetch_add(1, Ordering::SeqCst);
        let missed = if self.forgets.load(Ordering::SeqCst) { session.events.len() } else { heard };
        for event in &session.events[missed..] {
            let _ = tell.send(Order::Say(event.clone()));
        }
        let resumed = json!({ "op": 0, "s": session.events.len() + 1, "t": "RESUMED", "d": {} });
        session.events.push(resumed.clone());
        let one_less = |left: usize| left.checked_sub(1);
        if self.breaks_again.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok() {
            return drop(tell.send(Order::Drop));
        }
        let _ = tell.send(Order::Say(resumed));
        session.attached = Some((number, tell.clone()));
    }

    /// The event goes to the session, whether or not a connection stands; `false`: there is none.
    pub fn tells(&self, kind: &str, data: Value) -> bool {
        let mut state = self.state.lock().unwrap();
        let Some(session) = &mut state.session else { return false };
        let event = json!({ "op": 0, "s": session.events.len() + 1, "t": kind, "d": data });
        session.events.push(event.clone());
        if let Some((_, tell)) = &session.attached {
            let _ = tell.send(Order::Say(event));
        }
        true
    }

    /// The connection breaks off, and the event happens before another stands.
    fn breaks_off_and_tells(&self, kind: &str, data: Value) {
        let mut state = self.state.lock().unwrap();
        let session = state.session.as_mut().unwrap();
        let event = json!({ "op": 0, "s": session.events.len() + 1, "t": kind, "d": data });
        session.events.push(event);
        let _ = session.attached.take().expect("a connection stands").1.send(Order::Drop);
    }

    fn orders(&self, order: Order) {
        let state = self.state.lock().unwrap();
        let attached = state.session.as_ref().and_then(|it| it.attached.as_ref());
        let _ = attached.expect("a connection stands").1.send(order);
    }

    /// The session is no more.
    fn forgets_the_session(&self) {
        let session = self.state.lock().unwrap().session.take();
        if let Some((_, tell)) = session.and_then(|it| it.attached) {
            let _ = tell.send(Order::Say(json!({ "op": 9, "d": false })));
        }
    }

    /// The connection on which the session is told; `None` while there is none.
    fn standing(&self) -> Option<usize> {
        let state = self.state.lock().unwrap();
        state.session.as_ref()?.attached.as_ref().map(|(number, _)| *number)
    }

    /// A connection stands that was opened after the one of this `number`.
    pub async fn stands_after(&self, number: usize) -> usize {
        let later = |it: &Option<usize>| it.is_some_and(|it| it > number);
        until("a connection stands", async || self.standing(), later).await.unwrap()
    }

    fn identified(&self) -> usize {
        self.identified.load(Ordering::SeqCst)
    }

    fn resumed(&self) -> usize {
        self.resumed.load(Ordering::SeqCst)
    }
}

/// A process that hears Discord by its gateway.
pub struct Process {
    link: Link,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Process {
    fn of(world: &World, pauses: Pauses) -> Process {
        Process::with(world, pauses, BOT_TOKEN)
    }

    fn with(world: &World, pauses: Pauses, token: &str) -> Process {
        let (link, stop) = (Link::default(), world.stop.child_token());
        let gateway =
            Gateway::new(world.app.clone(), world.discord.clone(), token.into(), link.clone());
        let running = tokio::spawn(gateway.pausing(pauses).run(stop.clone()));
        Process { link, stop, running }
    }

    async fn is(&self, standing: Standing) {
        until("it stands so", async || self.link.standing(), |it| *it == standing).await;
    }

    async fn stops(self) {
        self.stop.cancel();
        self.running.await.unwrap();
    }

    /// What a person must mend, once it has given up.
    async fn gives_up(self) -> String {
        self.running.await.unwrap();
        let Standing::Down { mend } = self.link.standing() else { panic!("{:?}", self.link) };
        mend
    }
}

/// A world that is heard by the gateway, with the connection standing.
pub async fn heard() -> (World, Arc<Doors>, Process) {
    heard_with(|_| {}).await
}

async fn heard_with(
    change: impl FnOnce(&mut idp::portal::Settings),
) -> (World, Arc<Doors>, Process) {
    let world = World::with(ANSWER_WITHIN, change).await;
    let doors = Doors::of(&world.fake_discord).await;
    let process = Process::of(&world, pauses());
    process.is(Standing::Up).await;
    world.fake_discord.heard().await;
    (world, doors, process)
}

impl World {
    /// Somebody does something in Discord, which the gateway tells.
    pub fn gateway_tells(&self, doors: &Doors, id: u64, kind: u8, data: Value) {
        self.fake_discord.tells(&format!("token-{id}"));
        assert!(doors.tells("INTERACTION_CREATE", interaction(id, kind, ADA, data)));
    }

    /// The next call of `method` to Discord.
    pub async fn hears_call(&self, method: &str) -> Heard {
        loop {
            let heard = self.fake_discord.hears().await;
            if heard.call.starts_with(method) {
                return heard;
            }
        }
    }
}

fn owner() -> Value {
    call("owner", &[("entity", json!("payment-api"))])
}

fn click(words: &str) -> Value {
    json!({ "custom_id": format!("idp:0:{words}"), "component_type": 2 })
}

#[tokio::test]
async fn a_command_is_answered_by_a_call_of_its_own() {
    let (world, doors, _process) = heard().await;
    assert_eq!(doors.said.lock().unwrap()[0]["intents"], 0, "nothing is heard but what is for us");
    world.gateway_tells(&doors, 1, 2, owner());
    let heard = world.hears_call("POST").await;
    assert_eq!(heard.call, "POST /interactions/1/token-1/callback");
    assert_eq!(heard.body["type"], 4);
    assert!(heard.body["data"]["embeds"].to_string().contains("is owned by"), "{heard:?}");
    let typed = json!({ "id": "1", "name": "idp", "options": [{ "type": 1, "name": "owner", "options": [
        { "type": 3, "name": "entity", "value": "paym", "focused": true },
    ]}]});
    world.gateway_tells(&doors, 2, 4, typed);
    let heard = world.hears_call("POST").await;
    assert_eq!((&heard.body["type"], heard.call.contains("/2/")), (&json!(8), true));
    let form = json!({ "custom_id": "idp-form:0:path checkout", "component_type": 2 });
    world.gateway_tells(&doors, 3, 3, form);
    assert_eq!(world.hears_call("POST").await.body["type"], 9);
}

/// Discord has no answer to edit before it has the one that says "later"; both are calls of ours.
#[tokio::test]
async fn a_click_is_acknowledged_and_then_answered_once() {
    let (world, doors, _process) = heard().await;
    for id in 1..=20 {
        world.gateway_tells(&doors, id, 3, click("owner checkout"));
    }
    let edited = async || {
        let told = world.fake_discord.told();
        told.iter().filter(|(_, it)| *it == Told { answers: 1, edits: 1 }).count()
    };
    until("each answered once and edited once", edited, |it| *it == 20).await;
    let written: i64 =
        sqlx::query_scalar("select count(*) from idp.inbox where platform = 'discord'")
            .fetch_one(&world.fresh.pool)
            .await
            .unwrap();
    assert_eq!(written, 20);
}

#[tokio::test]
async fn another_server_is_not_answered() {
    let (world, doors, _process) = heard().await;
    let mut foreign = interaction(1, 2, ADA, owner());
    foreign["guild_id"] = json!("700000000000000009");
    assert!(doors.tells("INTERACTION_CREATE", foreign));
    world.gateway_tells(&doors, 2, 2, owner());
    let heard = world.hears_call("POST").await;
    assert_eq!(heard.call, "POST /interactions/2/token-2/callback", "and nothing before");
}

#[tokio::test]
async fn whatever_breaks_the_connection_the_session_goes_on() {
    let (world, doors, _process) = heard().await;
    let mut number = doors.standing().unwrap();
    let faults = [
        Order::Drop,
        Order::Say(json!({ "op": 7 })),
        Order::Say(json!({ "op": 9, "d": true })),
        Order::Close(1_000),
        Order::Close(1_001),
        Order::Close(4_000),
        Order::Close(4_008),
    ];
    for (id, fault) in (1..).zip(faults) {
        doors.orders(fault);
        world.gateway_tells(&doors, id, 2, owner());
        number = doors.stands_after(number).await;
        let heard = world.hears_call("POST").await;
        assert_eq!(heard.call, format!("POST /interactions/{id}/token-{id}/callback"));
    }
    assert_eq!((doors.identified(), doors.resumed()), (1, 7));
}

#[tokio::test]
async fn a_heartbeat_that_is_not_heard_ends_the_connection_and_not_the_session() {
    let (world, doors, _process) = heard().await;
    doors.is_deaf_once.store(true, Ordering::SeqCst);
    let number = doors.standing().unwrap();
    doors.orders(Order::Drop);
    let deaf = doors.stands_after(number).await;
    world.gateway_tells(&doors, 1, 2, owner());
    doors.stands_after(deaf).await;
    assert_eq!(world.hears_call("POST").await.call, "POST /interactions/1/token-1/callback");
    assert_eq!((doors.identified(), doors.resumed()), (1, 2));
}

#[tokio::test]
async fn a_session_that_is_over_is_followed_by_another() {
    let (world, doors, _process) = heard().await;
    let number = doors.standing().unwrap();
    doors.forgets_the_session();
    let mut number = doors.stands_after(number).await;
    for code in [4_003, 4_007, 4_009] {
        doors.orders(Order::Close(code));
        number = doors.stands_after(number).await;
    }
    // One that Discord forgot while no connection stood.
    doors.state.lock().unwrap().session.as_mut().unwrap().id = "of another".into();
    doors.orders(Order::Drop);
    doors.stands_after(number).await;
    assert_eq!((doors.identified(), doors.resumed()), (6, 0));
    world.gateway_tells(&doors, 1, 2, owner());
    assert_eq!(world.hears_call("POST").await.call, "POST /interactions/1/token-1/callback");
}

#[tokio::test]
async fn what_a_person_must_mend_is_told_and_not_tried_again() {
    for (code, word) in
        [(4_004, "DISCORD_BOT_TOKEN"), (4_013, "newer"), (4_014, "discord.messages")]
    {
        let world = World::new().await;
        let doors = Doors::of(&world.fake_discord).await;
        *doors.closes_with.lock().unwrap() = Some(code);
        let mend = Process::of(&world, pauses()).gives_up().await;
        assert!(mend.contains(word), "{code}: {mend}");
        assert_eq!(doors.opened.load(Ordering::SeqCst), 1, "{code}");
    }
    let world = World::new().await;
    let _doors = Doors::of(&world.fake_discord).await;
    let mend = Process::with(&world, pauses(), "of another bot").gives_up().await;
    assert!(mend.contains("DISCORD_BOT_TOKEN"), "{mend}");
    let world = World::new().await;
    let doors = Doors::of(&world.fake_discord).await;
    *doors.application.lock().unwrap() = "800000000000000009".into();
    let mend = Process::of(&world, pauses()).gives_up().await;
    assert!(mend.contains("DISCORD_APPLICATION_ID"), "{mend}");
    assert_eq!(doors.identified(), 1);
    // The control: what nobody need mend is tried again.
    let world = World::new().await;
    let doors = Doors::of(&world.fake_discord).await;
    *doors.closes_with.lock().unwrap() = Some(4_000);
    let process = Process::of(&world, pauses());
    until("tried again", async || doors.identified(), |it| *it > 2).await;
    *doors.closes_with.lock().unwrap() = None;
    process.is(Standing::Up).await;
}

#[tokio::test]
async fn no_session_is_begun_once_there_were_too_many() {
    let begun = i32::try_from(BEGINS_MAX).unwrap();
    let begin =
        "insert into idp.discord_identify (application_id) select $1 from generate_series(1, $2)";
    // By our own count, by Discord's, and because Discord allows no more.
    for (ours, remaining) in [(begun, 1_000), (0, 1_000 - BEGINS_MAX), (0, 0)] {
        let world = World::new().await;
        let doors = Doors::of(&world.fake_discord).await;
        world.fake_discord.has_gateway(&doors.url, remaining);
        sqlx::query(begin).bind(APPLICATION).bind(ours).execute(&world.fresh.pool).await.unwrap();
        let process = Process::of(&world, pauses());
        let down = |it: &Standing| matches!(it, Standing::Down { .. });
        until("told", async || process.link.standing(), down).await;
        process.stops().await;
        assert_eq!(doors.opened.load(Ordering::SeqCst), 0);
    }
    // The control: one less, and those of the day before.
    let world = World::new().await;
    let doors = Doors::of(&world.fake_discord).await;
    world.fake_discord.has_gateway(&doors.url, 1_001 - BEGINS_MAX);
    let pool = &world.fresh.pool;
    sqlx::query(begin).bind(APPLICATION).bind(begun).execute(pool).await.unwrap();
    sqlx::query("update idp.discord_identify set at = at - interval '1 day'")
        .execute(pool)
        .await
        .unwrap();
    sqlx::query(begin).bind(APPLICATION).bind(begun - 1).execute(pool).await.unwrap();
    let process = Process::of(&world, pauses());
    process.is(Standing::Up).await;
    let kept: i64 = sqlx::query_scalar("select count(*) from idp.discord_identify")
        .fetch_one(pool)
        .await
        .unwrap();
    assert_eq!(
        (kept, doors.identified()),
        (i64::from(begun), 1),
        "those of the day before are forgotten"
    );
}

#[tokio::test]
async fn the_next_process_takes_the_session_up_and_hears_what_came_between() {
    let (world, doors, process) = heard().await;
    process.stops().await;
    world.gateway_tells(&doors, 1, 2, owner());
    let next = Process::of(&world, pauses());
    next.is(Standing::Up).await;
    assert_eq!(world.hears_call("POST").await.call, "POST /interactions/1/token-1/callback");
    assert_eq!((doors.identified(), doors.resumed()), (1, 1));
    let first: String = sqlx::query_scalar("select holder from idp.discord_session")
        .fetch_one(&world.fresh.pool)
        .await
        .unwrap();
    // One that does not end but falls silent: its lease runs out.
    let other = Process::of(&world, pauses());
    other.is(Standing::StandingBy).await;
    let run_out = async || {
        sqlx::query("update idp.discord_session set lease_until = now() where holder = $1")
            .bind(&first)
            .execute(&world.fresh.pool)
            .await
            .unwrap();
        other.link.standing()
    };
    until("taken over", run_out, |it| *it == Standing::Up).await;
    next.is(Standing::StandingBy).await;
    assert_eq!(doors.identified(), 1);
}

/// The control: without what is written down each process begins a session of its own.
#[tokio::test]
async fn a_process_that_finds_nothing_written_down_begins_anew() {
    let (world, doors, process) = heard().await;
    process.stops().await;
    sqlx::query("delete from idp.discord_session").execute(&world.fresh.pool).await.unwrap();
    Process::of(&world, pauses()).is(Standing::Up).await;
    assert_eq!(doors.identified(), 2);
}

#[tokio::test]
async fn a_session_that_tells_something_else_than_the_settings_ask_for_is_not_taken_up() {
    let (world, doors, process) = heard().await;
    process.stops().await;
    let mut settings = (**world.app.settings.load()).clone();
    settings.discord.messages = true;
    world.app.settings.store(Arc::new(settings));
    Process::of(&world, pauses()).is(Standing::Up).await;
    let intents: Vec<Value> =
        doors.said.lock().unwrap().iter().map(|it| it["intents"].clone()).collect();
    assert_eq!(intents, [0, (1 << 9) | (1 << 12)]);
}

#[tokio::test]
async fn without_a_database_it_hears_all_the_same() {
    let (world, doors, _process) = heard().await;
    world.app.db.store(Arc::new(None));
    let number = doors.standing().unwrap();
    doors.orders(Order::Drop);
    let number = doors.stands_after(number).await;
    doors.forgets_the_session();
    doors.stands_after(number).await;
    world.gateway_tells(&doors, 1, 2, owner());
    assert_eq!(world.hears_call("POST").await.call, "POST /interactions/1/token-1/callback");
}

fn said(id: u64, more: Value) -> Value {
    let mut said = json!({
        "id": id.to_string(), "channel_id": "600000000000000001", "guild_id": GUILD, "type": 0,
        "author": { "id": ADA, "username": "ada" }, "mentions": [{ "id": BOT_USER }],
        "content": format!("<@{BOT_USER}> who owns payment-api?"),
    });
    said.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    said
}

#[tokio::test]
async fn a_mention_is_answered_below_it_once() {
    let (world, doors, _process) = heard_with(|it| it.discord.messages = true).await;
    assert_eq!(doors.said.lock().unwrap()[0]["intents"], (1 << 9) | (1 << 12));
    for other in [
        json!({ "author": { "id": BOT_USER } }),
        json!({ "author": { "id": "5", "bot": true } }),
        json!({ "webhook_id": "5" }),
        json!({ "mentions": [] }),
        json!({ "guild_id": "700000000000000009" }),
    ] {
        doors.tells("MESSAGE_CREATE", said(1, other));
    }
    doors.tells("MESSAGE_CREATE", said(2, json!({})));
    let Heard { call, body } = world.hears_call("POST").await;
    assert_eq!(call, "POST /channels/600000000000000001/messages");
    assert!(body["embeds"].to_string().contains("is owned by"), "{body}");
    assert_eq!(body["message_reference"]["message_id"], "2");
    assert_eq!((&body["nonce"], &body["enforce_nonce"]), (&json!("2"), &json!(true)));
    assert_eq!(body["allowed_mentions"]["parse"], json!([]));
    assert_eq!(seen(&body).mentions, [""; 0]);
    over_a_limit(&body).unwrap();
    // A copy, as after a session that another process took up.
    doors.tells("MESSAGE_CREATE", said(2, json!({})));
    doors.tells("MESSAGE_CREATE", said(3, json!({})));
    assert_eq!(world.hears_call("POST").await.body["nonce"], "3");
}

#[tokio::test]
async fn who_writes_to_the_bot_alone_is_answered_as_a_member_of_the_server() {
    let (world, doors, _process) = heard_with(|it| it.discord.messages = true).await;
    let alone = |id: u64, who: &str| {
        let more = json!({ "guild_id": null, "mentions": [], "author": { "id": who }, "content": "owner checkout" });
        said(id, more)
    };
    world.fake_discord.has_member(ADA);
    doors.tells("MESSAGE_CREATE", alone(1, "400000000000000009"));
    assert!(world.hears_call("GET").await.call.ends_with("/members/400000000000000009"));
    doors.tells("MESSAGE_CREATE", alone(2, ADA));
    let heard = world.hears_call("POST").await;
    assert_eq!(heard.body["nonce"], "2", "the stranger was not answered");
}

/// D8: the gateway breaks in every way, under clicks and commands.
#[tokio::test]
async fn no_interaction_is_lost_or_handled_twice_while_connections_break() {
    let drops = at_full(1_000).max(50);
    let (world, doors, process) = heard().await;
    let (world, done) = (Arc::new(world), CancellationToken::new());
    // Held while a session ends: what happens then nobody is told, as in Discord.
    let gate = Arc::new(tokio::sync::Mutex::new(()));
    let sending = {
        let (world, doors, done, gate) = (world.clone(), doors.clone(), done.clone(), gate.clone());
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(20));
            let mut sent: usize = 0;
            while done.run_until_cancelled(ticks.tick()).await.is_some() {
                let _held = gate.lock().await;
                sent += 1;
                let id = sent as u64;
                match sent % 2 {
                    0 => world.gateway_tells(&doors, id, 3, click("owner checkout")),
                    _ => world.gateway_tells(&doors, id, 2, owner()),
                }
            }
            sent
        })
    };
    for number in 0..drops {
        let standing = doors.stands_after(0).await;
        match number % 10 {
            0..=3 => doors.orders(Order::Drop),
            4 => doors.orders(Order::Say(json!({ "op": 7 }))),
            5 => doors.orders(Order::Say(json!({ "op": 9, "d": true }))),
            6 => doors.orders(Order::Close(4_000)),
            7 => doors.orders(Order::Close(1_001)),
            8 => {
                doors.breaks_again.store(1, Ordering::SeqCst);
                doors.orders(Order::Drop);
            }
            _ if number % 100 == 49 => {
                let _held = gate.lock().await;
                let noted = "select count(*) from idp.discord_session where sequence = $1";
                let told = i64::try_from(
                    doors.state.lock().unwrap().session.as_ref().unwrap().events.len(),
                );
                let told = told.unwrap();
                // All that was told is taken care of.
                let settled = async || {
                    sqlx::query_scalar::<_, i64>(noted)
                        .bind(told)
                        .fetch_one(&world.fresh.pool)
                        .await
                        .unwrap()
                };
                until("taken care of", settled, |it| *it == 1).await;
                doors.forgets_the_session();
                doors.stands_after(standing).await;
                continue;
            }
            _ => {
                doors.is_deaf_once.store(true, Ordering::SeqCst);
                doors.orders(Order::Drop);
            }
        }
        doors.stands_after(standing).await;
    }
    done.cancel();
    let sent = sending.await.unwrap();
    // Commands have an answer, clicks one that says "later" and its edit.
    let untaken = async || {
        let told = world.fake_discord.told();
        let is_open = |(_, it): &&(String, Told)| it.answers == 0;
        let edits: usize = told.iter().map(|(_, it)| it.edits).sum();
        (told.iter().filter(is_open).count(), sent / 2 - edits.min(sent / 2))
    };
    until("all handled", untaken, |it| *it == (0, 0)).await;
    process.stops().await;
    let told = world.fake_discord.told();
    let is_twice = |(_, it): &&(String, Told)| it.answers > 1 || it.edits > 1;
    let twice: Vec<_> = told.iter().filter(is_twice).collect();
    assert!(twice.is_empty(), "{twice:?}");
    assert_eq!(told.len(), sent);
    let identified = doors.identified();
    assert!(identified <= 20, "{identified}");
    println!(
        "REL D8 {drops} drops, {sent} interactions, 0 lost, 0 handled twice, {identified} IDENTIFY"
    );
}

/// The control of D8: where Discord does not tell what was missed it is lost, and the test would see it.
#[tokio::test]
async fn what_is_not_told_again_is_lost() {
    let (world, doors, _process) = heard().await;
    doors.forgets.store(true, Ordering::SeqCst);
    let number = doors.standing().unwrap();
    world.fake_discord.tells("token-1");
    doors.breaks_off_and_tells("INTERACTION_CREATE", interaction(1, 2, ADA, owner()));
    doors.stands_after(number).await;
    world.gateway_tells(&doors, 2, 2, owner());
    assert_eq!(world.hears_call("POST").await.call, "POST /interactions/2/token-2/callback");
}

/// The control of D8: who begins a session on each connection spends the budget, and what came between is lost.
#[tokio::test]
async fn who_identifies_each_time_spends_the_budget_and_loses_events() {
    let world = World::new().await;
    let doors = Doors::of(&world.fake_discord).await;
    let http = Client::new(Policy { allowed: Vec::new(), loopback: true });
    let mut lost = 0;
    for number in 1..=21 {
        let mut socket = http.web_socket(&doors.url).await.unwrap();
        let identify = json!({ "op": 2, "d": { "token": BOT_TOKEN, "intents": 0 } });
        socket.send(Message::text(identify.to_string())).await.unwrap();
        let standing = doors.stands_after(number - 1).await;
        doors.orders(Order::Drop);
        until("broken", async || doors.standing(), |it| *it != Some(standing)).await;
        world.gateway_tells(&doors, 1, 2, owner());
        lost += 1;
        let mut told = 0;
        while let Some(Ok(Message::Text(text))) = socket.next().await {
            told += usize::from(text.contains("INTERACTION_CREATE"));
        }
        lost -= told;
    }
    assert_eq!((doors.identified(), lost), (21, 21));
}
