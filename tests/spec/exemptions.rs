//! Exemptions: asked for by one, decided on by another, and over when their days are.

use idp::access::Link;
use idp::app::App;
use idp::catalog::EntityRef;
use idp::conversation::{Invocation, Platform, Reply, Speaker, Way};
use idp::scorecards::exemption::{Decision, flow};
use idp::terminal::ask::typed;
use serde_json::json;

use crate::asking::{ADMIN, Asking, invocation};
use crate::scale::at_full;
use crate::world::World;

fn user(name: &str) -> EntityRef {
    EntityRef::new("user", "default", name)
}

/// The account of `who` in Slack.
fn account(app: &App, who: &str) -> Speaker {
    let links = app.links.now();
    let is_theirs = |(account, link): &(&Speaker, &Link)| {
        link.user == user(who) && account.platform == Platform::Slack
    };
    links.by_account.iter().find(is_theirs).unwrap_or_else(|| panic!("{who} is linked")).0.clone()
}

/// What `who` is answered in Slack.
async fn says(asking: &Asking, who: &str, text: &str) -> Reply {
    let speaker = account(&asking.app, who);
    asking.app.answer(Way::Command, Invocation { speaker, ..invocation(text) }).await
}

/// Zoé, of the team that owns it, asks that `restore` does not count.
const ASK: &str = "exempt payment-api restore 30 We restore in the new region first";

async fn percent(asking: &Asking) -> i64 {
    let answer = asking.says("score payment-api").await.answer;
    answer["scorecards"][0]["percent"].as_i64().unwrap()
}

#[tokio::test]
async fn a_rule_that_somebody_granted_an_exemption_from_counts_neither_way() {
    let asking = Asking::acme().await;
    assert_eq!(percent(&asking).await, 75);
    let asked = says(&asking, "zoe-laurent", ASK).await;
    assert_eq!(asked.refusal, None, "{}", asked.markdown);
    assert_eq!(percent(&asking).await, 75, "asking changes nothing");
    let id = asked.answer["id"].as_i64().unwrap();
    let granted = says(&asking, "daniel-kim", &format!("exemptions grant {id}")).await;
    assert!(granted.markdown.starts_with("**Daniel Kim** granted request"), "{}", granted.markdown);
    assert!(percent(&asking).await > 75);
    let said = asking.reads("score payment-api").await;
    assert!(said.contains("Exempt: Restoring was tested within half a year, until "), "{said}");
    // Who asked may end it before its time; then it counts again.
    let ended = says(&asking, "zoe-laurent", &format!("exemptions end {id}")).await;
    assert_eq!(ended.refusal, None, "{}", ended.markdown);
    assert_eq!(percent(&asking).await, 75);
}

#[tokio::test]
async fn what_is_over_counts_again() {
    let asking = Asking::acme().await;
    let id = says(&asking, "zoe-laurent", ASK).await.answer["id"].as_i64().unwrap();
    says(&asking, "daniel-kim", &format!("exemptions grant {id}")).await;
    assert!(percent(&asking).await > 75, "the control");
    let past = "update idp.exemption set ends_at = clock_timestamp() - interval '1 second'";
    sqlx::query(past).execute(&asking.fresh.pool).await.unwrap();
    assert_eq!(percent(&asking).await, 75);
}

#[tokio::test]
async fn only_who_answers_for_the_scorecard_decides_and_never_on_their_own_request() {
    let asking = Asking::acme().await;
    let id = says(&asking, "zoe-laurent", ASK).await.answer["id"].as_i64().unwrap();
    let grant = format!("exemptions grant {id}");
    let by_owner = says(&asking, "ingrid-holm", &grant).await;
    assert_eq!(by_owner.refusal.unwrap().code, "not_allowed");
    let by_herself = says(&asking, "zoe-laurent", &grant).await;
    assert_eq!(by_herself.refusal.unwrap().code, "not_allowed");
    // An admin who asked does not decide either.
    let own = says(&asking, "daniel-kim", "exempt ledger restore 5 me").await.answer["id"].clone();
    let own = says(&asking, "daniel-kim", &format!("exemptions grant {own}")).await;
    assert!(own.markdown.contains("Nobody decides on what they asked for"), "{}", own.markdown);
    assert_eq!(says(&asking, "daniel-kim", &grant).await.refusal, None, "the control");
    let again = says(&asking, "daniel-kim", &format!("exemptions refuse {id}")).await;
    assert_eq!(again.refusal.unwrap().code, "settled");
}

