//! Who may decide, at the very moment of their click and of what follows it.

use std::io::Write;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use idp::access::{self, Link};
use idp::actions::dispatch::flow as dispatch;
use idp::actions::dispatch::flow::Office;
use idp::actions::{ActionSet, file};
use idp::app::App;
use idp::catalog::flow::{self as catalog, POLL};
use idp::catalog::{EntityRef, Snapshot};
use idp::chat::ANSWER_WITHIN;
use idp::config::SecretReference;
use idp::conversation::{Invocation, Platform, Speaker, Way};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::actions::{ASKER, Doing, OWNER, PLATFORM, action};
use crate::asking::{import_links, invocation};
use crate::discord_world::{self, GUILD};
use crate::scale::full_or;
use crate::totp;
use crate::waiting::until;
use crate::world::{TEAM, World, interaction, sends};

/// Takes somebody out of the catalog, as a source does that no longer describes them.
fn gone(who: &str) -> String {
    format!(
        "with next as (update idp.catalog_revision set revision = revision + 1 returning revision)
         update idp.stored_entity set orphaned_at = clock_timestamp(), revision = next.revision
         from next where ref = 'user:default/{who}'"
    )
}

/// Takes somebody out of all their teams.
fn teamless(who: &str) -> String {
    format!(
        "with next as (update idp.catalog_revision set revision = revision + 1 returning revision),
           them as (select id from idp.stored_entity where ref = 'user:default/{who}'),
           left_ones as (delete from idp.stated_relation where kind = 'memberOf' and entity_id = (select id from them) returning 1)
         update idp.stored_entity
         set revision = next.revision, relations = relations - (select count(*) from left_ones)
         from next, them where stored_entity.id = them.id"
    )
}

async fn execute(db: &PgPool, sql: &str) {
    let done = sqlx::query(AssertSqlSafe(sql.to_string())).execute(db).await.unwrap();
    assert_eq!(done.rows_affected(), 1, "{sql}");
}

async fn link(app: &App, db: &PgPool, account: &Speaker, who: &str, guest: bool) {
    let line = json!({ "platform": account.platform.word(), "tenant": account.tenant, "user_id": account.user_id,
        "user": format!("user:default/{who}"), "guest": guest });
    import_links(app, db, vec![line]).await;
}

/// The account of Slack that `who` has.
fn on_slack(app: &App, who: &str) -> Speaker {
    let links = app.links.now();
    let user = EntityRef::new("user", "default", who);
    let is_theirs = |(account, link): &(&Speaker, &Link)| {
        link.user == user && account.platform == Platform::Slack
    };
    links.by_account.iter().find(is_theirs).unwrap_or_else(|| panic!("{who} is linked")).0.clone()
}

/// This process hears of what changed in the catalog and of links, as it does while it runs.
async fn hears(app: &App, db: &PgPool) {
    let (_aliases, told) = watch::channel(Vec::new());
    let (stop, disk) = (CancellationToken::new(), tempfile::tempdir().unwrap());
    let (copy, looked) = (disk.path().join("catalog"), watch::Sender::new(()));
    let following =
        catalog::follow(db.clone(), app.catalog.clone(), told, copy, POLL, looked, stop.clone());
    let following = tokio::spawn(following);
    let newest = "select revision from idp.catalog_revision";
    let newest: i64 = sqlx::query_scalar(newest).fetch_one(db).await.unwrap();
    let is_there = async || app.catalog.snapshot().revision().number;
    until("the catalog is current", is_there, |it| *it == newest).await;
    stop.cancel();
    following.await.unwrap();
    app.links.set(access::flow::load(db).await.unwrap());
}

/// Somebody who must not decide, told by what is otherwise than with somebody who may.
struct Kind {
    name: &'static str,
    /// Whom they would have to be.
    who: &'static str,
    platform: Platform,
    /// How their click differs from that person's.
    click: fn(&mut Value),
    /// What has happened to that person.
    before: fn(&str) -> String,
    /// Whether their account is somebody else's now, or a guest's.
    linked_as: Option<(&'static str, bool)>,
}

const NOTHING: fn(&str) -> String = |_| String::new();

impl Kind {
    /// Whose click alone differs from the owner's.
    fn on(platform: Platform, name: &'static str, click: fn(&mut Value)) -> Kind {
        Kind { name, who: OWNER, platform, click, before: NOTHING, linked_as: None }
    }

