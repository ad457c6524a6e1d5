//! Requests that many click on at once: each ends once, and what is done was approved, in time, and is done once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use idp::actions::flow;
use idp::app::DECISIONS_MAX;
use idp::conversation::{Address, Invocation, Platform, Reply, Speaker, Way};
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use serde_json::json;
use sqlx::AssertSqlSafe;
use tokio::sync::Barrier;

use crate::actions::{ASKER, Doing, OWNER, PLATFORM};
use crate::asking::{import_links, invocation};
use crate::scale::full_or;

/// Another owner of the target.
const OTHER_OWNER: &str = "samuel-adeyemi";
/// Whom no rule asks.
const STRANGER: &str = "tomas-novak";
const GUILD: &str = "700000000000000001";
/// So many requests are raced at a time.
const LANES: usize = 2;

/// What gives a request the time that its reason says, in the moment in which it is written down.
const SHORT: &str = "
    create function idp.short() returns trigger language plpgsql as $$ begin
      new.expires_at := new.requested_at
        + make_interval(secs => substring(new.inputs ->> 'reason' from 'for (\\d+) ms')::double precision / 1000);
      return new;
    end $$;
    create trigger short before insert on idp.request
      for each row when (new.inputs ->> 'reason' like '% ms') execute function idp.short();";

/// Takes the lock away, and all that the tables refuse. What stands in a view of a function's rows is not locked by
/// `for update`: the same statements of the same program read and write as before, and nobody waits for anybody.
const UNLOCKED: &str = "
    drop trigger request_is_as_asked on idp.request;
    drop trigger vote_counts on idp.vote;
    drop trigger execution_is_approved on idp.execution;
    alter table idp.request drop constraint request_in_time;
    alter table idp.vote drop constraint vote_pkey;
    alter table idp.step drop constraint step_request_fkey, drop constraint step_pkey;
    alter table idp.execution drop constraint execution_pkey cascade;
    alter table idp.request rename to request_row;
    create function idp.requests() returns setof idp.request_row language sql stable as
      'select * from idp.request_row';
    create view idp.request as select * from idp.requests();
    do $do$
    declare it record; names text; news text;
    begin
      for it in
        select attname, pg_get_expr(adbin, adrelid) as said
        from pg_attrdef join pg_attribute on attrelid = adrelid and attnum = adnum
        where adrelid = 'idp.request_row'::regclass
      loop
        execute format('alter view idp.request alter column %I set default %s', it.attname, it.said);
      end loop;
      select string_agg(quote_ident(attname), ', '), string_agg('new.' || quote_ident(attname), ', ') into names, news
      from pg_attribute
      where attrelid = 'idp.request_row'::regclass and attnum > 0 and not attisdropped and attname <> 'id';
      execute format($write$
        create function idp.write_request() returns trigger language plpgsql as $$ begin
          if tg_op = 'INSERT' then
            new.id := nextval(pg_get_serial_sequence('idp.request_row', 'id'));
            insert into idp.request_row overriding system value select new.*;
          else
            update idp.request_row set (%s) = (%s) where id = old.id;
          end if;
          return new;
        end $$ $write$, names, news);
    end $do$;
    create trigger write_request instead of insert or update on idp.request
      for each row execute function idp.write_request();";

impl Doing {
    /// With people who have an account on Discord too, and requests whose time is as short as they say.
    async fn racing(more: &str) -> Arc<Doing> {
        let doing = Doing::with(more).await;
        for who in [ASKER, OWNER, PLATFORM] {
            doing.links_on_discord(&discord(who).user_id, who).await;
        }
        sqlx::raw_sql(SHORT).execute(doing.db()).await.unwrap();
        // As many decide at a time as in several processes.
        doing.app().turns.add_permits(LANES * 8);
        Arc::new(doing)
    }

    /// The account `user_id` of Discord is `who`'s from now on.
    async fn links_on_discord(&self, user_id: &str, who: &str) {
        let line = json!({ "platform": "discord", "tenant": GUILD, "user_id": user_id,
            "user": format!("user:default/{who}") });
        import_links(self.app(), self.db(), vec![line]).await;
    }

