//! Who is on call: random rotas against an independent judge, and what people hear of it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{
    DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeDelta, TimeZone, Utc,
};
use chrono_tz::{TZ_VARIANTS, Tz};
use idp::access::link::LinkSet;
use idp::app::App;
use idp::catalog::{EntityRef, Place, Relation, RelationKind, Snapshot, StoredEntity};
use idp::chat::slack::outbound::Message;
use idp::conversation::{Reply, Way};
use idp::on_call::{self, OnCall, Rota, Rotas, file};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::asking::{Asking, invocation};
use crate::scale::full_or;

/// How far apart the moments are at which the judge looks: no clock is set at others after 2016, and no rota here has
/// other times.
const GRAIN: TimeDelta = TimeDelta::minutes(15);
/// So far the judge looks for the next change.
const AHEAD_DAYS: i64 = 20;

/// A rota, as the judge knows it.
struct Model {
    zone: Tz,
    levels: Vec<Vec<Schedule>>,
    overrides: Vec<Override>,
}

struct Schedule {
    people: Vec<&'static str>,
    /// When the first turn begins, and how many hours each has.
    turns: Option<(NaiveDateTime, i64)>,
    /// Days from Monday on, then two minutes of a day.
    hours: Option<([bool; 7], i64, i64)>,
}

struct Override {
    who: &'static str,
    level: usize,
    from: NaiveDateTime,
    until: NaiveDateTime,
    instead_of: Option<&'static str>,
}

const PEOPLE: [&str; 6] = ["ada", "ben", "cleo", "dan", "group:ops", "group:empty"];
const OPS: [&str; 2] = ["dan", "eve"];

/// Who is on call, as the judge has it: whether by an override alone, and as whose member.
type Found = Vec<(String, bool)>;

impl Model {
    fn random(random: &mut StdRng, zone: Tz, around: NaiveDate) -> Model {
        let day = |random: &mut StdRng, least: i64, most: i64| {
            let date = around + TimeDelta::days(random.random_range(least..=most));
            date.and_time(NaiveTime::MIN) + GRAIN * random.random_range(0..96)
        };
        let person = |random: &mut StdRng| PEOPLE[random.random_range(0..PEOPLE.len())];
        let schedule = |random: &mut StdRng| {
            let count = random.random_range(1..=4);
            let people: Vec<&str> = (0..count).map(|_| person(random)).collect();
            let every = [1, 5, 8, 12, 24, 24, 48, 168, 168, 336][random.random_range(0..10)];
            let has_turns = people.len() > 1 || random.random_bool(0.3);
            let turns = has_turns.then(|| (day(random, -60, 5), every));
            let hours = random.random_bool(0.5).then(|| {
                let mut days = [false; 7];
                days.iter_mut().for_each(|day| *day = random.random_bool(0.6));
                days[random.random_range(0..7)] = true;
                (days, random.random_range(0..96) * 15, random.random_range(0..=96) * 15)
            });
            Schedule { people, turns, hours }
        };
        let levels = random.random_range(1..=3);
        let level = |random: &mut StdRng| {
            let count = random.random_range(1..=3);
            (0..count).map(|_| schedule(random)).collect()
        };
        let levels: Vec<Vec<Schedule>> = (0..levels).map(|_| level(random)).collect();
        let overrides = (0..random.random_range(0..5)).map(|_| {
            let from = day(random, -3, 5);
            Override {
                who: person(random),
                level: random.random_range(0..levels.len()),
                from,
                until: from + GRAIN * random.random_range(1..400),
                instead_of: random.random_bool(0.6).then(|| person(random)),
            }
        });
        let overrides = overrides.collect();
        Model { zone, levels, overrides }
    }

