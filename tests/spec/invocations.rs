//! What actions start elsewhere, at the wire: webhook, GitHub Actions, GitLab, Argo CD, and everything that can go wrong
//! between asking and knowing.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::Utc;
use idp::integrations::github::protection;
use idp::integrations::invocation::{
    self, Class, Means, NotSent, Order, Outcome, Receiver, Sent, Status, find, send, status,
};
use idp::integrations::webhook::signature;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::invocation_world::{
    APP_TOKEN, Asked, Fault, HEAD, OTHER, Office, REDEEM, SECRET, Said, Server, TOKEN, Vendor,
    fits, order, receiver,
};
use crate::scale::full_or;

const GITHUB: &str = "invoke: {github: acme/payments, workflow: restart.yml, ref: main, inputs: {service: '{{target.name}}', replicas: '{{inputs.replicas}}'}}";
const GITHUB_REDEEM: &str =
    "invoke: {github: acme/payments, workflow: restart.yml, ref: main, redeem: true}";
const GITLAB: &str =
    "invoke: {gitlab: acme/payments, ref: main, variables: {SERVICE: '{{target.name}}'}}";
const GITLAB_REDEEM: &str = "invoke: {gitlab: acme/payments, ref: main, redeem: true}";
const SYNC: &str = "invoke: {argocd: payments-prod, operation: sync}";
const ROLLBACK: &str = "invoke: {argocd: payments-prod, operation: rollback}";

/// A webhook at `server`.
fn webhook(server: &Server, more: &str) -> Receiver {
    receiver(&format!("invoke: {{webhook: '{}/restart', secret: ops{more}}}", server.url()))
}

/// `order` with what is fixed when it is asked for.
async fn pinned(receiver: &Receiver, office: &Office, mut order: Order) -> Order {
    order.pinned = invocation::pin(receiver, &office.means(), &order).await.unwrap();
    order
}

fn reference(sent: &Sent) -> String {
    match sent {
        Sent::Started { reference: Some(reference), .. } => reference.clone(),
        other => panic!("{other:?}"),
    }
}

fn is_unknown<T>(sent: &Result<T, NotSent>) -> bool {
    matches!(sent, Err(NotSent::Unknown { .. }))
}

// What goes over the wire.

#[tokio::test]
async fn a_webhook_is_signed_and_says_everything_of_the_order() {
    let server = Server::answering(|_| Said::status(202)).await;
    let office = Office::of(&server);
    let (webhook, mut order) = (webhook(&server, ""), order(7));
    order.callback = Some("https://idp.acme.example/api/v1/requests/7".into());
    let sent = send(&webhook, &office.means(), &order).await;
    assert_eq!(sent, Ok(Sent::Started { reference: None, url: None }));

    let heard = server.heard();
    let [asked] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!((&*asked.method, &*asked.path), ("POST", "/restart"));
    for (name, value) in [
        ("idempotency-key", &*order.key),
        ("x-idp-request", "7"),
        ("x-idp-intent", &order.intent),
        ("content-type", "application/json"),
    ] {
        assert_eq!(asked.headers[name], value, "{name}");
    }
    let (at, text) = (&asked.headers["x-idp-timestamp"], std::str::from_utf8(&asked.body).unwrap());
    assert_eq!(asked.headers["x-idp-signature"], signature(&SecretString::from(SECRET), at, text));
    let wanted = json!({
        "request": 7, "step": "restart", "action": "restart", "by": "user:default/ada",
        "target": "component:default/payment-api",
        "inputs": {"replicas": 3, "dry": true, "stage": "prod", "reason": "slow"},
        "intent": order.intent, "key": order.key, "callback": order.callback, "redeem": REDEEM,
    });
    assert_eq!(asked.json(), wanted);
}

#[tokio::test]
async fn the_answer_of_a_webhook_says_how_it_goes() {
    let started = |reference: Option<&str>, url: Option<&str>| {
        let own = |it: Option<&str>| it.map(str::to_string);
        Ok(Sent::Started { reference: own(reference), url: own(url) })
    };
    let finished = |outcome| Ok(Sent::Finished { outcome });
    for (said, wanted) in [
        (Said::status(204), started(None, None)),
        (Said::json(200, json!({})), started(None, None)),
        (
            Said::json(
                202,
                json!({"reference": "job-7", "url": "https://ops.example/7", "new": 1}),
            ),
            started(Some("job-7"), Some("https://ops.example/7")),
        ),
        (Said::json(202, json!({"url": "javascript:alert(1)"})), started(None, None)),
        (
            Said::json(200, json!({"status": "succeeded", "outputs": {"pods": 3}})),
            finished(Outcome::Succeeded {
                outputs: json!({"pods": 3}).as_object().cloned().unwrap(),
            }),
        ),
        (
            Said::json(200, json!({"status": "failed", "message": "no\nsuch service"})),
            finished(Outcome::Failed { why: "no such service.".into() }),
        ),
    ] {
        let answer = said.clone();
        let server = Server::answering(move |_| answer.clone()).await;
        let sent = send(&webhook(&server, ""), &Office::of(&server).means(), &order(1)).await;
        assert_eq!(sent, wanted, "{said:?}");
    }
}

#[tokio::test]
async fn a_run_is_started_found_followed_and_forgotten() {
    for (text, url) in
        [(GITHUB, "https://github.example/runs/1"), (GITLAB, "https://gitlab.example/p/1")]
    {
        let (vendor, server) = Vendor::start().await;
        let (office, receiver) = (Office::of(&server), receiver(text));
        let means = office.means();
        let order = pinned(&receiver, &office, order(1)).await;
        assert_eq!(order.pinned["commit"], HEAD);
        assert_eq!(find(&receiver, &means, &order).await, Ok(None));
        let sent = send(&receiver, &means, &order).await.unwrap();
        let Sent::Started { url: told, .. } = &sent else { panic!("{sent:?}") };
        assert_eq!(told.as_deref(), Some(url));
        assert_eq!(find(&receiver, &means, &order).await, Ok(Some(sent.clone())));

        let reference = reference(&sent);
        let follow = || status(&receiver, &means, &reference);
        let ends = |status: &str, conclusion: Option<&str>| {
            let run = &mut vendor.state.lock().unwrap().runs[0];
            (run.status, run.conclusion) = (status.into(), conclusion.map(str::to_string));
        };
        assert!(matches!(follow().await, Ok(Status::Running { .. })));
        let is_github = text == GITHUB;
        match is_github {
            true => ends("completed", Some("success")),
            false => ends("success", None),
        }
        let Ok(Status::Succeeded { outputs }) = follow().await else { panic!() };
        assert_eq!((&outputs["commit"], &outputs["url"]), (&json!(HEAD), &json!(url)));
        match is_github {
            true => ends("completed", Some("timed_out")),
            false => ends("failed", None),
        }
        assert!(matches!(follow().await, Ok(Status::Failed { .. })));
        vendor.state.lock().unwrap().runs.clear();
        assert_eq!(follow().await, Ok(Status::Gone));
    }
}

