//! Digests: one message for each team and week, whatever happens.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use chrono::{DateTime, TimeDelta, Utc};
use idp::catalog::{Catalog, RelationKind, Snapshot};
use idp::chat::digests::Pauses;
use idp::conversation::{Platform, Reply};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use sqlx::PgConnection;

use crate::digest_platform::{Fate, new_year};
use crate::digest_world::{Office, SHORT, digest, entity, team, weekly};
use crate::scale::full_or;
use crate::waiting::until;

/// The first Monday of 2026 at nine.
fn monday(week: i64) -> DateTime<Utc> {
    new_year() + TimeDelta::days(4 + 7 * week) + TimeDelta::hours(9)
}

/// How often each channel was told in the weeks that begin with `first`: how many messages are missing, how many are
/// too many.
fn wrong(office: &Office, teams: usize, weeks: i64) -> (usize, usize) {
    let mut told: BTreeMap<(String, i64), usize> = BTreeMap::new();
    for said in office.fake.said() {
        // A week ends on Sunday night.
        let week = (said.at - monday(0) + TimeDelta::days(1)).num_days().div_euclid(7);
        *told.entry((said.channel, week)).or_default() += 1;
    }
    let expected = teams * usize::try_from(weeks).unwrap();
    let double = told.values().map(|count| count - 1).sum();
    (expected - told.len(), double)
}

