//! Who may do what: roles, the policies about them, and the permit that everything of the catalog asks for.
//!
//! ```text
//! person ──role──▶ (role, verb, object, way in) ──policies, once──▶ yes: a Permit / no: a Refusal
//! ```
//! Architecture invariant: what reads the catalog for somebody takes a [`Permit`], and only
//! [`Authority::authorize`] makes one. A way in that forgets to ask does not compile.

use std::sync::{LazyLock, OnceLock};

use anyhow::Context as _;
use cedar_policy::{
    Authorizer, Context, Entities, Entity, EntityUid, PolicyId, PolicySet, Request,
    RestrictedExpression,
};

use serde::Serialize;

use super::Person;
use crate::catalog::EntityRef;
use crate::conversation::{Platform, Way};
use crate::error::Refusal;

/// The policies that hold everywhere.
const BUILT_IN: &str = include_str!("policies.cedar");

/// The most admins that a refusal names.
const ADMINS_NAMED_MAX: usize = 3;

/// What the settings say about access.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Terms {
    /// What accounts may that are linked to nobody.
    pub strangers: Reach,
    /// What accounts may that are linked as guests.
    pub guests: Reach,
    /// Users, and Groups whose direct members are meant.
    pub admins: Vec<EntityRef>,
    /// Whether an account is linked to the User who has the e-mail address that its platform has verified.
    pub link_by_email: bool,
}

/// How far somebody who is no member gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reach {
    #[default]
    Nothing,
    Read,
}

impl Reach {
    pub const ALL: [Reach; 2] = [Reach::Nothing, Reach::Read];

    /// As settings and policies write it.
    pub fn word(self) -> &'static str {
        match self {
            Reach::Nothing => "nothing",
            Reach::Read => "read",
        }
    }
}

/// What somebody is to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Linked to nobody whom the catalog describes.
    Stranger,
    /// Linked, and said to be a guest.
    Guest,
    Member,
    /// A member who owns the object, or whose team does.
    Owner,
    Admin,
}

impl Role {
    pub const ALL: [Role; 5] =
        [Role::Stranger, Role::Guest, Role::Member, Role::Owner, Role::Admin];

    /// As policies write it.
    pub fn word(self) -> &'static str {
        match self {
            Role::Stranger => "stranger",
            Role::Guest => "guest",
            Role::Member => "member",
            Role::Owner => "owner",
            Role::Admin => "admin",
        }
    }
}

/// What somebody wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Hear who one is, and say it.
    Introduce,
    /// Ask what the catalog knows.
    Read,
    /// Ask that something be done.
    Request,
    /// Decide that a rule does not count for a while.
    Excuse,
    /// Say whether an answer helped.
    Judge,
    /// See how the bot is used, and what is said of its answers.
    Observe,
    /// Give things names by which people ask for them.
    Name,
    /// Say for a team that it wants no digest for a while, or that something is not its own.
    Speak,
    /// Have a digest sent out of turn.
    Send,
    /// Ask for an action that only some may ask for.
    Run,
    /// Say yes or no to what somebody asks for.
    Approve,
    /// Take back what was asked for.
    Cancel,
    /// Let nothing be begun any more, or again.
    Stop,
}

impl Verb {
    pub const ALL: [Verb; 13] = [
        Verb::Introduce,
        Verb::Read,
        Verb::Request,
        Verb::Excuse,
        Verb::Judge,
        Verb::Observe,
        Verb::Name,
        Verb::Speak,
        Verb::Send,
        Verb::Run,
        Verb::Approve,
        Verb::Cancel,
        Verb::Stop,
    ];

    /// As policies write it.
    pub fn word(self) -> &'static str {
        match self {
            Verb::Introduce => "introduce",
            Verb::Read => "read",
            Verb::Request => "request",
            Verb::Excuse => "excuse",
            Verb::Judge => "judge",
            Verb::Observe => "observe",
            Verb::Name => "name",
            Verb::Speak => "speak",
            Verb::Send => "send",
            Verb::Run => "run",
            Verb::Approve => "approve",
            Verb::Cancel => "cancel",
            Verb::Stop => "stop",
        }
    }
}

/// What it is done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Object<'a> {
    Catalog,
    /// One thing in it, with its owners.
    Entity {
        owners: &'a [EntityRef],
    },
}

impl Object<'_> {
    fn word(self) -> &'static str {
        match self {
            Object::Catalog => "catalog",
            Object::Entity { .. } => "entity",
        }
    }
}

/// The proof that a person may do something. Nobody but [`Authority::authorize`] makes one.
#[derive(Debug, Clone, Copy)]
pub struct Permit<'a> {
    person: &'a Person,
    verb: Verb,
}

