//! What people say to the bot and what it says back, the same on every platform.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    Slack,
    Discord,
    Terminal,
}

impl Platform {
    pub const ALL: [Platform; 3] = [Platform::Slack, Platform::Discord, Platform::Terminal];

    /// As the database, policies and programs write it.
    pub fn word(self) -> &'static str {
        match self {
            Platform::Slack => "slack",
            Platform::Discord => "discord",
            Platform::Terminal => "terminal",
        }
    }

    /// The platform that is written so.
    pub fn from_word(word: &str) -> Option<Platform> {
        Platform::ALL.into_iter().find(|it| it.word() == word)
    }
}

/// How somebody's wish came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// A command, whose answer only they see where it is for them alone.
    Command,
    /// A message to the bot or a mention of it, which is answered by a message.
    Message,
    /// A click on a button that carries a command, or a choice of one in a select.
    Button,
    /// A click that opens a form.
    Form,
    /// A form that was filled in.
    Filled,
    /// A value that is being typed.
    Typing,
    /// The menu of a message: who owns what it names?
    Shortcut,
    /// The bot's own page, opened.
    Home,
    /// A link in a message to anybody, below which the bot may show what it is about.
    Unfurl,
}

impl Way {
    pub const ALL: [Way; 9] = [
        Way::Command,
        Way::Message,
        Way::Button,
        Way::Form,
        Way::Filled,
        Way::Typing,
        Way::Shortcut,
        Way::Home,
        Way::Unfurl,
    ];

    /// As policies write it.
    pub fn word(self) -> &'static str {
        match self {
            Way::Command => "command",
            Way::Message => "message",
            Way::Button => "button",
            Way::Form => "form",
            Way::Filled => "filled",
            Way::Typing => "typing",
            Way::Shortcut => "shortcut",
            Way::Home => "home",
            Way::Unfurl => "unfurl",
        }
    }
}

/// Someone, as their chat platform names them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Speaker {
    pub platform: Platform,
    /// The workspace or guild; empty in the terminal.
    pub tenant: String,
    /// The platform's immutable id; in the terminal the reference of a catalog User, or empty.
    pub user_id: String,
}

/// A place where the bot can post.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    pub platform: Platform,
    pub tenant: String,
    pub channel_id: String,
    /// Without `#`; `None` where the platform does not say.
    pub channel_name: Option<String>,
    /// The thread to answer in; `None` outside threads.
    pub thread: Option<String>,
}

/// Someone typed a command or a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invocation {
    pub speaker: Speaker,
    pub address: Address,
    /// The words after `/idp`, or after the bot's name: `owner payment-api`, `who owns payment-api?`.
    pub text: String,
}

/// Someone clicked a button that the bot had posted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Click {
    pub speaker: Speaker,
    pub address: Address,
    /// The words behind the button: a link `idp:dependents payment-api` carries `dependents payment-api`.
    pub words: String,
}

impl From<Click> for Invocation {
    /// The words behind the button, said by the person who clicked.
    fn from(click: Click) -> Invocation {
        let Click { speaker, address, words } = click;
        Invocation { speaker, address, text: words }
    }
}

/// Someone points at a message, and wants to know who owns what it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pointing {
    pub speaker: Speaker,
    /// Where the message stands.
    pub address: Address,
    /// What the message says, as plain text: code between backticks, fields as `name: value`.
    pub texts: Vec<String>,
}

/// What a command still needs, asked all at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Form {
    /// The name of the command, with what of it is settled: `run restart payment-api`.
    pub command: String,
    /// What it answers, in a few words.
    pub title: String,
    /// At least one.
    pub fields: Vec<Field>,
}

/// One thing that a form asks for: an argument or an option of its command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    pub name: String,
    /// What people read; empty: its name.
    #[serde(default)]
    pub label: String,
    pub input: Input,
    pub required: bool,
    /// What is filled in already.
    pub value: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// Something that the catalog knows: suggestions follow what is typed.
    Suggested,
    /// One of these, all that there is to choose from.
    OneOf(Vec<Suggestion>),
    Text,
}

/// Someone is typing the value of an argument or option, and wants to see what fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    pub speaker: Speaker,
    pub command: String,
    pub field: String,
    pub typed: String,
}

/// A value that fits what was typed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suggestion {
    /// What people read.
    pub label: String,
    /// What is given to the command.
    pub value: String,
}

impl Field {
    /// What people read.
    pub fn label(&self) -> &str {
        if self.label.is_empty() { &self.name } else { &self.label }
    }
}

impl Suggestion {
    /// `value`, read as it is.
    pub fn of(value: &str) -> Suggestion {
        Suggestion { label: value.to_string(), value: value.to_string() }
    }
}

