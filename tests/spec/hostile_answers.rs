//! No name, description or link that someone wrote can change the shape of an answer.
//!
//! Each text of each built-in command's answers is replaced in turn by a hostile one; an independent reader of Markdown
//! must see the same shape as with a harmless word, and the hostile text literally.

use std::collections::BTreeMap;

use handlebars::Context;
use idp::commands::{Command, CommandSet};
use idp::conversation::is_hidden;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use pulldown_cmark::{Event, Options, Parser, Tag};
use serde_json::Value;

use crate::asking::Asking;
use crate::scale::at_full;

const HARMLESS: &str = "harmless";

const HOSTILE: &[&str] = &[
    "<!channel>",
    "<@U1>",
    "<#C1>",
    "<!subteam^S1>",
    "@everyone",
    "&lt;!here&gt;",
    "&amp;lt;!here&amp;gt;",
    "<http://evil.example|https://good.example>",
    "[good](http://evil.example)",
    "[a](<idp:run b>)",
    "![a](http://evil.example)",
    "http://evil.example",
    "<http://evil.example>",
    "javascript:alert(1)",
    "https://good.example@evil.example",
    "`code`",
    "``` ```",
    "```\ncode\n```",
    "*a*",
    "**a**",
    "__a__",
    "~~a~~",
    "_a_",
    "a\n# Heading",
    "# Heading",
    "> quote",
    "- item",
    "1. item",
    "a\n\nStatus: APPROVED",
    "a\r\nb",
    "    code",
    "\tcode",
    "---",
    "===",
    "a\n===",
    "| a | b |\n|---|---|",
    "<b>bold</b>",
    "<script>",
    "<!-- a -->",
    "\\",
    "\\*a\\*",
    "a\\",
    "`",
    "a`",
    "``",
    "](",
    ")",
    ">)",
    "a](http://evil.example) [b",
    "{{name}}",
    "{{{name}}}",
    "{{#each a}}",
    "a\u{202E}b",
    "a\u{2066}b\u{2069}",
    "a\u{200B}b",
    "\u{FEFF}a",
    "a\u{00AD}b",
    "a\u{E0041}b",
    "a\u{0}b",
    "a\u{1b}[31mb",
    "a\u{2028}b\u{2029}c",
    "[^1]",
    "[^1]: note",
    "[a]: http://evil.example",
    "- [ ] task",
    "$a$",
    "a  \nb",
    "&copy;",
    "&#42;a&#42;",
    "a@b.example",
    "www.evil.example",
    "\" onclick=\"a",
    "' or 1=1 --",
    "ß İ ſ",
    "🏳️‍🌈",
];

/// What a reader of Markdown sees.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    /// How often each element occurs.
    shape: BTreeMap<&'static str, usize>,
    text: String,
}

fn seen(markdown: &str) -> Seen {
    let mut seen = Seen::default();
    for event in Parser::new_ext(markdown, Options::all()) {
        let element = match event {
            Event::Start(Tag::Paragraph) | Event::End(_) => continue,
            Event::Start(Tag::Heading { .. }) => "heading",
            Event::Start(Tag::Strong) => "strong",
            Event::Start(Tag::Emphasis) => "emphasis",
            Event::Start(Tag::List(_)) => "list",
            Event::Start(Tag::Item) => "item",
            Event::Start(Tag::Link { .. }) => "link",
            Event::Start(Tag::Image { .. }) => "image",
            Event::Start(_) => "other",
            Event::Html(_) | Event::InlineHtml(_) => "html",
            Event::HardBreak => "break",
            Event::Rule => "rule",
            Event::Text(text) => {
                seen.text.push_str(&text);
                continue;
            }
            // Code and text show the same words; which of the two does not matter.
            Event::Code(text) => {
                seen.text.push_str(&text);
                continue;
            }
            Event::SoftBreak => {
                seen.text.push('\n');
                continue;
            }
            Event::FootnoteReference(_)
            | Event::TaskListMarker(_)
            | Event::InlineMath(_)
            | Event::DisplayMath(_) => "other",
        };
        *seen.shape.entry(element).or_default() += 1;
    }
    seen
}

/// `text` as a reader must see it: on one line, what is hidden made visible.
fn literally(text: &str) -> String {
    let mut shown = String::new();
    for character in text.trim().chars() {
        match character {
            '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' => shown.push(' '),
            it if is_hidden(it) => shown.push_str(&format!("⟨U+{:04X}⟩", it as u32)),
            it => shown.push(it),
        }
    }
    shown
}

