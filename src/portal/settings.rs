//! `idp.yaml`.
//!
//! ```yaml
//! organisation: Acme
//! sources:                       # without it: the directory `catalog`, if there is one
//!   - path: catalog
//!   - git: https://github.com/acme/shop.git
//!     branch: main               # without it: the repository's own default
//!     files: ["**/catalog-info.yaml"]
//!     kinds: [Component, API]    # what this source may describe; without it: everything,
//!                                # from `git` and `url` everything but User and Group
//!   - url: https://acme.example/catalog-info.yaml
//! refresh: 5m                    # how often sources are read again
//! orphan_grace: 7d               # how long what a source no longer has stays
//! mass_delete_percent: 10        # a source that loses more waits for a person
//! aliases:                       # what people say: what they mean
//!   checkout: component:default/checkout-web
//! catalog_url: https://backstage.acme.example/catalog   # of a web catalog: links to its pages are shown as cards
//! slack:
//!   team_id: T0123456789         # requests of other workspaces are refused
//!   app_id: A0123456789          # and those that are meant for other apps
//! discord:
//!   guild_ids: ["1234567890"]    # the servers whose requests are answered; without it: none
//!   gateway: true                # heard over the gateway, be there a public key or not
//!   messages: true               # mentions and direct messages are answered, over the gateway
//! access:
//!   strangers: read              # what accounts may that are linked to nobody: read, or nothing
//!   guests: nothing              # what accounts may that are linked as guests
//!   admins: [group:platform]     # Users, and Groups whose members are meant
//!   link_by_email: false         # whether Slack's verified address makes an account a User's
//! allowed_hosts:                 # private servers that may be asked, with their ports
//!   - ghe.acme.internal:8443
//! secrets:                       # for `http:` lookups and webhooks, by name; never the secret itself
//!   deploys: {env: DEPLOYS_SECRET}
//!   flags: {file: /run/secrets/flags}
//! break_glass: {slack: C0123456789}   # where it is said, too, that something is done without approval; also `discord`
//! public_url: https://idp.acme.example   # where receivers and their jobs reach idp; without it they cannot
//! integrations:                  # what actions start things at
//!   github: {url: "https://api.github.com", token: {env: GITHUB_TOKEN}}   # or app: {id: 123, key: {file: /run/secrets/app.pem}}
//!   gitlab: {url: "https://gitlab.com", token: {env: GITLAB_TOKEN}}
//!   argocd: {url: "https://argocd.acme.internal", token: {env: ARGOCD_TOKEN}}
//! facts:                         # who reports facts of entities, and which
//!   - source: ci
//!     token: {env: IDP_FACTS_CI_TOKEN}    # for `POST /api/v1/facts`; without it: only `idp facts push`
//!     keys:
//!       coverage: {type: number, valid_for: 14d}
//!       ci.green: {type: bool}   # without `valid_for`: until another takes its place
//! scorecards:
//!   built_in: false              # only those of the portal; without it: the built-in ones too
//! audit:
//!   checkpoints: /mnt/log/idp.jsonl   # where the log's checkpoints are kept; without it: in the data directory
//!   keep: 400d                   # how long rows of the log are kept; without it: for ever
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::access::{Authority, Reach, Terms};
use crate::actions::file::channels;
use crate::audit;
use crate::catalog::formats::fields::{self, Fields, START};
use crate::catalog::formats::yaml::{Content, Entry, Node, Position};
use crate::catalog::sources::Source;
use crate::catalog::sources::git::Repository;
use crate::catalog::{EntityRef, Problem};
use crate::config::SecretReference;
use crate::conversation::{Platform, is_web_page};
use crate::facts::Kind;
use crate::facts::sources::{self, Key, Sources};
use crate::integrations::github::{Access, GitHub};
use crate::integrations::http::Policy;
use crate::integrations::{Api, Integrations};

pub const FILE: &str = "idp.yaml";

/// Where descriptors lie that the portal keeps itself.
pub const CATALOG_DIR: &str = "catalog";

const REFRESH: Duration = Duration::from_secs(5 * 60);
const REFRESH_MIN: Duration = Duration::from_secs(5);
const ORPHAN_GRACE: Duration = Duration::from_secs(7 * DAY_S);
/// A fact that holds for less is stale before anybody reads it.
const VALID_MIN: Duration = Duration::from_secs(60);
const DURATION_MAX: Duration = Duration::from_secs(366 * DAY_S);
const AUDIT_KEEP_MIN: Duration = Duration::from_secs(30 * DAY_S);
const AUDIT_KEEP_MAX: Duration = Duration::from_secs(10 * 366 * DAY_S);
const MASS_DELETE_PERCENT: u8 = 10;
const DAY_S: u64 = 24 * 60 * 60;
const GITHUB_URL: &str = "https://api.github.com";
const GITLAB_URL: &str = "https://gitlab.com";