/// An answer, before any platform has had its say about how it looks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// CommonMark with tables. Links with the scheme `idp:` are buttons.
    /// Text from elsewhere stands in it only as [`Untrusted`] rendered it.
    pub markdown: String,
    pub audience: Audience,
    /// The command that answered; empty when none was understood.
    pub command: String,
    pub arguments: Map<String, Value>,
    /// The typed data that the template rendered.
    pub answer: Value,
    /// How old the data is, in seconds; `None` when it is live.
    pub age_s: Option<u64>,
    /// Set when the answer is a no.
    pub refusal: Option<Refused>,
    /// The words that begin to say whether it helped; `None` where nobody is asked that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feedback: Option<String>,
}

/// A picture that an answer shows besides its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// The name of its file: `graph.png`.
    pub name: String,
    /// One line above or below it. Plain text, in which nothing is hidden.
    pub title: String,
    /// What it shows, for who does not see it; at most 1,000 characters. Plain text, in which nothing is hidden.
    pub alt: String,
    pub png: Bytes,
}

/// A refusal as programs read it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Refused {
    /// A stable word: `unknown_entity`, `missing_argument`.
    pub code: String,
    /// Plain text, without markup.
    pub message: String,
    /// Words to type instead, best first: `owner payment-api`.
    pub suggestions: Vec<String>,
    /// The value that the no is about, or the name of the argument that was left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blamed: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// Everybody in the channel.
    Channel,
    /// Only the person who asked (Slack: ephemeral).
    #[default]
    Asker,
}

impl Reply {
    pub fn markdown(markdown: impl Into<String>) -> Self {
        Reply { markdown: markdown.into(), ..Reply::default() }
    }
}

/// A Markdown link that platforms show as a button: `[label](<idp:words>)`.
///
/// Both are taken as untrusted.
pub fn button(label: &str, words: &str) -> String {
    command_link(label, "idp", words)
}

/// A Markdown link that platforms show as a button which opens the form of a command, with what `words` give of it
/// filled in: `[label](<idp-form:words>)`.
///
/// Both are taken as untrusted.
pub fn form_button(label: &str, words: &str) -> String {
    command_link(label, "idp-form", words)
}

fn command_link(label: &str, scheme: &str, words: &str) -> String {
    let words: String = words.chars().filter(|it| !it.is_control()).collect();
    let destination = words.replace('\\', "\\\\").replace('<', "\\<").replace('>', "\\>");
    format!("[{}](<{scheme}:{destination}>)", Untrusted::from(label).to_markdown())
}

/// What Markdown of ours names somebody by who is mentioned: `idp-person:slack=U1,discord=1`.
const PERSON: &str = "idp-person:";

/// Markdown that mentions whoever has `accounts` where the platform that shows it is among them, and says `label`
/// elsewhere: `[label](<idp-person:slack=U1,discord=1>)`.
///
/// Of two accounts on one platform the first is mentioned. All is taken as untrusted: an id that is none of the
/// platform's mentions nobody.
pub fn mention(label: &str, accounts: &[(Platform, &str)]) -> String {
    let mut person = Person::default();
    accounts.iter().for_each(|(platform, id)| person.add(*platform, id));
    let label = Untrusted::from(label).to_markdown();
    let ids = [(Platform::Slack, &person.slack), (Platform::Discord, &person.discord)];
    let ids = ids
        .into_iter()
        .filter_map(|(platform, id)| id.as_ref().map(|id| format!("{}={id}", platform.word())));
    let ids = ids.collect::<Vec<String>>().join(",");
    if ids.is_empty() { label } else { format!("[{label}](<{PERSON}{ids}>)") }
}

/// Somebody who is mentioned: by which account on each platform. Nothing but ids as the platforms write them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Person {
    pub slack: Option<String>,
    pub discord: Option<String>,
}

impl Person {
    /// Whom a link to `destination` mentions; `None` where it mentions nobody.
    pub fn parse(destination: &str) -> Option<Person> {
        let mut person = Person::default();
        for account in destination.strip_prefix(PERSON)?.split(',') {
            if let Some((platform, id)) = account.split_once('=')
                && let Some(platform) = Platform::from_word(platform)
            {
                person.add(platform, id);
            }
        }
        (person != Person::default()).then_some(person)
    }

    fn add(&mut self, platform: Platform, id: &str) {
        let account = match platform {
            Platform::Slack if is_slack_id(id) => &mut self.slack,
            Platform::Discord if is_discord_id(id) => &mut self.discord,
            _ => return,
        };
        account.get_or_insert_with(|| id.to_string());
    }
}

/// No id of an account is longer.
const ACCOUNT_CHARACTERS_MAX: usize = 32;

