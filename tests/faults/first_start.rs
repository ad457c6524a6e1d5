//! The first start makes the cluster: `initdb`, the server, the database, the migrations.

use std::time::Instant;

use idp::postgres::store;
use rand::Rng;

use crate::home::{Home, Victim, ended, random, succeed};
use crate::scale::at_full;

#[tokio::test]
async fn a_first_start_that_is_killed_is_completed_by_the_next() {
    let mut random = random("first start");
    let start = Instant::now();
    succeed(Home::new().idp(&["migrate"]));
    let takes = start.elapsed();
    let expected = store::migrations().iter().count() as i64;

    let kills = at_full(60);
    let (mut killed, mut with_initdb_alone) = (0, 0);
    while killed < kills {
        let home = Home::new();
        let victim = Victim::ALL[killed % 3];
        let moment = takes.mul_f64(random.random_range(0.0..1.0));
        let mut idp = home.idp(&["migrate"]).spawn().unwrap();
        std::thread::sleep(moment);
        if !home.kill(victim, &mut idp) {
            continue;
        }
        ended(idp);
        killed += 1;
        with_initdb_alone += usize::from(home.private().dir.join("data.unfinished").exists());

        succeed(home.idp(&["migrate"]));
        let (cluster, mut connection) = home.quiet_database().await;
        let applied: i64 = sqlx::query_scalar("select count(*) from idp.migrations where success")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(applied, expected, "{victim:?} killed after {moment:?}");
        drop(connection);
        cluster.leave().await.unwrap();
    }
    println!(
        "REL first start: {killed} kills, {with_initdb_alone} of them while initdb ran; {killed} of {killed} next starts completed it"
    );
}