    /// As a file says it.
    fn text(&self) -> String {
        let time = |at: &NaiveDateTime| at.format("%Y-%m-%dT%H:%M").to_string();
        let of_day = |minute: &i64| format!("'{:02}:{:02}'", minute / 60, minute % 60);
        let mut text = format!("name: a\nfor: [a]\nzone: {}\nlevels:\n", self.zone.name());
        for (place, level) in self.levels.iter().enumerate() {
            let after = if place > 0 { "after: 5m, " } else { "" };
            text.push_str(&format!("- {{{after}schedules: ["));
            for schedule in level {
                text.push_str(&format!("{{people: [{}]", quoted(&schedule.people)));
                if let Some((from, every)) = &schedule.turns {
                    text.push_str(&format!(", from: {}, every: {every}h", time(from)));
                }
                if let Some((days, from, until)) = &schedule.hours {
                    let words = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
                    let days = words.iter().zip(days).filter(|(_, is)| **is);
                    let days: Vec<&str> = days.map(|(word, _)| *word).collect();
                    let (from, until) = (of_day(from), of_day(until));
                    text.push_str(&format!(
                        ", hours: {{days: [{}], from: {from}, until: {until}}}",
                        days.join(", ")
                    ));
                }
                text.push_str("}, ");
            }
            text.push_str("]}\n");
        }
        text.push_str("overrides: [");
        for it in &self.overrides {
            let (from, until) = (time(&it.from), time(&it.until));
            let instead = it.instead_of.map(|it| format!(", instead_of: '{it}'"));
            text.push_str(&format!(
                "{{who: '{}', level: {}, from: {from}, until: {until}{}}}, ",
                it.who,
                it.level + 1,
                instead.unwrap_or_default()
            ));
        }
        text + "]\n"
    }

    /// Who is on call on `level` when the clock on the wall has shown `shown` and nothing later.
    fn found(&self, level: usize, shown: NaiveDateTime) -> Found {
        // The name, whether by an override, and the group as whose member.
        let mut found: Vec<(&str, bool, Option<&str>)> = Vec::new();
        for schedule in &self.levels[level] {
            let Some(who) = schedule.who(shown) else { continue };
            found.extend(each_of(who).map(|it| (it, false, group_of(who))));
        }
        for it in self.overrides.iter().filter(|it| it.level == level) {
            if shown < it.from || it.until <= shown {
                continue;
            }
            match it.instead_of {
                None => {
                    found = each_of(it.who).map(|one| (one, true, group_of(it.who))).collect();
                }
                Some(other) => {
                    let is_meant =
                        |one: &(&str, bool, Option<&str>)| one.0 == other || one.2 == Some(other);
                    if found.iter().any(is_meant) {
                        found.retain(|one| !is_meant(one));
                        found.extend(each_of(it.who).map(|one| (one, true, group_of(it.who))));
                    }
                }
            }
        }
        let mut once: Found = Vec::new();
        for (who, is_override, _) in found {
            match once.iter_mut().find(|it| it.0 == who) {
                Some(twice) => twice.1 &= is_override,
                None => once.push((who.to_string(), is_override)),
            }
        }
        once
    }
}

impl Schedule {
    fn who(&self, shown: NaiveDateTime) -> Option<&'static str> {
        if let Some((days, from, until)) = self.hours {
            let is_open = (0..=1).any(|back| {
                let day = shown.date() - TimeDelta::days(back);
                let midnight = day.and_time(NaiveTime::MIN);
                let until = if until <= from { until + 24 * 60 } else { until };
                days[day.weekday().num_days_from_monday() as usize]
                    && midnight + TimeDelta::minutes(from) <= shown
                    && shown < midnight + TimeDelta::minutes(until)
            });
            if !is_open {
                return None;
            }
        }
        let Some((first, every)) = self.turns else { return Some(self.people[0]) };
        let turn = (shown - first).num_minutes().div_euclid(every * 60);
        (turn >= 0).then(|| self.people[turn as usize % self.people.len()])
    }
}

fn quoted(people: &[&str]) -> String {
    people.iter().map(|it| format!("'{it}'")).collect::<Vec<_>>().join(", ")
}

