//! Names, kinds and bounds of an expression, before any entity is looked at.

use cel::Program;
use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, SourceInfo, operators as op};
use regex::RegexBuilder;

use super::term::{self, Comparison, Loop, Operation, Term, What};
use super::{Broken, Reads, Vocabulary};
use crate::catalog::formats::fields::closest;
use crate::facts::Kind;

/// How many loops one expression has at most, and how many of them in each other.
const LOOPS_MAX: usize = 4;
const LOOPS_NESTED_MAX: usize = 2;
/// The most bytes of a pattern, and of what it compiles to.
const PATTERN_BYTES_MAX: usize = 256;
const PATTERN_COMPILED_BYTES_MAX: usize = 64 << 10;

/// Names that are not values of their own.
const VARIABLES: [&str; 3] = ["entity", "facts", "now"];

/// Every function there is.
const FUNCTIONS: [&str; 16] = [
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "has",
    "all",
    "exists",
    "exists_one",
    "filter",
    "map",
    "timestamp",
    "duration",
    "int",
    "double",
    "existsOne",
];

/// What `program`, which was parsed from `source`, says: a bool.
///
/// # Errors
/// The first thing that is wrong.
pub fn check(
    source: &str,
    program: &Program,
    vocabulary: &Vocabulary,
) -> Result<(Term, Reads), Broken> {
    let info = program.source_info();
    let mut checker = Checker {
        source,
        info,
        vocabulary,
        turns: Vec::new(),
        maps: 0,
        loops: 0,
        reads: Reads::default(),
    };
    let root = program.expression();
    let (term, kind) = checker.value(root)?;
    if kind != Kind::Bool {
        let message = format!("The expression is {} and should be true or false.", a(&kind));
        return Err(checker.broken(root, message, "Compare it with something: `… == …`."));
    }
    Ok((term, checker.reads))
}

struct Checker<'a> {
    source: &'a str,
    info: &'a SourceInfo,
    vocabulary: &'a Vocabulary,
    /// The names of the loops that are open, with the kinds of what they are at.
    turns: Vec<(String, Kind)>,
    /// How many of them keep what each turn makes.
    maps: usize,
    loops: usize,
    reads: Reads,
}

type Checked = Result<(Term, Kind), Broken>;

