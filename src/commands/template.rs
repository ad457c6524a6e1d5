//! Handlebars templates that render Markdown, and nothing that their data brings along.
//!
//! Every value is escaped by [`Untrusted`]; the reader refuses the two ways around that (`{{{…}}}` and `{{&…}}`) and what
//! could run for ever (partials, decorators). Templates are compiled when a command file is read.

use std::io;
use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use handlebars::template::{HelperTemplate, Parameter, TemplateElement};
use handlebars::{
    BlockContext, Context, Handlebars, Helper, HelperDef, HelperResult, Output, PathAndJson,
    RenderContext, RenderErrorReason, Renderable, TemplateError, TemplateErrorReason,
};
use serde_json::Value;

use super::parse::quoted;
use crate::catalog::formats::fields::closest;
use crate::conversation::{self, Untrusted};

/// The most bytes of one template, and of what it renders.
const TEMPLATE_BYTES_MAX: usize = 16 << 10;
const RENDERED_BYTES_MAX: usize = 64 << 10;
/// The most turns of all loops and pieces of text of one rendering.
const WRITES_MAX: u32 = 50_000;
/// How deep blocks may lie in each other.
const DEPTH_MAX: usize = 12;

/// A template that was read and found good.
#[derive(Debug, Clone)]
pub struct Template(handlebars::Template);

/// What is wrong with a template, and where in it; both from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    pub line: u32,
    pub column: u32,
    pub message: String,
    pub hint: String,
}

impl Template {
    /// Compiles `text`.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn compile(text: &str) -> Result<Template, Broken> {
        if text.len() > TEMPLATE_BYTES_MAX {
            return Err(Broken {
                line: 1,
                column: 1,
                message: format!("The template has more than {TEMPLATE_BYTES_MAX} bytes."),
                hint: "Shorten it; a chat shows little of a long answer.".into(),
            });
        }
        let template = handlebars::Template::compile(text).map_err(|error| syntax_error(&error))?;
        check(&template, 0)?;
        Ok(Template(template))
    }

    /// The Markdown that `data` makes.
    ///
    /// # Errors
    /// A helper that was given too little, and output or loops without an end.
    pub fn render(&self, data: &Context) -> anyhow::Result<String> {
        let mut out = Bounded::default();
        self.0.render(&HELPERS, data, &mut RenderContext::new(None), &mut out)?;
        Ok(tidy(&out.text))
    }
}

/// At most one empty line in a row, none at the ends.
fn tidy(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut is_gap = false;
    for line in text.lines().map(str::trim_end) {
        if line.is_empty() {
            is_gap = !out.is_empty();
            continue;
        }
        if !out.is_empty() {
            out.push_str(if is_gap { "\n\n" } else { "\n" });
        }
        out.push_str(line);
        is_gap = false;
    }
    out
}

fn syntax_error(error: &TemplateError) -> Broken {
    let (line, column) = error.pos().unwrap_or((1, 1));
    let message = match error.reason() {
        TemplateErrorReason::MismatchingClosedHelper(opened, closed) => {
            format!("`{{{{#{opened}}}}}` is closed by `{{{{/{closed}}}}}`.")
        }
        _ => "This is not a Handlebars template.".to_string(),
    };
    Broken {
        line: line as u32,
        column: column as u32,
        message,
        hint: "Look at the braces here, and that each `{{#…}}` has its `{{/…}}`.".into(),
    }
}

fn check(template: &handlebars::Template, depth: usize) -> Result<(), Broken> {
    for (element, at) in template.elements.iter().zip(&template.mapping) {
        let broken = |message: String, hint: String| Broken {
            line: at.0 as u32,
            column: at.1 as u32,
            message,
            hint,
        };
        match element {
            TemplateElement::RawString(_) | TemplateElement::Comment(_) => {}
            TemplateElement::HtmlExpression(_) => {
                let hint = "Write `{{…}}`: what others wrote is always escaped.";
                return Err(broken("This would not be escaped.".into(), hint.into()));
            }
            TemplateElement::Expression(it) | TemplateElement::HelperBlock(it) => {
                if depth == DEPTH_MAX {
                    let message = format!("Blocks lie more than {DEPTH_MAX} deep in each other.");
                    return Err(broken(message, "Write it flatter.".into()));
                }
                if let Some(unknown) = unknown_helper(it) {
                    let hint = match closest(unknown, HELPER_NAMES) {
                        Some(helper) => format!("Did you mean `{helper}`?"),
                        None => format!("There are {}.", HELPER_NAMES.join(", ")),
                    };
                    return Err(broken(format!("There is no helper `{unknown}`."), hint));
                }
                for inner in [&it.template, &it.inverse].into_iter().flatten() {
                    check(inner, depth + 1)?;
                }
            }
            // Partials and decorators, and what a later version may add.
            _ => {
                let hint = "Write out what it stands for.";
                return Err(broken("Partials and decorators are not taken.".into(), hint.into()));
            }
        }
    }
    Ok(())
}

