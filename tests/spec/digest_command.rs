//! `digest`: how deliveries went, how a digest would read, and what a team says to it.

use std::sync::Arc;

use idp::conversation::{Audience, Platform, Reply, Way};
use idp::digests::DigestSet;
use idp::digests::store;
use sqlx::AssertSqlSafe;

use crate::asking::{ADMIN, Asking, acme, invocation};

/// Priya Raman, who is in no team that owns payment-api.
const ANOTHER: &str = "U0ACME0005";

async fn says(asking: &Asking, user: &str, text: &str) -> Reply {
    let mut invocation = invocation(text);
    invocation.speaker.user_id = user.into();
    asking.app.answer(Way::Command, invocation).await
}

/// What Zoé Laurent of Payments reads, without the escapes of Markdown.
async fn reads(asking: &Asking, text: &str) -> String {
    let reply = asking.says(text).await;
    assert_eq!(reply.refusal, None, "{text}: {}", reply.markdown);
    plain(&reply)
}

fn plain(reply: &Reply) -> String {
    reply.markdown.replace('\\', "")
}

async fn number(asking: &Asking, query: &str) -> i64 {
    let query = AssertSqlSafe(query.to_string());
    sqlx::query_scalar(query).fetch_one(&asking.fresh.pool).await.unwrap()
}

const DELIVERIES: &str = "select count(*) from idp.digest_delivery";

#[tokio::test]
async fn a_preview_is_what_the_team_would_hear_and_nothing_is_sent() {
    let asking = Asking::acme().await;
    asking.app.connect(Platform::Slack);
    let reply = asking.says("digest preview weekly payments").await;
    let said = plain(&reply);
    assert!(said.starts_with("## Payments: Your week\n\nYou own 19 things."), "{said}");
    assert!(said.contains("**Production readiness**: "), "{said}");
    assert!(said.contains("### Cheapest next step"), "{said}");
    assert!(
        said.contains(
            "_Nothing was sent: so weekly would read now in the channel C0ACME0004 (slack)._"
        ),
        "{said}"
    );
    assert!(!said.contains("Send it now"), "she may not: {said}");
    assert_eq!((reply.audience, number(&asking, DELIVERIES).await), (Audience::Channel, 0));
    // Without a team her own is meant; in her words too, and as the first field of a form holds it.
    for words in [
        "digest preview weekly",
        "preview the weekly digest of payments",
        "digest preview \"weekly payments\"",
    ] {
        assert_eq!(reads(&asking, words).await, said, "{words}");
    }
    assert!(
        plain(&says(&asking, ADMIN, "digest preview weekly payments").await)
            .contains("Send it now")
    );
    let unknown = asking.says("digest preview weakly payments").await;
    assert_eq!(
        unknown.markdown.lines().next().unwrap(),
        "There is no digest `weakly`. Did you mean `weekly`?"
    );
}

#[tokio::test]
async fn only_admins_send_out_of_turn_and_only_once_a_day() {
    let asking = Asking::acme().await;
    let send = "digest send weekly payments";
    let nowhere = says(&asking, ADMIN, send).await;
    assert_eq!(nowhere.refusal.unwrap().code, "unavailable");
    asking.app.connect(Platform::Slack);
    let refused = asking.says(send).await;
    assert_eq!(refused.refusal.unwrap().code, "not_allowed");
    assert_eq!(number(&asking, DELIVERIES).await, 0);
    let sent = plain(&says(&asking, ADMIN, send).await);
    assert!(
        sent.starts_with("`weekly` goes to **Payments**, and is in its channel by 20"),
        "{sent}"
    );
    let by = "select count(*) from idp.digest_delivery where sent_by = 'user:default/daniel-kim' and state = 'planned'";
    assert_eq!(number(&asking, by).await, 1);
    let again = says(&asking, ADMIN, send).await;
    assert!(plain(&again).contains("never hears a second"), "{}", again.markdown);
    assert_eq!(number(&asking, DELIVERIES).await, 1);
    let said = reads(&asking, "digest log weekly payments").await;
    assert!(said.contains("`weekly` to **Payments**: `WAITING`, slack `C0ACME0004`"), "{said}");
}

