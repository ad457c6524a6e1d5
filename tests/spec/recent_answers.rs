//! An answer that is shown again is the answer that would be given now.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Bytes;
use idp::chat::slack::outbound::Message;
use idp::commands::{CommandSet, file};
use idp::conversation::{Platform, Reply};

use crate::asking::{Asking, invocation};

/// How many replies [`shown`] was asked to show.
static SHOWN: AtomicUsize = AtomicUsize::new(0);

fn shown(reply: &Reply) -> Bytes {
    SHOWN.fetch_add(1, Ordering::Relaxed);
    Message::body(reply)
}

#[tokio::test]
async fn what_is_shown_again_is_what_would_be_said() {
    let asking = Asking::acme().await;
    let mut asked = 0;
    let commands = CommandSet::built_in();
    // Each code is another.
    for command in commands.iter().filter(|it| it.name != "link") {
        for example in &command.examples {
            let said = Message::body(&asking.says(&example.say).await);
            for _ in 0..2 {
                let again = asking.app.answer_shown(invocation(&example.say), shown).await;
                assert_eq!(again.message, said, "{}", example.say);
                asked += 1;
            }
        }
    }
    let made = SHOWN.load(Ordering::Relaxed);
    println!("{asked} answers, {made} of them rendered");
    assert!(made < asked * 3 / 4, "{made} of {asked} were rendered: nothing was shown again");
}

#[tokio::test]
async fn questions_that_read_alike_are_told_apart() {
    let asking = Asking::acme().await;
    let shown = async |text| asking.app.answer_shown(invocation(text), Message::body).await;
    let option = shown("find payment --kind api").await;
    let words = shown("find payment \"--kind api\"").await;
    assert_ne!(option, words);

    let mut elsewhere = invocation("owner");
    elsewhere.address.channel_name = Some("payment-api".into());
    let of_channel = asking.app.answer_shown(elsewhere, Message::body).await;
    let of_name = shown("owner payment-api").await;
    let said = String::from_utf8_lossy(&of_channel.message);
    assert!(said.contains("In this channel"), "{said}");
    assert_ne!(of_channel, of_name);
}

#[tokio::test]
async fn who_asks_is_never_answered_with_anothers_answer() {
    let asking = Asking::acme().await;
    let mut another = invocation("whoami");
    another.speaker.user_id = "U0NOBODY".into();
    let first = asking.app.answer_shown(invocation("whoami"), Message::body).await;
    let second = asking.app.answer_shown(another, Message::body).await;
    assert_ne!(first, second);

    let mut on_discord = invocation("owner payment-api");
    on_discord.speaker.platform = Platform::Discord;
    let on_slack = asking.app.answer_shown(invocation("owner payment-api"), Message::body).await;
    let as_text = |reply: &Reply| Bytes::from(reply.markdown.clone());
    assert_ne!(asking.app.answer_shown(on_discord, as_text).await, on_slack);
}

#[tokio::test]
async fn changed_commands_answer_at_once() {
    let asking = Asking::acme().await;
    let before = asking.app.answer_shown(invocation("owner payment-api"), Message::body).await;
    let text = "name: owner\nsummary: Who owns it\narguments:\n  - name: entity\n    type: entity\n\
                lookup: owner\ntemplate: Somebody.\n";
    let portal = tempfile::tempdir().unwrap();
    std::fs::write(portal.path().join("owner.yaml"), text).unwrap();
    assert!(file::read(text, "owner.yaml").is_ok());
    asking.app.commands.store(CommandSet::reloaded(portal.path()).unwrap().into());
    let after = asking.app.answer_shown(invocation("owner payment-api"), Message::body).await;
    assert_ne!(before, after);
    assert!(String::from_utf8_lossy(&after.message).contains("Somebody."));
}
