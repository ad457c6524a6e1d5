//! What people do with a request besides saying yes or no: hand it on, be called, look at it afterwards, try it again.

use idp::conversation::{Click, Input};

use crate::actions::{ASKER, Doing, OWNER, PLATFORM, code, time_ends};

/// Somebody who may decide on nothing by themselves.
const OTHER: &str = "tomas-novak";
const ANOTHER: &str = "ingrid-holm";

impl Doing {
    /// What is said below the cards of a request, the oldest first.
    async fn lines(&self, id: i64) -> Vec<String> {
        sqlx::query_scalar(
            "select distinct on (line) line || ' ' || card_line.reply
             from idp.card_line
             join idp.card on card.id = card_id
             where key = $1
             order by line, card_line.id",
        )
        .bind(format!("request {id}"))
        .fetch_all(self.db())
        .await
        .unwrap()
    }

    /// What is said is said in Slack.
    fn connects(&self) {
        self.app().connected.store(std::sync::Arc::new(vec![idp::conversation::Platform::Slack]));
    }

    async fn runs(&self, sql: &str) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_string())).execute(self.db()).await.map(drop)
    }

    /// Whether `who` is refused `text`, and by which code.
    async fn refused(&self, who: &str, text: &str) -> String {
        let reply = self.says(who, text).await;
        code(&reply).to_string()
    }

    /// The link of `who` is gone, and everybody has heard of it.
    async fn unlinks(&self, who: &str) {
        idp::access::flow::remove(self.db(), &self.account(who)).await.unwrap();
        self.app().links.set(idp::access::flow::load(self.db()).await.unwrap());
    }
}

#[tokio::test]
async fn who_may_decide_hands_that_to_somebody_and_of_the_two_one_counts() {
    let doing = Doing::acme().await;
    doing.connects();
    let id = doing.asks("handed on").await;
    assert_eq!(doing.refused(OTHER, &format!("approve {id}")).await, "not_allowed");
    let told = doing.does(OWNER, &format!("requests delegate {id} {OTHER} I am on a train")).await;
    assert!(told.markdown.contains("Tomáš Novák"), "{}", told.markdown);
    let shown = doing.does(ASKER, &format!("requests show {id}")).await.markdown;
    assert!(shown.contains("lets") && shown.contains("I am on a train"), "{shown}");
    let lines = doing.lines(id).await;
    assert!(
        lines.iter().any(|it| it.contains("lets you decide") && it.contains("idp-person:")),
        "{lines:?}"
    );
    let logged = "select count(*) from idp.audit where kind = 'request.delegated'
        and actor = 'user:default/zoe-laurent' and body ->> 'to' = 'user:default/tomas-novak'";
    assert_eq!(doing.count(logged).await, 1);

    assert_eq!(doing.refused(OWNER, &format!("approve {id}")).await, "settled");
    let one = doing.does(OTHER, &format!("approve {id}")).await;
    assert!(one.markdown.contains("1 of 2"), "{}", one.markdown);
    doing.does(PLATFORM, &format!("approve {id}")).await;
    assert_eq!(doing.state(id).await, "approved");
    doing.works().await;
    assert_eq!(doing.ops.counts(), (1, 1));

    // A no of whoever handed it on ends it all the same.
    let id = doing.asks("denied all the same").await;
    doing.does(OWNER, &format!("requests delegate {id} {OTHER}")).await;
    doing.does(OWNER, &format!("deny {id} no")).await;
    assert_eq!(doing.state(id).await, "denied");
}

#[tokio::test]
async fn a_decision_is_handed_to_nobody_who_must_not_have_it() {
    let doing = Doing::acme().await;
    let id = doing.asks("to whom").await;
    let refused = async |who: &str, to: &str| {
        doing.refused(who, &format!("requests delegate {id} {to}")).await
    };
    assert_eq!(refused(OWNER, ASKER).await, "not_allowed", "who asked for it");
    assert_eq!(refused(OWNER, OWNER).await, "not_allowed", "themselves");
    assert_eq!(refused(ASKER, OTHER).await, "not_allowed", "their own request");
    assert_eq!(refused(OTHER, ANOTHER).await, "not_allowed", "nobody whom it asks");
    assert_eq!(refused(OWNER, "nobody-at-all").await, "unknown_entity");
    assert_eq!(refused(OWNER, "").await, "missing_argument");
    assert_eq!(refused(OWNER, "freya-olsen").await, "", "the control");
    assert_eq!(refused(OWNER, OTHER).await, "settled", "twice");
    assert_eq!(refused("freya-olsen", OTHER).await, "not_allowed", "a second hop");
    assert_eq!(
        refused(PLATFORM, "freya-olsen").await,
        "not_allowed",
        "one who decides for another"
    );
    assert_eq!(refused(PLATFORM, OWNER).await, "not_allowed", "one who handed theirs on");
    doing.does(PLATFORM, &format!("approve {id}")).await;
    assert_eq!(refused(PLATFORM, OTHER).await, "settled", "after a vote");

    let voted = doing.asks("voted").await;
    doing.does(PLATFORM, &format!("approve {voted}")).await;
    let to_voter = format!("requests delegate {voted} {PLATFORM}");
    assert_eq!(doing.refused(OWNER, &to_voter).await, "not_allowed", "one who has voted");
    doing.does(ASKER, &format!("cancel {voted}")).await;
    let late = format!("requests delegate {voted} {OTHER}");
    assert_eq!(doing.refused(OWNER, &late).await, "settled", "what has ended");
}