impl Checker<'_> {
    fn value(&mut self, of: &IdedExpr) -> Checked {
        match &of.expr {
            Expr::Literal(literal) => self.literal(of, literal),
            Expr::Ident(name) => self.name(of, name),
            Expr::Select(select) => self.field(of, &select.operand, &select.field),
            Expr::List(list) => {
                let mut items = Vec::new();
                let mut kind = None;
                for element in &list.elements {
                    let (item, its) = self.value(element)?;
                    let first = kind.get_or_insert_with(|| its.clone());
                    if *first != its {
                        let message = format!("This list has {} and {}.", a(first), a(&its));
                        return Err(self.broken(
                            element,
                            message,
                            "A list has one kind of values.",
                        ));
                    }
                    items.push(item);
                }
                Ok((Term::List(items), Kind::list(kind.unwrap_or(Kind::Text))))
            }
            Expr::Call(call) => self.call(of, call),
            Expr::Map(_) | Expr::Struct(_) => {
                Err(self.broken(of, "Maps are not taken here.", "Use a list: `[\"a\", \"b\"]`."))
            }
            Expr::Comprehension(_) | Expr::Unspecified => {
                Err(self.broken(of, "This is not taken.", "Write it as a rule of its own."))
            }
        }
    }

    fn literal(&self, of: &IdedExpr, literal: &LiteralValue) -> Checked {
        Ok(match literal {
            LiteralValue::Boolean(it) => (Term::Bool(*it.inner()), Kind::Bool),
            LiteralValue::Int(it) => (Term::Whole(*it.inner()), Kind::Number),
            LiteralValue::Double(it) => (Term::Number(*it.inner()), Kind::Number),
            LiteralValue::String(it) => (Term::Text(it.inner().to_string()), Kind::Text),
            LiteralValue::Null => {
                let hint = "An absent text is `\"\"`, an absent list `[]`.";
                return Err(self.broken(of, "Nothing is `null` here.", hint));
            }
            LiteralValue::UInt(_) | LiteralValue::Bytes(_) => {
                let hint = "Write a number or a text without a letter beside it.";
                return Err(self.broken(of, "This kind of value is not taken.", hint));
            }
        })
    }

    fn name(&mut self, of: &IdedExpr, name: &str) -> Checked {
        if let Some(depth) = self.turns.iter().rposition(|(turn, _)| turn == name) {
            return Ok(timed(Term::Turn(depth), self.turns[depth].1.clone()));
        }
        match name {
            "entity" => Ok((Term::Entity, self.vocabulary.entity.clone())),
            "now" => {
                self.reads.now = true;
                Ok((Term::Now, Kind::Time))
            }
            "facts" => {
                let hint = "Write `facts.coverage` or `facts[\"ci.green\"]`.";
                Err(self.broken(of, "`facts` is not a value of its own.", hint))
            }
            _ => {
                let names = self.turns.iter().map(|(turn, _)| turn.as_str()).chain(VARIABLES);
                let hint = match closest(name, names) {
                    Some(meant) => format!("Did you mean `{meant}`?"),
                    None => "There are `entity`, `facts` and `now`.".to_string(),
                };
                Err(self.broken(of, format!("There is no `{name}`."), hint))
            }
        }
    }

    /// `operand.field`
    fn field(&mut self, of: &IdedExpr, operand: &IdedExpr, field: &str) -> Checked {
        if self.is_facts(operand) {
            return self.fact(of, field);
        }
        if let Some(key) = self.dotted(of) {
            let message =
                format!("There is no fact `{}`.", key.split('.').next().unwrap_or_default());
            return Err(self.broken(of, message, format!("Did you mean `facts[\"{key}\"]`?")));
        }
        let (term, kind) = self.value(operand)?;
        match kind {
            Kind::Record(fields) => {
                let Some((_, kind)) = fields.iter().find(|(name, _)| *name == field) else {
                    let hint = match closest(field, fields.iter().map(|(name, _)| *name)) {
                        Some(meant) => format!("Did you mean `{meant}`?"),
                        None => format!("There are {}.", quoted(fields.iter().map(|it| it.0))),
                    };
                    let whose = self.written(operand);
                    return Err(self.broken(of, format!("`{whose}` has no `{field}`."), hint));
                };
                let (kind, term) = (kind.clone(), Term::Field(Box::new(term), field.to_string()));
                self.note(&term);
                Ok(timed(term, kind))
            }
            Kind::Map(of_map) => {
                let term = Term::Field(Box::new(term), field.to_string());
                self.note(&term);
                Ok(timed(term, *of_map))
            }
            other => {
                let message =
                    format!("`{}` is {}, which has no fields.", self.written(operand), a(&other));
                Err(self.broken(of, message, "Compare it, or count it with `size(…)`."))
            }
        }
    }

    fn is_facts(&self, of: &IdedExpr) -> bool {
        let is_name = matches!(&of.expr, Expr::Ident(name) if name == "facts");
        is_name && !self.turns.iter().any(|(turn, _)| turn == "facts")
    }

    fn fact(&mut self, of: &IdedExpr, key: &str) -> Checked {
        let Some(facts) = &self.vocabulary.facts else {
            let hint = "A filter tells which entities are meant; ask for facts in `pass`.";
            return Err(self.broken(of, "A filter has no facts.", hint));
        };
        let Some(kind) = facts.get(key) else {
            let hint = match closest(key, facts.keys().map(String::as_str)) {
                Some(meant) => format!("Did you mean `{meant}`?"),
                None if facts.is_empty() => {
                    "Declare it under `facts` in idp.yaml or here.".to_string()
                }
                None => format!("There are {}.", quoted(facts.keys().map(String::as_str))),
            };
            return Err(self.broken(of, format!("There is no fact `{key}`."), hint));
        };
        self.reads.facts.insert(key.to_string());
        Ok(timed(Term::Fact(key.to_string()), kind.clone()))
    }

    /// The key that `facts.ci.green` means, where it is a fact's.
    fn dotted(&self, of: &IdedExpr) -> Option<String> {
        let mut words = Vec::new();
        let mut at = of;
        while let Expr::Select(select) = &at.expr {
            words.push(select.field.as_str());
            at = &select.operand;
        }
        words.reverse();
        let key = words.join(".");
        let is_fact = self.vocabulary.facts.as_ref().is_some_and(|it| it.contains_key(&key));
        (words.len() > 1 && self.is_facts(at) && is_fact).then_some(key)
    }

    fn call(&mut self, of: &IdedExpr, call: &CallExpr) -> Checked {
        let args = call.args.as_slice();
        if let Some(target) = &call.target {
            return match (call.func_name.as_str(), args) {
                ("size", []) => self.size(target),
                ("contains", [it]) => self.texts(target, it, Term::Contains),
                ("startsWith", [it]) => self.texts(target, it, Term::StartsWith),
                ("endsWith", [it]) => self.texts(target, it, Term::EndsWith),
                ("matches", [pattern]) => self.matches(target, pattern),
                ("all", [turn, body]) => self.repeat(of, What::All, target, turn, body),
                ("exists", [turn, body]) => self.repeat(of, What::Exists, target, turn, body),
                ("exists_one" | "existsOne", [turn, body]) => {
                    self.repeat(of, What::ExistsOne, target, turn, body)
                }
                ("filter", [turn, body]) => self.repeat(of, What::Filter, target, turn, body),
                ("map", [turn, body]) => self.repeat(of, What::Map, target, turn, body),
                _ => Err(self.no_function(of, call)),
            };
        }
        match (call.func_name.as_str(), args) {
            (op::CONDITIONAL, [condition, yes, no]) => self.choice(condition, yes, no),
            (op::LOGICAL_AND, [a, b]) => Ok((Term::And(self.bools(a, b)?), Kind::Bool)),
            (op::LOGICAL_OR, [a, b]) => Ok((Term::Or(self.bools(a, b)?), Kind::Bool)),
            (op::LOGICAL_NOT, [it]) => {
                Ok((Term::Not(Box::new(self.of_kind(it, &Kind::Bool)?)), Kind::Bool))
            }
            (op::NEGATE, [it]) => {
                Ok((Term::Negate(Box::new(self.of_kind(it, &Kind::Number)?)), Kind::Number))
            }
            (op::INDEX, [whose, index]) => self.index(of, whose, index),
            (op::IN, [it, whose]) => self.within(it, whose),
            ("size", [it]) => self.size(it),
            ("has", [it]) => self.has(it),
            ("matches", [it, pattern]) => self.matches(it, pattern),
            ("timestamp", [it]) => self.timestamp(it),
            ("duration", [it]) => self.duration(it),
            ("int", [it]) => Ok((Term::ToWhole(Box::new(self.numeric(it)?)), Kind::Number)),
            ("double", [it]) => Ok((Term::ToNumber(Box::new(self.numeric(it)?)), Kind::Number)),
            (name, [a, b]) => match (comparison(name), operation(name)) {
                (Some(how), _) => self.compare(of, how, a, b),
                (_, Some(how)) => self.calculate(of, how, a, b),
                _ => Err(self.no_function(of, call)),
            },
            _ => Err(self.no_function(of, call)),
        }
    }

    fn no_function(&self, of: &IdedExpr, call: &CallExpr) -> Broken {
        let name = &call.func_name;
        if FUNCTIONS.contains(&name.as_str()) {
            let message = format!("`{name}` is not called like this.");
            let hint = match name.as_str() {
                "size" | "has" | "timestamp" | "duration" | "int" | "double" => {
                    format!("Write `{name}(…)`.")
                }
                "contains" | "startsWith" | "endsWith" | "matches" => {
                    format!("Write `entity.name.{name}(\"…\")`.")
                }
                _ => format!("Write `entity.links.{name}(it, it.type == \"runbook\")`."),
            };
            return self.broken(of, message, hint);
        }
        let hint = match closest(name, FUNCTIONS) {
            Some(meant) => format!("Did you mean `{meant}`?"),
            None => format!("There are {}.", quoted(FUNCTIONS[..15].iter().copied())),
        };
        self.broken(of, format!("There is no function `{name}`."), hint)
    }

    fn choice(&mut self, condition: &IdedExpr, yes: &IdedExpr, no: &IdedExpr) -> Checked {
        let condition = self.of_kind(condition, &Kind::Bool)?;
        let (yes, kind) = self.value(yes)?;
        let no = self.of_kind(no, &kind)?;
        Ok((Term::If(Box::new([condition, yes, no])), kind))
    }

    fn bools(&mut self, a: &IdedExpr, b: &IdedExpr) -> Result<Box<[Term; 2]>, Broken> {
        Ok(Box::new([self.of_kind(a, &Kind::Bool)?, self.of_kind(b, &Kind::Bool)?]))
    }

    fn texts(
        &mut self,
        whose: &IdedExpr,
        it: &IdedExpr,
        term: fn(Box<[Term; 2]>) -> Term,
    ) -> Checked {
        let both = [self.of_kind(whose, &Kind::Text)?, self.of_kind(it, &Kind::Text)?];
        Ok((term(Box::new(both)), Kind::Bool))
    }

    /// `it`, which must be of `kind`.
    fn of_kind(&mut self, it: &IdedExpr, kind: &Kind) -> Result<Term, Broken> {
        let (term, found) = self.value(it)?;
        if !fits(&term, &found, kind) {
            let message =
                format!("`{}` is {} and should be {}.", self.written(it), a(&found), a(kind));
            let hint = match (&found, kind) {
                (Kind::List(_) | Kind::Map(_), Kind::Bool | Kind::Number) => "Count it: `size(…)`.",
                (_, Kind::Bool) => "Compare it with something: `… == …`.",
                _ => "Compare values of one kind.",
            };
            return Err(self.broken(it, message, hint));
        }
        Ok(term)
    }

    fn numeric(&mut self, it: &IdedExpr) -> Result<Term, Broken> {
        let (term, found) = self.value(it)?;
        if !matches!(found, Kind::Text | Kind::Number) {
            let message = format!("`{}` is {} and should be text.", self.written(it), a(&found));
            return Err(self.broken(it, message, "Only a text can be read as a number."));
        }
        Ok(term)
    }

    fn size(&mut self, it: &IdedExpr) -> Checked {
        let (term, kind) = self.value(it)?;
        if !matches!(kind, Kind::Text | Kind::List(_) | Kind::Map(_)) {
            let message = format!("`{}` is {} and has no size.", self.written(it), a(&kind));
            return Err(self.broken(it, message, "Texts, lists and maps have one."));
        }
        Ok((Term::Size(Box::new(term)), Kind::Number))
    }

    fn has(&mut self, it: &IdedExpr) -> Checked {
        const HINT: &str = "Ask for a key of a map: `has(entity.labels.tier)`.";
        let Expr::Select(select) = &it.expr else {
            return Err(self.broken(it, "`has` takes the key of a map.", HINT));
        };
        if self.is_facts(&select.operand) {
            let hint = "Leave it out: without the fact a rule is unknown, and never a pass.";
            return Err(self.broken(it, "`has` does not ask for facts.", hint));
        }
        let (term, kind) = self.value(&select.operand)?;
        if !matches!(kind, Kind::Map(_)) {
            let message = format!("`{}` is {} and always there.", self.written(it), a(&kind));
            return Err(self.broken(it, message, HINT));
        }
        Ok((Term::Has(Box::new(term), select.field.clone()), Kind::Bool))
    }

    fn matches(&mut self, it: &IdedExpr, pattern: &IdedExpr) -> Checked {
        let term = self.of_kind(it, &Kind::Text)?;
        let Expr::Literal(LiteralValue::String(source)) = &pattern.expr else {
            let hint = "Write the pattern itself: `matches(\"^v[0-9]+$\")`.";
            return Err(self.broken(pattern, "A pattern is not computed.", hint));
        };
        let source = source.inner();
        let too_large = || "It grows too large.".to_string();
        if source.len() > PATTERN_BYTES_MAX {
            return Err(self.broken(pattern, "This pattern is too long.", "Write several rules."));
        }
        let compiled = RegexBuilder::new(source)
            .size_limit(PATTERN_COMPILED_BYTES_MAX)
            .dfa_size_limit(PATTERN_COMPILED_BYTES_MAX)
            .nest_limit(20)
            .build();
        match compiled {
            Ok(pattern) => Ok((Term::Matches(Box::new(term), pattern), Kind::Bool)),
            Err(error) => {
                let why = match &error {
                    regex::Error::CompiledTooBig(_) => too_large(),
                    other => other.to_string().lines().last().unwrap_or_default().to_string(),
                };
                let hint = "It is a regular expression of the crate `regex`: no look-around, no back-references.";
                let why = why.trim_start_matches("error: ").trim_end_matches('.');
                Err(self.broken(pattern, format!("This pattern cannot be used: {why}."), hint))
            }
        }
    }

    fn timestamp(&mut self, it: &IdedExpr) -> Checked {
        let term = self.of_kind(it, &Kind::Text)?;
        if let Term::Text(text) = &term
            && term::time(text).is_none()
        {
            let hint = "Write it as `2026-01-31T09:00:00Z`.";
            return Err(self.broken(it, format!("`{text}` is not a time."), hint));
        }
        Ok((Term::Time(Box::new(term)), Kind::Time))
    }

    fn duration(&mut self, it: &IdedExpr) -> Checked {
        const HINT: &str = "Write it as `720h` or `90m`.";
        let Expr::Literal(LiteralValue::String(text)) = &it.expr else {
            return Err(self.broken(it, "A duration is not computed.", HINT));
        };
        match term::span(text.inner()) {
            Some(span) => Ok((Term::Span(span), Kind::Duration)),
            None => Err(self.broken(it, format!("`{}` is not a duration.", text.inner()), HINT)),
        }
    }

    fn index(&mut self, of: &IdedExpr, whose: &IdedExpr, index: &IdedExpr) -> Checked {
        let literal = match &index.expr {
            Expr::Literal(LiteralValue::String(key)) => Some(key.inner().to_string()),
            _ => None,
        };
        match literal {
            Some(key) => self.field(of, whose, &key),
            None if self.is_facts(whose) => {
                let hint = "Write the key itself: `facts[\"ci.green\"]`.";
                Err(self.broken(index, "The key of a fact is not computed.", hint))
            }
            None => {
                let (term, kind) = self.value(whose)?;
                match kind {
                    Kind::List(of_list) => {
                        let place = self.of_kind(index, &Kind::Number)?;
                        Ok(timed(Term::Element(Box::new([term, place])), *of_list))
                    }
                    Kind::Map(of_map) => {
                        let key = self.of_kind(index, &Kind::Text)?;
                        Ok(timed(Term::Key(Box::new([term, key])), *of_map))
                    }
                    other => {
                        let message =
                            format!("`{}` is {} and has no `[…]`.", self.written(whose), a(&other));
                        Err(self.broken(of, message, "Lists have places, maps have keys."))
                    }
                }
            }
        }
    }

    fn within(&mut self, it: &IdedExpr, whose: &IdedExpr) -> Checked {
        let (term, kind) = self.value(whose)?;
        let wanted = match kind {
            Kind::List(_) if is_empty(&term) => {
                let it = self.value(it)?.0;
                return Ok((Term::In(Box::new([it, term])), Kind::Bool));
            }
            Kind::List(of_list) if !matches!(*of_list, Kind::List(_)) => *of_list,
            Kind::Map(_) => Kind::Text,
            other => {
                let message =
                    format!("`{}` is {} and has nothing in it.", self.written(whose), a(&other));
                return Err(self.broken(
                    whose,
                    message,
                    "Ask for an element of a list, or a key of a map.",
                ));
            }
        };
        self.comparable(it, &wanted)?;
        let it = self.of_kind(it, &wanted)?;
        Ok((Term::In(Box::new([it, term])), Kind::Bool))
    }

    fn comparable(&self, at: &IdedExpr, kind: &Kind) -> Result<(), Broken> {
        let is_plain = match kind {
            Kind::List(of) => !matches!(**of, Kind::Record(_) | Kind::Map(_) | Kind::List(_)),
            Kind::Record(_) | Kind::Map(_) => false,
            _ => true,
        };
        match is_plain {
            true => Ok(()),
            false => {
                let message = format!("{} cannot be compared.", upper(&a(kind)));
                Err(self.broken(at, message, "Compare one of its fields."))
            }
        }
    }

    fn compare(
        &mut self,
        of: &IdedExpr,
        how: Comparison,
        left: &IdedExpr,
        right: &IdedExpr,
    ) -> Checked {
        let (first, kind) = self.value(left)?;
        let (second, other) = self.value(right)?;
        if !fits(&first, &kind, &other) && !fits(&second, &other, &kind) {
            let message = format!(
                "`{}` is {}, `{}` is {}: they cannot be compared.",
                self.written(left),
                a(&kind),
                self.written(right),
                a(&other)
            );
            let hint = match (&kind, &other) {
                (Kind::List(_) | Kind::Map(_), Kind::Number) => "Count it: `size(…)`.",
                (Kind::Number, Kind::Text) => "Write the number without quotes.",
                (Kind::Text, Kind::Number) => "Write it in quotes, or read it with `int(…)`.",
                (Kind::Bool, Kind::Text) => "Write `true` or `false` without quotes.",
                _ => "Compare values of one kind.",
            };
            return Err(self.broken(of, message, hint));
        }
        self.comparable(of, &kind)?;
        let has_order = matches!(kind, Kind::Number | Kind::Text | Kind::Time | Kind::Duration);
        if !matches!(how, Comparison::Equal | Comparison::Unequal) && !has_order {
            let message = format!("{} is neither more nor less than another.", upper(&a(&kind)));
            return Err(self.broken(of, message, "Use `==` or `!=`."));
        }
        Ok((Term::Compare(how, Box::new([first, second])), Kind::Bool))
    }

    fn calculate(
        &mut self,
        of: &IdedExpr,
        how: Operation,
        left: &IdedExpr,
        right: &IdedExpr,
    ) -> Checked {
        use Operation::{Add, Subtract};
        let (first, kind) = self.value(left)?;
        let (second, other) = self.value(right)?;
        let result = match (how, &kind, &other) {
            (_, Kind::Number, Kind::Number) => Kind::Number,
            (Add, Kind::Text, Kind::Text) => Kind::Text,
            (Add, Kind::List(_), Kind::List(_)) if fits(&first, &kind, &other) => other.clone(),
            (Add, Kind::List(_), Kind::List(_)) if fits(&second, &other, &kind) => kind.clone(),
            (Add | Subtract, Kind::Time, Kind::Duration) => Kind::Time,
            (Add, Kind::Duration, Kind::Time) => Kind::Time,
            (Subtract, Kind::Time, Kind::Time) => Kind::Duration,
            (Add | Subtract, Kind::Duration, Kind::Duration) => Kind::Duration,
            _ => {
                let message =
                    format!("{} and {} cannot be calculated with.", upper(&a(&kind)), a(&other));
                return Err(self.broken(of, message, "Numbers, times and durations can."));
            }
        };
        let grows = matches!(result, Kind::Text | Kind::List(_));
        if grows && self.maps > 0 {
            let hint = "Put the `+` outside of it.";
            return Err(self.broken(of, "`map` does not build texts or lists.", hint));
        }
        Ok((Term::Calculate(how, Box::new([first, second])), result))
    }

    fn repeat(
        &mut self,
        of: &IdedExpr,
        what: What,
        over: &IdedExpr,
        turn: &IdedExpr,
        body: &IdedExpr,
    ) -> Checked {
        let (over_term, kind) = self.value(over)?;
        let of_turn = match kind {
            Kind::List(of_list) => *of_list,
            Kind::Map(_) => Kind::Text,
            other => {
                let message = format!("`{}` is {}, not a list.", self.written(over), a(&other));
                return Err(self.broken(
                    over,
                    message,
                    "Loops go over lists, and the keys of maps.",
                ));
            }
        };
        let Expr::Ident(name) = &turn.expr else {
            let hint = "Write `entity.links.exists(it, it.type == \"runbook\")`.";
            return Err(self.broken(turn, "The first argument of a loop is a name.", hint));
        };
        if VARIABLES.contains(&name.as_str()) {
            let message = format!("`{name}` has a meaning of its own.");
            return Err(self.broken(turn, message, "Give the loop another name, such as `it`."));
        }
        self.loops += 1;
        if self.loops > LOOPS_MAX {
            let message = format!("There are more than {LOOPS_MAX} loops.");
            return Err(self.broken(of, message, "Write several rules."));
        }
        if self.turns.len() == LOOPS_NESTED_MAX {
            let message = format!("There are more than {LOOPS_NESTED_MAX} loops in each other.");
            return Err(self.broken(of, message, "Write several rules."));
        }
        let depth = self.turns.len();
        self.turns.push((name.clone(), of_turn.clone()));
        self.maps += usize::from(what == What::Map);
        let checked = match what {
            What::Map => self.value(body),
            _ => self.of_kind(body, &Kind::Bool).map(|term| (term, Kind::Bool)),
        };
        self.turns.pop();
        self.maps -= usize::from(what == What::Map);
        let (body, of_body) = checked?;
        let kind = match what {
            What::All | What::Exists | What::ExistsOne => Kind::Bool,
            What::Filter => Kind::list(of_turn),
            What::Map => Kind::list(of_body),
        };
        Ok((Term::Loop(Box::new(Loop { what, over: over_term, depth, body })), kind))
    }

    /// Remembers the path in `entity` that `term` is, if it is one.
    fn note(&mut self, term: &Term) {
        let Some(path) = path(term) else { return };
        if let Term::Field(inner, _) = term
            && let Some(shorter) = self::path(inner)
        {
            self.reads.entity.remove(&shorter);
        }
        self.reads.entity.insert(path);
    }

    /// `of` as it stands in the source, cut to what fits a message.
    fn written(&self, of: &IdedExpr) -> String {
        let written = written(of);
        match written.char_indices().nth(60) {
            Some((end, _)) => format!("{}…", &written[..end]),
            None => written,
        }
    }

    fn broken(&self, at: &IdedExpr, message: impl Into<String>, hint: impl Into<String>) -> Broken {
        let start = start(at);
        let offset = self.info.offset_for(start.id).unwrap_or_default().0 as usize;
        let name = match &start.expr {
            Expr::Call(call) if call.target.is_none() => call.func_name.as_str(),
            _ => "",
        };
        // The parser places a function at its parenthesis.
        let before = &self.source[..self.source.floor_char_boundary(offset)];
        let offset = match before.trim_end().strip_suffix(name) {
            Some(rest) if !name.is_empty() => rest.len(),
            _ => offset,
        };
        Broken::at(self.source, offset, message, hint)
    }
}

