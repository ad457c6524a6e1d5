//! Importing: what sources say comes into the catalog, and stays right whatever happens to them.

use std::os::unix::fs::symlink;
use std::time::Duration;

use idp::catalog::flow;
use idp::catalog::sources::Source;
use idp::catalog::{Problem, Severity};
use sqlx::PgPool;

use crate::database::fresh;
use crate::descriptors::shared;
use crate::directory::{Directory, component, options, path};
use crate::scale::at_full;

/// Every reference in the catalog, orphans in brackets, sorted.
async fn references(db: &PgPool) -> Vec<String> {
    let all = "select case when orphaned_at is null then name else '(' || name || ')' end
               from idp.entity order by name";
    sqlx::query_scalar(all).fetch_all(db).await.unwrap()
}

/// Which version of which row the catalog's tables have. A file that is read is written down in `idp.file`.
async fn rows(db: &PgPool) -> Vec<String> {
    let all = "select 'entity ' || ref || ' ' || xmin || ' ' || ctid from idp.stored_entity
               union all select 'relation ' || entity_id || ' ' || xmin || ' ' || ctid from idp.stated_relation
               union all select 'file ' || name || ' ' || xmin || ' ' || ctid from idp.file
               union all select 'change ' || id || ' ' || xmin || ' ' || ctid from idp.change
               order by 1";
    sqlx::query_scalar(all).fetch_all(db).await.unwrap()
}

/// `file:line [rule] message`
fn said(problems: &[Problem]) -> Vec<String> {
    let one = |it: &Problem| format!("{}:{} [{}] {}", it.file, it.line, it.rule, it.message);
    problems.iter().map(one).collect()
}

/// So many components in files of a hundred.
fn many(directory: &Directory, count: usize) {
    for first in (0..count).step_by(100) {
        let names = (first..count.min(first + 100)).map(|it| component(&format!("c{it}"), "team"));
        directory.write(&format!("{first:06}.yaml"), &names.collect::<String>());
    }
}

#[tokio::test]
async fn the_public_descriptors_are_imported_whole_and_the_second_time_nothing_changes() {
    let Some(corpus) = shared("corpus/backstage") else { return };
    let Some(oracle) = shared("corpus/oracle.jsonl") else { return };
    let fresh = fresh().await;
    let sources = [path(&corpus)];

    let first = flow::import(&fresh.pool, &sources, &options(&corpus)).await.unwrap();
    let before = rows(&fresh.pool).await;
    let second = flow::import(&fresh.pool, &sources, &options(&corpus)).await.unwrap();
    println!(
        "{} files, {} documents, {} entities, {} problems in {:.2} s; again in {:.3} s",
        first.files,
        first.documents,
        first.entities.total,
        first.problems.len(),
        first.seconds,
        second.seconds,
    );
    assert_eq!(second.entities.created + second.entities.updated + second.entities.removed, 0);
    assert_eq!(second.entities.unchanged, first.entities.total);
    assert_eq!(second.problems, first.problems);
    assert!(rows(&fresh.pool).await == before, "a row was written again, or a file was read again");

    let stored: Vec<String> =
        sqlx::query_scalar("select ref from idp.entity").fetch_all(&fresh.pool).await.unwrap();
    let oracle = std::fs::read_to_string(oracle).unwrap();
    for line in oracle.lines() {
        let file: serde_json::Value = serde_json::from_str(line).unwrap();
        let name = file["file"].as_str().unwrap().trim_start_matches("backstage/");
        for document in file["docs"].as_array().unwrap() {
            let index = document["doc"].as_u64().unwrap();
            let reference = document["ref"].as_str().unwrap_or_default();
            if document["ok"] == true {
                assert!(stored.iter().any(|it| it == reference), "{name}: {reference}");
            } else {
                let is_told = |it: &Problem| it.file == name && u64::from(it.document) == index;
                assert!(first.problems.iter().any(is_told), "{name}: document {index}");
            }
        }
    }
}