/// Source: <https://docs.slack.dev/reference/objects/user-object>
fn is_slack_id(id: &str) -> bool {
    let of_id = |it: char| it.is_ascii_uppercase() || it.is_ascii_digit();
    id.strip_prefix(['U', 'W']).is_some_and(|rest| !rest.is_empty() && rest.chars().all(of_id))
        && id.len() <= ACCOUNT_CHARACTERS_MAX
}

/// Source: <https://docs.discord.com/developers/reference#snowflakes>
fn is_discord_id(id: &str) -> bool {
    (1..=ACCOUNT_CHARACTERS_MAX).contains(&id.len()) && id.chars().all(|it| it.is_ascii_digit())
}

/// A Markdown link to a web page, `[label](<https://…>)`; the address itself is shown where there is no label.
///
/// An address that is not plain `http` or `https`, or that carries a user name, is no link: only its label is shown.
/// Both are taken as untrusted.
pub fn link(label: &str, address: &str) -> String {
    let label = if label.trim().is_empty() { address } else { label };
    let label = Untrusted::from(label).to_markdown();
    match url::Url::parse(address.trim()) {
        Ok(url) if is_web_page(&url) => {
            // A parsed URL has neither spaces nor line breaks; these three could still end the link.
            let destination =
                url.as_str().replace('\\', "%5C").replace('<', "%3C").replace('>', "%3E");
            format!("[{label}](<{}>)", destination.replace('&', "&amp;"))
        }
        _ => label,
    }
}

/// Markdown that shows exactly the lines of `text`, in letters of one width; what a reader could not see becomes visible.
pub fn code_block(text: &str) -> String {
    let mut longest = 0;
    let mut run = 0;
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        run = if character == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
        match character {
            '\n' => shown.push('\n'),
            '\r' | '\t' | '\u{2028}' | '\u{2029}' => shown.push(' '),
            it if is_hidden(it) => shown.push_str(&made_visible(it)),
            it => shown.push(it),
        }
    }
    // A longer fence than any row of backticks in it.
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}\n{shown}\n{fence}")
}

/// Markdown of a text in which names stand between backticks: they become code, and all of it is untrusted.
///
/// A backtick that holds no name is shown.
pub fn prose(text: &str) -> String {
    let mut rest = text.trim();
    let mut said = String::with_capacity(rest.len() + 8);
    while let Some(start) = rest.find('`') {
        said.push_str(&escaped(&rest[..start]));
        let inside = &rest[start + 1..];
        let end = inside.find('`').filter(|end| is_name(&inside[..*end]));
        match end {
            Some(end) => {
                said.push_str(&Untrusted::from(&inside[..end]).to_code());
                rest = &inside[end + 1..];
            }
            None => {
                said.push_str("\\`");
                rest = inside;
            }
        }
    }
    said.push_str(&escaped(rest));
    said
}

/// Whether `text` is a name, which stands alone.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.trim() == text && !text.contains(['\n', '\r', '\t'])
}

/// `text` with nothing in it that means anything, on one line.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' => out.push(' '),
            it if is_hidden(it) => out.push_str(&made_visible(it)),
            it if it.is_ascii_punctuation() => {
                out.push('\\');
                out.push(it);
            }
            it => out.push(it),
        }
    }
    out
}

/// Whether `url` is a page of the web, and names no user: `https://good.example@evil.example` deceives.
pub fn is_web_page(url: &url::Url) -> bool {
    let is_web = matches!(url.scheme(), "http" | "https") && url.has_host();
    is_web && url.username().is_empty() && url.password().is_none()
}

/// Text that someone else wrote: a name, a description, what a person typed, a vendor's error.
///
/// It has no `Display`: only a renderer can say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Untrusted<'a>(&'a str);

impl<'a> From<&'a str> for Untrusted<'a> {
    fn from(text: &'a str) -> Self {
        Untrusted(text)
    }
}

impl Untrusted<'_> {
    /// Markdown that shows exactly this text on one line: no markup, no link, no mention of its own.
    ///
    /// Control characters, bidirectional overrides and invisible characters become visible `⟨U+202E⟩`;
    /// line breaks become spaces. Space around it goes: four in front would make it a block of code.
    pub fn to_markdown(self) -> String {
        escaped(self.0.trim())
    }

    /// The text as code: `` `payment-api` ``. Text that could end the code or a table's cell, or that has
    /// something invisible in it, is shown as [`Untrusted::to_markdown`] does.
    pub fn to_code(self) -> String {
        let text = self.0.trim();
        let ends_it = |it: char| matches!(it, '`' | '|' | '\\' | '\u{2028}' | '\u{2029}');
        let is_plain = |it: char| !ends_it(it) && !is_hidden(it);
        if text.is_empty() || !text.chars().all(is_plain) {
            return self.to_markdown();
        }
        format!("`{text}`")
    }
}