#[tokio::test]
async fn an_application_is_synchronised_to_the_revision_of_the_request() {
    let (vendor, server) = Vendor::start().await;
    let (office, sync) = (Office::of(&server), receiver(SYNC));
    let means = office.means();
    let order = pinned(&sync, &office, order(1)).await;
    assert_eq!(order.pinned["revisions"], json!([HEAD]));
    // Meanwhile its target moves on.
    vendor.state.lock().unwrap().app["status"]["sync"]["revision"] = OTHER.into();
    let sent = send(&sync, &means, &order).await.unwrap();
    let synced = vendor.state.lock().unwrap().syncs.clone();
    assert_eq!((synced.len(), &synced[0]["revision"]), (1, &json!(HEAD)));

    let reference = reference(&sent);
    let follow = || status(&sync, &means, &reference);
    assert!(matches!(follow().await, Ok(Status::Running { .. })));
    vendor.state.lock().unwrap().works("Running");
    assert!(matches!(follow().await, Ok(Status::Running { .. })));
    vendor.state.lock().unwrap().works("Succeeded");
    assert!(matches!(follow().await, Ok(Status::Succeeded { .. })));
    // Sent once more, it is what it was.
    assert_eq!(send(&sync, &means, &order).await, Ok(sent));
    assert_eq!(vendor.state.lock().unwrap().syncs.len(), 1);
    // The next operation takes its place.
    let other = json!({"sync": {"revision": OTHER}, "info": [{"name": "idp-key", "value": "x"}]});
    vendor.state.lock().unwrap().app["operation"] = other;
    vendor.state.lock().unwrap().works("Succeeded");
    assert_eq!(follow().await, Ok(Status::Gone));
}

#[tokio::test]
async fn an_application_is_rolled_back_to_what_was_there_before() {
    let (vendor, server) = Vendor::start().await;
    let (office, rollback) = (Office::of(&server), receiver(ROLLBACK));
    let means = office.means();
    let order = pinned(&rollback, &office, order(1)).await;
    assert_eq!(
        (&order.pinned["history"], &order.pinned["revisions"]),
        (&json!(4), &json!([OTHER]))
    );
    vendor.goes_wrong([Fault::After(Said::Cut)]);
    assert!(is_unknown(&send(&rollback, &means, &order).await));
    let sent = send(&rollback, &means, &order).await.unwrap();
    assert_eq!(
        vendor.state.lock().unwrap().syncs,
        [json!({"name": "payments-prod", "id": 4, "prune": false})]
    );
    vendor.state.lock().unwrap().works("Failed");
    let failed = status(&rollback, &means, &reference(&sent)).await;
    assert!(matches!(failed, Ok(Status::Failed { .. })), "{failed:?}");
}

#[tokio::test]
async fn a_revision_that_moves_is_not_synchronised_to() {
    let (_vendor, server) = Vendor::start().await;
    let office = Office::of(&server);
    let sync =
        receiver("invoke: {argocd: payments-prod, operation: sync, revision: '{{inputs.ref}}'}");
    let mut order = order(1);
    for (revision, is_fixed) in [("main", false), ("v1.4.0", true), (HEAD, true), ("-x", false)] {
        order.inputs.insert("ref".into(), revision.into());
        let pinned = invocation::pin(&sync, &office.means(), &order).await;
        assert_eq!(pinned.is_ok(), is_fixed, "{revision}: {pinned:?}");
    }
}

#[tokio::test]
async fn what_the_target_says_is_fixed_when_it_is_asked_for() {
    let (vendor, server) = Vendor::start().await;
    let office = Office::of(&server);
    let text = "invoke: {github: '{{target.annotations.github.com/project-slug}}', within: 'acme/*', workflow: restart.yml, ref: main}";
    let receiver = receiver(text);
    let mut order = pinned(&receiver, &office, order(1)).await;
    assert_eq!(receiver.place(&order).unwrap(), "acme/payments restart.yml@main");
    let say = |order: &mut Order, slug: &str| {
        let target = order.target.as_mut().unwrap();
        target.values["annotations"]["github.com/project-slug"] = slug.into();
    };
    say(&mut order, "acme/secrets");
    send(&receiver, &office.means(), &order).await.unwrap();
    assert!(server.heard().last().unwrap().path.starts_with("/repos/acme/payments/"));

    // The control: asked for anew, it is the other one, and one that is not meant is refused.
    order.pinned.clear();
    assert_eq!(receiver.place(&order).unwrap(), "acme/secrets restart.yml@main");
    for elsewhere in ["evil/payments", "acme/../evil/x", "acme"] {
        say(&mut order, elsewhere);
        let refused = invocation::pin(&receiver, &office.means(), &order).await;
        assert!(matches!(refused, Err(NotSent::Refused { .. })), "{elsewhere}");
    }
    assert_eq!(vendor.state.lock().unwrap().runs.len(), 1);
}

// C1, C2: whether it arrived is not known.

