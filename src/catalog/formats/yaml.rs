//! YAML documents as trees that know where everything stands.
//!
//! Scalars are read by the core schema of YAML 1.2, as the `yaml` package of npm (which Backstage uses) does:
//! `no`, `1:30` and dates are text, `0123` is 123. Merge keys (`<<`) work. A broken document never costs
//! a neighbour: reading resumes at the next `---`.
//!
//! Texts come from strangers, so everything that can grow is bounded: depth, values, and what aliases copy.

use std::collections::HashMap;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Span, StrInput};
use serde_json::{Map, Number, Value};

/// How deep lists and mappings may lie in each other.
const DEPTH_MAX: usize = 64;
/// The most values in one file. A file of 1 MiB could have half a million, too many to keep in memory.
const VALUES_MAX: usize = 200_000;
/// The most values in one file that anchors keep and aliases repeat.
const COPIED_VALUES_MAX: usize = 100_000;
/// The most bytes of text in one file that anchors keep and aliases repeat.
const COPIED_BYTES_MAX: usize = 1 << 20;
/// From so many keys on a mapping is sorted to find those that stand twice.
const KEYS_COMPARED_MAX: usize = 16;

/// A place in a file. Both from 1; the column counts characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub line: u32,
    pub column: u32,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub content: Content,
    pub at: Position,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    /// In the order of the file, every key once.
    Mapping(Vec<Entry>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub key: String,
    pub key_at: Position,
    pub value: Node,
}

/// One document of a file.
#[derive(Debug)]
pub struct Document<'text> {
    /// As written, from its `---` to the next one.
    pub text: &'text str,
    pub at: Position,
    pub root: Result<Node, Broken>,
}

/// Why a document could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    pub at: Position,
    pub reason: Reason,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    #[error("This is not YAML: {0}.")]
    Syntax(ErrorKind),
    #[error("The key `{0}` stands twice in one mapping.")]
    DuplicateKey(String),
    #[error("The anchor of this alias contains the alias itself.")]
    Circle,
    #[error("A list or a mapping stands where a key should.")]
    KeyIsNoText,
    #[error("This text has a NUL character.")]
    Nul,
    #[error("`<<` takes a mapping or a list of mappings.")]
    Merge,
    #[error("Values lie more than {DEPTH_MAX} deep in each other.")]
    TooDeep,
    #[error("The file has more than {VALUES_MAX} values.")]
    TooManyValues,
    #[error("Anchors and aliases repeat too much of the file.")]
    TooManyCopies,
}

impl Node {
    pub fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The entries of a mapping, none of anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.content {
            Content::Mapping(entries) => entries,
            _ => &[],
        }
    }

    pub fn into_entries(self) -> Vec<Entry> {
        match self.content {
            Content::Mapping(entries) => entries,
            _ => Vec::new(),
        }
    }

    /// The items of a list, none of anything else.
    pub fn items(&self) -> &[Node] {
        match &self.content {
            Content::List(items) => items,
            _ => &[],
        }
    }

    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    pub fn is_mapping(&self) -> bool {
        matches!(self.content, Content::Mapping(_))
    }

    pub fn is_null(&self) -> bool {
        self.content == Content::Null
    }

    /// In words a person reads: `a list`.
    pub fn what(&self) -> &'static str {
        match &self.content {
            Content::Null => "empty",
            Content::Bool(_) => "true or false",
            Content::Number(_) => "a number",
            Content::Text(_) => "text",
            Content::List(_) => "a list",
            Content::Mapping(_) => "a mapping",
        }
    }

    /// The same value from JSON, all of it standing at `at`.
    pub fn from_json(value: Value, at: Position) -> Node {
        let content = match value {
            Value::Null => Content::Null,
            Value::Bool(it) => Content::Bool(it),
            Value::Number(it) => Content::Number(it),
            Value::String(it) => Content::Text(it),
            Value::Array(items) => {
                Content::List(items.into_iter().map(|item| Node::from_json(item, at)).collect())
            }
            Value::Object(entries) => Content::Mapping(
                entries
                    .into_iter()
                    .map(|(key, value)| Entry {
                        key,
                        key_at: at,
                        value: Node::from_json(value, at),
                    })
                    .collect(),
            ),
        };
        Node { content, at }
    }

    pub fn into_json(self) -> Value {
        match self.content {
            Content::Null => Value::Null,
            Content::Bool(it) => Value::Bool(it),
            Content::Number(it) => Value::Number(it),
            Content::Text(it) => Value::String(it),
            Content::List(items) => Value::Array(items.into_iter().map(Node::into_json).collect()),
            Content::Mapping(entries) => Value::Object(into_json_object(entries)),
        }
    }
}

