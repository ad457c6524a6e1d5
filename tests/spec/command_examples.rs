//! Each example in each command file is true.

use idp::access::Verb;
use idp::commands::CommandSet;
use idp::conversation::Way;

use crate::asking::{ADMIN, Asking, invocation};

#[tokio::test]
async fn every_example_of_every_built_in_command_is_true() {
    let asking = Asking::acme().await;
    let commands = CommandSet::built_in();
    let mut tried = 0;
    let mut untrue = Vec::new();
    for command in commands.iter() {
        assert!(!command.examples.is_empty(), "`{}` has no example", command.name);
        for example in &command.examples {
            let mut invocation = invocation(&example.say);
            // What admins alone may ask, one asks.
            if [Verb::Observe, Verb::Name].contains(&command.lookup.verb()) {
                invocation.speaker.user_id = ADMIN.into();
            }
            let reply = asking.app.answer(Way::Command, invocation).await;
            tried += 1;
            let is_true = reply.command == command.name && example.is_met_by(&reply.markdown);
            if !is_true || reply.refusal.is_some() {
                untrue.push(format!("{}: {}\n{}", command.name, example.say, reply.markdown));
            }
        }
    }
    println!("{tried} examples of {} commands", commands.names().len());
    assert!(untrue.is_empty(), "{}", untrue.join("\n\n"));
}

#[tokio::test]
async fn an_example_that_is_not_true_is_noticed() {
    let asking = Asking::acme().await;
    let commands = CommandSet::built_in();
    let owner = commands.find("owner").unwrap();
    let reply = asking.reads("owner ledger").await;
    let about_another = owner.examples.iter().filter(|it| it.reply.is_some());
    assert!(about_another.clone().count() > 0);
    assert!(about_another.clone().all(|example| !example.is_met_by(&reply)), "{reply}");
}
