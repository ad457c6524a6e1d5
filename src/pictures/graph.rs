//! A graph: one entity with what depends on it at its left and what it needs at its right.

use std::fmt::Write;

use dagre::graph::GraphOptions;
use dagre::{EdgeLabel, LayoutOptions, NodeLabel, Point, RankDir};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    ALT_CHARACTERS_MAX, FAINT, INK, LINE, Letters, PAPER, letters, opened, png, shown, text, width,
};
use crate::conversation::Picture;

/// More nobody takes in, and the layout of more takes longer than a chat waits.
pub const NODES_MAX: usize = 40;
pub const EDGES_MAX: usize = 80;

const LABEL_LETTERS_MAX: usize = 28;
const DETAIL_LETTERS_MAX: usize = 36;
const TITLE_LETTERS_MAX: usize = 80;
const LABEL_SIZE: f64 = 14.0;
const DETAIL_SIZE: f64 = 11.0;
const TITLE_SIZE: f64 = 15.0;
const NODE_HEIGHT: f64 = 46.0;
const PADDING: f64 = 16.0;
const MARGIN: f64 = 24.0;
/// The lines above and below the graph.
const HEAD: f64 = 34.0;
const FOOT: f64 = 40.0;

const NODE: &str = "#f6f8fa";
const ASKED: &str = "#0b3d91";

/// What is drawn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Graph {
    pub direction: Direction,
    /// The first is the one that was asked about.
    pub nodes: Vec<Node>,
    pub edges: Vec<Edge>,
    /// How many more depend on it than are among the nodes.
    pub more_dependents: usize,
    /// How many more it needs than are among the nodes.
    pub more_dependencies: usize,
}

impl Graph {
    /// The graph of an answer, where it has one with anything to draw.
    pub fn of(answer: &Value) -> Option<Graph> {
        let graph = Graph::deserialize(answer.get("graph")?).ok()?;
        (!graph.edges.is_empty()).then_some(graph)
    }

    /// How much memory it takes, about.
    pub fn bytes(&self) -> usize {
        let texts = |it: &Node| it.reference.len() + it.label.len() + it.kind.len();
        let nodes = self.nodes.iter().map(|it| size_of::<Node>() + texts(it));
        nodes.sum::<usize>() + size_of_val(self.edges.as_slice())
    }
}

/// Which way was looked from the entity that was asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    Dependents,
    Dependencies,
    Both,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    #[serde(rename = "ref")]
    pub reference: String,
    /// What people call it.
    pub label: String,
    pub kind: String,
    /// What people call its owner, the first of several.
    pub owner: Option<String>,
    /// Whether the catalog describes it, and does not only name it.
    pub known: bool,
}

/// `from` needs `to`; both are places among the nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edge {
    pub from: usize,
    pub to: usize,
}

/// The picture of `graph`: its first [`NODES_MAX`] nodes and [`EDGES_MAX`] edges, and how many more there are.
///
/// It takes tens of milliseconds of a processor: not for a thread that others wait for.
///
/// # Errors
/// A graph without a node; a picture that is too large.
pub fn draw(graph: &Graph) -> anyhow::Result<Picture> {
    anyhow::ensure!(!graph.nodes.is_empty(), "a graph without a node");
    let graph = bounded(graph);
    Ok(Picture {
        name: "graph.png".into(),
        title: title(&graph, TITLE_LETTERS_MAX),
        alt: in_words(&graph),
        png: png(&svg(&graph))?,
    })
}

/// `graph` with what is drawn of it; what is not is counted among what more there is.
fn bounded(graph: &Graph) -> Graph {
    let mut graph = graph.clone();
    let left_out = graph.nodes.len().saturating_sub(NODES_MAX);
    graph.nodes.truncate(NODES_MAX);
    match graph.direction {
        Direction::Dependents => graph.more_dependents += left_out,
        Direction::Dependencies | Direction::Both => graph.more_dependencies += left_out,
    }
    let nodes = graph.nodes.len();
    graph.edges.retain(|edge| edge.from < nodes && edge.to < nodes && edge.from != edge.to);
    graph.edges.truncate(EDGES_MAX);
    graph
}

fn title(graph: &Graph, letters_max: usize) -> String {
    let (before, behind) = match graph.direction {
        Direction::Dependents => ("What depends on ", ""),
        Direction::Dependencies => ("What ", " needs"),
        Direction::Both => ("What depends on ", ", and what it needs"),
    };
    let room = letters_max - letters(before) - letters(behind);
    format!("{before}{}{behind}", shown(&graph.nodes[0].label, room))
}

