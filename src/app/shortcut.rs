//! The door of who points at a message: who owns what it names?

use super::{App, Heard, how, isolated};
use crate::access::Verb;
use crate::catalog::Entity;
use crate::commands::mentioned::{Mentioned, mentioned};
use crate::commands::parse::quoted;
use crate::commands::resolve::{unread, words};
use crate::conversation::{Audience, Invocation, Pointing, Reply, Way, button};
use crate::error::{Refusal, Result};

/// What people see in a message's menu.
pub const SHORTCUT: &str = "Who owns this?";

/// The most buttons of one answer.
const CHOICES_MAX: usize = 10;
/// The most words of a message that are offered where it names nothing.
const OFFERS_MAX: usize = 3;

impl App {
    /// Who owns what the message names: the answer where that is one thing, a button for each where it is several,
    /// the channel's own where it is nothing, marked as such. Never fails, and is for whoever asked alone.
    pub async fn answer_about(&self, pointing: Pointing) -> Reply {
        let heard = self.heard(Way::Shortcut, &pointing.speaker);
        let answered = isolated(self.owner_of_named(&heard, &pointing)).await;
        self.note(&heard, OWNER, how(&answered));
        let Pointing { speaker, address, .. } = pointing;
        // What a message says is nobody's question: nothing of it is written down.
        let asked = Invocation { speaker, address, text: String::new() };
        Reply { audience: Audience::Asker, ..self.said(&heard, &asked, answered) }
    }

    async fn owner_of_named(&self, heard: &Heard, pointing: &Pointing) -> Result<Reply> {
        heard.permit(Verb::Read)?;
        if let Some(why) = heard.snapshot.why_unread() {
            return Err(unread(why).into());
        }
        let Mentioned { named, words } = mentioned(&heard.snapshot, &pointing.texts);
        let offers: Vec<String> =
            words.iter().take(OFFERS_MAX).map(|it| heard.owner_words(it)).collect();
        match named[..] {
            [one] => {
                let text = heard.owner_words(one);
                self.owner(heard, pointing, text).await
            }
            [] if heard.is_of_channel(pointing) => {
                let mut reply = self.owner(heard, pointing, OWNER.into()).await?;
                let offers: Vec<String> = offers.iter().map(|it| button(it, it)).collect();
                let mark = "This message has no whole name that the catalog knows.";
                reply.markdown = format!("{mark} {}\n\n{}", reply.markdown, offers.join(" "));
                Ok(reply)
            }
            [] => Err(Refusal::NothingNamed { instead: offers }.into()),
            ref several => Ok(heard.choice(several)),
        }
    }

    async fn owner(&self, heard: &Heard, pointing: &Pointing, text: String) -> Result<Reply> {
        let Pointing { speaker, address, .. } = pointing.clone();
        let invocation = Invocation { speaker, address, text };
        self.reply(heard, &heard.question(&invocation, &mut "")?).await
    }
}

/// The command that answers.
const OWNER: &str = "owner";

impl Heard {
    /// The words that ask who owns `entity`.
    fn owner_words(&self, entity: &Entity) -> String {
        format!("{OWNER} {}", quoted(&words(&self.snapshot, entity)))
    }

    fn is_of_channel(&self, pointing: &Pointing) -> bool {
        let address = &pointing.address;
        let own = self.snapshot.in_channel(&address.channel_id, address.channel_name.as_deref());
        !own.is_empty()
    }

    /// A button for each of `named`, as far as they are few.
    fn choice(&self, named: &[&Entity]) -> Reply {
        let shown = named.iter().take(CHOICES_MAX);
        let buttons: Vec<String> =
            shown.map(|it| button(&words(&self.snapshot, it), &self.owner_words(it))).collect();
        let more = match named.len().saturating_sub(CHOICES_MAX) {
            0 => String::new(),
            more => format!("\n\n_and {more} more_"),
        };
        Reply::markdown(format!(
            "This message names {} things. Whose owner?\n\n{}{more}",
            named.len(),
            buttons.join(" ")
        ))
    }
}