#[tokio::test]
async fn a_conflict_names_both_places_and_the_first_keeps_the_entity() {
    let fresh = fresh().await;
    let directory = Directory::with(&[
        ("a.yaml", &component("pay", "payments")),
        ("b.yaml", &format!("{}{}", component("Pay", "checkout"), component("cart", "checkout"))),
    ]);
    let report = directory.import(&fresh.pool).await;
    assert_eq!(references(&fresh.pool).await, ["cart", "pay"]);
    assert_eq!(
        said(&report.problems),
        [
            "b.yaml:2 [conflict] `component:default/pay` is described twice: here, and in a.yaml of directory:., line 2, which keeps it."
        ]
    );

    let other = Directory::with(&[("c.yaml", &component("cart", "someone-else"))]);
    let sources = [directory.source(), other.source()];
    let report = flow::import(&fresh.pool, &sources, &directory.options).await.unwrap();
    assert!(
        said(&report.problems)
            .iter()
            .any(|it| it.contains("c.yaml:2 [conflict]")
                && it.contains("b.yaml of directory:., line 7")),
        "{:#?}",
        said(&report.problems)
    );
}

#[tokio::test]
async fn the_second_claim_wins_when_the_first_is_gone_though_its_own_file_did_not_change() {
    let fresh = fresh().await;
    let directory = Directory::with(&[
        ("a.yaml", &component("pay", "payments")),
        ("b.yaml", &component("pay", "checkout")),
    ]);
    directory.import(&fresh.pool).await;
    directory.remove("a.yaml");
    let report = directory.import(&fresh.pool).await;
    assert_eq!(said(&report.problems), [""; 0]);
    assert_eq!(report.entities.updated, 1);
    let owner = "select target from idp.relation where ref = 'component:default/pay'";
    let owner: String = sqlx::query_scalar(owner).fetch_one(&fresh.pool).await.unwrap();
    assert_eq!(owner, "group:default/checkout");
}

#[tokio::test]
async fn what_a_source_no_longer_has_is_an_orphan_then_gone_and_comes_back_when_described() {
    let fresh = fresh().await;
    let mut directory = Directory::with(&[
        ("a.yaml", &component("pay", "payments")),
        ("b.yaml", &component("cart", "checkout")),
    ]);
    directory.import(&fresh.pool).await;

    directory.remove("a.yaml");
    let report = directory.import(&fresh.pool).await;
    assert_eq!(references(&fresh.pool).await, ["cart", "(pay)"]);
    assert_eq!(report.entities.removed, 0);
    assert!(said(&report.problems)[0].starts_with("a.yaml:2 [orphan]"), "{:?}", report.problems);

    directory.write("c.yaml", &component("pay", "payments"));
    directory.import(&fresh.pool).await;
    assert_eq!(references(&fresh.pool).await, ["cart", "pay"]);

    directory.remove("c.yaml");
    directory.import(&fresh.pool).await;
    directory.options.orphan_grace = Duration::ZERO;
    let report = directory.import(&fresh.pool).await;
    assert_eq!(report.entities.removed, 1);
    assert_eq!(references(&fresh.pool).await, ["cart"]);
}

#[tokio::test]
async fn what_a_broken_document_said_stays() {
    let fresh = fresh().await;
    let mut directory = Directory::with(&[
        ("a.yaml", &component("pay", "payments")),
        ("b.yaml", &format!("{}{}", component("cart", "checkout"), component("shop", "checkout"))),
    ]);
    directory.options.orphan_grace = Duration::ZERO;
    directory.import(&fresh.pool).await;

    directory.write("a.yaml", "apiVersion: [");
    directory.write("b.yaml", &component("cart", "checkout").replace("owner: checkout", "x: y"));
    let report = directory.import(&fresh.pool).await;
    assert_eq!(references(&fresh.pool).await, ["cart", "pay"], "`shop` was taken out, not broken");
    assert_eq!(report.entities.removed, 1);
    let errors = report.problems.iter().filter(|it| it.severity == Severity::Error);
    assert_eq!(errors.map(|it| it.file.as_str()).collect::<Vec<_>>(), ["a.yaml", "b.yaml"]);

    let again = directory.import(&fresh.pool).await;
    assert_eq!(again.entities.removed, 0);
    assert_eq!(said(&again.problems), said(&report.problems));
}