fn random(test: &str) -> StdRng {
    let seed = match std::env::var("IDP_TEST_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => rand::rng().random(),
    };
    println!("REL {test}: IDP_TEST_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

/// How many messages are missing and too many in `weeks` of `office`.
fn verdict(office: &Office, teams: usize, weeks: i64) -> (usize, usize) {
    let verdict = wrong(office, teams, weeks);
    let (_, _, limited) = office.fake.figures();
    assert_eq!(limited, 0, "nothing is asked more often than it may be");
    verdict
}

/// The schedule counts from when a process first saw it.
async fn is_watched(office: &Office) {
    let count = "select count(*) from idp.digest_schedule";
    until("a schedule", async || office.number(count).await, |count| *count > 0).await;
}

/// The clock is where the digests of `week` are planned; returns once they are.
async fn is_planned(office: &Office, teams: usize, week: i64) -> i64 {
    // Slack is told ahead of the slot, Discord at it.
    let on_slack = if office.platform == Platform::Slack { teams } else { 0 };
    office.is(monday(week) - idp::digests::lead(on_slack) + TimeDelta::seconds(1)).await;
    let expected = i64::try_from(teams).unwrap() * (week + 1);
    let count = "select count(*) from idp.digest_delivery";
    until("planned", async || office.number(count).await, |count| *count == expected).await;
    if office.platform == Platform::Discord {
        office.is(monday(week) + TimeDelta::minutes(1)).await;
    }
    expected
}

/// All that is planned is handed over, and is in its channel.
async fn goes_out(office: &Office, week: i64, expected: i64, each: impl AsyncFnMut()) {
    office.hands_over(expected, each).await;
    if office.platform == Platform::Slack {
        assert!(office.now() < monday(week), "it took too long: {}", office.now());
        // What was handed over is looked at once more.
        office.is(monday(week) - TimeDelta::minutes(3)).await;
        office.is_audited().await;
        office.is(monday(week) + TimeDelta::minutes(3)).await;
    }
    office.rests().await;
}

/// F1, R10: three processes, one killed now and then at whatever it does, one answer in twenty lost. How many messages
/// are missing, how many are too many, and the figures.
async fn team_weeks(platform: Platform, teams: usize, weeks: i64) -> (usize, usize, String) {
    let mut random = random("R10");
    let office = Office::open(platform, teams, weekly()).await;
    let mut fates = StdRng::seed_from_u64(random.random());
    office.fake.decides(move |call, _| match fates.random_range(0..40) {
        _ if call.ends_with("list") || call.starts_with("GET") => Fate::Answered,
        0 => Fate::AnswerLost,
        1 => Fate::RequestLost,
        _ => Fate::Answered,
    });
    let mut processes = Vec::new();
    for _ in 0..3 {
        processes.push(office.process().await);
    }
    is_watched(&office).await;
    for week in 0..weeks {
        let expected = is_planned(&office, teams, week).await;
        let mut until_kill = random.random_range(1..10);
        let kill = async || {
            until_kill -= 1;
            if until_kill == 0 {
                let victim = random.random_range(0..3);
                let successor = office.process().await;
                office.kill(std::mem::replace(&mut processes[victim], successor)).await;
                until_kill = random.random_range(10..200);
            }
        };
        goes_out(&office, week, expected, kill).await;
    }
    let (missing, double) = verdict(&office, teams, weeks);
    let (calls, lost, _) = office.fake.figures();
    let kills = office.kills.load(Ordering::Relaxed);
    let unknown = office.states().await.get("MAY_HAVE_ARRIVED").copied().unwrap_or(0);
    let team_weeks = teams * usize::try_from(weeks).unwrap();
    let figures = format!(
        "platform={} team_weeks={team_weeks} kills={kills} lost_answers={lost} calls={calls} unknown={unknown}",
        platform.word()
    );
    (missing, double, figures)
}

#[tokio::test]
async fn each_team_hears_each_week_exactly_once_on_slack() {
    let (teams, weeks) = (full_or(2_000, 200), full_or(52, 10) as i64);
    let (missing, double, figures) = team_weeks(Platform::Slack, teams, weeks).await;
    println!("REL R10 {figures} missing={missing} double={double}");
    assert_eq!((missing, double), (0, 0));
}

#[tokio::test]
async fn each_team_hears_each_week_exactly_once_on_discord() {
    let (teams, weeks) = (full_or(2_000, 200), full_or(52, 10) as i64);
    let (missing, double, figures) = team_weeks(Platform::Discord, teams, weeks).await;
    println!("REL R10 {figures} missing={missing} double={double}");
    assert_eq!((missing, double), (0, 0));
}

/// Where a process is killed.
#[derive(Debug, Clone, Copy)]
enum Point {
    /// The words are made, and nothing is written down.
    Planning,
    /// It looks for what the database may have forgotten.
    Looking,
    /// Deliveries count as sent, and none is.
    Claimed,
    /// The platform has them, and has not said so.
    Arrived,
    /// It has said so, and that is not written down.
    Answered,
}

/// What is posted by a call of `platform`.
fn posts(platform: Platform) -> &'static str {
    if platform == Platform::Discord { "POST messages" } else { "chat.scheduleMessage" }
}

impl Point {
    const ALL: [Point; 5] =
        [Point::Planning, Point::Looking, Point::Claimed, Point::Arrived, Point::Answered];

    /// What holds a process up there.
    fn fate(self, platform: Platform, call: &str) -> Fate {
        match self {
            Point::Planning => Fate::Answered,
            Point::Looking if call.ends_with("list") => Fate::Held,
            Point::Claimed if call == posts(platform) => Fate::Held,
            Point::Arrived | Point::Answered if call == posts(platform) => Fate::AnswerHeld,
            Point::Looking | Point::Claimed | Point::Arrived | Point::Answered => Fate::Answered,
        }
    }
}

/// A process is killed at `point` in the planning or sending of `week`.
async fn dies_at(office: &Office, point: Point, teams: usize, week: i64) {
    let platform = office.platform;
    office.fake.decides(move |call, _| point.fate(platform, call));
    let blocked = "select count(*) from pg_stat_activity
                   where wait_event_type = 'Lock' and datname = current_database()";
    let blocked = async || office.number(blocked).await;
    let mut holder = office.fresh.pool.begin().await.unwrap();
    let hold = async |holder: &mut PgConnection, what: &'static str| {
        sqlx::query(what).execute(holder).await.unwrap();
    };
    if matches!(point, Point::Planning) {
        hold(&mut holder, "lock table idp.digest_delivery in share mode").await;
        let process = office.process().await;
        let on_slack = if platform == Platform::Slack { teams } else { 0 };
        office.is(monday(week) - idp::digests::lead(on_slack) + TimeDelta::seconds(1)).await;
        until("the plan is written down", blocked, |count| *count > 0).await;
        let name = office.dies(process).await;
        holder.rollback().await.unwrap();
        return office.leases_end(&name).await;
    }
    let process = office.process().await;
    is_planned(office, teams, week).await;
    // Discord is asked for nothing before the slot.
    if matches!((point, platform), (Point::Looking, Platform::Discord)) {
        return office.kill(process).await;
    }
    until("a call is held", async || office.fake.held(), |count| *count > 0).await;
    if matches!(point, Point::Answered) {
        hold(&mut holder, "select from idp.digest_delivery for update").await;
        office.fake.lets_go();
        until("what became of it is written down", blocked, |count| *count > 0).await;
    }
    let name = office.dies(process).await;
    holder.rollback().await.unwrap();
    office.leases_end(&name).await;
}