#[tokio::test]
async fn a_decision_that_is_handed_on_a_moment_too_late_is_told_so() {
    let doing = Doing::acme().await;
    let id = doing.asks("a moment too late").await;
    doing.runs(&time_ends("before", "delegation")).await.unwrap();
    let late = doing.says(OWNER, &format!("requests delegate {id} {OTHER}")).await;
    assert_eq!(code(&late), "settled", "{}", late.markdown);
    assert!(late.markdown.contains("in time"), "{}", late.markdown);
    assert_eq!(doing.count("select count(*) from idp.delegation").await, 0);
}

#[tokio::test]
async fn who_lost_the_right_hands_nothing_on_any_more() {
    let doing = Doing::acme().await;
    let id = doing.asks("lost").await;
    doing.does(OWNER, &format!("requests delegate {id} {OTHER}")).await;
    let account = doing.account(OWNER);
    doing.unlinks(OWNER).await;
    assert_eq!(doing.refused(OTHER, &format!("approve {id}")).await, "not_allowed");
    assert_eq!(doing.refused(OTHER, &format!("deny {id} no")).await, "not_allowed");
    assert_eq!(doing.count("select count(*) from idp.vote").await, 0);
    // The control: with the right it counts.
    let line = serde_json::json!({ "platform": "slack", "tenant": account.tenant,
        "user_id": account.user_id, "user": format!("user:default/{OWNER}") });
    crate::asking::import_links(doing.app(), doing.db(), vec![line]).await;
    doing.does(OTHER, &format!("approve {id}")).await;
}

#[tokio::test]
async fn what_is_of_high_risk_is_handed_on_only_where_its_file_says_so() {
    let risky = "risk: high\napprove: {by: [owner, {who: group:platform}]";
    let doing = Doing::with(&format!("{risky}}}\n")).await;
    let id = doing.asks("risky").await;
    let hand = |id: i64| format!("requests delegate {id} {OTHER}");
    assert_eq!(doing.refused(OWNER, &hand(id)).await, "not_allowed");
    doing.defines(&crate::actions::action(&doing.url, &format!("{risky}, delegate: true}}\n")));
    let id = doing.asks("risky, and said so").await;
    doing.does(OWNER, &hand(id)).await;
}

#[tokio::test]
async fn the_card_lets_one_choose_who_decides() {
    let doing = Doing::acme().await;
    let id = doing.asks("by a form").await;
    let shown = doing.does(OWNER, &format!("requests show {id}")).await.markdown;
    assert!(shown.contains("[Delegate]"), "{shown}");
    let idp::conversation::Invocation { address, .. } = crate::asking::invocation("");
    let (speaker, words) = (doing.account(OWNER), format!("requests delegate {id}"));
    let click = Click { speaker, address, words };
    let form = doing.app().form(&click).unwrap().unwrap();
    let field = &form.fields[0];
    assert_eq!((form.fields.len(), &field.input, field.required), (1, &Input::Suggested, true));
    let filled = [(field.name.clone(), OTHER.to_string())];
    let words = doing.app().filled(&form.command, &filled).unwrap();
    assert_eq!(words, format!("requests delegate {id} {OTHER}"));
    let query = idp::conversation::Query {
        speaker: doing.account(OWNER),
        command: form.command.clone(),
        field: field.name.clone(),
        typed: "novak".into(),
    };
    let names = doing.app().suggestions(&query);
    assert!(names.iter().any(|it| it.value == OTHER), "{names:?}");
}

/// Whatever a program believes, the tables hand on nothing that must not be handed on.
#[tokio::test]
async fn the_tables_hand_on_no_decision_that_is_nobodys_to_give() {
    let doing = Doing::acme().await;
    let (id, done) = (doing.asks("pending").await, doing.approved("done").await);
    doing.does(PLATFORM, &format!("approve {id}")).await;
    let hand = |id: i64, from: &str, to: &str, intent: &str| {
        format!(
            "insert into idp.delegation (request, person, delegate, intent, factors, platform, tenant, account, generation)
             select {id}, 'user:default/{from}', 'user:default/{to}', {intent}, '{{0}}', 'slack', 'T', 'U', 1
             from idp.request where id = {id}"
        )
    };
    doing.runs(&hand(id, "a", "b", "intent")).await.unwrap();
    let vote = |person: &str, verdict: &str| {
        format!(
            "insert into idp.vote (request, person, verdict, intent, factors, platform, tenant, account, generation, proof)
             select id, 'user:default/{person}', '{verdict}', intent, '{{0}}', 'slack', 'T', 'U', 1, 'click'
             from idp.request where id = {id}"
        )
    };
    let forbidden = [
        ("to oneself", hand(id, "c", "c", "intent")),
        ("to who asked", hand(id, "c", ASKER, "intent")),
        ("by who asked", hand(id, ASKER, "c", "intent")),
        ("by who has voted", hand(id, PLATFORM, "c", "intent")),
        ("to who has voted", hand(id, "c", PLATFORM, "intent")),
        ("twice", hand(id, "a", "c", "intent")),
        ("for two", hand(id, "c", "b", "intent")),
        ("a second hop", hand(id, "b", "c", "intent")),
        ("to who handed theirs on", hand(id, "c", "a", "intent")),
        ("of something else", hand(id, "c", "d", "sha256('x')")),
        ("what has ended", hand(done, "c", "d", "intent")),
        ("a yes of who handed it on", vote("a", "approve")),
        (
            "another delegate",
            format!("update idp.delegation set delegate = 'x' where request = {id}"),
        ),
        ("nothing handed on", format!("delete from idp.delegation where request = {id}")),
    ];
    for (what, sql) in &forbidden {
        assert!(doing.runs(sql).await.is_err(), "{what}");
    }
    // The control: what is theirs to give is taken, and so is a yes of whom it was given to.
    doing.runs(&hand(id, "c", "d", "intent")).await.unwrap();
    doing.runs(&vote("b", "approve")).await.unwrap();
    println!("REL TABLES delegation {} steps that must not be: 0 taken", forbidden.len());
}