/// The entries as a JSON object, in their order.
pub fn into_json_object(entries: Vec<Entry>) -> Map<String, Value> {
    entries.into_iter().map(|entry| (entry.key, entry.value.into_json())).collect()
}

impl Entry {
    /// Where to point at when the value is wrong: a written scalar itself, otherwise its key.
    pub fn at(&self) -> Position {
        match self.value.content {
            Content::Null | Content::List(_) | Content::Mapping(_) => self.key_at,
            _ => self.value.at,
        }
    }
}

/// Every document of `text`, the broken ones too.
pub fn documents(text: &str) -> Documents<'_> {
    let options = granit_parser::options! {
        emit_comments: false,
        flow_nesting_limit: DEPTH_MAX,
        block_nesting_limit: DEPTH_MAX,
    };
    Documents {
        text,
        parser: Parser::new_from_str_with_options(text, options),
        read_to: 0,
        values: 0,
        copies: Copies::default(),
    }
}

/// What [`documents`] gives.
pub struct Documents<'text> {
    text: &'text str,
    parser: Parser<'text, StrInput<'text>>,
    /// Up to which byte documents have been given.
    read_to: usize,
    values: usize,
    copies: Copies,
}

/// What anchors and aliases have copied in the whole file. Nothing is given back when a document
/// is refused: otherwise ten thousand bombs in one file would each have the whole allowance.
#[derive(Default)]
struct Copies {
    values: usize,
    bytes: usize,
}

/// A list or mapping that is still being read.
struct Open {
    content: Content,
    at: Position,
    anchor: usize,
    /// How deep its children lie below it.
    height: usize,
    /// The key that waits for its value.
    key: Option<(String, Position)>,
    merged: Vec<Entry>,
}

struct Anchored {
    node: Node,
    height: usize,
    size: Copies,
}

impl<'text> Iterator for Documents<'text> {
    type Item = Document<'text>;

    fn next(&mut self) -> Option<Document<'text>> {
        let (start, at) = match self.start() {
            Ok(Some(start)) => start,
            Ok(None) => return None,
            Err(broken) => {
                let from = self.read_to;
                self.resume();
                return Some(Document {
                    text: &self.text[from..self.read_to],
                    at: broken.at,
                    root: Err(broken),
                });
            }
        };
        let values = self.values;
        let root = self.compose();
        if root.is_err() {
            // They are not kept. Reading them took no longer than their text.
            self.values = values;
            self.resume();
        } else {
            self.read_to = self.next_start();
        }
        Some(Document { text: &self.text[start..self.read_to.max(start)], at, root })
    }
}

impl<'text> Documents<'text> {
    /// Where the next document starts, in bytes and as people count; `None` at the end of the file.
    fn start(&mut self) -> Result<Option<(usize, Position)>, Broken> {
        while let Some(event) = self.parser.next_event() {
            match event.map_err(syntax)? {
                (Event::DocumentStart(..), span) => {
                    return Ok(Some((offset(&span), position(&span))));
                }
                (Event::StreamEnd, _) => return Ok(None),
                _ => {}
            }
        }
        Ok(None)
    }

