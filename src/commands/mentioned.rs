//! What a message names of the catalog: nobody wrote it to be read by us.
//!
//! Only whole names count, and of those only the ones that can hardly be anything else; a name is often a word that
//! means something: `search`, `web`, `orders`. A name counts
//!
//! - that is written as names are: a hyphen, dot, underscore, digit or capital within it, and four characters at least;
//! - that is a reference, `component:checkout`; or a title or alias of several words;
//! - that is all there is between two backticks;
//! - that is not written at all: a page that the catalog knows is linked to;
//! - that the message says what it is: `service: checkout`, `team=payments`.
//!
//! Any other word is worth an offer at most, and shorter ones not even that. People are named because they talk, not
//! because the message is about them.

use std::sync::LazyLock;

use regex::Regex;

use crate::catalog::{Entity, Snapshot};

/// So much of a message is read: more than a platform's longest.
const TOKENS_MAX: usize = 10_000;
/// A shorter name is common in other meanings: `s3`, `v2`, `api`.
const CHARACTERS_MIN: usize = 4;
/// The most words of a title or an alias.
const WORDS_MAX: usize = 5;

/// What monitoring calls the thing that an alert is about.
const THINGS: [&str; 15] = [
    "service",
    "component",
    "app",
    "application",
    "api",
    "resource",
    "system",
    "domain",
    "entity",
    "project",
    "repo",
    "repository",
    "job",
    "deployment",
    "container",
];
/// And its people.
const TEAMS: [&str; 4] = ["team", "squad", "group", "owner"];

/// Kinds that nobody asks the owner of.
const NOT_ASKED_ABOUT: [&str; 2] = ["user", "location"];

/// What a message names, each once, in its order.
#[derive(Debug, Default)]
pub struct Mentioned<'a> {
    /// Named for sure. Teams are among it only where nothing else is: their part in the message is that they own it.
    pub named: Vec<&'a Entity>,
    /// Words of the message that are names too; empty where anything is named.
    pub words: Vec<&'a Entity>,
}

/// A run of characters that names are made of.
struct Token<'a> {
    text: &'a str,
    /// What stands between it and the token before it, and the one behind it.
    before: &'a str,
    after: &'a str,
}

/// What `texts` name, which are plain text: code between backticks, fields as `name: value`.
pub fn mentioned<'a>(snapshot: &'a Snapshot, texts: &[String]) -> Mentioned<'a> {
    let mut mentioned = Mentioned::default();
    for text in texts {
        let tokens = tokens(text);
        for place in 0..tokens.len() {
            mentioned.read(snapshot, &tokens, place);
        }
    }
    let Mentioned { named, words } = &mut mentioned;
    if named.iter().any(|it| it.reference.kind() != "group") {
        named.retain(|it| it.reference.kind() != "group");
    }
    if !named.is_empty() {
        words.clear();
    }
    mentioned
}

impl<'a> Mentioned<'a> {
    /// Adds what the token at `place` names, alone or with those behind it.
    fn read(&mut self, snapshot: &'a Snapshot, tokens: &[Token<'_>], place: usize) {
        let token = &tokens[place];
        if token.is_of_a_person_or_channel() {
            return;
        }
        if token.text.contains("://") {
            return add(&mut self.named, snapshot.at(token.text));
        }
        for length in 2..=WORDS_MAX.min(tokens.len() - place) {
            let Some(phrase) = phrase(&tokens[place..place + length]) else { break };
            add(&mut self.named, snapshot.exactly(&phrase, &[]));
        }
        if let Some(kinds) = label(tokens, place).and_then(kinds_of) {
            return add(&mut self.named, labelled(snapshot, token.text, kinds));
        }
        let found = snapshot.exactly(token.text, &[]);
        match token.text.split_once(':') {
            // `service:checkout`, as tags are written.
            Some((label, value)) if found.is_empty() => match kinds_of(label) {
                Some(kinds) => add(&mut self.named, labelled(snapshot, value, kinds)),
                None if is_written_as_names_are(value) => {
                    add(&mut self.named, snapshot.exactly(value, &[]));
                }
                None => {}
            },
            _ if token.is_code() || is_written_as_names_are(token.text) => {
                add(&mut self.named, found);
            }
            _ if token.text.chars().count() >= CHARACTERS_MIN => add(&mut self.words, found),
            _ => {}
        }
    }
}

