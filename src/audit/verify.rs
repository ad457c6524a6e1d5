//! Whether the log is what was once appended and sealed, row by row.

use std::fmt::{self, Display, Formatter};

use serde::Serialize;

use super::checkpoint::{Checkpoint, What};
use super::{Head, Row};

/// How far a row's time may lie from that of its neighbours, in microseconds: a transaction may be open for a minute,
/// and clocks are set.
const SKEW_US: i64 = 10 * 60 * 1_000_000;

/// A sealed row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    pub no: i64,
    pub audit_id: i64,
    pub xid: Option<i64>,
    pub hash: Vec<u8>,
    /// `None` where the log has it no more.
    pub row: Option<Row>,
}

/// The first thing that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bad {
    /// The row's number in the chain; `None` for one that is not in it. Where only a range can be told, its first.
    pub no: Option<i64>,
    /// The last of the range.
    pub until: Option<i64>,
    /// The row's id in `idp.audit`.
    pub id: Option<i64>,
    pub what: String,
}

impl Bad {
    fn at(no: i64, id: i64, what: &str) -> Bad {
        Bad { no: Some(no), until: Some(no), id: Some(id), what: what.into() }
    }

    fn between(no: i64, until: i64, what: impl Into<String>) -> Bad {
        Bad { no: Some(no), until: Some(until), id: None, what: what.into() }
    }

    fn unsealed(id: i64, what: &str) -> Bad {
        Bad { no: None, until: None, id: Some(id), what: what.into() }
    }

    fn of_a_checkpoint(what: String) -> Bad {
        Bad { no: None, until: None, id: None, what }
    }
}

impl Display for Bad {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let id = self.id.map(|id| format!(" (id {id})")).unwrap_or_default();
        match (self.no, self.until) {
            (Some(no), Some(until)) if no < until => write!(f, "rows {no} to {until}{id}"),
            (Some(no), _) => write!(f, "row {no}{id}"),
            (None, _) if self.id.is_some() => write!(f, "an unsealed row{id}"),
            (None, _) => f.write_str("a checkpoint"),
        }?;
        write!(f, ": {}", self.what)
    }
}

/// A checkpoint, and where it was read.
#[derive(Debug, Clone)]
pub struct Witness {
    pub checkpoint: Checkpoint,
    /// `the database`, `line 3 of audit-checkpoints.jsonl`
    pub place: String,
    /// Whether its place is outside of the database.
    pub is_outside: bool,
}

/// Goes along the chain.
#[derive(Debug)]
pub struct Verifier {
    head: Head,
    /// The transaction and the id of the last row.
    last: Option<(i64, i64)>,
    id_max: i64,
    /// The latest time of any row since the last checkpoint, and that row.
    newest: Option<(i64, i64, i64)>,
    /// Up to here a checkpoint holds.
    held: i64,
    /// By their number in the chain, the last first.
    witnesses: Vec<Witness>,
}

impl Verifier {
    /// A verifier that believes `witnesses` signed by the owner of one of `public_keys`, and begins where what is
    /// before was forgotten.
    ///
    /// # Errors
    /// A checkpoint that nobody of those signed.
    pub fn new(mut witnesses: Vec<Witness>, public_keys: &[[u8; 32]]) -> Result<Verifier, Bad> {
        for Witness { checkpoint, place, .. } in &witnesses {
            if !checkpoint.is_signed_by(public_keys) || checkpoint.head().is_none() {
                return Err(Bad::of_a_checkpoint(format!(
                    "the one of row {} in {place} was not signed by this instance",
                    checkpoint.no
                )));
            }
        }
        let forgotten = |it: &&Witness| it.checkpoint.what == What::Forgotten && !it.is_outside;
        let start = witnesses.iter().filter(forgotten).max_by_key(|it| it.checkpoint.no);
        let head = start.and_then(|it| it.checkpoint.head()).unwrap_or(Head::START);
        witnesses.retain(|it| it.checkpoint.no >= head.no);
        witnesses.sort_by_key(|it| std::cmp::Reverse(it.checkpoint.no));
        let mut verifier =
            Verifier { head, last: None, id_max: 0, newest: None, held: head.no, witnesses };
        verifier.hear()?;
        Ok(verifier)
    }

    pub fn head(&self) -> Head {
        self.head
    }

    /// Up to which row of the chain a checkpoint holds.
    pub fn held(&self) -> i64 {
        self.held
    }