/// F2: each week a process is killed at each point.
async fn killed_at_each_point(platform: Platform, teams: usize, weeks: i64) -> (usize, usize) {
    let office = Office::open(platform, teams, weekly()).await;
    let first = office.process().await;
    is_watched(&office).await;
    office.kill(first).await;
    for week in 0..weeks {
        for point in Point::ALL {
            dies_at(&office, point, teams, week).await;
        }
        office.fake.decides(|_, _| Fate::Answered);
        let last = office.process().await;
        let expected = is_planned(&office, teams, week).await;
        goes_out(&office, week, expected, async || {}).await;
        office.kill(last).await;
    }
    let kills = office.kills.load(Ordering::Relaxed);
    let (missing, double) = verdict(&office, teams, weeks);
    let deliveries = teams * usize::try_from(weeks).unwrap();
    println!(
        "REL F2 platform={} deliveries={deliveries} points={} kills={kills} missing={missing} double={double}",
        platform.word(),
        Point::ALL.len()
    );
    (missing, double)
}

#[tokio::test]
async fn a_kill_between_any_two_steps_costs_no_digest_and_makes_no_second() {
    for platform in [Platform::Slack, Platform::Discord] {
        let (teams, weeks) = (full_or(250, 10), full_or(20, 1) as i64);
        assert_eq!(killed_at_each_point(platform, teams, weeks).await, (0, 0), "{platform:?}");
    }
}

/// The control: where it is not written down that a message may have arrived, it is sent twice.
#[tokio::test]
async fn a_message_that_counts_as_not_sent_before_it_is_would_be_sent_twice() {
    let office = Office::open(Platform::Slack, 10, weekly()).await;
    for statement in [
        "create function idp.forget_doubt() returns trigger language plpgsql as
         'begin new.doubt := ''none''; return new; end'",
        "create trigger forget before insert or update on idp.digest_delivery
         for each row execute function idp.forget_doubt()",
    ] {
        sqlx::query(statement).execute(&office.fresh.pool).await.unwrap();
    }
    office.fake.decides(|call, _| match call {
        "chat.scheduleMessage" => Fate::AnswerHeld,
        _ => Fate::Answered,
    });
    let process = office.process().await;
    is_watched(&office).await;
    is_planned(&office, 10, 0).await;
    until("a call is held", async || office.fake.held(), |count| *count > 0).await;
    office.kill(process).await;
    office.fake.decides(|_, _| Fate::Answered);
    let _other = office.process().await;
    office.hands_over(10, async || {}).await;
    // Nobody takes the second copy back, either.
    office.is(monday(0) + TimeDelta::minutes(3)).await;
    let (missing, double) = wrong(&office, 10, 1);
    println!("REL F2 control=no_doubt missing={missing} double={double}");
    assert!(double > 0, "the control finds nothing wrong");
}

