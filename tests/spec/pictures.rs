//! Pictures: what they show, that nothing in a name is more than text, and that they have an end.

use std::time::{Duration, Instant};

use idp::pictures::graph::{Direction, EDGES_MAX, Edge, Graph, NODES_MAX, Node, draw, svg};
use idp::pictures::{ALT_CHARACTERS_MAX, BYTES_MAX, SIDE_PIXELS_MAX};
use quick_xml::Reader;
use quick_xml::events::Event;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::scale::at_full;

/// What a picture of ours consists of.
const ELEMENTS: [&str; 7] = ["svg", "defs", "marker", "rect", "path", "g", "text"];

fn node(label: &str) -> Node {
    Node {
        reference: format!("component:default/{label}"),
        label: label.into(),
        kind: "Component".into(),
        owner: Some("Payments".into()),
        known: true,
    }
}

fn graph(labels: &[&str], edges: &[(usize, usize)]) -> Graph {
    Graph {
        direction: Direction::Both,
        nodes: labels.iter().map(|label| node(label)).collect(),
        edges: edges.iter().map(|(from, to)| Edge { from: *from, to: *to }).collect(),
        more_dependents: 0,
        more_dependencies: 0,
    }
}

/// A graph of `nodes` nodes and up to `edges` edges in any direction, cycles and all.
fn random(seed: u64, nodes: usize, edges: usize) -> Graph {
    let mut random = StdRng::seed_from_u64(seed);
    let labels: Vec<String> = (0..nodes).map(|it| format!("service-{it}-of-payments")).collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let place = |random: &mut StdRng| random.random_range(0..nodes);
    let edges: Vec<_> = (0..edges).map(|_| (place(&mut random), place(&mut random))).collect();
    let mut graph = graph(&labels, &edges);
    let kinds = ["Component", "API", "Resource", "System", "Template"];
    for node in &mut graph.nodes {
        node.kind = kinds[random.random_range(0..kinds.len())].into();
        node.known = random.random_bool(0.9);
        node.owner = random.random_bool(0.8).then(|| "Payments".into());
    }
    graph
}

/// The texts of `svg` in their order, as a parser of XML that did not write it reads it.
pub fn texts(svg: &str) -> Result<Vec<String>, String> {
    let mut reader = Reader::from_str(svg);
    let (mut texts, mut open) = (Vec::new(), Vec::new());
    loop {
        match reader.read_event().map_err(|error| error.to_string())? {
            Event::Start(start) | Event::Empty(start)
                if !ELEMENTS.iter().any(|it| it.as_bytes() == start.name().as_ref()) =>
            {
                return Err(format!("an element {start:?}"));
            }
            Event::Start(start) => {
                open.push(start.name().as_ref().to_vec());
                if start.name().as_ref() == b"text" {
                    texts.push(String::new());
                }
                for attribute in start.attributes() {
                    let attribute = attribute.map_err(|error| error.to_string())?;
                    let name = String::from_utf8_lossy(attribute.key.as_ref()).into_owned();
                    if name.starts_with("on") || name.contains("href") {
                        return Err(format!("an attribute {name}"));
                    }
                }
            }
            Event::End(_) => drop(open.pop()),
            Event::Text(text) => {
                let said = text.decode().map_err(|error| error.to_string())?;
                let is_text = open.last().is_some_and(|it| it == b"text");
                match texts.last_mut().filter(|_| is_text) {
                    Some(last) => last.push_str(&said),
                    None if said.trim().is_empty() => {}
                    None => return Err(format!("text outside of texts: {said}")),
                }
            }
            Event::GeneralRef(name) => {
                let character = match name.decode().map_err(|error| error.to_string())?.as_ref() {
                    "amp" => '&',
                    "lt" => '<',
                    "gt" => '>',
                    "quot" => '"',
                    "#39" => '\'',
                    other => return Err(format!("an entity {other}")),
                };
                texts.last_mut().ok_or("an entity outside of texts")?.push(character);
            }
            Event::Empty(_) => {}
            Event::Eof => return Ok(texts),
            other => return Err(format!("{other:?}")),
        }
    }
}

/// Width and height of a PNG that another decoder reads to its end, and its colours.
pub fn decoded(png: &[u8]) -> (u32, u32, Vec<u8>) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let frame = reader.next_frame(&mut pixels).unwrap();
    assert_eq!(frame.color_type, png::ColorType::Rgba);
    (frame.width, frame.height, pixels)
}

#[test]
fn a_picture_says_names_kinds_and_owners_and_has_paper_of_its_own() {
    let mut shown = graph(&["Payment API", "Checkout", "ledger-db"], &[(1, 0), (0, 2)]);
    shown.nodes[2] = Node { kind: "Resource".into(), owner: None, ..shown.nodes[2].clone() };
    shown.more_dependents = 3;
    let said = texts(&svg(&shown)).unwrap();
    for words in [
        "What depends on Payment API, and what it needs",
        "Payment API",
        "Checkout",
        "Component · Payments",
        "Resource · nobody's",
        "3 more depend on it",
    ] {
        assert!(said.iter().any(|it| it == words), "{words} is not in {said:?}");
    }
    let picture = draw(&shown).unwrap();
    assert_eq!(
        picture.alt,
        "What depends on Payment API, and what it needs. Payment API needs ledger-db. \
         Checkout needs Payment API. 3 more depend on it."
    );
    let (width, height, pixels) = decoded(&picture.png);
    assert!(width > 600 && height > 200, "{width} × {height}");
    // Readable on dark and on light: no pixel is seen through.
    assert!(pixels.chunks(4).all(|pixel| pixel[3] == 255));
    let corner = &pixels[..4];
    assert_eq!(corner, [255, 255, 255, 255]);
    let dark = pixels.chunks(4).filter(|it| it[..3].iter().all(|part| *part < 80)).count();
    assert!(dark > 1_000, "{dark} dark pixels: the letters are not there");
}