/// `idp.yaml`, read and found good.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Empty when nobody said it.
    pub organisation: String,
    pub sources: Vec<Source>,
    /// How often sources are read again.
    pub refresh: Duration,
    pub orphan_grace: Duration,
    /// A source that would lose more of its entities than this waits for a person.
    pub mass_delete_percent: u8,
    /// What people say → the entity they mean.
    pub aliases: BTreeMap<String, EntityRef>,
    /// Where a web catalog has its pages, `…/default/component/payment-api`; `None`: there is none.
    pub catalog_url: Option<String>,
    pub slack: SlackSettings,
    pub discord: DiscordSettings,
    /// Who may do what.
    pub access: Authority,
    /// Hosts with ports that may be private.
    pub allowed_hosts: Vec<String>,
    /// Secrets that `http:` lookups and webhooks sign with, by the name that their files use.
    pub secrets: BTreeMap<String, SecretReference>,
    /// Where it is said, too, that something is done without approval.
    pub break_glass: Vec<(Platform, String)>,
    /// Where receivers and their jobs reach this idp; `None`: nowhere.
    pub public_url: Option<String>,
    /// The vendors that actions start things at.
    pub integrations: Integrations,
    /// Who reports facts, and which.
    pub facts: Sources,
    /// Whether there are the built-in scorecards.
    pub built_in_scorecards: bool,
    /// How the log of decisions is kept.
    pub audit: audit::Terms,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SlackSettings {
    /// The workspace; requests of another are refused. `None`: the one of the bot's token.
    pub team_id: Option<String>,
    /// The app; requests for another are refused. `None`: the signature alone tells apps apart.
    pub app_id: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DiscordSettings {
    /// The servers that are answered; requests of others are refused.
    pub guild_ids: Vec<String>,
    /// Whether it is heard over the gateway even where there is a public key.
    pub gateway: bool,
    /// Whether mentions and direct messages are answered. Only the gateway tells them.
    pub messages: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            organisation: String::new(),
            sources: Vec::new(),
            refresh: REFRESH,
            orphan_grace: ORPHAN_GRACE,
            mass_delete_percent: MASS_DELETE_PERCENT,
            aliases: BTreeMap::new(),
            catalog_url: None,
            slack: SlackSettings::default(),
            discord: DiscordSettings::default(),
            access: Authority::default(),
            allowed_hosts: Vec::new(),
            secrets: BTreeMap::new(),
            break_glass: Vec::new(),
            public_url: None,
            integrations: Integrations::default(),
            facts: Sources::default(),
            built_in_scorecards: true,
            audit: audit::Terms::default(),
        }
    }
}

impl Settings {
    /// The settings of the portal `dir`: the defaults where it has no `idp.yaml`.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of the file.
    pub fn load(dir: &Path) -> Result<Settings, Vec<Problem>> {
        let text = match std::fs::read_to_string(dir.join(FILE)) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => {
                let message = format!("The file cannot be read: {error}.");
                let hint = "It must be UTF-8 text that this user may read.";
                return Err(vec![fields::problem(FILE, START, "file", message, hint)]);
            }
        };
        Settings::read(&text, dir)
    }

    /// The settings that `text` says for the portal `dir`.
    pub fn read(text: &str, dir: &Path) -> Result<Settings, Vec<Problem>> {
        let mut problems = Vec::new();
        let root = fields::read(text, FILE).map_err(|problem| vec![*problem])?;
        let mut settings = Settings::default();
        if let Some(fields) = Fields::of(root, FILE, FILE, &mut problems) {
            settings.fill(fields, dir);
        }
        match problems.is_empty() {
            true => Ok(settings),
            false => Err(sorted(problems)),
        }
    }

    fn fill(&mut self, mut fields: Fields, dir: &Path) {
        if let Some((organisation, _)) = fields.text("organisation") {
            self.organisation = organisation;
        }
        self.allowed_hosts = allowed_hosts(&mut fields);
        self.sources = sources(&mut fields, dir, &self.allowed_hosts);
        if let Some(refresh) = duration(&mut fields, "refresh", REFRESH_MIN) {
            self.refresh = refresh;
        }
        if let Some(grace) = duration(&mut fields, "orphan_grace", Duration::ZERO) {
            self.orphan_grace = grace;
        }
        if let Some(percent) = percent(&mut fields, "mass_delete_percent") {
            self.mass_delete_percent = percent;
        }
        self.aliases = aliases(&mut fields);
        self.catalog_url = catalog_url(&mut fields);
        self.slack = slack(&mut fields);
        self.discord = discord(&mut fields);
        self.access = Authority::new(access(&mut fields));
        self.secrets = secrets(&mut fields);
        self.break_glass = channels(&mut fields, "break_glass");
        self.public_url = web_page("public_url", &mut fields);
        self.integrations = integrations(&mut fields);
        self.facts = facts(&mut fields);
        self.built_in_scorecards = built_in_scorecards(&mut fields);
        self.audit = audit(&mut fields);
        fields.refuse_unknown();
    }

    /// The aliases as the snapshot takes them.
    pub fn alias_list(&self) -> Vec<(String, EntityRef)> {
        self.aliases.iter().map(|(alias, target)| (alias.clone(), target.clone())).collect()
    }
}

