//! `POST /api/v1/facts`: what programs send, and what they are told; held to the API's own description.

use std::sync::Arc;

use axum::http::header;
use idp::chat::ANSWER_WITHIN;
use idp::config::SecretReference;
use idp::facts::push::{LIST_MAX, OBSERVATIONS_MAX, TEXT_CHARS_MAX};
use idp::facts::{Fact, flow};
use idp::web::BODY_BYTES_MAX;
use jsonschema::Validator;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::world::{World, gets};

const TOKEN: &str = "ci-token-of-the-world-0123456789";

/// A world whose source `ci` has a token, and the description that the API gives of itself.
struct Api {
    world: World,
    description: Value,
    _tokens: TempDir,
}

/// What came back, its head too.
#[derive(Debug)]
struct Said {
    status: u16,
    headers: axum::http::HeaderMap,
    body: String,
}

impl Said {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }
}

impl Api {
    async fn new() -> Api {
        let tokens = tempfile::tempdir().unwrap();
        let file = tokens.path().join("ci");
        std::fs::write(&file, TOKEN).unwrap();
        let world = World::with(ANSWER_WITHIN, |settings| {
            let ci = settings.facts.0.iter_mut().find(|it| it.name == "ci").unwrap();
            ci.token = Some(SecretReference::File(file));
        })
        .await;
        let description = gets(world.address, "/api/v1/openapi.json").await.json();
        Api { world, description, _tokens: tokens }
    }

    /// `body` is sent as it is, by who shows `token`.
    async fn sends(&self, token: &str, kind: &str, body: impl Into<String>) -> Said {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client
            .post(format!("http://{}/api/v1/facts", self.world.address))
            .header(header::CONTENT_TYPE, kind)
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .body(body.into());
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Said { status, headers, body: answer.text().await.unwrap() }
    }

    /// What `ci` reports; request and answer are as described.
    async fn reports(&self, facts: Value) -> Said {
        let report = json!({ "facts": facts });
        self.is("Report", &report);
        let said = self.sends(TOKEN, "application/json", report.to_string()).await;
        self.is_described(&said);
        said
    }

    /// The answer has the schema that the description gives for its status.
    fn is_described(&self, said: &Said) {
        let responses = &self.description["paths"]["/api/v1/facts"]["post"]["responses"];
        let mut response = &responses[said.status.to_string()];
        assert!(response.is_object(), "no {} is described", said.status);
        if let Some(name) = response["$ref"].as_str() {
            response = self.description.pointer(name.trim_start_matches('#')).unwrap();
        }
        let schema = &response["content"]["application/json"]["schema"]["$ref"];
        let name = schema.as_str().unwrap().rsplit('/').next().unwrap();
        self.is(name, &said.json());
        assert_eq!(said.headers[header::CONTENT_TYPE], "application/json");
    }

    fn is(&self, schema: &str, value: &Value) {
        let errors: Vec<String> =
            self.schema(schema).iter_errors(value).map(|it| it.to_string()).collect();
        assert_eq!(errors, [""; 0], "{schema}: {value:#}");
    }

    fn schema(&self, name: &str) -> Validator {
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$ref": format!("#/components/schemas/{name}"),
            "components": self.description["components"],
        });
        jsonschema::options().should_validate_formats(true).build(&schema).unwrap()
    }

    async fn facts(&self, name: &str) -> Vec<Fact> {
        let snapshot = self.world.app.catalog.snapshot();
        let entity = snapshot.find(&format!("component:default/{name}")).unwrap();
        flow::facts_of(&self.world.fresh.pool, &entity.reference).await.unwrap()
    }
}

