//! Cortex's expressions: read, as far as they ask what idp knows as well, and written.
//!
//! Source: the expressions in <https://github.com/cortexapps/cli>.

use super::ask::{Ask, Literal, Of, Test, key, plain, quoted};

/// The most bytes of one expression, and how deep it may be.
const BYTES_MAX: usize = 4 << 10;
const DEPTH_MAX: usize = 40;

/// An expression.
#[derive(Debug, Clone, PartialEq)]
enum Cql {
    Text(String),
    Number(f64),
    Bool(bool),
    Null,
    Name(String),
    Field(Box<Cql>, String),
    Call(Option<Box<Cql>>, String, Vec<Cql>),
    Lambda(String, Box<Cql>),
    Not(Box<Cql>),
    And(Vec<Cql>),
    Or(Vec<Cql>),
    Compare(&'static str, Box<Cql>, Box<Cql>),
}

/// What `source` asks; custom data of Cortex are facts here, by a key of our own.
///
/// # Errors
/// Why it was not understood, as the end of a sentence.
pub fn read(source: &str) -> Result<Ask, String> {
    if source.len() > BYTES_MAX {
        return Err(format!("it has more than {BYTES_MAX} bytes"));
    }
    let mut parser = Parser { tokens: tokens(source)?, at: 0, depth: 0 };
    let read = parser.either()?;
    match parser.tokens.get(parser.at) {
        None => ask(&read),
        Some(token) => Err(format!("`{}` was not expected there", token.said())),
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Text(String),
    Number(f64),
    Word(String),
    Sign(&'static str),
}

impl Token {
    fn said(&self) -> String {
        match self {
            Token::Text(text) => quoted(text),
            Token::Number(number) => plain(*number),
            Token::Word(word) => word.clone(),
            Token::Sign(sign) => (*sign).to_string(),
        }
    }
}

/// Longest first.
const SIGNS: [&str; 18] = [
    "==", "!=", ">=", "<=", "=>", "&&", "||", ">", "<", "!", "(", ")", ",", ".", "=", "[", "]", "-",
];

fn tokens(source: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = source.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            '"' | '\'' => text(rest, first)?,
            '0'..='9' => {
                let length = rest.find(|it: char| !it.is_ascii_digit() && it != '.');
                let length = length.unwrap_or(rest.len());
                let number = rest[..length].trim_end_matches('.').parse();
                (Token::Number(number.map_err(|_| "it has a broken number")?), length)
            }
            it if it.is_alphabetic() || it == '_' => {
                let length = rest.find(|it: char| !it.is_alphanumeric() && it != '_');
                let word = &rest[..length.unwrap_or(rest.len())];
                (Token::Word(word.to_string()), word.len())
            }
            other => match SIGNS.into_iter().find(|it| rest.starts_with(it)) {
                Some(sign) => (Token::Sign(sign), sign.len()),
                None => return Err(format!("`{other}` is no part of an expression")),
            },
        };
        tokens.push(token);
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

/// The text that `rest` begins with, and how long it is there.
fn text(rest: &str, quote: char) -> Result<(Token, usize), String> {
    let mut text = String::new();
    let mut characters = rest.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some((_, 'n')) => text.push('\n'),
                Some((_, 't')) => text.push('\t'),
                Some((_, it)) if it == quote || it == '\\' => text.push(it),
                Some((_, it)) => text.extend(['\\', it]),
                None => break,
            },
            it if it == quote => return Ok((Token::Text(text), at + 1)),
            it => text.push(it),
        }
    }
    Err("a quote is not closed".into())
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

type Read = Result<Cql, String>;

impl Parser {
    fn either(&mut self) -> Read {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err("it is too deep".into());
        }
        let mut parts = vec![self.both()?];
        while self.takes_word("or") || self.takes("||") {
            parts.push(self.both()?);
        }
        self.depth -= 1;
        Ok(if parts.len() == 1 { parts.remove(0) } else { Cql::Or(parts) })
    }

    fn both(&mut self) -> Read {
        let mut parts = vec![self.negated()?];
        while self.takes_word("and") || self.takes("&&") {
            parts.push(self.negated()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Cql::And(parts) })
    }