/// Sends until it is known, as dispatch does: by class. `looks` is whether a searchable one is looked for first,
/// `waits` whether the listing is given its time.
async fn until_known(
    (receiver, vendor): (&Receiver, &Vendor),
    means: &Means<'_>,
    order: &Order,
    (looks, waits): (bool, bool),
) -> Result<Sent, NotSent> {
    let mut last = None;
    for _ in 0..20 {
        match send(receiver, means, order).await {
            Err(NotSent::Unknown { why, .. }) => last = Some(NotSent::Unknown { why, wait: None }),
            known => return known,
        }
        if receiver.class() == Class::Searchable && looks {
            if waits {
                // The listing lag passes.
                let mut state = vendor.state.lock().unwrap();
                state.runs.iter_mut().for_each(|run| run.hidden_for = 0);
            }
            if let Some(sent) = find(receiver, means, order).await? {
                return Ok(sent);
            }
        }
        if receiver.class() == Class::Blind {
            break;
        }
    }
    Err(last.unwrap())
}

/// One in three answers is lost or wrong, before or after the effect.
fn fault(random: &mut StdRng) -> Option<Fault> {
    if random.random_range(0..3) != 0 {
        return None;
    }
    let status = [408, 500, 502, 503, 504][random.random_range(0..5)];
    Some(match random.random_range(0..4) {
        0 => Fault::After(Said::Cut),
        1 => Fault::After(Said::status(status)),
        2 => Fault::Before(Said::status(status)),
        _ => Fault::Before(Said::Cut),
    })
}

/// Orders under faults: those that were started twice, and those that never were.
async fn under_faults(text: &str, orders: u64, guards: (bool, bool)) -> (usize, usize) {
    let (vendor, server) = Vendor::start().await;
    vendor.state.lock().unwrap().lag = 3;
    let (office, receiver) = (Office::of(&server), receiver(text));
    let mut random = StdRng::seed_from_u64(17);
    let (mut double, mut lost) = (0, 0);
    for number in 1..=orders {
        let order = pinned(&receiver, &office, order(number)).await;
        vendor.goes_wrong((0..3).map_while(|_| fault(&mut random)));
        let sent = until_known((&receiver, &vendor), &office.means(), &order, guards).await;
        assert!(sent.is_ok(), "{sent:?}");
        let mut state = vendor.state.lock().unwrap();
        if !state.app["operation"].is_null() {
            state.works("Succeeded");
        }
        drop(state);
        vendor.faults.lock().unwrap().clear();
        match vendor.runs_of(&order) {
            0 => lost += 1,
            1 => {}
            _ => double += 1,
        }
        if number % 50 == 0 {
            // What is long over is in no listing of what began lately.
            vendor.state.lock().unwrap().runs.clear();
        }
    }
    (double, lost)
}

/// A test for each: at full count they take minutes, and do so at once.
async fn loses_nothing(name: &str, text: &str) {
    let orders = full_or(5_000, 25) as u64;
    let (double, lost) = under_faults(text, orders, (true, true)).await;
    println!(
        "REL C1 C2 {name}: {orders} orders under lost and wrong answers, {double} double, {lost} lost"
    );
    assert_eq!((double, lost), (0, 0), "{name}");
}

#[tokio::test]
async fn a_lost_answer_of_github_starts_nothing_twice_and_loses_nothing() {
    loses_nothing("github", GITHUB).await;
    // The controls: sent again without looking, and looked for before the listing can have it.
    for guards in [(false, false), (true, false)] {
        let (double, _) = under_faults(GITHUB, 25, guards).await;
        assert!(double > 0, "{guards:?}");
    }
}

#[tokio::test]
async fn a_lost_answer_of_gitlab_starts_nothing_twice_and_loses_nothing() {
    loses_nothing("gitlab", GITLAB).await;
}

#[tokio::test]
async fn a_lost_answer_of_argo_cd_starts_nothing_twice_and_loses_nothing() {
    loses_nothing("argocd", SYNC).await;
}

#[tokio::test]
async fn of_runs_that_redeem_one_works() {
    let (vendor, server) = Vendor::start().await;
    for text in [GITHUB_REDEEM, GITLAB_REDEEM] {
        let (office, receiver) = (Office::of(&server), receiver(text));
        assert_eq!(receiver.class(), Class::Redeem);
        let order = pinned(&receiver, &office, order(9)).await;
        vendor.goes_wrong([Fault::After(Said::Cut), Fault::After(Said::status(502))]);
        until_known((&receiver, &vendor), &office.means(), &order, (false, false)).await.unwrap();
        let runs = std::mem::take(&mut vendor.state.lock().unwrap().runs);
        assert_eq!(runs.len(), 3);
        // The redeem endpoint takes each token once: all three have the same.
        assert!(runs.iter().all(|run| run.inputs.to_string().contains(REDEEM)));
    }
}

/// A receiver that knows keys, and how often each was done.
async fn keeper(
    faults: Arc<Mutex<Vec<Fault>>>,
    knows_keys: bool,
) -> (Server, Arc<Mutex<Vec<String>>>) {
    let done: Arc<Mutex<Vec<String>>> = Arc::default();
    let doing = done.clone();
    let server = Server::answering(move |asked| {
        let fault = faults.lock().unwrap().pop();
        if let Some(Fault::Before(said)) = fault {
            return said;
        }
        let (key, mut done) = (asked.headers["idempotency-key"].clone(), doing.lock().unwrap());
        if !knows_keys || !done.contains(&key) {
            done.push(key);
        }
        match fault {
            Some(Fault::After(said)) => said,
            _ => Said::status(202),
        }
    });
    (server.await, done)
}