fn web_page(key: &'static str, fields: &mut Fields) -> Option<String> {
    let (address, at) = fields.text(key)?;
    if url::Url::parse(&address).is_ok_and(|url| is_web_page(&url)) {
        return Some(address);
    }
    let message = format!("`{address}` is not the address of a web page.");
    fields.problem(at, key, message, "Write it as `https://idp.acme.example`.");
    None
}

fn catalog_url(fields: &mut Fields) -> Option<String> {
    let (address, at) = fields.text("catalog_url")?;
    if url::Url::parse(&address).is_ok_and(|url| is_web_page(&url)) {
        return Some(address);
    }
    let message = format!("`{address}` is not the address of a web page.");
    let hint = "Write what comes before `/default/component/…` in the addresses of its pages.";
    fields.problem(at, "catalog_url", message, hint);
    None
}

fn sorted(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by_key(|problem| (problem.line, problem.column));
    problems
}

/// What is listed; without a list the portal's own `catalog`, if there is one.
fn sources(fields: &mut Fields, dir: &Path, allowed_hosts: &[String]) -> Vec<Source> {
    let Some(node) = fields.take("sources") else {
        let own = dir.join(CATALOG_DIR).is_dir();
        return own.then(|| path_source(CATALOG_DIR)).into_iter().collect();
    };
    let Content::List(items) = node.content else {
        let wrong = fields::wrong_type(fields.file, "sources", "a list", &node);
        fields.problems.push(wrong);
        return Vec::new();
    };
    let mut sources = Vec::new();
    for item in items {
        let at = item.at;
        match source(item, dir, allowed_hosts, fields) {
            Some(source) if sources.contains(&source) => fields.problem(
                at,
                "source",
                "This source is listed twice.",
                "Leave one of the two out.",
            ),
            found => sources.extend(found),
        }
    }
    sources
}

fn path_source(path: &str) -> Source {
    Source::Path { path: PathBuf::from(path), kinds: Vec::new() }
}

/// One item of the list: exactly one of `path`, `git`, `url`, and what belongs to it.
fn source(item: Node, dir: &Path, allowed_hosts: &[String], outer: &mut Fields) -> Option<Source> {
    let mut fields = Fields::of(item, "sources", outer.file, outer.problems)?;
    let at = fields.at;
    let found = (fields.text("path"), fields.text("git"), fields.text("url"));
    let kinds = kinds(&mut fields);
    let source = match found {
        (Some(path), None, None) => checked_path(path, dir, &mut fields)
            .map(|path| Source::Path { path: PathBuf::from(path), kinds }),
        (None, Some(git), None) => {
            let branch = fields.text("branch");
            let files = files(&mut fields);
            checked_git(git, branch, dir, allowed_hosts, &mut fields)
                .map(|(git, branch)| Source::Git { git, branch, files, kinds })
        }
        (None, None, Some(url)) => {
            checked_url(url, &mut fields).map(|url| Source::Url { url, kinds })
        }
        _ => {
            let message = "A source has exactly one of `path`, `git` and `url`.";
            let hint = "Write `- path: catalog`, for example, and one `-` for each source.";
            fields.problem(at, "source", message, hint);
            None
        }
    };
    fields.refuse_unknown();
    source
}

fn checked_path((path, at): (String, Position), dir: &Path, fields: &mut Fields) -> Option<String> {
    if dir.join(&path).exists() {
        return Some(path);
    }
    let message = format!("There is no file or directory `{path}`.");
    let hint = "The path is relative to the portal directory.";
    fields.problem(at, "source", message, hint);
    None
}

fn checked_git(
    (git, at): (String, Position),
    branch: Option<(String, Position)>,
    dir: &Path,
    allowed_hosts: &[String],
    fields: &mut Fields,
) -> Option<(String, Option<String>)> {
    if url::Url::parse(&git).is_ok_and(|url| has_password(&url)) {
        refuse_password(at, fields);
        return None;
    }
    let policy = Policy { allowed: allowed_hosts.to_vec(), loopback: false };
    if let Err(error) = Repository::new(&git, None, dir, &policy) {
        let message = format!("This repository cannot be read: {error}.");
        let hint = "Write https://host/path.git or ssh://git@host/path.git.";
        fields.problem(at, "source", message, hint);
        return None;
    }
    let Some((branch, at)) = branch else { return Some((git, None)) };
    if let Err(error) = Repository::new(&git, Some(&branch), dir, &policy) {
        let hint = "Write its plain name, such as `main`.";
        fields.problem(at, "source", format!("{error}."), hint);
        return None;
    }
    Some((git, Some(branch)))
}

fn has_password(url: &url::Url) -> bool {
    url.password().is_some() || (url.scheme().starts_with("http") && !url.username().is_empty())
}

fn refuse_password(at: Position, fields: &mut Fields) {
    let message = "This address has a user name or a password in it.";
    let hint = "Take it out; read private repositories over ssh, with a key.";
    fields.problem(at, "secret", message, hint);
}

fn files(fields: &mut Fields) -> Vec<String> {
    let Some(files) = fields.texts("files") else { return crate::catalog::sources::catalog_info() };
    for (pattern, at) in &files {
        if let Err(error) = glob::Pattern::new(pattern) {
            let message = format!("`{pattern}` is not a pattern of files: {}.", error.msg);
            let hint = "`*` stands for any name, `**` for any directories.";
            fields.problem(*at, "source", message, hint);
        }
    }
    files.into_iter().map(|(pattern, _)| pattern).collect()
}

