//! What may be typed behind `idp`.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// The developer portal that lives in chat.
#[derive(Debug, Parser)]
#[command(name = "idp", version, propagate_version = true, max_term_width = 100)]
pub struct Arguments {
    /// Let the system's package manager install Postgres where there is none
    #[arg(long, global = true)]
    pub install_postgres: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Try it: a sample company, a private database and a prompt
    Demo,
    /// Ask one question: `idp ask owner payment-api`
    Ask(Ask),
    /// Bring descriptors in, take entities out
    Catalog {
        #[command(subcommand)]
        command: Catalog,
    },
    /// Find every problem of a portal directory
    Check(Check),
    /// Find what keeps this portal from answering: tokens, scopes, clock, database, Discord's commands
    Doctor(Doctor),
    /// Bring the database to this version's tables
    Migrate,
    /// Answer Slack and Discord over HTTP until told to stop
    Serve(Serve),
    /// What was observed of entities: report it, list it
    Facts {
        #[command(subcommand)]
        command: Facts,
    },
    /// Scorecards: what one would change, why a rule finds what it does, and those of other products
    Score {
        #[command(subcommand)]
        command: Score,
    },
    /// Actions: those of another product
    Action {
        #[command(subcommand)]
        command: Action,
    },
    /// Who is who: accounts of chats, and the Users of the catalog
    Access {
        #[command(subcommand)]
        command: Access,
    },
    /// Which commands Discord offers
    Discord {
        #[command(subcommand)]
        command: Discord,
    },
    /// The log of decisions: whether it is as it was written, and what is in it
    Audit {
        #[command(subcommand)]
        command: Audit,
    },
    /// The instance's key, with which values are sealed and signed
    Key {
        #[command(subcommand)]
        command: Key,
    },
    /// The private database
    Db {
        #[command(subcommand)]
        command: Database,
    },
}

