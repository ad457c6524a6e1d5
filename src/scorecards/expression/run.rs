//! The value of an expression for one entity, in a bounded number of steps.

use std::cell::Cell;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Deref;
use std::rc::Rc;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::term::{self, Comparison, Loop, Operation, Term, What};
use crate::facts::Kind;

/// The most steps of one evaluation. A step is a value, or so many bytes of text as one costs; all take some
/// milliseconds, and what they make is at most some megabytes.
const STEPS_MAX: u32 = 50_000;
/// How many bytes are compared, copied or searched in one step, and how many held against a pattern.
const STEP_BYTES: usize = 64;
const STEP_PATTERN_BYTES: usize = 4;
/// The most elements of a list that a loop looks at. Where these decide nothing, nothing is decided.
const ELEMENTS_MAX: usize = 1_000;

/// Of whom an expression is the value.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    pub entity: &'a Value,
    pub facts: &'a BTreeMap<&'a str, Held<'a>>,
    pub now: DateTime<Utc>,
    /// Set once an expression asks for the time.
    pub asked_now: &'a Cell<bool>,
}

/// What is known of a fact.
#[derive(Debug, Clone, Copy)]
pub enum Held<'a> {
    Fresh(&'a Value),
    /// It no longer holds since then.
    Stale(DateTime<Utc>),
    /// It is not of the kind that its key should have.
    Wrong {
        wanted: &'a Kind,
    },
}

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// Nobody reported the fact.
    Missing { key: String },
    /// The fact held until then.
    Stale { key: String, since: DateTime<Utc> },
    /// The fact is not of the kind that it should be.
    WrongKind { key: String, wanted: String },
    /// The evaluation failed.
    Error(String),
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stop::Missing { key } => write!(f, "nobody has reported `{key}`"),
            Stop::Stale { key, since } => {
                write!(f, "`{key}` is stale since {}", since.format("%Y-%m-%d %H:%M UTC"))
            }
            Stop::WrongKind { key, wanted } => write!(f, "`{key}` is not a {wanted}"),
            Stop::Error(why) => f.write_str(why),
        }
    }
}

