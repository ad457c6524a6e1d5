//! The bot's Home in Slack, and the modals that clicks there open.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use idp::catalog::snapshot::Filter;
use idp::catalog::{EntityRef, Place, Relation, RelationKind, StoredEntity};
use idp::commands::flow;
use idp::conversation::{Platform, Speaker};
use serde_json::{Value, json};

use crate::descriptors::shared;
use crate::hostile_slack::{slack_user, texts, victims, without_the_guard};
use crate::hostile_text::has_hidden;
use crate::scale::at_full;
use crate::slack_judge::{
    Seen, against_description, modal_over_a_limit, seen, shape, text, view_over_a_limit,
};
use crate::slack_socket::{self, envelope};
use crate::world::{TEAM, World, interaction};

/// Zoé Laurent, of the team Payments.
const ZOE: &str = "U0ACME0013";

fn opened(who: &str) -> Value {
    json!({
        "type": "event_callback", "team_id": TEAM, "event_id": format!("Ev{who}"),
        "event": { "type": "app_home_opened", "user": who, "channel": "D1", "tab": "home", "event_ts": "1.5" },
    })
}

/// The Home that `who` is shown, found fit for Slack.
async fn home(world: &World, who: &str) -> Value {
    let answer = world.sends("/slack/events", &opened(who).to_string()).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "{}"));
    let heard = world.fake.hears().await;
    assert_eq!((heard.path.as_str(), &heard.body["user_id"]), ("/api/views.publish", &json!(who)));
    fits("views.publish", &heard.body);
    heard.body["view"].clone()
}

/// Slack takes the call.
fn fits(method: &str, call: &Value) {
    assert_eq!(view_over_a_limit(&call["view"]), Ok(()), "{call}");
    let Some(file) = shared("specs/slack_web.json") else { return };
    let description: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!(against_description(&description, method, call).unwrap(), [""; 0]);
}

/// The buttons of a view, and the choices of its selects: what they show, what they say, whose they are.
fn buttons(view: &Value) -> Vec<(String, String, String)> {
    let blocks = view["blocks"].as_array().unwrap().iter();
    let actions = blocks.filter(|it| it["type"] == "actions");
    let elements = actions.flat_map(|it| it["elements"].as_array().unwrap());
    let word = |value: &Value| value.as_str().unwrap().to_string();
    let mut buttons = Vec::new();
    for element in elements {
        let itself = std::slice::from_ref(element);
        let choices = element["options"].as_array().map_or(itself, Vec::as_slice);
        let id = word(&element["action_id"]);
        buttons.extend(
            choices.iter().map(|it| (word(&it["text"]["text"]), word(&it["value"]), id.clone())),
        );
    }
    buttons
}

fn words(view: &Value) -> Vec<String> {
    buttons(view).into_iter().map(|(_, words, _)| words).collect()
}

/// A click of Zoé's on a button of `view`, which Slack calls `id`.
fn click(view: &Value, id: &str, trigger: &str, words: &str) -> String {
    let buttons = buttons(view);
    let action = buttons.iter().find(|(_, it, _)| it == words).map(|(.., action)| action);
    let action = action.unwrap_or_else(|| panic!("no button says `{words}`: {buttons:?}"));
    let mut view = view.clone();
    view["id"] = json!(id);
    interaction(&json!({
        "type": "block_actions", "trigger_id": trigger, "team": { "id": TEAM },
        "user": { "id": ZOE, "team_id": TEAM }, "container": { "type": "view", "view_id": id }, "view": view,
        "actions": [{ "type": "button", "action_id": action, "value": words }],
    }))
}

async fn clicks(world: &World, view: &Value, trigger: &str, words: &str) -> crate::world::Heard {
    let body = click(view, "V1", trigger, words);
    assert_eq!(world.sends("/slack/interactions", &body).await.body, "{}");
    let heard = world.fake.hears().await;
    let method = heard.path.strip_prefix("/api/").unwrap();
    if method.starts_with("views.") {
        fits(method, &heard.body);
    }
    heard
}

#[tokio::test]
async fn it_greets_people_and_shows_what_their_teams_own() {
    let world = World::new().await;
    let view = home(&world, ZOE).await;
    let said = text(&view);
    assert!(said.contains("Hello, Zoé Laurent"), "{said}");
    assert!(said.contains("The catalog knows you as zoe-laurent, in Payments."), "{said}");
    let kind = Some("component".to_string());
    let team = Some("payments".to_string());
    let snapshot = world.app.snapshot();
    let (_, total) = snapshot.list(&Filter { kind, team, ..Filter::default() }, 0, 0);
    assert!(total > 2 && said.contains(&format!("Services of Payments ({total})")), "{said}");
    let words = words(&view);
    let services = words.iter().filter(|it| it.starts_with("owner ") && *it != "owner").count();
    assert_eq!(services, total.min(10), "{words:?}");
    assert!(words.contains(&"owner payment-api".to_string()), "{words:?}");
    // Each command that asks for something can be asked here.
    let forms = buttons(&view).into_iter().filter(|(.., action)| action.starts_with("idp-form:"));
    let forms: Vec<String> = forms.map(|(_, words, _)| words).collect();
    assert!(forms.contains(&"owner".into()) && forms.contains(&"path".into()), "{forms:?}");
}

