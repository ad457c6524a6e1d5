//! What people say instead of a name, besides the aliases in `idp.yaml`: with one, what was asked in vain is answered.

use serde::Serialize;

use super::snapshot::{Resolution, folded};
use super::{EntityRef, Snapshot};
use crate::conversation::is_hidden;
use crate::error::Refusal;

/// Nobody says more to name one thing.
const CHARACTERS_MAX: usize = 100;

/// The most names that are offered for one that is not known or not clear.
const CHOICES_MAX: usize = 5;

/// What people say, and what they mean.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Alias {
    /// In the form in which names are compared.
    pub alias: String,
    #[serde(rename = "ref")]
    pub reference: EntityRef,
}

impl Alias {
    /// `said` for the entity that `meant` names: a reference, a name, a title, another alias.
    ///
    /// # Errors
    /// What cannot be said, or is heard as a name already; a `meant` that nothing or several have.
    pub fn of(snapshot: &Snapshot, said: &str, meant: &str) -> Result<Alias, Refusal> {
        let alias = spoken(said);
        let invalid = |expected: String| Refusal::InvalidArgument {
            argument: "alias".into(),
            value: alias.chars().take(CHARACTERS_MAX).collect(),
            expected,
        };
        if alias.is_empty() || alias.chars().nth(CHARACTERS_MAX).is_some() {
            return Err(invalid(format!("it takes 1 to {CHARACTERS_MAX} characters")));
        }
        if alias.chars().any(is_hidden) {
            return Err(invalid("it has characters that nobody sees".into()));
        }
        if let Resolution::One(found) = snapshot.resolve(&alias, &[])
            && folded(&found.name) == alias
        {
            return Err(invalid(format!(
                "it is the name of `{}`, and names go first",
                found.reference
            )));
        }
        let reference = match snapshot.resolve(meant, &[]) {
            Resolution::One(entity) => entity.reference.clone(),
            Resolution::Several(entities) => {
                let choices = entities.iter().take(CHOICES_MAX);
                return Err(Refusal::Ambiguous {
                    name: meant.into(),
                    choices: choices.map(|it| it.reference.to_string()).collect(),
                    instead: Vec::new(),
                });
            }
            Resolution::Unknown(closest) => {
                return Err(Refusal::UnknownEntity {
                    what: "entity".into(),
                    name: meant.into(),
                    closest: closest.iter().map(|it| it.reference.to_string()).collect(),
                    instead: Vec::new(),
                });
            }
        };
        Ok(Alias { alias, reference })
    }
}

/// `said` in the form in which it is kept and compared: one space between words, without regard to case.
pub fn spoken(said: &str) -> String {
    let words: Vec<&str> = said.split_whitespace().collect();
    folded(&words.join(" ")).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Place, StoredEntity};

    fn catalog() -> Snapshot {
        let entity = |reference: &str| StoredEntity {
            reference: EntityRef::parse(reference, None, "default").unwrap(),
            body: r#"{"kind":"Component","metadata":{},"spec":{}}"#.into(),
            relations: Vec::new(),
            place: Place { source: "s".into(), file: "f".into(), document: 0, line: 1 },
            orphaned_at: None,
        };
        let entities = ["component:checkout", "component:payments", "system:payments"];
        Snapshot::build(entities.map(entity), &[], 1)
    }

    #[test]
    fn an_alias_is_kept_as_it_is_compared() {
        let alias = Alias::of(&catalog(), " The  Till ", "Checkout").unwrap();
        assert_eq!(
            (alias.alias.as_str(), alias.reference.as_str()),
            ("the till", "component:default/checkout")
        );
    }

    #[test]
    fn an_alias_means_one_entity() {
        let refused = |meant: &str| Alias::of(&catalog(), "till", meant).unwrap_err();
        assert_eq!(
            refused("chekout").to_string(),
            "There is no entity `chekout`. Did you mean `component:default/checkout`?"
        );
        assert_eq!(refused("payments").code(), "ambiguous");
        assert!(Alias::of(&catalog(), "till", "system:payments").is_ok());
    }

    #[test]
    fn what_would_never_be_heard_is_no_alias() {
        for said in ["", "  ", "Checkout", "a\u{202e}b", &"a".repeat(101)] {
            let refused = Alias::of(&catalog(), said, "checkout").unwrap_err();
            assert_eq!(refused.code(), "invalid_argument", "{said:?}");
        }
        assert!(Alias::of(&catalog(), &"a".repeat(100), "checkout").is_ok());
    }
}
