//! What people do with a request besides saying yes or no: hand it on, be called, look at it afterwards, try it again.

use idp::conversation::{Click, Input};

use crate::actions::{ASKER, Doing, OWNER, PLATFORM, code};

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