fn checked_url((text, at): (String, Position), fields: &mut Fields) -> Option<String> {
    match url::Url::parse(&text) {
        Ok(url) if has_password(&url) => {
            refuse_password(at, fields);
            None
        }
        Ok(url) if matches!(url.scheme(), "https" | "http") && url.has_host() => Some(text),
        _ => {
            let message = "`url` is not an address that can be fetched.";
            fields.problem(at, "source", message, "Write https://host/path.");
            None
        }
    }
}

fn kinds(fields: &mut Fields) -> Vec<String> {
    let mut kinds = Vec::new();
    for (kind, at) in fields.texts("kinds").unwrap_or_default() {
        if kind.chars().all(|it| it.is_ascii_alphanumeric()) {
            kinds.push(kind);
        } else {
            let message = format!("`{kind}` is not a kind.");
            fields.problem(at, "source", message, "Write kinds such as `Component` or `Group`.");
        }
    }
    kinds
}

fn duration(fields: &mut Fields, key: &'static str, least: Duration) -> Option<Duration> {
    fields.duration(key, least, DURATION_MAX)
}

fn percent(fields: &mut Fields, key: &'static str) -> Option<u8> {
    let node = fields.take(key)?;
    match node.content {
        Content::Number(number) if (1..=100).contains(&number.as_u64().unwrap_or(0)) => {
            number.as_u64().and_then(|it| u8::try_from(it).ok())
        }
        _ => {
            let message = format!("`{key}` is not a whole number from 1 to 100.");
            fields.problem(node.at, "range", message, "Write it without a `%`.");
            None
        }
    }
}

fn aliases(fields: &mut Fields) -> BTreeMap<String, EntityRef> {
    let mut aliases: BTreeMap<String, EntityRef> = BTreeMap::new();
    for Entry { key: alias, key_at, value } in fields.named("aliases") {
        let Some((target, at)) = fields.as_text(value, &alias) else { continue };
        if aliases.keys().any(|it| it.to_lowercase() == alias.to_lowercase()) {
            let message = format!("The alias `{alias}` is there twice.");
            let hint = "Upper and lower case are the same. Leave one of the two out.";
            fields.problem(key_at, "alias", message, hint);
            continue;
        }
        match EntityRef::parse(&target, Some("component"), "default") {
            Ok(reference) => drop(aliases.insert(alias, reference)),
            Err(error) => {
                let hint = "Write `kind:namespace/name`, or a Component's name.";
                fields.problem(at, "reference", format!("{error}."), hint);
            }
        }
    }
    aliases
}

fn slack(outer: &mut Fields) -> SlackSettings {
    let mut slack = SlackSettings::default();
    let Some(node) = outer.take("slack") else { return slack };
    let Some(mut fields) = Fields::of(node, "slack", outer.file, outer.problems) else {
        return slack;
    };
    let is_plain = |id: &str| id.bytes().all(|it| it.is_ascii_uppercase() || it.is_ascii_digit());
    if let Some((team_id, at)) = fields.text("team_id") {
        if team_id.starts_with(['T', 'E']) && is_plain(&team_id) {
            slack.team_id = Some(team_id);
        } else {
            let message = "`team_id` is not the id of a Slack workspace.";
            let hint = "It starts with `T` and stands in the address of Slack in a browser.";
            fields.problem(at, "team-id", message, hint);
        }
    }
    if let Some((app_id, at)) = fields.text("app_id") {
        if app_id.starts_with('A') && is_plain(&app_id) {
            slack.app_id = Some(app_id);
        } else {
            let message = "`app_id` is not the id of a Slack app.";
            let hint = "It starts with `A` and stands under \"App Credentials\" at https://api.slack.com/apps.";
            fields.problem(at, "app-id", message, hint);
        }
    }
    fields.refuse_unknown();
    slack
}

fn discord(outer: &mut Fields) -> DiscordSettings {
    let mut discord = DiscordSettings::default();
    let Some(node) = outer.take("discord") else { return discord };
    let Some(mut fields) = Fields::of(node, "discord", outer.file, outer.problems) else {
        return discord;
    };
    for (id, at) in fields.texts("guild_ids").unwrap_or_default() {
        if id.len() <= 20 && id.bytes().all(|it| it.is_ascii_digit()) {
            discord.guild_ids.push(id);
        } else {
            let message = format!("`{id}` is not the id of a Discord server.");
            let hint =
                "It is a number in quotes, and stands in the address of Discord in a browser.";
            fields.problem(at, "guild-id", message, hint);
        }
    }
    discord.gateway = fields.flag("gateway").unwrap_or_default();
    discord.messages = fields.flag("messages").unwrap_or_default();
    fields.refuse_unknown();
    discord
}

