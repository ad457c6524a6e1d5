//! A rule of ours as what it asks, as far as other products can say it.

use cel::Env;
use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, operators as op};

use super::ask::{Ask, LISTS, Literal, Of, REPOSITORIES, TEXTS, Test};

/// What `source` asks, which is an expression that was found good.
///
/// # Errors
/// Why it cannot be said elsewhere, as the end of a sentence.
pub fn read(source: &str) -> Result<Ask, String> {
    let parser = Env::default().with_optional_support(false);
    let program = parser.compile(source).map_err(|_| "it is no expression".to_string())?;
    ask(program.expression())
}

fn ask(of: &IdedExpr) -> Result<Ask, String> {
    match &of.expr {
        Expr::Call(call) => of_call(call),
        _ => match subject(of)? {
            fact @ Of::Fact(_) => Ok(Ask::Test(fact, Test::Is(Literal::Bool(true)))),
            _ => Err(unsayable()),
        },
    }
}

fn of_call(call: &CallExpr) -> Result<Ask, String> {
    let args = call.args.as_slice();
    if let Some(target) = &call.target {
        return of_method(target, &call.func_name, args);
    }
    match (call.func_name.as_str(), args) {
        (op::LOGICAL_AND, [a, b]) => Ok(Ask::All(flat(a, b, |it| match it {
            Ask::All(parts) => Ok(parts),
            other => Err(other),
        })?)),
        (op::LOGICAL_OR, [a, b]) => Ok(Ask::Any(flat(a, b, |it| match it {
            Ask::Any(parts) => Ok(parts),
            other => Err(other),
        })?)),
        (op::LOGICAL_NOT, [it]) => Ok(ask(it)?.denied()),
        (op::INDEX, [_, _]) => {
            let fact = fact(call).ok_or_else(unsayable)?;
            Ok(Ask::Test(fact, Test::Is(Literal::Bool(true))))
        }
        (op::IN, [it, whose]) => within(it, whose),
        (op::EQUALS, [a, b]) => equal(a, b),
        (op::NOT_EQUALS, [a, b]) => Ok(equal(a, b)?.denied()),
        (op::LESS, [a, b]) => compare("<", a, b),
        (op::LESS_EQUALS, [a, b]) => compare("<=", a, b),
        (op::GREATER, [a, b]) => compare(">", a, b),
        (op::GREATER_EQUALS, [a, b]) => compare(">=", a, b),
        _ => Err(unsayable()),
    }
}

/// `a` and `b` with what `parts` finds in them beside each other.
fn flat(
    a: &IdedExpr,
    b: &IdedExpr,
    parts: fn(Ask) -> Result<Vec<Ask>, Ask>,
) -> Result<Vec<Ask>, String> {
    let mut all = parts(ask(a)?).unwrap_or_else(|one| vec![one]);
    all.push(ask(b)?);
    Ok(all)
}

fn of_method(target: &IdedExpr, name: &str, args: &[IdedExpr]) -> Result<Ask, String> {
    if name == "exists" {
        return exists(target, args);
    }
    let of = subject(target)?;
    let [argument] = args else { return Err(unsayable()) };
    let Some(Literal::Text(text)) = literal(argument) else { return Err(unsayable()) };
    let test = match name {
        "contains" => Test::Contains(text),
        "startsWith" => Test::StartsWith(text),
        "endsWith" => Test::EndsWith(text),
        "matches" => Test::Matches(text),
        _ => return Err(unsayable()),
    };
    Ok(Ask::Test(of, test))
}

/// `entity.links.exists(it, it.type == "…")`, and the annotations of repositories.
fn exists(target: &IdedExpr, args: &[IdedExpr]) -> Result<Ask, String> {
    let [_, body] = args else { return Err(unsayable()) };
    if let Expr::List(list) = &target.expr {
        let names: Vec<Option<Literal>> = list.elements.iter().map(literal).collect();
        let are = REPOSITORIES.iter().map(|it| Some(Literal::Text(it.to_string())));
        return match names.into_iter().eq(are) {
            true => Ok(Ask::Test(Of::Repository, Test::Empty).denied()),
            false => Err(unsayable()),
        };
    }
    let class = type_of_link(target, body).ok_or_else(unsayable)?;
    Ok(Ask::Test(Of::Links(class), Test::Empty).denied())
}

fn type_of_link(target: &IdedExpr, body: &IdedExpr) -> Option<String> {
    let is_links = matches!(subject(target), Ok(Of::Many("links")));
    let Expr::Call(call) = &body.expr else { return None };
    let [left, right] = call.args.as_slice() else { return None };
    let Expr::Select(select) = &left.expr else { return None };
    let asks = is_links && call.func_name == op::EQUALS && select.field == "type";
    match literal(right) {
        Some(Literal::Text(class)) if asks => Some(class),
        _ => None,
    }
}

fn within(it: &IdedExpr, whose: &IdedExpr) -> Result<Ask, String> {
    if let Expr::List(list) = &whose.expr {
        let some: Option<Vec<Literal>> = list.elements.iter().map(literal).collect();
        return Ok(Ask::Test(subject(it)?, Test::OneOf(some.ok_or_else(unsayable)?)));
    }
    match (literal(it), subject(whose)?) {
        (Some(Literal::Text(text)), of @ (Of::Many(_) | Of::Fact(_))) => {
            Ok(Ask::Test(of, Test::Has(text)))
        }
        _ => Err(unsayable()),
    }
}

