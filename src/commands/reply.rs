//! What people read: an answer in its command's own words, and how old it is.

use chrono::{DateTime, Duration, Utc};
use handlebars::Context;
use serde_json::{Map, Value};

use super::file::Lookup;
use super::lookups::{BuiltIn, actions, digest, feedback};
use super::parse::Call;
use super::resolve::Question;
use crate::conversation::{Reply, Untrusted};
use crate::error::Result;

/// From so much on the day is said too.
const SAME_DAY: Duration = Duration::hours(20);

/// The answer of `question`, which `data` is, in the words of its command.
///
/// # Errors
/// A fault when the template cannot say it.
pub fn say(question: &Question<'_>, data: Value) -> Result<Reply> {
    let command = question.call.command;
    let arguments = arguments(&question.call);
    let template = match &command.nothing {
        Some(nothing) if is_nothing(&data) => nothing,
        _ => &command.template,
    };
    // Digests and requests are written by renderers of ours; what the template says stands below.
    let ours = match &command.lookup {
        Lookup::BuiltIn(BuiltIn::Digest) => digest::words(&data),
        Lookup::BuiltIn(
            BuiltIn::Run | BuiltIn::Requests | BuiltIn::Approve | BuiltIn::Deny | BuiltIn::Cancel,
        ) => actions::words(&data),
        _ => None,
    };
    let ours = ours.map(str::to_string);
    let mut context = Context::from(data);
    // Templates may say what was asked; the answer does not repeat it.
    if let Some(answer) = context.data_mut().as_object_mut() {
        answer.insert("arguments".into(), Value::Object(arguments.clone()));
    }
    let mut markdown = template.render(&context)?;
    if let Some(answer) = context.data_mut().as_object_mut() {
        answer.shift_remove("arguments");
    }
    if let Some(ours) = ours {
        markdown = format!("{ours}\n\n{markdown}");
    }
    if let Some(entity) = question.of_channel {
        let name = Untrusted::from(&*entity.name).to_code();
        markdown.insert_str(0, &format!("In this channel: {name}\n\n"));
    }
    Ok(Reply {
        markdown,
        audience: command.audience,
        command: command.name.clone(),
        arguments,
        answer: std::mem::take(context.data_mut()),
        age_s: None,
        refusal: None,
        feedback: feedback::words(question),
    })
}

fn arguments(call: &Call<'_>) -> Map<String, Value> {
    call.arguments().map(|(name, value)| (name.to_string(), Value::from(value))).collect()
}

/// Whether there is nothing to say: a `total` of 0, or an empty `answer`.
fn is_nothing(data: &Value) -> bool {
    let is_empty = |answer: &Value| match answer {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    };
    data.get("total").is_some_and(|total| *total == 0) || data.get("answer").is_some_and(is_empty)
}

/// `reply`, saying that its data is `age_s` seconds old because the database does not answer.
pub fn aged(mut reply: Reply, age_s: Option<u64>, now: DateTime<Utc>) -> Reply {
    let Some(seconds) = age_s else { return reply };
    let age = Duration::try_seconds(seconds.min(i64::MAX as u64) as i64).unwrap_or(Duration::MAX);
    let format = if age < SAME_DAY { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" };
    let since = now.checked_sub_signed(age).unwrap_or(DateTime::UNIX_EPOCH);
    let since = Untrusted::from(since.format(format).to_string().as_str()).to_markdown();
    let line = format!("_As of {since} UTC ({}): the database does not answer._", ago(seconds));
    reply.markdown = format!("{}\n\n{line}", reply.markdown);
    reply.age_s = age_s;
    reply
}

/// `12 min ago`
pub fn ago(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s ago"),
        60..3_600 => format!("{} min ago", seconds / 60),
        3_600..172_800 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;

    use super::*;

    #[test]
    fn an_old_answer_says_how_old_it_is() {
        let noon = Utc.with_ymd_and_hms(2026, 1, 2, 12, 0, 0).unwrap();
        let said = |age_s| aged(Reply::markdown("Payments owns it."), age_s, noon);
        assert_eq!(said(None), Reply::markdown("Payments owns it."));
        assert_eq!(
            said(Some(725)).markdown,
            "Payments owns it.\n\n_As of 11\\:47\\:55 UTC (12 min ago): the database does not answer._"
        );
        assert_eq!(said(Some(725)).age_s, Some(725));
        assert!(
            said(Some(300_000))
                .markdown
                .contains(r"As of 2025\-12\-30 00\:40\:00 UTC (3 days ago)")
        );
        assert!(said(Some(u64::MAX)).markdown.contains("days ago"));
    }

    #[test]
    fn nothing_is_an_empty_answer() {
        for nothing in [r#"{"total":0}"#, r#"{"answer":null}"#, r#"{"answer":[]}"#] {
            assert!(is_nothing(&serde_json::from_str(nothing).unwrap()), "{nothing}");
        }
        for something in [r#"{"total":1}"#, r#"{"answer":0}"#, r#"{"owners":[]}"#] {
            assert!(!is_nothing(&serde_json::from_str(something).unwrap()), "{something}");
        }
    }
}