    /// Leaves a broken document behind.
    fn resume(&mut self) {
        self.read_to = match self.parser.proceed_next_document() {
            Ok(true) => self.next_start(),
            Ok(false) | Err(_) => self.text.len(),
        };
    }

    fn next_start(&mut self) -> usize {
        match self.parser.peek() {
            Some(Ok((Event::DocumentStart(..), span))) => offset(span),
            // A document that is broken from its first character on.
            Some(Err(error)) => error.marker().byte_offset().unwrap_or(self.text.len()),
            _ => self.text.len(),
        }
        .max(self.read_to)
    }

    /// Reads one document up to its end.
    fn compose(&mut self) -> Result<Node, Broken> {
        let mut open: Vec<Open> = Vec::new();
        let mut anchors: HashMap<usize, Anchored> = HashMap::new();
        let mut root = None;
        while let Some(event) = self.parser.next_event() {
            let (event, span) = event.map_err(syntax)?;
            let at = position(&span);
            let (node, height, merges) = match event {
                Event::Scalar(text, style, anchor, tag) => {
                    // Postgres cannot keep it.
                    if text.contains('\0') {
                        return Err(Broken { at, reason: Reason::Nul });
                    }
                    let merges = style == ScalarStyle::Plain && text == "<<";
                    let content = scalar(&text, style, tag.as_deref());
                    let node = Node { content, at };
                    self.keep(&mut anchors, anchor, &node, 0)?;
                    (node, 0, merges)
                }
                Event::SequenceStart(_, anchor, _) => {
                    open.push(Open::new(Content::List(Vec::new()), at, anchor));
                    continue;
                }
                Event::MappingStart(_, anchor, _) => {
                    open.push(Open::new(Content::Mapping(Vec::new()), at, anchor));
                    continue;
                }
                Event::SequenceEnd | Event::MappingEnd => {
                    let Some(closed) = open.pop() else { continue };
                    let (anchor, height) = (closed.anchor, closed.height + 1);
                    let node = closed.close()?;
                    self.keep(&mut anchors, anchor, &node, height)?;
                    (node, height, false)
                }
                Event::Alias(anchor) => {
                    let Some(anchored) = anchors.get(&anchor) else {
                        return Err(Broken { at, reason: Reason::Circle });
                    };
                    if open.len() + anchored.height > DEPTH_MAX {
                        return Err(Broken { at, reason: Reason::TooDeep });
                    }
                    self.copies.add(&anchored.size, at)?;
                    (Node { content: anchored.node.content.clone(), at }, anchored.height, false)
                }
                Event::DocumentEnd => break,
                _ => continue,
            };
            self.values += 1;
            if self.values > VALUES_MAX {
                return Err(Broken { at, reason: Reason::TooManyValues });
            }
            match open.last_mut() {
                Some(parent) => parent.add(node, height, merges)?,
                None => root = Some(node),
            }
        }
        let nothing = Node { content: Content::Null, at: Position { line: 1, column: 1 } };
        Ok(root.unwrap_or(nothing))
    }

    /// Remembers `node` for aliases when it has an anchor.
    fn keep(
        &mut self,
        anchors: &mut HashMap<usize, Anchored>,
        anchor: usize,
        node: &Node,
        height: usize,
    ) -> Result<(), Broken> {
        // 0 is no anchor.
        if anchor == 0 {
            return Ok(());
        }
        let size = Copies::of(node);
        self.copies.add(&size, node.at)?;
        anchors.insert(anchor, Anchored { node: node.clone(), height, size });
        Ok(())
    }
}

impl Open {
    fn new(content: Content, at: Position, anchor: usize) -> Open {
        Open { content, at, anchor, height: 0, key: None, merged: Vec::new() }
    }

