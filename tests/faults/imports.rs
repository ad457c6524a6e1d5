//! An import is one transaction a source: whatever is killed, each source is as it was or as it is to be.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, Instant};

use rand::Rng;
use sqlx::PgConnection;

use crate::home::{Home, Victim, ended, random, succeed, write};
use crate::scale::at_full;

const SOURCES: [&str; 2] = ["services", "libraries"];
const FILES: usize = 25;
const ENTITIES_A_FILE: usize = 10;

/// The two contents that the directories alternate between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Spring,
    Autumn,
}

impl Content {
    fn next(self) -> Content {
        match self {
            Content::Spring => Content::Autumn,
            Content::Autumn => Content::Spring,
        }
    }
}

/// All that the database holds of each source, as one checksum, and how many changes it has recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    rows: BTreeMap<String, String>,
    changes: BTreeMap<String, i64>,
}

/// What a finished import leads to: the rows of each content, and the changes that lead to it.
struct Known {
    rows: [BTreeMap<String, String>; 2],
    changes: [BTreeMap<String, i64>; 2],
    import_takes: Duration,
}

/// Where a source is after a kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Old,
    New,
    Torn,
}

#[tokio::test]
async fn a_killed_import_leaves_each_source_old_or_new() {
    let mut random = random("imports");
    let home = Home::new();
    let known = learn(&home).await;
    let mut content = Content::Autumn;
    let mut before = state_of(&home).await;

    let kills = at_full(50);
    let (mut between_sources, mut adopted) = (0, 0);
    for victim in Victim::ALL {
        let (mut killed, mut old, mut new) = (0, 0, 0);
        while killed < kills {
            put(&home, content.next(), &SOURCES, 1);
            let moment = known.import_takes.mul_f64(random.random_range(0.0..1.0));
            let mut idp = home.idp(&["catalog", "import", SOURCES[0], SOURCES[1]]).spawn().unwrap();
            std::thread::sleep(moment);
            let server = home.postmaster();
            let in_time = home.kill(victim, &mut idp);
            let said = ended(idp);
            if in_time && victim == Victim::Idp && server.is_some() {
                let (cluster, _) = home.quiet_database().await;
                // Another one runs where the killed process had been about to stop it.
                adopted += usize::from(home.postmaster() == server);
                cluster.leave().await.unwrap();
            }
            let after = state_of(&home).await;
            let found = known.judge(&before, &after, content.next());
            let told = || format!("{victim:?} killed after {moment:?}: {found:?}\n{said:?}");
            assert!(found.iter().all(|verdict| *verdict != Verdict::Torn), "{}", told());
            if said.status.success() {
                assert!(found.iter().all(|verdict| *verdict == Verdict::New), "{}", told());
            }

            import(&home, &SOURCES);
            content = content.next();
            let completed = state_of(&home).await;
            assert_eq!(known.judge(&before, &completed, content), [Verdict::New; 2], "{}", told());
            before = completed;
            if !in_time {
                continue;
            }
            killed += 1;
            between_sources += usize::from(found[0] != found[1]);
            old += found.iter().filter(|verdict| **verdict == Verdict::Old).count();
            new += found.iter().filter(|verdict| **verdict == Verdict::New).count();
        }
        println!(
            "REL imports: {kills} kills of {victim:?}: {old} sources old, {new} new, 0 torn; {kills} of {kills} next imports completed"
        );
    }
    println!(
        "REL imports: {between_sources} kills between the sources, {adopted} servers adopted, an import takes {:?}",
        known.import_takes
    );
}

