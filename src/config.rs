//! Every setting of the process, its variable, its default. Nothing else reads the environment.
//!
//! | variable                 | what it sets                                               | default                        |
//! |--------------------------|------------------------------------------------------------|--------------------------------|
//! | `DATABASE_URL`           | the Postgres server to use                                 | a private cluster              |
//! | `IDP_PORTAL`             | the portal directory                                       | `./portal`, else `.`           |
//! | `IDP_LISTEN`             | address and port of the HTTP server                        | `127.0.0.1:8080`               |
//! | `IDP_DATA_DIR`           | the private cluster, clones, the copy of the catalog, logs | `$XDG_DATA_HOME/idp`           |
//! | `IDP_PG_BIN`             | where `initdb` and `postgres` lie                          | looked for                     |
//! | `IDP_KEY`                | the instance's key, with which values are sealed and signed | a file `key` that is made      |
//! | `IDP_FACTS_TOKEN`        | what `idp facts push --url` shows                          | none                           |
//! | `SLACK_SIGNING_SECRET`   | what Slack signs its requests with                         | none: Slack is off             |
//! | `SLACK_BOT_TOKEN`        | what we call Slack with                                    | none                           |
//! | `SLACK_APP_TOKEN`        | what we open Socket Mode with                              | none: Socket Mode is off       |
//! | `SLACK_API_URL`          | where Slack's Web API is                                   | `https://slack.com/api/`       |
//! | `DISCORD_PUBLIC_KEY`     | what Discord's signatures are checked with                 | none: its route is off         |
//! | `DISCORD_APPLICATION_ID` | which application we are                                   | none                           |
//! | `DISCORD_BOT_TOKEN`      | what we call Discord with, and open its gateway with       | none: the gateway is off       |
//! | `DISCORD_API_URL`        | where Discord's API is                                     | `https://discord.com/api/v10/` |
//! | `IDP_LOG`                | log level or filter: `info`, `warn,idp=debug`              | `info`                         |
//! | `IDP_LOG_FORMAT`         | `text` or `json`                                           | `text` for a person            |
//! | `IDP_FAIL_POINT`         | where tests end or freeze the process; refused in releases | none                           |
//!
//! `DATABASE_URL`, `IDP_KEY`, `IDP_FACTS_TOKEN`, `SLACK_SIGNING_SECRET`, `SLACK_BOT_TOKEN`, `SLACK_APP_TOKEN` and
//! `DISCORD_BOT_TOKEN` are secrets: each may come from the file that the variable with `_FILE` behind it names instead, as
//! orchestrators mount them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretBox, SecretString};
use url::Url;

/// The 32 bytes of a key.
pub type KeyBytes = Arc<SecretBox<[u8; 32]>>;

/// The settings of this process.
#[derive(Debug, Clone)]
pub struct Config {
    /// `None`: the private cluster under `data_dir`.
    pub database_url: Option<SecretString>,
    /// As given; `None`: look around in the current directory.
    pub portal: Option<PathBuf>,
    pub listen: SocketAddr,
    pub data_dir: PathBuf,
    /// `None`: look in the usual places.
    pub pg_bin: Option<PathBuf>,
    /// The instance's key; `None`: the file `key` in `data_dir`.
    pub key: Option<KeyBytes>,
    /// What `idp facts push --url` shows.
    pub facts_token: Option<SecretString>,
    pub slack: SlackConfig,
    pub discord: DiscordConfig,
    pub log: LogConfig,
    /// Where a test ends or freezes the process, for [`fail_point::choose`](crate::fail_point::choose).
    pub fail_point: Option<String>,
}

#[derive(Debug, Clone)]
pub struct SlackConfig {
    /// `None`: Slack's routes are off.
    pub signing_secret: Option<SecretString>,
    /// `None`: answers go out on Slack's own request and by `response_url` only.
    pub bot_token: Option<SecretString>,
    /// `None`: Socket Mode is off.
    pub app_token: Option<SecretString>,
    /// Ends with `/`.
    pub api_url: Url,
}