#[tokio::test]
async fn a_webhook_that_knows_keys_is_done_once_and_a_blind_one_is_sent_once() {
    let orders = full_or(5_000, 25) as u64;
    let idle = Vendor::default();
    let mut random = StdRng::seed_from_u64(23);
    for (knows_keys, more, name) in
        [(true, "", "webhook"), (false, ", blind: true", "blind webhook")]
    {
        let faults: Arc<Mutex<Vec<Fault>>> = Arc::default();
        let (server, done) = keeper(faults.clone(), knows_keys).await;
        let (office, webhook) = (Office::of(&server), webhook(&server, more));
        let (mut double, mut lost, mut asked) = (0, 0, 0);
        for number in 1..=orders {
            let order = order(number);
            *faults.lock().unwrap() = (0..3).map_while(|_| fault(&mut random)).collect();
            let sent = until_known((&webhook, &idle), &office.means(), &order, (true, true)).await;
            faults.lock().unwrap().clear();
            let times = done.lock().unwrap().iter().filter(|key| **key == order.key).count();
            double += usize::from(times > 1);
            // Of a blind one a person is asked, who finds the truth.
            asked += usize::from(is_unknown(&sent));
            lost += usize::from(times == 0 && !is_unknown(&sent));
        }
        println!(
            "REL C1 C2 {name}: {orders} orders, {double} double, {lost} lost, {asked} times a person is asked"
        );
        assert_eq!((double, lost), (0, 0), "{name}");
        assert_eq!(asked > 0, !knows_keys);
    }
    // The control: what knows no keys, and is not said to be blind.
    let faults = Arc::new(Mutex::new(vec![Fault::After(Said::Cut)]));
    let (server, done) = keeper(faults, false).await;
    let (office, webhook) = (Office::of(&server), webhook(&server, ""));
    until_known((&webhook, &idle), &office.means(), &order(1), (true, true)).await.unwrap();
    assert_eq!(done.lock().unwrap().len(), 2);
}

// C3: told to wait.

#[tokio::test]
async fn a_receiver_that_wants_to_be_left_alone_says_how_long() {
    let soon = (Utc::now() + chrono::TimeDelta::seconds(60)).to_rfc2822().replace("+0000", "GMT");
    for (text, least, most) in [
        ("7", Some(7), 7),
        (soon.as_str(), Some(50), 60),
        ("1000000000", Some(900), 900),
        ("18446744073709551616", Some(900), 900),
        ("later", None, 0),
    ] {
        for status in [409, 425, 429] {
            let said = Said::status(status).with("retry-after", text);
            let server = Server::answering(move |_| said.clone()).await;
            let sent = send(&webhook(&server, ""), &Office::of(&server).means(), &order(1)).await;
            let Err(NotSent::NotNow { wait, .. }) = sent else {
                panic!("{status} {text}: {sent:?}")
            };
            let wait = wait.map(|it| it.as_secs());
            assert!(wait >= least && wait.unwrap_or(0) <= most, "{text}: {wait:?}");
        }
    }
    println!("REL C3 15 answers that ask to wait, each understood, none for longer than 15 min");
}

#[tokio::test]
async fn who_asked_github_too_often_waits_until_it_counts_anew() {
    let (vendor, server) = Vendor::start().await;
    let (office, receiver) = (Office::of(&server), receiver(GITHUB));
    let order = pinned(&receiver, &office, order(1)).await;
    let reset = (Utc::now().timestamp() + 40).to_string();
    let said = Said::json(403, json!({"message": "API rate limit exceeded"}));
    let said = said.with("x-ratelimit-remaining", "0").with("x-ratelimit-reset", &reset);
    vendor.goes_wrong([Fault::Before(said)]);
    let sent = send(&receiver, &office.means(), &order).await;
    let Err(NotSent::NotNow { wait: Some(wait), .. }) = sent else { panic!("{sent:?}") };
    assert!((30..=40).contains(&wait.as_secs()), "{wait:?}");
}

// C4, C5: answers that do not end, and that are none.

#[tokio::test]
async fn an_answer_that_does_not_end_is_left_in_time_and_nobody_knows() {
    let endless = {
        let mut bytes = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        bytes.resize(3 << 20, b' ');
        Said::Raw(bytes)
    };
    for said in [Said::Silence, Said::Drips, endless] {
        let answer = said.clone();
        let server = Server::answering(move |_| answer.clone()).await;
        let mut office = Office::of(&server);
        office.patience = Duration::from_millis(300);
        let started = Instant::now();
        let sent = send(&webhook(&server, ""), &office.means(), &order(1)).await;
        assert!(is_unknown(&sent), "{sent:?}");
        assert!(started.elapsed() < Duration::from_secs(10));
    }
    println!("REL C4 silence, slow-loris, endless body: each left in time and within 1 MiB");
}

#[tokio::test]
async fn what_nobody_listens_for_was_not_started() {
    let server = Server::answering(|_| Said::Cut).await;
    let (office, order) = (Office::of(&server), order(1));
    // Its TLS ends before it began.
    let deaf = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let https = format!("https://{}", deaf.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = deaf.accept().await {
            drop(stream);
        }
    });
    for address in ["http://127.0.0.1:1", "http://localhost:1", &https] {
        let webhook = receiver(&format!("invoke: {{webhook: '{address}/x', secret: ops}}"));
        let sent = send(&webhook, &office.means(), &order).await;
        assert!(matches!(sent, Err(NotSent::NotNow { .. })), "{address}: {sent:?}");
    }
    // The control: a connection that was made and cut.
    assert!(is_unknown(&send(&webhook(&server, ""), &office.means(), &order).await));
}

/// Answers with 200 that are none.
fn malformed() -> Vec<Said> {
    let json = |body: &[u8]| Said::Http {
        status: 200,
        headers: vec![("content-type".into(), "application/json".into())],
        body: body.to_vec(),
    };
    let mut all: Vec<Said> = [
        &b"{"[..],
        b"[]",
        b"null",
        b"7",
        b"\"started\"",
        b"{\"status\": 7}",
        b"{\"status\":\"done\"}",
        b"nul",
        b"{\"status\":\"failed\",\"status\":\"succeeded\"}",
        b"{\"outputs\":[]}",
        b"\xff\xfe",
        b"{\"a\":1}{",
        b"<html>Sign in</html>",
        b"{\"status\":\"succeeded\"",
        b"{\"reference\":{}}",
        b"{\"url\":[]}",
        b"\0",
        b"NaN",
    ]
    .into_iter()
    .map(json)
    .collect();
    all.push(json("[".repeat(100_000).as_bytes()));
    all.push(json(&"{\"a\":".repeat(100_000).into_bytes()));
    let html = |body: &str| Said::Http {
        status: 200,
        headers: vec![("content-type".into(), "text/html; charset=utf-7".into())],
        body: body.into(),
    };
    all.extend([html("<!doctype html>"), html("hello"), html("{")]);
    let raw = |text: &str| Said::Raw(text.as_bytes().to_vec());
    all.extend([
        raw("HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{}"),
        raw("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}"),
        raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"),
        raw("HTTP/9.9 200 OK\r\n\r\n"),
        raw("hello"),
        raw("\r\n\r\n"),
        raw("HTTP/1.1 abc\r\n\r\n"),
        raw(&format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "a".repeat(1 << 20))),
    ]);
    // Every beginning of a good answer is none.
    let good = b"{\"status\":\"succeeded\",\"outputs\":{\"a\":1},\"message\":\"it is done\",\"reference\":\"1\",\"url\":\"https://a.example/\"}";
    all.extend((1..good.len()).map(|end| json(&good[..end])));
    // A bomb: a thousand times as large once it is unpacked.
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut packed, &vec![b' '; 8 << 20]).unwrap();
    all.push(Said::Http {
        status: 200,
        headers: vec![("content-encoding".into(), "gzip".into())],
        body: packed.finish().unwrap(),
    });
    all
}