fn made_visible(character: char) -> String {
    format!("⟨U+{:04X}⟩", character as u32)
}

/// Whether a reader could not see `character`, or would see others reordered by it.
pub fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}'
            | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FE00}'..='\u{FE0E}' | '\u{FEFF}' | '\u{FFA0}'
            | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E0FFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn untrusted_text_shows_as_it_is() {
        assert_eq!(Untrusted::from("<!channel> *x*").to_markdown(), "\\<\\!channel\\> \\*x\\*");
        assert_eq!(Untrusted::from("a\u{202E}b").to_markdown(), "a⟨U+202E⟩b");
        assert_eq!(Untrusted::from("one\ntwo").to_markdown(), "one two");
    }

    #[test]
    fn code_that_could_be_left_is_shown_as_text() {
        assert_eq!(Untrusted::from("payment-api").to_code(), "`payment-api`");
        assert_eq!(Untrusted::from("a`b").to_code(), "a\\`b");
        assert_eq!(Untrusted::from("a\nb").to_code(), "a b");
        assert_eq!(Untrusted::from("a\u{2028}b").to_code(), "a b");
        assert_eq!(Untrusted::from("    a").to_markdown(), "a");
    }

    #[test]
    fn a_block_of_code_is_left_by_nothing_in_it() {
        assert_eq!(code_block("a\n b"), "```\na\n b\n```");
        assert_eq!(code_block("a\n```\n<!here>"), "````\na\n```\n<!here>\n````");
        assert_eq!(code_block("a\u{202E}b\tc"), "```\na⟨U+202E⟩b c\n```");
    }

    #[test]
    fn names_in_prose_are_code_and_the_rest_is_literal() {
        assert_eq!(prose("Write `spec.owner` *now*"), "Write `spec.owner` \\*now\\*");
        assert_eq!(prose("`a` `b`"), "`a` `b`");
        assert_eq!(prose("an odd ` one, `` and ` a `"), "an odd \\` one\\, \\`\\` and \\` a \\`");
    }

    #[test]
    fn only_a_web_page_becomes_a_link() {
        assert_eq!(
            link("Runbook", "https://a.example/b?c=d&e"),
            "[Runbook](<https://a.example/b?c=d&amp;e>)"
        );
        assert_eq!(
            link("", "https://a.example/"),
            "[https\\:\\/\\/a\\.example\\/](<https://a.example/>)"
        );
        for address in [
            "javascript:alert(1)",
            "slack://open",
            "idp:run",
            "https://good.example@evil.example/",
            "a>b",
            "",
        ] {
            assert_eq!(link("Runbook", address), "Runbook", "{address}");
        }
        assert_eq!(link("a", "https://a.example/x>y<z"), "[a](<https://a.example/x%3Ey%3Cz>)");
    }

    #[test]
    fn a_mention_carries_accounts_and_nothing_else() {
        let (slack, discord) = (Platform::Slack, Platform::Discord);
        assert_eq!(
            mention("Ada *A*", &[(slack, "U1"), (discord, "1"), (slack, "U2")]),
            "[Ada \\*A\\*](<idp-person:slack=U1,discord=1>)"
        );
        assert_eq!(mention("Ada", &[(discord, "1")]), "[Ada](<idp-person:discord=1>)");
        assert_eq!(mention("Ada", &[(Platform::Terminal, "user:ada")]), "Ada");
        for id in
            ["", "u1", "U", "C1", "U1>", "U1,discord=2", "U1 ", "!here", "Ü1", &"U1".repeat(20)]
        {
            assert_eq!(mention("Ada", &[(slack, id)]), "Ada", "{id}");
        }
        for id in ["", "&1", "!1", "1>", "-1", "１", &"1".repeat(40)] {
            assert_eq!(mention("Ada", &[(discord, id)]), "Ada", "{id}");
            assert_eq!(Person::parse(&format!("idp-person:discord={id}")), None, "{id}");
        }
        let ada = Person { slack: Some("U1".into()), discord: Some("1".into()) };
        assert_eq!(Person::parse("idp-person:slack=U1,discord=1"), Some(ada));
        for nobody in ["idp-person:team=U1", "idp-person:slack=C1", "idp-person:", "slack=U1"] {
            assert_eq!(Person::parse(nobody), None, "{nobody}");
        }
    }

    #[test]
    fn a_button_carries_its_words() {
        assert_eq!(
            button("Dependents", "dependents payment-api"),
            "[Dependents](<idp:dependents payment-api>)"
        );
    }
}