#[tokio::test]
async fn who_is_linked_to_nobody_hears_how_to_say_who_they_are() {
    let world = World::new().await;
    let view = home(&world, "U0STRANGER").await;
    assert!(text(&view).contains("linked to nobody"), "{view}");
    assert!(words(&view).contains(&"link".to_string()), "{view}");
    assert!(!text(&view).contains("Services of"), "{view}");
}

#[tokio::test]
async fn the_last_five_questions_can_be_asked_again_by_who_asked_them_alone() {
    let world = World::new().await;
    let names = ["checkout", "orders", "ledger", "payment-api", "payment-worker", "inventory"];
    for name in names.iter().chain(&["orders"]) {
        world.types(ZOE, &format!("show {name}")).await;
    }
    // Neither a code, nor what nobody would ask again, nor what found no answer.
    for text in ["link 23456789", "whoami", "help", "show chekcout"] {
        world.types(ZOE, text).await;
    }
    let newest = ["orders", "inventory", "payment-worker", "payment-api", "ledger"];
    let newest = newest.map(|name| format!("show {name}"));
    let shown = |view: &Value| -> Vec<String> {
        words(view).into_iter().filter(|it| it.starts_with("show ")).collect()
    };
    assert_eq!(shown(&home(&world, ZOE).await), newest, "from memory");

    let db = &world.fresh.pool;
    flow::record_asked(db, &world.app.asked).await.unwrap();
    assert_eq!(shown(&home(&world, ZOE).await), newest, "from the database");
    assert_eq!(kept(&world).await, 5);
    assert_eq!(shown(&home(&world, "U0ACME0001").await), [""; 0], "of somebody else");

    // The newest goes to the top, and the oldest goes.
    world.types(ZOE, "who owns the returns-portal?").await;
    world.types(ZOE, "show checkout").await;
    assert_eq!(shown(&home(&world, ZOE).await)[0], "show checkout");
    flow::record_asked(db, &world.app.asked).await.unwrap();
    assert_eq!(kept(&world).await, 5);

    // Whatever is older than 30 days is neither shown nor kept.
    let age = "update idp.recent_question set asked_at = asked_at - interval '31 days'";
    sqlx::query(age).execute(db).await.unwrap();
    assert_eq!(shown(&home(&world, ZOE).await), [""; 0]);
    world.types("U0ACME0001", "show checkout").await;
    flow::record_asked(db, &world.app.asked).await.unwrap();
    assert_eq!(kept(&world).await, 1);
}

async fn kept(world: &World) -> i64 {
    let count = "select count(*) from idp.recent_question";
    sqlx::query_scalar(count).fetch_one(&world.fresh.pool).await.unwrap()
}

#[tokio::test]
async fn without_a_database_it_shows_the_rest() {
    let world = World::new().await;
    world.types(ZOE, "show ledger").await;
    flow::record_asked(&world.fresh.pool, &world.app.asked).await.unwrap();
    world.app.db.store(std::sync::Arc::new(None));
    let view = home(&world, ZOE).await;
    assert!(text(&view).contains("Services of Payments"), "{view}");
    assert!(!words(&view).contains(&"show ledger".to_string()), "{view}");
}

#[tokio::test]
async fn what_cannot_be_written_down_is_kept_until_it_can() {
    let world = World::new().await;
    world.types(ZOE, "show ledger").await;
    let away = world.fresh.pool.clone();
    sqlx::query("alter table idp.recent_question rename to away").execute(&away).await.unwrap();
    assert!(flow::record_asked(&away, &world.app.asked).await.is_err());
    let speaker = Speaker { platform: Platform::Slack, tenant: TEAM.into(), user_id: ZOE.into() };
    assert_eq!(flow::asked_lately(&away, &speaker, Utc::now()).await, [""; 0]);
    assert_eq!(world.app.asked.of(&speaker), ["show ledger"]);
    sqlx::query("alter table idp.away rename to recent_question").execute(&away).await.unwrap();
    flow::record_asked(&away, &world.app.asked).await.unwrap();
    assert_eq!(flow::asked_lately(&away, &speaker, Utc::now()).await, ["show ledger"]);
}