#[tokio::test]
async fn an_answer_that_is_none_leaves_it_unknown() {
    let shapes = malformed();
    let next: Arc<Mutex<Option<Said>>> = Arc::default();
    let answering = next.clone();
    let server = Server::answering(move |_| answering.lock().unwrap().clone().unwrap()).await;
    let (mut office, webhook, order) = (Office::of(&server), webhook(&server, ""), order(1));
    office.patience = Duration::from_secs(5);
    for said in &shapes {
        *next.lock().unwrap() = Some(said.clone());
        let sent = send(&webhook, &office.means(), &order).await;
        assert!(is_unknown(&sent), "{said:?}: {sent:?}");
    }
    // The same of the vendors, whose answers to questions leave nothing started.
    let (mut asked, step) = (0, full_or(1, 6));
    for text in [GITHUB, GITLAB, SYNC] {
        let (vendor, server) = Vendor::start().await;
        let (mut office, receiver) = (Office::of(&server), receiver(text));
        office.patience = Duration::from_secs(5);
        let order = pinned(&receiver, &office, crate::invocation_world::order(1)).await;
        for said in shapes.iter().step_by(step) {
            vendor.goes_wrong([Fault::Before(said.clone())]);
            let sent = send(&receiver, &office.means(), &order).await;
            assert!(is_unknown(&sent), "{text} {said:?}: {sent:?}");
            asked += 1;
        }
    }
    println!(
        "REL C5 {} malformed answers, {asked} of them to vendors: 0 panics, each unknown",
        shapes.len()
    );
    assert!(shapes.len() > 100);
}

// C7: led elsewhere.

#[tokio::test]
async fn nobody_is_followed_elsewhere() {
    let elsewhere = Server::answering(|_| Said::status(200)).await;
    let mut asked = 0;
    for status in [301, 302, 307, 308] {
        let said = Said::status(status).with("location", &elsewhere.url());
        let server = Server::answering({
            let said = said.clone();
            move |_| said.clone()
        })
        .await;
        let sent = send(&webhook(&server, ""), &Office::of(&server).means(), &order(1)).await;
        assert!(matches!(sent, Err(NotSent::Refused { .. })), "{status}: {sent:?}");
        for text in [GITHUB, GITLAB, SYNC] {
            let (vendor, server) = Vendor::start().await;
            let (office, receiver) = (Office::of(&server), receiver(text));
            let order = pinned(&receiver, &office, order(1)).await;
            vendor.goes_wrong([Fault::Before(said.clone())]);
            let sent = send(&receiver, &office.means(), &order).await;
            assert!(matches!(sent, Err(NotSent::Refused { .. })), "{status}: {sent:?}");
            asked += 1;
        }
        asked += 1;
    }
    println!("REL C7 {asked} redirects, {} followed", elsewhere.heard().len());
    assert!(elsewhere.heard().is_empty());
}

// C8: GitHub's peculiarities.

#[tokio::test]
async fn an_older_github_says_no_run_and_it_is_found_once_it_is_listed() {
    let (vendor, server) = Vendor::start().await;
    let (office, receiver) = (Office::of(&server), receiver(GITHUB));
    let means = office.means();
    {
        let mut state = vendor.state.lock().unwrap();
        (state.tells_runs, state.lag) = (false, 2);
    }
    let order = pinned(&receiver, &office, order(1)).await;
    let sent = send(&receiver, &means, &order).await;
    assert_eq!(sent, Ok(Sent::Started { reference: None, url: None }));
    assert_eq!(find(&receiver, &means, &order).await, Ok(None));
    assert_eq!(find(&receiver, &means, &order).await, Ok(None));
    let found = find(&receiver, &means, &order).await.unwrap().unwrap();
    assert!(matches!(
        status(&receiver, &means, &reference(&found)).await,
        Ok(Status::Running { .. })
    ));
    assert_eq!(vendor.state.lock().unwrap().runs.len(), 1);
    println!(
        "REL C8 204 without a run, `return_run_details` refused, listed late: 1 run, found by its key"
    );
}

#[tokio::test]
async fn a_refusal_that_is_not_about_details_is_not_tried_again() {
    let (vendor, server) = Vendor::start().await;
    let (office, receiver) = (Office::of(&server), receiver(GITHUB));
    let order = pinned(&receiver, &office, order(1)).await;
    let said = Said::json(422, json!({"message": "Unexpected inputs provided: [\"idp_key\"]"}));
    vendor.goes_wrong([Fault::Before(said)]);
    let refused = send(&receiver, &office.means(), &order).await.unwrap_err().to_string();
    assert!(refused.contains("Declare the inputs `idp_key`"), "{refused}");
    let dispatches = server.heard().iter().filter(|it| it.path.ends_with("/dispatches")).count();
    assert_eq!(dispatches, 1);
}

