//! The door of who posts links: what the pages are about that the catalog knows.

use unicode_segmentation::UnicodeSegmentation;

use super::{App, Heard};
use crate::access::Verb;
use crate::catalog::Entity;
use crate::catalog::snapshot::pages;
use crate::commands::lookups::owner;
use crate::conversation::{Reply, Speaker, Untrusted, Way};

/// The most links of one message that become cards.
const CARDS_MAX: usize = 5;
/// The most entities of one page that its card names.
const ENTITIES_MAX: usize = 3;
/// What a card says of a description.
const DESCRIPTION_LETTERS_MAX: usize = 200;

impl App {
    /// A card for each of the `addresses` that `speaker` posts and that the catalog knows, with the address as it was
    /// given; each once, at most five. Nothing for who may not ask.
    pub fn cards(&self, speaker: &Speaker, addresses: &[String]) -> Vec<(String, Reply)> {
        let heard = self.heard(Way::Unfurl, speaker);
        let cards = heard.permit(Verb::Read).map(|_| heard.cards(addresses));
        self.note_shown(&heard, "", cards.as_ref().map(|cards| !cards.is_empty()));
        cards.unwrap_or_default()
    }
}

impl Heard {
    fn cards(&self, addresses: &[String]) -> Vec<(String, Reply)> {
        let mut cards: Vec<(String, Reply)> = Vec::new();
        for address in addresses {
            let is_known = cards.iter().any(|(it, _)| it == address);
            let found = if is_known { Vec::new() } else { self.at(address) };
            if let Some(card) = self.card(&found) {
                cards.push((address.clone(), Reply::markdown(card)));
            }
            if cards.len() == CARDS_MAX {
                break;
            }
        }
        cards
    }

    /// What the page at `address` is about.
    fn at(&self, address: &str) -> Vec<&Entity> {
        let catalog = self.settings.catalog_url.as_deref();
        let named = catalog.and_then(|catalog| pages::of_catalog(catalog, address));
        match named.and_then(|reference| self.snapshot.find(reference.as_str())) {
            Some(entity) => vec![entity],
            None => self.snapshot.at(address),
        }
    }

    /// `None` where there is nothing to say.
    fn card(&self, found: &[&Entity]) -> Option<String> {
        let [entity] = found else {
            let mut lines: Vec<String> =
                found.iter().take(ENTITIES_MAX).map(|it| format!("- {}", self.line(it))).collect();
            if found.len() > ENTITIES_MAX {
                lines.push(format!("- and {} more", found.len() - ENTITIES_MAX));
            }
            return Some(lines.join("\n")).filter(|lines| !lines.is_empty());
        };
        let answer = owner::answer(&self.snapshot, entity, self.watch());
        let mut parts = vec![self.line(entity)];
        parts.extend(answer.summary.description.map(described));
        let mut points = Vec::new();
        if let Some(rota) = &answer.rota {
            points.push(format!("- On call: {}", said(&rota.text)));
        } else if let Some(on_call) = &answer.on_call {
            let id = Untrusted::from(&*on_call.id).to_code();
            points.push(format!("- On call: {} {id}", on_call.system));
        }
        let tier = answer.summary.tier.map(|it| format!("Tier {}", said(it)));
        let standing: Vec<String> =
            tier.into_iter().chain(answer.summary.lifecycle.map(said)).collect();
        if !standing.is_empty() {
            points.push(format!("- {}", standing.join(", ")));
        }
        if !points.is_empty() {
            parts.push(points.join("\n"));
        }
        Some(parts.join("\n\n"))
    }

    /// What it is, and whose.
    fn line(&self, entity: &Entity) -> String {
        let answer = owner::answer(&self.snapshot, entity, self.watch());
        let owners: Vec<String> =
            answer.owners.iter().map(|it| format!("**{}**", said(&it.team.label))).collect();
        let whose = match (answer.is_team || answer.is_person, owners.is_empty()) {
            (true, _) => String::new(),
            (false, true) => ", owned by nobody".to_string(),
            (false, false) => format!(", owned by {}", owners.join(" and ")),
        };
        let (name, kind) = (said(&answer.entity.label), said(entity.reference.kind()));
        format!("**{name}** · {kind}{whose}")
    }
}

fn said(text: &str) -> String {
    Untrusted::from(text).to_markdown()
}

/// The beginning of a description.
fn described(text: &str) -> String {
    let mut shown: String = text.graphemes(true).take(DESCRIPTION_LETTERS_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    said(&shown)
}