    /// Takes the next row of the chain.
    ///
    /// # Errors
    /// What is not as it was.
    pub fn take(&mut self, sealed: &Sealed) -> Result<(), Bad> {
        let Sealed { no, audit_id, .. } = *sealed;
        let next = self.head.no + 1;
        if no < next {
            return Err(Bad::at(no, audit_id, "it is in the chain twice, or was forgotten"));
        }
        if no > next {
            return Err(Bad::between(next, no - 1, "they are gone, with their seals"));
        }
        let Some(row) = &sealed.row else {
            return Err(Bad::at(no, audit_id, "it was deleted"));
        };
        let head = self.head.and(row).filter(|head| head.hash[..] == sealed.hash[..]);
        let Some(head) = head.filter(|_| row.xid == sealed.xid) else {
            return Err(Bad::at(no, audit_id, "it, or its seal, was changed"));
        };
        let place = (row.xid.unwrap_or_default(), row.id);
        let is_in_order = self.last.is_none_or(|last| last < place) || row.id > self.id_max;
        if !is_in_order {
            return Err(Bad::at(no, audit_id, "it stands behind rows that came later"));
        }
        let at_us = row.at_us.unwrap_or_default();
        if self.newest.is_some_and(|(newest, ..)| at_us < newest - SKEW_US) {
            return Err(Bad::at(no, audit_id, "its time is before that of the rows before it"));
        }
        if self.newest.is_none_or(|(newest, ..)| newest < at_us) {
            self.newest = Some((at_us, no, audit_id));
        }
        self.head = head;
        self.last = Some(place);
        self.id_max = self.id_max.max(row.id);
        self.hear()
    }

    /// Hears the checkpoints of this head.
    fn hear(&mut self) -> Result<(), Bad> {
        while let Some(witness) = self.witnesses.pop_if(|it| it.checkpoint.no <= self.head.no) {
            let Witness { checkpoint, place, .. } = &witness;
            if checkpoint.head() != Some(self.head) {
                let first = (self.held + 1).min(self.head.no);
                let what = format!(
                    "they are not what was signed on {}, by the checkpoint of row {} in {place}",
                    checkpoint.at.format("%Y-%m-%d %H:%M:%S"),
                    checkpoint.no
                );
                return Err(Bad::between(first, self.head.no, what));
            }
            self.is_before(checkpoint.at.timestamp_micros())?;
            self.held = self.head.no;
        }
        Ok(())
    }

    /// No row so far is of a time after `at_us`.
    fn is_before(&self, at_us: i64) -> Result<(), Bad> {
        match self.newest {
            Some((newest, no, id)) if newest > at_us.saturating_add(SKEW_US) => {
                Err(Bad::at(no, id, "its time is after that of its seal"))
            }
            _ => Ok(()),
        }
    }

    /// Takes a row that has no seal.
    ///
    /// # Errors
    /// One that cannot have waited for its seal.
    pub fn wait(&self, row: &Row, now_us: i64) -> Result<(), Bad> {
        let (Some(xid), Some(at_us)) = (row.xid, row.at_us) else {
            return Err(Bad::unsealed(row.id, "no program of ours wrote it"));
        };
        if self.last.is_some_and(|last| (xid, row.id) <= last) {
            return Err(Bad::unsealed(row.id, "it was put between rows that are sealed"));
        }
        if self.newest.is_some_and(|(newest, ..)| at_us < newest - SKEW_US) {
            return Err(Bad::unsealed(row.id, "its time is before that of rows that are sealed"));
        }
        match at_us > now_us.saturating_add(SKEW_US) {
            true => Err(Bad::unsealed(row.id, "its time is still to come")),
            false => Ok(()),
        }
    }