/// Who answers for a scorecard answers for what is told of it.
#[tokio::test]
async fn who_answers_for_a_scorecard_of_the_digest_may_send_it() {
    let asking = Asking::acme().await;
    asking.app.connect(Platform::Slack);
    let card = "name: a\nexemptions: {approvers: [group:payments]}\n\
                checks: [{name: b, rules: [{name: c, pass: entity.docs}]}]\n";
    let card = idp::scorecards::file::read(card, "a.yaml", &idp::scorecards::Keys::new()).unwrap();
    asking.app.scorecards.store(Arc::new(idp::scorecards::ScorecardSet::of(vec![card])));
    reads(&asking, "digest send weekly order-flow").await;
    let refused = says(&asking, ANOTHER, "digest send weekly payments").await;
    assert_eq!(refused.refusal.unwrap().code, "not_allowed");
}

#[tokio::test]
async fn what_cannot_be_sent_does_not_take_the_place_of_the_one_of_today() {
    let asking = Asking::acme().await;
    asking.app.connect(Platform::Slack);
    reads(&asking, "digest snooze payments").await;
    let sent = plain(&says(&asking, ADMIN, "digest send weekly payments").await);
    assert!(
        sent.starts_with("`weekly` is not sent to **Payments**. The team snoozed its digests."),
        "{sent}"
    );
    assert_eq!(number(&asking, DELIVERIES).await, 0);
}

#[tokio::test]
async fn a_team_snoozes_its_digests_and_nobody_elses() {
    let asking = Asking::acme().await;
    for refused in ["digest snooze order-flow", "digest wake order-flow"] {
        let refused = asking.says(refused).await;
        let said = "Only who is in `group:default/order-flow` speaks for it.";
        assert!(plain(&refused).starts_with(said), "{}", refused.markdown);
    }
    let snoozed = "select count(*) from idp.digest_snooze where until > now() + interval '29 days'";
    reads(&asking, "digest snooze \"payments 3\"").await;
    assert_eq!(number(&asking, snoozed).await, 0);
    let said = reads(&asking, "digest snooze payments 30").await;
    assert!(said.starts_with("**Payments** hears no digest until 20"), "{said}");
    assert_eq!(number(&asking, snoozed).await, 1);
    for wrong in ["0", "91", "forever", "-1"] {
        let refused = asking.says(&format!("digest snooze payments {wrong}")).await;
        assert_eq!(refused.refusal.unwrap().code, "invalid_argument", "{wrong}");
    }
    let said = reads(&asking, "wake the digests of payments").await;
    assert!(said.starts_with("**Payments** hears its digests again"), "{said}");
    assert_eq!(number(&asking, "select count(*) from idp.digest_snooze").await, 0);
    // An admin may for every team.
    assert_eq!(says(&asking, ADMIN, "digest snooze order-flow 1").await.refusal, None);
}

#[tokio::test]
async fn what_a_team_says_is_not_its_own_is_written_down_and_told_until_it_is_mended() {
    let asking = Asking::acme().await;
    let refused = says(&asking, ANOTHER, "digest not-ours payment-api").await;
    assert_eq!(refused.refusal.unwrap().code, "not_allowed");
    let said =
        reads(&asking, "digest not-ours payment-api we gave it to <!channel> Order Flow").await;
    assert!(said.starts_with("**Payments** says that **Payment API** (`payment-api`) is not its own.\n\n> we gave it to <!channel> Order Flow"), "{said}");
    assert!(said.contains("it stands in `payment-processing.yaml`, line "), "{said}");
    let list = reads(&asking, "digest not-ours").await;
    assert!(list.contains("**1 thing** whose owner says"), "{list}");
    assert!(
        list.contains("is written down as **Payments**'s in `payment-processing.yaml`"),
        "{list}"
    );
    assert!(list.contains("(Zoé Laurent, 20"), "{list}");
    let digest = reads(&asking, "digest preview weekly payments").await;
    assert!(digest.contains("**You said that these are not yours:** Payment API."), "{digest}");
    // The catalog names another owner: nothing is left to say.
    let moved = "update idp.disowned set team = 'group:default/order-flow'";
    sqlx::query(moved).execute(&asking.fresh.pool).await.unwrap();
    assert!(reads(&asking, "digest not-ours").await.starts_with("No team says of anything"));
    let back = "update idp.disowned set team = 'group:default/payments'";
    sqlx::query(back).execute(&asking.fresh.pool).await.unwrap();
    let said = reads(&asking, "digest ours payment-api").await;
    assert!(said.starts_with("Nobody says any more that **Payment API**"), "{said}");
    assert!(reads(&asking, "digest not-ours").await.starts_with("No team says of anything"));
}