#[derive(Debug, Clone)]
pub struct DiscordConfig {
    /// In hexadecimal digits, not yet judged. `None`: Discord's route is off.
    pub public_key: Option<String>,
    /// Digits; there is one wherever there is a public key or a token.
    pub application_id: Option<String>,
    /// `None`: commands cannot be registered, and the gateway is off.
    pub bot_token: Option<SecretString>,
    /// Ends with `/`.
    pub api_url: Url,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// A level or a filter of `tracing`; `None`: the sub-command's own default.
    pub filter: Option<String>,
    /// `None`: text when a person looks, JSON otherwise.
    pub format: Option<LogFormat>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// Where a secret lies; files of the portal never hold one themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretReference {
    Env(String),
    File(PathBuf),
}

impl Config {
    /// The settings that the environment of this process makes.
    ///
    /// # Errors
    /// A value that is not what its variable takes. The message names the variable, never the value.
    pub fn from_env() -> anyhow::Result<Config> {
        Config::read(&raw)
    }

    /// `raw` gives the value of an environment variable. Empty ones count as not set, but for those of
    /// the platforms: whoever names a secret means to have one.
    fn read(raw: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<Config> {
        for (platform, name) in [
            ("Slack", "SLACK_SIGNING_SECRET"),
            ("Slack", "SLACK_BOT_TOKEN"),
            ("Slack", "SLACK_APP_TOKEN"),
            ("Discord", "DISCORD_PUBLIC_KEY"),
            ("Discord", "DISCORD_APPLICATION_ID"),
            ("Discord", "DISCORD_BOT_TOKEN"),
        ] {
            if raw(name).is_some_and(|value| value.trim().is_empty()) {
                bail!("`{name}` is empty; give it its value, or unset it to leave {platform} off");
            }
        }
        let variable = &|name: &str| raw(name).filter(|value| !value.is_empty());
        Ok(Config {
            database_url: secret("DATABASE_URL", variable)?,
            portal: variable("IDP_PORTAL").map(PathBuf::from),
            listen: listen(variable)?,
            data_dir: data_dir(variable)?,
            pg_bin: variable("IDP_PG_BIN").map(PathBuf::from),
            key: key(variable)?,
            facts_token: secret("IDP_FACTS_TOKEN", variable)?,
            slack: SlackConfig {
                signing_secret: secret("SLACK_SIGNING_SECRET", variable)?,
                bot_token: secret("SLACK_BOT_TOKEN", variable)?,
                app_token: secret("SLACK_APP_TOKEN", variable)?,
                api_url: api_url(
                    "SLACK_API_URL",
                    variable("SLACK_API_URL"),
                    "https://slack.com/api/",
                )?,
            },
            discord: discord(variable)?,
            log: LogConfig { filter: log_filter(variable)?, format: log_format(variable)? },
            fail_point: variable("IDP_FAIL_POINT"),
        })
    }
}

impl SecretReference {
    /// The secret as it is now: read at each use, so that rotating it needs no restart.
    ///
    /// # Errors
    /// The variable or the file that is missing or empty, by name.
    pub fn read(&self) -> anyhow::Result<SecretString> {
        match self {
            SecretReference::Env(name) => {
                let value = variable(name).ok_or_else(|| anyhow!("`{name}` is not set"))?;
                Ok(SecretString::from(value))
            }
            SecretReference::File(path) => secret_file(path),
        }
    }
}

/// Where programs are looked for, in order: the directories of `PATH`.
pub fn search_path() -> Vec<PathBuf> {
    variable("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default()
}

/// Whether `NO_COLOR` asks for plain text.
///
/// Source: <https://no-color.org>
pub fn no_color() -> bool {
    variable("NO_COLOR").is_some()
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn raw(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn variable(name: &str) -> Option<String> {
    raw(name).filter(|value| !value.is_empty())
}

/// The value of `name`, or what the file has in it that `name_FILE` names.
fn secret(
    name: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> anyhow::Result<Option<SecretString>> {
    let by_file = format!("{name}_FILE");
    match (variable(name), variable(&by_file)) {
        (Some(_), Some(_)) => bail!("`{name}` and `{by_file}` are both set; set one of them"),
        (Some(value), None) => Ok(Some(SecretString::from(value))),
        (None, Some(path)) => secret_file(Path::new(&path)).context(by_file).map(Some),
        (None, None) => Ok(None),
    }
}

fn secret_file(path: &Path) -> anyhow::Result<SecretString> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("could not read the secret in `{}`", path.display()))?;
    let text = text.trim();
    if text.is_empty() {
        bail!("the secret in `{}` is empty", path.display());
    }
    Ok(SecretString::from(text))
}

/// The key in `IDP_KEY`, or in the file of `IDP_KEY_FILE`.
fn key(variable: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<Option<KeyBytes>> {
    let Some(text) = secret("IDP_KEY", variable)? else { return Ok(None) };
    key_bytes(&text)
        .map(Some)
        .map_err(|why| anyhow!("`IDP_KEY` {why}; `openssl rand -hex 32` makes a good one"))
}

/// The key that `text` writes as 64 hexadecimal digits, or as base64.
///
/// # Errors
/// What is wrong with it, without a letter of it.
pub fn key_bytes(text: &SecretString) -> Result<KeyBytes, &'static str> {
    let text = text.expose_secret().trim();
    let base64 = text.trim_end_matches('=');
    let bytes = match text.len() {
        64 => hex::decode(text).ok(),
        _ => STANDARD_NO_PAD.decode(base64).or_else(|_| URL_SAFE_NO_PAD.decode(base64)).ok(),
    };
    let bytes = bytes.ok_or("is neither 64 hexadecimal digits nor base64 of 32 bytes")?;
    let bytes: [u8; 32] = bytes.try_into().map_err(|_| "does not have 32 bytes")?;
    if bytes.iter().all(|byte| *byte == bytes[0]) {
        return Err("is the same byte again and again");
    }
    Ok(Arc::new(SecretBox::new(Box::new(bytes))))
}

fn listen(variable: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<SocketAddr> {
    let text = variable("IDP_LISTEN").unwrap_or_else(|| "127.0.0.1:8080".into());
    text.parse()
        .map_err(|_| anyhow!("`IDP_LISTEN` is not an address with a port, such as 127.0.0.1:8080"))
}

/// `$XDG_DATA_HOME/idp`; as root `/var/lib/idp`, because the cluster's server runs as somebody else
/// who may not enter `/root`.
fn data_dir(variable: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<PathBuf> {
    let named = variable("IDP_DATA_DIR").map(PathBuf::from).or_else(|| {
        let root = nix::unistd::geteuid().is_root();
        let home = || variable("HOME").map(|home| Path::new(&home).join(".local/share"));
        match root {
            true => Some(PathBuf::from("/var/lib/idp")),
            false => {
                variable("XDG_DATA_HOME").map(PathBuf::from).or_else(home).map(|it| it.join("idp"))
            }
        }
    });
    let dir = named.context("`IDP_DATA_DIR` is not set, and neither is `HOME`; set one of them")?;
    std::path::absolute(&dir).with_context(|| "`IDP_DATA_DIR` is not a path")
}

fn discord(variable: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<DiscordConfig> {
    let public_key = variable("DISCORD_PUBLIC_KEY");
    let application_id = variable("DISCORD_APPLICATION_ID");
    let is_id = |id: &String| id.len() <= 20 && id.bytes().all(|it| it.is_ascii_digit());
    if !application_id.as_ref().is_none_or(is_id) {
        bail!(
            "`DISCORD_APPLICATION_ID` is not a number; copy it from “General Information” of the Discord app"
        );
    }
    let bot_token = secret("DISCORD_BOT_TOKEN", variable)?;
    if (public_key.is_some() || bot_token.is_some()) && application_id.is_none() {
        bail!(
            "`DISCORD_APPLICATION_ID` is not set; copy it from “General Information” of the Discord app"
        );
    }
    let url = variable("DISCORD_API_URL");
    Ok(DiscordConfig {
        public_key,
        application_id,
        bot_token,
        api_url: api_url("DISCORD_API_URL", url, "https://discord.com/api/v10/")?,
    })
}

/// The URL that the variable `name` gives, or the platform's own. Not yet judged: whether it may be asked
/// depends on the portal's settings.
fn api_url(name: &str, given: Option<String>, own: &str) -> anyhow::Result<Url> {
    let mut text = given.unwrap_or_else(|| own.to_string());
    if !text.ends_with('/') {
        text.push('/');
    }
    let url = Url::parse(&text).ok().filter(|url| url.has_host());
    url.ok_or_else(|| anyhow!("`{name}` is not a URL, such as {own}"))
}

fn log_filter(variable: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<Option<String>> {
    let Some(filter) = variable("IDP_LOG") else { return Ok(None) };
    match filter.parse::<tracing_subscriber::EnvFilter>() {
        Ok(_) => Ok(Some(filter)),
        Err(_) => bail!("`IDP_LOG` is not a log level, such as info, or a filter of levels"),
    }
}

fn log_format(variable: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<Option<LogFormat>> {
    match variable("IDP_LOG_FORMAT").as_deref() {
        None => Ok(None),
        Some("text") => Ok(Some(LogFormat::Text)),
        Some("json") => Ok(Some(LogFormat::Json)),
        Some(_) => bail!("`IDP_LOG_FORMAT` is neither `text` nor `json`"),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn read(variables: &[(&str, &str)]) -> anyhow::Result<Config> {
        Config::read(&|name| {
            let found = variables.iter().find(|(it, _)| *it == name);
            found.map(|(_, value)| value.to_string())
        })
    }

    #[test]
    fn nothing_needs_to_be_set_but_a_home() {
        let config = read(&[("HOME", "/home/ada"), ("DATABASE_URL", "")]).unwrap();
        assert!(config.database_url.is_none());
        assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.slack.api_url.as_str(), "https://slack.com/api/");
        assert!(config.data_dir.is_absolute());
    }

    #[test]
    fn a_bad_value_is_refused_by_the_name_of_its_variable_and_never_shown() {
        for name in [
            "IDP_LISTEN",
            "SLACK_API_URL",
            "DISCORD_API_URL",
            "DISCORD_APPLICATION_ID",
            "IDP_LOG",
            "IDP_LOG_FORMAT",
        ] {
            let value = match name {
                "IDP_LOG" => "idp=hunter2",
                _ => "hunter2",
            };
            let error = format!("{:#}", read(&[("HOME", "/"), (name, value)]).unwrap_err());
            assert!(error.contains(&format!("`{name}`")), "{name}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn discord_needs_to_know_which_application_it_is() {
        for given in [("DISCORD_PUBLIC_KEY", "00"), ("DISCORD_BOT_TOKEN", "secret")] {
            let error = read(&[("HOME", "/"), given]).unwrap_err().to_string();
            assert!(error.contains("`DISCORD_APPLICATION_ID` is not set"), "{error}");
            assert!(read(&[("HOME", "/"), given, ("DISCORD_APPLICATION_ID", "17")]).is_ok());
        }
        let error = read(&[("HOME", "/"), ("DISCORD_PUBLIC_KEY", " ")]).unwrap_err().to_string();
        assert!(error.contains("`DISCORD_PUBLIC_KEY` is empty"), "{error}");
    }

    #[test]
    fn a_secret_may_lie_in_a_file_and_is_never_printed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, "hunter2\n").unwrap();
        let by_file = ("SLACK_SIGNING_SECRET_FILE", path.to_str().unwrap());
        let config = read(&[("HOME", "/"), by_file]).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
        assert_eq!(config.slack.signing_secret.unwrap().expose_secret(), "hunter2");

        let twice = read(&[("HOME", "/"), by_file, ("SLACK_SIGNING_SECRET", "other")]);
        assert!(format!("{:#}", twice.unwrap_err()).contains("both set"));
    }

    #[test]
    fn a_key_is_hexadecimal_or_base64_and_a_bad_one_is_never_shown() {
        let hex: String = (0..32).map(|byte| format!("{byte:02x}")).collect();
        let base64 = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
        for text in [hex.to_uppercase(), base64.into(), format!("{base64}=")] {
            let key = read(&[("HOME", "/"), ("IDP_KEY", &text)]).unwrap().key.unwrap();
            assert_eq!(hex::encode(key.expose_secret()), hex);
            assert!(!format!("{key:?}").contains("1, 2, 3"));
        }
        for text in ["hunter2", &hex[2..], &"00".repeat(32), &"zz".repeat(32), &base64[4..]] {
            let error = read(&[("HOME", "/"), ("IDP_KEY", text)]).unwrap_err().to_string();
            assert!(error.starts_with("`IDP_KEY` ") && !error.contains(text), "{error}");
        }
        assert!(read(&[("HOME", "/")]).unwrap().key.is_none());
    }

    #[test]
    fn an_empty_or_missing_secret_file_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let empty = dir.path().join("empty");
        std::fs::write(&empty, "\n").unwrap();
        for path in [empty, dir.path().join("missing")] {
            let by_file = [("HOME", "/"), ("SLACK_BOT_TOKEN_FILE", path.to_str().unwrap())];
            let error = format!("{:#}", read(&by_file).unwrap_err());
            assert!(error.starts_with("SLACK_BOT_TOKEN_FILE: "), "{error}");
        }
    }
}
