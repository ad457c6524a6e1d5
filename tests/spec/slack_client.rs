//! What the bot says to Slack of its own accord, against a server that speaks as Slack documents.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use idp::chat::slack::client::{Identity, Posted, SlackApi, SlackError};
use serde_json::{Value, json};
use url::Url;

use crate::address::address;

/// Longer than any turn.
const PATIENCE: Duration = Duration::from_secs(30);
const TOKEN: &str = "xoxb-canary-of-the-token";

#[tokio::test]
async fn a_message_goes_to_its_channel_and_thread_with_the_bots_token() {
    let slack =
        Slack::answering(vec![ok(json!({"ok": true, "channel": "C1", "ts": "17.5", "new": 1}))])
            .await;
    let message = json!({"text": "hello", "blocks": []});
    let posted = slack.api().post_message("C1", Some("16.1"), &message, PATIENCE).await.unwrap();
    assert_eq!(posted, Posted { channel: "C1".into(), ts: "17.5".into() });

    let heard = slack.heard();
    assert_eq!(heard[0].path, "/api/chat.postMessage");
    assert_eq!(heard[0].authorization.as_deref(), Some(format!("Bearer {TOKEN}").as_str()));
    assert_eq!(
        heard[0].body,
        json!({"text": "hello", "blocks": [], "channel": "C1", "thread_ts": "16.1"})
    );
}

#[tokio::test]
async fn a_late_answer_goes_to_its_address_without_the_token() {
    let bare = || (StatusCode::OK, "ok").into_response();
    let slack = Slack::answering(vec![bare(), ok(json!({"ok": true}))]).await;
    for _ in 0..2 {
        slack
            .api()
            .respond(&slack.url("commands/T1/2/secret"), &json!({"text": "hello"}))
            .await
            .unwrap();
    }
    assert_eq!(slack.heard()[0].path, "/api/commands/T1/2/secret");
    assert_eq!(slack.heard()[0].authorization, None);
}

#[tokio::test]
async fn an_address_that_is_used_up_is_gone() {
    let expired = (StatusCode::NOT_FOUND, "expired_url").into_response();
    let used = ok(json!({"ok": false, "error": "used_url"}));
    let slack = Slack::answering(vec![expired, used]).await;
    for code in ["404", "used_url"] {
        let error = slack.api().respond(&slack.url("commands/1"), &json!({"text": "late"})).await;
        assert_eq!(error, Err(SlackError::Gone { code: code.into() }));
    }
}

#[tokio::test]
async fn the_bot_knows_its_workspace_and_its_own_name() {
    let said = json!({"ok": true, "team_id": "T1", "user_id": "U1", "bot_id": "B1", "url": "https://acme.slack.com/"});
    let slack = Slack::answering(vec![ok(said)]).await;
    let identity = Identity { team_id: "T1".into(), bot_user_id: "U1".into(), enterprise_id: None };
    assert_eq!(slack.api().auth_test().await, Ok(identity));
}

#[tokio::test]
async fn a_message_is_held_back_for_as_long_as_slack_asks() {
    let limited = (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "2")], "").into_response();
    let posted = || ok(json!({"ok": true, "channel": "C1", "ts": "1"}));
    let slack = Slack::answering(vec![limited, posted(), posted()]).await;
    let api = slack.api();
    api.post_message("C1", None, &json!({"text": "hello"}), PATIENCE).await.unwrap();
    // Another channel waits as well: the limit is the workspace's.
    api.post_message("C2", None, &json!({"text": "hello"}), PATIENCE).await.unwrap();
    let heard = slack.heard();
    assert!(heard[1].at - heard[0].at >= Duration::from_millis(1900), "sent inside the window");
    assert_eq!(heard.len(), 3);
}