fn each_of(who: &'static str) -> impl Iterator<Item = &'static str> {
    let members: &[&str] = if who == "group:ops" { &OPS } else { &[] };
    let alone = members.is_empty().then_some(who);
    alone.into_iter().chain(members.iter().copied())
}

/// A group without members stands for itself.
fn group_of(who: &'static str) -> Option<&'static str> {
    (who == "group:ops").then_some(who)
}

/// The latest time that the clock of `zone` has ever shown, from `at` on, each grain; it never goes back.
struct Wall {
    zone: Tz,
    at: DateTime<Utc>,
    latest: NaiveDateTime,
}

impl Wall {
    fn new(zone: Tz, at: DateTime<Utc>) -> Wall {
        let before = (0..200).map(|grains| shown(zone, at - GRAIN * grains));
        Wall { zone, at, latest: before.max().unwrap() }
    }

    fn tick(&mut self) -> NaiveDateTime {
        self.at += GRAIN;
        self.latest = self.latest.max(shown(self.zone, self.at));
        self.latest
    }
}

fn shown(zone: Tz, at: DateTime<Utc>) -> NaiveDateTime {
    at.naive_utc() + zone.offset_from_utc_datetime(&at.naive_utc()).fix()
}

/// A moment near which the clock of `zone` is set, or any.
fn moment(random: &mut StdRng, zone: Tz) -> DateTime<Utc> {
    let year = random.random_range(2017..2037);
    let start = NaiveDate::from_ymd_opt(year, 1, 3).unwrap().and_time(NaiveTime::MIN).and_utc();
    let days = 0..355;
    let is_set = |day: &i64| {
        let (at, next) = (start + TimeDelta::days(*day), start + TimeDelta::days(*day + 1));
        zone.offset_from_utc_datetime(&at.naive_utc()).fix()
            != zone.offset_from_utc_datetime(&next.naive_utc()).fix()
    };
    let set: Vec<i64> = days.filter(is_set).collect();
    let day = match set.is_empty() || random.random_bool(0.3) {
        true => random.random_range(0..355),
        false => set[random.random_range(0..set.len())],
    };
    start + TimeDelta::days(day) + GRAIN * random.random_range(-96..192)
}

fn entity(reference: &str, relations: &[(RelationKind, &str)]) -> StoredEntity {
    let parsed = |text: &str| EntityRef::parse(text, None, "default").unwrap();
    let relations = relations.iter();
    StoredEntity {
        reference: parsed(reference),
        relations: relations
            .map(|(kind, target)| Relation { kind: *kind, target: parsed(target), bare: false })
            .collect(),
        body: r#"{"metadata":{},"spec":{}}"#.into(),
        place: Place { source: "s".into(), file: "f".into(), document: 0, line: 1 },
        orphaned_at: None,
    }
}

/// In which order they are called says nothing of who is.
fn sorted(people: &Found) -> Found {
    let mut people = people.clone();
    people.sort();
    people
}

fn named(people: &[OnCall]) -> Found {
    let name = |who: &EntityRef| match who.kind() {
        "group" => format!("group:{}", who.name()),
        _ => who.name().to_string(),
    };
    people.iter().map(|it| (name(&it.who), it.is_override)).collect()
}

#[test]
fn random_rotas_in_every_zone_are_answered_as_an_independent_judge_does() {
    let mut random = StdRng::seed_from_u64(5);
    let members = OPS.map(|it| format!("user:{it}"));
    let members = members.each_ref().map(|it| entity(it, &[(RelationKind::MemberOf, "group:ops")]));
    let snapshot = Snapshot::build(members, &[], 1);
    let (mut answers, mut changes, mut gaps, mut overrides) = (0, 0, 0, 0);
    let mut zones = BTreeSet::new();
    let mut by_utc = 0;
    for _ in 0..full_or(20_000, 150) {
        let zone = TZ_VARIANTS[random.random_range(0..TZ_VARIANTS.len())];
        let at = moment(&mut random, zone);
        let model = Model::random(&mut random, zone, at.date_naive());
        let text = model.text();
        let rota = file::read(&text, "a.yaml").unwrap_or_else(|wrong| panic!("{wrong:#?}\n{text}"));
        let levels = on_call::levels(&[&rota], &snapshot, at);
        assert_eq!(levels.len(), model.levels.len());
        zones.insert(zone.name());
        for (place, level) in levels.iter().enumerate() {
            let mut wall = Wall::new(zone, at);
            let expected = model.found(place, wall.latest);
            assert_eq!(named(&level.people), expected, "{at} level {place}\n{text}");
            answers += 1;
            gaps += usize::from(expected.is_empty());
            overrides += usize::from(expected.iter().any(|it| it.1));
            // A clock that nobody ever sets.
            let offset =
                shown(zone, at - TimeDelta::days(20)) - (at - TimeDelta::days(20)).naive_utc();
            let unset = model.found(place, at.naive_utc() + offset);
            by_utc += usize::from(sorted(&unset) != sorted(&expected));
            let end = at + TimeDelta::days(AHEAD_DAYS);
            let changed = loop {
                let shown = wall.tick();
                let then = model.found(place, shown);
                let is_other = sorted(&then) != sorted(&expected);
                if is_other || wall.at > end {
                    break is_other.then_some(then);
                }
            };
            match changed {
                Some(then) => {
                    changes += 1;
                    assert_eq!(level.until, Some(wall.at), "{at} level {place}\n{text}");
                    assert_eq!(named(&level.next), then, "{at} level {place}\n{text}");
                }
                None => assert!(level.until.is_none_or(|until| until > end), "{at}\n{text}"),
            }
        }
    }
    println!(
        "REL on_call {answers} answers of random rotas in {} zones, {gaps} of them gaps and {overrides} with an \
         override, {changes} next changes: 0 differ from the judge's; without local time {by_utc} would",
        zones.len()
    );
    assert!(by_utc > 0, "nothing was asked where a clock had been set");
    assert!(gaps > 0 && overrides > 0 && changes > answers / 2);
}

/// The rota `text` for Payments, in place of Acme's.
fn rota(app: &App, text: &str) {
    let rota = file::read(&format!("name: a\nfor: [payments]\n{text}"), "a.yaml").unwrap();
    app.on_call.store(Rotas::new(vec![rota]).into());
}

/// Turns of a day, so that today is Zoé's and tomorrow Rafael's, by the clock of `zone`.
fn today(zone: Tz) -> String {
    let today = Utc::now().with_timezone(&zone).date_naive();
    format!(
        "zone: {}\nlevels: [{{schedules: [{{people: [zoe-laurent, rafael-costa], every: 1d, from: {today}}}]}}]\n",
        zone.name()
    )
}

#[tokio::test]
async fn owner_show_and_oncall_tell_who_is_on_call_by_the_rota() {
    let asking = Asking::acme().await;
    // Nobody sits at midnight there when this runs for less than a day.
    rota(&asking.app, &today(Tz::Pacific__Kiritimati));
    for question in
        ["owner payment-api", "show payment-api", "oncall payment-api", "oncall payments"]
    {
        let said = asking.reads(question).await;
        assert!(said.contains("Laurent"), "{question}: {said}");
        assert!(said.contains("Kiritimati"), "{question}: {said}");
        assert!(!said.contains("PagerDuty"), "{question}: {said}");
    }
    let reply = asking.says("oncall payment-api").await;
    let level = &reply.answer["rotas"][0]["levels"][0];
    assert_eq!(level["people"][0]["ref"], "user:default/zoe-laurent");
    assert_eq!(level["next"][0]["ref"], "user:default/rafael-costa");
}

#[tokio::test]
async fn where_no_rota_is_for_it_the_annotation_says_whom_to_ask() {
    let asking = Asking::acme().await;
    asking.app.on_call.store(Rotas::default().into());
    let said = asking.reads("oncall payment-api").await;
    assert!(said.starts_with("No rota here is for **Payment API**"), "{said}");
    assert!(said.contains("PagerDuty service `PACME014`"), "{said}");
    assert!(asking.reads("owner payment-api").await.contains("PagerDuty service `PACME014`"));
}

#[tokio::test]
async fn a_gap_an_override_and_somebody_without_an_account_are_told() {
    let asking = Asking::acme().await;
    let gap = "zone: UTC\nlevels: [{schedules: [{people: [zoe-laurent], from: 2199-01-01}]}]\n";
    rota(&asking.app, gap);
    assert!(asking.reads("oncall payments").await.contains("⚠️ nobody"));
    let now = Utc::now().date_naive();
    let (from, until) = (now - TimeDelta::days(1), now + TimeDelta::days(2));
    rota(
        &asking.app,
        &format!("{gap}overrides: [{{who: nobody-here, from: {from}, until: {until}}}]\n"),
    );
    let said = asking.reads("oncall payments").await;
    assert!(
        said.contains("**user\\:default\\/nobody\\-here** (override) (no chat account)"),
        "{said}"
    );
    rota(
        &asking.app,
        &format!("{gap}overrides: [{{who: zoe-laurent, from: {from}, until: {until}}}]\n"),
    );
    let said = asking.reads("oncall payments").await;
    assert!(said.contains("**Zoé Laurent** (override) until"), "{said}");
    asking.app.links.set(LinkSet::default());
    let said = asking.app.answer(Way::Command, terminal("oncall payments")).await.markdown;
    assert!(said.contains("(no chat account: zoe\\.laurent\\@acme\\.example)"), "{said}");
}

fn terminal(text: &str) -> idp::conversation::Invocation {
    let mut asked = invocation(text);
    asked.speaker.platform = idp::conversation::Platform::Terminal;
    asked.speaker.user_id = "zoe-laurent".into();
    asked
}

#[tokio::test]
async fn it_is_answered_while_there_is_no_database() {
    let asking = Asking::acme().await;
    let before = asking.reads("oncall payment-api").await;
    asking.app.db.store(None.into());
    asking.fresh.pool.close().await;
    let reply: Reply = asking.says("oncall payment-api").await;
    assert_eq!((reply.markdown, reply.refusal), (before, None));
}

#[tokio::test]
async fn an_answer_is_not_shown_again_once_somebody_else_is_on_call() {
    let asking = Asking::acme().await;
    let shown = async || {
        let shown = asking.app.answer_shown(invocation("owner payment-api"), Message::body).await;
        String::from_utf8(shown.message.to_vec()).unwrap()
    };
    rota(&asking.app, &today(Tz::Pacific__Kiritimati));
    assert!(shown().await.contains("Zoé Laurent until"), "{}", shown().await);
    let other = today(Tz::Pacific__Kiritimati).replace("zoe-laurent, ", "");
    rota(&asking.app, &other.replace("every: 1d, ", ""));
    let said = shown().await;
    assert!(said.contains("On call: Rafael Costa"), "{said}");
}

/// Acme's rotas are good at every hour of ten years: somebody is called, and nobody who left.
#[test]
fn acme_always_has_somebody_on_call() {
    let rotas = Rotas::load(&crate::asking::acme().join("on-call")).0;
    let members = ["daniel-kim", "freya-olsen", "marco-bianchi"].map(|it| format!("user:{it}"));
    let members =
        members.each_ref().map(|it| entity(it, &[(RelationKind::MemberOf, "group:platform")]));
    let snapshot = Snapshot::build(members, &[], 1);
    let mut on_call: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let all: Vec<&Rota> = rotas.iter().collect();
    let start = NaiveDate::from_ymd_opt(2026, 1, 1).unwrap().and_time(NaiveTime::MIN).and_utc();
    for hours in 0..full_or(87_600, 2_000) {
        let at = start + TimeDelta::hours(i64::try_from(hours).unwrap());
        for rota in &all {
            let levels = on_call::levels(&[rota], &snapshot, at);
            let people: Vec<&OnCall> = levels.iter().flat_map(|it| &it.people).collect();
            assert!(!people.is_empty(), "{} at {at}", rota.name);
            on_call
                .entry(&rota.name)
                .or_default()
                .extend(people.iter().map(|it| it.who.to_string()));
        }
    }
    let counts: Vec<(&str, usize)> = on_call.iter().map(|(name, it)| (*name, it.len())).collect();
    assert_eq!(counts, [("payments", 5), ("platform", 3)]);
}