/// Every text in `value`, by the keys and places that lead to it.
fn texts(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::String(_) => found.push(path.to_string()),
        Value::Array(items) => {
            for (place, item) in items.iter().enumerate().take(2) {
                texts(item, &format!("{path}/{place}"), found);
            }
        }
        Value::Object(fields) => {
            for (key, field) in fields {
                texts(field, &format!("{path}/{key}"), found);
            }
        }
        _ => {}
    }
}

/// What `command` says of `answer` with `text` at `path`.
fn said(command: &Command, answer: &Value, path: &str, text: &str) -> String {
    let mut answer = answer.clone();
    *answer.pointer_mut(path).unwrap() = Value::from(text);
    command.template.render(&Context::from(answer)).unwrap()
}

fn check(command: &Command, answer: &Value, path: &str, hostile: &str) {
    let harmless = seen(&said(command, answer, path, HARMLESS));
    let markdown = said(command, answer, path, hostile);
    let attacked = seen(&markdown);
    let at = format!("{} {path} {hostile:?}\n{markdown}", command.name);
    assert_eq!(attacked.shape, harmless.shape, "{at}");
    let times = harmless.text.matches(HARMLESS).count();
    // A block of code has lines, which end with what is seen; what stands between backticks may be code.
    let plain = |text: &str| text.replace('`', "").split_whitespace().collect::<Vec<_>>().join(" ");
    let (shown, expected) = (plain(&attacked.text), plain(&literally(hostile)));
    // Where the answer already has the same characters they count too.
    assert!(shown.matches(&expected).count() >= times, "{at}");
    assert!(!markdown.chars().any(|it| it != '\n' && it.is_control()), "{at}");
}

/// The answer to the first example of each built-in command, with the places of its texts.
async fn answers(commands: &CommandSet) -> Vec<(&Command, Value, Vec<String>)> {
    let asking = Asking::acme().await;
    let mut answers = Vec::new();
    for command in commands.iter() {
        for example in command.examples.iter().take(1) {
            let answer = asking.says(&example.say).await.answer;
            if answer.get("total").is_some_and(|total| *total == 0) {
                continue;
            }
            let mut places = Vec::new();
            texts(&answer, "", &mut places);
            // An address that is none is no link: there the shape differs as it should.
            places.retain(|place| !place.ends_with("/url"));
            // Whoever asks may not ask everything.
            if !places.is_empty() {
                answers.push((command, answer, places));
            }
        }
    }
    answers
}

#[tokio::test]
async fn no_hostile_text_changes_the_shape_of_any_answer() {
    let commands = CommandSet::built_in();
    let mut tried = 0;
    for (command, answer, places) in answers(&commands).await {
        for place in &places {
            for hostile in HOSTILE {
                check(command, &answer, place, hostile);
                tried += 1;
            }
        }
    }
    println!("{tried} hostile texts in their places");
    assert!(tried > 5_000);
}

#[tokio::test]
async fn no_random_text_changes_the_shape_of_any_answer() {
    let commands = CommandSet::built_in();
    let answers = answers(&commands).await;
    let cases = u32::try_from(at_full(20_000)).unwrap();
    let mut runner =
        TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let markup = "[a-c0-9 \\n\\t\\\\`*_~#>|<!&;:@/(){}\\[\\]=+.'\"-]{1,24}";
    let text = markup.prop_filter("a text with something in it", |it| !it.trim().is_empty());
    let which = (0..answers.len(), any::<prop::sample::Index>(), text);
    runner
        .run(&which, |(number, place, text)| {
            let (command, answer, places) = &answers[number];
            check(command, answer, place.get::<String>(places), &text);
            Ok(())
        })
        .unwrap();
    println!("{cases} random texts");
}

#[tokio::test]
async fn only_the_pages_of_a_link_become_links() {
    let asking = Asking::acme().await;
    let commands = CommandSet::built_in();
    let owner = commands.find("owner").unwrap();
    let answer = asking.says("owner payment-api").await.answer;
    let links = |url: &str| seen(&said(owner, &answer, "/links/0/url", url)).shape["link"];
    let with = links("https://wiki.acme.example/runbook");
    for url in HOSTILE.iter().chain(&[
        "data:text/html,a",
        "slack://a",
        "file:///etc/passwd",
        "idp:run a",
        "",
    ]) {
        let is_page = url.starts_with("http") && !url.contains('@');
        assert_eq!(links(url), if is_page { with } else { with - 1 }, "{url}");
    }
}

#[test]
fn the_judge_sees_a_text_that_is_not_escaped() {
    let shape = |text: &str| seen(&format!("- **{text}** owns it")).shape;
    let unescaped = HOSTILE.iter().filter(|it| shape(it) != shape(HARMLESS)).count();
    assert!(unescaped > HOSTILE.len() / 4, "{unescaped}");
}
