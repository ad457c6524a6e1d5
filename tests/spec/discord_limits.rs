//! No reply is one that Discord refuses, however long it is.

use idp::chat::discord::outbound::Message;
use idp::conversation::Reply;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use crate::discord_judge::over_a_limit;
use crate::scale::at_full;
use crate::slack_limits::reply;

#[test]
fn no_reply_is_over_a_limit_of_discord() {
    let replies = if at_full(10) == 10 { 1_000_000 } else { 1_000 };
    let hands = std::thread::available_parallelism().map_or(1, usize::from);
    let cut: usize = std::thread::scope(|scope| {
        let judge = |hand: usize| (hand..replies).step_by(hands).filter(|it| is_cut(*it)).count();
        let working: Vec<_> = (0..hands).map(|hand| scope.spawn(move || judge(hand))).collect();
        working.into_iter().map(|it| it.join().unwrap()).sum()
    });
    println!("REL D15-discord {replies} random replies, {cut} of them cut, 0 over a limit");
    assert!(cut > replies / 200, "too few were long enough to be cut: {cut}");
}

/// Whether the reply `number`, which is within every limit, had to be cut for it.
fn is_cut(number: usize) -> bool {
    let markdown = reply(&mut StdRng::seed_from_u64(number as u64));
    let message = serde_json::to_value(Message::of(&Reply::markdown(&markdown))).unwrap();
    if let Err(limit) = over_a_limit(&message) {
        panic!("the reply of seed {number}: {limit}\n{markdown}");
    }
    let last = message["embeds"].as_array().and_then(|embeds| embeds.last());
    let said = last.and_then(|embed| embed["description"].as_str()).unwrap_or_default();
    said.ends_with("more that find no place here")
}

/// The control: what the judge says where nothing is cut.
#[test]
fn what_is_not_cut_would_be_refused_by_discord() {
    let described = |characters: usize| json!({ "description": "a".repeat(characters) });
    let button =
        |id: &str, label: usize| json!({ "type": 2, "custom_id": id, "label": "a".repeat(label) });
    let row = |buttons: Vec<Value>| json!({ "type": 1, "components": buttons });
    let select = |options: Vec<(String, String)>| {
        let options =
            options.iter().map(|(label, value)| json!({ "label": label, "value": value }));
        let options: Vec<Value> = options.collect();
        json!({ "type": 3, "custom_id": "s", "options": options })
    };
    let options = |count: usize, label: usize, value: usize| {
        let option = |it: usize| ("a".repeat(label), it.to_string().repeat(value));
        (0..count).map(option).collect::<Vec<_>>()
    };
    let one = |label: usize, value: usize| row(vec![select(options(1, label, value))]);
    let five = |row: usize| (0..5).map(|it| button(&format!("{row}{it}"), 1)).collect::<Vec<_>>();
    for message in [
        json!({}),
        json!({ "content": "𝒳".repeat(1_001) }),
        json!({ "embeds": vec![described(1); 11] }),
        json!({ "embeds": [described(4_097)] }),
        json!({ "embeds": vec![described(3_001); 2] }),
        json!({ "embeds": [{}] }),
        json!({ "embeds": [{ "title": "a".repeat(257) }] }),
        json!({ "embeds": [{ "footer": { "text": "a".repeat(2_049) } }] }),
        json!({ "embeds": [{ "fields": vec![json!({ "name": "a", "value": "a" }); 26] }] }),
        json!({ "components": (0..6).map(|it| row(five(it))).collect::<Vec<_>>() }),
        json!({ "components": [row([five(1), five(2)].concat())] }),
        json!({ "components": [one(101, 1)] }),
        json!({ "components": [one(1, 101)] }),
        json!({ "components": [one(0, 1)] }),
        json!({ "components": [one(1, 0)] }),
        json!({ "components": [one(1, 1), one(1, 1)] }),
        json!({ "components": [row(vec![select(options(26, 1, 1))])] }),
        json!({ "components": [row(vec![select(vec![])])] }),
        json!({ "components": [row(vec![select([options(1, 1, 1), options(1, 2, 1)].concat())])] }),
        json!({ "components": [row(vec![select(options(1, 1, 1)), button("a", 1)])] }),
        json!({ "components": [row(vec![json!({ "type": 5, "custom_id": "a" })])] }),
        json!({ "components": [row(vec![button("a", 81)])] }),
        json!({ "components": [row(vec![button(&"a".repeat(101), 1)])] }),
        json!({ "components": [row(vec![button("a", 1), button("a", 1)])] }),
    ] {
        assert!(over_a_limit(&message).is_err(), "{message:.200}");
    }
    let fitting = json!({
        "embeds": vec![described(600); 10],
        "components": (0..4)
            .map(|it| row(five(it)))
            .chain([row(vec![select(options(25, 100, 50))])])
            .collect::<Vec<_>>(),
    });
    assert_eq!(over_a_limit(&fitting), Ok(()));
}