/// The control: without the key, and with nobody noting how far a schedule is dealt with, each look plans anew.
#[tokio::test]
async fn without_the_key_of_a_delivery_three_processes_would_plan_it_again_and_again() {
    let office = Office::open(Platform::Slack, 5, weekly()).await;
    for statement in [
        "alter table idp.digest_delivery drop constraint digest_delivery_digest_team_date_key",
        "create function idp.stay() returns trigger language plpgsql as
         'begin new.since := old.since; return new; end'",
        "create trigger stay before update on idp.digest_schedule
         for each row execute function idp.stay()",
    ] {
        sqlx::query(statement).execute(&office.fresh.pool).await.unwrap();
    }
    let _processes = [office.process().await, office.process().await, office.process().await];
    is_watched(&office).await;
    office.is(monday(0) - idp::digests::lead(5) + TimeDelta::seconds(1)).await;
    let count = "select count(*) from idp.digest_delivery";
    until("planned again", async || office.number(count).await, |count| *count > 5).await;
    println!("REL F1 control=no_key double={}", office.number(count).await - 5);
}

/// The outcomes of all deliveries, by date.
async fn outcomes(office: &Office) -> Vec<String> {
    let list = "select to_char(date, 'MM-DD') || ' ' || coalesce(outcome, state)
                from idp.digest_delivery order by date, team";
    sqlx::query_scalar(list).fetch_all(&office.fresh.pool).await.unwrap()
}

/// What a digest tells team 0 of its past, as the delivery of `date` has it.
async fn says(office: &Office, date: &str) -> String {
    let body = "select body from idp.digest_delivery where to_char(date, 'MM-DD') = $1 and team like '%team-0'";
    let body: String =
        sqlx::query_scalar(body).bind(date).fetch_one(&office.fresh.pool).await.unwrap();
    serde_json::from_str::<Reply>(&body).unwrap().markdown
}

/// F3: idp is down from the first Monday's eve until `back`. The outcomes, and what the next digest says.
async fn after_an_outage(back: DateTime<Utc>) -> (Vec<String>, String) {
    let office = Office::open(Platform::Slack, 2, weekly()).await;
    let before = office.process().await;
    is_watched(&office).await;
    office.is(monday(0) - TimeDelta::hours(12)).await;
    office.kill(before).await;
    office.is(back).await;
    let _after = office.process().await;
    let count = "select count(*) from idp.digest_delivery";
    until("planned", async || office.number(count).await, |count| *count > 0).await;
    office.rests().await;
    let now = outcomes(&office).await;
    let said = office.fake.said().len();
    assert!(said <= 2, "a burst: {said}");
    // The next one is on time, and says what there was not.
    let week = (back - monday(0)).num_weeks() + 1;
    office.is(monday(week) - idp::digests::lead(2) + TimeDelta::seconds(1)).await;
    let date = monday(week).format("%m-%d").to_string();
    office.hands_over(i64::try_from(now.len()).unwrap() + 2, async || {}).await;
    (now, says(&office, &date).await)
}

#[tokio::test]
async fn a_missed_digest_is_caught_up_once_and_says_that_it_is_late() {
    let (outcomes, next) = after_an_outage(monday(0) + TimeDelta::hours(1)).await;
    assert_eq!(outcomes, ["01-05 LATE", "01-05 LATE"]);
    assert!(!next.contains("There was none"), "{next}");
}

#[tokio::test]
async fn a_digest_that_is_too_late_is_left_out_and_the_next_says_so() {
    let (outcomes, next) = after_an_outage(monday(0) + TimeDelta::hours(26)).await;
    assert_eq!(outcomes, ["01-05 MISSED", "01-05 MISSED"]);
    assert!(next.contains("There was none on 5 January: idp was down."), "{next}");
}

#[tokio::test]
async fn after_weeks_of_outage_a_team_hears_one_digest_at_most() {
    let (outcomes, next) = after_an_outage(monday(2) + TimeDelta::hours(2)).await;
    let dates = ["01-05 MISSED", "01-12 MISSED", "01-19 LATE"];
    assert_eq!(outcomes, dates.map(|it| [it, it]).concat());
    // What the late one has said already is not said again.
    assert!(!next.contains("idp was down"), "{next}");
}