#[tokio::test]
async fn a_report_is_answered_fact_by_fact_and_both_are_as_described() {
    let api = Api::new().await;
    let report = json!([
        { "entity": "invoicing", "key": "coverage", "value": 61, "observed_at": "2026-01-01T00:00:00Z" },
        { "entity": "component:default/Invoicing", "key": "ci.green", "value": true },
        { "entity": "invoicng", "key": "coverage", "value": 1 },
        { "entity": "invoicing", "key": "covrage", "value": 1 },
        { "entity": "invoicing", "key": "coverage", "value": "61" },
        { "entity": "invoicing", "key": "coverage", "value": 60, "observed_at": "2025-01-01T00:00:00Z" },
        { "entity": "invoicing", "key": "ci.green", "value": false, "observed_at": "2999-01-01T00:00:00Z" },
        { "entity": "invoicing", "key": "vulnerabilities.critical", "value": 0 },
    ]);
    let said = api.reports(report.clone()).await;
    assert_eq!(said.status, 200, "{said:?}");
    let said = said.json();
    let words: Vec<&str> = said["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["result"].as_str().unwrap())
        .collect();
    let expected =
        ["taken", "taken", "refused", "refused", "refused", "older", "refused", "refused"];
    assert_eq!(words, expected);
    assert_eq!(
        (&said["taken"], &said["older"], &said["refused"]),
        (&json!(2), &json!(1), &json!(5))
    );
    assert_eq!(said["results"][5]["known"], "2026-01-01T00:00:00Z");
    let codes: Vec<&str> =
        [2, 3, 4, 6, 7].map(|it| said["results"][it]["code"].as_str().unwrap()).into();
    assert_eq!(codes, ["unknown_entity", "unknown_key", "value", "future", "unknown_key"]);
    let facts = api.facts("invoicing").await;
    assert_eq!(facts.len(), 2, "a key of another source is not taken: {facts:?}");

    let again = api.reports(report).await.json();
    assert_eq!(again["results"][0], json!({ "result": "unchanged" }));
    assert_eq!(api.reports(json!([])).await.json()["results"], json!([]));
    let said = api.world.types("U0ACME0013", "facts invoicing").await.to_string();
    assert!(said.contains("coverage") && said.contains("61"), "{said}");
}

#[tokio::test]
async fn whoever_has_no_token_is_told_nothing_else_and_read_no_further() {
    let api = Api::new().await;
    let fact = json!({ "facts": [{ "entity": "invoicing", "key": "coverage", "value": 1 }] });
    let mut bodies = Vec::new();
    for token in ["", "wrong", &TOKEN[1..], &format!("{TOKEN}0"), &TOKEN.to_uppercase()] {
        let said = api.sends(token, "application/json", fact.to_string()).await;
        assert_eq!(said.status, 401, "{token}");
        assert_eq!(said.headers[header::WWW_AUTHENTICATE], "Bearer");
        api.is_described(&said);
        bodies.push(said.body);
    }
    // What else is wrong with it is not told, and a body of any size not read.
    for (kind, body) in
        [("text/plain", "{".into()), ("application/json", " ".repeat(BODY_BYTES_MAX + 1))]
    {
        let said = api.sends("wrong", kind, body).await;
        assert_eq!(said.status, 401);
        bodies.push(said.body);
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    assert_eq!(api.facts("invoicing").await, []);
    // The control: with it the same is taken.
    assert_eq!(api.sends(TOKEN, "application/json", fact.to_string()).await.status, 200);
}

#[tokio::test]
async fn a_source_that_the_settings_no_longer_list_is_refused_at_once() {
    let api = Api::new().await;
    assert_eq!(api.reports(json!([])).await.status, 200);
    let mut settings = (*api.world.app.settings.load_full()).clone();
    settings.facts.0.retain(|source| source.name != "ci");
    api.world.app.settings.store(Arc::new(settings));
    assert_eq!(api.reports(json!([])).await.status, 401);
}

#[tokio::test]
async fn what_is_no_report_is_refused_with_the_place_of_what_is_wrong() {
    let api = Api::new().await;
    let fact = json!({ "entity": "invoicing", "key": "coverage", "value": 1 });
    let body = json!({ "facts": [fact, { "entity": "invoicing", "key": "coverage" }] });
    let said = api.sends(TOKEN, "application/json", body.to_string()).await;
    api.is_described(&said);
    assert_eq!((said.status, &said.json()["error"]["item"]), (400, &json!(1)));
    assert!(said.body.contains("missing field `value`"), "{said:?}");
    assert_eq!(api.facts("invoicing").await, [], "nothing of it is taken");

    let many = json!({ "facts": vec![&fact; OBSERVATIONS_MAX + 1] });
    for (kind, body, status) in [
        ("application/json", "{\"facts\":".to_string(), 400),
        ("application/json", "\u{feff}[]".to_string(), 400),
        ("application/json", format!("{}{}", "[".repeat(9_999), "]".repeat(9_999)), 400),
        ("text/plain", body.to_string(), 415),
        ("application/x-ndjson", fact.to_string(), 415),
        ("application/json", many.to_string(), 413),
        ("application/json", " ".repeat(BODY_BYTES_MAX + 1), 413),
        ("application/json; charset=utf-8", json!({ "facts": [] }).to_string(), 200),
    ] {
        let said = api.sends(TOKEN, kind, body).await;
        api.is_described(&said);
        assert_eq!(said.status, status, "{said:?}");
    }
}

#[tokio::test]
async fn a_report_while_the_database_is_away_is_to_be_sent_again() {
    let api = Api::new().await;
    let fact = json!([{ "entity": "invoicing", "key": "coverage", "value": 1 }]);
    api.world.app.db.store(Arc::new(None));
    let before = api.reports(fact.clone()).await;
    api.world.app.db.store(Arc::new(Some(api.world.fresh.db.clone())));
    assert_eq!(api.reports(fact.clone()).await.status, 200, "the control");
    api.world.fresh.db.pool.close().await;
    let after = api.reports(fact).await;
    for said in [before, after] {
        assert_eq!(said.status, 503, "{said:?}");
        let seconds: u32 = said.headers[header::RETRY_AFTER].to_str().unwrap().parse().unwrap();
        assert!((1..=60).contains(&seconds));
        assert_eq!(said.json()["error"]["code"], "unavailable");
    }
}

#[tokio::test]
async fn the_description_is_whole_and_says_the_limits_that_hold() {
    let api = Api::new().await;
    let description = &api.description;
    assert_eq!(description["openapi"], "3.1.0");
    let schemas = &description["components"]["schemas"];
    for name in schemas.as_object().unwrap().keys() {
        api.schema(name);
    }
    assert_eq!(schemas["Report"]["properties"]["facts"]["maxItems"], OBSERVATIONS_MAX);
    assert_eq!(schemas["Reported"]["properties"]["results"]["maxItems"], OBSERVATIONS_MAX);
    let example = &description["paths"]["/api/v1/facts"]["post"]["requestBody"]["content"]["application/json"]
        ["example"];
    api.is("Report", example);
    for reference in references(description) {
        assert!(description.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
    }
    // The control: what is not as described is noticed.
    for wrong in [json!({}), json!({ "facts": [{ "entity": 1, "key": "a", "value": 1 }] })] {
        assert!(!api.schema("Report").is_valid(&wrong));
    }
    let page = std::fs::read_to_string("docs/facts.md").unwrap();
    for limit in [OBSERVATIONS_MAX, TEXT_CHARS_MAX, LIST_MAX] {
        let written = match limit {
            1_000 => "1,000".to_string(),
            other => other.to_string(),
        };
        assert!(page.contains(&written), "docs/facts.md does not tell {written}");
    }
}

/// Every `$ref` in `value`.
fn references(value: &Value) -> Vec<&str> {
    match value {
        Value::Object(fields) => {
            let own = fields.get("$ref").and_then(Value::as_str);
            own.into_iter().chain(fields.values().flat_map(references)).collect()
        }
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn what_others_report_is_shown_as_they_wrote_it_on_both_platforms() {
    let api = Api::new().await;
    let hostile = "<!channel> *b* [a](https://evil.example) `c` @everyone <https://evil.example|x>";
    let mut settings = (*api.world.app.settings.load_full()).clone();
    let ci = settings.facts.0.iter_mut().find(|it| it.name == "ci").unwrap();
    let mut note = ci.keys["coverage"].clone();
    note.kind = idp::facts::Kind::Text;
    ci.keys.insert("note".into(), note);
    api.world.app.settings.store(Arc::new(settings));
    let fact = json!([{ "entity": "invoicing", "key": "note", "value": hostile }]);
    assert_eq!(api.reports(fact).await.json()["taken"], 1);

    let slack = api.world.types("U0ACME0013", "facts invoicing").await;
    let as_is = slack.to_string();
    assert!(as_is.contains("<!channel>") && !as_is.contains("\"mrkdwn\""), "{slack:#}");
    let discord = api.world.calls("facts", &[("entity", json!("invoicing"))]).await;
    assert_eq!(discord["data"]["allowed_mentions"]["parse"], json!([]), "{discord:#}");
    let said = discord.to_string();
    assert!(!said.contains("[a](https://evil.example)"), "{said}");
}
