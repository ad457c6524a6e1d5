//! No reply is one that Slack refuses, however long it is.

use idp::chat::markdown::BUTTONS_ALIKE_MAX;
use idp::chat::slack::outbound;
use idp::conversation::{Reply, Untrusted, button, link};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;

use crate::scale::at_full;
use crate::slack_judge::over_a_limit;

/// Letters of one, two, three and four bytes, marks that combine, a family of four joined to one sign.
const GRAPHEMES: [&str; 10] =
    ["a", "Z", " ", "é", "ß", "語", "𝒳", "e\u{301}\u{302}", "👨‍👩‍👧‍👦", "&<>*_"];

#[test]
fn no_reply_is_over_a_limit_of_slack() {
    // Unoptimised, a hundred thousand take a minute.
    let replies = if at_full(10) == 10 { 1_000_000 } else { 10_000 };
    let hands = std::thread::available_parallelism().map_or(1, usize::from);
    let cut: usize = std::thread::scope(|scope| {
        let judge = |hand: usize| (hand..replies).step_by(hands).filter(|it| is_cut(*it)).count();
        let working: Vec<_> = (0..hands).map(|hand| scope.spawn(move || judge(hand))).collect();
        working.into_iter().map(|it| it.join().unwrap()).sum()
    });
    println!("REL D15 {replies} random replies, {cut} of them cut, 0 over a limit");
    assert!(cut > replies / 200, "too few were long enough to be cut: {cut}");
}

/// Whether the reply `number`, which is within every limit, had to be cut for it.
fn is_cut(number: usize) -> bool {
    let markdown = reply(&mut StdRng::seed_from_u64(number as u64));
    let message = outbound::message(&Reply::markdown(&markdown)).unwrap();
    if let Err(limit) = over_a_limit(&message) {
        panic!("the reply of seed {number}: {limit}\n{markdown}");
    }
    let last = message["blocks"].as_array().unwrap().last();
    let said = last.and_then(|block| block["elements"][0]["text"].as_str()).unwrap_or_default();
    said.ends_with("more that find no place here")
}

/// The control: what the judge says where nothing is cut.
#[test]
fn what_is_not_cut_would_be_refused() {
    let paragraph = |characters: usize| {
        json!({ "type": "rich_text", "elements": [{ "type": "rich_text_section", "elements": [
            { "type": "text", "text": "a".repeat(characters) },
        ]}]})
    };
    let header =
        json!({ "type": "header", "text": { "type": "plain_text", "text": "𝒳".repeat(76) } });
    let twice = json!({ "type": "actions", "elements": [
        { "type": "button", "action_id": "a", "text": { "type": "plain_text", "text": "a" } },
        { "type": "button", "action_id": "a", "text": { "type": "plain_text", "text": "a" } },
    ]});
    let select = |options: usize, label: usize, value: usize| {
        let text = json!({ "type": "plain_text", "text": "a".repeat(label) });
        let options = vec![json!({ "text": text, "value": "a".repeat(value) }); options];
        json!({ "type": "actions", "elements": [
            { "type": "static_select", "action_id": "a", "options": options },
        ]})
    };
    for blocks in [
        vec![select(101, 1, 1)],
        vec![select(1, 76, 1)],
        vec![select(1, 1, 151)],
        vec![select(0, 1, 1)],
        vec![select(1, 0, 1)],
        vec![select(1, 1, 0)],
        vec![select(1, 1, 1); 2],
        vec![paragraph(1); 51],
        vec![paragraph(3_001)],
        vec![paragraph(2_900); 5],
        vec![paragraph(0)],
        vec![header],
        vec![twice],
    ] {
        let message = json!({ "text": "", "blocks": blocks });
        assert!(over_a_limit(&message).is_err(), "{message:.200}");
    }
    let blocks = [vec![paragraph(200); 49], vec![select(100, 20, 150)]].concat();
    let fitting = json!({ "text": "", "blocks": blocks });
    assert_eq!(over_a_limit(&fitting), Ok(()));
}

/// A reply of up to a few hundred blocks, of every sort there is.
pub fn reply(random: &mut StdRng) -> String {
    // Most are short, as real ones are; some are far too long.
    let blocks = match random.random_range(0..100) {
        0 => random.random_range(40..200),
        1..6 => random.random_range(5..40),
        _ => random.random_range(0..5),
    };
    (0..blocks).map(|_| block(random) + "\n\n").collect()
}

fn block(random: &mut StdRng) -> String {
    match random.random_range(0..11) {
        0 => format!("# {}", text(random)),
        1 => format!("#### **{}**", text(random)),
        2 => "---".into(),
        3 => (0..some(random)).map(|_| format!("- {}\n", text(random))).collect(),
        4 => (0..some(random)).map(|_| format!("7. {}\n   - x\n", text(random))).collect(),
        5 => {
            let rows = (0..some(random)).map(|_| format!("| {} | b |\n", text(random)));
            format!("| a | b |\n|---|---|\n{}", rows.collect::<String>())
        }
        6 => format!("> {}\n>\n> - {}", text(random), text(random)),
        7 => {
            let buttons = (0..some(random)).map(|_| button(&text(random), &raw(random)));
            buttons.collect::<Vec<_>>().join(" ")
        }
        10 => {
            let names = (0..some(random) + BUTTONS_ALIKE_MAX)
                .map(|_| button(&text(random), &format!("show {}", raw(random))));
            names.collect::<Vec<_>>().join(" ")
        }
        8 => link(
            &raw(random),
            &format!("https://a.example/{}", "x".repeat(random.random_range(0..3_000))),
        ),
        _ => {
            format!("{} _{}_ `{}` ~~{}~~", text(random), text(random), "c".repeat(9), text(random))
        }
    }
}

/// How many points, rows or buttons: few, or more than find a place.
fn some(random: &mut StdRng) -> usize {
    match random.random_range(0..20) {
        0 => random.random_range(25..130),
        _ => random.random_range(1..6),
    }
}

fn text(random: &mut StdRng) -> String {
    Untrusted::from(raw(random).as_str()).to_markdown()
}

/// Text of one grapheme over and over, or of two in turn; now and then longer than a message.
fn raw(random: &mut StdRng) -> String {
    let graphemes = match random.random_range(0..400) {
        0 => random.random_range(1_000..5_000),
        1..20 => random.random_range(60..200),
        _ => random.random_range(0..20),
    };
    let mut any = || GRAPHEMES[random.random_range(0..GRAPHEMES.len())];
    let pair = [any(), any()].concat();
    pair.repeat(graphemes / 2)
}
