//! Charts: what they show, in colours, in words and in letters, and that they have an end.

use idp::conversation::Reply;
use idp::pictures::chart::{
    Bar, Bars, Chart, Colour, LINES_MAX, Line, PARTS_MAX, Part, ROWS_MAX, Row, STEPS_MAX, Segment,
    Shares, Trend, draw, in_letters, in_words, svg,
};
use idp::pictures::{ALT_CHARACTERS_MAX, BYTES_MAX, Drawing, SIDE_PIXELS_MAX};
use idp::terminal::render::render;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use regex::Regex;
use serde_json::{Value, json};

use crate::pictures::{decoded, texts};
use crate::scale::at_full;

fn segment(label: &str, colour: &str) -> Segment {
    Segment { label: label.into(), colour: Colour::parse(colour) }
}

fn row(label: &str, counts: &[u64]) -> Row {
    Row { label: label.into(), counts: counts.to_vec() }
}

fn trend(values: &[Option<f64>]) -> Trend {
    Trend {
        title: "Overall".into(),
        unit: "%".into(),
        steps: (1..=values.len()).map(|week| format!("W{week}")).collect(),
        lines: vec![Line { label: "payments".into(), colour: None, values: values.to_vec() }],
        top: Some(100.0),
    }
}

fn levels() -> Shares {
    Shares {
        title: "Levels by team".into(),
        segments: vec![
            segment("Gold", "gold"),
            segment("Bronze", "bronze"),
            segment("none", "red"),
        ],
        rows: vec![
            row("payments", &[3, 1, 0]),
            row("storefront", &[1, 1, 2]),
            row("new", &[0, 0, 0]),
        ],
        more: 2,
    }
}

fn commands() -> Bars {
    let bar = |label: &str, value| Bar { label: label.into(), colour: None, value };
    Bars {
        title: "Commands".into(),
        unit: String::new(),
        rows: vec![bar("owner", 412.0), bar("dependents", 103.0), bar("graph", 0.0)],
        more: 0,
        top: None,
    }
}

fn whole() -> Chart {
    let values = [Some(40.0), None, Some(50.0), Some(75.0)];
    Chart {
        title: "Production readiness".into(),
        parts: vec![Part::Shares(levels()), Part::Trend(trend(&values)), Part::Bars(commands())],
    }
}

#[test]
fn a_chart_is_said_in_words_and_in_letters_as_it_is_drawn() {
    let picture = draw(&whole()).unwrap();
    assert_eq!(
        (picture.name.as_str(), picture.title.as_str()),
        ("chart.png", "Production readiness")
    );
    assert_eq!(
        picture.alt,
        "Production readiness. Levels by team. payments: 3 Gold, 1 Bronze. \
         storefront: 1 Gold, 1 Bronze, 2 none. new: none. Overall. payments: from 40 % (W1) to 75 % (W4). \
         Commands. owner: 412. dependents: 103. graph: 0."
    );
    let letters = "\
Production readiness

Levels by team
  payments    ██████████████████▓▓▓▓▓▓  3 Gold, 1 Bronze
  storefront  ██████▓▓▓▓▓▓▒▒▒▒▒▒▒▒▒▒▒▒  1 Gold, 1 Bronze, 2 none
  new                                   none
  and 2 more

Overall
  payments  ▄·▅▆  40 % → 75 %
            W1 … W4

Commands
  owner       ████████████████████████ 412
  dependents  ██████ 103
  graph        0";
    assert_eq!(in_letters(&whole()).join("\n"), letters);
    let drawn = texts(&svg(&whole())).unwrap();
    for words in [
        "Production readiness",
        "Gold",
        "payments",
        "storefront",
        "and 2 more",
        "75 %",
        "W4",
        "412",
    ] {
        assert!(drawn.iter().any(|it| it == words), "{words} is not in {drawn:?}");
    }
    let (width, height, pixels) = decoded(&picture.png);
    assert!(width > 1_000 && height > 500, "{width} × {height}");
    assert!(pixels.chunks(4).all(|pixel| pixel[3] == 255), "it has paper of its own");
    let bronze = pixels.chunks(4).filter(|it| it[..3] == [0xcd, 0x7f, 0x32]).count();
    assert!(bronze > 5_000, "{bronze} pixels of the level's own colour");
}

/// The widths of the bars of `colour`, from the top.
fn widths(svg: &str, colour: &str) -> Vec<f64> {
    let bar = format!("width=\"([0-9.]+)\" height=\"18\" fill=\"{colour}\"");
    let bars = Regex::new(&bar).unwrap();
    bars.captures_iter(svg).map(|it| it[1].parse().unwrap()).collect()
}