#[tokio::test]
async fn a_late_digest_says_when_it_was_due_and_what_there_was_not() {
    let office = Office::open(Platform::Discord, 1, weekly()).await;
    let before = office.process().await;
    is_watched(&office).await;
    office.kill(before).await;
    office.is(monday(1) + TimeDelta::minutes(90)).await;
    office
        .fake
        .decides(|call, _| if call.starts_with("POST") { Fate::Held } else { Fate::Answered });
    let _after = office.process().await;
    let count = "select count(*) from idp.digest_delivery where state = 'planned'";
    until("planned", async || office.number(count).await, |count| *count == 1).await;
    let said = says(&office, "01-12").await;
    assert!(said.contains(r"This digest is late: it was due on 12 January at 09\:00."), "{said}");
    assert!(said.contains("There was none on 5 January: idp was down."), "{said}");
}

/// F6: the database's clock is set back by an hour after all was handed over, then forward by a day, and back again.
#[tokio::test]
async fn a_clock_that_jumps_makes_no_second_digest() {
    for platform in [Platform::Slack, Platform::Discord] {
        let office = Office::open(platform, 5, weekly()).await;
        let _processes = [office.process().await, office.process().await];
        is_watched(&office).await;
        let expected = is_planned(&office, 5, 0).await;
        office.hands_over(expected, async || {}).await;
        let (back, ahead) = (office.now() - TimeDelta::hours(1), office.now() + TimeDelta::days(1));
        for jump in [back, ahead, back] {
            office.database_says(jump).await;
            tokio::task::yield_now().await;
            let looks = "select count(*) from idp.digest_schedule, idp.clock_of_test
                         where seen_at = now";
            until("a look", async || office.number(looks).await, |it| *it == 1).await;
        }
        office.is(monday(0) + TimeDelta::minutes(5)).await;
        office.rests().await;
        assert_eq!(wrong(&office, 5, 1), (0, 0), "{platform:?}");
    }
}

/// F7: what a team is called, and where it hears, changes while its digest is on its way.
#[tokio::test]
async fn a_team_that_is_renamed_or_moves_on_the_way_hears_one_digest() {
    let office = Office::open(Platform::Slack, 3, weekly()).await;
    let first = office.process().await;
    is_watched(&office).await;
    office.fake.decides(|call, _| match call {
        "chat.scheduleMessage" => Fate::RequestLost,
        _ => Fate::Answered,
    });
    let expected = is_planned(&office, 3, 0).await;
    // Team 0 has another name now, team 1 another channel.
    let mut entities: Vec<_> = (0..3).flat_map(|it| team(Platform::Slack, it)).collect();
    entities[0] = entity("group:renamed", &[], json!({ "slack.com/channel-id": "C0" }));
    entities[1] =
        entity("component:service-0", &[(RelationKind::OwnedBy, "group:renamed")], json!({}));
    entities[2] = entity("group:team-1", &[], json!({ "slack.com/channel-id": "C9" }));
    office.catalog.current.store(Arc::new(Snapshot::build(entities, &[], 2)));
    office.kill(first).await;
    office.fake.decides(|_, _| Fate::Answered);
    let _second = office.process().await;
    goes_out(&office, 0, expected, async || {}).await;
    let mut channels: Vec<String> = office.fake.said().into_iter().map(|it| it.channel).collect();
    channels.sort();
    assert_eq!(channels, ["C0", "C1", "C2"], "as it was when the digest was planned");
    // And the next one as it is then.
    is_planned(&office, 3, 1).await;
    goes_out(&office, 1, 6, async || {}).await;
    let later = office.fake.said().into_iter().filter(|it| it.at > monday(1));
    let mut channels: Vec<String> = later.map(|it| it.channel).collect();
    channels.sort();
    assert_eq!(channels, ["C0", "C2", "C9"]);
}