#[tokio::test]
async fn the_database_takes_no_decision_of_who_asked() {
    let asking = Asking::acme().await;
    let id = says(&asking, "zoe-laurent", ASK).await.answer["id"].as_i64().unwrap();
    let decide = "update idp.exemption set state = 'granted', decided_by = $2, decided_at = now(),
                  ends_at = now() where id = $1";
    let by = |who: &'static str| sqlx::query(decide).bind(id).bind(who).execute(&asking.fresh.pool);
    let refused = by("user:default/zoe-laurent").await.unwrap_err().to_string();
    assert!(refused.contains("exemption_by_another"), "{refused}");
    by("user:default/daniel-kim").await.expect("the control");
}

#[tokio::test]
async fn of_all_who_decide_at_once_one_does() {
    let asking = Asking::acme().await;
    for round in 0..at_full(100) {
        let rule = ["restore", "backup", "recovery-time"][round % 3];
        let ask = format!("exempt payment-api {rule} 3 because");
        let id = says(&asking, "zoe-laurent", &ask).await.answer["id"].as_i64().unwrap();
        let deciders = (0..8).map(|number| {
            let pool = asking.fresh.pool.clone();
            let by = user(&format!("person-{number}"));
            let decision = [Decision::Grant, Decision::Refuse][number % 2];
            tokio::spawn(async move {
                flow::decide(&pool, id, decision, &by, None, |_| Ok(())).await.is_ok()
            })
        });
        let deciders: Vec<_> = deciders.collect();
        let mut decided = 0;
        for decider in deciders {
            decided += usize::from(decider.await.unwrap());
        }
        assert_eq!(decided, 1);
    }
    println!("REL EXEMPTIONS {} requests, 8 at once decide on each: one does", at_full(100));
}

#[tokio::test]
async fn who_asks_again_hears_of_the_same_request() {
    let asking = Asking::acme().await;
    let first = says(&asking, "zoe-laurent", ASK).await;
    let second = says(&asking, "zoe-laurent", ASK).await;
    assert_eq!(first.markdown, second.markdown);
    let other = says(&asking, "ingrid-holm", ASK).await;
    assert!(
        other.markdown.starts_with("Somebody has asked for this already"),
        "{}",
        other.markdown
    );
    assert_eq!(other.answer["id"], first.answer["id"]);
}

#[tokio::test]
async fn what_cannot_be_asked_for_is_said_with_the_reason() {
    let asking = Asking::acme().await;
    for (text, why) in [
        ("exempt payment-api restor 5 because", "did you mean `restore`"),
        ("exempt payment-api restore 4000 because", "allows 1 to 90 days"),
        ("exempt payment-api restore 0 because", "allows 1 to 90 days"),
    ] {
        let reply = says(&asking, "zoe-laurent", text).await;
        let message = reply.refusal.unwrap().message;
        assert!(message.contains(why), "{message}");
    }
    let nobody = asking.app.answer(Way::Command, typed(ASK, None)).await;
    assert!(nobody.markdown.contains("by name"), "{}", nobody.markdown);
    let missing = says(&asking, "daniel-kim", "exemptions grant 4711").await;
    assert_eq!(missing.refusal.unwrap().code, "invalid_argument");
}

#[tokio::test]
async fn strangers_who_may_read_ask_for_nothing() {
    let asking = Asking::acme().await;
    let mut stranger = invocation(ASK);
    stranger.speaker.user_id = "U0STRANGER".into();
    let refused = asking.app.answer(Way::Command, stranger.clone()).await;
    assert_eq!(refused.refusal.unwrap().code, "not_allowed");
    stranger.text = "score payment-api".into();
    assert_eq!(asking.app.answer(Way::Command, stranger).await.refusal, None, "the control");
}

