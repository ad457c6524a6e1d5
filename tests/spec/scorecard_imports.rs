//! Scorecards of other products, as they are found.

use std::path::{Path, PathBuf};

use idp::scorecards::formats::{self, Format};
use idp::scorecards::{Keys, file};

/// The files below `under` of the corpus with `word` in them; none, and a line that says so, where there is no corpus.
fn corpus(under: &str, word: &str) -> Vec<(PathBuf, String)> {
    let shared = std::env::var("IDP_SHARED").unwrap_or_else(|_| "../shared".into());
    let dir = Path::new(&shared).join("corpus").join(under);
    if !dir.is_dir() {
        println!("{} is not there: nothing of it is imported", dir.display());
        return Vec::new();
    }
    let files = walkdir::WalkDir::new(dir).sort_by_file_name().into_iter().map(Result::unwrap);
    let files = files.filter(|it| it.file_type().is_file());
    let read = files.filter_map(|it| {
        let text = std::fs::read_to_string(it.path()).ok()?;
        text.contains(word).then(|| (it.into_path(), text))
    });
    read.collect()
}

/// How many scorecards, rules and translated rules; each file that comes of one is good.
fn imported(format: Format, files: Vec<(PathBuf, String)>) -> (usize, usize, usize) {
    let mut sum = (0, 0, 0);
    for (path, text) in files {
        let name = path.display().to_string();
        match formats::import(format, &text, &name) {
            Ok(scorecards) => {
                for it in scorecards {
                    let is_told =
                        it.notes.iter().filter(|note| note.message.starts_with("It is left out"));
                    assert!(is_told.count() >= it.all - it.translated, "{name}: {:?}", it.notes);
                    if let Some(text) = &it.text {
                        let read = file::read(text, "it.yaml", &Keys::new()).unwrap();
                        assert_eq!(read.rules().count(), it.translated, "{name}");
                        for to in [Format::Port, Format::Cortex] {
                            let exported = formats::export(to, &read);
                            formats::import(to, &exported.text, "again").unwrap();
                        }
                    }
                    sum = (sum.0 + 1, sum.1 + it.all, sum.2 + it.translated);
                }
            }
            // Parts of pages that are no whole file.
            Err(problems) => {
                assert!(problems[0].line > 0 && !problems[0].hint.is_empty(), "{name}")
            }
        }
    }
    sum
}

#[test]
fn every_scorecard_of_the_corpus_is_imported_or_told() {
    let cortex = imported(Format::Cortex, corpus("cortex", "expression:"));
    println!(
        "REL scorecards of Cortex: {} files, {} rules, {} translated",
        cortex.0, cortex.1, cortex.2
    );
    let mut port = corpus("port", "\"conditions\"");
    port.extend(corpus("port-docs", "\"conditions\""));
    let is_scorecard = |text: &str| text.contains("\"level\"") && text.contains("\"query\"");
    port.retain(|(_, text)| is_scorecard(text));
    let found = port.len();
    let port = imported(Format::Port, port);
    println!(
        "REL scorecards of Port: {} scorecards, {} rules, {} translated",
        port.0, port.1, port.2
    );
    assert!(found == 0 || port.2 >= 10, "{port:?}");
}

#[test]
fn the_built_in_scorecard_can_be_taken_elsewhere_as_far_as_it_can_be_said() {
    let set = idp::scorecards::ScorecardSet::built_in();
    for scorecard in set.iter() {
        for format in [Format::Port, Format::Cortex] {
            let exported = formats::export(format, scorecard);
            let again = formats::import(format, &exported.text, "again").unwrap().remove(0);
            let left_out =
                exported.notes.iter().filter(|it| it.message.starts_with("It is left out")).count();
            assert!(again.all + left_out >= scorecard.rules().count(), "{}", exported.text);
            assert_eq!(again.translated, again.all, "{:?}", again.notes);
        }
    }
}
