//! The catalog in memory, asked by one thread.

use std::hint::black_box;
use std::time::{Duration, Instant};

use idp::catalog::snapshot::{Filter, Resolution};
use idp::catalog::{RelationKind, Snapshot};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::figure::Figures;
use crate::generated::Generated;
use crate::process::memory_mb;

/// So many questions of each sort.
const QUESTIONS: usize = 2_000;

pub fn measure(generated: &Generated, figures: &mut Figures) {
    println!("snapshot, {} entities", generated.len());
    let name = |figure: &str| format!("snapshot-{}-{figure}", generated.len());
    let stored = generated.stored();
    let text_mb =
        stored.iter().map(|it| it.body.len() + it.reference.as_str().len()).sum::<usize>();
    let before_mb = memory_mb(std::process::id());

    let start = Instant::now();
    let snapshot = Snapshot::build(stored, &[], 1);
    figures.add(name("build"), start.elapsed().as_secs_f64() * 1e3, "ms");
    let start = Instant::now();
    snapshot.search("anything", &Filter::default(), 0, 1);
    figures.add(name("first-search"), start.elapsed().as_secs_f64() * 1e3, "ms");
    figures.add(name("own-text"), text_mb as f64 / 1e6, "MB");
    figures.add(name("memory-grown"), memory_mb(std::process::id()) - before_mb, "MB");

    let mut random = StdRng::seed_from_u64(1);
    let asked: Vec<&str> =
        (0..QUESTIONS).map(|_| &*generated.entities.choose(&mut random).unwrap().name).collect();
    each(figures, &name("owner"), &asked, |asked| {
        let Resolution::One(entity) = snapshot.resolve(asked, &[]) else { panic!("{asked}") };
        snapshot.related(entity, RelationKind::OwnedBy).len()
    });
    let misspelt: Vec<String> = asked.iter().map(|it| with_typo(&mut random, it)).collect();
    each(figures, &name("search"), &asked, |it| snapshot.search(it, &Filter::default(), 0, 10).1);
    each(figures, &name("search-typo"), &misspelt, |it| {
        snapshot.search(it, &Filter::default(), 0, 10).1
    });
    each(figures, &name("did-you-mean"), &misspelt, |it| {
        matches!(snapshot.resolve(it, &[]), Resolution::Unknown(_)).into()
    });

    let hub = snapshot.find(generated.hub().reference.as_str()).unwrap();
    let start = Instant::now();
    let reach = snapshot.dependents(hub, &Filter::default(), 0, 10);
    figures.add(name("hub-first"), start.elapsed().as_secs_f64() * 1e3, "ms");
    figures.add(name("hub-dependents"), reach.total as f64, "");
    each(figures, &name("hub"), &[(); QUESTIONS], |()| {
        snapshot.dependents(hub, &Filter::default(), 0, 10).total
    });

    let mut changed = generated.stored();
    changed.truncate(5);
    for entity in &mut changed {
        entity.body = entity.body.replace("Keeps", "Holds").into();
    }
    let mut added = generated.stored().pop().unwrap();
    added.reference = idp::catalog::EntityRef::new("component", "default", "brand-new");
    changed.push(added);
    let start = Instant::now();
    let next = snapshot.next(changed, &[], &[], 2);
    figures.add(name("next"), start.elapsed().as_secs_f64() * 1e3, "ms");
    let start = Instant::now();
    next.search("anything", &Filter::default(), 0, 1);
    figures.add(name("next-first-search"), start.elapsed().as_secs_f64() * 1e3, "ms");
}

fn each<Q>(figures: &mut Figures, name: &str, asked: &[Q], answer: impl Fn(&Q) -> usize) {
    let whole = Instant::now();
    let answers: Vec<Duration> = asked
        .iter()
        .map(|asked| {
            let start = Instant::now();
            black_box(answer(asked));
            start.elapsed()
        })
        .collect();
    figures.add_answers(name, answers, whole.elapsed());
}

/// One letter left out, or two swapped.
fn with_typo(random: &mut StdRng, name: &str) -> String {
    let mut letters: Vec<char> = name.chars().collect();
    let place = random.random_range(0..letters.len() - 1);
    match random.random() {
        true => drop(letters.remove(place)),
        false => letters.swap(place, place + 1),
    }
    letters.into_iter().collect()
}