#[tokio::test]
async fn the_home_shows_ones_own_requests_and_those_that_wait_for_one() {
    let world = World::new().await;
    let home = async |who: &str| {
        let opened = json!({
            "type": "event_callback", "team_id": "T0ACME", "event_id": format!("Ev{}", world.number()),
            "event": { "type": "app_home_opened", "user": who, "channel": "D1", "tab": "home" },
        });
        world.sends("/slack/events", &opened.to_string()).await;
        world.fake.hears().await.body.to_string()
    };
    let account = |who| account(&world.app, who).user_id;
    let (zoe, kim) = (account("zoe-laurent"), account("daniel-kim"));
    assert!(!home(&zoe).await.contains("Your requests"), "the control");
    world.types(&zoe, ASK).await;
    let of_zoe = home(&zoe).await;
    assert!(of_zoe.contains("Your requests") && of_zoe.contains("exemptions withdraw"), "{of_zoe}");
    assert!(!of_zoe.contains("Waiting for you"), "{of_zoe}");
    let of_kim = home(&kim).await;
    assert!(of_kim.contains("Waiting for you") && of_kim.contains("exemptions grant"), "{of_kim}");
}

#[tokio::test]
async fn how_long_people_wait_for_a_decision_is_in_the_report() {
    let asking = Asking::acme().await;
    let mut ids = Vec::new();
    for rule in ["restore", "runbook", "dashboard"] {
        let asked =
            says(&asking, "zoe-laurent", &format!("exempt payment-api {rule} 30 Later")).await;
        ids.push(asked.answer["id"].as_i64().unwrap_or_else(|| panic!("{}", asked.markdown)));
    }
    says(&asking, "daniel-kim", &format!("exemptions grant {}", ids[0])).await;
    says(&asking, "daniel-kim", &format!("exemptions refuse {}", ids[1])).await;
    let waited =
        "update idp.exemption set asked_at = decided_at - make_interval(hours => $2) where id = $1";
    for (id, hours) in [(ids[0], 3), (ids[1], 5)] {
        sqlx::query(waited).bind(id).bind(hours).execute(&asking.fresh.pool).await.unwrap();
    }
    asking.app.record().await;
    let mut asked = invocation("adoption");
    asked.speaker.user_id = ADMIN.into();
    let report = asking.app.answer(Way::Command, asked).await;
    let approvals = "Approvals: 2 decided, half of them within 4 h, the slowest in 5 h; 1 waits";
    assert!(report.markdown.contains(approvals), "{}", report.markdown);
}

/// What is said elsewhere, in the order in which it was written: where, and what.
async fn announced(asking: &Asking) -> Vec<(String, String)> {
    let list = "select coalesce(channel, person), reply from idp.announcement order by written_at";
    let rows: Vec<(String, String)> =
        sqlx::query_as(list).fetch_all(&asking.fresh.pool).await.unwrap();
    let said = |reply: &str| serde_json::from_str::<Reply>(reply).unwrap().markdown;
    rows.into_iter().map(|(place, reply)| (place, said(&reply))).collect()
}

#[tokio::test]
async fn who_decides_hears_of_the_request_and_who_asked_of_the_decision() {
    let asking = Asking::acme().await;
    asking.app.connect(Platform::Slack);
    let asked = says(&asking, "zoe-laurent", ASK).await;
    assert!(asked.markdown.contains("decides, and is told"), "{}", asked.markdown);
    // Whoever asks for the same again tells nobody anew.
    says(&asking, "zoe-laurent", ASK).await;
    let told = announced(&asking).await;
    let [(place, said)] = &told[..] else { panic!("{told:#?}") };
    assert_eq!(place, "C0ACME0007", "the channel of the platform's admins");
    assert!(said.starts_with("Request **") && said.contains("exemptions grant"), "{said}");
    let id = asked.answer["id"].as_i64().unwrap();
    says(&asking, "daniel-kim", &format!("exemptions refuse {id} Test it first")).await;
    let told = announced(&asking).await;
    let [_, (place, said)] = &told[..] else { panic!("{told:#?}") };
    assert_eq!(*place, account(&asking.app, "zoe-laurent").user_id);
    assert!(said.starts_with("**Daniel Kim** refused what you asked for"), "{said}");
    assert!(said.ends_with("> Test it first"), "{said}");
}

#[tokio::test]
async fn nobody_is_told_twice_and_nobody_where_nothing_can_be_said() {
    let asking = Asking::acme().await;
    let asked = says(&asking, "zoe-laurent", ASK).await;
    assert!(!asked.markdown.contains("is told"), "{}", asked.markdown);
    asking.app.connect(Platform::Slack);
    let speaker = account(&asking.app, "zoe-laurent");
    let mut there = Invocation { speaker, ..invocation("exempt payment-api runbook 30 Later") };
    there.address.channel_id = "C0ACME0007".into();
    asking.app.answer(Way::Command, there).await;
    assert_eq!(announced(&asking).await, []);
}