    fn negated(&mut self) -> Read {
        let mut is_negated = false;
        while self.takes_word("not") || self.takes("!") {
            is_negated = !is_negated;
        }
        let it = self.compared()?;
        Ok(if is_negated { Cql::Not(Box::new(it)) } else { it })
    }

    fn compared(&mut self) -> Read {
        let left = self.chained()?;
        for sign in ["==", "!=", ">=", "<=", ">", "<"] {
            if self.takes(sign) {
                let right = self.chained()?;
                return Ok(Cql::Compare(sign, Box::new(left), Box::new(right)));
            }
        }
        Ok(left)
    }

    fn chained(&mut self) -> Read {
        let mut it = self.single()?;
        while self.takes(".") {
            let Some(Token::Word(name)) = self.next() else {
                return Err("a name is missing behind a dot".into());
            };
            it = match self.takes("(") {
                true => Cql::Call(Some(Box::new(it)), name, self.arguments()?),
                false => Cql::Field(Box::new(it), name),
            };
        }
        Ok(it)
    }

    fn single(&mut self) -> Read {
        match self.next() {
            Some(Token::Text(text)) => Ok(Cql::Text(text)),
            Some(Token::Number(number)) => Ok(Cql::Number(number)),
            Some(Token::Sign("-")) => match self.next() {
                Some(Token::Number(number)) => Ok(Cql::Number(-number)),
                _ => Err("a number is missing behind `-`".into()),
            },
            Some(Token::Sign("(")) => {
                let inner = self.either()?;
                if !self.takes(")") {
                    return Err("a bracket is not closed".into());
                }
                match (inner, self.takes("=>")) {
                    (Cql::Name(turn), true) => Ok(Cql::Lambda(turn, Box::new(self.either()?))),
                    (inner, _) => Ok(inner),
                }
            }
            Some(Token::Word(word)) => match (word.to_lowercase().as_str(), self.takes("(")) {
                (_, true) => Ok(Cql::Call(None, word, self.arguments()?)),
                ("true", _) => Ok(Cql::Bool(true)),
                ("false", _) => Ok(Cql::Bool(false)),
                ("null", _) => Ok(Cql::Null),
                _ => Ok(Cql::Name(word)),
            },
            Some(other) => Err(format!("`{}` was not expected there", other.said())),
            None => Err("it ends too early".into()),
        }
    }

