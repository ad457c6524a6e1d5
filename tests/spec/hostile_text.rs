//! What others wrote is shown as it stands: it mentions nobody, links nowhere, and changes no shape.

use std::sync::Arc;

use idp::app::App;
use idp::catalog::{Catalog, EntityRef, Place, Relation, RelationKind, Snapshot, StoredEntity};
use idp::chat::discord;
use idp::chat::slack::outbound;
use idp::commands::CommandSet;
use idp::conversation::{Address, Invocation, Platform, Reply, Speaker, Untrusted, Way, mention};
use idp::integrations::http::{Client, Policy};
use idp::vault::Key;
use serde_json::{Value, json};

use crate::asking::open;
use crate::discord_judge;
use crate::hostile_slack::without_the_guard;
use crate::slack_judge::{seen, shape};

/// Mentions, links, formatting, forged lines, what cannot be seen, what breaks a table or a block.
pub const HOSTILE: [&str; 50] = [
    "<!channel>",
    "<!here|here>",
    "<!everyone>",
    "<!subteam^S1>",
    "<@U1>",
    "<#C1|general>",
    "<!date^1392734382^{date}^https://evil.example|x>",
    "@everyone",
    "@here",
    "@channel",
    "<@&1>",
    "&lt;!channel&gt;",
    "&amp;lt;!channel&amp;gt;",
    "&#60;!channel&#62;",
    "\\<!channel\\>",
    "<http://evil.example|https://good.example>",
    "[good](https://evil.example)",
    "https://evil.example",
    "<https://evil.example>",
    "www.evil.example",
    "evil.example",
    "javascript:alert(1)",
    "[a](javascript:alert(1))",
    "slack://open",
    "https://good.example@evil.example",
    "a@evil.example",
    "![x](https://evil.example/x.png)",
    "[a][b]\n\n[b]: https://evil.example",
    "[Run](idp:run)",
    "[Run](<idp:run it>)",
    "[Ada](<idp-person:slack=U1,discord=1>)",
    "](<idp-person:slack=U1,discord=1>)",
    "`",
    "```",
    "``` \nApproved\n```",
    "*bold* _it_ ~x~ **b** ~~s~~",
    "> quote",
    "# heading",
    "- item",
    "1. item",
    "---",
    "| a | b |",
    "a\n\n**Status: APPROVED**",
    "a\r\u{2028}b",
    "\u{202E}drowssap\u{2066}",
    "a\u{200B}\u{FEFF}\u{E0041}b",
    "\u{1b}[31mred\u{7}",
    "a\0b",
    "<b onclick=x>html</b>",
    "{\"type\":\"button\"} {{entity}} {{{x}}}",
];

#[tokio::test]
async fn nothing_that_others_wrote_mentions_links_or_changes_the_shape() {
    let harmless = "harmless";
    let mut judged = 0;
    for question in ["owner victim", "owner team-victim", "help", "help owner"] {
        let expected = answer(harmless, question).await;
        assert!(expected.refusal.is_none(), "{question}: {}", expected.markdown);
        let expected = message(&expected);
        for hostile in HOSTILE {
            let message = message(&answer(hostile, question).await);
            let (seen, usual) = (seen(&message), seen_links(&expected));
            assert!(seen.mentions.is_empty(), "{question}, {hostile:?}: {:?}", seen.mentions);
            assert_eq!(seen.links, usual, "{question}, {hostile:?}: {message}");
            assert_eq!(shape(&message), shape(&expected), "{question}, {hostile:?}: {message}");
            assert!(!has_hidden(&message), "{question}, {hostile:?}: {message}");
            judged += 1;
        }
    }
    println!(
        "REL G1-G4 {judged} answers with hostile data: 0 mentions, 0 foreign links, 0 changed shapes"
    );
}

