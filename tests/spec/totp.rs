//! Second factors: got in chat, by whom they belong to, each code once, kept so that a reader of the database gains nothing.

use idp::access::totp::{self, verify};
use idp::catalog::EntityRef;
use idp::error::{Error, Refusal};
use ring::hmac;
use serde_json::json;
use sqlx::{AssertSqlSafe, PgPool};

use crate::discord_world;
use crate::world::World;

/// Zoé Laurent of Payments, in Slack.
const ZOE: &str = "U0ACME0013";

fn zoe() -> EntityRef {
    EntityRef::new("user", "default", "zoe-laurent")
}

async fn slack(world: &World, who: &str, words: &str) -> String {
    world.types(who, words).await.to_string().replace('\\', "")
}

/// The secret that `said` shows.
pub fn secret_in(said: &str) -> String {
    let is_of_secret = |it: char| it.is_ascii_uppercase() || ('2'..='7').contains(&it);
    let mut words = said.split(|it| !is_of_secret(it));
    words.find(|it| it.len() == 32).unwrap_or_else(|| panic!("no secret: {said}")).to_string()
}

/// What a phone shows for `secret`, `steps` of 30 seconds from what the database's clock says. Written for the test from
/// the RFC.
pub async fn code(db: &PgPool, secret: &str, steps: i64) -> String {
    let now_s: i64 = sqlx::query_scalar("select floor(extract(epoch from now()))::bigint")
        .fetch_one(db)
        .await
        .unwrap();
    let bits: String = secret
        .bytes()
        .map(|it| match it {
            b'A'..=b'Z' => it - b'A',
            _ => it - b'2' + 26,
        })
        .map(|value| format!("{value:05b}"))
        .collect();
    let bytes: Vec<u8> = bits
        .as_bytes()
        .chunks(8)
        .map(|byte| u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 2).unwrap())
        .collect();
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &bytes);
    let mac = hmac::sign(&key, &((now_s / 30 + steps) as u64).to_be_bytes());
    let mac = mac.as_ref();
    let at = usize::from(mac[19] & 15);
    let word = u32::from_be_bytes(mac[at..at + 4].try_into().unwrap()) & 0x7fff_ffff;
    format!("{:06}", word % 1_000_000)
}

/// Zoé gets a second factor; its secret. The code that her phone shows now is used.
async fn enrolled(world: &World) -> String {
    let secret = secret_in(&slack(world, ZOE, "link totp").await);
    let first = code(&world.fresh.pool, &secret, 0).await;
    let said = slack(world, ZOE, &format!("link totp {first}")).await;
    assert!(said.contains("You have a second factor from now on"), "{said}");
    secret
}

/// Whatever code was used last is one of some minutes ago.
async fn time_passes(world: &World) {
    sqlx::query("update idp.totp set step = step - 10").execute(&world.fresh.pool).await.unwrap();
}

/// What [`verify`] says to `code` of Zoé's, as a decision would ask it.
async fn verified(world: &World, code: &str) -> Result<(), Refusal> {
    let mut tx = world.fresh.pool.begin().await.unwrap();
    let verified = verify(&mut tx, &world.app.key, &zoe(), code).await;
    tx.commit().await.unwrap();
    match verified {
        Ok(()) => Ok(()),
        Err(Error::Refusal(refusal)) => Err(refusal),
        Err(Error::Fault(fault)) => panic!("{fault:#}"),
    }
}

#[tokio::test]
async fn a_second_factor_is_got_confirmed_used_once_a_code_and_taken_away() {
    let world = World::new().await;
    let pool = &world.fresh.pool;
    assert_eq!(verified(&world, "123456").await, Err(totp::none()));
    let said = slack(&world, ZOE, "link totp").await;
    let secret = secret_in(&said);
    assert!(said.contains("otpauth://totp/idp:zoe"), "{said}");
    assert!(said.contains("ephemeral"), "{said}");
    let now = code(pool, &secret, 0).await;
    assert_eq!(verified(&world, &now).await, Err(totp::none()), "it is not confirmed");

    let secret = enrolled(&world).await;
    let said = slack(&world, ZOE, "link totp").await;
    assert!(said.contains("You have a second factor already"), "{said}");
    let now = code(pool, &secret, 0).await;
    assert_eq!(verified(&world, &now).await, Err(totp::used()), "it confirmed the secret");
    time_passes(&world).await;
    assert_eq!(verified(&world, &now).await, Ok(()));
    assert_eq!(verified(&world, &now).await, Err(totp::used()), "a second time");

    let said = slack(&world, ZOE, &format!("link totp remove {now}")).await;
    assert!(said.contains("used already"), "{said}");
    let next = code(pool, &secret, 1).await;
    let said = slack(&world, ZOE, &format!("link totp remove {next}")).await;
    assert!(said.contains("Your second factor is gone"), "{said}");
    assert_eq!(verified(&world, &next).await, Err(totp::none()));

    let kinds: Vec<String> =
        sqlx::query_scalar("select kind from idp.audit order by id").fetch_all(pool).await.unwrap();
    assert_eq!(kinds, ["totp.enrolled", "totp.removed"]);
}

