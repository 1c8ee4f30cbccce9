//! Names of components: `type` or `type/name`, as in `postgresql/production`.

use std::fmt;
use std::str::FromStr;

/// An id has at most this many bytes: it becomes a label, a folder and a part of table names.
const ID_BYTES_MAX: usize = 128;

/// The id of a poller, processor, sink or pipeline.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ComponentId {
    /// What it is: `postgresql`, `adaptive_sampler`.
    pub kind: String,
    /// Which one, if there are several of the kind: `production`.
    pub name: Option<String>,
}

/// Why a text is not the id of a component.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ComponentIdError {
    /// The part before the slash is empty or has other characters than letters, digits and `_`.
    #[error("`{0}` is not a component id: the type has letters, digits and `_`, as in `postgresql/production`")]
    Kind(String),
    /// The part after the slash is empty or has other characters.
    #[error(
        "`{0}` is not a component id: after the slash stands a name of letters, digits, `_`, `-`, `.` and `:`, as in `postgresql/production`"
    )]
    Name(String),
    /// The id is too long to be a label.
    #[error("`{0}…` is not a component id: it has more than 128 bytes")]
    Long(String),
}

impl FromStr for ComponentId {
    type Err = ComponentIdError;

    fn from_str(text: &str) -> Result<ComponentId, ComponentIdError> {
        if text.len() > ID_BYTES_MAX {
            return Err(ComponentIdError::Long(text.chars().take(20).collect()));
        }
        let (kind, name) = match text.split_once('/') {
            Some((kind, name)) => (kind, Some(name)),
            None => (text, None),
        };
        if !is_word(kind, "_") {
            return Err(ComponentIdError::Kind(text.to_owned()));
        }
        if name.is_some_and(|name| !is_word(name, "_-.:")) {
            return Err(ComponentIdError::Name(text.to_owned()));
        }
        Ok(ComponentId { kind: kind.to_owned(), name: name.map(str::to_owned) })
    }
}

impl fmt::Display for ComponentId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(formatter, "{}/{name}", self.kind),
            None => formatter.write_str(&self.kind),
        }
    }
}

fn is_word(text: &str, marks: &str) -> bool {
    let allowed = |character: char| character.is_ascii_alphanumeric() || marks.contains(character);
    !text.is_empty() && text.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_a_type_and_an_optional_name() {
        for text in ["postgresql", "postgresql/production", "sqlquery/ash", "mysql/eu-1.shop:3306"] {
            let id: ComponentId = text.parse().unwrap();
            assert_eq!(id.to_string(), text);
        }
        let id: ComponentId = "postgresql/production".parse().unwrap();
        assert_eq!((id.kind.as_str(), id.name.as_deref()), ("postgresql", Some("production")));
    }

    #[test]
    fn what_is_not_an_id_says_why() {
        let kind = |text: &str| ComponentIdError::Kind(text.to_owned());
        let name = |text: &str| ComponentIdError::Name(text.to_owned());
        let cases = [
            ("", kind("")),
            ("/production", kind("/production")),
            ("my sql", kind("my sql")),
            ("mysql/", name("mysql/")),
            ("mysql/a/b", name("mysql/a/b")),
            ("mysql/a b", name("mysql/a b")),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<ComponentId>(), Err(expected));
        }
        assert!(matches!("x".repeat(129).parse::<ComponentId>(), Err(ComponentIdError::Long(_))));
    }
}
