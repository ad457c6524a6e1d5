//! What is reported of a step: whatever comes, in whichever order, only the step goes on that the token was made for.

use idp::actions::dispatch::order::{CALLBACK, REDEEM, token};
use idp::actions::dispatch::report::{Report, Taken, flow};
use idp::actions::{Request, store};
use idp::vault::Key;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::json;

use crate::actions::Doing;
use crate::scale::full_or;

/// A request, and how its one step must stand.
struct Kept {
    request: Request,
    token: String,
    /// `None`: nothing of it was begun.
    step: Option<&'static str>,
}

impl Doing {
    async fn kept(&self, id: i64, step: Option<&'static str>) -> Kept {
        let mut db = self.db().acquire().await.unwrap();
        let request = store::whole(&mut db, id).await.unwrap().unwrap().request;
        let token = token(&self.app().key, CALLBACK, &request, 0);
        Kept { request, token, step }
    }

    async fn running(&self, number: usize) -> Kept {
        let id = self.approved(&format!("number {number}")).await;
        self.works().await;
        self.kept(id, Some("running")).await
    }

    async fn is_as(&self, kept: &Kept) -> bool {
        let step = "select state from idp.step where request = $1";
        let step: Option<String> =
            sqlx::query_scalar(step).bind(kept.request.id).fetch_optional(self.db()).await.unwrap();
        step.as_deref() == kept.step
    }
}

fn report(status: &str) -> Report {
    serde_json::from_value(json!({ "status": status, "note": "3 of 4" })).unwrap()
}

/// A token that is not the one of `kept`, nor of any other of `all`.
fn forged(random: &mut StdRng, key: &Key, kept: &Kept, all: &[Kept]) -> String {
    let (head, mac) = kept.token.rsplit_once('-').unwrap();
    match random.random_range(0..8) {
        0 => {
            let mut mac: Vec<u8> = mac.bytes().collect();
            let place = random.random_range(0..mac.len());
            mac[place] = if mac[place] == b'0' { b'1' } else { b'0' };
            format!("{head}-{}", String::from_utf8(mac).unwrap())
        }
        // The token of one, with the number of another.
        1 => {
            let other = all.choose(random).unwrap().request.id;
            let other = if other == kept.request.id { other + 1_000_000 } else { other };
            format!("{other}-0-{mac}")
        }
        2 => format!("{}-{}-{mac}", kept.request.id, random.random_range(1..9)),
        // What redeems is no callback.
        3 => token(key, REDEEM, &kept.request, 0),
        // Of another instance.
        4 => token(&Key::random(), CALLBACK, &kept.request, 0),
        5 => kept.token[..random.random_range(0..kept.token.len())].to_string(),
        6 => format!("{}{}", kept.token, random.random_range(0..10)),
        _ => format!("{head}-{}", hex::encode(random.random::<[u8; 32]>())),
    }
}

/// C12: forged, replayed, in another order than it happened, for another request, after the end.
#[tokio::test]
async fn whatever_is_reported_a_step_goes_on_by_its_own_token_alone_and_never_back() {
    let doing = Doing::with("at_once: any\n").await;
    doing.ops.answers(202, json!({ "status": "started" }));
    let office = doing.app().office(doing.db());
    let (mut random, reports) = (StdRng::seed_from_u64(12), full_or(100_000, 1_000));
    let mut all = vec![
        // Asked for, and approved but not begun.
        doing.kept(doing.asks("waits").await, None).await,
        doing.kept(doing.approved("not begun").await, Some("ready")).await,
    ];
    // What is approved and not begun stays so.
    let later = "update idp.execution set next_at = 'infinity' where request = $1";
    sqlx::query(later).bind(all[1].request.id).execute(doing.db()).await.unwrap();
    all.push(doing.running(0).await);
    let (mut illegal, mut taken, mut ends) = (Vec::new(), 0, 0);
    for number in 1..=reports {
        let place = match random.random_range(0..4) {
            0 => random.random_range(0..2),
            1 => all.len() - 1,
            _ => random.random_range(0..all.len()),
        };
        let status = match random.random_range(0..25) {
            0 => "succeeded",
            1 => "failed",
            _ => "running",
        };
        let is_forged = random.random_bool(0.6);
        let token = match is_forged {
            true => forged(&mut random, &doing.app().key, &all[place], &all),
            false => all[place].token.clone(),
        };
        let is_running = all[place].step == Some("running");
        let expected = match (is_forged, is_running) {
            (true, _) => Taken::Unknown,
            (false, true) => Taken::Taken,
            (false, false) => Taken::TooLate,
        };
        if expected == Taken::Taken {
            taken += 1;
            all[place].step = Some(status);
        }
        let said = flow::report(&office, &token, &report(status)).await.unwrap();
        if said != expected || !doing.is_as(&all[place]).await {
            illegal.push(format!("{number}: {status} by {token}: {said:?}, not {expected:?}"));
        }
        if expected == Taken::Taken && status != "running" {
            ends += 1;
            doing.works().await;
            all.push(doing.running(number).await);
        }
    }
    for kept in &all {
        if !doing.is_as(kept).await {
            illegal.push(format!("request {} is otherwise in the end", kept.request.id));
        }
    }
    println!("REL C12 reports={reports} taken={taken} ends={ends} illegal={}", illegal.len());
    assert!(illegal.is_empty(), "{:#?}", &illegal[..illegal.len().min(10)]);
    assert!(taken > 0 && ends > 0, "{taken} {ends}");
}