/// Who is on call first for what Payments owns, and who next.
const FIRST: &str = "marco-bianchi";
const NEXT: &str = "freya-olsen";

/// A request waits for an owner and for who is on call: FIRST, then NEXT.
async fn on_call(approve: &str) -> Doing {
    let doing = Doing::with(&format!("approve: {{{approve}}}\n")).await;
    doing.connects();
    let rota = format!(
        "name: payments\nfor: [payments]\nzone: UTC\nlevels:\n  - schedules: [{{people: [{FIRST}]}}]\n  - after: 15m\n    schedules: [{{people: [{NEXT}]}}]\n"
    );
    let rota = idp::on_call::file::read(&rota, "r.yaml").unwrap();
    doing.app().on_call.store(std::sync::Arc::new(idp::on_call::Rotas::new(vec![rota])));
    doing
}

impl Doing {
    /// Ends what nobody decided on in time, and calls whom it is time to call; how much there was.
    pub async fn ticks(&self) -> usize {
        let office = self.app().office(self.db());
        idp::actions::flow::tick(&office.desk()).await.unwrap()
    }

    async fn level(&self, id: i64) -> i64 {
        self.count(&format!("select level::bigint from idp.request where id = {id}")).await
    }
}

#[tokio::test]
async fn what_waits_for_long_is_said_to_the_next_level_on_call_once_and_they_count() {
    let doing = on_call("by: [owner, on-call], within: 4h, escalate: 1h").await;
    let id = doing.asks("waits").await;
    assert_eq!(doing.refused(NEXT, &format!("approve {id}")).await, "not_allowed");
    doing.ticks().await;
    assert_eq!(doing.level(id).await, 1, "its time has not come");
    let due = "select count(*) from idp.request
        where escalate_at - requested_at between interval '59 min' and interval '61 min'";
    assert_eq!(doing.count(due).await, 1);
    let time_passes = "update idp.request set escalate_at = clock_timestamp()";
    doing.runs(time_passes).await.unwrap();
    tokio::join!(doing.ticks(), doing.ticks(), doing.ticks());
    assert_eq!(doing.level(id).await, 2);
    // There is no third level: nothing more is said, whatever runs.
    doing.ticks().await;
    doing
        .runs(
            "update idp.request set escalate_at = clock_timestamp() where escalate_at is not null",
        )
        .await
        .unwrap();
    doing.ticks().await;
    assert_eq!(doing.level(id).await, 2);
    let logged = "select count(*) from idp.audit where kind = 'request.escalated'";
    assert_eq!(doing.count(logged).await, 1);
    let lines = doing.lines(id).await;
    let said: Vec<&String> = lines.iter().filter(|it| it.contains("level 2")).collect();
    assert_eq!(said.len(), 1, "{lines:?}");
    let account = doing.account(NEXT).user_id;
    assert!(said[0].contains(&format!("idp-person:slack={account}")), "{said:?}");
    let told = format!("select count(*) from idp.card where person = '{account}'");
    assert_eq!(doing.count(&told).await, 1, "they have the card");

    doing.does(NEXT, &format!("approve {id}")).await;
    doing.does(OWNER, &format!("approve {id}")).await;
    assert_eq!(doing.state(id).await, "approved");
}

#[tokio::test]
async fn nobody_more_is_called_than_could_bring_it_further() {
    let doing = on_call("by: [owner, on-call], within: 4h").await;
    let default = "select count(*) from idp.request
        where escalate_at - requested_at between interval '179 min' and interval '181 min'";
    let id = doing.asks("who is on call has said yes").await;
    assert_eq!(doing.count(default).await, 1, "three quarters of four hours");
    doing.does(FIRST, &format!("approve {id}")).await;
    let denied = doing.asks("denied").await;
    doing.does(FIRST, &format!("deny {denied} no")).await;
    let open = doing.asks("the control").await;
    doing.runs("update idp.request set escalate_at = clock_timestamp()").await.unwrap();
    doing.ticks().await;
    let levels = [doing.level(id).await, doing.level(denied).await, doing.level(open).await];
    assert_eq!(levels, [1, 1, 2]);
    for wrong in ["level = 4", "level = 1"] {
        let sql = format!("update idp.request set {wrong} where id = {open}");
        assert!(doing.runs(&sql).await.is_err(), "{wrong}");
    }
    let ended = format!("update idp.request set level = 2 where id = {denied}");
    assert!(doing.runs(&ended).await.is_err());
    // Where nobody on call is asked, nobody is called.
    let doing = on_call("by: [owner]").await;
    doing.asks("only an owner").await;
    assert_eq!(doing.count("select count(*) from idp.request where escalate_at is null").await, 1);
}

