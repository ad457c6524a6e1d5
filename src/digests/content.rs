//! A team's week in words.
//!
//! Each list is as long as is read, and each name as long as it must be: a digest keeps within the limits of both
//! platforms however much a team owns, and the buttons below show the rest.

use std::fmt::Write;

use chrono::NaiveDate;
use serde_json::{Value, json};

use super::delivery::day;
use super::standing::{Card, Ending, NextStep, Standings, Turned};
use super::week::{Named, Week, When};
use crate::conversation::{Audience, Reply, Untrusted, button, form_button, link, prose};
use crate::pictures::chart::{Chart, Line, Part, Trend};
use crate::scorecards::summary::Point;

/// What one list names; the rest is counted.
const NAMED_MAX: usize = 6;
/// Scorecards that are told one by one.
const CARDS_MAX: usize = 5;
const REGRESSIONS_MAX: usize = 6;
const PASSED_MAX: usize = 4;
const ENDING_MAX: usize = 3;
/// Steps of a way that are named.
const STEPS_MAX: usize = 3;
/// Regressions that have a button of their own.
const FIXES_MAX: usize = 3;
/// The most characters of a name, and of a title.
const NAME_CHARACTERS_MAX: usize = 60;
/// The most characters of why something changed, and of what mends it.
const WHY_CHARACTERS_MAX: usize = 160;
/// The most characters of a name on a button.
const BUTTON_CHARACTERS_MAX: usize = 40;

/// What `week` tells its team.
pub fn say(week: &Week) -> Reply {
    let standings = &week.standings;
    let mut text = Text::default();
    text.paragraph(format!("## {}: {}", cut(&week.team.label), cut(&week.title)));
    when(&mut text, &week.when);
    text.paragraph(behind(week));
    text.paragraph(owned(week));
    list(&mut text, "", &standings.cards, CARDS_MAX, card);
    list(&mut text, "Got worse", &standings.regressions, REGRESSIONS_MAX, regression);
    text.paragraph(fixes(&standings.regressions));
    list(&mut text, "Passes now", &standings.passed, PASSED_MAX, passed);
    if standings.is_cut {
        text.paragraph("More changed than is told of: the oldest changes are left out.");
    }
    if let Some(step) = &standings.next {
        text.paragraph(next(step));
    }
    list(&mut text, "Exemptions that end", &standings.ending, ENDING_MAX, |ending| {
        exemption(ending, &week.when)
    });
    names(&mut text, "Nobody is on call for", &week.without_on_call);
    names(&mut text, "Nobody owns", &week.without_owner);
    names(&mut text, "You said that these are not yours:", &week.disowned);
    text.paragraph(buttons(week));
    text.paragraph(as_of(&week.when));
    Reply {
        audience: Audience::Channel,
        command: "digest".into(),
        answer: chart(week).map_or(Value::Null, |chart| json!({ "chart": chart })),
        ..Reply::markdown(text.0)
    }
}

/// Markdown, block by block.
#[derive(Default)]
struct Text(String);

impl Text {
    fn paragraph(&mut self, block: impl AsRef<str>) {
        let block = block.as_ref().trim();
        if !block.is_empty() {
            let gap = if self.0.is_empty() { "" } else { "\n\n" };
            let _ = write!(self.0, "{gap}{block}");
        }
    }
}

/// That it comes late, and which ones did not come.
fn when(text: &mut Text, when: &When) {
    if let Some(due) = when.was_due {
        let due = due.with_timezone(&when.zone);
        let due = plain(&due.format("%-d %B at %H:%M").to_string());
        text.paragraph(format!("This digest is late: it was due on {due}."));
    }
    match &when.missed[..] {
        [] => {}
        [one] => text.paragraph(format!("There was none on {}: idp was down.", day(*one))),
        several => {
            let (last, others) = several.split_last().unwrap_or((&several[0], &[]));
            let others: Vec<String> = others.iter().map(|it| day(*it)).collect();
            let others = others.join(", ");
            text.paragraph(format!(
                "There were none on {others} and {}: idp was down.",
                day(*last)
            ));
        }
    }
}

/// That not everything is evaluated.
fn behind(week: &Week) -> String {
    let Some(behind) = week.standings.behind else { return String::new() };
    match behind.evaluated_at {
        Some(at) => {
            let at = at.with_timezone(&week.when.zone);
            let at = plain(&at.format("%-d %B, %H:%M").to_string());
            format!(
                "⚠️ Scores are **as of {at}**: what changed since is not evaluated yet, or only half."
            )
        }
        None => "⚠️ Scores are not there: nothing is evaluated yet.".into(),
    }
}