fn equal(a: &IdedExpr, b: &IdedExpr) -> Result<Ask, String> {
    let literal = literal(b).ok_or_else(unsayable)?;
    if let Some(of) = counted(a) {
        return match literal {
            Literal::Number(0.0) if matches!(of, Of::Many(_)) => Ok(Ask::Test(of, Test::Empty)),
            Literal::Number(number) => Ok(Ask::Test(of, Test::Compare("==", number))),
            _ => Err(unsayable()),
        };
    }
    match (subject(a)?, literal) {
        (of, Literal::Text(text)) if text.is_empty() => Ok(Ask::Test(of, Test::Empty)),
        (of @ Of::Fact(_), Literal::Bool(false)) => {
            Ok(Ask::Test(of, Test::Is(Literal::Bool(true))).denied())
        }
        (of, literal) => Ok(Ask::Test(of, Test::Is(literal))),
    }
}

fn compare(how: &'static str, a: &IdedExpr, b: &IdedExpr) -> Result<Ask, String> {
    if let Some(Literal::Number(number)) = literal(b) {
        let of = match counted(a) {
            Some(of) => of,
            None => subject(a).ok().filter(|of| matches!(of, Of::Fact(_))).ok_or_else(unsayable)?,
        };
        return Ok(match (&of, how, number) {
            (Of::Many(_), ">", 0.0) => Ask::Test(of, Test::Empty).denied(),
            _ => Ask::Test(of, Test::Compare(how, number)),
        });
    }
    let Expr::Call(right) = &b.expr else { return Err(unsayable()) };
    let [argument] = right.args.as_slice() else { return Err(unsayable()) };
    let Some(Literal::Text(text)) = literal(argument) else { return Err(unsayable()) };
    match (right.func_name.as_str(), &a.expr) {
        ("timestamp", _) => Ok(Ask::Test(subject(a)?, Test::Time(how, text))),
        ("duration", Expr::Call(left)) if how == "<=" && left.func_name == op::SUBSTRACT => {
            let [now, since] = left.args.as_slice() else { return Err(unsayable()) };
            let is_now = matches!(&now.expr, Expr::Ident(name) if name == "now");
            let seconds = text.strip_suffix('s').and_then(|it| it.parse().ok());
            match (is_now, seconds) {
                (true, Some(seconds)) => Ok(Ask::Test(subject(since)?, Test::Within(seconds))),
                _ => Err(unsayable()),
            }
        }
        _ => Err(unsayable()),
    }
}

/// What `size(…)` counts.
fn counted(of: &IdedExpr) -> Option<Of> {
    let Expr::Call(call) = &of.expr else { return None };
    let [argument] = call.args.as_slice() else { return None };
    if call.func_name != "size" || call.target.is_some() {
        return None;
    }
    if let Expr::Call(filter) = &argument.expr {
        let (Some(target), [_, body]) = (&filter.target, filter.args.as_slice()) else {
            return None;
        };
        return (filter.func_name == "filter").then(|| type_of_link(target, body))?.map(Of::Links);
    }
    subject(argument).ok()
}

/// `entity.…`, `facts.…`
fn subject(of: &IdedExpr) -> Result<Of, String> {
    match &of.expr {
        Expr::Select(select) => {
            let Expr::Ident(whose) = &select.operand.expr else { return Err(unsayable()) };
            let field = select.field.as_str();
            if whose == "facts" {
                return Ok(Of::Fact(field.to_string()));
            }
            let text = TEXTS.into_iter().find(|it| *it == field).map(Of::Text);
            let list = || LISTS.into_iter().find(|it| *it == field).map(Of::Many);
            let found = text.or_else(list).filter(|_| whose == "entity");
            found.ok_or_else(|| format!("`entity.{field}` is known here alone"))
        }
        Expr::Call(call) => fact(call).ok_or_else(unsayable),
        _ => Err(unsayable()),
    }
}

/// `facts["…"]`
fn fact(call: &CallExpr) -> Option<Of> {
    let [whose, index] = call.args.as_slice() else { return None };
    let is_facts = matches!(&whose.expr, Expr::Ident(name) if name == "facts");
    match literal(index) {
        Some(Literal::Text(key)) if is_facts && call.func_name == op::INDEX => Some(Of::Fact(key)),
        _ => None,
    }
}

fn literal(of: &IdedExpr) -> Option<Literal> {
    match &of.expr {
        Expr::Literal(LiteralValue::Boolean(it)) => Some(Literal::Bool(*it.inner())),
        Expr::Literal(LiteralValue::Int(it)) => Some(Literal::Number(*it.inner() as f64)),
        Expr::Literal(LiteralValue::Double(it)) => Some(Literal::Number(*it.inner())),
        Expr::Literal(LiteralValue::String(it)) => Some(Literal::Text(it.inner().to_string())),
        _ => None,
    }
}

fn unsayable() -> String {
    "it asks in a way that only idp knows".to_string()
}