    /// The chain is at its end.
    ///
    /// # Errors
    /// A checkpoint of rows that are not there.
    pub fn end(&mut self, now_us: i64) -> Result<(), Bad> {
        self.is_before(now_us)?;
        // The one of the highest number.
        let Some(Witness { checkpoint, place, .. }) = self.witnesses.first() else { return Ok(()) };
        let what = format!(
            "they are gone; the checkpoint of row {} in {place}, of {}, knew them",
            checkpoint.no,
            checkpoint.at.format("%Y-%m-%d %H:%M:%S")
        );
        Err(Bad::between(self.head.no + 1, checkpoint.no, what))
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::super::row;
    use super::*;
    use crate::vault::{Key, Signer};

    /// A chain of `rows`, as the sealer makes it.
    fn chain(rows: impl IntoIterator<Item = Row>) -> Vec<Sealed> {
        let mut head = Head::START;
        let seal = |row: Row| {
            head = head.and(&row).unwrap();
            let (audit_id, xid) = (row.id, row.xid);
            Sealed { no: head.no, audit_id, xid, hash: head.hash.to_vec(), row: Some(row) }
        };
        rows.into_iter().map(seal).collect()
    }

    fn witness(signer: &Signer, sealed: &Sealed, is_outside: bool) -> Witness {
        let head = Head { no: sealed.no, hash: sealed.hash.clone().try_into().unwrap() };
        let at = DateTime::from_timestamp(1_700_000_060, 0).unwrap();
        let checkpoint = Checkpoint::sign(signer, What::Head, head, at);
        Witness { checkpoint, place: "the database".into(), is_outside }
    }

    fn verify(chain: &[Sealed], witnesses: Vec<Witness>, signer: &Signer) -> Result<Head, Bad> {
        let mut verifier = Verifier::new(witnesses, &[signer.public_key()])?;
        chain.iter().try_for_each(|sealed| verifier.take(sealed))?;
        verifier.end(1_700_000_060_000_000)?;
        Ok(verifier.head())
    }

    #[test]
    fn what_was_sealed_is_good_and_a_change_is_named() {
        let signer = Key::random().signer("audit");
        let good = chain((1..=9).map(row));
        let witnesses = || vec![witness(&signer, &good[4], false)];
        assert_eq!(verify(&good, witnesses(), &signer).unwrap().no, 9);

        let mut changed = good.clone();
        changed[6].row = Some(Row { actor: Some("user:default/eve".into()), ..row(7) });
        let bad = verify(&changed, witnesses(), &signer).unwrap_err();
        assert_eq!(bad.to_string(), "row 7 (id 7): it, or its seal, was changed");
        let mut deleted = good.clone();
        deleted[2].row = None;
        let bad = verify(&deleted, witnesses(), &signer).unwrap_err();
        assert_eq!(bad.to_string(), "row 3 (id 3): it was deleted");
        deleted.drain(2..4);
        let bad = verify(&deleted, witnesses(), &signer).unwrap_err();
        assert_eq!(bad.to_string(), "rows 3 to 4: they are gone, with their seals");
    }

    #[test]
    fn a_chain_that_was_made_anew_is_found_by_a_checkpoint_alone() {
        let signer = Key::random().signer("audit");
        let good = chain((1..=9).map(row));
        let witnesses = || [1, 4].map(|at| witness(&signer, &good[at], true)).to_vec();
        let forged = chain((1..=9).map(|id| match id {
            4 => Row { actor: Some("user:default/eve".into()), ..row(4) },
            _ => row(id),
        }));
        assert!(verify(&forged, Vec::new(), &signer).is_ok(), "nothing tells");
        let bad = verify(&forged, witnesses(), &signer).unwrap_err();
        assert_eq!((bad.no, bad.until), (Some(3), Some(5)), "{bad}");

        assert!(verify(&good[..3], Vec::new(), &signer).is_ok(), "nothing tells");
        let bad = verify(&good[..3], witnesses(), &signer).unwrap_err();
        assert_eq!((bad.no, bad.until), (Some(4), Some(5)), "{bad}");
        let foreign = vec![witness(&Key::random().signer("audit"), &good[8], true)];
        let bad = verify(&good, foreign, &signer).unwrap_err();
        assert!(bad.to_string().contains("was not signed by this instance"), "{bad}");
    }

    #[test]
    fn a_clock_that_lies_is_found() {
        let signer = Key::random().signer("audit");
        let hour_us = 60 * 60 * 1_000_000;
        let at = |id, by: i64| Row { at_us: row(id).at_us.map(|at| at + by), ..row(id) };
        let back = chain([row(1), row(2), at(3, -hour_us)]);
        let bad = verify(&back, Vec::new(), &signer).unwrap_err();
        assert_eq!(bad.no, Some(3), "{bad}");
        let ahead = chain([row(1), at(2, hour_us), at(3, hour_us)]);
        let witnesses = vec![witness(&signer, &ahead[2], false)];
        let bad = verify(&ahead, witnesses, &signer).unwrap_err();
        assert_eq!(bad.no, Some(3), "the last of that time: {bad}");
        assert!(verify(&chain([row(1), row(2), at(3, -60_000_000)]), Vec::new(), &signer).is_ok());
    }

    #[test]
    fn a_row_that_waits_for_its_seal_is_good_and_one_behind_the_seal_is_not() {
        let signer = Key::random().signer("audit");
        let mut verifier = Verifier::new(Vec::new(), &[signer.public_key()]).unwrap();
        for sealed in chain([row(1), row(2), row(5)]) {
            verifier.take(&sealed).unwrap();
        }
        let now_us = 1_700_000_060_000_000;
        let of_a_later_transaction = Row { xid: Some(900), ..row(3) };
        assert_eq!(verifier.wait(&of_a_later_transaction, now_us), Ok(()));
        let bad = verifier.wait(&row(3), now_us).unwrap_err();
        assert_eq!(
            bad.to_string(),
            "an unsealed row (id 3): it was put between rows that are sealed"
        );
        assert!(verifier.wait(&Row { at_us: Some(1), ..row(6) }, now_us).is_err());
    }

    #[test]
    fn rows_that_were_forgotten_are_not_missed_and_those_that_were_cut_off_are() {
        let signer = Key::random().signer("audit");
        let good = chain((1..=9).map(row));
        let cut_at_3 = &good[3..];
        assert!(verify(cut_at_3, Vec::new(), &signer).is_err());
        let head = Head { no: 3, hash: good[2].hash.clone().try_into().unwrap() };
        let at = DateTime::from_timestamp(1_700_000_060, 0).unwrap();
        let checkpoint = Checkpoint::sign(&signer, What::Forgotten, head, at);
        let place = "the database".to_string();
        let forgotten = vec![Witness { checkpoint, place, is_outside: false }];
        assert_eq!(verify(cut_at_3, forgotten.clone(), &signer).unwrap().no, 9);
        assert!(verify(&good[4..], forgotten, &signer).is_err());
    }
}