    /// Who clicks as always, in Slack, and has changed.
    fn changed(name: &'static str, who: &'static str) -> Kind {
        Kind { who, ..Kind::on(Platform::Slack, name, |_| {}) }
    }
}

/// Kinds of people of E5, and some more.
fn kinds() -> Vec<Kind> {
    vec![
        Kind::on(Platform::Slack, "unlinked", |it| it["user"]["id"] = json!("U0NOBODY")),
        Kind::on(Platform::Slack, "of another company, by Slack Connect", |it| {
            it["user"]["team_id"] = json!("T0OTHER");
        }),
        Kind::on(Platform::Slack, "of another workspace", |it| it["team"]["id"] = json!("T0OTHER")),
        Kind::on(Platform::Slack, "alike by name", |it| {
            it["user"] =
                json!({ "id": "U0LOOKALIKE", "team_id": TEAM, "name": OWNER, "username": OWNER });
        }),
        Kind::on(Platform::Slack, "alike by id", |it| {
            it["user"]["id"] = json!(it["user"]["id"].as_str().unwrap().to_lowercase());
        }),
        Kind::on(Platform::Discord, "a bot", |it| it["member"]["user"]["bot"] = json!(true)),
        Kind::on(Platform::Discord, "gone from the server", |it| {
            let user = it["member"]["user"].take();
            it.as_object_mut().unwrap().retain(|name, _| name != "member" && name != "guild_id");
            it["user"] = user;
        }),
        Kind::on(Platform::Discord, "of another server", |it| {
            it["guild_id"] = json!("700000000000000009")
        }),
        Kind {
            linked_as: Some(("samuel-adeyemi", true)),
            ..Kind::changed("a guest", "samuel-adeyemi")
        },
        Kind {
            before: |_| {
                "delete from idp.identity_link where user_ref = 'user:default/rafael-costa' and platform = 'slack'".into()
            },
            ..Kind::changed("deactivated", "rafael-costa")
        },
        Kind { before: gone, ..Kind::changed("gone from the catalog", "nadia-haddad") },
        Kind { before: teamless, ..Kind::changed("gone from the team", "ingrid-holm") },
        Kind {
            linked_as: Some(("tomas-novak", false)),
            ..Kind::changed("somebody else by now", OWNER)
        },
    ]
}

/// The account of Discord that the owner has.
fn on_discord() -> Speaker {
    let user_id = "800000000000000013".to_string();
    Speaker { platform: Platform::Discord, tenant: GUILD.into(), user_id }
}

impl Kind {
    /// Clicks on Approve of the request `id`, signed, as their platform delivers it; the status of its answer.
    async fn clicks(&self, world: &World, account: &Speaker, id: i64, is_they: bool) -> u16 {
        let (number, words) = (world.number(), format!("approve {id}"));
        let mut body = match self.platform {
            Platform::Discord => discord_world::interaction(
                9_000_000 + number,
                3,
                &account.user_id,
                json!({ "custom_id": format!("idp:0:{words}"), "component_type": 2 }),
            ),
            _ => json!({
                "type": "block_actions", "trigger_id": format!("they-{number}"),
                "team": { "id": TEAM }, "user": { "id": account.user_id, "team_id": TEAM },
                "channel": { "id": "C0NOBODY", "name": "random" }, "container": { "message_ts": "1.5" },
                "response_url": format!("http://{}/respond/they-{number}", world.fake.address),
                "actions": [{ "type": "button", "action_id": "idp:0", "value": words }],
            }),
        };
        if is_they {
            (self.click)(&mut body);
        }
        match self.platform {
            Platform::Discord => discord_world::sends(world.address, &body).await.status,
            _ => sends(world.address, "/slack/interactions", &interaction(&body)).await.status,
        }
    }
}

async fn world() -> (Arc<World>, tempfile::NamedTempFile) {
    let mut secret = tempfile::NamedTempFile::new().unwrap();
    write!(secret, "a secret of operations").unwrap();
    let path = secret.path().to_path_buf();
    let world = World::with(ANSWER_WITHIN, move |settings| {
        settings.secrets.insert("ops".into(), SecretReference::File(path));
    });
    let world = world.await;
    let text = action("http://127.0.0.1:9/restart", "");
    let action = file::read(&text, "restart.yaml").unwrap();
    world.app.actions.store(Arc::new(ActionSet::new(vec![action])));
    link(&world.app, &world.fresh.pool, &on_discord(), OWNER, false).await;
    (Arc::new(world), secret)
}

async fn asks(world: &World, reason: &str) -> i64 {
    let speaker = on_slack(&world.app, ASKER);
    let ask = invocation(&format!("run restart payment-api reason=\"{reason}\""));
    let asked = world.app.answer(Way::Command, Invocation { speaker, ..ask }).await;
    asked.answer["id"].as_i64().unwrap_or_else(|| panic!("{}", asked.markdown))
}

async fn votes(world: &World, id: i64) -> i64 {
    let votes = "select count(*) from idp.vote where request = $1";
    sqlx::query_scalar(votes).bind(id).fetch_one(&world.fresh.pool).await.unwrap()
}

/// E5: whoever is not, or is no longer, who may decide is refused, by each of the ways in which that can be; and
/// before this process has heard of it as after.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_decides_who_is_not_or_is_no_longer_who_may() {
    let (world, _secret) = world().await;
    let (db, clicks, kinds) = (&world.fresh.pool, full_or(1_000, 4), kinds());
    for kind in &kinds {
        let account = match kind.platform {
            Platform::Discord => on_discord(),
            _ => on_slack(&world.app, kind.who),
        };
        // The control: without the difference the same click is a vote.
        let control = asks(&world, &format!("before: {}", kind.name)).await;
        kind.clicks(&world, &account, control, false).await;
        world.rests().await;
        assert_eq!(votes(&world, control).await, 1, "{}", kind.name);

        let id = asks(&world, kind.name).await;
        let sql = (kind.before)(kind.who);
        if !sql.is_empty() {
            execute(db, &sql).await;
        }
        if sql.contains("identity_link") {
            execute(db, "update idp.access_revision set revision = revision + 1").await;
        }
        if let Some((who, guest)) = kind.linked_as {
            let known = world.app.links.now();
            if who != kind.who {
                let theirs = format!(
                    "delete from idp.identity_link where user_ref = 'user:default/{who}' and platform = 'slack'"
                );
                execute(db, &theirs).await;
            }
            link(&world.app, db, &account, who, guest).await;
            world.app.links.set((*known).clone());
        }
        // Who is not known as the database knows them waits for news: by default one such click is enough.
        let unheard = full_or(20, usize::from(kind.name == "gone from the team"));
        let is_changed = !sql.is_empty() || kind.linked_as.is_some();
        for (has_heard, clicks) in [(false, if is_changed { unheard } else { 0 }), (true, clicks)] {
            if has_heard && is_changed {
                hears(&world.app, db).await;
            }
            let clicked = stream::iter(0..clicks)
                .map(|_| kind.clicks(&world, &account, id, true))
                .buffer_unordered(8);
            clicked.collect::<Vec<u16>>().await;
            world.rests().await;
            assert_eq!(votes(&world, id).await, 0, "{} {has_heard}", kind.name);
        }
        for id in [control, id] {
            let speaker = on_slack(&world.app, ASKER);
            let back = Invocation { speaker, ..invocation(&format!("cancel {id}")) };
            world.app.answer(Way::Command, back).await;
        }
    }
    println!("REL E5 kinds={} clicks={} decided=0", kinds.len(), kinds.len() * clicks);
}