    /// Those of a call, whose bracket was taken; `name = value` counts as the value.
    fn arguments(&mut self) -> Result<Vec<Cql>, String> {
        let mut arguments = Vec::new();
        while !self.takes(")") {
            if !arguments.is_empty() && !self.takes(",") {
                return Err("a bracket is not closed".into());
            }
            let argument = self.either()?;
            arguments.push(if self.takes("=") { self.either()? } else { argument });
        }
        Ok(arguments)
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn takes(&mut self, sign: &str) -> bool {
        let is_it = matches!(self.tokens.get(self.at), Some(Token::Sign(it)) if *it == sign);
        self.at += usize::from(is_it);
        is_it
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let token = self.tokens.get(self.at);
        let is_it = matches!(token, Some(Token::Word(it)) if it.eq_ignore_ascii_case(word));
        self.at += usize::from(is_it);
        is_it
    }
}

fn ask(it: &Cql) -> Result<Ask, String> {
    match it {
        Cql::And(parts) => Ok(Ask::All(parts.iter().map(ask).collect::<Result<_, _>>()?)),
        Cql::Or(parts) => Ok(Ask::Any(parts.iter().map(ask).collect::<Result<_, _>>()?)),
        Cql::Not(inner) => Ok(ask(inner)?.denied()),
        Cql::Compare(how, left, right) => compare(how, left, right),
        Cql::Call(Some(whose), name, arguments) => of_method(whose, name, arguments),
        Cql::Call(None, name, arguments) => match (name.as_str(), &arguments[..]) {
            ("hasGroup", [Cql::Text(group)]) => {
                Ok(Ask::Test(Of::Many("tags"), Test::Has(group.clone())))
            }
            ("jq", [data, Cql::Text(how)]) => {
                let key = custom(data).ok_or_else(|| unknown(it))?;
                match how.trim() {
                    "not" | ". == false" => Ok(Ask::flag(&key, false)),
                    "." | ". == true" => Ok(Ask::flag(&key, true)),
                    _ => Err(format!("idp has no jq: {}", quoted(how))),
                }
            }
            _ => Err(unknown(it)),
        },
        _ => Err(unknown(it)),
    }
}

fn compare(how: &'static str, left: &Cql, right: &Cql) -> Result<Ask, String> {
    let negates = how == "!=";
    let as_wanted = |it: Ask| if negates { it.denied() } else { it };
    let of = subject(left)?;
    // A text or a list is counted by its length, and a number has none.
    let is_length = matches!(left, Cql::Field(_, field) if field == "length");
    let is_number = matches!(right, Cql::Number(_));
    if is_length != (is_number && !matches!(of, Of::Fact(_))) {
        return Err("it compares what idp does not compare".into());
    }
    match (how, right) {
        ("==" | "!=", Cql::Null) => Ok(as_wanted(Ask::Test(of, Test::Empty))),
        ("==" | "!=", Cql::Text(text)) if text.is_empty() => {
            Ok(as_wanted(Ask::Test(of, Test::Empty)))
        }
        ("==" | "!=", Cql::Text(text)) => {
            Ok(as_wanted(Ask::Test(of, Test::Is(Literal::Text(text.clone())))))
        }
        ("==" | "!=", Cql::Bool(is)) => match of {
            Of::Fact(key) => Ok(as_wanted(Ask::flag(&key, *is))),
            _ => Err(unknown(left)),
        },
        (_, Cql::Number(number)) => Ok(match (how, &of, number) {
            (">", Of::Many(_) | Of::Links(_), 0.0) | (">=", Of::Many(_) | Of::Links(_), 1.0) => {
                Ask::Test(of, Test::Empty).denied()
            }
            ("==", Of::Many(_) | Of::Links(_), 0.0) => Ask::Test(of, Test::Empty),
            ("!=", ..) => Ask::Test(of, Test::Compare("==", *number)).denied(),
            _ => Ask::Test(of, Test::Compare(how, *number)),
        }),
        _ => Err(unknown(right)),
    }
}

fn of_method(whose: &Cql, name: &str, arguments: &[Cql]) -> Result<Ask, String> {
    if let (Cql::Call(None, groups, none), "any", [Cql::Lambda(turn, body)]) =
        (whose, name, arguments)
        && groups == "groups"
        && none.is_empty()
    {
        return group(turn, body);
    }
    let [Cql::Text(text)] = arguments else {
        return Err(unknown(&Cql::Call(Some(Box::new(whose.clone())), name.into(), Vec::new())));
    };
    let of = subject(whose)?;
    let test = match name {
        "matches" => whole(text),
        "matchesIn" => somewhere(text),
        "contains" => Test::Contains(text.clone()),
        "startsWith" => Test::StartsWith(text.clone()),
        "endsWith" => Test::EndsWith(text.clone()),
        _ => return Err(format!("`{name}` is known in Cortex alone")),
    };
    Ok(Ask::Test(of, test))
}

/// `groups().any((group) => group.name == "…")`
fn group(turn: &str, body: &Cql) -> Result<Ask, String> {
    let is_name = |it: &Cql| match it {
        Cql::Field(of, field) => field == "name" && **of == Cql::Name(turn.to_string()),
        Cql::Name(name) => name == turn,
        _ => false,
    };
    match body {
        Cql::Compare("==", left, right) if is_name(left) => match &**right {
            Cql::Text(text) => Ok(Ask::Test(Of::Many("tags"), Test::Has(text.clone()))),
            other => Err(unknown(other)),
        },
        _ => Err("idp asks for a group by its whole name".into()),
    }
}

/// A pattern of Cortex's `matches`, which is of the whole text.
fn whole(pattern: &str) -> Test {
    let inner = pattern.strip_prefix(".*").and_then(|it| it.strip_suffix(".*"));
    match inner {
        Some(inner) if is_plain(inner) => Test::Contains(inner.to_string()),
        _ if is_plain(pattern) => Test::Is(Literal::Text(pattern.to_string())),
        _ => Test::Matches(format!("^(?:{pattern})$")),
    }
}

fn somewhere(pattern: &str) -> Test {
    match is_plain(pattern) {
        true => Test::Contains(pattern.to_string()),
        false => Test::Matches(pattern.to_string()),
    }
}

/// Whether a pattern stands for nothing but itself.
fn is_plain(pattern: &str) -> bool {
    !pattern.contains(|it: char| r"\.^$|?*+()[]{}".contains(it))
}

/// What a value is of.
fn subject(it: &Cql) -> Result<Of, String> {
    if let Some(key) = custom(it) {
        return Ok(Of::Fact(key));
    }
    match it {
        Cql::Name(name) => match name.as_str() {
            "git" => Ok(Of::Repository),
            "oncall" => Ok(Of::Text("on_call")),
            "ownership" => Ok(Of::Many("owners")),
            "slack" => Ok(Of::Many("channels")),
            _ => Err(unknown(it)),
        },
        Cql::Field(whose, field) if field == "length" => subject(whose),
        Cql::Call(None, name, arguments) => match (name.as_str(), &arguments[..]) {
            ("links", []) => Ok(Of::Many("links")),
            ("links", [Cql::Text(class)]) => Ok(Of::Links(class.to_lowercase())),
            ("groups", []) => Ok(Of::Many("tags")),
            ("jq", [data, Cql::Text(how)]) if how.trim() == ". | tonumber" => {
                custom(data).map(Of::Fact).ok_or_else(|| unknown(it))
            }
            _ => Err(unknown(it)),
        },
        Cql::Call(Some(whose), name, arguments) if arguments.is_empty() => {
            let Cql::Name(whose) = &**whose else { return Err(unknown(it)) };
            match (whose.as_str(), name.as_str()) {
                ("entity", "tag") => Ok(Of::Text("name")),
                ("entity", "name") => Ok(Of::Text("title")),
                ("entity", "description") => Ok(Of::Text("description")),
                ("entity", "type") => Ok(Of::Text("type")),
                ("ownership", "teams" | "allOwners") => Ok(Of::Many("owners")),
                ("slack", "channels") => Ok(Of::Many("channels")),
                _ => Err(unknown(it)),
            }
        }
        _ => Err(unknown(it)),
    }
}

/// The key of `custom("…")`.
fn custom(it: &Cql) -> Option<String> {
    match it {
        Cql::Call(None, name, arguments) if name == "custom" => match &arguments[..] {
            [Cql::Text(text)] => Some(key(text)),
            _ => None,
        },
        _ => None,
    }
}

fn unknown(it: &Cql) -> String {
    let what = match it {
        Cql::Name(name) | Cql::Call(None, name, _) | Cql::Field(_, name) => name.clone(),
        Cql::Call(Some(whose), name, _) => match &**whose {
            Cql::Name(whose) => format!("{whose}.{name}"),
            _ => name.clone(),
        },
        _ => return "it asks in a way that idp does not know".into(),
    };
    format!("`{what}` is known in Cortex alone; report it as a fact")
}

/// `ask` as Cortex asks it.
///
/// # Errors
/// What Cortex cannot ask, as the end of a sentence.
pub fn write(ask: &Ask) -> Result<String, String> {
    match ask {
        Ask::All(parts) => joined(parts, " and "),
        Ask::Any(parts) => joined(parts, " or "),
        Ask::Not(inner) => match &**inner {
            Ask::Test(of, Test::Empty) => filled(of, true),
            Ask::Test(Of::Fact(key), Test::Is(Literal::Bool(true))) => {
                Ok(format!("jq(custom({}), \"not\")", quoted(key)))
            }
            Ask::Test(of, Test::Is(literal @ (Literal::Text(_) | Literal::Number(_)))) => {
                Ok(format!("{} != {}", value(of, literal)?, said(literal)))
            }
            other => Ok(format!("!({})", write(other)?)),
        },
        Ask::Test(of, test) => tested(of, test),
    }
}

fn joined(parts: &[Ask], by: &str) -> Result<String, String> {
    let said: Result<Vec<String>, String> = parts
        .iter()
        .map(|it| match it {
            Ask::All(_) | Ask::Any(_) => Ok(format!("({})", write(it)?)),
            _ => write(it),
        })
        .collect();
    Ok(said?.join(by))
}

fn tested(of: &Of, test: &Test) -> Result<String, String> {
    match test {
        Test::Empty => filled(of, false),
        Test::Is(Literal::Bool(_)) => match of {
            Of::Fact(key) => Ok(format!("jq(custom({}), \". == true\")", quoted(key))),
            _ => Err(not_in_cortex(of)),
        },
        Test::Is(literal) => Ok(format!("{} == {}", value(of, literal)?, said(literal))),
        Test::OneOf(some) => {
            let each: Vec<Ask> =
                some.iter().map(|it| Ask::Test(of.clone(), Test::Is(it.clone()))).collect();
            Ok(format!("({})", write(&Ask::Any(each))?))
        }
        Test::Compare(how, number) => {
            let counted = match of {
                Of::Fact(_) => value(of, &Literal::Number(*number))?,
                Of::Text(_) | Of::Many(_) | Of::Links(_) => format!("{}.length", list(of)?),
                Of::Repository => return Err(not_in_cortex(of)),
            };
            Ok(format!("{counted} {how} {}", plain(*number)))
        }
        Test::Contains(text) => Ok(format!("{}.contains({})", list(of)?, quoted(text))),
        Test::StartsWith(text) => Ok(format!("{}.startsWith({})", list(of)?, quoted(text))),
        Test::EndsWith(text) => Ok(format!("{}.endsWith({})", list(of)?, quoted(text))),
        Test::Matches(pattern) => Ok(format!("{}.matchesIn({})", list(of)?, quoted(pattern))),
        Test::Has(text) if *of == Of::Many("tags") => Ok(format!("hasGroup({})", quoted(text))),
        Test::Has(_) => Err("Cortex looks into no list but groups".into()),
        Test::Within(_) | Test::Time(..) => Err("Cortex takes no fact for a time".into()),
    }
}

/// Whether something is there, or `is` not.
fn filled(of: &Of, is: bool) -> Result<String, String> {
    let (there, not_there) = (("!= null", "== null"), ("> 0", "== 0"));
    let pick = |(yes, no): (&'static str, &'static str)| if is { yes } else { no };
    match of {
        Of::Repository => Ok(format!("git {}", pick(there))),
        Of::Text("on_call") => Ok(format!("oncall {}", pick(there))),
        Of::Many("channels") => Ok(format!("slack {}", pick(there))),
        Of::Fact(key) => Ok(format!("custom({}) {}", quoted(key), pick(there))),
        _ => Ok(format!("{}.length {}", list(of)?, pick(not_there))),
    }
}

/// A value that is compared with `literal`.
fn value(of: &Of, literal: &Literal) -> Result<String, String> {
    match (of, literal) {
        (Of::Fact(key), Literal::Number(_)) => {
            Ok(format!("jq(custom({}), \". | tonumber\")", quoted(key)))
        }
        _ => list(of),
    }
}

fn list(of: &Of) -> Result<String, String> {
    match of {
        Of::Text("name") => Ok("entity.tag()".into()),
        Of::Text("title") => Ok("entity.name()".into()),
        Of::Text("description") => Ok("entity.description()".into()),
        Of::Text("type") => Ok("entity.type()".into()),
        Of::Many("owners") => Ok("ownership.teams()".into()),
        Of::Many("channels") => Ok("slack.channels()".into()),
        Of::Many("tags") => Ok("groups()".into()),
        Of::Many("links") => Ok("links()".into()),
        Of::Links(class) => Ok(format!("links({})", quoted(class))),
        Of::Fact(key) => Ok(format!("custom({})", quoted(key))),
        _ => Err(not_in_cortex(of)),
    }
}

fn not_in_cortex(of: &Of) -> String {
    match of {
        Of::Text(field) | Of::Many(field) => format!("Cortex does not know `{field}`"),
        _ => "Cortex does not ask so".into(),
    }
}

fn said(literal: &Literal) -> String {
    match literal {
        Literal::Bool(it) => it.to_string(),
        Literal::Number(it) => plain(*it),
        Literal::Text(it) => quoted(it),
    }
}