#[tokio::test]
async fn what_was_done_without_approval_is_said_loudly_and_waits_for_a_review() {
    let doing = Doing::with("break_glass: [group:platform]\nchannel: {slack: C0OPS}\n").await;
    doing.connects();
    let settings = idp::portal::Settings {
        break_glass: vec![(idp::conversation::Platform::Slack, "C0SECURITY".into())],
        ..(*doing.app().settings.load_full()).clone()
    };
    doing.app().settings.store(std::sync::Arc::new(settings));
    let text = "run restart payment-api reason=down break-glass=\"everything is down\"";
    let id = doing.does(PLATFORM, text).await.answer["id"].as_i64().unwrap();
    let loud: Vec<String> = sqlx::query_scalar("select channel from idp.announcement where reply like '%everything is down%' order by channel")
        .fetch_all(doing.db())
        .await
        .unwrap();
    assert_eq!(loud, ["C0OPS", "C0SECURITY"]);
    doing.works().await;
    assert_eq!(doing.progress(id).await, "succeeded");
    let listed = doing.does(ASKER, "requests").await.markdown;
    assert!(listed.contains("to be reviewed"), "{listed}");
    let live = "select count(*) from idp.card where live";
    assert!(doing.count(live).await > 0, "its card stays");

    let review = format!("requests review {id} It was right");
    assert_eq!(doing.refused(PLATFORM, &review).await, "not_allowed", "who did it");
    assert_eq!(
        doing.refused(OTHER, &review).await,
        "not_allowed",
        "who could not have approved it"
    );
    assert_eq!(doing.refused(OWNER, &format!("requests review {id}")).await, "missing_argument");
    let own = format!(
        "update idp.request set reviewed_at = now(), reviewed_by = requester, review = 'x' where id = {id}"
    );
    assert!(doing.runs(&own).await.is_err());
    doing.does(OWNER, &review).await;
    assert_eq!(doing.refused(OWNER, &review).await, "settled", "once");
    let shown = doing.does(ASKER, &format!("requests show {id}")).await.markdown;
    assert!(shown.contains("looked at it") && shown.contains("It was right"), "{shown}");
    assert!(!doing.does(ASKER, "requests").await.markdown.contains("to be reviewed"));
    assert_eq!(doing.count(live).await, 0);
    let logged = "select count(*) from idp.audit where kind = 'request.reviewed' and actor = 'user:default/zoe-laurent'";
    assert_eq!(doing.count(logged).await, 1);
    let again = format!("update idp.request set review = 'x' where id = {id}");
    assert!(doing.runs(&again).await.is_err());
    // What others approved needs no review.
    let approved = doing.approved("approved").await;
    assert_eq!(doing.refused(OWNER, &format!("requests review {approved} x")).await, "settled");
}

#[tokio::test]
async fn who_has_not_reviewed_is_reminded_weekly_at_most() {
    let doing = Doing::with("break_glass: [group:platform]\nchannel: {slack: C0OPS}\n").await;
    doing.connects();
    let text = "run restart payment-api reason=down break-glass=\"everything is down\"";
    let id = doing.does(PLATFORM, text).await.answer["id"].as_i64().unwrap();
    let reminders = async || {
        tokio::join!(doing.ticks(), doing.ticks());
        let lines = doing.lines(id).await;
        lines.iter().filter(|it| it.contains("nobody has looked at it")).count()
    };
    assert_eq!(reminders().await, 0, "it has a day");
    // The trigger keeps requests as they were asked: only a superuser's session can let time pass.
    let days_pass = |days: usize| {
        format!(
            "set session_replication_role = replica;
             update idp.request set requested_at = requested_at - interval '{days} days',
               review_reminded_at = review_reminded_at - interval '{days} days';
             set session_replication_role = origin"
        )
    };
    doing.runs(&days_pass(1)).await.unwrap();
    assert_eq!(reminders().await, 1);
    assert_eq!(reminders().await, 1);
    doing.runs(&days_pass(6)).await.unwrap();
    assert_eq!(reminders().await, 1, "not within the week");
    doing.runs(&days_pass(1)).await.unwrap();
    assert_eq!(reminders().await, 2);
    doing.does(OWNER, &format!("requests review {id} fine")).await;
    doing.runs(&days_pass(30)).await.unwrap();
    assert_eq!(reminders().await, 2, "and never after the review");
}

/// An action of three steps of which the middle one fails, and one that is done after a failure.
async fn failing(risk: &str) -> Doing {
    let doing = Doing::acme().await;
    doing.connects();
    let step = |name: &str, more: &str| {
        let url = &doing.url;
        format!(
            "  - {{name: {name}, {more}invoke: {{webhook: \"{url}\", secret: ops, body: {{step: {name}}}}}}}\n"
        )
    };
    let steps = [
        step("drain", ""),
        step("restart", ""),
        step("undrain", ""),
        step("page", "on_failure: true, "),
    ];
    let text = crate::actions::action(&doing.url, &format!("{risk}invoke:"))
        .replace("invoke:", &format!("steps:\n{}", steps.join("")));
    doing.defines(&text);
    doing
}