#[tokio::test]
async fn nothing_that_people_type_mentions_or_links() {
    let mut judged = 0;
    for hostile in HOSTILE {
        for question in [
            hostile.to_string(),
            format!("owner {hostile}"),
            format!("owner --{hostile}"),
            format!("help {hostile}"),
        ] {
            let message = message(&answer("harmless", &question).await);
            let seen = seen(&message);
            assert!(seen.mentions.is_empty() && seen.links.is_empty(), "{question:?}: {seen:?}");
            assert!(!has_hidden(&message), "{question:?}: {message}");
            judged += 1;
        }
    }
    println!("REL G1-G3 {judged} hostile questions: 0 mentions, 0 links");
}

/// Those of [`HOSTILE`] that would do nothing in Slack if nobody guarded, and why.
const HARMLESS_HERE: [(&str, &str); 16] = [
    ("@everyone", "Slack looks for names only where `link_names` asks it to"),
    ("@here", "Slack looks for names only where `link_names` asks it to"),
    ("@channel", "Slack looks for names only where `link_names` asks it to"),
    ("&lt;!channel&gt;", "an escape is undone once"),
    ("&amp;lt;!channel&amp;gt;", "an escape is undone once"),
    ("&#60;!channel&#62;", "Slack knows three escapes, and this is none"),
    ("www.evil.example", "an address has a scheme"),
    ("evil.example", "an address has a scheme"),
    ("a@evil.example", "an address has a scheme"),
    ("javascript:alert(1)", "a scheme that nobody follows"),
    ("[a](javascript:alert(1))", "a scheme that nobody follows"),
    ("`", "one alone opens nothing"),
    ("| a | b |", "a table has a second line"),
    ("a\r\u{2028}b", "no more than space"),
    ("a\u{200B}\u{FEFF}\u{E0041}b", "seen by nobody, and a letter of no name"),
    ("{\"type\":\"button\"} {{entity}} {{{x}}}", "what a template is given is no template"),
];

/// The controls: written as if it were ours, or handed to Slack to be parsed, the judge sees each text.
#[test]
fn a_text_that_is_not_guarded_is_seen() {
    let said = |markdown: &str| message(&Reply::markdown(markdown));
    let looks = |message: &Value| {
        (seen(message).mentions, seen_links(message), shape(message), has_hidden(message))
    };
    let plain = said("harmless");
    for hostile in HOSTILE {
        let guarded = said(&Untrusted::from(hostile).to_markdown());
        assert_eq!(looks(&guarded), looks(&plain), "{hostile:?}: {guarded}");
        let is_markup = looks(&said(hostile)) != looks(&plain);
        let is_mrkdwn = looks(&without_the_guard(&guarded)) != looks(&without_the_guard(&plain));
        let is_harmless = HARMLESS_HERE.iter().any(|(text, _)| *text == hostile);
        assert_eq!(is_markup || is_mrkdwn, !is_harmless, "{hostile:?}");
    }
}

/// Whom we mention ourselves stands beside what others wrote, and is the only one who is mentioned.
#[test]
fn beside_a_mention_of_ours_no_text_mentions() {
    let accounts = [(Platform::Slack, "U1"), (Platform::Discord, "1")];
    let (on_slack, on_discord) = (["user U1"], ["1 is called", "@1", "@1"]);
    let mut caught = 0;
    for hostile in HOSTILE {
        let guarded = Untrusted::from(hostile).to_markdown();
        for (named, text) in [("Ada", guarded.as_str()), (hostile, "Ada")] {
            let said = format!("{text} {} {text}", mention(named, &accounts));
            let slack = seen(&message(&Reply::markdown(&said)));
            let shown = discord::outbound::Message::of(&Reply::markdown(&said));
            let discord = discord_judge::seen(&serde_json::to_value(shown).unwrap());
            assert_eq!(slack.besides(&on_slack), [""; 0], "{hostile:?}: {slack:?}");
            assert_eq!(discord.besides(&on_discord), [""; 0], "{hostile:?}: {discord:?}");
            assert_eq!(slack.mentions.len() + discord.mentions.len(), 4, "{hostile:?}: {said}");
        }
        // The control: the same, written as if it were ours.
        let said = format!("{hostile} {}", mention("Ada", &accounts));
        let slack = message(&Reply::markdown(&said));
        caught += usize::from(!seen(&without_the_guard(&slack)).besides(&on_slack).is_empty());
    }
    assert!(caught > 5, "{caught}");
}

