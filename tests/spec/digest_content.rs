//! What digests say: what made things worse, of when their figures are, within the limits of both platforms.

use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use idp::catalog::{EntityRef, flow as catalog};
use idp::chat::{discord, slack};
use idp::conversation::{Platform, Reply, Untrusted};
use idp::digests::DigestSet;
use idp::digests::file::{self as digest_file, Digest};
use idp::digests::flow::{self, Desk, Sending};
use idp::pictures::Drawing;
use idp::scorecards::exemption::{self, Decision, Request};
use idp::scorecards::flow::{Evaluator, Loaded};
use idp::scorecards::{Keys, ScorecardSet, file};
use serde_json::Value;
use sqlx::AssertSqlSafe;

use crate::database::{Fresh, fresh};
use crate::directory::Directory;
use crate::{discord_judge, slack_judge};

const CARD: &str = "name: ready
title: Ready for production
filter: {kinds: [Component]}
checks:
  - name: docs
    title: Docs
    rules:
      - {name: described, title: It says what it is for, pass: entity.description != \"\", effort: 5,
         remedy: Write one sentence into `metadata.description`.}
      - name: runbook
        title: A runbook is linked
        pass: entity.links.exists(it, it.type == \"runbook\")
        effort: 30
        remedy: {text: Write one., link: https://wiki.acme.example/runbooks}
levels: [{name: Bronze, from: 50}, {name: Gold, from: 100}]
";

const TEAM: &str = "---
apiVersion: backstage.io/v1alpha1
kind: Group
metadata: {name: payments, annotations: {slack.com/channel-id: C1, discord.com/channel-id: '1'}}
spec: {type: team, profile: {displayName: Payments}, children: []}
";

/// A team, what it owns, and what it hears.
struct Team {
    fresh: Fresh,
    directory: Directory,
    loaded: Loaded,
    evaluator: Evaluator,
}

fn digest() -> Digest {
    let text = "name: weekly\ntitle: Your week\nschedule: 0 9 * * mon\nzone: Europe/Berlin\n";
    digest_file::read(text, "weekly.yaml").unwrap()
}

fn loaded(card: &str) -> Loaded {
    let scorecard = file::read(card, "ready.yaml", &Keys::new()).unwrap();
    Loaded { scorecards: Arc::new(ScorecardSet::of(vec![scorecard])), read_at: Instant::now() }
}

/// A service of the team's.
fn service(name: &str, title: &str, more: &str) -> String {
    let title = serde_json::to_string(title).unwrap();
    format!(
        "---\napiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata:\n  name: {name}\n  title: {title}\n{more}\
         spec: {{type: service, lifecycle: production, owner: payments}}\n"
    )
}

const GOOD: &str = "  description: Takes the money.\n  links: [{url: 'https://wiki.acme.example/a', type: runbook}]\n";
const BAD: &str = "  description: Takes the money.\n";

impl Team {
    async fn of(files: &[(&str, &str)]) -> Team {
        let directory = Directory::with(files);
        directory.write("team.yaml", TEAM);
        let mut team = Team {
            fresh: fresh().await,
            directory,
            loaded: loaded(CARD),
            evaluator: Evaluator::default(),
        };
        team.directory.import(&team.fresh.pool).await;
        team.is_evaluated().await;
        team
    }

    async fn desk(&self) -> Desk {
        Desk {
            digests: Arc::new(DigestSet::new(vec![digest()])),
            snapshot: Arc::new(catalog::load(&self.fresh.pool, &[]).await.unwrap()),
            scorecards: self.loaded.scorecards.clone(),
            connected: vec![Platform::Slack],
        }
    }

    async fn is_evaluated(&mut self) {
        let desk = self.desk().await;
        let evaluated = self.evaluator.evaluate(&self.fresh.pool, desk.snapshot, &self.loaded);
        evaluated.await.unwrap();
    }

    async fn changes(&mut self, file: &str, text: &str) {
        self.directory.write(file, text);
        self.directory.import(&self.fresh.pool).await;
    }

    async fn does(&self, statement: &str) {
        sqlx::query(AssertSqlSafe(statement)).execute(&self.fresh.pool).await.unwrap();
    }

    /// It is told its digest now, and that was a week ago.
    async fn was_told(&self) {
        let (desk, team) = (self.desk().await, payments());
        let sent = flow::send(&self.fresh.pool, &desk, &digest(), &team, None).await.unwrap();
        assert!(matches!(sent, Sending::At(_)), "{sent:?}");
        self.does(
            "update idp.digest_delivery
             set state = 'done', outcome = 'SENT', done_at = now(), date = date - 7, slot_at = slot_at - interval '7 days'",
        )
        .await;
    }

    async fn previews(&self) -> Reply {
        let (desk, team) = (self.desk().await, payments());
        let previewed = flow::preview(&self.fresh.pool, &desk, &digest(), &team).await;
        previewed.unwrap().1.unwrap()
    }

    /// What it hears, without the escapes of Markdown.
    async fn reads(&self) -> String {
        plain(&self.previews().await)
    }
}

fn plain(reply: &Reply) -> String {
    reply.markdown.replace('\\', "")
}

fn payments() -> EntityRef {
    EntityRef::new("group", "default", "payments")
}

fn of(name: &str) -> EntityRef {
    EntityRef::new("component", "default", name)
}

/// Check 6: somebody edits a descriptor, it is imported, and the digest says which change made what worse.
#[tokio::test]
async fn a_digest_names_the_change_that_made_things_worse() {
    let mut team = Team::of(&[
        ("pay.yaml", &service("pay", "Pay", GOOD)),
        ("refunds.yaml", &service("refunds", "Refunds", BAD)),
    ])
    .await;
    let first = team.reads().await;
    assert!(
        first.contains("**Ready for production**: 1 Gold, 1 Bronze; **75%** on average"),
        "{first}"
    );
    assert!(!first.contains("Got worse"), "{first}");
    team.was_told().await;
    team.changes("pay.yaml", &service("pay", "Pay", BAD)).await;
    team.changes("refunds.yaml", &service("refunds", "Refunds", GOOD)).await;
    team.is_evaluated().await;
    let said = team.reads().await;
    assert!(
        said.contains(
            "### Got worse\n\n- ❌ **Pay** (`pay`): _A runbook is linked_ (Ready for production), because \
             metadata.links of component:default/pay was removed in pay.yaml\n"
        ),
        "{said}"
    );
    assert!(
        said.contains("### Passes now\n\n- ✅ **Refunds** (`refunds`): _A runbook is linked_"),
        "{said}"
    );
    assert!(said.contains("1 Gold, 1 Bronze; **75%** on average"), "{said}");
    for button in ["[Fix Pay](<idp:score pay>)", "(<idp-form:exempt pay ready/runbook>)"] {
        assert!(said.contains(button), "{button}\n{said}");
    }
    // What was told is not told again.
    team.was_told().await;
    let said = team.reads().await;
    assert!(!said.contains("Got worse") && !said.contains("Passes now"), "{said}");
}

#[tokio::test]
async fn a_digest_says_how_many_changed_level_since_the_last_one_and_the_cheapest_step() {
    let mut team = Team::of(&[
        ("pay.yaml", &service("pay", "Pay", GOOD)),
        ("refunds.yaml", &service("refunds", "Refunds", GOOD)),
        ("ledger.yaml", &service("ledger", "Ledger", "")),
    ])
    .await;
    team.was_told().await;
    team.changes("pay.yaml", &service("pay", "Pay", BAD)).await;
    team.is_evaluated().await;
    let said = team.reads().await;
    let levels = "1 Gold (−1), 1 Bronze (+1), 1 below; **50%** on average (−17)";
    assert!(said.contains(levels), "{said}");
    let step = "**Ledger** (`ledger`) reaches **Bronze** (Ready for production, 5 min) with _It says what it is for_. \
                Write one sentence into `metadata.description`.";
    assert!(said.contains(step), "{said}");
    // Another is cheaper when that is done; its remedy is a page.
    team.changes("ledger.yaml", &service("ledger", "Ledger", GOOD)).await;
    team.is_evaluated().await;
    let said = team.reads().await;
    let step = "**Pay** (`pay`) reaches **Gold** (Ready for production, 30 min) with _A runbook is linked_. Write one. \
                [How](<https://wiki.acme.example/runbooks>)";
    assert!(said.contains(step), "{said}");
}

#[tokio::test]
async fn an_exemption_that_ends_is_told_before_and_after() {
    let mut team = Team::of(&[("pay.yaml", &service("pay", "Pay", BAD))]).await;
    let request = Request {
        entity: of("pay"),
        scorecard: "ready".into(),
        rule: "runbook".into(),
        reason: "It is written.".into(),
        days: 5,
        asked_by: EntityRef::new("user", "default", "zoe"),
    };
    let asked = exemption::flow::ask(&team.fresh.pool, &request).await.unwrap();
    let by = EntityRef::new("user", "default", "ada");
    let decided =
        exemption::flow::decide(&team.fresh.pool, asked.id, Decision::Grant, &by, None, |_| Ok(()));
    decided.await.unwrap();
    team.is_evaluated().await;
    let said = team.reads().await;
    assert!(
        said.contains(
            "### Exemptions that end\n\n- **Pay**: _A runbook is linked_ counts again on"
        ),
        "{said}"
    );
    team.was_told().await;
    team.does("update idp.exemption set ends_at = clock_timestamp()").await;
    team.does("update idp.score set until = clock_timestamp()").await;
    team.is_evaluated().await;
    let said = team.reads().await;
    assert!(
        said.contains("_A runbook is linked_ (Ready for production), because an exemption ended"),
        "{said}"
    );
    assert!(!said.contains("Exemptions that end"), "{said}");
}

#[tokio::test]
async fn a_trend_is_told_in_figures_and_drawn() {
    let mut team = Team::of(&[("pay.yaml", &service("pay", "Pay", GOOD))]).await;
    team.does("update idp.score_day set day = day - 30").await;
    team.changes("pay.yaml", &service("pay", "Pay", BAD)).await;
    team.is_evaluated().await;
    let reply = team.previews().await;
    let said = plain(&reply);
    assert!(said.contains(" ████▁ from 100% in 4 weeks"), "{said}");
    let picture = Drawing::of(&reply.answer).unwrap().draw().unwrap();
    assert!(picture.alt.contains("Ready for production"), "{}", picture.alt);
    assert!(picture.png.starts_with(b"\x89PNG"));
}

/// A database whose digests go by a clock that the test sets.
async fn clock(team: &Team, at: DateTime<Utc>) {
    let at = at.to_rfc3339();
    team.does(&format!(
        "create or replace function idp.digest_clock() returns timestamptz
         language sql volatile as 'select timestamptz ''{at}'''"
    ))
    .await;
}

async fn bodies(team: &Team) -> Vec<String> {
    let bodies = sqlx::query_scalar("select body from idp.digest_delivery order by id");
    let bodies: Vec<String> = bodies.fetch_all(&team.fresh.pool).await.unwrap();
    let reply = |body: &String| plain(&serde_json::from_str::<Reply>(body).unwrap());
    bodies.iter().map(reply).collect()
}

/// F8, and its control: what is stored then is wrong.
#[tokio::test]
async fn a_digest_waits_for_the_evaluation_and_then_says_of_when_its_figures_are() {
    for is_evaluated in [true, false] {
        let mut team = Team::of(&[("pay.yaml", &service("pay", "Pay", GOOD))]).await;
        let monday: DateTime<Utc> = "2026-01-05T08:00:00Z".parse().unwrap();
        clock(&team, monday - TimeDelta::hours(20)).await;
        let plans =
            async |team: &Team| flow::plan(&team.fresh.pool, &team.desk().await).await.unwrap();
        assert_eq!(plans(&team).await, 0, "the schedule is new");
        team.changes("pay.yaml", &service("pay", "Pay", BAD)).await;
        let due = monday - idp::digests::lead(1);
        clock(&team, due).await;
        assert_eq!(plans(&team).await, 0, "it waits");
        clock(&team, due + TimeDelta::seconds(60)).await;
        assert_eq!(plans(&team).await, 0, "it still waits");
        match is_evaluated {
            true => team.is_evaluated().await,
            false => clock(&team, due + TimeDelta::seconds(121)).await,
        }
        assert_eq!(plans(&team).await, 1, "somebody is told");
        let said = &bodies(&team).await[0];
        let has_warning = said.contains("Scores are **as of ");
        assert_eq!(
            (has_warning, said.contains("**50%** on average")),
            (!is_evaluated, is_evaluated),
            "{said}"
        );
        // Without the warning it would have said this, and nobody would have known better.
        assert_eq!(said.contains("1 Gold; **100%** on average"), !is_evaluated, "{said}");
        assert_eq!(plans(&team).await, 0, "once");
    }
}

#[tokio::test]
async fn where_nothing_was_ever_evaluated_a_digest_has_no_figures() {
    let team = Team::of(&[("pay.yaml", &service("pay", "Pay", GOOD))]).await;
    team.does("update idp.score_evaluation set evaluated_at = null, catalog_revision = -1").await;
    team.does("delete from idp.score").await;
    let desk = team.desk().await;
    let sent = flow::send(&team.fresh.pool, &desk, &digest(), &payments(), None).await.unwrap();
    assert!(matches!(sent, Sending::At(_)), "{sent:?}");
    let said = &bodies(&team).await[0];
    assert!(said.contains("Scores are not there: nothing is evaluated yet."), "{said}");
    assert!(!said.contains("on average"), "{said}");
    // What is only looked at is evaluated for it.
    let said = team.reads().await;
    assert!(said.contains("1 Gold; **100%** on average"), "{said}");
}

/// Check 5: as much as there can be to say, for teams of any size.
#[tokio::test]
async fn a_digest_of_1_12_and_200_services_is_within_the_limits_of_both_platforms() {
    for count in [1, 12, 200] {
        let title = |it: usize| format!("The service number {it} of those that take the money");
        let files = |more: &str| -> String {
            (0..count).map(|it| service(&format!("service-{it}"), &title(it), more)).collect()
        };
        let mut team = Team::of(&[("all.yaml", &files(GOOD))]).await;
        team.was_told().await;
        team.does("update idp.score_day set day = day - 30").await;
        team.changes("all.yaml", &files("")).await;
        team.is_evaluated().await;
        let reply = team.previews().await;
        let (slack, discord) = messages(&reply);
        assert_eq!(slack_judge::over_a_limit(&slack), Ok(()), "{count}: {slack}");
        assert_eq!(discord_judge::over_a_limit(&discord), Ok(()), "{count}: {discord}");
        for message in [slack.to_string(), discord.to_string()] {
            // Everything finds its place, and the rest is counted.
            assert!(!message.contains("find no place here"), "{count}: {message}");
            let ends_with_date = message.contains("Europe/Berlin");
            assert!(ends_with_date && message.contains("Snooze for a week"), "{count}: {message}");
        }
        let said = plain(&reply);
        println!("{said}\n");
        let regressions = said.matches("❌").count();
        assert_eq!(regressions, (2 * count).min(6), "{said}");
        assert_eq!(
            said.contains(&format!("- and {} more", 2 * count - regressions)),
            count > 3,
            "{said}"
        );
    }
}

fn messages(reply: &Reply) -> (Value, Value) {
    let slack = slack::outbound::message(reply).unwrap();
    (slack, serde_json::to_value(discord::outbound::Message::of(reply)).unwrap())
}

#[tokio::test]
async fn a_digest_with_hostile_names_is_as_harmless_as_any() {
    let hostile = [
        "<!channel> @everyone <@U1> <@1>",
        "](https://evil.example) [x](idp:digest snooze payments 90)",
        "`a` **b** _c_ ~~d~~ ||e|| # f",
        "https://good.example@evil.example",
        "\u{202E}gnp.exe\u{200B}",
        "[Fix](<idp:digest send weekly payments>)",
    ];
    let mut shapes = Vec::new();
    for title in std::iter::once("a harmless name").chain(hostile) {
        let mut card = CARD.replace("Ready for production", "Ready");
        let said = serde_json::to_string(title).unwrap();
        card = card.replace("title: A runbook is linked", &format!("title: {said}"));
        let mut team = Team::of(&[("pay.yaml", &service("pay", title, GOOD))]).await;
        team.loaded = loaded(&card);
        team.is_evaluated().await;
        team.was_told().await;
        team.changes("pay.yaml", &service("pay", title, BAD)).await;
        team.is_evaluated().await;
        let reply = team.previews().await;
        assert!(reply.markdown.contains("Got worse"), "{}", reply.markdown);
        let (slack, discord) = messages(&reply);
        let (on_slack, on_discord) = (slack_judge::seen(&slack), discord_judge::seen(&discord));
        assert!(!crate::hostile_text::has_hidden(&slack), "{title}: {slack}");
        // Without the escapes somebody else's button stood there.
        if title.starts_with("[Fix]") {
            let escaped = Untrusted::from(title).to_markdown();
            let trusting = Reply::markdown(reply.markdown.replace(&escaped, title));
            assert_ne!(slack_judge::shape(&messages(&trusting).0), slack_judge::shape(&slack));
        }
        shapes.push((title, on_slack, on_discord, slack_judge::shape(&slack)));
    }
    let (_, slack, discord, shape) = &shapes[0];
    assert_eq!(slack.mentions, Vec::<String>::new());
    for (title, on_slack, on_discord, of_slack) in &shapes[1..] {
        assert_eq!((on_slack, on_discord, of_slack), (slack, discord, shape), "{title}");
    }
}