impl Doing {
    /// A request that failed at its second step.
    async fn failed(&self, reason: &str) -> i64 {
        let id = self.approved(reason).await;
        self.fails_at("restart");
        self.works().await;
        assert_eq!(self.progress(id).await, "failed");
        id
    }

    /// The receiver does each step but `step`.
    fn fails_at(&self, step: &str) {
        *self.ops.0.failing.lock().unwrap() = step.to_string();
    }

    /// The steps that were sent, with their keys.
    fn sent(&self) -> Vec<(String, String)> {
        let sent = self.ops.0.sent.lock().unwrap();
        let step = |body: &serde_json::Value| body["step"].as_str().unwrap().to_string();
        let key = |it: &axum::http::HeaderMap| it["idempotency-key"].to_str().unwrap().to_string();
        sent.iter().map(|(headers, body)| (step(body), key(headers))).collect()
    }
}

#[tokio::test]
async fn what_failed_is_tried_again_from_the_step_that_failed_with_other_keys() {
    let doing = failing("").await;
    let id = doing.failed("fails").await;
    let shown = doing.does(ASKER, &format!("requests show {id}")).await.markdown;
    assert!(shown.contains("[Try again]"), "{shown}");
    let retry = format!("requests retry {id}");
    assert_eq!(doing.refused(OTHER, &retry).await, "not_allowed");
    doing.does(OWNER, &retry).await;
    assert_eq!(doing.progress(id).await, "ready");
    doing.works().await;
    assert_eq!(doing.progress(id).await, "failed");
    doing.fails_at("");
    doing.does(ASKER, &retry).await;
    doing.works().await;
    assert_eq!(doing.progress(id).await, "succeeded");
    let sent = doing.sent();
    let names: Vec<&str> = sent.iter().map(|(step, _)| step.as_str()).collect();
    assert_eq!(names, ["drain", "restart", "page", "restart", "restart", "undrain"]);
    let keys: std::collections::BTreeSet<&String> = sent.iter().map(|(_, key)| key).collect();
    assert_eq!(keys.len(), sent.len(), "each time has keys of its own");
    assert_eq!(doing.refused(OWNER, &retry).await, "settled", "it has not failed");
    let lines = doing.lines(id).await;
    for said in ["retry 1", "retry 2", "ended 2"] {
        assert_eq!(lines.iter().filter(|it| it.starts_with(said)).count(), 1, "{said}: {lines:?}");
    }
    let logged = "select count(*) from idp.audit where kind = 'request.retried'";
    assert_eq!(doing.count(logged).await, 2);
}

#[tokio::test]
async fn the_same_time_of_trying_has_the_same_key_after_a_lost_answer() {
    let doing = failing("").await;
    let id = doing.failed("lost").await;
    doing.fails_at("");
    doing.does(OWNER, &format!("requests retry {id}")).await;
    doing.ops.0.losing.store(2, std::sync::atomic::Ordering::SeqCst);
    for _ in 0..3 {
        doing.works().await;
        doing.time_passes().await;
    }
    assert_eq!(doing.progress(id).await, "succeeded");
    let sent = doing.sent();
    let restarts: Vec<&String> =
        sent.iter().filter(|(step, _)| step == "restart").map(|(_, key)| key).collect();
    assert_eq!(restarts.len(), 4, "once, and then three times with one key");
    assert_ne!(restarts[0], restarts[1]);
    assert_eq!(restarts[1..], [restarts[1]; 3]);
}

#[tokio::test]
async fn nothing_is_tried_again_that_must_not_be() {
    let doing = failing("").await;
    let id = doing.failed("often").await;
    let retry = format!("requests retry {id}");
    for _ in 0..3 {
        doing.does(OWNER, &retry).await;
        assert_eq!(doing.refused(OWNER, &retry).await, "settled", "it is under way");
        doing.works().await;
    }
    assert_eq!(doing.refused(OWNER, &retry).await, "settled", "three times at most");

    // Whoever asked, where one of those who approved it no longer may.
    doing.fails_at("");
    let id = doing.failed("approved by one who lost the right").await;
    let retry = format!("requests retry {id}");
    doing.unlinks(OWNER).await;
    assert_eq!(doing.refused(ASKER, &retry).await, "settled");
    doing.does(PLATFORM, &retry).await;

    // In the time in which it was to be begun.
    let doing = failing("").await;
    let id = doing.failed("late").await;
    let late =
        format!("update idp.execution set start_by = clock_timestamp() where request = {id}");
    doing.runs(&late).await.unwrap();
    assert_eq!(doing.refused(OWNER, &format!("requests retry {id}")).await, "settled");
    // Another definition is another request.
    let id = doing.failed("changed").await;
    doing.defines(&crate::actions::action(&doing.url, ""));
    assert_eq!(doing.refused(OWNER, &format!("requests retry {id}")).await, "settled");
    // What nobody knows of is looked at, not tried again.
    let blind = format!("invoke: {{webhook: \"{}\", secret: ops, blind: true}}\n", doing.url);
    doing.defines(&crate::actions::action(&doing.url, &blind));
    doing.fails_at("");
    doing.ops.0.losing.store(1, std::sync::atomic::Ordering::SeqCst);
    let id = doing.approved("unknown").await;
    doing.works().await;
    assert_eq!(doing.progress(id).await, "unknown");
    let retry = format!("requests retry {id}");
    assert_eq!(doing.refused(OWNER, &retry).await, "settled");
    // The control: once somebody has looked and it did not run, it failed, and is sent once more.
    doing.does(OWNER, &format!("requests lost {id}")).await;
    doing.works().await;
    assert_eq!(doing.progress(id).await, "failed");
    doing.does(OWNER, &retry).await;
    doing.works().await;
    assert_eq!(doing.progress(id).await, "succeeded");
}