    /// Takes the next value: an item, a key, or what belongs to the last key. `merges` is whether
    /// it is the plain scalar `<<`.
    fn add(&mut self, node: Node, height: usize, merges: bool) -> Result<(), Broken> {
        self.height = self.height.max(height);
        match &mut self.content {
            Content::List(items) => items.push(node),
            Content::Mapping(entries) => match self.key.take() {
                None if merges => self.key = Some((String::new(), MERGE)),
                None => self.key = Some((key(&node)?, node.at)),
                Some((_, MERGE)) => merge(&mut self.merged, node)?,
                Some((key, key_at)) => entries.push(Entry { key, key_at, value: node }),
            },
            _ => {}
        }
        Ok(())
    }

    fn close(self) -> Result<Node, Broken> {
        let Content::Mapping(mut entries) = self.content else {
            return Ok(Node { content: self.content, at: self.at });
        };
        if let Some(twice) = first_twice(&entries) {
            let reason = Reason::DuplicateKey(twice.key.clone());
            return Err(Broken { at: twice.key_at, reason });
        }
        if !self.merged.is_empty() {
            let mut said: std::collections::HashSet<String> =
                entries.iter().map(|entry| entry.key.clone()).collect();
            entries.extend(self.merged.into_iter().filter(|entry| said.insert(entry.key.clone())));
        }
        Ok(Node { content: Content::Mapping(entries), at: self.at })
    }
}

/// Stands for the position of a key `<<`: no file has a line 0.
const MERGE: Position = Position { line: 0, column: 0 };

fn merge(merged: &mut Vec<Entry>, node: Node) -> Result<(), Broken> {
    match node.content {
        Content::Mapping(entries) => merged.extend(entries),
        Content::List(items) => {
            for item in items {
                let Content::Mapping(entries) = item.content else {
                    return Err(Broken { at: item.at, reason: Reason::Merge });
                };
                merged.extend(entries);
            }
        }
        _ => return Err(Broken { at: node.at, reason: Reason::Merge }),
    }
    Ok(())
}

/// The first entry whose key another one before it has.
fn first_twice(entries: &[Entry]) -> Option<&Entry> {
    if entries.len() <= KEYS_COMPARED_MAX {
        return entries
            .iter()
            .enumerate()
            .find(|(index, entry)| entries[..*index].iter().any(|other| other.key == entry.key))
            .map(|(_, entry)| entry);
    }
    let mut sorted: Vec<&Entry> = entries.iter().collect();
    sorted.sort_by_key(|entry| (&entry.key, entry.key_at));
    sorted
        .windows(2)
        .filter(|pair| pair[0].key == pair[1].key)
        .map(|pair| pair[1])
        .min_by_key(|entry| entry.key_at)
}

/// Keys are text in JSON: `1` is `"1"`. Lists and mappings are none: as JSON within JSON they would
/// double in length with each level.
fn key(node: &Node) -> Result<String, Broken> {
    match &node.content {
        Content::Null => Ok(String::new()),
        Content::Bool(it) => Ok(it.to_string()),
        Content::Number(it) => Ok(it.to_string()),
        Content::Text(it) => Ok(it.clone()),
        Content::List(_) | Content::Mapping(_) => {
            Err(Broken { at: node.at, reason: Reason::KeyIsNoText })
        }
    }
}

impl Copies {
    fn of(node: &Node) -> Copies {
        let mut size = Copies { values: 1, bytes: 0 };
        match &node.content {
            Content::Text(text) => size.bytes = text.len(),
            Content::List(items) => items.iter().for_each(|item| size.join(&Copies::of(item))),
            Content::Mapping(entries) => entries.iter().for_each(|entry| {
                size.bytes += entry.key.len();
                size.join(&Copies::of(&entry.value));
            }),
            _ => {}
        }
        size
    }

    fn join(&mut self, other: &Copies) {
        self.values += other.values;
        self.bytes += other.bytes;
    }