/// Where `of` begins: the parser places a call at its operator, a field at its dot.
fn start(of: &IdedExpr) -> &IdedExpr {
    match &of.expr {
        Expr::Select(select) => start(&select.operand),
        Expr::Call(call) => match (&call.target, call.args.first()) {
            (Some(target), _) => start(target),
            (None, Some(first)) if is_infix(&call.func_name) => start(first),
            _ => of,
        },
        _ => of,
    }
}

fn is_infix(name: &str) -> bool {
    name == op::INDEX
        || name == op::CONDITIONAL
        || name == op::IN
        || name == op::LOGICAL_AND
        || name == op::LOGICAL_OR
        || comparison(name).is_some()
        || operation(name).is_some()
}

/// `of` as one would write it.
fn written(of: &IdedExpr) -> String {
    match &of.expr {
        Expr::Ident(name) => name.clone(),
        Expr::Select(select) => format!("{}.{}", written(&select.operand), select.field),
        Expr::Literal(LiteralValue::String(it)) => format!("\"{}\"", it.inner()),
        Expr::Literal(LiteralValue::Int(it)) => it.inner().to_string(),
        Expr::Literal(LiteralValue::Double(it)) => it.inner().to_string(),
        Expr::Literal(LiteralValue::Boolean(it)) => it.inner().to_string(),
        Expr::List(list) if list.elements.is_empty() => "[]".to_string(),
        Expr::List(_) => "[…]".to_string(),
        Expr::Call(call) => match (&call.target, call.args.as_slice()) {
            (Some(target), []) => format!("{}.{}()", written(target), call.func_name),
            (Some(target), _) => format!("{}.{}(…)", written(target), call.func_name),
            (None, [whose, index]) if call.func_name == op::INDEX => {
                format!("{}[{}]", written(whose), written(index))
            }
            (None, [a, b]) if is_infix(&call.func_name) => {
                let sign = call.func_name.trim_matches(['_', '@']);
                format!("{} {sign} {}", written(a), written(b))
            }
            (None, [it]) if call.func_name == op::LOGICAL_NOT => format!("!{}", written(it)),
            (None, [it]) if call.func_name == op::NEGATE => format!("-{}", written(it)),
            (None, [it]) => format!("{}({})", call.func_name, written(it)),
            _ => "…".to_string(),
        },
        _ => "…".to_string(),
    }
}