#[tokio::test]
async fn a_run_that_does_not_say_whose_it_is_may_be_ours() {
    let (vendor, server) = Vendor::start().await;
    let (office, receiver) = (Office::of(&server), receiver(GITHUB));
    vendor.state.lock().unwrap().names_runs = false;
    let order = pinned(&receiver, &office, order(1)).await;
    vendor.goes_wrong([Fault::After(Said::Cut)]);
    let sent = until_known((&receiver, &vendor), &office.means(), &order, (true, true)).await;
    let Err(NotSent::Unknown { why, .. }) = &sent else { panic!("{sent:?}") };
    assert!(
        why.contains("https://github.example/runs/1") && why.contains("inputs.idp_key"),
        "{why}"
    );
    assert_eq!(vendor.state.lock().unwrap().runs.len(), 1);
}

// C9, C10: Argo CD is at work; GitLab started it and says 500.

#[tokio::test]
async fn an_application_that_is_at_work_is_not_disturbed() {
    let (vendor, server) = Vendor::start().await;
    let (office, sync) = (Office::of(&server), receiver(SYNC));
    let order = pinned(&sync, &office, order(1)).await;
    let by = |by: Value| json!({"phase": "Running", "operation": {"sync": {"revision": OTHER}, "initiatedBy": by}});
    for (state, wanted) in [
        (by(json!({"username": "bob"})), "An operation of bob"),
        (by(json!({"automated": true})), "An automatic sync"),
        (json!({"phase": "Terminating"}), "Another operation"),
    ] {
        vendor.state.lock().unwrap().app["status"]["operationState"] = state;
        let sent = send(&sync, &office.means(), &order).await;
        assert_eq!(sent, Err(NotSent::Busy { holder: wanted.into() }));
    }
    // It begins between the look and the order.
    vendor.state.lock().unwrap().app["status"]["operationState"] = Value::Null;
    let message = "another operation is already in progress";
    let said = Said::json(400, json!({"error": message, "code": 9, "message": message}));
    vendor.goes_wrong([Fault::Before(said)]);
    let sent = send(&sync, &office.means(), &order).await;
    assert!(matches!(sent, Err(NotSent::Busy { .. })), "{sent:?}");
    let (syncs, posts) = (vendor.state.lock().unwrap().syncs.len(), posts(&server));
    println!("REL C9 4 times at work for somebody else: {syncs} syncs, {posts} order sent");
    assert_eq!((syncs, posts), (0, 1));
}

fn posts(server: &Server) -> usize {
    server.heard().iter().filter(|it| it.method == "POST").count()
}

#[tokio::test]
async fn a_pipeline_that_gitlab_made_and_answered_500_to_is_found() {
    let (vendor, server) = Vendor::start().await;
    let (office, receiver) = (Office::of(&server), receiver(GITLAB));
    let orders = full_or(1_000, 10) as u64;
    for number in 1..=orders {
        let order = pinned(&receiver, &office, order(number)).await;
        vendor.goes_wrong([Fault::After(Said::json(
            500,
            json!({"message": "500 Internal Server Error"}),
        ))]);
        let sent = until_known((&receiver, &vendor), &office.means(), &order, (true, true)).await;
        assert!(reference(&sent.unwrap()).starts_with("acme/payments#"));
    }
    let double = vendor.state.lock().unwrap().runs.len() - orders as usize;
    println!("REL C10 {orders} pipelines made and answered 500: {double} double");
    assert_eq!(double, 0);
}

// C14: no rights any more.

#[tokio::test]
async fn who_has_no_rights_any_more_stops_and_says_who_can_mend_it() {
    let mut most = 0;
    for status in [401, 403] {
        for (text, mend) in [
            (GITHUB, "`actions: write`"),
            (GITLAB, "role Developer"),
            (SYNC, "project role"),
            ("", "the same secret"),
        ] {
            let (vendor, server) = Vendor::start().await;
            let office = Office::of(&server);
            // It repeats everything that it was sent.
            let ours = if text.is_empty() { SECRET } else { TOKEN };
            let said =
                Said::json(status, json!({"message": format!("bad credentials {ours} {REDEEM}")}));
            let (refused, calls) = match text {
                "" => {
                    let server = Server::answering(move |_| said.clone()).await;
                    let office = Office::of(&server);
                    let sent = send(&webhook(&server, ""), &office.means(), &order(1)).await;
                    (sent.unwrap_err(), server.heard().len())
                }
                _ => {
                    let receiver = receiver(text);
                    let order = pinned(&receiver, &office, order(1)).await;
                    let before = server.heard().len();
                    vendor.goes_wrong([Fault::Before(said)]);
                    let sent = send(&receiver, &office.means(), &order).await;
                    (sent.unwrap_err(), server.heard().len() - before)
                }
            };
            most = most.max(calls);
            assert!(matches!(refused, NotSent::Refused { .. }), "{refused:?}");
            let said = refused.to_string();
            assert!(said.contains(mend), "{said}");
            assert!(!said.contains("canary"), "{said}");
        }
    }
    println!(
        "REL C14 8 times refused: at most {most} calls, 1 of them an order; no secret in the words"
    );
    assert!(most <= 3);
}

// E7: the branch moved.

#[tokio::test]
async fn what_was_not_approved_does_not_run() {
    let rounds = full_or(1_250, 5);
    let mut others = 0;
    for text in [GITHUB, GITLAB] {
        for number in 0..rounds as u64 {
            let (vendor, server) = Vendor::start().await;
            let (office, receiver) = (Office::of(&server), receiver(text));
            let means = office.means();
            let order = pinned(&receiver, &office, order(number)).await;
            // Moved before it is sent.
            vendor.state.lock().unwrap().head = OTHER.into();
            let refused = send(&receiver, &means, &order).await.unwrap_err().to_string();
            assert!(refused.contains("0a0a0a0") && refused.contains("1b1b1b1"), "{refused}");
            // Moved between the look and the start.
            {
                let mut state = vendor.state.lock().unwrap();
                (state.head, state.raced) = (HEAD.into(), Some(OTHER.into()));
            }
            let sent = send(&receiver, &means, &order).await.unwrap();
            let failed = status(&receiver, &means, &reference(&sent)).await;
            let Ok(Status::Failed { why }) = failed else { panic!("{failed:?}") };
            assert!(why.contains("It is cancelled"), "{why}");
            let runs = vendor.state.lock().unwrap().runs.clone();
            others += runs.iter().filter(|run| run.sha != HEAD && run.status != "canceled").count();
            // What was not fixed is not sent.
            let nothing = Order { pinned: Default::default(), ..order };
            let sent = send(&receiver, &means, &nothing).await;
            assert!(matches!(sent, Err(NotSent::Refused { .. })), "{sent:?}");
        }
    }
    println!(
        "REL E7 {} moved branches: {others} runs of a commit that was not approved",
        4 * rounds
    );
    assert_eq!(others, 0);
}