impl Token<'_> {
    /// `@ada`, `#payments`, `ada@acme.example`
    fn is_of_a_person_or_channel(&self) -> bool {
        self.before.ends_with(['@', '#']) || self.after.starts_with('@')
    }

    /// Whether it is all of a piece of code; a block of code is a log, and full of words.
    fn is_code(&self) -> bool {
        let is_open = self.before.ends_with('`') && !self.before.ends_with("``");
        is_open && self.after.starts_with('`') && !self.after.starts_with("``")
    }
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    static TOKEN: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(
            r#"https?://[^\s<>|)\]"'`]+|[\p{L}\p{N}](?:[\p{L}\p{M}\p{N}\-_./:]*[\p{L}\p{M}\p{N}])?"#,
        )
        .expect("the pattern is right")
    });
    let found: Vec<_> = TOKEN.find_iter(text).take(TOKENS_MAX).collect();
    let ends = found.iter().map(|it| it.end());
    let starts = found.iter().skip(1).map(|it| it.start()).chain([text.len()]);
    let before = std::iter::once(0).chain(ends.clone());
    let spaces = before.zip(ends.zip(starts));
    let token = |(it, (before, (end, next))): (&regex::Match<'_>, (usize, (usize, usize)))| Token {
        text: &text[it.range()],
        before: &text[before..it.start()],
        after: &text[end..next],
    };
    found.iter().zip(spaces).map(token).collect::<Vec<_>>()
}

/// The words of `tokens`, where nothing but spaces stands between them.
fn phrase(tokens: &[Token<'_>]) -> Option<String> {
    let is_space = |text: &str| !text.is_empty() && text.chars().all(|it| it == ' ');
    let behind = &tokens[1..];
    let words: Vec<&str> = tokens.iter().map(|it| it.text).collect();
    behind.iter().all(|it| is_space(it.before)).then(|| words.join(" "))
}

/// The word that says what the token at `place` is: `service` in `service: checkout`, or in a line above it.
fn label<'t>(tokens: &[Token<'t>], place: usize) -> Option<&'t str> {
    let (token, label) = (&tokens[place], &tokens[place.checked_sub(1)?]);
    let is_alone = place == 1 || label.before.contains('\n');
    let is_said = token.before.contains([':', '=']) || is_alone && token.before.contains('\n');
    is_said.then_some(label.text)
}

/// The kinds of what `label` announces; all where it is empty.
fn kinds_of(label: &str) -> Option<&'static [&'static str]> {
    let label = label.to_lowercase();
    let is_team = TEAMS.contains(&label.as_str()).then_some(&["group"][..]);
    is_team.or_else(|| THINGS.contains(&label.as_str()).then_some(&[][..]))
}

/// What is named `value`; a service is rather a component than a system of its name.
fn labelled<'a>(snapshot: &'a Snapshot, value: &str, kinds: &[&str]) -> Vec<&'a Entity> {
    let component = snapshot.exactly(value, &["component"]);
    match kinds.is_empty() && !component.is_empty() {
        true => component,
        false => snapshot.exactly(value, kinds),
    }
}

fn is_written_as_names_are(text: &str) -> bool {
    let mut characters = text.chars();
    let has_mark = text.contains(['-', '_', '.', '/', ':']) || text.contains(char::is_numeric);
    characters.next();
    let has_capital = text.contains(char::is_lowercase) && characters.any(char::is_uppercase);
    let is_long = text.chars().count() >= CHARACTERS_MIN && text.contains(char::is_alphabetic);
    is_long && (has_mark || has_capital)
}