#[test]
fn segments_are_as_wide_as_their_share_of_the_row() {
    let drawn = svg(&Chart { title: String::new(), parts: vec![Part::Shares(levels())] });
    let (gold, bronze) = (widths(&drawn, "#e3b341"), widths(&drawn, "#cd7f32"));
    let red = widths(&drawn, "#cf222e");
    assert_eq!((gold.len(), bronze.len(), red.len()), (2, 2, 1));
    // Each ends in a line of paper, one wide.
    let whole = gold[0] + bronze[0] + 2.0;
    let is_near = |one: f64, other: f64| (one - other).abs() < 0.5;
    assert!(is_near(gold[0] + 1.0, whole * 0.75) && is_near(red[0] + 1.0, whole * 0.5), "{drawn}");
}

#[test]
fn a_line_rises_with_its_figures_and_breaks_where_nobody_knows() {
    let values = [Some(10.0), Some(20.0), None, Some(90.0), None, Some(100.0), Some(100.0)];
    let drawn = svg(&Chart { title: String::new(), parts: vec![Part::Trend(trend(&values))] });
    let path = Regex::new("path d=\"([^\"]+)\" fill=\"none\" stroke=\"#0072b2\"").unwrap();
    let path = &path.captures(&drawn).unwrap()[1];
    assert_eq!(path.matches('M').count(), 3, "{path}");
    let points = Regex::new(r"[ML]([0-9.]+) ([0-9.]+)").unwrap();
    let points: Vec<(f64, f64)> = points
        .captures_iter(path)
        .map(|it| (it[1].parse().unwrap(), it[2].parse().unwrap()))
        .collect();
    assert_eq!(points.len(), 5);
    assert!(points.windows(2).all(|it| it[0].0 < it[1].0 && it[0].1 >= it[1].1), "{points:?}");
    assert_eq!(drawn.matches("rx=\"3\"").count(), 2, "the lone figure and the newest are dots");
}

#[test]
fn an_answer_has_a_picture_where_it_has_something_to_draw() {
    let answer = |chart: &Chart| json!({ "total": 1, "chart": chart });
    assert_eq!(Drawing::of(&answer(&whole())), Some(Drawing::Chart(whole())));
    let empty = [
        Chart { parts: Vec::new(), ..whole() },
        Chart { parts: vec![Part::Trend(trend(&[None, None]))], ..whole() },
        Chart { parts: vec![Part::Trend(trend(&[]))], ..whole() },
        Chart { parts: vec![Part::Bars(Bars { rows: Vec::new(), ..commands() })], ..whole() },
    ];
    for chart in &empty {
        assert_eq!(Drawing::of(&answer(chart)), None, "{chart:?}");
        assert!(draw(chart).is_err());
    }
    for other in [json!({}), json!({ "chart": null }), json!({ "chart": { "title": "a" } })] {
        assert_eq!(Drawing::of(&other), None);
    }
}

#[test]
fn a_terminal_shows_a_chart_in_letters() {
    let mut reply = Reply::markdown("Fine.");
    reply.answer = json!({ "chart": whole() });
    let shown = render(&reply, 80, false);
    assert!(shown.starts_with("Fine.\n\nProduction readiness\n\nLevels by team\n"), "{shown}");
    assert!(shown.contains("▄·▅▆  40 % → 75 %"), "{shown}");
    assert!(shown.contains("idp ask --picture FILE"), "{shown}");
    reply.answer = Value::Null;
    assert_eq!(render(&reply, 80, false), "Fine.\n");
}