impl<'a> Permit<'a> {
    pub fn person(&self) -> &'a Person {
        self.person
    }

    /// # Panics
    /// When it was given for something else: a mistake of ours, and a fault of this one question.
    pub fn assert_for(&self, verb: Verb) {
        assert_eq!(self.verb, verb, "a permit for something else");
    }
}

/// Who may do what, as settings and policies say.
///
/// Each combination of role, verb, object and way in is decided once; afterwards an answer costs a look at it.
#[derive(Debug, Clone)]
pub struct Authority {
    terms: Terms,
    policies: PolicySet,
    decided: Vec<OnceLock<Decision>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Decision {
    is_allowed: bool,
    /// The names of the policies that decided; none where none permits it.
    rules: Vec<String>,
}

/// A set of policies that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("these policies cannot be read: {0}")]
pub struct UnreadablePolicies(String);

static BUILT_IN_POLICIES: LazyLock<PolicySet> =
    LazyLock::new(|| BUILT_IN.parse().expect("the tests read the built-in policies"));

static ROLES: LazyLock<Entities> = LazyLock::new(|| roles().expect("the tests ask for every role"));

impl Default for Authority {
    fn default() -> Authority {
        Authority::new(Terms::default())
    }
}

impl PartialEq for Authority {
    fn eq(&self, other: &Authority) -> bool {
        self.terms == other.terms && self.policies == other.policies
    }
}

impl Authority {
    /// The built-in policies, on these `terms`.
    pub fn new(terms: Terms) -> Authority {
        Authority::of(terms, BUILT_IN_POLICIES.clone())
    }

    /// The built-in policies and a portal's `own` beside them. One that forbids wins over all that permit.
    ///
    /// # Errors
    /// Text that is no Cedar policy.
    pub fn with_policies(terms: Terms, own: &str) -> Result<Authority, UnreadablePolicies> {
        // As one text, so that no two policies get the same number.
        let all: Result<PolicySet, _> = format!("{BUILT_IN}\n{own}").parse();
        all.map(|all| Authority::of(terms, all)).map_err(|it| UnreadablePolicies(it.to_string()))
    }

    fn of(terms: Terms, policies: PolicySet) -> Authority {
        Authority { terms, policies, decided: vec![OnceLock::new(); CELLS] }
    }

    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// What `person` is to `object`.
    pub fn role(&self, person: &Person, object: Object<'_>) -> Role {
        if person.user.is_none() {
            return Role::Stranger;
        }
        if person.is_guest() {
            return Role::Guest;
        }
        if self.terms.admins.iter().any(|admin| person.is(admin)) {
            return Role::Admin;
        }
        match object {
            Object::Entity { owners } if owners.iter().any(|owner| person.is(owner)) => Role::Owner,
            _ => Role::Member,
        }
    }