/// F9: as many teams as there are, and a workspace that takes fifty calls of a kind a minute.
#[tokio::test]
async fn thousands_of_digests_are_scheduled_before_their_time_at_the_pace_that_slack_takes() {
    let teams = full_or(2_000, 120);
    let mut office = Office::open(Platform::Slack, teams, weekly()).await;
    office.fake.takes_in_a_minute(50);
    let real = Pauses::of(Platform::Slack);
    office.pauses = Pauses { send: real.send, look: real.look, survey: real.survey, ..SHORT };
    let _processes = [office.process().await, office.process().await];
    is_watched(&office).await;
    is_planned(&office, teams, 0).await;
    // A second of the clock lasts some milliseconds, as long as somebody has something in hand or a turn to take.
    let planned = "select count(*) from idp.digest_delivery where state = 'planned'";
    let due = "select count(*) from idp.digest_delivery, idp.clock_of_test
               where state <> 'done' and (leased_until > now or (state = 'planned' and not_before <= now
                 and coalesce((select next_at from idp.digest_pace
                   where purpose = case doubt when 'none' then 'send' else 'look' end), now) <= now))";
    while office.number(planned).await > 0 {
        until("a turn is taken", async || office.number(due).await, |count| *count == 0).await;
        office.passes(TimeDelta::milliseconds(1_250)).await;
    }
    let began = monday(0) - idp::digests::lead(teams);
    let took = office.now() - began;
    assert!(office.now() < monday(0), "{}", office.now());
    while office.now() < monday(0) + TimeDelta::minutes(4) {
        until("nothing is in hand", async || office.number(due).await, |count| *count == 0).await;
        office.passes(TimeDelta::seconds(5)).await;
    }
    office.rests().await;
    let (calls, _, limited) = office.fake.figures();
    let last = office.fake.said().into_iter().map(|it| it.at).max().unwrap();
    println!(
        "REL F9 teams={teams} calls={calls} limited={limited} scheduling_s={} last_after_slot_s={}",
        took.num_seconds(),
        (last - monday(0)).num_seconds()
    );
    assert_eq!((limited, wrong(&office, teams, 1)), (0, (0, 0)));
    assert!(last < monday(0) + TimeDelta::minutes(1));
}

/// A request that was on its way for longer than anybody waits, as that of a process that was stopped meanwhile.
#[tokio::test]
async fn a_second_copy_that_arrives_late_is_taken_back_before_it_is_posted() {
    let office = Office::open(Platform::Slack, 4, weekly()).await;
    let mut first = true;
    office.fake.decides(move |call, _| match call {
        "chat.scheduleMessage" if std::mem::take(&mut first) => Fate::Delayed,
        _ => Fate::Answered,
    });
    let _process = office.process().await;
    is_watched(&office).await;
    office.fake.holds_delayed(true);
    let expected = is_planned(&office, 4, 0).await;
    office.hands_over(expected, async || {}).await;
    office.fake.holds_delayed(false);
    office.passes(TimeDelta::seconds(1)).await;
    assert_eq!(office.fake.scheduled(), 5);
    office.is(monday(0) - TimeDelta::minutes(3)).await;
    office.is_audited().await;
    assert_eq!(office.fake.scheduled(), 4);
    office.is(monday(0) + TimeDelta::minutes(3)).await;
    office.rests().await;
    assert_eq!(wrong(&office, 4, 1), (0, 0));
}

/// A database that was restored has forgotten what it handed over, and Slack has not.
#[tokio::test]
async fn what_a_restored_database_has_forgotten_is_found_at_slack() {
    let office = Office::open(Platform::Slack, 4, weekly()).await;
    let _process = office.process().await;
    is_watched(&office).await;
    let expected = is_planned(&office, 4, 0).await;
    office.hands_over(expected, async || {}).await;
    let mut tx = office.fresh.pool.begin().await.unwrap();
    for forget in
        ["delete from idp.digest_delivery", "update idp.digest_schedule set since = '2026-01-01'"]
    {
        sqlx::query(forget).execute(&mut *tx).await.unwrap();
    }
    tx.commit().await.unwrap();
    goes_out(&office, 0, expected, async || {}).await;
    assert_eq!(wrong(&office, 4, 1), (0, 0));
}

/// What nobody learnt anything of until its time had passed is not sent again.
#[tokio::test]
async fn what_may_have_arrived_is_not_sent_twice() {
    let office = Office::open(Platform::Slack, 1, weekly()).await;
    office.fake.decides(|call, _| match call {
        "chat.scheduleMessage" => Fate::AnswerHeld,
        _ => Fate::Answered,
    });
    let process = office.process().await;
    is_watched(&office).await;
    is_planned(&office, 1, 0).await;
    until("a call is held", async || office.fake.held(), |count| *count > 0).await;
    office.kill(process).await;
    // All processes are down until long after.
    office.is(monday(0) + TimeDelta::hours(2)).await;
    office.fake.decides(|_, _| Fate::Answered);
    let _process = office.process().await;
    office.rests().await;
    assert_eq!(outcomes(&office).await, ["01-05 MAY_HAVE_ARRIVED"]);
    assert_eq!(wrong(&office, 1, 1), (0, 0));
}

