//! A digest file: what teams are told on a schedule, as YAML.
//!
//! ```yaml
//! name: weekly
//! title: Your week                 # what the message begins with
//! schedule: 0 9 * * mon            # minute, hour, day of the month, month, day of the week; at most once a day
//! zone: team                       # or one for all: Europe/Berlin
//! default_zone: Europe/Berlin      # of teams whose annotation `idp/time-zone` says none
//! scorecards: [production-readiness]   # without it: all of them
//! teams: [payments, order-flow]    # without it: every team that owns something
//! except: [platform]
//! channel: team                    # its own, as its annotations say; or one for all: {slack: C0123456789, discord: "123"}
//! platforms: [slack, discord]      # a team hears it on the first where it has a channel
//! catch_up: 24h                    # how late it is still sent
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use chrono_tz::{TZ_VARIANTS, Tz};

use crate::catalog::formats::fields::{self, Fields};
use crate::catalog::formats::folder;
use crate::catalog::formats::yaml::{Content, Position};
use crate::catalog::{EntityRef, Problem, Severity};
use crate::conversation::Platform;
use crate::jobs::schedule::Schedule;

const NAME_CHARACTERS_MAX: usize = 32;
const TITLE_CHARACTERS_MAX: usize = 100;
/// The most digest files of one portal.
const FILES_MAX: usize = 50;
const CATCH_UP: Duration = Duration::from_secs(24 * 60 * 60);
const CATCH_UP_MIN: Duration = Duration::from_secs(60 * 60);
const CATCH_UP_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The platforms that have channels, in the order in which they are tried.
const PLATFORMS: [Platform; 2] = [Platform::Slack, Platform::Discord];

/// What teams are told on a schedule.
#[derive(Debug, Clone, PartialEq)]
pub struct Digest {
    /// The name of its file.
    pub file: String,
    pub name: String,
    pub title: String,
    /// Due at most once a day.
    pub schedule: Schedule,
    pub zone: Zone,
    /// The names of scorecards; empty: all of them.
    pub scorecards: Vec<String>,
    pub audience: Audience,
    pub channel: ChannelRule,
    /// A team hears it on the first where it has a channel.
    pub platforms: Vec<Platform>,
    /// How late it is still sent.
    pub catch_up: Duration,
}

/// By whose clock a digest is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    Fixed(Tz),
    /// As the team's annotation says.
    OfTeam {
        otherwise: Tz,
    },
}

