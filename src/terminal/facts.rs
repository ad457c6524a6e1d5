//! `idp facts`: what was observed of entities, in and out.

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use url::Url;

use super::arguments::{self, ReportFormat};
use super::check::counted;
use super::setup::{self, Usage};
use crate::catalog::formats::fields::closest;
use crate::catalog::{self, EntityRef};
use crate::commands::reply::ago;
use crate::config::Config;
use crate::facts::push::{OBSERVATIONS_MAX, Observation, Tally};
use crate::facts::sources::Source;
use crate::facts::{Fact, flow};
use crate::integrations::http::{Client, Policy};
use crate::portal::Settings;
use crate::postgres;

/// The largest file that is read; it lies in memory as a whole.
const FILE_BYTES_MAX: u64 = 256 << 20;

pub async fn run(
    config: &Config,
    install: bool,
    command: arguments::Facts,
) -> anyhow::Result<ExitCode> {
    match command {
        arguments::Facts::Push { portal, source, url, file, format } => {
            let lines = read(&file)?;
            let told = match url {
                Some(url) => push_to(config, &url, &lines).await?,
                None => {
                    let source = source.unwrap_or_default();
                    push_here(config, install, portal.as_deref(), &source, &lines).await?
                }
            };
            match format {
                ReportFormat::Json => super::print_json(&told)?,
                ReportFormat::Text => super::print(&said(&lines, &told))?,
            }
            let is_whole = told.tally.refused == 0;
            Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        arguments::Facts::List { entity, format } => {
            list(config, install, &entity, format).await?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// An observation of a file, and how a person finds it there: `line 3`, `item 2`.
struct Line {
    place: String,
    observation: Observation,
}

/// What became of them, as the server says it too.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Told {
    #[serde(flatten)]
    tally: Tally,
    /// One for each, in their order.
    results: Vec<Value>,
}

impl Told {
    fn add(&mut self, next: Told) {
        self.tally = self.tally + next.tally;
        self.results.extend(next.results);
    }
}

/// What `file` lists, one JSON object a line or all of them in one array; `-` is standard input.
fn read(file: &Path) -> anyhow::Result<Vec<Line>> {
    let name = if file == Path::new("-") { "standard input" } else { &*file.to_string_lossy() };
    let mut text = String::new();
    let read = match file == Path::new("-") {
        true => std::io::stdin().lock().take(FILE_BYTES_MAX + 1).read_to_string(&mut text),
        false => std::fs::File::open(file)
            .and_then(|opened| opened.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)),
    };
    read.with_context(|| format!("cannot read {name}; it must be UTF-8 text"))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        bail!("{name} has more than {FILE_BYTES_MAX} bytes; split it");
    }
    lines(&text).with_context(|| format!("{name} does not list facts"))
}

fn lines(text: &str) -> anyhow::Result<Vec<Line>> {
    let items: Vec<(String, &str)> = match text.trim_start().starts_with('[') {
        true => {
            let items: Vec<&RawValue> = serde_json::from_str(text)?;
            let items = items.into_iter().enumerate();
            items.map(|(place, item)| (format!("item {}", place + 1), item.get())).collect()
        }
        false => {
            let numbered = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
            numbered.map(|(place, line)| (format!("line {}", place + 1), line)).collect()
        }
    };
    let read = items.into_iter().map(|(place, item)| {
        let observation =
            serde_json::from_str(item).map_err(|error| anyhow!("{place}: {error}"))?;
        Ok(Line { place, observation })
    });
    read.collect()
}

/// Writes them into the database that is set, as `source` of the portal.
async fn push_here(
    config: &Config,
    install: bool,
    portal: Option<&Path>,
    source: &str,
    lines: &[Line],
) -> anyhow::Result<Told> {
    let settings = setup::settings(&setup::portal_dir(config, portal)?)?;
    let source = named(&settings, source)?;
    let db = postgres::open(&setup::database(config, install)).await?;
    let snapshot = catalog::flow::load(&db.pool, &[]).await?;
    let mut told = Told::default();
    for some in lines.chunks(OBSERVATIONS_MAX) {
        let observations: Vec<Observation> = some.iter().map(|it| it.observation.clone()).collect();
        let outcomes = flow::push(&db.pool, source, &snapshot, &observations).await?;
        let results = outcomes.iter().map(|it| json!(it)).collect();
        told.add(Told { tally: Tally::of(&outcomes), results });
    }
    db.close().await?;
    Ok(told)
}

fn named<'a>(settings: &'a Settings, name: &str) -> anyhow::Result<&'a Source> {
    settings.facts.find(name).ok_or_else(|| {
        let names = settings.facts.0.iter().map(|source| source.name.as_str());
        let next = match closest(name, names) {
            Some(close) => format!("did you mean `{close}`?"),
            None => "list it under `facts` in idp.yaml".to_string(),
        };
        Usage(format!("there is no source of facts `{name}`; {next}")).into()
    })
}