/// D13: each refusal is an end with a reason, or waits.
#[tokio::test]
async fn each_refusal_ends_with_its_reason_and_costs_no_other_team_anything() {
    let slack = [
        ("channel_not_found", "CHANNEL_NOT_FOUND"),
        ("not_in_channel", "NOT_IN_CHANNEL"),
        ("is_archived", "IS_ARCHIVED"),
        ("restricted_action", "NOT_ALLOWED"),
        ("invalid_blocks", "REFUSED"),
        ("an_error_of_tomorrow", "REFUSED"),
    ];
    let discord = [
        ("10003", "CHANNEL_NOT_FOUND"),
        ("50001", "NOT_IN_CHANNEL"),
        ("50013", "NOT_ALLOWED"),
        ("50035", "REFUSED"),
    ];
    for (platform, cases) in [(Platform::Slack, &slack[..]), (Platform::Discord, &discord[..])] {
        let teams = cases.len() + 1;
        let office = Office::open(platform, teams, weekly()).await;
        let codes: Vec<&'static str> = cases.iter().map(|(code, _)| *code).collect();
        office.fake.decides(move |call, channel| {
            let number: Option<usize> = channel.trim_start_matches('C').parse().ok();
            match number.and_then(|it| codes.get(it)) {
                Some(code) if call == posts(platform) => Fate::Refused(code),
                _ => Fate::Answered,
            }
        });
        let _process = office.process().await;
        is_watched(&office).await;
        is_planned(&office, teams, 0).await;
        office.hands_over(teams as i64, async || {}).await;
        office.is(monday(0) + TimeDelta::minutes(3)).await;
        office.rests().await;
        let ended = "select outcome, coalesce(detail, '') from idp.digest_delivery order by team";
        let ended: Vec<(String, String)> =
            sqlx::query_as(ended).fetch_all(&office.fresh.pool).await.unwrap();
        for ((outcome, detail), (code, expected)) in ended.iter().zip(cases) {
            assert_eq!(outcome, expected, "{code}");
            assert!(detail.contains(code), "{detail}");
        }
        assert_eq!(ended.last().unwrap().0, "SENT");
    }
}

/// What another version wrote down, or somebody by hand, ends with a reason and stops nobody.
#[tokio::test]
async fn what_cannot_be_read_ends_with_a_reason() {
    let office = Office::open(Platform::Slack, 3, weekly()).await;
    office.fake.decides(|_, _| Fate::Refused("service_unavailable"));
    let _process = office.process().await;
    is_watched(&office).await;
    is_planned(&office, 3, 0).await;
    let spoil = "update idp.digest_delivery set body = '{' where team like '%-0'";
    sqlx::query(spoil).execute(&office.fresh.pool).await.unwrap();
    let spoil = "update idp.digest_delivery set team = 'group:' where team like '%-1'";
    sqlx::query(spoil).execute(&office.fresh.pool).await.unwrap();
    office.fake.decides(|_, _| Fate::Answered);
    office.hands_over(3, async || {}).await;
    office.is(monday(0) + TimeDelta::minutes(3)).await;
    office.rests().await;
    let states = office.states().await;
    assert_eq!((states["UNREADABLE"], states["SENT"]), (2, 1), "{states:?}");
}

/// Slack does not answer, or not us, for longer than a digest is of use.
#[tokio::test]
async fn what_is_not_taken_in_time_expires() {
    let office = Office::open(Platform::Slack, 2, weekly()).await;
    office.fake.decides(|call, _| match call {
        "chat.scheduleMessage" => Fate::Refused("token_revoked"),
        _ => Fate::Answered,
    });
    let _process = office.process().await;
    is_watched(&office).await;
    is_planned(&office, 2, 0).await;
    office.is(monday(0) + TimeDelta::hours(25)).await;
    office.rests().await;
    assert_eq!(outcomes(&office).await, ["01-05 EXPIRED", "01-05 EXPIRED"]);
}

