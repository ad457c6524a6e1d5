//! A team's week in words.
//!
//! Each list is as long as is read, and each name as long as it must be: a digest keeps within the limits of both
//! platforms however much a team owns, and the buttons below show the rest.

use std::fmt::Write;

use chrono::NaiveDate;

use super::delivery::day;
use super::week::{Named, Week, When};
use crate::conversation::{Audience, Reply, Untrusted, button};

/// What one list names; the rest is counted.
const NAMED_MAX: usize = 8;
/// The most characters of a name, and of a title.
const NAME_CHARACTERS_MAX: usize = 60;

/// What `week` tells its team.
pub fn say(week: &Week) -> Reply {
    let mut text = Text::default();
    text.paragraph(format!("## {}: {}", cut(&week.team.label), cut(&week.title)));
    when(&mut text, &week.when);
    text.paragraph(owned(week));
    names(&mut text, "Nobody is on call for", &week.without_on_call);
    names(&mut text, "Nobody owns", &week.without_owner);
    text.paragraph(buttons(week));
    text.paragraph(as_of(&week.when));
    Reply { audience: Audience::Channel, command: "digest".into(), ..Reply::markdown(text.0) }
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
    let buttons = [
        button("Show what we own", &format!("list --team {team}")),
        button("Snooze for a week", &format!("digest snooze {team} 7")),
    ];
    buttons.join(" ")
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

/// A name or title of others', cut where it is too long.
fn cut(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().nth(NAME_CHARACTERS_MAX) {
        None => plain(text),
        Some((end, _)) => format!("{}…", plain(&text[..end])),
    }
}