/// Which teams a digest is for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audience {
    /// `None`: every team that owns something.
    pub teams: Option<BTreeSet<EntityRef>>,
    pub except: BTreeSet<EntityRef>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChannelRule {
    /// As the team's annotations say.
    OfTeam,
    /// The same for all.
    Fixed(BTreeMap<&'static str, String>),
}

/// The digests of a portal, by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DigestSet(Vec<Digest>);

impl DigestSet {
    pub fn new(digests: Vec<Digest>) -> DigestSet {
        DigestSet(digests)
    }

    pub fn find(&self, name: &str) -> Option<&Digest> {
        self.0.iter().find(|it| it.name == name)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Digest> {
        self.0.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The digests of the directory `dir`; what is wrong with its files, each named as seen from `dir`.
    ///
    /// A broken file costs nobody but itself. A directory that is not there has no files.
    pub fn load(dir: &Path) -> (DigestSet, Vec<Problem>) {
        let (texts, mut problems) = folder::read(dir, "digest", FILES_MAX);
        let mut digests: Vec<Digest> = Vec::new();
        for (file, text) in texts {
            match read(&text, &file) {
                Ok(digest) => digests.push(digest),
                Err(of_file) => problems.extend(of_file),
            }
        }
        let named = digests.iter().map(|it| (it.file.as_str(), it.name.as_str()));
        problems.extend(folder::twice("digest", named));
        // Of two files that say one digest the first counts.
        digests.sort_by(|one, other| one.name.cmp(&other.name));
        digests.dedup_by(|later, first| later.name == first.name);
        (DigestSet(digests), problems)
    }
}

/// The digest that `text` says; `file` is named in problems.
///
/// # Errors
/// Every problem of the file.
pub fn read(text: &str, file: &str) -> Result<Digest, Vec<Problem>> {
    let root = fields::read(text, file).map_err(|problem| vec![*problem])?;
    let mut problems = Vec::new();
    let Some(mut keys) = Fields::of(root, "A digest file", file, &mut problems) else {
        return Err(problems);
    };
    let digest = digest(&mut keys);
    keys.refuse_unknown();
    match digest {
        Some(digest) if !problems.iter().any(|it| it.severity == Severity::Error) => Ok(digest),
        _ => Err(problems),
    }
}

/// `None` only where a problem was told.
fn digest(keys: &mut Fields) -> Option<Digest> {
    let name = name(keys);
    let title = title(keys);
    let schedule = schedule(keys);
    let zone = zone(keys);
    let scorecards = keys.texts("scorecards").unwrap_or_default();
    let teams = keys.texts("teams");
    let teams = teams.map(|teams| groups(keys, teams));
    let except = keys.texts("except").unwrap_or_default();
    let except = groups(keys, except);
    let channel = channel(keys);
    let platforms = platforms(keys);
    let catch_up = keys.duration("catch_up", CATCH_UP_MIN, CATCH_UP_MAX).unwrap_or(CATCH_UP);
    let name = name?;
    Some(Digest {
        file: keys.file.to_string(),
        title: title.unwrap_or_else(|| name.clone()),
        name,
        schedule: schedule?,
        zone: zone?,
        scorecards: scorecards.into_iter().map(|(scorecard, _)| scorecard).collect(),
        audience: Audience { teams, except },
        channel: channel?,
        platforms,
        catch_up,
    })
}

fn name(keys: &mut Fields) -> Option<String> {
    let (name, at) = keys.required("name")?;
    let is_letter = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-';
    let is_name = name.starts_with(|it: char| it.is_ascii_lowercase());
    if is_name && name.len() <= NAME_CHARACTERS_MAX && name.chars().all(is_letter) {
        return Some(name);
    }
    let message = format!("`{name}` cannot be the name of a digest.");
    let hint = "Use up to 32 lower-case letters, digits and `-`, a letter first.";
    keys.problem(at, "name", message, hint);
    None
}

fn title(keys: &mut Fields) -> Option<String> {
    let (title, at) = keys.text("title")?;
    if title.chars().count() > TITLE_CHARACTERS_MAX {
        let message = format!("The title has more than {TITLE_CHARACTERS_MAX} characters.");
        keys.problem(at, "title", message, "It is the first line of a message: shorten it.");
        return None;
    }
    Some(title)
}

fn schedule(keys: &mut Fields) -> Option<Schedule> {
    let (text, at) = keys.required("schedule")?;
    match Schedule::read(&text) {
        Ok(schedule) if schedule.times_a_day() == 1 => Some(schedule),
        Ok(schedule) => {
            let times = schedule.times_a_day();
            let message = format!("`{text}` is due {times} times a day.");
            let hint = "A team is told once a day at most: write one minute and one hour.";
            keys.problem(at, "schedule", message, hint);
            None
        }
        Err(wrong) => {
            keys.problem(at, "schedule", wrong.message, wrong.hint);
            None
        }
    }
}

fn zone(keys: &mut Fields) -> Option<Zone> {
    let otherwise = keys.text("default_zone");
    let (word, at) = keys.required("zone")?;
    match (word.as_str(), otherwise) {
        ("team", Some((otherwise, at))) => {
            tz(keys, &otherwise, at).map(|otherwise| Zone::OfTeam { otherwise })
        }
        ("team", None) => {
            let hint = "Add it: `default_zone: Europe/Berlin`.";
            keys.problem(at, "zone", "Teams without a zone need `default_zone`.", hint);
            None
        }
        (_, Some((_, at))) => {
            let hint = "Leave it out, or write `zone: team`.";
            keys.problem(at, "zone", "`default_zone` goes with `zone: team`.", hint);
            None
        }
        (zone, None) => tz(keys, zone, at).map(Zone::Fixed),
    }
}

fn tz(keys: &mut Fields, name: &str, at: Position) -> Option<Tz> {
    let found = name.parse().ok();
    if found.is_none() {
        let known = TZ_VARIANTS.iter().map(|zone| zone.name());
        let hint = match fields::closest(name, known) {
            Some(known) => format!("Did you mean `{known}`?"),
            None => "Write it as IANA does: `Europe/Berlin`.".to_string(),
        };
        keys.problem(at, "zone", format!("There is no time zone `{name}`."), hint);
    }
    found
}

fn groups(keys: &mut Fields, names: Vec<(String, Position)>) -> BTreeSet<EntityRef> {
    let mut groups = BTreeSet::new();
    for (name, at) in names {
        match EntityRef::parse(&name, Some("group"), "default") {
            Ok(group) if group.kind() == "group" => drop(groups.insert(group)),
            _ => {
                let message = format!("`{name}` is not a Group.");
                keys.problem(at, "reference", message, "Write its name, or `group:shop/payments`.");
            }
        }
    }
    groups
}

fn channel(keys: &mut Fields) -> Option<ChannelRule> {
    let Some(node) = keys.take("channel") else { return Some(ChannelRule::OfTeam) };
    let at = node.at;
    if let Content::Text(word) = &node.content {
        if word == "team" {
            return Some(ChannelRule::OfTeam);
        }
        let message = format!("`{word}` is no rule for the channel.");
        let hint = "Write `team`, or one for all: `{slack: C0123456789}`.";
        keys.problem(at, "channel", message, hint);
        return None;
    }
    let mut inner = Fields::of(node, "channel", keys.file, keys.problems)?;
    let mut fixed = BTreeMap::new();
    for platform in PLATFORMS {
        let Some((channel, at)) = inner.text(platform.word()) else { continue };
        let channel = channel.trim_start_matches('#').to_string();
        if platform == Platform::Discord && !channel.bytes().all(|it| it.is_ascii_digit()) {
            let message = format!("`{channel}` is not the id of a channel in Discord.");
            inner.problem(at, "channel", message, "It is a number in quotes.");
            continue;
        }
        fixed.insert(platform.word(), channel);
    }
    if fixed.is_empty() && !inner.has_other_than(&[]) {
        let hint = "Write `team`, or one for all: `{slack: C0123456789}`.";
        inner.problem(at, "channel", "No channel is named.", hint);
    }
    inner.refuse_unknown();
    Some(ChannelRule::Fixed(fixed))
}

fn platforms(keys: &mut Fields) -> Vec<Platform> {
    let Some(words) = keys.texts("platforms") else { return PLATFORMS.to_vec() };
    let mut platforms = Vec::new();
    for (word, at) in words {
        match PLATFORMS.into_iter().find(|it| it.word() == word) {
            Some(platform) if !platforms.contains(&platform) => platforms.push(platform),
            Some(_) => {}
            None => keys.not_one_of(at, "platforms", &word, &PLATFORMS.map(Platform::word)),
        }
    }
    platforms
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong with `text`: line, column, rule, and the hint.
    fn wrong(text: &str) -> Vec<(u32, u32, String, String)> {
        let problems = read(text, "f").unwrap_err();
        problems.into_iter().map(|it| (it.line, it.column, it.rule, it.hint)).collect()
    }

    #[test]
    fn the_digest_of_the_head_of_this_file_is_good() {
        let head = include_str!("file.rs").split("```").nth(1).unwrap();
        let text = head.trim_start_matches("yaml").replace("//! ", "").replace("//!", "");
        let digest = read(&text, "f").unwrap();
        assert_eq!((digest.name.as_str(), digest.title.as_str()), ("weekly", "Your week"));
        assert_eq!(digest.zone, Zone::OfTeam { otherwise: Tz::Europe__Berlin });
        assert_eq!(digest.scorecards, ["production-readiness"]);
        assert_eq!(digest.audience.teams.unwrap().len(), 2);
        assert_eq!(digest.channel, ChannelRule::OfTeam);
        assert_eq!(digest.platforms, PLATFORMS);
        assert_eq!(digest.catch_up, CATCH_UP);
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let digest = read("name: weekly\nschedule: 0 9 * * 1\nzone: Asia/Tokyo\n", "f").unwrap();
        assert_eq!(digest.zone, Zone::Fixed(Tz::Asia__Tokyo));
        assert_eq!(digest.title, "weekly");
        assert_eq!(digest.audience, Audience::default());
        assert_eq!((digest.channel, digest.platforms.len()), (ChannelRule::OfTeam, 2));
    }

    #[test]
    fn every_mistake_is_told_with_its_place() {
        let text = "name: Weekly\nschedule: 0 25 * * mon\nzone: Europe/Berln\nteams: [user:ada]\n\
                    channel: everywhere\nplatforms: [slak]\ncatch_up: 30d\nscorecard: x\n";
        let told = wrong(text);
        let places: Vec<_> = told.iter().map(|it| (it.0, it.1, it.2.as_str())).collect();
        assert_eq!(
            places,
            [
                (1, 7, "name"),
                (2, 11, "schedule"),
                (3, 7, "zone"),
                (4, 9, "reference"),
                (5, 10, "channel"),
                (6, 13, "choice"),
                (7, 11, "duration"),
                (8, 1, "unknown-key"),
            ]
        );
        assert_eq!(told[2].3, "Did you mean `Europe/Berlin`?");
        assert_eq!(told[5].3, "Did you mean `slack`?");
        assert_eq!(told[7].3, "Did you mean `scorecards`?");
    }

    #[test]
    fn a_team_is_told_once_a_day_at_most() {
        let told = wrong("name: a\nschedule: 0 9,17 * * *\nzone: UTC\n");
        assert_eq!(told[0].2, "schedule");
        assert!(told[0].3.contains("one minute and one hour"), "{told:?}");
    }

    #[test]
    fn a_zone_of_teams_has_one_for_those_that_have_none() {
        let zone =
            |text: &str| wrong(&format!("name: a\nschedule: 0 9 * * *\n{text}"))[0].3.clone();
        assert!(zone("zone: team\n").contains("default_zone: Europe/Berlin"));
        assert!(zone("zone: UTC\ndefault_zone: UTC\n").contains("zone: team"));
    }

    #[test]
    fn one_channel_for_all_is_named_by_platform() {
        let text = "name: a\nschedule: 0 9 * * *\nzone: UTC\n";
        let channel = |rule: &str| read(&format!("{text}channel: {rule}\n"), "f");
        let fixed = [("slack", "ops".to_string())].into();
        assert_eq!(channel("{slack: '#ops'}").unwrap().channel, ChannelRule::Fixed(fixed));
        for bad in ["{}", "{teams: x}", "{discord: general}", "[]"] {
            assert!(channel(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn two_files_do_not_define_one_digest() {
        let dir = tempfile::tempdir().unwrap();
        let text = "name: weekly\nschedule: 0 9 * * 1\nzone: UTC\n";
        for file in ["a.yaml", "b.yml", "c.txt"] {
            std::fs::write(dir.path().join(file), text).unwrap();
        }
        let (digests, problems) = DigestSet::load(dir.path());
        assert_eq!((digests.iter().count(), problems.len()), (1, 1));
        assert_eq!((problems[0].file.as_str(), problems[0].rule.as_str()), ("b.yml", "conflict"));
        assert!(DigestSet::load(&dir.path().join("none")).1.is_empty());
    }
}