#[tokio::test]
async fn a_pause_that_makes_the_message_stale_is_an_error_and_nothing_more_is_sent() {
    let limited =
        (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1000000000")], "").into_response();
    let slack = Slack::answering(vec![limited]).await;
    let api = slack.api();
    for _ in 0..5 {
        let error = api.post_message("C1", None, &json!({"text": "hello"}), PATIENCE).await;
        assert!(matches!(error, Err(SlackError::Limited { .. })), "{error:?}");
    }
    assert_eq!(slack.heard().len(), 1);
}

#[tokio::test]
async fn a_channel_hears_one_message_a_second_and_others_need_not_wait() {
    let posted = || ok(json!({"ok": true, "channel": "C1", "ts": "1"}));
    let slack = Slack::answering(vec![posted(), posted(), posted()]).await;
    let api = slack.api();
    let hello = json!({"text": "hello"});
    let started = Instant::now();
    let (first, second, other) = tokio::join!(
        api.post_message("C1", None, &hello, PATIENCE),
        api.post_message("C1", None, &hello, PATIENCE),
        api.post_message("C2", None, &hello, PATIENCE),
    );
    assert!(first.is_ok() && second.is_ok() && other.is_ok());
    let at = |channel: &str| -> Vec<Instant> {
        slack.heard().iter().filter(|it| it.body["channel"] == channel).map(|it| it.at).collect()
    };
    // From before the first was sent: it may have been on its way for a while.
    assert!(at("C1")[1] - started >= Duration::from_secs(1));
    assert!(at("C2")[0] < at("C1")[1], "the other channel waited");
}

#[tokio::test]
async fn a_message_that_may_have_arrived_is_not_sent_again() {
    let broken = (StatusCode::BAD_GATEWAY, "<html>secret</html>").into_response();
    let slack = Slack::answering(vec![broken, ok(json!("nonsense"))]).await;
    for _ in 0..2 {
        let error = slack
            .api()
            .post_message("C1", None, &json!({"text": "x"}), PATIENCE)
            .await
            .unwrap_err();
        assert!(matches!(error, SlackError::Unavailable { .. }), "{error:?}");
    }
    assert_eq!(slack.heard().len(), 2, "one request each");
}

#[tokio::test]
async fn what_slack_refuses_is_told_by_its_code_and_by_nothing_else() {
    let refused = |code: &str| ok(json!({"ok": false, "error": code, "needed": TOKEN}));
    let slack = Slack::answering(vec![
        refused("not_in_channel"),
        refused("token_revoked"),
        refused("invalid_blocks"),
    ])
    .await;
    for said in ["/invite @idp", "SLACK_BOT_TOKEN", "invalid_blocks"] {
        let error = slack
            .api()
            .post_message("C1", None, &json!({"text": "private"}), PATIENCE)
            .await
            .unwrap_err();
        let told = format!("{error} {error:?}");
        assert!(told.contains(said), "{told}");
        assert!(!told.contains(TOKEN) && !told.contains("private"), "{told}");
    }
}

#[tokio::test]
async fn without_a_token_nothing_is_posted() {
    let slack = Slack::answering(Vec::new()).await;
    let api = SlackApi::new(&slack.api_url, None, &[]).unwrap();
    let error = api.post_message("C1", None, &json!({"text": "hello"}), PATIENCE).await;
    assert!(matches!(error, Err(SlackError::Token { .. })), "{error:?}");
    assert!(slack.heard().is_empty());
}

#[tokio::test]
async fn a_slack_that_is_not_there_is_an_error_in_words() {
    let nobody = address();
    let url = Url::parse(&format!("http://{nobody}/api/")).unwrap();
    let api = SlackApi::new(&url, Some(TOKEN.into()), &[]).unwrap();
    let error = api.auth_test().await.unwrap_err();
    assert!(
        matches!(&error, SlackError::Away { why } if why.contains("could not be reached")),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_late_answer_goes_to_nobody_inside_our_network() {
    let real = Url::parse("https://slack.com/api/").unwrap();
    let api = SlackApi::new(&real, Some(TOKEN.into()), &[]).unwrap();
    let slack = Slack::answering(Vec::new()).await;
    for url in [
        slack.url("x"),
        "https://10.0.0.1/x".into(),
        "file:///etc/passwd".into(),
        "nonsense".into(),
    ] {
        assert!(api.respond(&url, &json!({"text": "hello"})).await.is_err(), "{url}");
    }
    assert!(slack.heard().is_empty());
}

/// A Slack that gives its answers in turn, and remembers what it was asked.
struct Slack {
    api_url: Url,
    script: Arc<Script>,
}

#[derive(Default)]
struct Script {
    answers: Mutex<Vec<Response>>,
    heard: Mutex<Vec<Heard>>,
}

#[derive(Clone)]
struct Heard {
    at: Instant,
    path: String,
    authorization: Option<String>,
    body: Value,
}

impl Slack {
    async fn answering(mut answers: Vec<Response>) -> Slack {
        answers.reverse();
        let script = Arc::new(Script { answers: Mutex::new(answers), ..Script::default() });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api_url =
            Url::parse(&format!("http://{}/api/", listener.local_addr().unwrap())).unwrap();
        let router = Router::new().fallback(answer).with_state(script.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Slack { api_url, script }
    }

    fn api(&self) -> SlackApi {
        SlackApi::new(&self.api_url, Some(TOKEN.into()), &[]).unwrap()
    }

    fn url(&self, path: &str) -> String {
        self.api_url.join(path).unwrap().to_string()
    }

    fn heard(&self) -> Vec<Heard> {
        self.script.heard.lock().unwrap().clone()
    }
}

async fn answer(
    State(script): State<Arc<Script>>,
    uri: Uri,
    headers: HeaderMap,
    axum::Json(body): axum::Json<Value>,
) -> Response {
    let authorization = headers.get("authorization").map(|it| it.to_str().unwrap().to_string());
    let heard = Heard { at: Instant::now(), path: uri.path().into(), authorization, body };
    script.heard.lock().unwrap().push(heard);
    let answer = script.answers.lock().unwrap().pop();
    answer.unwrap_or_else(|| StatusCode::IM_A_TEAPOT.into_response())
}

fn ok(body: Value) -> Response {
    axum::Json(body).into_response()
}