/// The helper that `expression` or one of its parameters calls and that does not exist.
fn unknown_helper(expression: &HelperTemplate) -> Option<&str> {
    let is_call = expression.block || !expression.params.is_empty() || !expression.hash.is_empty();
    let own = expression.name.as_name().filter(|name| is_call && !HELPER_NAMES.contains(name));
    own.or_else(|| expression.params.iter().find_map(unknown_in_parameter))
}

fn unknown_in_parameter(parameter: &Parameter) -> Option<&str> {
    let Parameter::Subexpression(it) = parameter else { return None };
    if !HELPER_NAMES.contains(&it.name()) {
        return Some(it.name());
    }
    it.params().and_then(|params| params.iter().find_map(unknown_in_parameter))
}

/// What a rendering has written; refuses to go on for ever.
#[derive(Default)]
struct Bounded {
    text: String,
    writes: u32,
}

impl Output for Bounded {
    fn write(&mut self, piece: &str) -> io::Result<()> {
        self.writes += 1;
        if self.writes > WRITES_MAX {
            return Err(io::Error::other(format!("more than {WRITES_MAX} loops and pieces")));
        }
        if self.text.len() + piece.len() > RENDERED_BYTES_MAX {
            return Err(io::Error::other(format!("more than {RENDERED_BYTES_MAX} bytes")));
        }
        self.text.push_str(piece);
        Ok(())
    }
}

/// Every name that a template may call. `if` to `not` are Handlebars' own.
const HELPER_NAMES: [&str; 24] = [
    "if",
    "unless",
    "with",
    "lookup",
    "eq",
    "ne",
    "gt",
    "gte",
    "lt",
    "lte",
    "and",
    "or",
    "not",
    "len",
    "each",
    "link",
    "button",
    "form",
    "code",
    "code_block",
    "prose",
    "plural",
    "date",
    "join",
];

static HELPERS: LazyLock<Handlebars<'static>> = LazyLock::new(|| {
    let mut registry = Handlebars::new();
    registry.register_escape_fn(|text| Untrusted::from(text).to_markdown());
    registry.register_helper("each", Box::new(Each));
    registry.register_helper(
        "link",
        markdown(|given| Some(conversation::link(&text(given.first()?), &text(given.get(1)?)))),
    );
    registry.register_helper("button", command(conversation::button));
    registry.register_helper("form", command(conversation::form_button));
    registry.register_helper(
        "code_block",
        markdown(|given| Some(conversation::code_block(&text(given.first()?)))),
    );
    registry.register_helper(
        "prose",
        markdown(|given| Some(conversation::prose(&text(given.first()?)))),
    );
    registry.register_helper(
        "code",
        markdown(|given| Some(Untrusted::from(text(given.first()?).as_str()).to_code())),
    );
    registry.register_helper(
        "plural",
        markdown(|given| {
            let count = given.first()?.as_u64()?;
            let noun = if count == 1 { given.get(1)? } else { given.get(2)? };
            Some(format!("{count} {}", Untrusted::from(text(noun).as_str()).to_markdown()))
        }),
    );
    registry.register_helper(
        "date",
        markdown(|given| {
            let at = text(given.first()?);
            let shown = match DateTime::parse_from_rfc3339(&at) {
                Ok(time) => time.with_timezone(&Utc).format("%Y-%m-%d %H:%M UTC").to_string(),
                Err(_) => at,
            };
            Some(Untrusted::from(shown.as_str()).to_markdown())
        }),
    );
    registry.register_helper(
        "join",
        markdown(|given| {
            let items = given.first()?.as_array()?;
            let separator = given.get(1).map_or_else(|| ", ".to_string(), |it| text(it));
            let said: Vec<String> =
                items.iter().map(|it| Untrusted::from(text(it).as_str()).to_markdown()).collect();
            Some(said.join(&separator))
        }),
    );
    registry
});

/// `value` as a reader sees it; nothing for null, lists and objects.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => String::new(),
    }
}

/// A helper whose result is Markdown already; it gets its parameters and says `None` when they are too few or of a
/// wrong type.
fn markdown(
    say: impl Fn(&[&Value]) -> Option<String> + Send + Sync + 'static,
) -> Box<dyn HelperDef + Send + Sync> {
    Box::new(
        move |helper: &Helper<'_>,
              _: &Handlebars<'_>,
              _: &Context,
              _: &mut RenderContext<'_, '_>,
              out: &mut dyn Output|
              -> HelperResult {
            let given: Vec<&Value> = helper.params().iter().map(PathAndJson::value).collect();
            let Some(said) = say(&given) else {
                let problem = format!("`{}` was given too little", helper.name());
                return Err(RenderErrorReason::Other(problem).into());
            };
            out.write(&said)?;
            Ok(())
        },
    )
}

/// A helper whose label is followed by the words of a command, those of data each as one word.
fn command(say: fn(&str, &str) -> String) -> Box<dyn HelperDef + Send + Sync> {
    markdown(move |given| {
        let mut words = text(given.get(1)?);
        for word in &given[2..] {
            words.push(' ');
            words.push_str(&quoted(&text(word)));
        }
        Some(say(&text(given.first()?), &words))
    })
}

/// Handlebars' `each` for lists, which tells the output each turn: it knows when to stop.
struct Each;