fn access(outer: &mut Fields) -> Terms {
    let mut terms = Terms::default();
    let Some(node) = outer.take("access") else { return terms };
    let Some(mut fields) = Fields::of(node, "access", outer.file, outer.problems) else {
        return terms;
    };
    terms.strangers = reach(&mut fields, "strangers");
    terms.guests = reach(&mut fields, "guests");
    for (admin, at) in fields.texts("admins").unwrap_or_default() {
        match EntityRef::parse(&admin, Some("user"), "default") {
            Ok(admin) if matches!(admin.kind(), "user" | "group") => terms.admins.push(admin),
            _ => {
                let message = format!("`{admin}` is neither a User nor a Group.");
                let hint = "Write `user:ada`, or `group:platform` for all its members.";
                fields.problem(at, "reference", message, hint);
            }
        }
    }
    terms.link_by_email = fields.flag("link_by_email").unwrap_or(false);
    fields.refuse_unknown();
    terms
}

fn reach(fields: &mut Fields, key: &'static str) -> Reach {
    let Some((word, at)) = fields.text(key) else { return Reach::default() };
    let known = Reach::ALL.into_iter().find(|reach| reach.word() == word);
    known.unwrap_or_else(|| {
        let message = format!("`{key}` is neither `read` nor `nothing`.");
        fields.problem(at, "access", message, "Without it such accounts may do nothing.");
        Reach::default()
    })
}

fn allowed_hosts(fields: &mut Fields) -> Vec<String> {
    let mut hosts = Vec::new();
    for (host, at) in fields.texts("allowed_hosts").unwrap_or_default() {
        let as_url = url::Url::parse(&format!("https://{host}/")).ok();
        // A port of 443 is left out of what the URL says about itself, so the text is asked.
        let port = host.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        let plain = as_url.is_some_and(|url| url.path() == "/" && url.username().is_empty());
        if plain && port.is_some_and(|port| port > 0) && !host.contains(['/', '@', '*', '?', '#']) {
            hosts.push(host.to_lowercase());
        } else {
            let message = format!("`{host}` is not a host with its port.");
            let hint = "Write `ghe.acme.internal:443`: no scheme, no path, no wildcard.";
            fields.problem(at, "host", message, hint);
        }
    }
    hosts
}

fn secrets(fields: &mut Fields) -> BTreeMap<String, SecretReference> {
    let mut secrets = BTreeMap::new();
    for entry in fields.named("secrets") {
        let name = entry.key.clone();
        if let Some(reference) = secret(entry, fields) {
            secrets.insert(name, reference);
        }
    }
    secrets
}

fn integrations(outer: &mut Fields) -> Integrations {
    let mut integrations = Integrations::default();
    let Some(node) = outer.take("integrations") else { return integrations };
    let Some(mut fields) = Fields::of(node, "integrations", outer.file, outer.problems) else {
        return integrations;
    };
    integrations.github = fields.take("github").and_then(|node| github(node, &mut fields));
    let mut api = |key: &'static str, own: Option<&str>| {
        fields.take(key).and_then(|node| self::api(node, key, own, &mut fields))
    };
    integrations.gitlab = api("gitlab", Some(GITLAB_URL));
    integrations.argocd = api("argocd", None);
    fields.refuse_unknown();
    integrations
}

fn api(node: Node, what: &str, own: Option<&str>, outer: &mut Fields) -> Option<Api> {
    let mut fields = Fields::of(node, what, outer.file, outer.problems)?;
    let url = base_url(&mut fields, own);
    let token = required_secret("token", &mut fields);
    fields.refuse_unknown();
    Some(Api { url: url?, token: token? })
}

/// GitHub, with either a token or an App.
fn github(node: Node, outer: &mut Fields) -> Option<GitHub> {
    let mut fields = Fields::of(node, "github", outer.file, outer.problems)?;
    let url = base_url(&mut fields, Some(GITHUB_URL));
    let access = match fields.take("app") {
        None => required_secret("token", &mut fields).map(Access::Token),
        Some(node) => {
            let at = node.at;
            if fields.take("token").is_some() {
                let hint = "Keep `app`: its tokens are for one repository and end within the hour.";
                fields.problem(at, "github", "GitHub has either `token` or `app`.", hint);
                return None;
            }
            github_app(node, &mut fields)
        }
    };
    let webhook_secret = fields.take("webhook_secret").and_then(|value| {
        secret(Entry { key: "webhook_secret".into(), key_at: value.at, value }, &mut fields)
    });
    fields.refuse_unknown();
    Some(GitHub { url: url?, access: access?, webhook_secret })
}

fn github_app(node: Node, outer: &mut Fields) -> Option<Access> {
    let mut fields = Fields::of(node, "app", outer.file, outer.problems)?;
    let id = fields.take("id").map(|node| (node.at, node.into_json()));
    let id = match id {
        Some((_, id)) if id.as_u64().is_some_and(|id| id > 0) => id.as_u64(),
        found => {
            let at = found.map_or(fields.at, |(at, _)| at);
            let hint = "Write `id: 123`: the App ID on the page of the GitHub App.";
            fields.problem(at, "github", "The GitHub App has no id that is a number.", hint);
            None
        }
    };
    let key = required_secret("key", &mut fields);
    fields.refuse_unknown();
    Some(Access::App { id: id?, key: key? })
}