/// What happens to whoever approved, before what they approved begins.
struct Loss {
    name: &'static str,
    sql: fn(&str) -> String,
    /// Their account is this person's, or a guest's.
    linked_as: Option<(&'static str, bool)>,
    /// Whether it begins all the same.
    begins: bool,
}

const LOSSES: [Loss; 6] = [
    Loss { name: "nothing", sql: NOTHING, linked_as: None, begins: true },
    Loss { name: "a guest", sql: NOTHING, linked_as: Some((OWNER, true)), begins: false },
    Loss {
        name: "another's",
        sql: NOTHING,
        linked_as: Some(("nadia-haddad", false)),
        begins: false,
    },
    Loss {
        name: "unlinked",
        sql: |who| {
            format!(
                "delete from idp.identity_link where user_ref = 'user:default/{who}' and platform = 'slack'"
            )
        },
        linked_as: None,
        begins: false,
    },
    Loss { name: "gone from the catalog", sql: gone, linked_as: None, begins: false },
    Loss { name: "gone from the team", sql: teamless, linked_as: None, begins: false },
];

/// An action whose approval takes a second factor.
async fn risky(more: &str) -> (Doing, [String; 2]) {
    let doing = Doing::with(more).await;
    let mut secrets = Vec::new();
    for who in [OWNER, PLATFORM] {
        let secret = totp::secret_in(&doing.says(who, "link totp").await.markdown);
        let code = totp::code(doing.db(), &secret, 0).await;
        doing.does(who, &format!("link totp {code}")).await;
        secrets.push(secret);
    }
    (doing, secrets.try_into().unwrap())
}

impl Doing {
    /// A request that both have approved with the codes of their phones.
    async fn approved_by_code(&self, secrets: &[String; 2], reason: &str) -> i64 {
        let id = self.asks(reason).await;
        for (who, secret) in [OWNER, PLATFORM].into_iter().zip(secrets) {
            sqlx::query("update idp.totp set step = step - 10").execute(self.db()).await.unwrap();
            let code = totp::code(self.db(), secret, 0).await;
            let text = format!("approve {id} payment-api {code}");
            let said = self.says_by(Way::Filled, who, &text).await;
            assert_eq!(said.refusal, None, "{}", said.markdown);
        }
        id
    }