// G11: what people type.

fn hostile() -> Vec<String> {
    let seeds = [
        "; rm -rf /",
        "$(id)",
        "`id`",
        "--upload-pack=touch /tmp/x",
        "-x",
        "a\nb",
        "a\r\nX-Evil: 1",
        "${{ secrets.TOKEN }}",
        "\"}, \"ref\": \"evil\", \"x\": {\"",
        "' or 1=1 --",
        "{{request.key}}",
        "{{#each inputs}}{{/each}}",
        "%0a%0d",
        "\0",
        "../../etc/passwd",
        "\u{202e}gnp.exe",
        "\u{1b}[31m",
        "&& curl evil",
        "|tee",
        "> /dev/null",
        "<script>",
        "\\",
        "\"",
        "\u{feff}",
        "null",
        "true",
        "1e400",
        "\u{10ffff}",
        "é",
        "e\u{301}",
        "🏴",
        "!!python/object",
        "*anchor",
        "&a",
        "#",
        "",
        " ",
        "\t",
        "a b",
        "%",
        "%2e%2e",
        "$IFS",
        "$CI_JOB_TOKEN",
        "@file",
        "=cmd|' /C calc'!A0",
        "{\"a\":1}",
        "[1]",
    ];
    let mut all: Vec<String> = seeds.iter().map(|it| it.to_string()).collect();
    for (number, seed) in seeds.iter().enumerate() {
        all.push(format!("payment{seed}api"));
        all.push(format!("{seed}{}", seeds[(number * 7 + 3) % seeds.len()]));
        all.push(seed.repeat(3));
        all.push(format!("{seed}{}", "x".repeat(1_000)));
    }
    all
}

#[tokio::test]
async fn what_people_type_arrives_byte_for_byte_and_is_nothing_else() {
    let heard: Arc<Mutex<Option<Asked>>> = Arc::default();
    let hearing = heard.clone();
    let server = Server::answering(move |asked| {
        *hearing.lock().unwrap() = Some(asked.clone());
        Said::status(202)
    })
    .await;
    let office = Office::of(&server);
    let webhook = receiver(&format!(
        "invoke: {{webhook: '{}/a/{{{{inputs.reason}}}}/b?c={{{{inputs.reason}}}}', secret: ops, body: {{one: '{{{{inputs.reason}}}}', two: ['x {{{{inputs.reason}}}} y']}}}}",
        server.url()
    ));
    let (github, gitlab) = (
        receiver(
            "invoke: {github: acme/payments, workflow: restart.yml, ref: main, inputs: {reason: '{{inputs.reason}}'}}",
        ),
        receiver(
            "invoke: {gitlab: acme/payments, ref: main, variables: {REASON: '{{inputs.reason}}'}}",
        ),
    );
    let (vendor, vendors) = Vendor::start().await;
    let at_vendors = Office::of(&vendors);
    let (hostile, step) = (hostile(), full_or(1, 4));
    let mut exact = 0;
    for (number, text) in hostile.iter().enumerate() {
        let mut order = order(number as u64);
        order.inputs.insert("reason".into(), json!(text));
        let sent = send(&webhook, &office.means(), &order).await;
        if text.chars().all(|it| it == '.') && !text.is_empty() {
            assert!(matches!(sent, Err(NotSent::Refused { .. })));
        } else {
            sent.unwrap_or_else(|error| panic!("{text:?}: {error}"));
            let asked = heard.lock().unwrap().take().unwrap();
            assert_eq!(asked.json(), json!({"one": text, "two": [format!("x {text} y")]}));
            assert_eq!(asked.query("c").as_deref(), Some(text.as_str()));
            assert_eq!(asked.bare_path().split('/').count(), 4, "{}", asked.path);
            exact += 1;
        }
        if number % step != 0 {
            continue;
        }
        for receiver in [&github, &gitlab] {
            let order = pinned_or_refused(receiver, &at_vendors, order.clone()).await;
            let Some(order) = order else {
                assert!(text.contains('$'), "{text:?}");
                continue;
            };
            send(receiver, &at_vendors.means(), &order).await.unwrap();
            let run = vendor.state.lock().unwrap().runs.pop().unwrap();
            let told = match receiver {
                Receiver::GitHub(_) => run.inputs["reason"].clone(),
                _ => run.inputs[1]["value"].clone(),
            };
            assert_eq!(told, json!(text));
            exact += 1;
        }
    }
    println!(
        "REL G11 {} hostile texts, {exact} times byte for byte at the receiver",
        hostile.len()
    );
}

async fn pinned_or_refused(
    receiver: &Receiver,
    office: &Office,
    mut order: Order,
) -> Option<Order> {
    order.pinned = invocation::pin(receiver, &office.means(), &order).await.ok()?;
    Some(order)
}

#[tokio::test]
async fn a_ref_that_is_none_is_never_asked_for() {
    let (_vendor, server) = Vendor::start().await;
    let office = Office::of(&server);
    let mut refused = 0;
    for text in [
        "invoke: {github: acme/payments, workflow: restart.yml, ref: '{{inputs.ref}}'}",
        "invoke: {gitlab: acme/payments, ref: '{{inputs.ref}}'}",
    ] {
        let receiver = receiver(text);
        for hostile in hostile() {
            let mut order = order(1);
            order.inputs.insert("ref".into(), json!(hostile));
            let pinned = invocation::pin(&receiver, &office.means(), &order).await;
            assert!(matches!(pinned, Err(NotSent::Refused { .. })), "{hostile:?}: {pinned:?}");
            refused += 1;
        }
    }
    let odd: Vec<String> =
        server.heard().into_iter().map(|it| it.path).filter(|it| it.contains("..")).collect();
    println!("REL G11 {refused} hostile refs, each refused");
    assert!(odd.is_empty(), "{odd:?}");
}