/// What the picture shows, for who does not see it: `Checkout needs Payment API, Ledger. …`
fn in_words(graph: &Graph) -> String {
    let mut words = format!("{}.", title(graph, TITLE_LETTERS_MAX));
    let end =
        more(graph).into_iter().flatten().fold(String::new(), |all, it| all + " " + &it + ".");
    let room = ALT_CHARACTERS_MAX - end.len() - " More lines are drawn.".len();
    let label = |place: usize| shown(&graph.nodes[place].label, LABEL_LETTERS_MAX);
    for place in 0..graph.nodes.len() {
        let needed = graph.edges.iter().filter(|edge| edge.from == place);
        let needed: Vec<String> = needed.map(|edge| label(edge.to)).collect();
        if needed.is_empty() {
            continue;
        }
        let sentence = format!(" {} needs {}.", label(place), needed.join(", "));
        if words.encode_utf16().count() + sentence.encode_utf16().count() > room {
            words.push_str(" More lines are drawn.");
            break;
        }
        words.push_str(&sentence);
    }
    words + &end
}

/// What is said of those that are not drawn: who depends on it, what it needs.
fn more(graph: &Graph) -> [Option<String>; 2] {
    let said = |count: usize, what: &str| (count > 0).then(|| format!("{count} more {what}"));
    let is_one = graph.more_dependents == 1;
    [
        said(graph.more_dependents, if is_one { "depends on it" } else { "depend on it" }),
        said(graph.more_dependencies, "of what it needs"),
    ]
}

/// Where one node is: its middle and its width.
struct Place {
    x: f64,
    y: f64,
    width: f64,
}

struct Layout {
    width: f64,
    height: f64,
    places: Vec<Place>,
    /// In the order of the graph's edges.
    lines: Vec<Vec<Point>>,
}

/// The two lines of a node: what it is called; what it is and whose.
fn lines(node: &Node) -> (String, String) {
    let kind = match (node.known, &node.owner) {
        (false, _) => format!("{}, not described", node.kind),
        (true, Some(owner)) => format!("{} · {owner}", node.kind),
        (true, None) => format!("{} · nobody's", node.kind),
    };
    (shown(&node.label, LABEL_LETTERS_MAX), shown(&kind, DETAIL_LETTERS_MAX))
}

/// Dependents left of what they need.
fn layout(graph: &Graph) -> Layout {
    let options = GraphOptions { directed: true, multigraph: false, compound: false };
    let mut drawn = dagre::graph::Graph::with_options(options);
    for (place, node) in graph.nodes.iter().enumerate() {
        let (label, detail) = lines(node);
        let width = width(&label, LABEL_SIZE).max(width(&detail, DETAIL_SIZE)) + 2.0 * PADDING;
        let label = NodeLabel { width, height: NODE_HEIGHT, ..NodeLabel::default() };
        drawn.set_node(name(place), Some(label));
    }
    for edge in &graph.edges {
        drawn.set_edge(name(edge.from), name(edge.to), Some(EdgeLabel::default()), None);
    }
    let options = LayoutOptions {
        rankdir: RankDir::LR,
        nodesep: 14.0,
        edgesep: 12.0,
        ranksep: 56.0,
        ..LayoutOptions::default()
    };
    dagre::layout(&mut drawn, Some(options));
    let places: Vec<Place> = (0..graph.nodes.len())
        .filter_map(|place| {
            let label = drawn.node(&name(place))?;
            Some(Place { x: label.x?, y: label.y?, width: label.width })
        })
        .collect();
    let lines = graph.edges.iter().map(|edge| {
        let drawn = drawn.edge(&name(edge.from), &name(edge.to), None);
        drawn.map(|it| it.points.clone()).unwrap_or_default()
    });
    let lines: Vec<Vec<Point>> = lines.collect();
    let right = |place: &Place| place.x + place.width / 2.0;
    let points = lines.iter().flatten();
    let farthest = |of: fn(&Point) -> f64| points.clone().map(of).fold(0.0, f64::max);
    Layout {
        width: places.iter().map(right).fold(farthest(|it| it.x), f64::max),
        height: places
            .iter()
            .map(|it| it.y + NODE_HEIGHT / 2.0)
            .fold(farthest(|it| it.y), f64::max),
        places,
        lines,
    }
}

fn name(place: usize) -> String {
    place.to_string()
}

