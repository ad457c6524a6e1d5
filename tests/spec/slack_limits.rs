//! No reply is one that Slack refuses, however long it is.

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
    // Unoptimised, a thousand take half a minute.
    let replies = if at_full(10) == 10 { 1_000_000 } else { 1_000 };
    let mut random = StdRng::seed_from_u64(15);
    let mut cut = 0;
    for number in 0..replies {
        let markdown = reply(&mut random);
        let message = outbound::message(&Reply::markdown(&markdown));
        if let Err(limit) = over_a_limit(&message) {
            panic!("reply {number}: {limit}\n{markdown}");
        }
        cut += usize::from(message.to_string().contains("more that find no place"));
    }
    println!("REL D15 {replies} random replies, {cut} of them cut, 0 over a limit");
    assert!(cut > replies / 200, "too few were long enough to be cut: {cut}");
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
    for blocks in [
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
    let fitting = json!({ "text": "", "blocks": vec![paragraph(250); 50] });
    assert_eq!(over_a_limit(&fitting), Ok(()));
}

/// A reply of up to a few hundred blocks, of every sort there is.
fn reply(random: &mut StdRng) -> String {
    // Most are short, as real ones are; some are far too long.
    let blocks = match random.random_range(0..20) {
        0 => random.random_range(40..200),
        1..4 => random.random_range(5..40),
        _ => random.random_range(0..5),
    };
    let mut markdown = String::new();
    for _ in 0..blocks {
        let block = block(random);
        markdown.push_str(&block);
        markdown.push_str("\n\n");
    }
    markdown
}

fn block(random: &mut StdRng) -> String {
    match random.random_range(0..10) {
        0 => format!("# {}", text(random)),
        1 => format!("#### **{}**", text(random)),
        2 => "---".into(),
        3 => (0..random.random_range(1..40)).map(|_| format!("- {}\n", text(random))).collect(),
        4 => (0..random.random_range(1..9))
            .map(|_| format!("7. {}\n   - x\n", text(random)))
            .collect(),
        5 => {
            let rows =
                (0..random.random_range(0..40)).map(|_| format!("| {} | b |\n", text(random)));
            format!("| a | b |\n|---|---|\n{}", rows.collect::<String>())
        }
        6 => format!("> {}\n>\n> - {}", text(random), text(random)),
        7 => {
            let buttons =
                (0..random.random_range(1..60)).map(|_| button(&text(random), &raw(random)));
            buttons.collect::<Vec<_>>().join(" ")
        }
        8 => link(
            &raw(random),
            &format!("https://a.example/{}", "x".repeat(random.random_range(0..4_000))),
        ),
        _ => {
            format!("{} _{}_ `{}` ~~{}~~", text(random), text(random), "c".repeat(9), text(random))
        }
    }
}

fn text(random: &mut StdRng) -> String {
    Untrusted::from(raw(random).as_str()).to_markdown()
}

fn raw(random: &mut StdRng) -> String {
    let graphemes = match random.random_range(0..200) {
        0 => random.random_range(1_000..5_000),
        1..20 => random.random_range(60..200),
        _ => random.random_range(0..20),
    };
    let one = GRAPHEMES[random.random_range(0..GRAPHEMES.len())];
    (0..graphemes)
        .map(|_| match random.random_range(0..3) {
            0 => GRAPHEMES[random.random_range(0..GRAPHEMES.len())],
            _ => one,
        })
        .collect()
}