/// A chart of any shape: more of everything than is drawn, figures that no axis holds, and `label` everywhere.
fn random(random: &mut StdRng, label: &str) -> Chart {
    let figure = |random: &mut StdRng| match random.random_range(0..8) {
        0 => 0.0,
        1 => -random.random_range(0.0..1e9),
        2 => 10_f64.powi(random.random_range(-20..300)),
        3 => f64::MAX,
        _ => random.random_range(0.0..100.0),
    };
    let colour = |random: &mut StdRng| {
        let colours = ["gold", "#000000", "none"];
        Colour::parse(colours[random.random_range(0..colours.len())])
    };
    let (title, unit) = (label.to_string(), label.to_string());
    let part = |random: &mut StdRng| match random.random_range(0..3) {
        0 => Part::Trend(Trend {
            title: title.clone(),
            unit: unit.clone(),
            steps: (0..random.random_range(0..STEPS_MAX + 20)).map(|_| label.to_string()).collect(),
            lines: (0..random.random_range(0..LINES_MAX + 3))
                .map(|_| Line {
                    label: label.into(),
                    colour: colour(random),
                    values: (0..random.random_range(0..STEPS_MAX + 40))
                        .map(|_| random.random_bool(0.8).then(|| figure(random)))
                        .collect(),
                })
                .collect(),
            top: random.random_bool(0.5).then(|| figure(random)),
        }),
        1 => Part::Shares(Shares {
            title: title.clone(),
            segments: (0..random.random_range(0..14))
                .map(|_| Segment { label: label.into(), colour: colour(random) })
                .collect(),
            rows: (0..random.random_range(0..ROWS_MAX + 5))
                .map(|_| Row {
                    label: label.into(),
                    counts: (0..random.random_range(0..16))
                        .map(|_| {
                            if random.random_bool(0.05) {
                                u64::MAX
                            } else {
                                random.random_range(0..9)
                            }
                        })
                        .collect(),
                })
                .collect(),
            more: random.random_range(0..3),
        }),
        _ => Part::Bars(Bars {
            title: title.clone(),
            unit: unit.clone(),
            rows: (0..random.random_range(0..ROWS_MAX + 5))
                .map(|_| Bar { label: label.into(), colour: colour(random), value: figure(random) })
                .collect(),
            more: usize::MAX,
            top: random.random_bool(0.5).then(|| figure(random)),
        }),
    };
    let parts = (0..random.random_range(0..PARTS_MAX + 3)).map(|_| part(random)).collect();
    Chart { title: label.to_string(), parts }
}

#[test]
fn a_chart_has_an_end_and_is_the_same_each_time() {
    let mut randomness = StdRng::seed_from_u64(11);
    let charts = at_full(200);
    let (mut drawn, mut largest) = (0, 0);
    for _ in 0..charts {
        let chart = random(&mut randomness, "service of payments");
        assert!(in_words(&chart).encode_utf16().count() <= ALT_CHARACTERS_MAX);
        let letters = in_letters(&chart);
        assert!(letters.iter().all(|line| line.chars().count() < 400), "{letters:#?}");
        texts(&svg(&chart)).unwrap();
        assert!(!svg(&chart).contains("NaN") && !svg(&chart).contains("inf\""), "{chart:?}");
        let Ok(picture) = draw(&chart) else { continue };
        assert_eq!(draw(&chart).unwrap(), picture);
        let (width, height, _) = decoded(&picture.png);
        assert!(width.max(height) <= SIDE_PIXELS_MAX && picture.png.len() <= BYTES_MAX);
        largest = largest.max(picture.png.len());
        drawn += 1;
    }
    println!(
        "REL P2-charts {drawn} of {charts} random charts drawn twice alike: at most {largest} bytes"
    );
    assert!(drawn > charts / 2);
}

#[test]
fn whatever_a_label_says_is_text() {
    let mut randomness = StdRng::seed_from_u64(12);
    let long = "x".repeat(10_000);
    let stacked = format!("e{}", "\u{301}".repeat(10_000));
    let hostile = [
        "</text><script>alert(1)</script>",
        "\" onload=\"alert(1)",
        "<!DOCTYPE svg [<!ENTITY a SYSTEM 'file:///etc/passwd'>]>&a;",
        "--><image href='http://127.0.0.1/'/>",
        "&#0; &lt;",
        "a\u{202E}b\u{2066}c",
        "\0\u{1}\u{7F}\u{FFFE}\u{FFFF}\u{1b}[2J",
        "𝒳👩‍👩‍👧 漢字 مرحبا",
        "one\ntwo",
        &long,
        &stacked,
    ];
    for label in hostile {
        for _ in 0..4 {
            let chart = random(&mut randomness, label);
            let said = texts(&svg(&chart)).unwrap_or_else(|error| panic!("{label:.40}: {error}"));
            let letters = in_letters(&chart).join("\n");
            for shown in said.iter().chain([&letters, &in_words(&chart)]) {
                let hidden = ['\u{202E}', '\0', '\u{2066}', '\u{1b}', '\u{FFFF}'];
                assert!(!shown.contains(hidden), "{label:.40}: {shown}");
            }
            let Ok(picture) = draw(&chart) else { continue };
            decoded(&picture.png);
            assert!(picture.alt.encode_utf16().count() <= ALT_CHARACTERS_MAX);
        }
    }
    // The control: what the judge says of a label that was written as it is.
    let bars = Bars { title: "NAME".into(), ..commands() };
    let chart = Chart { title: String::new(), parts: vec![Part::Bars(bars)] };
    assert!(texts(&svg(&chart).replace("NAME", hostile[0])).is_err());
}