    /// The permit of `person`, who came in by `way`, to do `verb` to `object`.
    ///
    /// # Errors
    /// A refusal that says which rule refused and who could allow it.
    pub fn authorize<'a>(
        &self,
        person: &'a Person,
        way: Way,
        verb: Verb,
        object: Object<'_>,
    ) -> Result<Permit<'a>, Refusal> {
        let role = self.role(person, object);
        let asked = Asked { role, verb, object, platform: person.speaker.platform, way };
        let decision = self.decided[asked.cell()].get_or_init(|| self.decide(&asked));
        match decision.is_allowed {
            true => Ok(Permit { person, verb }),
            false => Err(self.refusal(role, &decision.rules)),
        }
    }

    fn decide(&self, asked: &Asked<'_>) -> Decision {
        let request = match self.request(asked) {
            Ok(request) => request,
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(error, "could not ask the policies; it is refused");
                return Decision { is_allowed: false, rules: Vec::new() };
            }
        };
        let response = Authorizer::new().is_authorized(&request, &self.policies, &ROLES);
        let mut broken = response.diagnostics().errors().peekable();
        // A policy that could not be asked might have forbidden it.
        let is_sure = broken.peek().is_none();
        for error in broken {
            tracing::error!(
                error = error.to_string(),
                "a policy is wrong; what it is about is refused"
            );
        }
        let is_allowed = is_sure && response.decision() == cedar_policy::Decision::Allow;
        let rules = response.diagnostics().reason().filter(|_| is_sure).map(|id| self.name(id));
        Decision { is_allowed, rules: rules.collect() }
    }

    fn request(&self, asked: &Asked<'_>) -> anyhow::Result<Request> {
        let context = [
            ("platform", asked.platform.word()),
            ("way", asked.way.word()),
            ("guests", self.terms.guests.word()),
            ("strangers", self.terms.strangers.word()),
        ];
        let text = |word: &str| RestrictedExpression::new_string(word.to_string());
        let context = context.map(|(name, word)| (name.to_string(), text(word)));
        Ok(Request::new(
            uid("Role", asked.role.word())?,
            uid("Action", asked.verb.word())?,
            uid("Object", asked.object.word())?,
            Context::from_pairs(context)?,
            None,
        )?)
    }

    /// What the policy calls itself by `@id`.
    fn name(&self, id: &PolicyId) -> String {
        self.policies.annotation(id, "id").map_or_else(|| id.to_string(), str::to_string)
    }

    fn refusal(&self, role: Role, rules: &[String]) -> Refusal {
        let who = match role {
            Role::Stranger => "your account is linked to nobody in the catalog",
            Role::Guest => "your account is a guest's",
            Role::Member | Role::Owner | Role::Admin => "you are a member",
        };
        let rule = match (rules, role) {
            ([], Role::Stranger) => {
                "`access.strangers` in idp.yaml lets such accounts read nothing".into()
            }
            ([], Role::Guest) => {
                "`access.guests` in idp.yaml lets such accounts read nothing".into()
            }
            ([], _) => "no policy permits this".into(),
            (rules, _) => format!("the policy `{}` forbids this", rules.join("`, `")),
        };
        let next = match role {
            Role::Stranger => "Type `link` to say who you are, or ask",
            _ => "Ask",
        };
        Refusal::NotAllowed {
            rule: format!("You may not ask this: {who}, and {rule}."),
            next: format!("{next} {}.", self.who_could_allow_it()),
            instead: if role == Role::Stranger { vec!["link".into()] } else { Vec::new() },
        }
    }

    /// Whom to ask: the admins, as far as they are few.
    fn who_could_allow_it(&self) -> String {
        let named = self.terms.admins.iter().take(ADMINS_NAMED_MAX);
        let named: Vec<String> = named.map(|admin| format!("`{admin}`")).collect();
        match self.terms.admins.len() {
            0 => "who runs this portal".into(),
            1..=ADMINS_NAMED_MAX => format!("an admin: {}", named.join(", ")),
            all => format!("an admin: {} and {} more", named.join(", "), all - ADMINS_NAMED_MAX),
        }
    }
}

/// What policies are asked.
struct Asked<'a> {
    role: Role,
    verb: Verb,
    object: Object<'a>,
    platform: Platform,
    way: Way,
}

/// Objects are the catalog or one entity.
const OBJECTS: usize = 2;
const CELLS: usize =
    Role::ALL.len() * Verb::ALL.len() * OBJECTS * Platform::ALL.len() * Way::ALL.len();

impl Asked<'_> {
    /// Its place among all that can be asked.
    fn cell(&self) -> usize {
        let object = usize::from(matches!(self.object, Object::Entity { .. }));
        let of_role = self.role as usize * Verb::ALL.len() + self.verb as usize;
        let of_object = of_role * OBJECTS + object;
        let of_platform = of_object * Platform::ALL.len() + self.platform as usize;
        of_platform * Way::ALL.len() + self.way as usize
    }
}

/// Owners and admins are members.
fn roles() -> anyhow::Result<Entities> {
    let member = uid("Role", Role::Member.word())?;
    let roles = Role::ALL.map(|role| {
        let is_more = matches!(role, Role::Owner | Role::Admin);
        let above = is_more.then(|| member.clone()).into_iter().collect();
        Ok(Entity::new_no_attrs(uid("Role", role.word())?, above))
    });
    let roles = roles.into_iter().collect::<anyhow::Result<Vec<Entity>>>()?;
    Ok(Entities::from_entities(roles, None)?)
}

fn uid(kind: &str, name: &str) -> anyhow::Result<EntityUid> {
    format!("{kind}::\"{name}\"")
        .parse()
        .with_context(|| format!("`{name}` is no name of a {kind}"))
}