#[tokio::test]
async fn a_mass_deletion_waits_for_a_person_and_the_rest_goes_on() {
    let fresh = fresh().await;
    let mut directory = Directory::new();
    many(&directory, 200);
    directory.import(&fresh.pool).await;

    directory.remove("000000.yaml");
    directory.write("000100.yaml", &component("c199", "another-team"));
    directory.write("new.yaml", &component("new", "team"));
    directory.options.orphan_grace = Duration::ZERO;
    for (created, updated) in [(1, 1), (0, 0)] {
        let report = directory.import(&fresh.pool).await;
        assert_eq!((report.entities.created, report.entities.updated), (created, updated));
        assert_eq!((report.entities.total, report.entities.removed), (201, 0));
        assert!(report.held[0].contains("would lose 199 of its 20"), "{:?}", report.held);
        let told = said(&report.problems);
        assert!(told.iter().any(|it| it.contains("[mass-delete]")), "{told:?}");
    }

    directory.options.confirm_deletions = true;
    let report = directory.import(&fresh.pool).await;
    assert_eq!((report.entities.total, report.entities.removed), (2, 199));
    assert!(report.held.is_empty() && report.problems.is_empty(), "{:?}", report.problems);
}

#[tokio::test]
async fn a_tenth_goes_without_asking() {
    let fresh = fresh().await;
    let mut directory = Directory::new();
    many(&directory, 1_000);
    directory.options.orphan_grace = Duration::ZERO;
    directory.import(&fresh.pool).await;
    directory.remove("000000.yaml");
    assert_eq!(directory.import(&fresh.pool).await.entities.removed, 100);
}

#[tokio::test]
async fn a_small_team_removes_its_three_services_without_asking() {
    let fresh = fresh().await;
    let mut directory = Directory::new();
    directory.options.orphan_grace = Duration::ZERO;
    let files = ["a.yaml", "b.yaml", "c.yaml"];
    for file in files {
        directory.write(file, &component(&file[..1], "team"));
    }
    directory.import(&fresh.pool).await;
    for file in files {
        directory.remove(file);
    }
    assert_eq!(directory.import(&fresh.pool).await.entities.removed, 3);
}

#[tokio::test]
async fn one_poisoned_file_among_ten_thousand_costs_no_other() {
    let fresh = fresh().await;
    let directory = Directory::new();
    let count = at_full(10_000);
    for number in 0..count {
        directory.write(&format!("{number}.yaml"), &component(&format!("c{number}"), "team"));
    }
    let bomb = "apiVersion: v1\na: &a [x, x]\nb: &b [*a, *a]\n".to_string();
    let bomb = (0..40).fold(bomb, |it, level| format!("{it}k{level}: &k{level} [*b, *b]\n"));
    directory.write("7.yaml", &bomb);
    let report = directory.import(&fresh.pool).await;
    println!("{count} files in {:.2} s", report.seconds);
    assert_eq!(report.entities.total, count as u64 - 1);
    assert!(report.problems.iter().all(|it| it.file == "7.yaml"), "{:?}", report.problems);
    assert!(!report.problems.is_empty());
}

#[tokio::test]
async fn a_source_describes_only_the_kinds_it_may() {
    let fresh = fresh().await;
    let user = "apiVersion: backstage.io/v1alpha1\nkind: User\nmetadata: {name: mallory}\nspec: {memberOf: [payments]}\n";
    let directory = Directory::with(&[("a.yaml", &component("pay", "payments")), ("b.yaml", user)]);
    let mut source = directory.source();
    let restrict = |source: &mut Source, kinds: &[&str]| {
        let Source::Path { kinds: allowed, .. } = source else { panic!("a path") };
        *allowed = kinds.iter().map(|it| it.to_string()).collect();
    };
    restrict(&mut source, &["Component"]);
    let report = flow::import(&fresh.pool, &[source.clone()], &directory.options).await.unwrap();
    assert_eq!(references(&fresh.pool).await, ["pay"]);
    let told = said(&report.problems);
    assert_eq!(told, ["b.yaml:1 [kind-not-allowed] This source may not describe a User."]);

    // The files did not change, but what they may say did.
    restrict(&mut source, &["User"]);
    flow::import(&fresh.pool, &[source.clone()], &directory.options).await.unwrap();
    assert_eq!(references(&fresh.pool).await, ["mallory", "(pay)"]);
}