impl HelperDef for Each {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        registry: &'reg Handlebars<'reg>,
        context: &'rc Context,
        state: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let list = helper.param(0).ok_or(RenderErrorReason::ParamNotFoundForIndex("each", 0))?;
        let (items, body) = match (list.value().as_array(), helper.template()) {
            (Some(items), Some(body)) if !items.is_empty() => (items, body),
            _ => {
                return match helper.inverse() {
                    Some(otherwise) => otherwise.render(registry, context, state, out),
                    None => Ok(()),
                };
            }
        };
        state.push_block(BlockContext::new());
        for (place, item) in items.iter().enumerate() {
            out.write("")?;
            if let Some(block) = state.block_mut() {
                block.set_local_var("first", Value::from(place == 0));
                block.set_local_var("last", Value::from(place + 1 == items.len()));
                match list.context_path() {
                    Some(path) => {
                        let base = block.base_path_mut();
                        base.clone_from(path);
                        base.push(place.to_string());
                    }
                    None => block.set_base_value(item.clone()),
                }
            }
            body.render(registry, context, state, out)?;
        }
        state.pop_block();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rendered(text: &str, data: Value) -> String {
        Template::compile(text).unwrap().render(&Context::from(data)).unwrap()
    }

    #[test]
    fn what_data_brings_is_escaped() {
        let said = rendered("**{{name}}** {{code name}}", json!({ "name": "*a* `b`" }));
        assert_eq!(said, r"**\*a\* \`b\`** \*a\* \`b\`");
    }

    #[test]
    fn a_loop_knows_its_first_and_last_turn() {
        let text = "{{#each rows}}{{#if @first}}({{/if}}{{a}}{{#unless @last}}, {{else}}){{/unless}}{{/each}}";
        assert_eq!(rendered(text, json!({ "rows": [{ "a": 1 }, { "a": 2 }] })), "(1, 2)");
        assert_eq!(rendered("{{#each rows}}a{{else}}none{{/each}}", json!({ "rows": [] })), "none");
    }

    #[test]
    fn empty_lines_do_not_pile_up() {
        assert_eq!(rendered("\n\na\n\n\n{{#if b}}\nb\n{{/if}}\n\nc\n\n", json!({})), "a\n\nc");
    }

    #[test]
    fn helpers_say_what_they_are_named_for() {
        let data = json!({ "n": 1, "m": 2, "at": "2026-01-02T03:04:05Z", "list": ["a", "_b_"], "w": "a b" });
        let text = r#"{{plural n "team" "teams"}}, {{plural m "team" "teams"}}, {{date at}}, {{join list "/"}}"#;
        assert_eq!(
            rendered(text, data.clone()),
            r"1 team, 2 teams, 2026\-01\-02 03\:04 UTC, a/\_b\_"
        );
        assert_eq!(
            rendered(r#"{{button "Owner" "owner" w}} {{form "Fill in" "owner" w}}"#, data),
            r#"[Owner](<idp:owner "a b">) [Fill in](<idp-form:owner "a b">)"#
        );
        let data = json!({ "text": "Set `spec.owner` <!here>" });
        assert_eq!(
            rendered("{{prose text}}\n{{code_block text}}", data),
            "Set `spec.owner` \\<\\!here\\>\n```\nSet `spec.owner` <!here>\n```"
        );
    }

    #[test]
    fn what_would_not_be_escaped_or_not_end_is_refused() {
        for (text, line) in [
            ("a\n{{{name}}}", 2),
            ("{{&name}}", 1),
            ("{{#if a}}\n{{{name}}}{{/if}}", 2),
            ("{{> owner}}", 1),
            ("{{#*inline \"a\"}}{{/inline}}", 1),
            ("{{log name}}", 1),
            ("{{{{raw}}}}a{{{{/raw}}}}", 1),
            ("a\n\n{{#if a}}", 3),
            ("{{#if a}}{{/each}}", 1),
            ("{{plurl n}}", 1),
        ] {
            let broken = Template::compile(text).map(|_| ()).expect_err(text);
            assert_eq!(broken.line, line, "{text}: {broken:?}");
        }
        let hint = Template::compile("{{plurl n}}").map(|_| ()).expect_err("a helper").hint;
        assert_eq!(hint, "Did you mean `plural`?");
    }

    #[test]
    fn a_bomb_is_stopped() {
        let rows: Vec<u32> = (0..200).collect();
        let data = Context::from(json!({ "rows": rows }));
        let loops =
            "{{#each rows}}{{#each ../rows}}{{#each ../../rows}}{{/each}}{{/each}}{{/each}}";
        let text = "{{#each rows}}{{#each ../rows}}0123456789{{/each}}{{/each}}";
        for (bomb, limit) in [(loops, "loops and pieces"), (text, "bytes")] {
            let error = Template::compile(bomb).unwrap().render(&data).unwrap_err();
            assert!(format!("{error:#}").contains(limit), "{error:#}");
        }
        let deep = "{{#if a}}".repeat(13) + &"{{/if}}".repeat(13);
        assert!(Template::compile(&deep).is_err());
    }
}