/// The picture of `graph` as SVG, laid out for the size at which it is read.
pub fn svg(graph: &Graph) -> String {
    const KEY: &str = "An arrow leads to what is needed.";
    let graph = &bounded(graph);
    let drawn = layout(graph);
    let title = title(graph, TITLE_LETTERS_MAX);
    let [dependents, dependencies] = more(graph).map(Option::unwrap_or_default);
    let foot = [dependents.as_str(), KEY, dependencies.as_str()].join("   ");
    let inner = drawn.width.max(width(&title, TITLE_SIZE)).max(width(&foot, DETAIL_SIZE));
    let (across, down) = (inner + 2.0 * MARGIN, drawn.height + 2.0 * MARGIN + HEAD + FOOT);
    let mut svg = opened(across, down);
    let _ = write!(
        svg,
        "<defs><marker id=\"arrow\" viewBox=\"0 0 10 10\" refX=\"9\" refY=\"5\" markerWidth=\"8\" markerHeight=\"8\" \
         orient=\"auto\"><path d=\"M0 0 L10 5 L0 10 z\" fill=\"{LINE}\"/></marker></defs>"
    );
    let bold = |anchor, size| Letters { anchor, size, ink: INK, is_bold: true };
    text(&mut svg, (MARGIN, MARGIN + TITLE_SIZE), bold("start", TITLE_SIZE), &title);
    let below = down - MARGIN;
    text(&mut svg, (MARGIN, below), bold("start", DETAIL_SIZE), &dependents);
    let key = Letters { ink: FAINT, is_bold: false, ..bold("middle", DETAIL_SIZE) };
    text(&mut svg, (across / 2.0, below), key, KEY);
    text(&mut svg, (across - MARGIN, below), bold("end", DETAIL_SIZE), &dependencies);
    let left = (across - drawn.width) / 2.0;
    let _ = write!(svg, "<g transform=\"translate({left:.1} {:.1})\">", MARGIN + HEAD);
    for line in &drawn.lines {
        let _ = write!(
            svg,
            "<path d=\"{}\" fill=\"none\" stroke=\"{LINE}\" stroke-width=\"1.5\" marker-end=\"url(#arrow)\"/>",
            curve(line)
        );
    }
    for (number, (node, place)) in graph.nodes.iter().zip(&drawn.places).enumerate() {
        let is_asked = number == 0;
        let (fill, ink, faint) = match is_asked {
            true => (ASKED, PAPER, PAPER),
            false => (NODE, INK, FAINT),
        };
        let stroke = if is_asked { 3.0 } else { 1.5 };
        let dashes = if node.known { "" } else { " stroke-dasharray=\"5 4\"" };
        let _ = write!(
            svg,
            "<path d=\"{}\" fill=\"{fill}\" stroke=\"{INK}\" stroke-width=\"{stroke}\"{dashes}/>",
            outline(&node.kind, place)
        );
        let (label, detail) = lines(node);
        // The lid of a drum takes room.
        let y = if node.kind.eq_ignore_ascii_case("resource") { place.y + 4.0 } else { place.y };
        let letters = Letters { anchor: "middle", size: LABEL_SIZE, ink, is_bold: is_asked };
        text(&mut svg, (place.x, y - 1.0), letters, &label);
        let letters = Letters { size: DETAIL_SIZE, ink: faint, is_bold: false, ..letters };
        text(&mut svg, (place.x, y + 13.0), letters, &detail);
    }
    svg.push_str("</g></svg>");
    svg
}

/// A line through `points`, round where it turns.
fn curve(points: &[Point]) -> String {
    let Some((first, rest)) = points.split_first() else { return String::new() };
    let mut path = format!("M{:.1} {:.1}", first.x, first.y);
    for pair in rest.windows(2) {
        let (turn, next) = (&pair[0], &pair[1]);
        let (x, y) = ((turn.x + next.x) / 2.0, (turn.y + next.y) / 2.0);
        let _ = write!(path, " Q{:.1} {:.1} {x:.1} {y:.1}", turn.x, turn.y);
    }
    if let Some(last) = rest.last() {
        let _ = write!(path, " L{:.1} {:.1}", last.x, last.y);
    }
    path
}

/// The kind by its outline: an API is pointed, data is a drum, a system or domain has two frames, what else there is has
/// corners, a component round ones.
fn outline(kind: &str, place: &Place) -> String {
    let (left, right) = (place.x - place.width / 2.0, place.x + place.width / 2.0);
    let (top, bottom) = (place.y - NODE_HEIGHT / 2.0, place.y + NODE_HEIGHT / 2.0);
    let frame = |by: f64| {
        let (left, right, top, bottom) = (left + by, right - by, top + by, bottom - by);
        format!("M{left:.1} {top:.1} H{right:.1} V{bottom:.1} H{left:.1} z")
    };
    match kind.to_lowercase().as_str() {
        "component" => {
            let (high, low, r) = (top + 10.0, bottom - 10.0, 10.0);
            format!(
                "M{:.1} {top:.1} H{:.1} A{r} {r} 0 0 1 {right:.1} {high:.1} V{low:.1} A{r} {r} 0 0 1 {:.1} {bottom:.1} \
                 H{:.1} A{r} {r} 0 0 1 {left:.1} {low:.1} V{high:.1} A{r} {r} 0 0 1 {:.1} {top:.1} z",
                left + r,
                right - r,
                right - r,
                left + r,
                left + r
            )
        }
        "api" => format!(
            "M{:.1} {top:.1} H{:.1} L{right:.1} {y:.1} L{:.1} {bottom:.1} H{:.1} L{left:.1} {y:.1} z",
            left + 12.0,
            right - 12.0,
            right - 12.0,
            left + 12.0,
            y = place.y
        ),
        "resource" => {
            let (high, low, rx) = (top + 5.0, bottom - 5.0, place.width / 2.0);
            format!(
                "M{left:.1} {high:.1} A{rx:.1} 5 0 0 1 {right:.1} {high:.1} V{low:.1} A{rx:.1} 5 0 0 1 {left:.1} {low:.1} z \
                 M{left:.1} {high:.1} A{rx:.1} 5 0 0 0 {right:.1} {high:.1}"
            )
        }
        "system" | "domain" => format!("{} {}", frame(0.0), frame(3.5)),
        _ => frame(0.0),
    }
}