/// A callback of the run that failed is no callback of the one that follows.
#[tokio::test]
async fn what_comes_late_from_a_failed_run_says_nothing_of_the_next() {
    use idp::actions::dispatch::order::{REDEEM, token};
    use idp::actions::dispatch::report::Taken;
    use idp::actions::dispatch::report::flow::{redeem, report};
    let doing = Doing::acme().await;
    doing.ops.answers(202, serde_json::json!({ "status": "started" }));
    let id = doing.approved("late callback").await;
    doing.works().await;
    let office = doing.app().office(doing.db());
    let callback = |place: usize| {
        let sent = doing.ops.0.sent.lock().unwrap();
        sent[place].1["callback"].as_str().unwrap().rsplit('/').next().unwrap().to_string()
    };
    let says =
        |status: &str| serde_json::from_value(serde_json::json!({ "status": status })).unwrap();
    let first = callback(0);
    assert_eq!(report(&office, &first, &says("failed")).await.unwrap(), Taken::Taken);
    doing.works().await;
    doing.does(OWNER, &format!("requests retry {id}")).await;
    doing.works().await;
    assert_eq!(doing.progress(id).await, "running");
    let mut db = doing.db().acquire().await.unwrap();
    let request = idp::actions::store::whole(&mut db, id).await.unwrap().unwrap().request;
    drop(db);
    let old = token(&office.key, REDEEM, &request, 0);
    assert_eq!(redeem(&office, &old, "the failed run").await.unwrap(), None);
    for status in ["succeeded", "failed", "running"] {
        assert_eq!(report(&office, &first, &says(status)).await.unwrap(), Taken::Unknown);
    }
    assert_eq!(doing.progress(id).await, "running");
    assert_eq!(report(&office, &callback(1), &says("succeeded")).await.unwrap(), Taken::Taken);
    doing.time_passes().await;
    doing.works().await;
    assert_eq!(doing.progress(id).await, "succeeded", "the control");
}

/// What has ended comes back by a retry alone, and nothing of it but what failed.
#[tokio::test]
async fn the_tables_bring_back_what_failed_and_nothing_else() {
    let doing = failing("").await;
    let id = doing.failed("tables").await;
    doing.fails_at("");
    let done = doing.approved("done").await;
    doing.works().await;
    let retry = |id: i64, number: usize, intent: &str| {
        format!(
            "insert into idp.retry (request, number, person, intent, platform, tenant, account, generation)
             select {id}, {number}, 'user:default/x', {intent}, 'slack', 'T', 'U', 1 from idp.request where id = {id}"
        )
    };
    let back = |id: i64, retries: usize| {
        format!(
            "update idp.execution set state = 'ready', ended_at = null, retries = {retries} where request = {id}"
        )
    };
    let step = |number: usize, run: usize, more: &str| {
        format!(
            "update idp.step set state = 'ready', run = {run}, attempts = 0, sent_at = null, reference = null, url = null,
               note = null, outputs = '{{}}'{more} where request = {id} and number = {number}"
        )
    };
    let refuse = async |forbidden: &[(&str, String)]| {
        for (what, sql) in forbidden {
            assert!(doing.runs(sql).await.is_err(), "{what}");
        }
        forbidden.len()
    };
    let mut refused = refuse(&[
        ("a retry of what went well", retry(done, 1, "intent")),
        ("a second retry before the first", retry(id, 2, "intent")),
        ("a retry of something else", retry(id, 1, "sha256('x')")),
        ("an execution without its retry", back(id, 1)),
        ("an execution as it was", back(id, 0)),
        ("an execution that went well", back(done, 1)),
        ("a step before its execution", step(1, 1, "")),
        ("a step in the same run", step(1, 0, "")),
    ])
    .await;
    doing.runs(&retry(id, 1, "intent")).await.unwrap();
    refused += refuse(&[
        ("the same retry twice", retry(id, 1, "intent")),
        ("more retries at once", back(id, 2)),
        (
            "another end",
            format!(
                "update idp.execution set state = 'succeeded', retries = 1 where request = {id}"
            ),
        ),
        ("no retry", format!("delete from idp.retry where request = {id}")),
        (
            "another person's retry",
            format!("update idp.retry set person = 'y' where request = {id}"),
        ),
    ])
    .await;
    doing.runs(&back(id, 1)).await.unwrap();
    refused += refuse(&[
        ("a step that went well", step(0, 1, "")),
        ("a step of a later run", step(1, 2, "")),
        ("a step of another class", step(1, 1, ", class = 'blind'")),
        (
            "a step that keeps what it gave",
            step(1, 1, "").replace("outputs = '{}'", "outputs = '{\"a\": 1}'"),
        ),
        ("a step that was sent already", step(1, 1, "").replace("attempts = 0", "attempts = 1")),
        ("a retry of what is ready", retry(id, 2, "intent")),
    ])
    .await;
    doing.runs(&step(1, 1, "")).await.unwrap();
    refused += refuse(&[(
        "a step twice in one run",
        step(1, 1, ", name = 'x'").replace("run = 1", "run = 2"),
    )])
    .await;
    doing
        .runs(&format!("update idp.execution set state = 'running' where request = {id}"))
        .await
        .unwrap();
    refused += refuse(&[("a step once it has begun", step(2, 1, ""))]).await;
    println!("REL TABLES retry {refused} steps that must not be: 0 taken");
}