    /// Goes on with what is due as a process does that knows `snapshot`.
    async fn works_knowing(&self, snapshot: Option<Snapshot>) {
        let mut office: Office = self.app().office(self.db());
        if let Some(snapshot) = snapshot {
            office.snapshot = Arc::new(snapshot);
        }
        for claimed in dispatch::claim(self.db(), &office.owner).await.unwrap() {
            dispatch::advance(&office, &claimed).await.unwrap();
        }
    }

    async fn newest(&self) -> Snapshot {
        catalog::load(self.db(), &[]).await.unwrap()
    }
}

/// E4: whoever approved something of high risk and may no longer do so when it is to begin, approved nothing: it is held.
/// A process that has not heard of it sends nothing meanwhile.
#[tokio::test]
async fn what_is_of_high_risk_is_held_where_who_approved_it_no_longer_may() {
    let mut sent = 0;
    for loss in LOSSES {
        let (doing, secrets) = risky("risk: high\n").await;
        let id = doing.approved_by_code(&secrets, loss.name).await;
        doing.loses(&loss).await;
        doing.works_knowing(None).await;
        if !loss.begins {
            assert_eq!(doing.ops.counts(), (0, 0), "{}: before it was heard", loss.name);
            assert_eq!(doing.progress(id).await, "ready", "{}", loss.name);
        }
        doing.app().links.set(access::flow::load(doing.db()).await.unwrap());
        doing.time_passes().await;
        doing.works_knowing(Some(doing.newest().await)).await;
        let progress = if loss.begins { "succeeded" } else { "held" };
        assert_eq!(doing.progress(id).await, progress, "{}", loss.name);
        sent += doing.ops.counts().0;
        assert_eq!(doing.ops.counts().0, usize::from(loss.begins), "{}", loss.name);
    }
    println!("REL E4 losses={} held={} sent={sent}", LOSSES.len() - 1, LOSSES.len() - 1);
}

/// The control of E4: what is of medium risk is not asked for again, and begins.
#[tokio::test]
async fn what_is_of_less_risk_begins_as_it_was_approved() {
    let doing = Doing::acme().await;
    let id = doing.approved("less").await;
    doing.loses(&LOSSES[3]).await;
    doing.app().links.set(access::flow::load(doing.db()).await.unwrap());
    doing.works_knowing(Some(doing.newest().await)).await;
    assert_eq!((doing.progress(id).await.as_str(), doing.ops.counts()), ("succeeded", (1, 1)));
}

impl Doing {
    /// The owner loses what `loss` says; this process has not heard of it.
    async fn loses(&self, loss: &Loss) {
        let known = (*self.app().links.now()).clone();
        let account = self.account(OWNER);
        let sql = (loss.sql)(OWNER);
        if !sql.is_empty() {
            execute(self.db(), &sql).await;
        }
        if sql.contains("identity_link") {
            execute(self.db(), "update idp.access_revision set revision = revision + 1").await;
        }
        if let Some((who, guest)) = loss.linked_as {
            if who != OWNER {
                let theirs = format!(
                    "delete from idp.identity_link where user_ref = 'user:default/{who}' and platform = 'slack'"
                );
                execute(self.db(), &theirs).await;
            }
            link(self.app(), self.db(), &account, who, guest).await;
        }
        self.app().links.set(known);
    }
}