    fn add(&mut self, other: &Copies, at: Position) -> Result<(), Broken> {
        self.join(other);
        if self.values > COPIED_VALUES_MAX || self.bytes > COPIED_BYTES_MAX {
            return Err(Broken { at, reason: Reason::TooManyCopies });
        }
        Ok(())
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&granit_parser::Tag>) -> Content {
    match tag {
        None if style == ScalarStyle::Plain => plain(text),
        Some(tag) if resolves(tag) => plain(text),
        // Tags of one's own, `!!binary` and `!!str` are read as the text that is there.
        _ => Content::Text(text.to_string()),
    }
}

/// Whether the tag asks for a value of the core schema other than text.
fn resolves(tag: &granit_parser::Tag) -> bool {
    ["null", "bool", "int", "float"].iter().any(|name| tag.is_yaml_core_schema_tag(name))
}

/// A plain scalar by the core schema.
///
/// Source: <https://yaml.org/spec/1.2.2/#103-core-schema>
fn plain(text: &str) -> Content {
    let Some(first) = text.bytes().next() else { return Content::Null };
    // Most scalars are words: only these first characters can begin anything else.
    if !matches!(
        first,
        b'0'..=b'9' | b'+' | b'-' | b'.' | b'~' | b'n' | b'N' | b't' | b'T' | b'f' | b'F'
    ) {
        return Content::Text(text.to_string());
    }
    match text {
        "~" | "null" | "Null" | "NULL" => return Content::Null,
        "true" | "True" | "TRUE" => return Content::Bool(true),
        "false" | "False" | "FALSE" => return Content::Bool(false),
        // JSON has no such numbers; Backstage stores them as null.
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "-.inf" => {
            return Content::Null;
        }
        _ => {}
    }
    match number(text) {
        Some(number) => Content::Number(number),
        None => Content::Text(text.to_string()),
    }
}

/// A number that JSON can say exactly as written; `None` for text, and for one too large for that.
fn number(text: &str) -> Option<Number> {
    if let Some(octal) = text.strip_prefix("0o") {
        return u64::from_str_radix(octal, 8).ok().map(Number::from);
    }
    if let Some(hex) = text.strip_prefix("0x") {
        return u64::from_str_radix(hex, 16).ok().map(Number::from);
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !unsigned.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'))
        || !unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.')
    {
        return None;
    }
    if unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        let signed = text.strip_prefix('+').unwrap_or(text);
        let whole = signed.parse::<i64>().map(Number::from);
        return whole.or_else(|_| signed.parse::<u64>().map(Number::from)).ok();
    }
    // Rust reads the same floats as the core schema, apart from infinities and NaN, which have letters.
    text.parse::<f64>().ok().filter(|it| it.is_finite()).and_then(Number::from_f64)
}

fn position(span: &Span) -> Position {
    Position { line: span.start.line() as u32, column: span.start.col() as u32 + 1 }
}

fn offset(span: &Span) -> usize {
    span.start.byte_offset().unwrap_or_default()
}

fn syntax(error: ScanError) -> Broken {
    let mark = error.marker();
    let at = Position { line: mark.line() as u32, column: mark.col() as u32 + 1 };
    let reason = match error.kind() {
        ErrorKind::RecursionLimitExceeded => Reason::TooDeep,
        kind => Reason::Syntax(kind.clone()),
    };
    Broken { at, reason }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn roots(text: &str) -> Vec<Result<Value, Reason>> {
        documents(text)
            .map(|it| it.root.map(Node::into_json).map_err(|broken| broken.reason))
            .collect()
    }

    fn value(text: &str) -> Value {
        match documents(text).next().unwrap().root {
            Ok(root) => root.into_json(),
            Err(broken) => panic!("{broken:?}"),
        }
    }

    fn broken(text: &str) -> Broken {
        documents(text).next().unwrap().root.unwrap_err()
    }

    fn at(line: u32, column: u32) -> Position {
        Position { line, column }
    }

    #[test]
    fn scalars_are_read_by_the_core_schema() {
        for (written, read) in [
            ("no", json!("no")),
            ("yes", json!("yes")),
            ("On", json!("On")),
            ("true", json!(true)),
            ("FALSE", json!(false)),
            ("tRue", json!("tRue")),
            ("~", json!(null)),
            ("Null", json!(null)),
            ("", json!(null)),
            ("''", json!("")),
            ("1:30", json!("1:30")),
            ("2026-11-25", json!("2026-11-25")),
            ("0123", json!(123)),
            ("0o17", json!(15)),
            ("0xff", json!(255)),
            ("0x", json!("0x")),
            ("+7", json!(7)),
            ("1_000", json!("1_000")),
            ("1.10", json!(1.1)),
            ("1.10.2", json!("1.10.2")),
            (".5", json!(0.5)),
            (".", json!(".")),
            ("--", json!("--")),
            ("1e3", json!(1000.0)),
            ("1e", json!("1e")),
            ("e1", json!("e1")),
            (".nan", json!(null)),
            ("-.inf", json!(null)),
            ("inf", json!("inf")),
            ("nan", json!("nan")),
            ("'12'", json!("12")),
            ("!!str 12", json!("12")),
            ("!!int \"12\"", json!(12)),
            ("!!binary aGk=", json!("aGk=")),
            ("!mine 12", json!("12")),
        ] {
            assert_eq!(value(&format!("it: {written}"))["it"], read, "{written}");
        }
    }

    #[test]
    fn a_number_is_kept_exactly_or_as_text() {
        for (written, read) in [
            ("9007199254740993", "9007199254740993"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("18446744073709551615", "18446744073709551615"),
            ("18446744073709551616", "\"18446744073709551616\""),
            ("1e400", "\"1e400\""),
            ("-1e400", "\"-1e400\""),
            ("-0", "0"),
            ("-0.0", "-0.0"),
            ("0xfffffffffffffffff", "\"0xfffffffffffffffff\""),
        ] {
            assert_eq!(value(&format!("it: {written}"))["it"].to_string(), read, "{written}");
        }
    }

    #[test]
    fn everything_knows_where_it_stands() {
        let text = "a: 1\nb:\n  - x\n  - ü: [p, *q]\n".replace("*q", "r");
        let root = documents(&text).next().unwrap().root.unwrap();
        let list = root.entry("b").unwrap();
        assert_eq!((root.at, list.key_at), (at(1, 1), at(2, 1)));
        assert_eq!(list.value.items()[0].at, at(3, 5));
        let inner = &list.value.items()[1].entries()[0];
        assert_eq!((inner.key_at, inner.value.items()[1].at), (at(4, 5), at(4, 12)));
    }

    #[test]
    fn a_broken_document_costs_no_neighbour() {
        for bad in [
            "a: [1, 2",
            "a: \"open",
            "a: 'open",
            "a: b: c",
            "a: 1\na: 2",
            "x:\n\ta: 1",
            "a: *nobody",
            "%bad directive",
            "{%- if x %}\na: 1",
            "a: |\n text\n---b",
            "a: &x [*x]",
            "- a\nb: c",
        ] {
            let read = roots(&format!("---\nfirst: 1\n---\n{bad}\n---\nlast: 1\n"));
            assert_eq!(read.len(), 3, "{bad}: {read:?}");
            assert_eq!(read[0], Ok(json!({"first": 1})), "{bad}");
            assert!(read[1].is_err(), "{bad}: {read:?}");
            assert_eq!(read[2], Ok(json!({"last": 1})), "{bad}");
        }
    }

    #[test]
    fn a_document_has_its_own_text() {
        let texts: Vec<String> = documents("# head\na: 1\n---\nb: [\n---\nc: 3\n...\n")
            .map(|it| it.text.trim().to_string())
            .collect();
        assert_eq!(texts, ["a: 1", "---\nb: [", "---\nc: 3\n..."]);
    }

    #[test]
    fn a_key_stands_once() {
        assert_eq!(
            broken("a: 1\nb: {c: 1, d: 2, c: 3}\n"),
            Broken { at: at(2, 17), reason: Reason::DuplicateKey("c".into()) }
        );
        let many: String = (0..100).map(|it| format!("k{it}: 1\n")).collect();
        assert_eq!(
            broken(&format!("{many}k7: 2\nk8: 2\n")),
            Broken { at: at(101, 1), reason: Reason::DuplicateKey("k7".into()) }
        );
        assert!(value(&many).is_object());
    }

    #[test]
    fn aliases_and_merge_keys_repeat_what_they_name() {
        let text = "base: &base {a: 1, b: 2}\nmore: &more {b: 3, c: 4}\n\
                    list: [*base]\none: {<<: *base, b: 9}\ntwo: {<<: [*base, *more]}\n";
        let read = value(text);
        assert_eq!(read["list"], json!([{"a": 1, "b": 2}]));
        assert_eq!(read["one"], json!({"b": 9, "a": 1}));
        assert_eq!(read["two"], json!({"a": 1, "b": 2, "c": 4}));
        assert_eq!(value("it: {\"<<\": 1}")["it"], json!({"<<": 1}));
        assert_eq!(broken("it: {<<: 1}").reason, Reason::Merge);
    }

    #[test]
    fn an_alias_inside_its_own_anchor_is_refused() {
        assert_eq!(broken("a: &a\n  b: *a\n"), Broken { at: at(2, 6), reason: Reason::Circle });
    }

    /// `levels` lists, each with nine aliases of the one before.
    fn bomb(levels: usize) -> String {
        let mut text = "l0: &l0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_string();
        for level in 1..levels {
            let aliases = vec![format!("*l{}", level - 1); 9].join(", ");
            text.push_str(&format!("l{level}: &l{level} [{aliases}]\n"));
        }
        text
    }

    #[test]
    fn what_aliases_repeat_is_bounded() {
        assert_eq!(broken(&bomb(10)).reason, Reason::TooManyCopies);
        // The same text does grow ninefold a level: the bound is what stops it.
        let length = |levels| value(&bomb(levels)).to_string().len();
        assert!(length(4) > 8 * length(3));
        let long = "x".repeat(100_000);
        let quadratic = format!("a: &a {long}\nb: [{}]\n", vec!["*a"; 1000].join(", "));
        assert_eq!(broken(&quadratic).reason, Reason::TooManyCopies);
    }

    #[test]
    fn bombs_share_one_allowance_and_their_neighbours_need_none() {
        let text = format!("{}last: 1\n", format!("{}---\n", bomb(10)).repeat(50));
        let read = roots(&text);
        assert_eq!(read.len(), 51);
        assert!(read[..50].iter().all(|it| *it == Err(Reason::TooManyCopies)));
        assert_eq!(read[50], Ok(json!({"last": 1})));
    }

    #[test]
    fn depth_is_bounded_with_aliases_too() {
        let nested = |depth: usize| format!("it: {}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(value(&nested(DEPTH_MAX - 1)).is_object());
        assert_eq!(broken(&nested(DEPTH_MAX + 1)).reason, Reason::TooDeep);
        let mut chain = "- &a0 [x]\n".to_string();
        for link in 1..1000 {
            chain.push_str(&format!("- &a{link} [*a{}]\n", link - 1));
        }
        assert_eq!(broken(&chain).reason, Reason::TooDeep);
    }

    #[test]
    fn values_are_counted() {
        let many = format!("[{}]", "a,".repeat(VALUES_MAX + 1));
        let read = roots(&format!("{many}\n---\nlast: 1\n"));
        assert_eq!(read, [Err(Reason::TooManyValues), Ok(json!({"last": 1}))]);
    }

    #[test]
    fn nul_is_refused() {
        assert_eq!(broken(r#"a: "x\0y""#), Broken { at: at(1, 4), reason: Reason::Nul });
    }

    #[test]
    fn json_is_yaml() {
        assert_eq!(
            value("{\n\t\"a\": [1, \"\\u00fc\", null],\n\t\"b\": {\"c\": false}\n}"),
            json!({"a": [1, "ü", null], "b": {"c": false}})
        );
    }
}