fn add<'a>(into: &mut Vec<&'a Entity>, found: Vec<&'a Entity>) {
    for entity in found {
        let is_known = into.iter().any(|it| it.reference == entity.reference);
        if !is_known && !NOT_ASKED_ABOUT.contains(&entity.reference.kind()) {
            into.push(entity);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{EntityRef, Place, StoredEntity};

    fn catalog() -> Snapshot {
        let entity = |reference: &str, title: &str| StoredEntity {
            reference: EntityRef::parse(reference, None, "default").unwrap(),
            body: serde_json::json!({ "metadata": { "title": title } }).to_string().into(),
            relations: Vec::new(),
            place: Place { source: "".into(), file: "".into(), document: 0, line: 1 },
            orphaned_at: None,
        };
        let entities = [
            ("component:payment-api", "Payment API"),
            ("component:checkout", "Checkout"),
            ("system:checkout", "Checkout"),
            ("component:s3", "Storage"),
            ("component:orderService", "Orders"),
            ("group:payments", "Payments"),
            ("group:team-checkout", "Team Checkout"),
            ("user:ada-lovelace", "Ada Lovelace"),
        ];
        let aliases =
            [("the till", "component:default/checkout"), ("till", "component:default/checkout")];
        let aliases =
            aliases.map(|(said, it)| (said.into(), EntityRef::parse(it, None, "default").unwrap()));
        Snapshot::build(entities.map(|(it, title)| entity(it, title)), &aliases, 1)
    }

    /// The names of what `text` names, and of what its words may mean.
    fn of(text: &str) -> (Vec<String>, Vec<String>) {
        let catalog = catalog();
        let Mentioned { named, words } = mentioned(&catalog, &[text.to_string()]);
        let names = |found: Vec<&Entity>| found.iter().map(|it| it.reference.to_string()).collect();
        (names(named), names(words))
    }

    fn named(text: &str) -> Vec<String> {
        of(text).0
    }

    const API: &str = "component:default/payment-api";
    const CHECKOUT: &str = "component:default/checkout";

    #[test]
    fn a_name_that_is_written_as_names_are_counts_wherever_it_stands() {
        for text in [
            "payment-api",
            "is Payment-API down?",
            "[FIRING:1] HighErrorRate payment-api (prod)",
            "{alertname=\"Errors\",svc=\"payment-api\"}",
            "see component:payment-api, please",
            "component:default/payment-api.",
            "env:prod,svc:payment-api",
            "the payment API is slow",
            "*payment-api*: 5xx",
        ] {
            assert_eq!(named(text), [API], "{text}");
        }
        assert_eq!(named("orderservice, or OrderService"), ["component:default/orderservice"]);
    }

    #[test]
    fn part_of_a_word_and_what_is_only_like_a_name_is_no_name() {
        for text in [
            "payment-api-7d9f-x2x",
            "payment-api.prod.svc.cluster.local",
            "old-payment-api",
            "payment_api",
            "paymnt-api",
            "https://evil.example/payment-api?name=payment-api",
            "#payment-api",
            "payment-api@acme.example",
            "@ada-lovelace",
            "ada-lovelace was here",
            "payment, API",
            "",
        ] {
            assert_eq!(of(text), (vec![], vec![]), "{text}");
        }
    }

    #[test]
    fn a_common_word_is_a_name_only_where_it_is_marked_as_one() {
        for text in [
            "`checkout` fails",
            "service: checkout",
            "Service:checkout",
            "\"service\": \"checkout\"",
            "{job=\"checkout\"}",
            "*Service*\ncheckout",
            "alert\n*Service:*\nCheckout",
            "the till is down",
        ] {
            let expected: &[&str] = match text.starts_with('`') {
                true => &[CHECKOUT, "system:default/checkout"],
                false => &[CHECKOUT],
            };
            assert_eq!(named(text), expected, "{text}");
        }
        for text in [
            "checkout is down",
            "env: checkout",
            "which service\nchecked? checkout",
            "``` checkout\n```",
            "```checkout```",
            "try this: checkout",
        ] {
            let (named, words) = of(text);
            assert_eq!(named, [""; 0], "{text}");
            assert_eq!(words, [CHECKOUT, "system:default/checkout"], "{text}");
        }
        // Too short for an offer even.
        assert_eq!(of("copy it to s3"), (vec![], vec![]));
        assert_eq!(named("`s3`"), ["component:default/s3"]);
    }

    #[test]
    fn what_is_named_goes_before_its_team_and_before_mere_words() {
        assert_eq!(named("team: payments"), ["group:default/payments"]);
        assert_eq!(named("team: payments\nservice: payment-api"), [API]);
        assert_eq!(of("payment-api breaks checkout"), (vec![API.into()], vec![]));
        assert_eq!(named("payment-api and `checkout`").len(), 3);
        assert_eq!(named("payment-api, Payment API, payment-api"), [API]);
    }
}