#[tokio::test]
async fn nobody_takes_an_entity_over_by_describing_it_too() {
    let fresh = fresh().await;
    let (theirs, ours) = (Directory::new(), Directory::new());
    many(&ours, 100);
    for number in 0..100 {
        theirs.write(&format!("{number}.yaml"), &component(&format!("C{number}"), "mallory"));
    }
    let sources = [ours.source(), theirs.source()];
    let report = flow::import(&fresh.pool, &sources, &ours.options).await.unwrap();
    assert_eq!(report.problems.len(), 100);
    // Also when theirs is read first from now on, and ours has changed its files.
    ours.write(
        "000000.yaml",
        &(0..100).map(|it| component(&format!("c{it}"), "us")).collect::<String>(),
    );
    let sources = [theirs.source(), ours.source()];
    flow::import(&fresh.pool, &sources, &ours.options).await.unwrap();
    let owners = "select distinct target from idp.relation where kind = 'ownedBy'";
    let owners: Vec<String> = sqlx::query_scalar(owners).fetch_all(&fresh.pool).await.unwrap();
    assert_eq!(owners, ["group:default/us"]);
}

#[tokio::test]
async fn an_entity_may_move_from_one_file_to_another() {
    let fresh = fresh().await;
    let both = format!("{}{}", component("pay", "payments"), component("cart", "checkout"));
    let directory =
        Directory::with(&[("z.yaml", &both), ("a.yaml", &component("shop", "checkout"))]);
    directory.import(&fresh.pool).await;
    directory.write("z.yaml", &component("cart", "checkout"));
    let moved = format!("{}{}", component("shop", "checkout"), component("pay", "payments"));
    directory.write("a.yaml", &moved);
    let report = directory.import(&fresh.pool).await;
    assert_eq!(said(&report.problems), [""; 0]);
    assert_eq!(references(&fresh.pool).await, ["cart", "pay", "shop"]);
    let file = "select file from idp.entity where name = 'pay'";
    let file: String = sqlx::query_scalar(file).fetch_one(&fresh.pool).await.unwrap();
    assert_eq!(file, "a.yaml");
}