#[tokio::test]
async fn a_click_opens_a_modal_and_clicks_there_go_three_deep_then_stay() {
    let world = World::new().await;
    let home = home(&world, ZOE).await;
    let first = clicks(&world, &home, "t1", "owner payment-api").await;
    assert_eq!((first.path.as_str(), &first.body["trigger_id"]), ("/api/views.open", &json!("t1")));
    let view = &first.body["view"];
    assert!(text(view).contains("is owned by"), "{view}");
    let second = clicks(&world, view, "t2", "dependents payment-api").await;
    assert_eq!(second.path, "/api/views.push");
    let third = clicks(&world, &second.body["view"], "t3", "owner payment-api").await;
    assert_eq!(third.path, "/api/views.push");
    let fourth = clicks(&world, &third.body["view"], "t4", "show payment-api").await;
    assert_eq!(
        (fourth.path.as_str(), &fourth.body["view_id"]),
        ("/api/views.update", &json!("V1"))
    );
    let fifth = clicks(&world, &fourth.body["view"], "t5", "owner payment-api").await;
    assert_eq!(fifth.path, "/api/views.update");
}

#[tokio::test]
async fn what_finds_no_place_is_counted_and_one_click_away() {
    let world = World::new().await;
    let everything = EntityRef::new("group", "default", "acme");
    let member_of = Relation { kind: RelationKind::MemberOf, target: everything, bare: false };
    let zoe = StoredEntity {
        reference: EntityRef::new("user", "default", "zoe-laurent"),
        body: "{}".into(),
        relations: vec![member_of],
        place: Place { source: "".into(), file: "".into(), document: 0, line: 1 },
        orphaned_at: None,
    };
    let snapshot = world.app.snapshot();
    let next = snapshot.next(vec![zoe], &[], &[], snapshot.revision().clone());
    world.app.catalog.current.store(Arc::new(next));
    let home = home(&world, ZOE).await;
    let buttons = buttons(&home);
    let (label, words, _) = buttons.iter().find(|(label, ..)| label.starts_with("All ")).unwrap();
    let total: usize = label.trim_start_matches("All ").parse().unwrap();
    assert!(total > 20 && text(&home).contains(&format!("({total})")), "{home}");
    let all = clicks(&world, &home, "t1", words).await;
    assert!(text(&all.body["view"]).contains(&format!("{total} ")), "{all:?}");
}

#[tokio::test]
async fn the_next_page_takes_the_place_of_this_one() {
    let world = World::new().await;
    world.types(ZOE, "list component").await;
    let home = home(&world, ZOE).await;
    let first = clicks(&world, &home, "t1", "list component").await;
    let next = "list component --page 2";
    let second = clicks(&world, &first.body["view"], "t2", next).await;
    assert_eq!(second.path, "/api/views.update");
}

#[tokio::test]
async fn a_click_that_comes_twice_opens_once() {
    let world = World::new().await;
    let home = home(&world, ZOE).await;
    for _ in 0..3 {
        let body = click(&home, "V1", "t-same", "owner payment-api");
        assert_eq!(world.sends("/slack/interactions", &body).await.body, "{}");
    }
    assert_eq!(world.fake.hears().await.path, "/api/views.open");
    world.mentions(ZOE, "owner checkout").await;
    assert_eq!(world.fake.hears().await.path, "/api/chat.postMessage");
}

#[tokio::test]
async fn what_takes_long_is_announced_and_then_shown() {
    let world = World::of_patience(Duration::from_millis(500)).await;
    world.types(ZOE, "history payment-api").await;
    // So that the question is not asked in vain, and its button is there.
    let home = home(&world, ZOE).await;
    let holder = world.holds_history_up().await;
    let waiting = clicks(&world, &home, "t1", "history payment-api").await;
    assert_eq!(waiting.path, "/api/views.open");
    assert!(text(&waiting.body["view"]).contains("Looking it up…"), "{waiting:?}");
    holder.rollback().await.unwrap();
    let shown = world.fake.hears().await;
    assert_eq!((shown.path.as_str(), &shown.body["view_id"]), ("/api/views.update", &json!("V1")));
    fits("views.update", &shown.body);
    assert!(text(&shown.body["view"]).contains("Payment API"), "{shown:?}");
}