/// What `then` makes of a permit for `verb`: of whoever sits at the terminal, who may everything.
#[cfg(test)]
pub(crate) fn permitted<T>(verb: Verb, then: impl FnOnce(Permit<'_>) -> T) -> T {
    let speaker = crate::conversation::Speaker {
        platform: Platform::Terminal,
        tenant: String::new(),
        user_id: String::new(),
    };
    let person = Person { speaker, user: None, teams: Vec::new(), link: None };
    let authority = Authority::default();
    then(authority.authorize(&person, Way::Command, verb, Object::Catalog).unwrap())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::Speaker;

    fn person(user: Option<&str>, teams: &[&str]) -> Person {
        let reference = |it: &str| EntityRef::parse(it, Some("user"), "default").unwrap();
        Person {
            speaker: Speaker {
                platform: Platform::Slack,
                tenant: "T1".into(),
                user_id: "U1".into(),
            },
            user: user.map(reference),
            teams: teams.iter().map(|it| reference(it)).collect(),
            link: None,
        }
    }

    fn terms() -> Terms {
        let admins = ["group:platform", "user:root"];
        Terms {
            admins: admins.map(|it| EntityRef::parse(it, None, "default").unwrap()).to_vec(),
            ..Terms::default()
        }
    }

    fn may_read(authority: &Authority, person: &Person) -> Result<(), Refusal> {
        let way = Way::Command;
        authority.authorize(person, way, Verb::Read, Object::Catalog).map(drop)
    }

    #[test]
    fn members_read_and_strangers_do_not_unless_the_settings_let_them() {
        let authority = Authority::new(terms());
        assert_eq!(may_read(&authority, &person(Some("ada"), &[])), Ok(()));
        let refused = may_read(&authority, &person(None, &[])).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "You may not ask this: your account is linked to nobody in the catalog, and \
             `access.strangers` in idp.yaml lets such accounts read nothing. Type `link` to say who \
             you are, or ask an admin: `group:default/platform`, `user:default/root`."
        );
        let open = Authority::new(Terms { strangers: Reach::Read, ..terms() });
        assert_eq!(may_read(&open, &person(None, &[])), Ok(()));
    }

    #[test]
    fn everybody_may_say_who_they_are() {
        let authority = Authority::default();
        for way in Way::ALL {
            let stranger = person(None, &[]);
            let permit = authority.authorize(&stranger, way, Verb::Introduce, Object::Catalog);
            assert!(permit.is_ok(), "{way:?}");
        }
    }

    #[test]
    fn roles_follow_from_settings_and_ownership() {
        let authority = Authority::new(terms());
        let owners = [EntityRef::new("group", "default", "payments")];
        let object = Object::Entity { owners: &owners };
        let role = |person: &Person| authority.role(person, object);
        assert_eq!(role(&person(None, &[])), Role::Stranger);
        assert_eq!(role(&person(Some("ada"), &[])), Role::Member);
        assert_eq!(role(&person(Some("ada"), &["group:payments"])), Role::Owner);
        assert_eq!(role(&person(Some("ada"), &["group:payments", "group:platform"])), Role::Admin);
        assert_eq!(role(&person(Some("root"), &[])), Role::Admin);
        assert_eq!(
            authority.role(&person(Some("ada"), &["group:payments"]), Object::Catalog),
            Role::Member
        );
    }

    #[test]
    fn owners_and_admins_may_what_members_may() {
        let authority = Authority::new(terms());
        let owners = [EntityRef::new("user", "default", "ada")];
        let object = Object::Entity { owners: &owners };
        for it in [person(Some("ada"), &[]), person(Some("root"), &[])] {
            assert!(authority.authorize(&it, Way::Button, Verb::Read, object).is_ok());
        }
    }

    #[test]
    fn a_portals_own_policy_is_heard_and_named() {
        let own = "@id(\"no-clicks\") forbid (principal, action, resource) when { context.way == \"button\" };";
        let authority = Authority::with_policies(terms(), own).unwrap();
        let ada = person(Some("ada"), &[]);
        assert_eq!(may_read(&authority, &ada), Ok(()));
        let refused =
            authority.authorize(&ada, Way::Button, Verb::Read, Object::Catalog).unwrap_err();
        assert!(refused.to_string().contains("the policy `no-clicks` forbids this"), "{refused}");
        assert!(Authority::with_policies(terms(), "permit everything;").is_err());
    }

    #[test]
    fn what_a_policy_cannot_tell_is_refused() {
        let own = "forbid (principal, action, resource) when { context.weather == \"rain\" };";
        let authority = Authority::with_policies(terms(), own).unwrap();
        let refused = may_read(&authority, &person(Some("ada"), &[])).unwrap_err();
        assert!(refused.to_string().contains("no policy permits this"), "{refused}");
    }

    #[test]
    fn no_two_questions_share_a_decision() {
        let mut cells = std::collections::BTreeSet::new();
        for role in Role::ALL {
            for verb in Verb::ALL {
                for object in [Object::Catalog, Object::Entity { owners: &[] }] {
                    for platform in Platform::ALL {
                        for way in Way::ALL {
                            let asked = Asked { role, verb, object, platform, way };
                            cells.insert(asked.cell());
                        }
                    }
                }
            }
        }
        assert_eq!(cells, (0..CELLS).collect());
    }
}