/// Where the secret `key` lies, which must be said.
fn required_secret(key: &'static str, fields: &mut Fields) -> Option<SecretReference> {
    let Some(value) = fields.take(key) else {
        let message = format!("`{key}` is missing.");
        let hint = format!("Add `{key}: {{env: NAME}}` or `{key}: {{file: /path}}`.");
        fields.problem(fields.at, "required-field", message, hint);
        return None;
    };
    secret(Entry { key: key.into(), key_at: value.at, value }, fields)
}

/// The address of an API, without a `/` at its end; `own` is the vendor's.
fn base_url(fields: &mut Fields, own: Option<&str>) -> Option<String> {
    let (text, at) = match own {
        Some(own) => fields.text("url").unwrap_or_else(|| (own.to_string(), fields.at)),
        None => fields.required("url")?,
    };
    let is_base = url::Url::parse(&text)
        .is_ok_and(|url| is_web_page(&url) && url.query().is_none() && url.fragment().is_none());
    if !is_base {
        let message = "`url` is not the address of an API.";
        let hint = "Write `https://host`; a private one is in `allowed_hosts`, too.";
        fields.problem(at, "url", message, hint);
        return None;
    }
    Some(text.trim_end_matches('/').to_string())
}

/// `{env: NAME}` or `{file: PATH}`. What stands there instead is not repeated: it may be the secret.
fn secret(entry: Entry, outer: &mut Fields) -> Option<SecretReference> {
    let Entry { key: name, key_at, value } = entry;
    let hint = "Write `{env: NAME}` or `{file: /path}`, and keep the secret there.";
    if !value.is_mapping() {
        let message = format!("The secret `{name}` may not stand in this file.");
        outer.problem(value.at, "secret", message, hint);
        return None;
    }
    let mut fields = Fields::of(value, &name, outer.file, outer.problems)?;
    let unknown = fields.has_other_than(&["env", "file"]);
    let reference = match (fields.text("env"), fields.text("file")) {
        (Some((name, _)), None) => Some(SecretReference::Env(name)),
        (None, Some((path, _))) => Some(SecretReference::File(PathBuf::from(path))),
        // What is wrong with it is told by its key.
        (None, None) if unknown => None,
        _ => {
            let message = format!("The secret `{name}` has exactly one of `env` and `file`.");
            fields.problem(key_at, "secret", message, hint);
            None
        }
    };
    fields.refuse_unknown();
    reference
}

fn audit(outer: &mut Fields) -> audit::Terms {
    let mut terms = audit::Terms::default();
    let Some(node) = outer.take("audit") else { return terms };
    let Some(mut fields) = Fields::of(node, "audit", outer.file, outer.problems) else {
        return terms;
    };
    terms.checkpoints = fields.text("checkpoints").map(|(path, _)| PathBuf::from(path));
    terms.keep = fields.duration("keep", AUDIT_KEEP_MIN, AUDIT_KEEP_MAX);
    fields.refuse_unknown();
    terms
}

fn built_in_scorecards(outer: &mut Fields) -> bool {
    let Some(node) = outer.take("scorecards") else { return true };
    let Some(mut fields) = Fields::of(node, "scorecards", outer.file, outer.problems) else {
        return true;
    };
    let built_in = fields.flag("built_in").unwrap_or(true);
    fields.refuse_unknown();
    built_in
}

fn facts(fields: &mut Fields) -> Sources {
    let Some(node) = fields.take("facts") else { return Sources::default() };
    let Content::List(items) = node.content else {
        let wrong = fields::wrong_type(fields.file, "facts", "a list of sources", &node);
        fields.problems.push(wrong);
        return Sources::default();
    };
    let mut sources = Sources::default();
    for item in items {
        if let Some(source) = source_of_facts(item, &sources, fields) {
            sources.0.push(source);
        }
    }
    sources
}

/// One source of facts; what it shares with `others` is a mistake.
fn source_of_facts(item: Node, others: &Sources, outer: &mut Fields) -> Option<sources::Source> {
    let mut fields = Fields::of(item, "facts", outer.file, outer.problems)?;
    let at = fields.at;
    let named = fields.text("source");
    let token = fields.take("token").and_then(|value| {
        secret(Entry { key: "token".into(), key_at: value.at, value }, &mut fields)
    });
    let mut keys = BTreeMap::new();
    for Entry { key: name, key_at, value } in fields.named("keys") {
        if !is_good_name(&name, "key", key_at, &mut fields) {
            continue;
        }
        if let Some((other, _)) = others.key(&name) {
            let message = format!("The source `{}` has the key `{name}` as well.", other.name);
            let hint = "A key belongs to one source. Leave one of the two out, or rename it.";
            fields.problem(key_at, "fact-key", message, hint);
        } else if let Some(key) = key_of_facts(&name, value, key_at, &mut fields) {
            keys.insert(name, key);
        }
    }
    let name = match named {
        Some((name, at)) if is_good_name(&name, "source", at, &mut fields) => {
            match others.find(&name) {
                None => Some(name),
                Some(_) => {
                    let message = format!("The source `{name}` is there twice.");
                    fields.problem(at, "fact-source", message, "Put the keys of both into one.");
                    None
                }
            }
        }
        Some(_) => None,
        None => {
            let hint = "Write `source: ci`, for example: the name by which answers call it.";
            fields.problem(at, "fact-source", "A source of facts has no name.", hint);
            None
        }
    };
    fields.refuse_unknown();
    Some(sources::Source { name: name?, token, keys })
}