#[derive(Debug, Clone, PartialEq, Args)]
pub struct Ask {
    /// The portal directory [default: $IDP_PORTAL, ./portal, or . with an idp.yaml]
    #[arg(long, value_name = "DIR")]
    pub portal: Option<PathBuf>,
    /// Ask as this User of the catalog: `ada`, `user:default/ada`
    #[arg(long = "as", value_name = "USER-REF")]
    pub asker: Option<String>,
    /// How to print the answer
    #[arg(long, value_enum, default_value_t = AnswerFormat::Text)]
    pub format: AnswerFormat,
    /// Write the picture of the answer, a PNG, to this file
    #[arg(long, value_name = "FILE")]
    pub picture: Option<PathBuf>,
    /// A command or a question: owner payment-api
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AnswerFormat {
    Text,
    Json,
    Slack,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Catalog {
    /// Read descriptors from files and directories into the catalog
    Import {
        /// The portal directory; its settings hold for the import
        #[arg(long, value_name = "DIR")]
        portal: Option<PathBuf>,
        /// Files, and directories whose every YAML file is read
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
        #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
        format: ReportFormat,
        /// Delete what is gone, even when it is more than a source may lose by itself
        #[arg(long)]
        confirm_deletions: bool,
    },
    /// Print every entity, one JSON object a line
    Export {
        /// Only this kind: component
        #[arg(long)]
        kind: Option<String>,
    },
    /// List what is wrong with the descriptors that were read
    Problems {
        #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
        format: ReportFormat,
    },
    /// What people say instead of a name
    Alias {
        #[command(subcommand)]
        command: Alias,
    },
    /// List what was asked in vain, most often first
    Unanswered {
        /// The most questions to list
        #[arg(long, default_value_t = 50)]
        limit: u16,
        #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
        format: ReportFormat,
    },
}

#[derive(Debug, Subcommand)]
pub enum Alias {
    /// Add one, or give it another meaning: `idp catalog alias add "the till" checkout`
    Add {
        /// What people say
        alias: String,
        /// The entity that they mean
        #[arg(value_name = "REF")]
        reference: String,
    },
    /// Take one back
    Remove { alias: String },
    /// List those that were added; the others stand in idp.yaml
    List {
        #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
        format: ReportFormat,
    },
}

#[derive(Debug, Args)]
pub struct Check {
    /// The portal directory
    pub dir: PathBuf,
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    pub format: ReportFormat,
}

#[derive(Debug, Args)]
pub struct Doctor {
    /// The portal directory [default: $IDP_PORTAL, ./portal, or . with an idp.yaml]
    #[arg(long, value_name = "DIR")]
    pub portal: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    pub format: ReportFormat,
}

#[derive(Debug, Args)]
pub struct Serve {
    /// The portal directory [default: $IDP_PORTAL, ./portal, or . with an idp.yaml]
    #[arg(long, value_name = "DIR")]
    pub portal: Option<PathBuf>,
    /// Where to listen [default: $IDP_LISTEN, 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
}

#[derive(Debug, Subcommand)]
pub enum Facts {
    /// Report facts: into the database that is set, or with --url to a running idp
    Push {
        /// The portal directory, whose settings list the source [default: $IDP_PORTAL, ./portal, or . with an idp.yaml]
        #[arg(long, value_name = "DIR", conflicts_with = "url")]
        portal: Option<PathBuf>,
        /// The source that observed them: ci
        #[arg(long, value_name = "NAME", required_unless_present = "url", conflicts_with = "url")]
        source: Option<String>,
        /// A running idp, which knows the source by the token in $IDP_FACTS_TOKEN: `https://idp.acme.example`
        #[arg(long)]
        url: Option<String>,
        /// JSON: one fact {entity, key, value, observed_at} a line, or a list of them; `-` for standard input
        file: PathBuf,
        #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
        format: ReportFormat,
    },
    /// List what was observed of an entity, stale or not
    List {
        /// The entity: `payment-api`, `component:default/payment-api`
        #[arg(value_name = "REF")]
        entity: String,
        #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
        format: ReportFormat,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ScorecardFormat {
    Port,
    Cortex,
}

#[derive(Debug, Subcommand)]
pub enum Score {
    /// Tell who would move to which level if a scorecard were published, and what its rules find
    Preview {
        /// The portal directory [default: $IDP_PORTAL, ./portal, or . with an idp.yaml]
        #[arg(long, value_name = "DIR")]
        portal: Option<PathBuf>,
        /// The scorecard file; it stays unpublished
        file: PathBuf,
        #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
        format: ReportFormat,
    },
    /// Tell the values behind what a rule finds of an entity, and what it would take
    Explain {
        /// The portal directory [default: $IDP_PORTAL, ./portal, or . with an idp.yaml]
        #[arg(long, value_name = "DIR")]
        portal: Option<PathBuf>,
        /// The entity: `payment-api`, `component:default/payment-api`
        #[arg(value_name = "REF")]
        entity: String,
        /// The rule: `runbook`, `production-readiness/runbook`
        rule: String,
        #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
        format: ReportFormat,
    },
    /// Make scorecard files of those of another product, and tell what they leave out
    Import {
        #[arg(long, value_enum)]
        from: ScorecardFormat,
        /// Port's JSON, Cortex's YAML
        file: PathBuf,
        /// Where to write them, such as portal/scorecards; without it they are printed
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
        format: ReportFormat,
    },
    /// Print a scorecard as another product takes it, and tell what that leaves out
    Export {
        #[arg(long, value_enum)]
        to: ScorecardFormat,
        /// The portal directory [default: $IDP_PORTAL, ./portal, or . with an idp.yaml]
        #[arg(long, value_name = "DIR")]
        portal: Option<PathBuf>,
        /// The name of one of the portal's, or a file
        scorecard: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ActionFormat {
    Port,
}

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Make action files of those of another product, and tell what became of each key
    Import {
        #[arg(long, value_enum)]
        from: ActionFormat,
        /// Port's JSON
        file: PathBuf,
        /// Who approves where Port asks for approval: `group:platform`, `user:ada` [default: an owner of the target]
        #[arg(long, value_name = "REF")]
        approver: Vec<String>,
        /// Where to write them, such as portal/actions; without it they are printed
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
        format: ReportFormat,
    },
}

#[derive(Debug, Subcommand)]
pub enum Access {
    /// Link the accounts that a file lists; accounts that it does not name stay as they are
    Import {
        /// YAML or JSON: a list of {platform, tenant, user_id, user}
        file: PathBuf,
        #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
        format: ReportFormat,
    },
    /// List which account is whose
    List {
        #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
        format: ReportFormat,
    },
    /// Make a code with which a User of the catalog links an account: `/idp link CODE`
    Code {
        /// The User: `ada`, `user:default/ada`
        #[arg(value_name = "USER-REF")]
        user: String,
    },
    /// Take the second factor of a User away, who has lost it
    ResetTotp {
        /// The User: `ada`, `user:default/ada`
        #[arg(value_name = "USER-REF")]
        user: String,
    },
    /// Take the link of an account away
    Remove {
        /// `slack` or `discord`
        platform: String,
        /// The workspace or server
        tenant: String,
        /// The account
        user_id: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum Discord {
    /// Register the portal's commands in its servers, where they differ
    Register {
        /// The portal directory [default: $IDP_PORTAL, ./portal, or . with an idp.yaml]
        #[arg(long, value_name = "DIR")]
        portal: Option<PathBuf>,
    },
    /// Tell how Discord's commands differ from the portal's; fails when they do
    Check {
        /// The portal directory [default: $IDP_PORTAL, ./portal, or . with an idp.yaml]
        #[arg(long, value_name = "DIR")]
        portal: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Find the first row of the log that is not as it was written; fails when there is one
    Verify {
        /// The portal directory [default: $IDP_PORTAL, ./portal, or . with an idp.yaml]
        #[arg(long, value_name = "DIR")]
        portal: Option<PathBuf>,
        /// Checkpoints that were kept outside of the database [default: the settings' file, where it is there]
        #[arg(long, value_name = "FILE")]
        checkpoints: Vec<PathBuf>,
        /// Who may have signed checkpoints, in hexadecimal digits [default: the instance's key]
        #[arg(long, value_name = "KEY")]
        public_key: Vec<String>,
        #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
        format: ReportFormat,
    },
    /// Print the log, one JSON object a line
    Export {
        /// Only from this time on: 2026-05-01, 2026-05-01T09:30:00Z
        #[arg(long, value_name = "TIME")]
        from: Option<String>,
        /// Only before this time
        #[arg(long, value_name = "TIME")]
        to: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub enum Key {
    /// Print the public key with which everybody can check the signatures of the audit log
    Public,
    /// Make the key that is set the database's; what was sealed with another cannot be read any more
    Accept,
}

#[derive(Debug, Subcommand)]
pub enum Database {
    /// Stop the private database's server; the next start of idp starts it again
    Stop,
    /// Print the private database as SQL
    Export,
}

impl Arguments {
    /// What was typed. Where that is help, or makes no sense, it is said and the process ends.
    pub fn read() -> Arguments {
        Arguments::parse_from(options_first(std::env::args_os().collect()))
    }
}

/// `idp ask owner payment-api --format json`: people type the options last. They are moved before
/// the words; every other word with dashes belongs to the command that is asked.
fn options_first(typed: Vec<OsString>) -> Vec<OsString> {
    let Some(ask) = typed.iter().position(|word| word == "ask") else { return typed };
    let mut options = Vec::new();
    let mut words = Vec::new();
    let mut rest = typed[ask + 1..].iter().cloned();
    while let Some(word) = rest.next() {
        let text = word.to_string_lossy();
        if text == "--" {
            words.push(word);
            words.extend(rest);
            break;
        }
        let name = text.split_once('=').map_or(&*text, |(name, _)| name);
        match OPTIONS_OF_ASK.contains(&name) {
            true if name == text => options.extend(std::iter::once(word).chain(rest.next())),
            true => options.push(word),
            false => words.push(word),
        }
    }
    [typed[..=ask].to_vec(), options, words].concat()
}

const OPTIONS_OF_ASK: [&str; 4] = ["--portal", "--as", "--format", "--picture"];

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn ask(typed: &str) -> Ask {
        let words = typed.split(' ').map(OsString::from).collect();
        match Arguments::parse_from(options_first(words)).command {
            Command::Ask(ask) => ask,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn options_may_stand_before_and_behind_the_words() {
        let before = ask("idp ask --format json --as ada dependents pay --kind api");
        assert_eq!(before, ask("idp ask dependents pay --kind api --format=json --as ada"));
        assert_eq!(before.words, ["dependents", "pay", "--kind", "api"]);
        assert_eq!(before.format, AnswerFormat::Json);
        assert_eq!(before.asker.as_deref(), Some("ada"));
    }

    #[test]
    fn behind_two_dashes_everything_is_a_word() {
        assert_eq!(ask("idp ask find -- --format").words, ["find", "--", "--format"]);
    }
}