#[test]
fn dependents_stand_left_of_what_they_need() {
    let shown = svg(&graph(&["middle", "left", "right"], &[(1, 0), (0, 2)]));
    let across = |label: &str| {
        let before = shown.split(&format!(">{label}</text>")).next().unwrap();
        let x = before.rsplit("<text x=\"").next().unwrap().split('"').next().unwrap();
        x.parse::<f64>().unwrap()
    };
    assert!(across("left") < across("middle") && across("middle") < across("right"), "{shown}");
}

#[test]
fn whatever_a_name_says_is_text() {
    let long = "x".repeat(10_000);
    let stacked = format!("e{}", "\u{301}".repeat(10_000));
    let hostile = [
        "</text><script>alert(1)</script>",
        "\" onload=\"alert(1)",
        "<!DOCTYPE svg [<!ENTITY a SYSTEM 'file:///etc/passwd'>]>&a;",
        "<![CDATA[",
        "--><image href='http://127.0.0.1/'/>",
        "&#0; &lt;",
        "a\u{202E}b\u{2066}c",
        "\0\u{1}\u{7F}\u{FFFE}\u{FFFF}",
        "𝒳👩‍👩‍👧 漢字 مرحبا",
        "",
        &long,
        &stacked,
    ];
    for name in hostile {
        let mut shown = graph(&["good", name], &[(0, 1)]);
        shown.nodes[1].kind = name.into();
        shown.nodes[1].owner = Some(name.into());
        for first in [0, 1] {
            shown.nodes.swap(0, first);
            let said = texts(&svg(&shown)).unwrap_or_else(|error| panic!("{name:.40}: {error}"));
            assert!(said.iter().any(|it| it == "good"), "{said:?}");
            let begin: String = name.chars().take_while(char::is_ascii_graphic).take(20).collect();
            assert!(said.iter().any(|it| it.starts_with(&begin)), "{begin} is not in {said:?}");
            assert!(said.iter().all(|it| !it.contains(['\u{202E}', '\0', '\u{2066}'])), "{said:?}");
            let picture = draw(&shown).unwrap();
            decoded(&picture.png);
            assert!(picture.alt.encode_utf16().count() <= ALT_CHARACTERS_MAX);
            assert!(!picture.title.contains(['\u{202E}', '\0', '\n']), "{:?}", picture.title);
        }
    }
    // The control: what the judge says of a name that was written as it is.
    let unescaped = svg(&graph(&["good", "NAME"], &[])).replace("NAME", hostile[0]);
    assert!(texts(&unescaped).is_err());
}

#[test]
fn a_picture_has_an_end_and_is_the_same_each_time() {
    let graphs = at_full(200);
    let (mut largest, mut widest) = (0, 0);
    for seed in 0..graphs as u64 {
        let nodes = 1 + seed as usize % (NODES_MAX + 10);
        let shown = random(seed, nodes, nodes * 4);
        let picture = draw(&shown).unwrap();
        assert_eq!(draw(&shown).unwrap(), picture, "seed {seed}");
        let (width, height, _) = decoded(&picture.png);
        assert!(width.max(height) <= SIDE_PIXELS_MAX, "seed {seed}: {width} × {height}");
        assert!(picture.png.len() <= BYTES_MAX && picture.alt.len() <= ALT_CHARACTERS_MAX);
        largest = largest.max(picture.png.len());
        widest = widest.max(width.max(height));
    }
    println!(
        "REL P1-pictures {graphs} random graphs drawn twice alike: at most {largest} bytes, {widest} pixels"
    );
}

#[test]
fn what_is_not_drawn_is_counted() {
    let many = random(1, NODES_MAX + 25, EDGES_MAX * 2);
    let said = texts(&svg(&many)).unwrap();
    assert!(said.iter().any(|it| it == "25 more of what it needs"), "{said:?}");
    let nodes = said.iter().filter(|it| it.starts_with("service-")).count();
    assert_eq!(nodes, NODES_MAX);
    assert!(svg(&many).matches("marker-end").count() <= EDGES_MAX);
}

#[test]
fn how_long_a_full_picture_takes() {
    let shown = random(7, NODES_MAX, EDGES_MAX);
    draw(&shown).unwrap();
    let mut times: Vec<Duration> = (0..10)
        .map(|_| {
            let start = Instant::now();
            draw(&shown).unwrap();
            start.elapsed()
        })
        .collect();
    times.sort();
    println!(
        "REL P1-time {NODES_MAX} nodes, {EDGES_MAX} edges: median {:?}, {} bytes",
        times[5],
        draw(&shown).unwrap().png.len()
    );
}
