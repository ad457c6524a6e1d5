//! The door of who opens the bot's Home: who they are, what their teams own, what they asked lately.

use chrono::{DateTime, Utc};

use super::{App, Heard, count, isolated, now, outcome};
use crate::access::Verb;
use crate::catalog::EntityRef;
use crate::catalog::snapshot::Filter;
use crate::commands::asked::QUESTIONS_MAX;
use crate::commands::lookups::label;
use crate::commands::parse::quoted;
use crate::commands::resolve::{unread, words};
use crate::commands::{flow, reply};
use crate::conversation::{Reply, Speaker, Untrusted, Way, button, form_button};
use crate::error::{Error, Result};

/// The most teams of one person that are listed with what they own.
const TEAMS_MAX: usize = 5;
/// The most services of one team that have a button.
const SERVICES_MAX: usize = 10;
/// The most commands that have a button for their form.
const FORMS_MAX: usize = 10;

impl App {
    /// What the Home of `speaker` shows. Never fails: what went wrong is said there.
    pub async fn home(&self, speaker: &Speaker) -> Reply {
        let now = now();
        let heard = self.heard(Way::Home, speaker);
        let shown = isolated(self.home_of(&heard, now)).await;
        let shown = shown.unwrap_or_else(Error::into_reply);
        count(shown.refusal.as_ref().map_or("answer", |refused| outcome(&refused.code)));
        reply::aged(shown, self.catalog.age_s(now), now)
    }

    async fn home_of(&self, heard: &Heard, now: DateTime<Utc>) -> Result<Reply> {
        let greeting = heard.greeting();
        if let Err(refusal) = heard.permit(Verb::Read) {
            let refused = refusal.to_reply();
            return Ok(Reply {
                markdown: format!("{greeting}\n\n{}", refused.markdown),
                ..refused
            });
        }
        if let Some(why) = heard.snapshot.why_unread() {
            let refused = unread(why).to_reply();
            return Ok(Reply {
                markdown: format!("{greeting}\n\n{}", refused.markdown),
                ..refused
            });
        }
        let mut parts = vec![greeting];
        parts.extend(heard.services());
        let asked = self.asked_lately(&heard.person.speaker, now).await;
        if !asked.is_empty() {
            let again: Vec<String> = asked.iter().map(|it| button(it, it)).collect();
            parts.push(format!("### You asked lately\n\n{}", again.join(" ")));
        }
        parts.push(format!("### Ask\n\n{}", heard.forms()));
        Ok(Reply::markdown(parts.join("\n\n")))
    }

    /// The newest questions of `speaker`, without those of the database while it does not answer.
    async fn asked_lately(&self, speaker: &Speaker, now: DateTime<Utc>) -> Vec<String> {
        let mut asked = self.asked.of(speaker);
        if let Some(db) = &*self.db.load_full() {
            asked.extend(flow::asked_lately(&db.pool, speaker, now).await);
        }
        let mut newest: Vec<String> = Vec::new();
        for words in asked {
            if newest.len() < QUESTIONS_MAX && !newest.contains(&words) {
                newest.push(words);
            }
        }
        newest
    }
}

impl Heard {
    /// Who they are known as, or how to say it.
    fn greeting(&self) -> String {
        let user = self.person.user.as_ref();
        let Some(user) = user.and_then(|user| self.snapshot.find(user.as_str())) else {
            return format!(
                "## Hello\n\nThis account is linked to nobody in the catalog. {}",
                button("Say who you are", "link")
            );
        };
        let name = Untrusted::from(&*label(user)).to_markdown();
        let known_as = Untrusted::from(&*user.name).to_code();
        let teams: Vec<String> = self
            .person
            .teams
            .iter()
            .take(TEAMS_MAX)
            .map(|it| format!("**{}**", self.called(it)))
            .collect();
        let more = match self.person.teams.len().saturating_sub(TEAMS_MAX) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let teams = match teams.is_empty() {
            true => "in no team".to_string(),
            false => format!("in {}{more}", teams.join(", ")),
        };
        format!("## Hello, {name}\n\nThe catalog knows you as {known_as}, {teams}.")
    }

    /// What people call the team or person.
    fn called(&self, reference: &EntityRef) -> String {
        let entity = self.snapshot.find(reference.as_str());
        let label = entity.map(label);
        Untrusted::from(label.as_deref().unwrap_or(reference.name())).to_markdown()
    }

    /// A part for each of their teams, and for themselves, that own services.
    fn services(&self) -> Vec<String> {
        let owners = self.person.teams.iter().take(TEAMS_MAX).chain(&self.person.user);
        owners.filter_map(|owner| self.services_of(owner)).collect()
    }

    /// The services of `owner` and its parts; `None` where there are none.
    fn services_of(&self, owner: &EntityRef) -> Option<String> {
        let filter = Filter {
            kind: Some("component".into()),
            team: Some(owner.to_string()),
            ..Filter::default()
        };
        let (services, total) = self.snapshot.list(&filter, 0, SERVICES_MAX);
        if total == 0 {
            return None;
        }
        let mut buttons: Vec<String> = services
            .iter()
            .map(|it| {
                let words = words(&self.snapshot, it);
                button(&label(it), &format!("owner {}", quoted(&words)))
            })
            .collect();
        let team = self.snapshot.find(owner.as_str()).map(|it| words(&self.snapshot, it));
        if let (Some(team), true) = (team, total > services.len()) {
            let all = format!("list component --team {}", quoted(&team));
            buttons.push(button(&format!("All {total}"), &all));
        }
        let whose = match Some(owner) == self.person.user.as_ref() {
            true => "Your own services".to_string(),
            false => format!("Services of {}", self.called(owner)),
        };
        Some(format!("### {whose} \\({total}\\)\n\n{}", buttons.join(" ")))
    }

    /// A button for the form of each command that asks for something.
    fn forms(&self) -> String {
        let asking = self
            .commands
            .iter()
            .filter(|it| it.lookup.verb() == Verb::Read && !it.arguments.is_empty());
        let forms: Vec<String> =
            asking.take(FORMS_MAX).map(|it| form_button(&it.name, &it.name)).collect();
        forms.join(" ")
    }
}