#[tokio::test]
async fn of_many_who_show_one_code_at_once_one_gets_through() {
    let world = World::new().await;
    let secret = enrolled(&world).await;
    time_passes(&world).await;
    let now = code(&world.fresh.pool, &secret, 0).await;
    let all = (0..16).map(|_| verified(&world, &now));
    let all = futures_util::future::join_all(all).await;
    assert_eq!(all.iter().filter(|it| it.is_ok()).count(), 1, "{all:?}");
}

#[tokio::test]
async fn who_guesses_is_stopped() {
    let world = World::new().await;
    let secret = enrolled(&world).await;
    let mut good = Vec::new();
    for steps in -1..=3 {
        good.push(code(&world.fresh.pool, &secret, steps).await);
    }
    let wrong = (0..).map(|it| format!("{it:06}")).filter(|it| !good.contains(it));
    for wrong in wrong.take(5) {
        assert_eq!(verified(&world, &wrong).await, Err(totp::not_good()));
    }
    assert_eq!(verified(&world, &good[2]).await, Err(totp::too_many()), "not even a good one");
    sqlx::query("update idp.totp_failure set at = at - interval '16 minutes'")
        .execute(&world.fresh.pool)
        .await
        .unwrap();
    assert_eq!(verified(&world, &good[2]).await, Ok(()));
}

#[tokio::test]
async fn a_second_factor_is_shown_where_nobody_else_reads() {
    let world = World::new().await;
    world.mentions(ZOE, "link totp").await;
    let said = world.fake.hears().await.body.to_string();
    assert!(said.contains("whose answer only you see") && !said.contains("otpauth"), "{said}");
    // In Discord the answer is for who asked alone, too.
    let data = discord_world::call("link", &[("code", json!("totp"))]);
    let body = discord_world::interaction(world.number(), 2, "1", data);
    let said = discord_world::sends(world.address, &body).await.body;
    assert!(!said.contains("otpauth"), "a stranger gets none: {said}");
    let kept: i64 = sqlx::query_scalar("select count(*) from idp.totp")
        .fetch_one(&world.fresh.pool)
        .await
        .unwrap();
    assert_eq!(kept, 0);
}

#[tokio::test]
async fn neither_secret_nor_code_is_left_anywhere_in_the_database() {
    let world = World::new().await;
    let secret = enrolled(&world).await;
    let first = code(&world.fresh.pool, &secret, 0).await;
    let now = code(&world.fresh.pool, &secret, 1).await;
    slack(&world, ZOE, &format!("link totp remove {now}x")).await;
    slack(&world, ZOE, &format!("link totp remove {now}")).await;
    slack(&world, ZOE, "link totp").await;
    world.rests().await;
    world.app.record().await;
    let tables: Vec<String> =
        sqlx::query_scalar("select tablename::text from pg_tables where schemaname = 'idp'")
            .fetch_all(&world.fresh.pool)
            .await
            .unwrap();
    assert!(tables.len() > 20, "{tables:?}");
    let mut looked_at = 0;
    for table in tables {
        let rows = format!("select it::text from idp.{table} it");
        let rows: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(rows)).fetch_all(&world.fresh.pool).await.unwrap();
        looked_at += rows.len();
        // Six digits stand in a catalog, or in a number, by chance: a code is one where words are kept.
        let is_of_words = ["inbox", "outbox", "asked", "unanswered", "usage", "audit", "feedback"]
            .iter()
            .any(|it| table.contains(it));
        for row in rows {
            assert!(!row.contains(&secret), "{table}: {row}");
            for code in [&now, &first] {
                assert!(!is_of_words || !row.contains(&format!("totp {code}")), "{table}: {row}");
                assert!(!is_of_words || !row.contains(&format!("remove {code}")), "{table}: {row}");
            }
        }
    }
    assert!(looked_at > 100);
}

#[tokio::test]
async fn another_key_reads_no_secret_and_another_can_be_got() {
    let world = World::new().await;
    let secret = enrolled(&world).await;
    let now = code(&world.fresh.pool, &secret, 0).await;
    let mut tx = world.fresh.pool.begin().await.unwrap();
    let other = idp::vault::Key::random();
    let refused = verify(&mut tx, &other, &zoe(), &now).await;
    assert!(matches!(refused, Err(Error::Refusal(it)) if it == totp::unreadable()));
    assert!(totp::flow::issue(&mut tx, &other, &zoe()).await.is_ok());
    tx.rollback().await.unwrap();
    // The secret of one User, moved to another, opens for nobody.
    sqlx::query("update idp.totp set user_ref = 'user:default/priya-raman'")
        .execute(&world.fresh.pool)
        .await
        .unwrap();
    let mut tx = world.fresh.pool.begin().await.unwrap();
    let priya = EntityRef::new("user", "default", "priya-raman");
    let refused = verify(&mut tx, &world.app.key, &priya, &now).await;
    assert!(matches!(refused, Err(Error::Refusal(it)) if it == totp::unreadable()));
}