/// Zoé sends the form `view` with `value` in its only field.
fn sent(view: &Value, trigger: &str, value: &str) -> String {
    let (name, action) = view["blocks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["type"] == "input")
        .map(|it| (it["block_id"].as_str().unwrap(), it["element"]["action_id"].as_str().unwrap()))
        .unwrap();
    let mut view = view.clone();
    view["id"] = json!("V9");
    view["state"]["values"][name][action] =
        json!({ "type": "external_select", "selected_option": { "value": value } });
    interaction(&json!({
        "type": "view_submission", "trigger_id": trigger, "team": { "id": TEAM },
        "user": { "id": ZOE, "team_id": TEAM }, "view": view,
    }))
}

#[tokio::test]
async fn a_form_that_is_opened_there_is_answered_in_its_place() {
    let world = World::new().await;
    let home = home(&world, ZOE).await;
    let body = click(&home, "V1", "t1", "owner");
    world.sends("/slack/interactions", &body).await;
    let opened = world.fake.hears().await;
    assert_eq!(opened.path, "/api/views.open");
    let form = &opened.body["view"];
    assert_eq!(modal_over_a_limit(form), Ok(()));
    let wrong = world.sends("/slack/interactions", &sent(form, "t2", "paymnt-api")).await.json();
    assert_eq!(wrong["response_action"], "errors", "{wrong}");
    let shown = world.sends("/slack/interactions", &sent(form, "t3", "payment-api")).await.json();
    assert_eq!(shown["response_action"], "update", "{shown}");
    assert_eq!(view_over_a_limit(&shown["view"]), Ok(()));
    assert!(text(&shown["view"]).contains("is owned by"), "{shown}");
    // A click in the answer goes one deeper.
    let next = clicks(&world, &shown["view"], "t4", "show payment-api").await;
    assert_eq!(next.path, "/api/views.push");
}

#[tokio::test]
async fn the_answer_to_a_form_that_takes_long_follows_in_its_place() {
    let world = World::of_patience(Duration::from_millis(500)).await;
    let home = home(&world, ZOE).await;
    world.sends("/slack/interactions", &click(&home, "V1", "t1", "history")).await;
    let form = world.fake.hears().await.body["view"].clone();
    let holder = world.holds_history_up().await;
    let waiting =
        world.sends("/slack/interactions", &sent(&form, "t2", "payment-api")).await.json();
    assert_eq!(waiting["response_action"], "update", "{waiting}");
    assert!(text(&waiting["view"]).contains("Looking it up…"), "{waiting}");
    holder.rollback().await.unwrap();
    let shown = world.fake.hears().await;
    assert_eq!((shown.path.as_str(), &shown.body["view_id"]), ("/api/views.update", &json!("V9")));
    assert!(text(&shown.body["view"]).contains("Payment API"), "{shown:?}");
}

#[tokio::test]
async fn an_answer_that_no_view_can_show_is_written_to_who_clicked() {
    let world = World::new().await;
    let home = home(&world, ZOE).await;
    world.fake.is_away_for(1);
    let body = click(&home, "V1", "t1", "owner payment-api");
    world.sends("/slack/interactions", &body).await;
    assert_eq!(world.fake.hears().await.path, "/away");
    let written = world.fake.hears().await;
    assert_eq!(
        (written.path.as_str(), &written.body["channel"]),
        ("/api/chat.postMessage", &json!(ZOE))
    );
    assert!(written.body["text"].to_string().contains("is owned by"), "{written:?}");
}

#[tokio::test]
async fn socket_mode_brings_it_as_well_and_strangers_and_other_tabs_are_ignored() {
    let slack_socket::Heard { world, sockets, .. } =
        slack_socket::heard(slack_socket::pauses()).await;
    let over_http = home(&world, ZOE).await;
    sockets.sends(envelope("e1", "events_api", opened(ZOE)));
    sockets.acknowledged("e1").await;
    assert_eq!(world.fake.hears().await.body["view"], over_http);
    let mut messages = opened(ZOE);
    messages["event"]["tab"] = json!("messages");
    assert_eq!(world.sends("/slack/events", &messages.to_string()).await.body, "{}");
    let mut other = opened(ZOE);
    other["team_id"] = json!("T0EVIL");
    assert_eq!(world.sends("/slack/events", &other.to_string()).await.status, 401);
    world.mentions(ZOE, "owner checkout").await;
    assert_eq!(world.fake.hears().await.path, "/api/chat.postMessage");
}

#[tokio::test]
async fn no_hostile_name_changes_what_the_home_is() {
    let texts = texts(at_full(500));
    let world = victims(&texts).await;
    let harmless = shape(&home(&world, &slack_user(0)).await);
    let mut caught = 0;
    for (number, hostile) in (1..).zip(&texts) {
        let view = home(&world, &slack_user(number)).await;
        let found = seen(&view);
        assert_eq!(found, Seen::default(), "{hostile:?}: {view}");
        assert_eq!(shape(&view), harmless, "{hostile:?}: {view}");
        let shown = json!({ "blocks": view["blocks"], "text": "" });
        assert!(!has_hidden(&shown), "{hostile:?}: {view}");
        // The control: the same Home of a renderer that trusts.
        if hostile.contains("<!channel>") {
            assert_ne!(seen(&without_the_guard(&view)), found, "{hostile:?}");
            caught += 1;
        }
    }
    assert!(caught > 0);
    println!(
        "REL G1-G4 {} Homes: 0 mentions, 0 links, 0 changed shapes; without the guard {caught} of {caught} seen",
        texts.len()
    );
}