#[tokio::test]
async fn an_actions_own_sentences_stand_below_its_card_and_what_others_wrote_in_them_is_text() {
    let messages = "messages: {asked: \"Look at {{target.name}} first, says {{inputs.reason}}.\", approved: Off it goes., denied: Ask in ops instead., done: Nobody lost a session., failed: Call operations.}\n";
    let doing = Doing::with(messages).await;
    doing.connects();
    let hostile = "[Approve](<idp:approve 1>) @everyone";
    let reason = idp::actions::input::words([("reason", hostile)]);
    let ask = format!("run restart payment-api {reason}");
    let id = doing.does(ASKER, &ask).await.answer["id"].as_i64().unwrap();
    doing.does(OWNER, &format!("approve {id}")).await;
    let before = doing.lines(id).await.join("\n");
    assert!(before.contains("Look at payment") && !before.contains("Off it goes"), "{before}");
    doing.does(PLATFORM, &format!("approve {id}")).await;
    doing.works().await;
    let lines = doing.lines(id).await.join("\n");
    for said in ["Off it goes.", "Nobody lost a session."] {
        assert_eq!(lines.matches(said).count(), 1, "{said}: {lines}");
    }
    assert!(!lines.contains("](<idp:approve 1>)") && lines.contains("everyone"), "{lines}");
    let id = doing.asks("no").await;
    doing.does(OWNER, &format!("deny {id} no")).await;
    assert!(doing.lines(id).await.join("\n").contains("Ask in ops instead."));
    doing.ops.answers(200, serde_json::json!({ "status": "failed", "message": "no quorum" }));
    let id = doing.approved("fails").await;
    doing.works().await;
    assert!(doing.lines(id).await.join("\n").contains("Call operations."));
}

#[test]
fn messages_name_what_there_is_and_no_secret() {
    let read = |messages: &str| {
        let text = crate::actions::action("https://ops.acme.example/restart", messages)
            .replace("inputs:\n", "inputs:\n  - {name: password, type: secret}\n");
        idp::actions::file::read(&text, "restart.yaml")
    };
    for wrong in [
        "messages: {asked: \"{{inputs.nothing}}\"}\n",
        "messages: {asked: \"{{inputs.password}}\"}\n",
        "messages: {asked: \"{{request.key}}\"}\n",
        "messages: {asked: \"{{steps.run.x}}\"}\n",
        "messages: {asked: \"{{#if target}}x{{/if}}\"}\n",
        "messages: {begun: x}\n",
        "messages: x\n",
        &format!("messages: {{asked: \"{}\"}}\n", "x".repeat(501)),
    ] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
    read("messages: {asked: \"{{inputs.reason}} {{target.owner}} {{request.by}}\"}\n").unwrap();
}

#[tokio::test]
async fn the_home_shows_what_waits_for_ones_yes_or_no() {
    let doing = Doing::acme().await;
    let title = "Waiting for your yes or no";
    let home = async |who: &str| doing.app().home(&doing.account(who)).await.markdown;
    assert!(!home(OWNER).await.contains(title));
    let id = doing.asks("home").await;
    let of_owner = home(OWNER).await;
    assert!(
        of_owner.contains(title) && of_owner.contains(&format!("requests show {id}")),
        "{of_owner}"
    );
    for nobody in [ASKER, OTHER] {
        assert!(!home(nobody).await.contains(title), "{nobody}");
    }
    doing.does(OWNER, &format!("approve {id}")).await;
    assert!(!home(OWNER).await.contains(title), "they have said it");
    for number in 0..7 {
        doing.asks(&format!("number {number}")).await;
    }
    let many = home(OWNER).await;
    assert_eq!(many.matches("requests show").count(), 5, "{many}");
    assert!(many.contains("(<idp:approve>)"), "{many}");
}

#[tokio::test]
async fn what_an_action_lacks_is_asked_for_in_a_form_at_once() {
    let inputs = "inputs:\n  - {name: reason, title: Why}\n  - {name: password, type: secret}\n  - {name: pace, default: slow}\n";
    let doing = Doing::with("request: {by: [group:checkout, group:platform]}\n").await;
    let text = crate::actions::action(&doing.url, "request: {by: [group:platform]}\n")
        .replace("inputs:\n  - {name: reason, title: Why}\n", inputs);
    doing.defines(&text);
    let form = |who: &str, text: &str| {
        let speaker = doing.account(who);
        let asked = idp::conversation::Invocation { speaker, ..crate::asking::invocation(text) };
        doing.app().form_at_once(&asked)
    };
    let shown = |text: &str| {
        let form = form(PLATFORM, text).unwrap_or_else(|| panic!("{text} has no form"));
        let field = |it: &idp::conversation::Field| {
            format!("{}={}", it.name, it.value.clone().unwrap_or_default())
        };
        (form.command.clone(), form.fields.iter().map(field).collect::<Vec<_>>())
    };
    let fields =
        |first: &[&str]| -> Vec<String> { first.iter().map(|it| it.to_string()).collect() };
    assert_eq!(
        shown("run restart"),
        ("run restart".into(), fields(&["target=", "reason=", "password=", "pace=slow"]))
    );
    assert_eq!(
        shown("run restart payment-api pace=fast reason=\"it hangs\""),
        ("run restart payment-api".into(), fields(&["reason=it hangs", "password=", "pace=fast"]))
    );
    for (who, text) in [
        (PLATFORM, "run restart no-such-service"),
        (PLATFORM, "run restart payments"),
        (PLATFORM, "run restart payment-api password=x"),
        (PLATFORM, "run restart payment-api break-glass=down"),
        (PLATFORM, "run nothing"),
        (PLATFORM, "run"),
        (PLATFORM, "owner payment-api"),
        (ASKER, "run restart payment-api"),
    ] {
        assert_eq!(form(who, text), None, "{who}: {text}");
    }
    // The control: what lacks nothing is answered.
    doing.defines(&crate::actions::action(&doing.url, ""));
    assert_eq!(form(ASKER, "run restart payment-api reason=x"), None);
}