/// The controls: an import that stopped half way, and one that lost a row of its history.
#[tokio::test]
async fn half_a_source_would_be_seen() {
    let home = Home::new();
    let known = learn(&home).await;
    let before = state_of(&home).await;
    put(&home, Content::Spring, &SOURCES[..1], 2);
    import(&home, &SOURCES);
    let half = state_of(&home).await;
    let found = known.judge(&before, &half, Content::Spring);
    assert_eq!(found, [Verdict::Torn, Verdict::Old], "half of the files");

    put(&home, Content::Spring, &SOURCES, 1);
    import(&home, &SOURCES);
    let whole = state_of(&home).await;
    let found = known.judge(&half, &whole, Content::Spring);
    assert_eq!(found, [Verdict::Torn, Verdict::New], "all rows, half of the changes");

    let (cluster, mut connection) = home.quiet_database().await;
    sqlx::query(
        "delete from idp.change
         where id = (select max(id) from idp.change where source like '%libraries')",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    drop(connection);
    cluster.leave().await.unwrap();
    let found = known.judge(&half, &state_of(&home).await, Content::Spring);
    assert_eq!(found, [Verdict::Torn; 2], "all rows, all changes but one");
}

impl Known {
    /// Where each source is that was to go from `before` to the rows of `content`, in the order of [`SOURCES`].
    fn judge(&self, before: &State, after: &State, content: Content) -> [Verdict; 2] {
        let mut verdicts = [Verdict::Torn; 2];
        for (source, rows) in &after.rows {
            let place = SOURCES.iter().position(|name| source.ends_with(name)).unwrap();
            let changes = |state: &State| state.changes.get(source).copied().unwrap_or(0);
            let recorded = changes(after) - changes(before);
            let is_old = before.rows.get(source) == Some(rows) && recorded == 0;
            let is_new = self.rows[content as usize].get(source) == Some(rows)
                && self.changes[content as usize].get(source) == Some(&recorded);
            verdicts[place] = match (is_old, is_new) {
                (true, _) => Verdict::Old,
                (false, true) => Verdict::New,
                (false, false) => Verdict::Torn,
            };
        }
        verdicts
    }
}

/// What whole imports lead to. Afterwards the database holds [`Content::Autumn`].
async fn learn(home: &Home) -> Known {
    // After the first round each content has seen the other's entities go.
    for content in [Content::Spring, Content::Autumn] {
        put(home, content, &SOURCES, 1);
        import(home, &SOURCES);
    }
    let mut before = state_of(home).await;
    let mut known = Known {
        rows: Default::default(),
        changes: Default::default(),
        import_takes: Duration::ZERO,
    };
    for content in [Content::Spring, Content::Autumn] {
        put(home, content, &SOURCES, 1);
        let start = Instant::now();
        import(home, &SOURCES);
        known.import_takes = start.elapsed();
        let after = state_of(home).await;
        for (source, changes) in &after.changes {
            known.changes[content as usize]
                .insert(source.clone(), changes - before.changes[source]);
        }
        known.rows[content as usize] = after.rows.clone();
        before = after;
    }
    for source in known.rows[0].keys() {
        assert_ne!(known.rows[0][source], known.rows[1][source], "the contents differ");
        assert!(known.changes[0][source] > (FILES * ENTITIES_A_FILE) as i64);
    }
    known
}

fn import(home: &Home, sources: &[&str]) {
    let mut arguments = vec!["catalog", "import"];
    arguments.extend(sources);
    succeed(home.idp(&arguments));
}

/// Puts `content` into every `step`th file of `sources`.
fn put(home: &Home, content: Content, sources: &[&str], step: usize) {
    for source in sources {
        for file in (0..FILES).step_by(step) {
            let mut text = String::new();
            for entity in 0..ENTITIES_A_FILE {
                let name = format!("{source}-{file}-{entity}");
                document(&mut text, &name, content);
            }
            if file % 10 == 0 {
                // Some come and go: fewer than would wait for a person.
                document(&mut text, &format!("{source}-{file}-{content:?}"), content);
            }
            write(home.path().join(source).join(format!("{file}/catalog-info.yaml")), &text);
        }
    }
}

fn document(text: &mut String, name: &str, content: Content) {
    write!(
        text,
        "---\napiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata:\n  name: {name}\n  description: in {content:?}\n\
         spec:\n  type: service\n  lifecycle: production\n  owner: group:{content:?}\n  dependsOn: [component:{content:?}]\n"
    )
    .unwrap();
}

async fn state_of(home: &Home) -> State {
    let (cluster, mut connection) = home.quiet_database().await;
    let state =
        State { rows: rows(&mut connection).await, changes: changes(&mut connection).await };
    drop(connection);
    cluster.leave().await.unwrap();
    state
}

async fn rows(connection: &mut PgConnection) -> BTreeMap<String, String> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "select source.name, md5(string_agg(line, ' ' order by line))
         from idp.source
         join (
            select source_id, concat_ws(' ', 'entity', ref, md5(body), hash, orphaned_at is null, file) as line
            from idp.stored_entity
            union all
            select source_id, concat_ws(' ', 'relation', ref, position, stated_relation.kind, target)
            from idp.stated_relation
            join idp.stored_entity on stored_entity.id = entity_id
            union all
            select source_id, concat_ws(' ', 'file', name, bytes, checksum, documents)
            from idp.file
            union all
            select source_id, concat_ws(' ', 'problem', file, line, ref, rule)
            from idp.problem
         ) as of_source on source_id = source.id
         group by source.name",
    )
    .fetch_all(connection)
    .await
    .unwrap();
    rows.into_iter().collect()
}

async fn changes(connection: &mut PgConnection) -> BTreeMap<String, i64> {
    let counts: Vec<(String, i64)> =
        sqlx::query_as("select source, count(*) from idp.change group by source")
            .fetch_all(connection)
            .await
            .unwrap();
    counts.into_iter().collect()
}