#[tokio::test]
async fn a_secret_that_is_asked_for_goes_to_the_webhook_and_into_no_message() {
    let server = Server::answering(|asked| {
        let text = String::from_utf8(asked.body.clone()).unwrap();
        Said::json(
            400,
            json!({ "message": format!("I do not like {text} of {:?}", asked.headers) }),
        )
    })
    .await;
    let office = Office::of(&server);
    let webhook = webhook(&server, ", body: {password: '{{inputs.password}}'}");
    let mut order = order(1);
    order.inputs.insert("password".into(), json!("canary-of-the-input"));
    let refused = send(&webhook, &office.means(), &order).await.unwrap_err().to_string();
    assert!(refused.contains("I do not like") && !refused.contains("canary"), "{refused}");
    assert!(refused.chars().count() < 400, "{refused}");
    assert_eq!(server.heard()[0].json(), json!({"password": "canary-of-the-input"}));
}

// As a GitHub App.

/// A key of this run; `None` where there is no openssl: said once.
fn app_key() -> Option<(String, Vec<u8>)> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("app.pem");
    let openssl = |arguments: &[&str]| {
        let made = std::process::Command::new("openssl").args(arguments).output();
        made.ok().filter(|it| it.status.success()).map(|it| it.stdout)
    };
    let path = file.to_str().unwrap();
    if openssl(&["genrsa", "-traditional", "-out", path, "2048"]).is_none() {
        println!("skipped: there is no openssl to make a key with");
        return None;
    }
    let public = openssl(&["rsa", "-in", path, "-RSAPublicKey_out", "-outform", "DER"]).unwrap();
    Some((std::fs::read_to_string(&file).unwrap(), public))
}

#[tokio::test]
async fn an_app_has_a_token_for_one_repository_until_it_ends_or_is_refused() {
    let Some((pem, public)) = app_key() else { return };
    let (vendor, server) = Vendor::start().await;
    let given = Arc::new(Mutex::new(Vec::new()));
    let giving = given.clone();
    // In front of GitHub: what the App itself asks for.
    let front = Server::answering(move |asked| {
        let claim = asked.headers["authorization"].strip_prefix("Bearer ").unwrap().to_string();
        if claim == APP_TOKEN {
            return vendor.answer(asked);
        }
        assert!(is_signed(&claim, &public), "{claim}");
        fits(asked).unwrap();
        match asked.path.as_str() {
            "/repos/acme/payments/installation" => Said::json(200, json!({"id": 99})),
            "/app/installations/99/access_tokens" => {
                giving.lock().unwrap().push(asked.json());
                let until = Utc::now() + chrono::TimeDelta::hours(1);
                Said::json(201, json!({"token": APP_TOKEN, "expires_at": until}))
            }
            _ => Said::status(404),
        }
    })
    .await;
    let mut office = Office::of(&front);
    office.is_app(&pem);
    let receiver = receiver(GITHUB);
    for number in 1..=3 {
        let order = pinned(&receiver, &office, order(number)).await;
        send(&receiver, &office.means(), &order).await.unwrap();
    }
    let wanted = json!({"repositories": ["payments"], "permissions": {"actions": "write", "contents": "read"}});
    assert_eq!(*given.lock().unwrap(), [wanted]);
    // Close to its end there is a new one.
    let later = Means { now: Utc::now() + chrono::TimeDelta::minutes(56), ..office.means() };
    invocation::pin(&receiver, &later, &order(4)).await.unwrap();
    assert_eq!(given.lock().unwrap().len(), 2);
    drop(server);

    // Where it is not installed, an admin can mend it.
    let receiver = crate::invocation_world::receiver(
        "invoke: {github: acme/other, workflow: a.yml, ref: main}",
    );
    let refused = invocation::pin(&receiver, &office.means(), &order(5)).await.unwrap_err();
    assert!(refused.to_string().contains("not installed in `acme/other`"), "{refused}");
}

#[tokio::test]
async fn a_deployment_that_waits_is_answered_with_its_run() {
    let server = Server::answering(|asked| match asked.path.contains("/runs/17/") {
        true => Said::status(204),
        false => Said::json(404, json!({"message": "Not Found"})),
    })
    .await;
    let office = Office::of(&server);
    let asked = json!({
        "action": "requested", "environment": "production",
        // Ours goes to GitHub as the settings name it, not to where the message says.
        "deployment_callback_url":
            "https://elsewhere.example/repos/acme/payments/actions/runs/17/deployment_protection_rule",
        "deployment": {
            "id": 5, "sha": HEAD, "ref": "main", "creator": {"login": "ada"},
            "created_at": "2026-03-02T09:00:00Z",
        },
        "repository": {"full_name": "acme/payments"},
    });
    let mut waiting = protection::read(asked.to_string().as_bytes()).unwrap();
    protection::review(&office.means(), &waiting, true, "Approved by bob.").await.unwrap();
    let heard = server.heard();
    assert_eq!(heard[0].path, "/repos/acme/payments/actions/runs/17/deployment_protection_rule");
    let wanted = json!({"environment_name": "production", "state": "approved", "comment": "Approved by bob."});
    assert_eq!(heard[0].json(), wanted);
    waiting.run = 18;
    let gone = protection::review(&office.means(), &waiting, false, "Denied.").await;
    assert!(matches!(gone, Err(NotSent::Refused { .. })), "{gone:?}");
}

/// Whether `claim` is a JWT that the App signed, of now.
fn is_signed(claim: &str, public: &[u8]) -> bool {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let (signed, signature) = claim.rsplit_once('.').unwrap();
    let (_, claims) = signed.split_once('.').unwrap();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    let (from, until) = (claims["iat"].as_i64().unwrap(), claims["exp"].as_i64().unwrap());
    assert!(from <= until && until - from <= 600, "{claims}");
    let key = ring::signature::UnparsedPublicKey::new(
        &ring::signature::RSA_PKCS1_2048_8192_SHA256,
        public,
    );
    key.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).is_ok()
}
