//! What teams are told on a schedule, each in its own channel: how its services stand, and what changed.
//!
//! ```text
//!  digest file ──due──▶ one row for each team, its words in it ──chat/digests.rs──▶ the team's channel
//!               flow          one transaction
//! ```
//! Exactly one message for each digest, team and local date, whatever crashes and however many processes run:
//!
//! - The table is the queue. A slot is dealt with in one transaction: it writes down a row for each team, and that the
//!   slot is dealt with. A second queue beside it, with jobs and retries of its own, would have an opinion of its own
//!   on what is done after a crash, and the two would have to be brought together again, by a table like this one.
//! - A row is claimed, and counts as sent, before its message is. Whoever finds it so later looks at the platform for
//!   the message before sending it again.
//! - Slack has no way to ask whether a message was posted, but one to ask which are scheduled. So a digest is scheduled
//!   ahead of its time ([`lead`]), and what was lost on the way is found in Slack's list while there is time. That also
//!   makes the pace harmless: Slack takes some fifty a minute, and posts thousands at nine. And it posts them while idp
//!   is down.
//! - Discord posts what has the same `nonce` once, for some minutes; later the channel is looked at.
//! - A message that was sent, of which nobody learnt anything until its time had passed, is not sent again: it ends as
//!   `MAY_HAVE_ARRIVED`, and is counted as that.

pub mod content;
pub mod delivery;
pub mod due;
pub mod file;
pub mod flow;
pub mod standing;
pub mod store;
pub mod week;

use std::time::Duration;

use chrono::TimeDelta;
use chrono_tz::Tz;
use serde_json::Value;

use crate::catalog::channel;
use crate::catalog::snapshot::Target;
use crate::catalog::{Entity, EntityRef, RelationKind, Snapshot};
use crate::conversation::Platform;
pub use delivery::{Delivery, Outcome, Step};
pub use file::DigestSet;
use file::{ChannelRule, Digest, Zone};

/// The annotation of a Group that says its time zone.
pub const ZONE: &str = "idp/time-zone";

/// Between two messages that Slack is handed: it takes about fifty a minute, of which some are kept free.
/// Source: <https://docs.slack.dev/apis/web-api/rate-limits>, tier 3.
pub const BETWEEN: Duration = Duration::from_millis(1_250);

/// How long before its slot a digest is planned at least: long enough that what was lost on the way to Slack is found
/// there, looked at once more, and sent again.
const LEAD_MIN: TimeDelta = TimeDelta::minutes(10);
/// Older words than this nobody wants to read.
const LEAD_MAX: TimeDelta = TimeDelta::hours(6);

/// How long before its slot a digest is planned where `teams` hear one on Slack: as short as lets all of them be
/// scheduled in time, for what it says is as old.
pub fn lead(teams: usize) -> TimeDelta {
    let each = TimeDelta::from_std(BETWEEN).unwrap_or_default();
    (LEAD_MIN + each * i32::try_from(teams).unwrap_or(i32::MAX)).min(LEAD_MAX)
}

/// Counts how deliveries ended; `None` are those of no platform.
pub fn count(platform: Option<Platform>, outcome: Outcome, number: usize) {
    let platform = platform.map_or("none", Platform::word);
    let labels = [("platform", platform), ("outcome", outcome.word())];
    metrics::counter!("idp_digest_deliveries_total", &labels).increment(number as u64);
}

/// A team that is to hear a digest.
#[derive(Debug, Clone, PartialEq)]
pub struct Hearer {
    pub team: EntityRef,
    pub zone: Tz,
    /// Where; `None`: it has no channel on any platform of the digest that is connected.
    pub place: Option<(Platform, String)>,
}

/// The teams that are to hear `digest`, in the order of their references; `connected` are the platforms that idp can
/// post on.
pub fn hearers(digest: &Digest, snapshot: &Snapshot, connected: &[Platform]) -> Vec<Hearer> {
    let named = |team: &Entity| match &digest.audience.teams {
        Some(teams) => teams.contains(&team.reference),
        None => snapshot.related(team, RelationKind::OwnerOf).iter().any(is_known),
    };
    let teams = snapshot.entities().filter(|it| it.reference.kind() == "group" && !it.orphaned);
    let teams = teams.filter(|it| !digest.audience.except.contains(&it.reference) && named(it));
    let hearer = |team: &Entity| {
        let body = snapshot.body(team);
        let annotations = &body["metadata"]["annotations"];
        let place = digest.platforms.iter().filter(|it| connected.contains(it)).find_map(|it| {
            let channel = match &digest.channel {
                ChannelRule::OfTeam => channel::own(annotations, *it),
                ChannelRule::Fixed(fixed) => fixed.get(it.word()).cloned(),
            };
            Some((*it, channel?))
        });
        Hearer { team: team.reference.clone(), zone: zone(digest.zone, annotations), place }
    };
    let mut hearers: Vec<Hearer> = teams.map(hearer).collect();
    hearers.sort_by(|one, other| one.team.cmp(&other.team));
    hearers
}

fn is_known(target: &Target<'_>) -> bool {
    matches!(target, Target::Known(entity) if !entity.orphaned)
}

/// By whose clock a team with these `annotations` hears a digest.
fn zone(rule: Zone, annotations: &Value) -> Tz {
    match rule {
        Zone::Fixed(zone) => zone,
        Zone::OfTeam { otherwise } => {
            let own = annotations[ZONE].as_str().and_then(|name| name.trim().parse().ok());
            own.unwrap_or(otherwise)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lead_lets_every_team_be_scheduled_in_time_and_has_an_end() {
        assert_eq!(lead(0), TimeDelta::minutes(10));
        let whole = lead(2_000) - LEAD_MIN;
        assert!(whole >= TimeDelta::minutes(40) && whole < TimeDelta::minutes(45), "{whole}");
        assert_eq!(lead(1_000_000), LEAD_MAX);
        assert_eq!(lead(usize::MAX), LEAD_MAX);
    }
}