/// Sends them to the idp that answers at `url`, which knows the source by its token.
async fn push_to(config: &Config, url: &str, lines: &[Line]) -> anyhow::Result<Told> {
    let token = config.facts_token.as_ref().context(
        "`IDP_FACTS_TOKEN` is not set; set it to the token of the source, or name a file with `IDP_FACTS_TOKEN_FILE`",
    )?;
    let route = route(url)?;
    let client = Client::new(Policy { allowed: listed(&route), loopback: true });
    let bearer = format!("Bearer {}", token.expose_secret());
    let mut told = Told::default();
    for some in lines.chunks(OBSERVATIONS_MAX) {
        let facts: Vec<Value> = some.iter().map(|it| json!(it.observation)).collect();
        let headers = [("authorization", bearer.as_str())];
        let answer = client.post_json(route.as_str(), &headers, &json!({ "facts": facts })).await?;
        told.add(answered(answer.status, &answer.body)?);
    }
    Ok(told)
}

/// The address of the route at the server `url`.
fn route(url: &str) -> anyhow::Result<Url> {
    let base = format!("{}/", url.trim_end_matches('/'));
    let route = Url::parse(&base).and_then(|base| base.join("api/v1/facts"));
    route.ok().filter(|it| it.has_host()).ok_or_else(|| {
        Usage("--url is the address of a running idp, such as https://idp.acme.example".into())
            .into()
    })
}

/// Whoever names a server may mean one of their own network.
fn listed(route: &Url) -> Vec<String> {
    let place = route.host_str().zip(route.port_or_known_default());
    place.map(|(host, port)| format!("{host}:{port}")).into_iter().collect()
}

/// What a server says became of a report.
fn answered(status: u16, body: &[u8]) -> anyhow::Result<Told> {
    if status == 200 {
        let told = serde_json::from_slice(body);
        return told.context("the server answered with something else than results; check --url");
    }
    let said: Value = serde_json::from_slice(body).unwrap_or_default();
    match said["error"]["message"].as_str() {
        Some(message) => bail!("the server took nothing ({status}): {message}"),
        None => bail!("the server answered with status {status}; check --url"),
    }
}

fn said(lines: &[Line], told: &Told) -> String {
    let mut out = String::new();
    for (line, result) in lines.iter().zip(&told.results) {
        if let Some(message) = result["message"].as_str() {
            out.push_str(&format!("{}: refused: {message}\n", line.place));
        }
    }
    let Tally { taken, unchanged, older, refused } = told.tally;
    out.push_str(&format!(
        "{}: {taken} taken, {unchanged} unchanged, {older} older than what is known, {refused} refused\n",
        counted(told.results.len(), "fact")
    ));
    super::visible(&out)
}

/// Prints what is known of the entity that `typed` names.
async fn list(
    config: &Config,
    install: bool,
    typed: &str,
    format: ReportFormat,
) -> anyhow::Result<()> {
    let entity = EntityRef::parse(typed, Some("component"), "default")
        .map_err(|error| Usage(error.to_string()))?;
    let db = postgres::open(&setup::database(config, install)).await?;
    let facts = flow::facts_of(&db.pool, &entity).await?;
    db.close().await?;
    match format {
        ReportFormat::Json => super::print_json(&facts),
        ReportFormat::Text => super::print(&table(&facts, now())),
    }
}

fn table(facts: &[Fact], now: DateTime<Utc>) -> String {
    let line = |fact: &Fact| {
        let age = ago((now - fact.observed_at).num_seconds().unsigned_abs());
        let validity = match fact.valid_until {
            Some(until) if fact.is_stale(now) => format!("; stale since {}", day(until)),
            Some(until) => format!("; holds until {}", day(until)),
            None => String::new(),
        };
        format!("{}: {} ({}, {age}{validity})\n", fact.key, fact.value, fact.source)
    };
    let lines: String = facts.iter().map(line).collect();
    super::visible(&format!("{lines}{}\n", counted(facts.len(), "fact")))
}

/// As people read it.
pub fn day(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M UTC").to_string()
}

#[expect(clippy::disallowed_methods, reason = "a command asks the clock when it tells ages")]
pub fn now() -> DateTime<Utc> {
    Utc::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_come_one_a_line_or_in_a_list_and_are_found_again() {
        let fact = r#"{"entity": "a", "key": "b", "value": 1}"#;
        let places = |text: &str| -> Vec<String> {
            lines(text).unwrap().into_iter().map(|it| it.place).collect()
        };
        assert_eq!(places(&format!("{fact}\n\n{fact}\n")), ["line 1", "line 3"]);
        assert_eq!(places(&format!("\n[{fact},\n{fact}]")), ["item 1", "item 2"]);
        assert_eq!(places(""), [""; 0]);
        let wrong = lines(&format!("{fact}\n{{}}\n")).map(drop).unwrap_err().to_string();
        assert!(wrong.starts_with("line 2: missing field"), "{wrong}");
    }

    #[test]
    fn a_server_is_named_with_or_without_a_slash() {
        for base in ["https://idp.example", "https://idp.example/"] {
            assert_eq!(route(base).unwrap().as_str(), "https://idp.example/api/v1/facts");
        }
        assert_eq!(listed(&route("http://idp.internal:8080").unwrap()), ["idp.internal:8080"]);
        assert!(route("idp.example").is_err() && route("").is_err());
    }

    #[test]
    fn what_a_server_refused_is_repeated() {
        let told = |status, body: &str| answered(status, body.as_bytes()).map(drop);
        let refused = told(401, r#"{"error": {"code": "unauthorized", "message": "No."}}"#);
        assert_eq!(refused.unwrap_err().to_string(), "the server took nothing (401): No.");
        assert!(told(404, "nothing").unwrap_err().to_string().contains("check --url"));
        assert!(told(200, "<html>").unwrap_err().to_string().contains("check --url"));
    }
}