    /// What `speaker` is answered, who clicks on a button that says `text`.
    async fn clicks(&self, speaker: Speaker, text: &str) -> Reply {
        let asked = invocation(text);
        let address = Address {
            platform: speaker.platform,
            tenant: speaker.tenant.clone(),
            ..asked.address.clone()
        };
        self.app().answer(Way::Button, Invocation { speaker, address, ..asked }).await
    }

    /// The requests that something was sent for, and how often.
    fn sent_for(&self) -> BTreeMap<i64, usize> {
        let mut sent = BTreeMap::new();
        for (_, body) in self.ops.0.sent.lock().unwrap().iter() {
            *sent.entry(body["request"].as_i64().unwrap()).or_default() += 1;
        }
        sent
    }

    async fn ids(&self, sql: &str) -> BTreeSet<i64> {
        let ids: Vec<i64> =
            sqlx::query_scalar(AssertSqlSafe(sql.to_string())).fetch_all(self.db()).await.unwrap();
        ids.into_iter().collect()
    }
}

/// The account of Discord that `who` has.
fn discord(who: &str) -> Speaker {
    let number = who.bytes().fold(0_u64, |sum, it| sum * 31 % 1_000_003 + u64::from(it));
    let user_id = (800_000_000_000_000_000 + number).to_string();
    Speaker { platform: Platform::Discord, tenant: GUILD.into(), user_id }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Tables {
    #[default]
    Guarded,
    /// The control. Two who work on the same may wait for each other there, until Postgres ends one of them.
    Unguarded,
}

/// What eight who click at once heard, of all requests.
#[derive(Default)]
struct Heard {
    tables: Tables,
    clicks: AtomicUsize,
    /// How many were told that their yes or no counts.
    counted: AtomicUsize,
    /// How many were told that the time is over.
    late: AtomicUsize,
    /// The requests that were said to be taken back.
    taken_back: std::sync::Mutex<BTreeSet<i64>>,
}

/// What eight people do with the request `id`, in any order.
fn clicks(doing: &Doing, random: &mut StdRng, id: i64) -> Vec<(Speaker, String)> {
    let (yes, no) = (format!("approve {id}"), format!("deny {id} no"));
    let back = format!("cancel {id}");
    let mut any = |of: &[&String]| (*of.choose(random).unwrap()).clone();
    let mostly = [&yes, &yes, &yes, &yes, &no];
    let mut all = vec![
        (doing.account(OWNER), yes.clone()),
        (discord(OWNER), any(&mostly)),
        (doing.account(PLATFORM), yes.clone()),
        (discord(PLATFORM), any(&mostly)),
        (doing.account(OTHER_OWNER), any(&mostly)),
        (discord(ASKER), any(&[&yes, &no, &back])),
        (doing.account(ASKER), any(&[&yes, &yes, &back])),
        (doing.account(STRANGER), any(&[&yes, &no])),
    ];
    all.shuffle(random);
    all
}

/// Has `requests` requests clicked on by eight at once, with the dispatcher and the end of their time beside.
async fn race(doing: &Arc<Doing>, requests: usize, tables: Tables) -> Heard {
    let heard = Arc::new(Heard { tables, ..Heard::default() });
    // How long a request and its clicks took lately: the time of a short one ends somewhere within it.
    let took_ms = Arc::new(AtomicU64::new(100));
    let lanes = (0..LANES).map(|lane| {
        let (doing, heard, took_ms) = (doing.clone(), heard.clone(), took_ms.clone());
        tokio::spawn(async move {
            for round in (lane..requests).step_by(LANES) {
                let mut random = StdRng::seed_from_u64(round as u64);
                let since = Instant::now();
                let is_short = round % 3 == 0;
                let for_ms = random.random_range(0..took_ms.load(Ordering::Relaxed) * 5 / 4 + 2);
                let reason = match is_short {
                    true => format!("round {round} for {for_ms} ms"),
                    false => format!("round {round}"),
                };
                let id = doing.asks(&reason).await;
                // Of most somebody has said yes before: each of the eight may be the one whose yes is enough.
                if round % 4 != 0 {
                    let first =
                        doing.clicks(doing.account(OTHER_OWNER), &format!("approve {id}")).await;
                    heard
                        .counted
                        .fetch_add(usize::from(first.refusal.is_none()), Ordering::Relaxed);
                }
                click(&doing, &heard, id, clicks(&doing, &mut random, id)).await;
                if !is_short {
                    took_ms.store(since.elapsed().as_millis() as u64, Ordering::Relaxed);
                }
                if doing.state(id).await == "pending" {
                    // Who asks has room for so many.
                    doing.clicks(doing.account(ASKER), &format!("cancel {id}")).await;
                }
            }
        })
    });
    for lane in lanes.collect::<Vec<_>>() {
        lane.await.unwrap();
    }
    // What two believe to have begun begins never: the control would wait for ever.
    for _ in 0..20 {
        if doing.count("select count(*) from idp.execution where ended_at is null").await == 0 {
            break;
        }
        doing.time_passes().await;
        works(doing, tables).await;
    }
    let overdue = "select count(*) from idp.request where state = 'pending' and expires_at <= clock_timestamp()";
    while doing.count(overdue).await > 0 {
        ticks(doing, tables).await;
    }
    Arc::into_inner(heard).unwrap()
}

/// All of `clicks` at one moment, with what works beside.
async fn click(doing: &Arc<Doing>, heard: &Arc<Heard>, id: i64, clicks: Vec<(Speaker, String)>) {
    let barrier = Arc::new(Barrier::new(clicks.len() + 2));
    let mut tasks = Vec::new();
    for (speaker, text) in clicks {
        let (doing, heard, barrier) = (doing.clone(), heard.clone(), barrier.clone());
        tasks.push(tokio::spawn(async move {
            barrier.wait().await;
            let reply = doing.clicks(speaker, &text).await;
            heard.clicks.fetch_add(1, Ordering::Relaxed);
            let is_taken_back = text.starts_with("cancel");
            match (&reply.refusal, is_taken_back) {
                (None, true) => drop(heard.taken_back.lock().unwrap().insert(id)),
                (None, false) => drop(heard.counted.fetch_add(1, Ordering::Relaxed)),
                (Some(_), _) => {
                    let is_late = reply.markdown.contains("in time");
                    heard.late.fetch_add(usize::from(is_late), Ordering::Relaxed);
                }
            }
        }));
    }
    for is_dispatcher in [true, false] {
        let (doing, heard, barrier) = (doing.clone(), heard.clone(), barrier.clone());
        tasks.push(tokio::spawn(async move {
            barrier.wait().await;
            for _ in 0..3 {
                match is_dispatcher {
                    true => works(&doing, heard.tables).await,
                    false => ticks(&doing, heard.tables).await,
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

async fn works(doing: &Doing, tables: Tables) {
    let worked = doing.tries_to_work().await;
    assert!(worked.is_ok() || tables == Tables::Unguarded, "{worked:?}");
}

async fn ticks(doing: &Doing, tables: Tables) {
    let office = doing.app().office(doing.db());
    let ticked = flow::tick(&office.desk()).await;
    assert!(ticked.is_ok() || tables == Tables::Unguarded, "{ticked:?}");
}

/// What must not be, each as the requests of which it is so.
#[derive(Debug, PartialEq, Eq)]
struct Wrongs {
    /// Executed, or sent, more than once.
    double: usize,
    /// Executed with too few yeses of others, with a no, or without being approved.
    unapproved: usize,
    /// Said to be taken back, and sent.
    taken_back: usize,
    /// Decided on, or executed, after their time.
    late: usize,
    /// The same person's yes, or who asked, counted.
    by_nobody: usize,
}

const NONE: Wrongs = Wrongs { double: 0, unapproved: 0, taken_back: 0, late: 0, by_nobody: 0 };

async fn judge(doing: &Doing, heard: &Heard) -> Wrongs {
    let sent = doing.sent_for();
    let twice = "select request from idp.execution group by request having count(*) > 1";
    let mut double = doing.ids(twice).await;
    double.extend(sent.iter().filter(|(_, times)| **times > 1).map(|(id, _)| *id));
    let unapproved = "select e.request from idp.execution e join idp.request r on r.id = e.request
        where (select count(distinct person) from idp.vote v
               where v.request = r.id and verdict = 'approve' and person <> r.requester) < r.quorum
           or exists (select from idp.vote v where v.request = r.id and verdict = 'deny')
           or r.state <> 'approved'";
    let late = "select r.id from idp.request r
        where state in ('approved', 'denied') and decided_at >= expires_at
           or exists (select from idp.vote v where v.request = r.id and v.at >= r.expires_at)
           or state = 'expired' and exists (select from idp.execution e where e.request = r.id)";
    let by_nobody = "select v.request from idp.vote v join idp.request r on r.id = v.request
        group by v.request, r.requester
        having count(*) > count(distinct v.person) or bool_or(v.person = r.requester)";
    let taken_back = heard.taken_back.lock().unwrap().clone();
    Wrongs {
        double: double.len(),
        unapproved: doing.ids(unapproved).await.len(),
        taken_back: taken_back.iter().filter(|id| sent.contains_key(id)).count(),
        late: doing.ids(late).await.len(),
        by_nobody: doing.ids(by_nobody).await.len(),
    }
}

/// What comes in must be written down meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_decides_while_many_do_waits_for_a_turn() {
    let doing = Arc::new(Doing::acme().await);
    decide_while_the_votes_are_locked(&doing, DECISIONS_MAX).await;
}

/// The control.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn without_turns_all_decide_at_a_time() {
    let doing = Arc::new(Doing::acme().await);
    doing.app().turns.add_permits(DECISIONS_MAX);
    decide_while_the_votes_are_locked(&doing, DECISIONS_MAX * 2).await;
}

/// Twice as many decide as may at a time, of whom so many get as far as their vote; all are counted in the end.
async fn decide_while_the_votes_are_locked(doing: &Arc<Doing>, at_a_time: usize) {
    let mut ids = Vec::new();
    for number in 0..DECISIONS_MAX * 2 {
        ids.push(doing.asks(&format!("round {number}")).await);
    }
    let mut held = doing.db().begin().await.unwrap();
    sqlx::raw_sql("lock table idp.vote in exclusive mode").execute(&mut *held).await.unwrap();
    let clicks = ids.iter().map(|id| {
        let (doing, text) = (doing.clone(), format!("approve {id}"));
        tokio::spawn(async move { doing.says_by(Way::Button, OWNER, &text).await })
    });
    let clicks: Vec<_> = clicks.collect();
    let waiting =
        "select count(*) from pg_locks where relation = 'idp.vote'::regclass and not granted";
    let waiting = async || doing.count(waiting).await as usize;
    while waiting().await < at_a_time {
        tokio::task::yield_now().await;
    }
    for _ in 0..20 {
        assert_eq!(waiting().await, at_a_time);
    }
    held.rollback().await.unwrap();
    for click in clicks {
        let reply = click.await.unwrap();
        assert_eq!(reply.refusal, None, "{}", reply.markdown);
    }
}

/// E1, E2, E3, E9, C16: eight people click on each request at once, some by two accounts, while what is approved is done
/// and the time of a third of the requests ends; each ends once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_all_who_click_at_once_nothing_is_done_twice_unapproved_or_late() {
    let doing = Doing::racing("at_once: any\n").await;
    let requests = full_or(10_000, 60);
    let heard = race(&doing, requests, Tables::Guarded).await;
    let wrongs = judge(&doing, &heard).await;
    let ended = async |state: &str| {
        doing.count(&format!("select count(*) from idp.request where state = '{state}'")).await
    };
    let executions =
        doing.count("select count(*) from idp.execution where state = 'succeeded'").await;
    let amid = "select count(*) from idp.request where state = 'expired'
        and exists (select from idp.vote where vote.request = request.id)";
    println!(
        "REL E1 requests={requests} clicks={} executions={executions} approved={} denied={} cancelled={} expired={} \
         expired_after_a_yes={} told_late={} double={} unapproved={} taken_back_that_ran={} late={} by_nobody={}",
        heard.clicks.load(Ordering::Relaxed),
        ended("approved").await,
        ended("denied").await,
        ended("cancelled").await,
        ended("expired").await,
        doing.count(amid).await,
        heard.late.load(Ordering::Relaxed),
        wrongs.double,
        wrongs.unapproved,
        wrongs.taken_back,
        wrongs.late,
        wrongs.by_nobody,
    );
    assert_eq!(wrongs, NONE);
    // Each who heard that their yes or no counts was told the truth, and nobody else was counted.
    let votes = doing.count("select count(*) from idp.vote").await;
    assert_eq!(votes as usize, heard.counted.load(Ordering::Relaxed));
    let (sent, runs) = doing.ops.counts();
    assert_eq!((sent as i64, runs as i64), (executions, executions));
    assert!(executions > 0 && ended("expired").await > 0 && ended("denied").await > 0);
    assert_eq!(ended("pending").await, 0);
}

/// The control of E1: the same clicks, through the same program, on tables without their lock and what they refuse.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn without_the_lock_the_same_clicks_do_what_must_not_be() {
    let doing = Doing::racing("at_once: any\n").await;
    sqlx::raw_sql(UNLOCKED).execute(doing.db()).await.unwrap();
    let requests = full_or(1_000, 30);
    let heard = race(&doing, requests, Tables::Unguarded).await;
    let wrongs = judge(&doing, &heard).await;
    println!("REL E1 control=without_the_lock requests={requests} {wrongs:?}");
    assert!(wrongs.double > 0 && wrongs.by_nobody > 0, "{wrongs:?}");
    assert!(wrongs.unapproved + wrongs.taken_back + wrongs.late > 0, "{wrongs:?}");
}

/// E2: whoever is known on both platforms is one person, at the very same moment too.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_clicks_on_slack_and_on_discord_counts_once() {
    let doing = Doing::racing("approve: {by: [{who: owner, count: 2}], within: 4h}\n").await;
    let requests = full_or(10_000, 50);
    let mut counted = 0;
    for round in 0..requests {
        let id = doing.asks(&format!("round {round}")).await;
        counted += by_each_account(&doing, &format!("approve {id}")).await;
        doing.clicks(doing.account(ASKER), &format!("cancel {id}")).await;
    }
    let approved = "select count(*) from idp.request where state = 'approved'";
    println!(
        "REL E2 requests={requests} accounts=3 counted={counted} approved={}",
        doing.count(approved).await
    );
    assert_eq!((counted, doing.count(approved).await), (requests, 0));
    // The control: where the second account is another owner's, two have said yes.
    doing.links_on_discord("800000000000000017", OTHER_OWNER).await;
    let id = doing.asks("the control").await;
    doing.clicks(doing.account(OWNER), &format!("approve {id}")).await;
    let other = Speaker { user_id: "800000000000000017".into(), ..discord(OWNER) };
    doing.clicks(other, &format!("approve {id}")).await;
    assert_eq!(doing.state(id).await, "approved");
}

/// E3: nobody says yes or no to what they ask for, by whichever of their accounts.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_decides_on_their_own_request_by_another_account() {
    let doing = Doing::racing("approve: {by: [owner], within: 4h}\n").await;
    let requests = full_or(10_000, 50);
    let mut counted = 0;
    for round in 0..requests {
        let ask = format!("run restart payment-api reason=\"round {round}\"");
        let id = doing.does(OWNER, &ask).await.answer["id"].as_i64().unwrap();
        let text = if round % 5 == 0 { format!("deny {id} no") } else { format!("approve {id}") };
        counted += by_each_account(&doing, &text).await;
        doing.clicks(doing.account(OWNER), &format!("cancel {id}")).await;
    }
    println!("REL E3 requests={requests} accounts=3 counted={counted}");
    assert_eq!(counted, 0);
    // The control: another owner's yes is one.
    let ask = "run restart payment-api reason=control";
    let id = doing.does(OWNER, ask).await.answer["id"].as_i64().unwrap();
    doing.clicks(doing.account(OTHER_OWNER), &format!("approve {id}")).await;
    assert_eq!(doing.state(id).await, "approved");
}

/// The owner clicks on `text` by each of their accounts at once; how often it counted.
async fn by_each_account(doing: &Arc<Doing>, text: &str) -> usize {
    let at_terminal = Speaker {
        platform: Platform::Terminal,
        tenant: String::new(),
        user_id: format!("user:default/{OWNER}"),
    };
    let clicks = [doing.account(OWNER), discord(OWNER), at_terminal].map(|speaker| {
        let (doing, text) = (doing.clone(), text.to_string());
        tokio::spawn(async move { doing.clicks(speaker, &text).await })
    });
    let mut counted = 0;
    for click in clicks {
        counted += usize::from(click.await.unwrap().refusal.is_none());
    }
    counted
}