#[tokio::test]
async fn who_has_no_channel_owns_nothing_or_wants_none_is_told_nothing_and_that_is_in_the_log() {
    let catalog = [
        team(Platform::Slack, 0).to_vec(),
        vec![
            entity("group:mute", &[], json!({})),
            entity("component:a", &[(RelationKind::OwnedBy, "group:mute")], json!({})),
            entity("group:idle", &[], json!({ "slack.com/channel-id": "C8" })),
        ],
        team(Platform::Slack, 3).to_vec(),
    ];
    let catalog = Catalog::new(Snapshot::build(catalog.concat(), &[], 1));
    let named = digest(
        "schedule: 0 9 * * mon\nzone: UTC\nteams: [team-0, mute, idle, team-3]\nexcept: [team-9]",
    );
    let office = Office::of(Platform::Slack, catalog, named).await;
    let snooze =
        "insert into idp.digest_snooze (team, until) values ('group:default/team-3', '2026-01-06')";
    sqlx::query(snooze).execute(&office.fresh.pool).await.unwrap();
    let _process = office.process().await;
    is_watched(&office).await;
    office.is(monday(0) - idp::digests::lead(0)).await;
    let count = "select count(*) from idp.digest_delivery";
    until("planned", async || office.number(count).await, |count| *count == 4).await;
    goes_out(&office, 0, 4, async || {}).await;
    let ended =
        "select substring(team from 15) || ' ' || outcome from idp.digest_delivery order by team";
    let ended: Vec<String> = sqlx::query_scalar(ended).fetch_all(&office.fresh.pool).await.unwrap();
    assert_eq!(ended, ["idle EMPTY", "mute NO_CHANNEL", "team-0 SENT", "team-3 SNOOZED"]);
}

/// Each team by its own clock; also where that is set forward over the hour.
#[tokio::test]
async fn a_team_hears_by_its_own_clock() {
    let zones = ["Europe/Berlin", "America/New_York", "Asia/Tokyo", "", "Nowhere/Land"];
    let teams = zones.iter().enumerate().flat_map(|(number, zone)| {
        let name = format!("group:team-{number}");
        let channel = format!("C{number}");
        let annotations = match *zone {
            "" => json!({ "slack.com/channel-id": channel }),
            zone => json!({ "slack.com/channel-id": channel, "idp/time-zone": zone }),
        };
        let service = format!("component:service-{number}");
        [
            entity(&name, &[], annotations),
            entity(&service, &[(RelationKind::OwnedBy, &name)], json!({})),
        ]
    });
    let catalog = Catalog::new(Snapshot::build(teams.collect::<Vec<_>>(), &[], 1));
    let local = digest("schedule: 30 2 * * sun\nzone: team\ndefault_zone: UTC");
    let office = Office::of(Platform::Slack, catalog, local).await;
    // The night of 29 March 2026, when Berlin has no half past two.
    office.is("2026-03-28T12:00:00Z".parse().unwrap()).await;
    let _process = office.process().await;
    let count = "select count(*) from idp.digest_schedule";
    until("the schedules", async || office.number(count).await, |count| *count == 4).await;
    let end: DateTime<Utc> = "2026-03-29T12:00:00Z".parse().unwrap();
    while office.now() < end {
        office.passes(TimeDelta::minutes(5)).await;
        let looks = "select count(*) from idp.digest_watch, idp.clock_of_test where at = now";
        until("a look", async || office.number(looks).await, |it| *it == 1).await;
        office.is_quiet().await;
    }
    let said = office.fake.said().into_iter();
    let mut said: Vec<String> =
        said.map(|it| format!("{} {}", it.channel, it.at.format("%dT%H:%M"))).collect();
    said.sort();
    let expected = ["C0 29T01:00", "C1 29T06:30", "C2 28T17:30", "C3 29T02:30", "C4 29T02:30"];
    assert_eq!(said, expected);
}