#[tokio::test]
async fn the_log_tells_how_each_delivery_ended_and_why() {
    let asking = Asking::acme().await;
    assert!(reads(&asking, "digest").await.starts_with("No digest was due yet."));
    for (number, (state, outcome, detail)) in [
        ("done", "'SENT'", "null"),
        ("done", "'NOT_IN_CHANNEL'", "'not_in_channel'"),
        ("done", "'OF_TOMORROW'", "null"),
        ("handed", "null", "null"),
        ("planned", "null", "null"),
    ]
    .into_iter()
    .enumerate()
    {
        let insert = format!(
            "insert into idp.digest_delivery
               (digest, team, date, slot_at, platform, channel, mark, send_at, is_late, body, state, doubt, not_before,
                expires_at, planned_at, outcome, detail)
             select 'weekly', 'group:default/payments', date '2026-01-01' + {number}, timestamptz '2026-01-01' + interval '{number} days',
               'slack', 'C0ACME0004', '{number}', now(), false, '', '{state}', 'none', now(), now(), now(), {outcome}, {detail}"
        );
        sqlx::query(AssertSqlSafe(insert)).execute(&asking.fresh.pool).await.unwrap();
    }
    let said = reads(&asking, "digest log").await;
    for line in [
        "✅ **2026-01-01** `weekly` to **Payments**: `SENT`, slack `C0ACME0004`",
        "❌ **2026-01-02** `weekly` to **Payments**: `NOT_IN_CHANNEL`, slack `C0ACME0004`",
        "The bot is not in the channel. Invite it: `/invite @idp`. It said: not_in_channel.",
        "**2026-01-03** `weekly` to **Payments**: `UNKNOWN`",
        "⏳ **2026-01-04** `weekly` to **Payments**: `SCHEDULED`",
        "⏳ **2026-01-05** `weekly` to **Payments**: `WAITING`",
    ] {
        assert!(said.contains(line), "{line}\n{said}");
    }
    assert!(said.starts_with("**5 deliveries**"), "{said}");
    for narrowed in ["digest log weekly", "digest log payments", "digest log weekly payments"] {
        assert!(reads(&asking, narrowed).await.starts_with("**5 deliveries**"), "{narrowed}");
    }
    assert!(
        reads(&asking, "digest log order-flow")
            .await
            .starts_with("No digest was due for **Order Flow** yet.")
    );
}

#[tokio::test]
async fn acmes_digest_is_for_every_team_that_owns_something() {
    let (digests, problems) = DigestSet::load(&acme().join("digests"));
    assert_eq!(problems, []);
    let asking = Asking::acme().await;
    let snapshot = asking.app.snapshot();
    let hearers =
        idp::digests::hearers(digests.find("weekly").unwrap(), &snapshot, &[Platform::Slack]);
    let teams = hearers.iter().filter(|it| it.place.is_some()).count();
    assert_eq!(teams, 8, "{hearers:?}");
    let mut connection = asking.fresh.pool.acquire().await.unwrap();
    assert_eq!(store::disowned(&mut connection).await.unwrap(), []);
}
