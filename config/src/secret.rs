//! A value that cannot be printed.

use std::fmt;

/// What every secret looks like when printed.
pub(crate) const MASK: &str = "****";

/// A password, token or key. `Debug` and `Display` give `****`; comparing two secrets takes a time
/// that depends on their lengths only.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Makes a secret of a text.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text itself. Give it to whatever needs it, and to nothing that prints.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        let (left, right) = (self.0.as_bytes(), other.0.as_bytes());
        if left.len() != right.len() {
            return false;
        }
        let difference = left
            .iter()
            .zip(right)
            .fold(0, |difference, (left, right)| std::hint::black_box(difference | (left ^ right)));
        difference == 0
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(MASK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?} {:#?}", Some(&secret)), "**** **** Some(\n    ****,\n)");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn secrets_are_equal_if_their_texts_are() {
        let cases = [("", "", true), ("a", "a", true), ("a", "b", false), ("a", "aa", false), ("ab", "bb", false)];
        for (left, right, equal) in cases {
            assert_eq!(Secret::new(left) == Secret::new(right), equal, "{left} {right}");
        }
    }
}
