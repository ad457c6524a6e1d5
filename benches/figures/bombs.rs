//! Expressions that try to take long or much, and an entity with all that they could look at.
//!
//! The tests hold that each is refused or unknown; the figures hold what it costs.

use serde_json::{Value, json};

/// What a scorecard may write at most costs this much to read or to evaluate.
pub const BYTES_MAX: usize = 2 << 10;

/// Texts that cost much to read for how short they are.
pub fn to_read() -> Vec<String> {
    let many = |of: &str, times: usize| of.repeat(times);
    vec![
        format!("'{}' == ''", many("a", BYTES_MAX)),
        format!("{}entity.docs{}", many("(", 900), many(")", 900)),
        format!("{}entity.docs{}", many("(", 90), many(")", 90)),
        format!("{}{} == []", many("[", 900), many("]", 900)),
        format!("{}{} == []", many("[", 95), many("]", 95)),
        format!("{}entity.docs", many("!", 1_900)),
        format!("{}entity.docs", many("!", 190)),
        format!("{}1 == 1", many("-", 1_900)),
        format!("{}entity.docs", many("entity.docs ? true : ", 90)),
        format!("{}true{}", many("true ? (", 200), many(") : true", 200)),
        format!("entity{} == ''", many("[0]", 600)),
        format!("entity{} == ''", many(".a", 900)),
        format!("{}1{} == 1", many("size(", 300), many(")", 300)),
        format!("{}1{} == 1", many("{1:", 500), many("}", 500)),
        many("(", 2_000),
        format!("[{}]", many(",", 2_000)),
        many("$ @ # ", 330),
        format!("'{}", many("\\", 2_001)),
        format!("{}entity.docs", many("entity.docs && ", 95)),
        format!("{}entity.docs", many("entity.docs || ", 130)),
        "entity.name.matches('((a{1,100}){1,100}){1,100}')".into(),
        "entity.name.matches('\\\\w{500}\\\\pL{500}')".into(),
        "entity.name.matches(entity.description)".into(),
        "entity.tags.all(a, entity.tags.all(b, entity.tags.all(c, a == b || b == c)))".into(),
        "entity.tags.map(a, a).map(b, b).map(c, c).map(d, d).map(e, e) == []".into(),
        "entity.tags.map(a, a + a).map(b, b + b) == []".into(),
        "entity.tags.all(a, entity.tags + entity.tags == [])".into(),
        format!(
            "[{}].map(a, [a, a, a, a]).map(b, [b, b, b, b]).map(c, [c, c, c, c]) == []",
            many("1,", 500)
        ),
        "entity.tags.all(a, entity.tags.map(b, b) == entity.tags.filter(c, c != a))".into(),
    ]
}

/// Expressions that are good, and cost much to evaluate of [`large`].
pub fn to_evaluate() -> Vec<String> {
    let texts = vec!["size(entity.description + entity.description) > 0"; 20].join(" && ");
    let mut bombs: Vec<String> = [
        "entity.tags.all(a, entity.tags.all(b, a == b || a != b))",
        "entity.depends_on.all(a, entity.depends_on.exists(b, b.name == 'x' || a.name != b.name) || true)",
        "entity.depends_on.map(a, entity.depends_on.map(b, b)).size() > 0",
        "entity.tags.filter(a, a in entity.tags && !(a in ['x'])).size() == 1000",
        "entity.tags.all(a, entity.description.contains(a) || true)",
        "entity.tags.all(a, entity.description.matches('(a|aa)+$') || true)",
        "entity.description.matches('(a*)*c')",
        "entity.description.matches('(x+x+)+y')",
        "size(entity.tags + entity.tags + entity.tags + entity.tags) > 1",
        "[entity.tags.map(a, [a])].all(b, b.size() > 1 && b.size() > 2 && b.size() > 3)",
    ]
    .map(str::to_string)
    .to_vec();
    bombs.push(texts);
    bombs
}

/// An entity with more of everything than any has.
pub fn large() -> Value {
    let dependency = json!({"ref": "component:default/a", "kind": "component", "name": "a", "known": true,
        "orphaned": false, "lifecycle": "", "tier": "", "owners": 1});
    json!({
        "ref": "component:default/a", "kind": "component", "name": "a", "title": "",
        "description": "aaaaaaaaab".repeat(100_000),
        "type": "service", "lifecycle": "production", "tier": "1", "system": "",
        "tags": (0..3_000).map(|it| format!("tag-{it}")).collect::<Vec<_>>(),
        "labels": {}, "annotations": {}, "links": [], "owners": [],
        "depends_on": vec![dependency; 3_000],
        "dependents": 0, "provides": [], "consumes": [], "on_call": "", "docs": true, "channels": [], "orphaned": false,
    })
}