#[tokio::test]
async fn locations_are_followed_inside_the_source_and_nowhere_else() {
    let fresh = fresh().await;
    let outside = Directory::with(&[("secret.txt", &component("secret", "nobody"))]);
    let secret = outside.path().join("secret.txt");
    let location = format!(
        "apiVersion: backstage.io/v1alpha1
kind: Location
metadata: {{name: all}}
spec:
  targets:
    - ./services/*.descriptor
    - ./missing.yaml
    - ../secret.yaml
    - ./link.txt
    - {}
    - https://example.org/catalog-info.yaml
",
        secret.display()
    );
    let directory = Directory::with(&[
        ("all.yaml", &location),
        ("services/pay.descriptor", &component("pay", "payments")),
        ("services/cart.descriptor", &component("cart", "checkout")),
        ("services/deep/shop.descriptor", &component("shop", "checkout")),
        ("services/notes.txt", &component("notes", "checkout")),
    ]);
    symlink(&secret, directory.path().join("link.txt")).unwrap();
    let report = directory.import(&fresh.pool).await;
    assert_eq!(references(&fresh.pool).await, ["all", "cart", "pay"]);
    let lines = |rule: &str| -> Vec<u32> {
        report.problems.iter().filter(|it| it.rule == rule).map(|it| it.line).collect()
    };
    assert_eq!(lines("location-target"), [7, 8, 9, 10], "{:#?}", said(&report.problems));
    assert_eq!(lines("location-url"), [11]);

    // What a Location points to is found again although the Location did not change.
    directory.write("services/new.descriptor", &component("new", "checkout"));
    directory.write("missing.yaml", &component("found", "checkout"));
    directory.remove("services/cart.descriptor");
    let report = directory.import(&fresh.pool).await;
    assert_eq!(references(&fresh.pool).await, ["all", "(cart)", "found", "new", "pay"]);
    let still = report.problems.iter().filter(|it| it.rule == "location-target").count();
    assert_eq!(still, 3);
}

#[tokio::test]
async fn a_changed_include_changes_the_entity_though_its_descriptor_did_not() {
    let fresh = fresh().await;
    let api = "apiVersion: backstage.io/v1alpha1\nkind: API\nmetadata: {name: pay}\nspec: {type: openapi, lifecycle: production, owner: payments, definition: {$text: ./pay.txt}}\n";
    let directory = Directory::with(&[("pay.yaml", api), ("pay.txt", "one")]);
    directory.import(&fresh.pool).await;
    directory.write("pay.txt", "two");
    assert_eq!(directory.import(&fresh.pool).await.entities.updated, 1);
    let definition = "select spec ->> 'definition' from idp.entity where name = 'pay'";
    let definition: String = sqlx::query_scalar(definition).fetch_one(&fresh.pool).await.unwrap();
    assert_eq!(definition, "two");
}

#[tokio::test]
async fn links_that_go_in_circles_and_other_peoples_files_do_no_harm() {
    let fresh = fresh().await;
    let directory = Directory::with(&[
        ("team/pay.yaml", &component("pay", "payments")),
        (".git/catalog-info.yaml", &component("not-this", "payments")),
        (".backstage/catalog-info.yaml", &component("cart", "checkout")),
        ("openapi.yaml", "openapi: 3.0.0\ninfo: {title: Pay}\n"),
    ]);
    symlink(directory.path(), directory.path().join("team/loop.yaml")).unwrap();
    symlink(directory.path().join("team"), directory.path().join("again")).unwrap();
    symlink("pay.yaml", directory.path().join("team/pay-too.yaml")).unwrap();
    symlink("/etc/passwd", directory.path().join("passwd.yaml")).unwrap();
    let report = directory.import(&fresh.pool).await;
    assert_eq!(references(&fresh.pool).await, ["cart", "pay"]);
    let rules: Vec<_> = report.problems.iter().map(|it| (&*it.file, &*it.rule)).collect();
    assert_eq!(rules, [("passwd.yaml", "link"), ("openapi.yaml", "no-descriptor")]);
}

#[tokio::test]
async fn a_mounted_config_map_is_read_once() {
    let fresh = fresh().await;
    let directory = Directory::with(&[("..2026_01/all.yaml", &component("pay", "payments"))]);
    symlink("..2026_01", directory.path().join("..data")).unwrap();
    symlink("..data/all.yaml", directory.path().join("all.yaml")).unwrap();
    assert_eq!(directory.import(&fresh.pool).await.files, 1);

    directory.write("..2026_02/all.yaml", &component("cart", "checkout"));
    directory.remove("..data");
    symlink("..2026_02", directory.path().join("..data")).unwrap();
    directory.import(&fresh.pool).await;
    assert_eq!(references(&fresh.pool).await, ["cart", "(pay)"]);
}

#[tokio::test]
async fn a_path_that_is_not_there_is_an_error_and_takes_nothing_away() {
    let fresh = fresh().await;
    let directory = Directory::with(&[("a.yaml", &component("pay", "payments"))]);
    let missing = path(&directory.path().join("missing"));
    let sources = [missing, directory.source()];
    let error = flow::import(&fresh.pool, &sources, &directory.options).await.unwrap_err();
    assert!(format!("{error:#}").contains("missing"), "{error:#}");
    assert_eq!(references(&fresh.pool).await, ["pay"]);

    std::fs::rename(directory.path(), directory.path().with_extension("away")).unwrap();
    assert!(flow::import(&fresh.pool, &[directory.source()], &directory.options).await.is_err());
    std::fs::rename(directory.path().with_extension("away"), directory.path()).unwrap();
    assert_eq!(references(&fresh.pool).await, ["pay"]);
}

#[tokio::test]
async fn two_imports_at_once_end_as_one() {
    let fresh = fresh().await;
    let directory = Directory::new();
    many(&directory, 1_000);
    let (one, other) = tokio::join!(directory.import(&fresh.pool), directory.import(&fresh.pool));
    assert_eq!(one.entities.created + other.entities.created, 1_000);
    let changes = "select count(*) from idp.change";
    let changes: i64 = sqlx::query_scalar(changes).fetch_one(&fresh.pool).await.unwrap();
    assert_eq!(changes, 1_000);
}

#[tokio::test]
async fn a_change_within_the_same_moment_and_of_the_same_size_is_seen() {
    let fresh = fresh().await;
    let directory = Directory::with(&[("a.yaml", &component("pay", "payments"))]);
    let path = directory.path().join("a.yaml");
    let moment = std::fs::metadata(&path).unwrap().modified().unwrap();
    directory.import(&fresh.pool).await;
    directory.write("a.yaml", &component("pay", "checkout"));
    std::fs::File::open(&path).unwrap().set_modified(moment).unwrap();
    assert_eq!(directory.import(&fresh.pool).await.entities.updated, 1);
}