fn owned(week: &Week) -> String {
    let things = match week.owned {
        1 => "You own 1 thing".to_string(),
        count => format!("You own {count} things"),
    };
    match week.when.since {
        Some(since) => format!("{things}. What follows changed since {}.", day(since)),
        None => format!("{things}. This is your first digest."),
    }
}

/// The first of `all` as points, below `title` where there is one; the rest is counted.
fn list<T>(text: &mut Text, title: &str, all: &[T], shown_max: usize, say: impl Fn(&T) -> String) {
    if all.is_empty() {
        return;
    }
    if !title.is_empty() {
        text.paragraph(format!("### {title}"));
    }
    let mut points: Vec<String> =
        all.iter().take(shown_max).map(|it| format!("- {}", say(it))).collect();
    if all.len() > shown_max {
        points.push(format!("- and {} more", all.len() - shown_max));
    }
    text.paragraph(points.join("\n"));
}

/// `**Production readiness**: 1 Gold (+1), 3 Bronze, 2 below; 71% on average (+4) ▂▃▅▆▇ from 61% in 8 weeks`
fn card(card: &Card) -> String {
    let now = &card.now;
    let changed = |is: usize, was: Option<usize>| {
        was.map(|was| change(is as i64 - was as i64)).unwrap_or_default()
    };
    let levels = card.levels.iter().zip(&now.levels).rev().filter_map(|(level, count)| {
        let was = card.before.as_ref().map(|it| it.levels.get(level).copied().unwrap_or(0));
        let is_told = *count > 0 || was.is_some_and(|was| was > 0);
        is_told.then(|| format!("{count} {}{}", cut(level), changed(*count, was)))
    });
    let mut said: Vec<String> = levels.collect();
    let below = card.before.as_ref().map(|it| it.below);
    if now.below > 0 || below.is_some_and(|it| it > 0) {
        let word = if card.levels.is_empty() { "in all" } else { "below" };
        said.push(format!("{} {word}{}", now.below, changed(now.below, below)));
    }
    let mean = now.mean.map(|mean| {
        let was = card.before.as_ref().and_then(|it| it.mean);
        let change = was.map(|was| change(i64::from(mean) - i64::from(was)));
        format!("; **{mean}%** on average{}", change.unwrap_or_default())
    });
    let (mean, trend) = (mean.unwrap_or_default(), spark(&card.points));
    format!("**{}**: {}{mean}{trend}", cut(&card.title), said.join(", "))
}

/// ` (+2)`; nothing where nothing changed.
fn change(by: i64) -> String {
    match by {
        0 => String::new(),
        more @ 1.. => format!(" (+{more})"),
        less => format!(" (−{})", less.unsigned_abs()),
    }
}

/// How the mean went from week to week; nothing before there are two.
fn spark(points: &[Point]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let mut means: Vec<u8> =
        points.iter().rev().step_by(7).filter_map(|it| it.summary.mean).collect();
    means.reverse();
    let (Some(first), [_, _, ..]) = (means.first(), &means[..]) else { return String::new() };
    let low = means.iter().min().copied().unwrap_or(0);
    let span = means.iter().max().copied().unwrap_or(0).saturating_sub(low).max(1);
    let bar = |mean: &u8| BARS[usize::from(mean - low) * (BARS.len() - 1) / usize::from(span)];
    let bars: String = means.iter().map(bar).collect();
    let weeks = match means.len() - 1 {
        1 => "a week".to_string(),
        weeks => format!("{weeks} weeks"),
    };
    format!(" {bars} from {first}% in {weeks}")
}

fn regression(turned: &Turned) -> String {
    let unknown = if turned.is_unknown { " is unknown" } else { "" };
    let mark = if turned.is_unknown { "❔" } else { "❌" };
    format!(
        "{mark} **{}** ({}): _{}_{unknown} ({}), because {}",
        cut(&turned.entity.label),
        code(&turned.entity.words),
        cut(&turned.title),
        cut(&turned.scorecard),
        shortened(&turned.cause, WHY_CHARACTERS_MAX),
    )
}

/// A button for each thing that got worse; what it answers says what to do.
fn fixes(regressions: &[Turned]) -> String {
    let mut entities: Vec<&Named> = Vec::new();
    for Turned { entity, .. } in regressions {
        if !entities.contains(&entity) {
            entities.push(entity);
        }
    }
    let fixes = entities.into_iter().take(FIXES_MAX).map(fix);
    fixes.collect::<Vec<_>>().join(" ")
}

fn fix(entity: &Named) -> String {
    let name: String = entity.label.chars().take(BUTTON_CHARACTERS_MAX).collect();
    button(&format!("Fix {name}"), &format!("score {}", entity.words))
}

fn passed(turned: &Turned) -> String {
    format!(
        "✅ **{}** ({}): _{}_ ({})",
        cut(&turned.entity.label),
        code(&turned.entity.words),
        cut(&turned.title),
        cut(&turned.scorecard),
    )
}

