//! Taking down what receivers say of steps, and redeeming the tokens of runs.

use anyhow::Context;
use serde_json::json;
use subtle::ConstantTimeEq;

use super::{Report, Reported, Taken};
use crate::actions::Request;
use crate::actions::dispatch::Stage;
use crate::actions::dispatch::flow::{Office, show};
use crate::actions::dispatch::order::{CALLBACK, REDEEM, token_of_run};
use crate::actions::dispatch::store::{self, Found};
use crate::actions::flow::note;
use crate::actions::store as requests;
use crate::fail_point::reached;
use crate::vault::Key;

/// The request and the step that the token `shown`, for `what`, was made for; the request is locked. `None`: for none.
///
/// # Errors
/// The database.
async fn whose(
    db: &mut sqlx::PgConnection,
    key: &Key,
    what: &str,
    shown: &str,
) -> sqlx::Result<Option<(Request, i16)>> {
    let mut parts = shown.splitn(3, '-');
    let (id, number) = (parts.next(), parts.next());
    let read = |text: Option<&str>| text.and_then(|it| it.parse::<i64>().ok());
    let (Some(id), Some(Ok(number))) = (read(id), read(number).map(i16::try_from)) else {
        return Ok(None);
    };
    let Some((_, request)) = requests::lock(db, id).await? else { return Ok(None) };
    let run = store::run(db, id, number).await?.unwrap_or_default();
    let token = token_of_run(key, what, &request, number, run);
    let is_it = bool::from(token.as_bytes().ct_eq(shown.as_bytes()));
    Ok(is_it.then_some((request, number)))
}

/// Of several runs that were started for one step the first that redeems its token works: whether the run `by` is it.
/// `None`: there is no such token.
///
/// # Errors
/// The database.
pub async fn redeem(office: &Office, shown: &str, by: &str) -> anyhow::Result<Option<bool>> {
    let what = "could not redeem a token";
    let mut tx = office.db.begin().await.context(what)?;
    let found = whose(&mut tx, &office.key, REDEEM, shown).await.context(what)?;
    let Some((request, number)) = found else { return Ok(None) };
    let is_first = store::redeem(&mut tx, request.id, number, by).await.context(what)?;
    let body = json!({ "step": number, "by": by, "is_first": is_first });
    reached("redeem-written");
    note(&mut tx, "request.redeemed", &request, "", body).await.context(what)?;
    tx.commit().await.context(what)?;
    reached("redeem-committed");
    Ok(Some(is_first))
}

/// Takes down what a receiver says of a step that was sent.
///
/// # Errors
/// The database.
pub async fn report(office: &Office, shown: &str, report: &Report) -> anyhow::Result<Taken> {
    let what = "could not take down what a receiver says";
    let mut tx = office.db.begin().await.context(what)?;
    let found = whose(&mut tx, &office.key, CALLBACK, shown).await.context(what)?;
    let Some((request, number)) = found else { return Ok(Taken::Unknown) };
    let rows = store::steps(&mut tx, request.id).await.context(what)?;
    let stage = rows.iter().find(|it| it.number == number).map(|it| it.stage);
    if !matches!(stage, Some(Stage::Sending | Stage::Running | Stage::Unknown)) {
        return Ok(Taken::TooLate);
    }
    let stage = match report.status {
        Reported::Running => Stage::Running,
        Reported::Succeeded => Stage::Succeeded,
        Reported::Failed => Stage::Failed,
    };
    let is_page =
        |it: &&String| url::Url::parse(it).is_ok_and(|it| crate::conversation::is_web_page(&it));
    let found = Found {
        stage: Some(stage),
        url: report.url.as_ref().filter(is_page).map(String::as_str),
        outputs: report.outputs.as_ref(),
        note: report.note.as_deref(),
        reference: None,
    };
    if !store::set_step(&mut tx, request.id, number, &found).await.context(what)? {
        return Ok(Taken::TooLate);
    }
    reached("report-written");
    store::wake(&mut tx, request.id).await.context(what)?;
    store::back(&mut tx, request.id).await.context(what)?;
    let body = json!({ "step": number, "stage": stage.word(), "note": report.note });
    note(&mut tx, "request.reported", &request, "", body).await.context(what)?;
    show(office, &mut tx, request.id).await.context(what)?;
    tx.commit().await.context(what)?;
    reached("report-committed");
    Ok(Taken::Taken)
}