fn is_good_name(name: &str, what: &str, at: Position, fields: &mut Fields) -> bool {
    if sources::is_name(name) {
        return true;
    }
    let message = format!("`{name}` is not the name of a {what} of facts.");
    let hint = "Write lower-case letters, digits, `_`, `.` and `-`, a letter first, at most 64.";
    fields.problem(at, "fact-name", message, hint);
    false
}

fn key_of_facts(name: &str, value: Node, key_at: Position, outer: &mut Fields) -> Option<Key> {
    let mut fields = Fields::of(value, name, outer.file, outer.problems)?;
    let kind = match fields.take("type") {
        Some(node) => {
            fields.as_text(node, "type").and_then(|word| kind_of_facts(word, &mut fields))
        }
        None => {
            let message = format!("The key `{name}` has no type.");
            let hint = format!("Write `type:` and one of `{}`.", sources::KINDS.join("`, `"));
            fields.problem(key_at, "fact-type", message, hint);
            None
        }
    };
    let valid_for = duration(&mut fields, "valid_for", VALID_MIN);
    fields.refuse_unknown();
    Some(Key { kind: kind?, valid_for })
}

fn kind_of_facts((word, at): (String, Position), fields: &mut Fields) -> Option<Kind> {
    let kind = sources::kind(&word);
    if kind.is_none() {
        let message = format!("`{word}` is not a type of facts.");
        let hint = match fields::closest(&word, sources::KINDS) {
            Some(close) => format!("Did you mean `{close}`?"),
            None => format!("Write one of `{}`.", sources::KINDS.join("`, `")),
        };
        fields.problem(at, "fact-type", message, hint);
    }
    kind
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The portal has a directory `catalog` and nothing else.
    fn read(text: &str) -> Result<Settings, Vec<Problem>> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("catalog")).unwrap();
        Settings::read(text, dir.path())
    }

    #[test]
    fn a_portal_without_settings_reads_its_catalog() {
        let settings = read("").unwrap();
        assert_eq!(settings.sources, [path_source("catalog")]);
        assert_eq!(settings.orphan_grace, Duration::from_secs(7 * 86_400));
        assert_eq!(settings.mass_delete_percent, 10);

        let bare = tempfile::tempdir().unwrap();
        assert_eq!(Settings::load(bare.path()).unwrap(), Settings::default());
    }

    #[test]
    fn the_settings_of_the_head_of_this_file_are_good() {
        let head = include_str!("settings.rs").split("```").nth(1).unwrap();
        let text = head.trim_start_matches("yaml").replace("//! ", "").replace("//!", "");
        let settings = read(&text).unwrap();
        assert_eq!(settings.organisation, "Acme");
        assert_eq!(settings.sources.len(), 3);
        assert_eq!(settings.refresh, Duration::from_secs(300));
        assert_eq!(settings.aliases["checkout"].as_str(), "component:default/checkout-web");
        assert_eq!(settings.slack.team_id.as_deref(), Some("T0123456789"));
        assert_eq!(settings.discord.guild_ids, ["1234567890"]);
        assert!(settings.discord.gateway && settings.discord.messages);
        let Terms { strangers, guests, admins, link_by_email: _ } = settings.access.terms();
        assert_eq!((*strangers, *guests), (Reach::Read, Reach::Nothing));
        assert_eq!(admins[..], [EntityRef::new("group", "default", "platform")]);
        assert_eq!(settings.allowed_hosts, ["ghe.acme.internal:8443"]);
        assert_eq!(settings.secrets["deploys"], SecretReference::Env("DEPLOYS_SECRET".into()));
        let github = settings.integrations.github.unwrap();
        assert_eq!(github.access, Access::Token(SecretReference::Env("GITHUB_TOKEN".into())));
        assert_eq!(settings.integrations.gitlab.unwrap().url, "https://gitlab.com");
        let (ci, coverage) = settings.facts.key("coverage").unwrap();
        assert_eq!(ci.token, Some(SecretReference::Env("IDP_FACTS_CI_TOKEN".into())));
        assert_eq!(coverage.kind, Kind::Number);
        assert_eq!(coverage.valid_for, Some(Duration::from_secs(14 * 86_400)));
        assert_eq!(settings.facts.key("ci.green").unwrap().1.valid_for, None);
    }

    #[test]
    fn every_mistake_is_told_not_only_the_first() {
        let problems = read("organization: Acme\nrefresh: soon\nslack: {team: T1}\n").unwrap_err();
        let told: Vec<_> =
            problems.iter().map(|it| (it.line, it.column, it.rule.as_str())).collect();
        assert_eq!(told, [(1, 1, "unknown-key"), (2, 10, "duration"), (3, 9, "unknown-key")]);
        assert_eq!(problems[0].hint, "Did you mean `organisation`?");
        assert_eq!(problems[2].hint, "Did you mean `team_id`?");
    }

    #[test]
    fn a_secret_in_the_wrong_place_is_not_repeated() {
        for text in [
            "secrets: {deploys: hunter2}",
            "secrets: hunter2",
            "sources: [{git: 'https://ada:hunter2@git.example/a.git'}]",
            "sources: [{url: 'https://hunter2@git.example/a.yaml'}]",
        ] {
            let problems = read(text).unwrap_err();
            assert!(!format!("{problems:?}").contains("hunter2"), "{text}: {problems:?}");
        }
    }

    #[test]
    fn every_mistake_about_facts_is_told_with_its_place() {
        let one = |text: &str| {
            let problems = read(text).unwrap_err();
            assert_eq!(problems.len(), 1, "{text}: {problems:?}");
            let it = &problems[0];
            (it.line, it.column, it.rule.clone(), it.message.clone(), it.hint.clone())
        };
        let told = one("facts:\n  - source: ci\n    keys:\n      coverage: {type: numbr}\n");
        assert_eq!((told.0, told.1, &*told.2), (4, 24, "fact-type"));
        assert_eq!(told.4, "Did you mean `number`?");
        let told = one("facts:\n  - source: ci\n    keys:\n      coverage: {valid_for: 1d}\n");
        assert_eq!((told.0, told.1, &*told.3), (4, 7, "The key `coverage` has no type."));
        let told = one(
            "facts:\n  - {source: ci, keys: {a: {type: bool}}}\n  - {source: cd, keys: {a: {type: text}}}\n",
        );
        assert_eq!((told.0, told.1, &*told.2), (3, 25, "fact-key"));
        assert_eq!(told.3, "The source `ci` has the key `a` as well.");
        for (text, place, rule) in [
            ("facts: {ci: 1}", (1, 8), "type"),
            ("facts: [{keys: {a: {type: bool}}}]", (1, 9), "fact-source"),
            ("facts: [{source: CI}]", (1, 18), "fact-name"),
            ("facts: [{source: ci}, {source: ci}]", (1, 32), "fact-source"),
            ("facts: [{source: ci, keys: {'a b': {type: bool}}}]", (1, 29), "fact-name"),
            ("facts: [{source: ci, keys: {a: bool}}]", (1, 32), "type"),
            ("facts: [{source: ci, keys: {a: {type: 7}}}]", (1, 39), "type"),
            ("facts: [{source: ci, keys: {a: {type: bool, valid: 1d}}}]", (1, 45), "unknown-key"),
            ("facts: [{source: ci, keys: {a: {type: bool, valid_for: 5s}}}]", (1, 56), "duration"),
            ("facts: [{source: ci, token: hunter2}]", (1, 29), "secret"),
            ("facts: [{source: ci, token: {env: A, file: b}}]", (1, 29), "secret"),
            ("facts: [{source: ci, tokens: {env: A}}]", (1, 22), "unknown-key"),
        ] {
            let told = one(text);
            assert_eq!(((told.0, told.1), &*told.2), (place, rule), "{text}");
            assert!(!format!("{told:?}").contains("hunter2"), "{told:?}");
        }
    }

    #[test]
    fn every_mistake_about_integrations_is_told_with_its_place() {
        for (text, place, rule) in [
            ("integrations: {jenkins: {}}", (1, 16), "unknown-key"),
            ("integrations: {github: {}}", (1, 24), "required-field"),
            ("integrations: {github: {token: hunter2}}", (1, 32), "secret"),
            ("integrations: {github: {token: {env: A}, app: {}}}", (1, 47), "github"),
            ("integrations: {github: {app: {id: x, key: {env: A}}}}", (1, 35), "github"),
            ("integrations: {github: {app: {id: 1}}}", (1, 30), "required-field"),
            ("integrations: {gitlab: {url: ftp://a, token: {env: A}}}", (1, 30), "url"),
            ("integrations: {gitlab: {url: 'https://hunter2@a', token: {env: A}}}", (1, 30), "url"),
            ("integrations: {argocd: {token: {env: A}}}", (1, 24), "required-field"),
        ] {
            let problems = read(text).unwrap_err();
            assert_eq!(problems.len(), 1, "{text}: {problems:?}");
            let told = &problems[0];
            assert_eq!(((told.line, told.column), &*told.rule), (place, rule), "{text}");
            assert!(!format!("{told:?}").contains("hunter2"), "{told:?}");
        }
        let app = "integrations: {github: {app: {id: 7, key: {file: /k.pem}}}}";
        let github = read(app).unwrap().integrations.github.unwrap();
        assert_eq!(github.url, GITHUB_URL);
        assert!(matches!(github.access, Access::App { id: 7, .. }));
    }

    #[test]
    fn lengths_of_time_have_one_unit() {
        let seconds = |text: &str| fields::parse_duration(text).map(|it| it.as_secs());
        assert_eq!(seconds("30s"), Some(30));
        assert_eq!(seconds("2w"), Some(14 * 86_400));
        assert_eq!(seconds("0d"), Some(0));
        for bad in ["", "7", "d", "-1d", "1.5h", "1h30m", "7 days", "99999999999999999999d", "7ｄ"]
        {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }
}
