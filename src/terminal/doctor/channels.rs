//! Whether the bot may speak in the channels that the catalog names.

use std::collections::{BTreeSet, HashMap};

use super::Finding;
use crate::chat::slack::channels::Channel;

/// So many channels are named; the others are counted.
const NAMED_MAX: usize = 10;

/// What is wrong with the channels that the catalog names, by id or by name, in a workspace that `has` these public
/// ones.
pub(super) fn findings<'a>(named: impl Iterator<Item = &'a str>, has: &[Channel]) -> Vec<Finding> {
    let named: BTreeSet<&str> = named.collect();
    if named.is_empty() {
        return vec![Finding::off("slack", "the catalog names no channels")];
    }
    let by_id: HashMap<&str, &Channel> = has.iter().map(|it| (&*it.id, it)).collect();
    let by_name: HashMap<String, &Channel> =
        has.iter().map(|it| (it.name.to_lowercase(), it)).collect();
    let found = |name: &str| by_id.get(name).or_else(|| by_name.get(&name.to_lowercase())).copied();
    let of = |is_it: fn(Option<&Channel>) -> bool| -> Vec<&str> {
        named.iter().copied().filter(|name| is_it(found(name))).collect()
    };
    let problems = [
        (
            of(|it| it.is_none()),
            "are no public channels",
            "correct them in the descriptors; the bot must be invited to private ones, which it cannot see",
        ),
        (
            of(|it| it.is_some_and(|it| it.is_archived)),
            "are archived",
            "name the channels that took their place in the descriptors",
        ),
        (
            of(|it| it.is_some_and(|it| !it.is_archived && !it.is_member)),
            "are without the bot",
            "type `/invite @idp` in each",
        ),
    ];
    let problem = |(channels, what, mend): (Vec<&str>, &str, &str)| {
        let said = || format!("channels of the catalog that {what}: {}", list(&channels));
        (!channels.is_empty()).then(|| Finding::problem("slack", said(), mend))
    };
    let problems: Vec<Finding> = problems.into_iter().filter_map(problem).collect();
    match problems.is_empty() {
        true => vec![Finding::ok(
            "slack",
            format!("the bot is in the {} channels of the catalog", named.len()),
        )],
        false => problems,
    }
}

fn list(channels: &[&str]) -> String {
    let named = channels.iter().take(NAMED_MAX).copied().collect::<Vec<_>>().join(", ");
    match channels.len().saturating_sub(NAMED_MAX) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(id: &str, name: &str, is_archived: bool, is_member: bool) -> Channel {
        Channel { id: id.into(), name: name.into(), is_archived, is_member }
    }

    #[test]
    fn a_channel_is_known_by_its_id_or_its_name() {
        let has = [channel("C1", "pay", false, true), channel("C2", "ops", false, true)];
        let findings = findings(["C1", "Ops", "C1"].into_iter(), &has);
        assert_eq!(findings, [Finding::ok("slack", "the bot is in the 2 channels of the catalog")]);
    }

    #[test]
    fn each_thing_that_is_wrong_is_said_once() {
        let has = [
            channel("C1", "pay", false, true),
            channel("C2", "old", true, true),
            channel("C3", "ops", false, false),
        ];
        let named: Vec<String> = (0..12).map(|number| format!("gone-{number:02}")).collect();
        let named = named.iter().map(String::as_str).chain(["C1", "old", "C3"]);
        let said: Vec<String> = findings(named, &has).into_iter().map(|it| it.said).collect();
        assert_eq!(said.len(), 3);
        assert!(said[0].ends_with("gone-08, gone-09 and 2 more"), "{}", said[0]);
        assert!(said[1].ends_with("are archived: old"), "{}", said[1]);
        assert!(said[2].ends_with("are without the bot: C3"), "{}", said[2]);
    }
}