/// Where in `entity` the value of `term` is: `annotations["acme.example/backup"]`.
fn path(term: &Term) -> Option<String> {
    let Term::Field(whose, field) = term else { return None };
    let is_word = field.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_');
    match &**whose {
        Term::Entity => Some(field.clone()),
        inner if is_word => Some(format!("{}.{field}", path(inner)?)),
        inner => Some(format!("{}[\"{field}\"]", path(inner)?)),
    }
}

/// Whether a value of kind `found`, which `term` is, can stand where one of kind `wanted` should.
fn fits(term: &Term, found: &Kind, wanted: &Kind) -> bool {
    found == wanted || (is_empty(term) && matches!(wanted, Kind::List(_)))
}

/// What stands in JSON is text where it is a time.
fn timed(term: Term, kind: Kind) -> (Term, Kind) {
    match kind {
        Kind::Time => (Term::Time(Box::new(term)), kind),
        _ => (term, kind),
    }
}

fn is_empty(term: &Term) -> bool {
    matches!(term, Term::List(items) if items.is_empty())
}

fn comparison(name: &str) -> Option<Comparison> {
    Some(match name {
        op::EQUALS => Comparison::Equal,
        op::NOT_EQUALS => Comparison::Unequal,
        op::LESS => Comparison::Less,
        op::LESS_EQUALS => Comparison::AtMost,
        op::GREATER => Comparison::More,
        op::GREATER_EQUALS => Comparison::AtLeast,
        _ => return None,
    })
}

fn operation(name: &str) -> Option<Operation> {
    Some(match name {
        op::ADD => Operation::Add,
        op::SUBSTRACT => Operation::Subtract,
        op::MULTIPLY => Operation::Multiply,
        op::DIVIDE => Operation::Divide,
        op::MODULO => Operation::Remainder,
        _ => return None,
    })
}

/// `a number`, `text`
fn a(kind: &Kind) -> String {
    match kind {
        Kind::Text => kind.to_string(),
        Kind::Record(_) => format!("an {kind}"),
        _ => format!("a {kind}"),
    }
}

fn upper(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|it| it.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

fn quoted<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = words.take(20).map(|word| format!("`{word}`")).collect();
    quoted.join(", ")
}
