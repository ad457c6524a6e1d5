//! The door of who opens the bot's Home: who they are, what their teams own, what they asked lately.

use chrono::{DateTime, Utc};

use super::{App, Heard, count, how, isolated, outcome};
use crate::access::{Object, Verb};
use crate::actions::{Whole, say};
use crate::catalog::EntityRef;
use crate::catalog::snapshot::Filter;
use crate::commands::asked::QUESTIONS_MAX;
use crate::commands::lookups::{exempt, label};
use crate::commands::parse::quoted;
use crate::commands::resolve::{unread, words};
use crate::commands::{flow, reply};
use crate::conversation::{Reply, Speaker, Untrusted, Way, button, form_button};
use crate::error::Result;
use crate::scorecards::exemption::{self, Exemption};

/// The most teams of one person that are listed with what they own.
const TEAMS_MAX: usize = 5;
/// The most services of one team that have a button.
const SERVICES_MAX: usize = 10;
/// The most requests of one kind that are listed.
const REQUESTS_MAX: usize = 5;
/// The most commands that have a button for their form.
const FORMS_MAX: usize = 20;

impl App {
    /// What the Home of `speaker` shows. Never fails: what went wrong is said there.
    pub async fn home(&self, speaker: &Speaker) -> Reply {
        let heard = self.heard(Way::Home, speaker);
        let shown = isolated(self.home_of(&heard)).await;
        self.note(&heard, "", how(&shown));
        let shown = shown.unwrap_or_else(|error| heard.greeting_with(error.into_reply()));
        count(shown.refusal.as_ref().map_or("answer", |refused| outcome(&refused.code)));
        reply::aged(shown, self.catalog.age_s(heard.at), heard.at)
    }

    async fn home_of(&self, heard: &Heard) -> Result<Reply> {
        heard.permit(Verb::Read)?;
        if let Some(why) = heard.snapshot.why_unread() {
            return Err(unread(why).into());
        }
        let mut parts = vec![heard.greeting()];
        parts.extend(heard.services());
        parts.extend(self.requests(heard).await);
        parts.extend(self.undecided(heard).await);
        let asked = self.asked_lately(&heard.person.speaker, heard.at).await;
        if !asked.is_empty() {
            let again: Vec<String> = asked.iter().map(|it| button(it, it)).collect();
            parts.push(format!("### You asked lately\n\n{}", again.join(" ")));
        }
        parts.push(format!("### Ask\n\n{}", heard.forms()));
        Ok(Reply::markdown(parts.join("\n\n")))
    }

    /// What they asked for and nobody has decided on, and what of others they may decide on; nothing while the
    /// database does not answer.
    async fn requests(&self, heard: &Heard) -> Vec<String> {
        let db = self.db.load_full();
        let (Some(db), Some(user)) = (&*db, &heard.person.user) else { return Vec::new() };
        let open = flow::open_requests(&db.pool).await;
        let (mine, others): (Vec<_>, Vec<_>) =
            open.into_iter().partition(|it| it.asked_by == *user);
        let mine = mine.iter().map(|it| heard.request(it, "Withdraw", "exemptions withdraw"));
        let others = others.iter().filter(|it| heard.may_decide(it));
        let others = others.map(|it| heard.request(it, "Grant", "exemptions grant"));
        [("Your requests", listed(mine)), ("Waiting for you", listed(others))]
            .into_iter()
            .filter(|(_, listed)| !listed.is_empty())
            .map(|(title, listed)| format!("### {title}\n\n{listed}"))
            .collect()
    }

    /// What others ask to have done that they may decide on; nothing while the database does not answer.
    async fn undecided(&self, heard: &Heard) -> Option<String> {
        let db = self.pool()?;
        let office = self.office(&db);
        let desk = office.desk();
        let mine: Vec<Whole> = flow::undecided_of(&desk, &heard.person).await;
        let row = |whole: &Whole| {
            let id = whole.request.id;
            let title = say::titled(whole, desk.actions, &heard.snapshot);
            let (sign, standing) = say::standing(whole);
            let show = button("Details", &format!("requests show {id}"));
            format!("{sign} **{id}** {title}: {standing} {show}")
        };
        let shown: Vec<String> = mine.iter().take(REQUESTS_MAX).map(row).collect();
        let more = (mine.len() > REQUESTS_MAX).then(|| button("All requests", "approve"));
        let lines: Vec<String> = shown.into_iter().chain(more).collect();
        (!lines.is_empty())
            .then(|| format!("### Waiting for your yes or no\n\n{}", lines.join("\n\n")))
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

/// The first of `requests`, and how to see the others.
fn listed(requests: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = requests.take(REQUESTS_MAX + 1).collect();
    let shown = all[..all.len().min(REQUESTS_MAX)].join("\n\n");
    match all.len() > REQUESTS_MAX {
        true => format!("{shown}\n\n{}", button("All requests", "exemptions")),
        false => shown,
    }
}

impl Heard {
    /// A request with the button that settles it.
    fn request(&self, exemption: &Exemption, label: &str, words: &str) -> String {
        let row = exempt::row(&self.snapshot, &self.scorecards, exemption, None, false);
        let text = |text: &str| Untrusted::from(text).to_markdown();
        format!(
            "**{}** {}: {} \\({}\\) for {} days; asked by {}: {} {}",
            row.id,
            text(&row.entity.label),
            text(row.rule),
            text(row.scorecard),
            row.days,
            text(&row.asked_by.label),
            text(row.reason),
            button(label, &format!("{words} {}", row.id)),
        )
    }

    fn may_decide(&self, exemption: &Exemption) -> bool {
        let approvers = exemption::approvers(&self.scorecards, &exemption.scorecard);
        let object = Object::Entity { owners: approvers.unwrap_or_default() };
        self.settings.access.authorize(&self.person, self.way, Verb::Excuse, object).is_ok()
    }

    /// The greeting above what is said instead of the rest.
    fn greeting_with(&self, refused: Reply) -> Reply {
        Reply { markdown: format!("{}\n\n{}", self.greeting(), refused.markdown), ..refused }
    }

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