#[tokio::test]
async fn slack_and_discord_open_the_form_in_place_of_an_answer() {
    let world = crate::world::World::new().await;
    let action = crate::actions::action("https://ops.acme.example/restart", "");
    let action = idp::actions::file::read(&action, "restart.yaml").unwrap();
    world.app.actions.store(std::sync::Arc::new(idp::actions::ActionSet::new(vec![action])));
    // Zoé Laurent.
    let zoe = "U0ACME0013";
    let typed = format!("{}&trigger_id=T.1", world.command(zoe, "run restart payment-api"));
    let answer = world.sends("/slack/commands", &typed).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "{}"));
    let opened = world.fake.hears().await;
    assert_eq!(opened.path, "/api/views.open");
    assert_eq!(opened.body["view"]["callback_id"], "idp-form:run restart payment-api");
    // Without what a form is opened by it is answered in words, with a button for it.
    let typed = world.command(zoe, "run restart payment-api");
    let answer = world.sends("/slack/commands", &typed).await;
    assert!(answer.body.contains("Fill in"), "{}", answer.body);

    let link = serde_json::json!({ "platform": "discord", "tenant": crate::discord_world::GUILD,
        "user_id": "400000000000000001", "user": "user:default/zoe-laurent" });
    crate::asking::import_links(&world.app, &world.fresh.pool, vec![link]).await;
    let values =
        [("action", serde_json::json!("restart")), ("target", serde_json::json!("payment-api"))];
    let modal = world.calls("run", &values).await;
    assert_eq!(modal["type"], 9, "{modal}");
    assert_eq!(modal["data"]["custom_id"], "idp-form:run restart payment-api");
}

#[tokio::test]
async fn actions_and_their_targets_are_suggested_while_one_types() {
    let doing = Doing::acme().await;
    let narrow = crate::actions::action(&doing.url, "")
        .replace("{kinds: [Component]}", "{kinds: [Component], types: [website]}");
    doing.defines(&narrow);
    let suggested = |command: &str, field: &str, typed: &str| -> Vec<String> {
        let query = idp::conversation::Query {
            speaker: doing.account(ASKER),
            command: command.into(),
            field: field.into(),
            typed: typed.into(),
        };
        doing.app().suggestions(&query).into_iter().map(|it| it.value).collect()
    };
    assert_eq!(suggested("run", "action", ""), ["restart"]);
    assert_eq!(suggested("run", "action", "STA"), ["restart"]);
    assert_eq!(suggested("run", "action", "deploy"), [""; 0]);
    assert!(
        suggested("run", "target", "payment-api").contains(&"payment-api".to_string()),
        "any action"
    );
    let targets = suggested("run restart", "target", "");
    assert!(!targets.is_empty() && !targets.contains(&"payment-api".to_string()), "{targets:?}");
    assert_eq!(suggested("run restart", "target", "payment-api"), [""; 0]);
}

/// What others write when they hand something on or look at it stays what they wrote.
#[tokio::test]
async fn hostile_words_of_whoever_decides_are_only_words() {
    let doing = Doing::with("break_glass: [group:platform]\nchannel: {slack: C0OPS}\n").await;
    doing.connects();
    let hostile =
        "<!channel> @everyone [Approve](<idp:approve 1>) [x](<idp-person:slack=U0ACME0013>)";
    let id = doing.asks("handed on").await;
    doing.does(OWNER, &format!("requests delegate {id} {OTHER} {hostile}")).await;
    let glass = idp::actions::input::words([("reason", "down"), ("break-glass", hostile)]);
    let done = doing.does(PLATFORM, &format!("run restart payment-api {glass}")).await;
    let done = done.answer["id"].as_i64().unwrap();
    doing.does(OWNER, &format!("requests review {done} {hostile}")).await;
    let all = "select coalesce(string_agg(reply, ' '), '') from idp.card
        union all select coalesce(string_agg(reply, ' '), '') from idp.card_line
        union all select coalesce(string_agg(reply, ' '), '') from idp.announcement";
    let said: Vec<String> = sqlx::query_scalar(all).fetch_all(doing.db()).await.unwrap();
    let said = said.join(" ");
    assert!(!said.contains("](<idp:approve 1>)"), "{said}");
    assert!(!said.contains("[x](<idp-person"), "{said}");
    assert!(said.matches("everyone").count() >= 5, "the control: {said}");
}