/// A value on the way.
#[derive(Debug, Clone)]
enum Item<'a> {
    Bool(bool),
    Whole(i64),
    Number(f64),
    Text(Text<'a>),
    Time(DateTime<Utc>),
    Span(TimeDelta),
    /// A list that was made here.
    List(Rc<[Item<'a>]>),
    /// A list, a map or a record as it stands in the subject.
    Json(&'a Value),
}

/// A text is never copied: it stands in the subject or the expression, or was made here and is shared.
#[derive(Debug, Clone)]
enum Text<'a> {
    Lent(&'a str),
    Made(Rc<str>),
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Text::Lent(text) => text,
            Text::Made(text) => text,
        }
    }
}

/// The value of `term`, which is a bool and reads `facts`.
///
/// It has none where one of these is not there, stale, or of another kind, whatever else the expression says: what
/// is not known never decides.
pub fn is_true(term: &Term, facts: &BTreeSet<String>, subject: &Subject<'_>) -> Result<bool, Stop> {
    for key in facts {
        fresh(subject, key)?;
    }
    let mut run = Run { subject, steps: STEPS_MAX, turns: Vec::new() };
    run.bool(term)
}

struct Run<'a, 's> {
    subject: &'s Subject<'a>,
    /// That are left.
    steps: u32,
    turns: Vec<Item<'a>>,
}

impl<'a> Run<'a, '_> {
    fn value(&mut self, of: &'a Term) -> Result<Item<'a>, Stop> {
        self.spend(1)?;
        Ok(match of {
            Term::Bool(it) => Item::Bool(*it),
            Term::Whole(it) => Item::Whole(*it),
            Term::Number(it) => Item::Number(*it),
            Term::Text(it) => Item::Text(Text::Lent(it)),
            Term::Span(it) => Item::Span(*it),
            Term::List(items) => {
                Item::List(items.iter().map(|it| self.value(it)).collect::<Result<_, _>>()?)
            }
            Term::Entity => Item::Json(self.subject.entity),
            Term::Fact(key) => item(fresh(self.subject, key)?),
            Term::Now => {
                self.subject.asked_now.set(true);
                Item::Time(self.subject.now)
            }
            Term::Turn(depth) => self.turns[*depth].clone(),
            Term::Field(whose, field) => {
                let whose = self.value(whose)?;
                of_key(&whose, field)?
            }
            Term::Key(both) => {
                let (whose, key) = (self.value(&both[0])?, self.text(&both[1])?);
                of_key(&whose, &key)?
            }
            Term::Element(both) => self.element(both)?,
            Term::Has(whose, field) => {
                let whose = self.value(whose)?;
                Item::Bool(
                    matches!(whose, Item::Json(Value::Object(map)) if map.contains_key(field)),
                )
            }
            Term::Not(it) => Item::Bool(!self.bool(it)?),
            Term::Negate(it) => match self.value(it)? {
                Item::Whole(it) => Item::Whole(it.checked_neg().ok_or_else(overflow)?),
                other => Item::Number(-number(&other)?),
            },
            Term::And(both) => Item::Bool(self.bool(&both[0])? && self.bool(&both[1])?),
            Term::Or(both) => Item::Bool(self.bool(&both[0])? || self.bool(&both[1])?),
            Term::If(three) => match self.bool(&three[0])? {
                true => self.value(&three[1])?,
                false => self.value(&three[2])?,
            },
            Term::Compare(how, both) => {
                let (a, b) = (self.value(&both[0])?, self.value(&both[1])?);
                Item::Bool(self.compare(*how, &a, &b)?)
            }
            Term::Calculate(how, both) => {
                let (a, b) = (self.value(&both[0])?, self.value(&both[1])?);
                self.calculate(*how, a, b)?
            }
            Term::In(both) => {
                let (it, whose) = (self.value(&both[0])?, self.value(&both[1])?);
                Item::Bool(self.is_in(&it, &whose)?)
            }
            Term::Size(it) => {
                let it = self.value(it)?;
                Item::Whole(self.size(&it)?)
            }
            Term::Contains(both) => {
                let (whose, it) = (self.text(&both[0])?, self.text(&both[1])?);
                self.spend_bytes(whose.len(), STEP_BYTES)?;
                Item::Bool(whose.contains(&*it))
            }
            Term::StartsWith(both) => {
                Item::Bool(self.text(&both[0])?.starts_with(&*self.text(&both[1])?))
            }
            Term::EndsWith(both) => {
                Item::Bool(self.text(&both[0])?.ends_with(&*self.text(&both[1])?))
            }
            Term::Matches(it, pattern) => {
                let text = self.text(it)?;
                self.spend_bytes(text.len(), STEP_PATTERN_BYTES)?;
                Item::Bool(pattern.is_match(&text))
            }
            Term::Time(it) => {
                let text = self.text(it)?;
                Item::Time(term::time(&text).ok_or_else(|| unreadable(&text, "a time"))?)
            }
            Term::ToWhole(it) => match self.value(it)? {
                Item::Text(text) => {
                    Item::Whole(read(&text).ok_or_else(|| unreadable(&text, "a whole number"))?)
                }
                Item::Number(it) if it.abs() < i64::MAX as f64 => Item::Whole(it as i64),
                Item::Number(_) => return Err(overflow()),
                other => other,
            },
            Term::ToNumber(it) => match self.value(it)? {
                Item::Text(text) => {
                    Item::Number(read(&text).ok_or_else(|| unreadable(&text, "a number"))?)
                }
                other => Item::Number(number(&other)?),
            },
            Term::Loop(it) => self.repeat(it)?,
        })
    }

    fn bool(&mut self, of: &'a Term) -> Result<bool, Stop> {
        match self.value(of)? {
            Item::Bool(it) => Ok(it),
            other => Err(unexpected("a bool", &other)),
        }
    }

    fn text(&mut self, of: &'a Term) -> Result<Text<'a>, Stop> {
        match self.value(of)? {
            Item::Text(it) => Ok(it),
            other => Err(unexpected("text", &other)),
        }
    }

    fn element(&mut self, both: &'a [Term; 2]) -> Result<Item<'a>, Stop> {
        let (whose, place) = (self.value(&both[0])?, self.value(&both[1])?);
        let number = number(&place)?;
        let outside = || Stop::Error(format!("there is no element {number} in the list"));
        if number < 0.0 || number.fract() != 0.0 {
            return Err(outside());
        }
        let place = number as usize;
        match whose {
            Item::Json(Value::Array(items)) => items.get(place).map(item).ok_or_else(outside),
            Item::List(items) => items.get(place).cloned().ok_or_else(outside),
            other => Err(unexpected("a list", &other)),
        }
    }

    fn size(&mut self, of: &Item<'_>) -> Result<i64, Stop> {
        let size = match of {
            Item::Text(text) => {
                self.spend_bytes(text.len(), STEP_BYTES)?;
                text.chars().count()
            }
            Item::List(items) => items.len(),
            Item::Json(Value::Array(items)) => items.len(),
            Item::Json(Value::Object(fields)) => fields.len(),
            other => return Err(unexpected("a list", other)),
        };
        Ok(size as i64)
    }

    fn repeat(&mut self, it: &'a Loop) -> Result<Item<'a>, Stop> {
        let over = match self.value(&it.over)? {
            Item::Json(Value::Array(items)) => Over::Json(items.iter()),
            Item::Json(Value::Object(fields)) => Over::Keys(fields.keys()),
            Item::List(items) => Over::Made(items, 0),
            other => return Err(unexpected("a list", &other)),
        };
        let (mut found, mut made) = (0, Vec::new());
        let mut ended = None;
        for (place, turn) in over.enumerate() {
            if place == ELEMENTS_MAX {
                let why = format!("there are more than {ELEMENTS_MAX} to look at");
                return Err(Stop::Error(why));
            }
            self.turns.truncate(it.depth);
            self.turns.push(turn);
            match it.what {
                What::Map => {
                    let value = self.value(&it.body)?;
                    made.push(value);
                    continue;
                }
                What::Filter => {
                    if self.bool(&it.body)? {
                        made.extend(self.turns.pop());
                    }
                    continue;
                }
                _ => {}
            }
            match (it.what, self.bool(&it.body)?) {
                (What::All, false) => ended = Some(false),
                (What::Exists, true) => ended = Some(true),
                (What::ExistsOne, true) => found += 1,
                _ => {}
            }
            if ended.is_some() {
                break;
            }
        }
        self.turns.truncate(it.depth);
        Ok(match it.what {
            What::All => Item::Bool(ended.unwrap_or(true)),
            What::Exists => Item::Bool(ended.unwrap_or(false)),
            What::ExistsOne => Item::Bool(found == 1),
            What::Filter | What::Map => Item::List(made.into()),
        })
    }

    fn compare(&mut self, how: Comparison, a: &Item<'_>, b: &Item<'_>) -> Result<bool, Stop> {
        Ok(match how {
            Comparison::Equal => self.is_same(a, b)?,
            Comparison::Unequal => !self.is_same(a, b)?,
            Comparison::Less => self.order(a, b)? == Some(Ordering::Less),
            Comparison::More => self.order(a, b)? == Some(Ordering::Greater),
            Comparison::AtMost => {
                matches!(self.order(a, b)?, Some(Ordering::Less | Ordering::Equal))
            }
            Comparison::AtLeast => {
                matches!(self.order(a, b)?, Some(Ordering::Greater | Ordering::Equal))
            }
        })
    }

    /// `None` of numbers that are none.
    fn order(&mut self, a: &Item<'_>, b: &Item<'_>) -> Result<Option<Ordering>, Stop> {
        Ok(match (a, b) {
            (Item::Text(a), Item::Text(b)) => {
                self.spend_bytes(a.len().min(b.len()), STEP_BYTES)?;
                Some(a.cmp(b))
            }
            (Item::Time(a), Item::Time(b)) => Some(a.cmp(b)),
            (Item::Span(a), Item::Span(b)) => Some(a.cmp(b)),
            (Item::Whole(a), Item::Whole(b)) => Some(a.cmp(b)),
            (a, b) => number(a)?.partial_cmp(&number(b)?),
        })
    }

    fn is_same(&mut self, a: &Item<'_>, b: &Item<'_>) -> Result<bool, Stop> {
        if let (Item::Bool(a), Item::Bool(b)) = (a, b) {
            return Ok(a == b);
        }
        let (Some(a), Some(b)) = (elements(a), elements(b)) else {
            return Ok(self.order(a, b)? == Some(Ordering::Equal));
        };
        if a.len() != b.len() {
            return Ok(false);
        }
        for place in 0..a.len() {
            self.spend(1)?;
            if !self.is_same(&a.at(place), &b.at(place))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn is_in(&mut self, it: &Item<'_>, whose: &Item<'_>) -> Result<bool, Stop> {
        if let (Item::Text(key), Item::Json(Value::Object(map))) = (it, whose) {
            return Ok(map.contains_key(&**key));
        }
        let Some(whose) = elements(whose) else { return Err(unexpected("a list", whose)) };
        for place in 0..whose.len() {
            self.spend(1)?;
            if self.is_same(it, &whose.at(place))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn calculate(&mut self, how: Operation, a: Item<'a>, b: Item<'a>) -> Result<Item<'a>, Stop> {
        Ok(match (how, a, b) {
            (Operation::Add, Item::Text(a), Item::Text(b)) => {
                self.spend_bytes(a.len() + b.len(), STEP_BYTES)?;
                Item::Text(Text::Made([&*a, &*b].concat().into()))
            }
            (Operation::Add, Item::Time(a), Item::Span(b))
            | (Operation::Add, Item::Span(b), Item::Time(a)) => {
                Item::Time(a.checked_add_signed(b).ok_or_else(overflow)?)
            }
            (Operation::Subtract, Item::Time(a), Item::Span(b)) => {
                Item::Time(a.checked_sub_signed(b).ok_or_else(overflow)?)
            }
            (Operation::Subtract, Item::Time(a), Item::Time(b)) => Item::Span(a - b),
            (Operation::Add, Item::Span(a), Item::Span(b)) => {
                Item::Span(a.checked_add(&b).ok_or_else(overflow)?)
            }
            (Operation::Subtract, Item::Span(a), Item::Span(b)) => {
                Item::Span(a.checked_sub(&b).ok_or_else(overflow)?)
            }
            (_, Item::Whole(a), Item::Whole(b)) => Item::Whole(whole(how, a, b)?),
            (Operation::Add, a, b) if elements(&a).is_some() => self.joined(&a, &b)?,
            (_, a, b) => Item::Number(fraction(how, number(&a)?, number(&b)?)?),
        })
    }

    fn joined(&mut self, a: &Item<'a>, b: &Item<'a>) -> Result<Item<'a>, Stop> {
        let mut joined = Vec::new();
        for list in [elements(a), elements(b)].into_iter().flatten() {
            self.spend(list.len() as u32)?;
            joined.extend((0..list.len()).map(|place| list.at(place)));
        }
        Ok(Item::List(joined.into()))
    }

    fn spend(&mut self, steps: u32) -> Result<(), Stop> {
        match self.steps.checked_sub(steps) {
            Some(left) => self.steps = left,
            None => {
                self.steps = 0;
                return Err(Stop::Error(format!("it takes more than {STEPS_MAX} steps")));
            }
        }
        Ok(())
    }

    fn spend_bytes(&mut self, bytes: usize, each: usize) -> Result<(), Stop> {
        self.spend(u32::try_from(bytes / each).unwrap_or(u32::MAX))
    }
}

enum Over<'a> {
    Json(std::slice::Iter<'a, Value>),
    Keys(serde_json::map::Keys<'a>),
    Made(Rc<[Item<'a>]>, usize),
}

impl<'a> Iterator for Over<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        match self {
            Over::Json(items) => items.next().map(item),
            Over::Keys(keys) => keys.next().map(|key| Item::Text(Text::Lent(key))),
            Over::Made(items, next) => {
                *next += 1;
                items.get(*next - 1).cloned()
            }
        }
    }
}

/// A list, wherever it is.
enum Elements<'e, 'a> {
    Json(&'a [Value]),
    Made(&'e [Item<'a>]),
}

impl<'a> Elements<'_, 'a> {
    fn len(&self) -> usize {
        match self {
            Elements::Json(items) => items.len(),
            Elements::Made(items) => items.len(),
        }
    }

    fn at(&self, place: usize) -> Item<'a> {
        match self {
            Elements::Json(items) => item(&items[place]),
            Elements::Made(items) => items[place].clone(),
        }
    }
}

/// The value of the fact `key`.
fn fresh<'a>(subject: &Subject<'a>, key: &str) -> Result<&'a Value, Stop> {
    let name = || key.to_string();
    match subject.facts.get(key) {
        None => Err(Stop::Missing { key: name() }),
        Some(Held::Stale(since)) => Err(Stop::Stale { key: name(), since: *since }),
        Some(Held::Wrong { wanted }) => {
            Err(Stop::WrongKind { key: name(), wanted: wanted.to_string() })
        }
        Some(Held::Fresh(value)) => Ok(value),
    }
}

fn elements<'e, 'a>(of: &'e Item<'a>) -> Option<Elements<'e, 'a>> {
    match of {
        Item::List(items) => Some(Elements::Made(items)),
        Item::Json(Value::Array(items)) => Some(Elements::Json(items)),
        _ => None,
    }
}

fn item(value: &Value) -> Item<'_> {
    match value {
        Value::Bool(it) => Item::Bool(*it),
        Value::Number(it) => match it.as_i64() {
            Some(whole) => Item::Whole(whole),
            None => Item::Number(it.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Item::Text(Text::Lent(text)),
        Value::Null | Value::Array(_) | Value::Object(_) => Item::Json(value),
    }
}

fn of_key<'a>(whose: &Item<'a>, key: &str) -> Result<Item<'a>, Stop> {
    match whose {
        Item::Json(Value::Object(fields)) => {
            fields.get(key).map(item).ok_or_else(|| Stop::Error(format!("there is no key `{key}`")))
        }
        other => Err(unexpected("an object", other)),
    }
}

fn number(of: &Item<'_>) -> Result<f64, Stop> {
    match of {
        Item::Whole(it) => Ok(*it as f64),
        Item::Number(it) => Ok(*it),
        other => Err(unexpected("a number", other)),
    }
}

/// No number is longer than this.
fn read<N: std::str::FromStr>(text: &str) -> Option<N> {
    text.parse().ok().filter(|_| text.len() <= 40)
}

fn whole(how: Operation, a: i64, b: i64) -> Result<i64, Stop> {
    if b == 0 && matches!(how, Operation::Divide | Operation::Remainder) {
        return Err(Stop::Error("it divides by zero".to_string()));
    }
    let result = match how {
        Operation::Add => a.checked_add(b),
        Operation::Subtract => a.checked_sub(b),
        Operation::Multiply => a.checked_mul(b),
        Operation::Divide => a.checked_div(b),
        Operation::Remainder => a.checked_rem(b),
    };
    result.ok_or_else(overflow)
}

fn fraction(how: Operation, a: f64, b: f64) -> Result<f64, Stop> {
    Ok(match how {
        Operation::Add => a + b,
        Operation::Subtract => a - b,
        Operation::Multiply => a * b,
        Operation::Divide => a / b,
        Operation::Remainder => return Err(Stop::Error("`%` takes whole numbers".to_string())),
    })
}

fn overflow() -> Stop {
    Stop::Error("a number grows too large".to_string())
}

fn unreadable(text: &str, wanted: &str) -> Stop {
    let short: String = text.chars().take(40).collect();
    Stop::Error(format!("`{short}` is not {wanted}"))
}

/// The kinds of all values are known beforehand: only an entity or a fact of another shape than it should have
/// comes here.
fn unexpected(wanted: &str, found: &Item<'_>) -> Stop {
    let found = match found {
        Item::Bool(_) => "a bool",
        Item::Whole(_) | Item::Number(_) => "a number",
        Item::Text(_) => "text",
        Item::Time(_) => "a time",
        Item::Span(_) => "a duration",
        Item::List(_) | Item::Json(Value::Array(_)) => "a list",
        Item::Json(_) => "an object",
    };
    Stop::Error(format!("{wanted} was expected, and {found} came"))
}