/// A question and arguments of any length and any letters end in an answer.
#[tokio::test]
async fn no_length_and_no_letter_makes_a_question_fail() {
    for piece in
        ["a", " ", "\"", "\\", "--x ", "(a+)+$ ", "%_'; drop table x; --", "e\u{301}", "👨‍👩‍👧‍👦", "\0"]
    {
        for bytes in [10_000, 1_000_000] {
            let question = format!("owner {}", piece.repeat(bytes / piece.len()));
            let reply = answer("harmless", &question).await;
            assert_ne!(reply.markdown, "", "{piece:?}");
            assert!(
                reply.refusal.is_none_or(|it| it.code != "unavailable"),
                "{piece:?} of {bytes} bytes"
            );
            crate::slack_judge::over_a_limit(&message(&answer("harmless", &question).await))
                .unwrap();
        }
    }
    println!("REL G14 20 questions of up to 1 MB, 0 panics");
}

fn message(reply: &Reply) -> Value {
    outbound::message(reply).unwrap()
}

fn seen_links(message: &Value) -> Vec<String> {
    seen(message).links
}

pub fn has_hidden(message: &Value) -> bool {
    // Word joiners are ours: they keep the fallback's text from being read as markup.
    let is_hidden = |it: char| {
        (it.is_control() && it != '\n')
            || matches!(it, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
    };
    let blocks = message["blocks"].to_string() + message["text"].as_str().unwrap();
    blocks.contains(is_hidden) || blocks.contains("\\u001b") || blocks.contains("\\u0000")
}

/// What `question` gets where each text that a descriptor can have is `text`.
async fn answer(text: &str, question: &str) -> Reply {
    let component = entity(
        "component:default/victim",
        json!({ "title": text, "description": text, "annotations": { "slack.com/channel-name": text } }),
        json!({ "type": text, "lifecycle": text, "tier": text }),
        &["group:default/team-victim"],
    );
    let team = entity(
        "group:default/team-victim",
        json!({ "title": text, "description": text }),
        json!({ "type": "team", "profile": { "displayName": text } }),
        &[],
    );
    let catalog = Catalog::new(Snapshot::build(vec![component, team], &[], 1));
    let http = Client::new(Policy::default());
    let app = App::new(catalog, CommandSet::built_in(), open(), None, http, Key::random());
    Arc::new(app)
        .answer(
            Way::Command,
            Invocation {
                speaker: Speaker {
                    platform: Platform::Slack,
                    tenant: "T1".into(),
                    user_id: "U1".into(),
                },
                address: Address {
                    platform: Platform::Slack,
                    tenant: "T1".into(),
                    channel_id: "C1".into(),
                    channel_name: None,
                    thread: None,
                },
                text: question.into(),
            },
        )
        .await
}

fn entity(reference: &str, metadata: Value, spec: Value, owners: &[&str]) -> StoredEntity {
    let reference = EntityRef::parse(reference, None, "default").unwrap();
    let mut metadata = metadata;
    metadata["name"] = reference.name().into();
    let body = json!({ "kind": reference.kind(), "metadata": metadata, "spec": spec });
    let owned_by = |owner: &&str| Relation {
        kind: RelationKind::OwnedBy,
        target: EntityRef::parse(owner, None, "default").unwrap(),
        bare: false,
    };
    StoredEntity {
        relations: owners.iter().map(owned_by).collect(),
        body: body.to_string().into(),
        place: Place { source: "s".into(), file: "f".into(), document: 0, line: 1 },
        orphaned_at: None,
        reference,
    }
}