fn next(step: &NextStep) -> String {
    let rules: Vec<String> =
        step.rules.iter().take(STEPS_MAX).map(|it| format!("_{}_", cut(it))).collect();
    let more = match step.rules.len().saturating_sub(STEPS_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let aim = match &step.level {
        Some(level) => format!("reaches **{}**", cut(level)),
        None => "rises further".into(),
    };
    let effort = step.effort.map(|it| format!(", {it}")).unwrap_or_default();
    let remedy = step.remedy.as_ref().map(|remedy| {
        let remedy: String = remedy.chars().take(WHY_CHARACTERS_MAX * 2).collect();
        format!(" {}", prose(&remedy))
    });
    let how = step.link.as_ref().map(|it| format!(" {}", link("How", it)));
    format!(
        "### Cheapest next step\n\n**{}** ({}) {aim} ({}{effort}) with {}{more}.{}{}\n\n{}",
        cut(&step.entity.label),
        code(&step.entity.words),
        cut(&step.scorecard),
        rules.join(", "),
        remedy.unwrap_or_default(),
        how.unwrap_or_default(),
        fix(&step.entity),
    )
}

fn exemption(ending: &Ending, when: &When) -> String {
    let at = ending.at.with_timezone(&when.zone).date_naive();
    format!(
        "**{}**: _{}_ counts again on {}",
        cut(&ending.entity.label),
        cut(&ending.title),
        day(at)
    )
}

fn names(text: &mut Text, what: &str, names: &[Named]) {
    if names.is_empty() {
        return;
    }
    let shown: Vec<String> = names.iter().take(NAMED_MAX).map(|it| cut(&it.label)).collect();
    let more = match names.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    text.paragraph(format!("**{what}** {}{more}.", shown.join(", ")));
}

fn buttons(week: &Week) -> String {
    let team = &week.team.words;
    let mut buttons = Vec::new();
    if let Some((entity, rule)) = excusable(&week.standings) {
        buttons
            .push(form_button("Ask for an exemption", &format!("exempt {} {rule}", entity.words)));
    }
    buttons.push(button("Snooze for a week", &format!("digest snooze {team} 7")));
    buttons.push(form_button("Not ours", "digest not-ours"));
    buttons.push(button("Show what we own", &format!("list --team {team}")));
    buttons.join(" ")
}

/// The first regression, or else the first rule that fails.
fn excusable(standings: &Standings) -> Option<(&Named, &str)> {
    let regression = standings.regressions.first().map(|it| (&it.entity, it.rule.as_str()));
    regression.or_else(|| standings.failing.as_ref().map(|(entity, rule)| (entity, rule.as_str())))
}

/// How the means went from day to day; `None` before there are two days.
fn chart(week: &Week) -> Option<Chart> {
    let cards = &week.standings.cards;
    let longest = cards.iter().map(|it| &it.points).max_by_key(|it| it.len())?;
    if longest.len() < 2 {
        return None;
    }
    let line = |card: &Card| {
        let mean = |at: NaiveDate| {
            let point = card.points.iter().find(|it| it.day == at)?;
            point.summary.mean.map(f64::from)
        };
        let values = longest.iter().map(|it| mean(it.day)).collect();
        Line { label: card.title.clone(), colour: None, values }
    };
    let trend = Trend {
        title: "Average score".into(),
        unit: "%".into(),
        steps: longest.iter().map(|it| it.day.format("%-d %b").to_string()).collect(),
        lines: cards.iter().take(CARDS_MAX).map(line).collect(),
        top: Some(100.0),
    };
    Some(Chart { title: week.team.label.clone(), parts: vec![Part::Trend(trend)] })
}

fn as_of(when: &When) -> String {
    let as_of = when.as_of.with_timezone(&when.zone);
    let at = plain(&format!("{} {}", as_of.format("%H:%M"), when.zone.name()));
    format!("_{}, as of {at}_", date(when.date))
}

fn date(date: NaiveDate) -> String {
    plain(&date.format("%A, %-d %B %Y").to_string())
}

fn plain(text: &str) -> String {
    Untrusted::from(text).to_markdown()
}

/// What means something in a command.
fn code(words: &str) -> String {
    Untrusted::from(words).to_code()
}

/// A name or title of others', cut where it is too long.
fn cut(text: &str) -> String {
    shortened(text, NAME_CHARACTERS_MAX)
}

fn shortened(text: &str, characters_max: usize) -> String {
    let text = text.trim();
    match text.char_indices().nth(characters_max) {
        None => plain(text),
        Some((end, _)) => format!("{}…", plain(&text[..end])),
    }
}
