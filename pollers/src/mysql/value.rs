//! Values of columns, by name.

use mysql_async::prelude::FromValue;
use mysql_async::{FromValueError, Row, Value};

use crate::failure::Failure;

/// A row whose columns are read by name. A column that is not there, or has another type, is a failure.
pub struct Columns<'a>(pub &'a Row);

impl Columns<'_> {
    /// A value, or none if it is null.
    pub fn optional<T: FromValue>(&self, column: &str) -> Result<Option<T>, Failure> {
        let value: Option<Value> = self.0.get_opt(column).and_then(Result::ok);
        match value {
            None => Err(Failure::protocol(format!("there is no column {column}"))),
            Some(Value::NULL) => Ok(None),
            Some(value) => T::from_value_opt(value).map(Some).map_err(|error| other_type(column, &error)),
        }
    }

    /// A value that cannot be null.
    pub fn required<T: FromValue>(&self, column: &str) -> Result<T, Failure> {
        self.optional(column)?.ok_or_else(|| Failure::protocol(format!("the column {column} is null")))
    }

    /// A value by its place, or none if it is null.
    pub fn at<T: FromValue>(&self, place: usize) -> Result<Option<T>, Failure> {
        match self.0.as_ref(place) {
            None => Err(Failure::protocol(format!("there is no column {place}"))),
            Some(Value::NULL) => Ok(None),
            Some(value) => {
                let name = || format!("at place {place}");
                T::from_value_opt(value.clone()).map(Some).map_err(|error| other_type(&name(), &error))
            }
        }
    }

    /// A name or another short text; what is no UTF-8 is replaced by U+FFFD.
    pub fn text(&self, column: &str) -> Result<Option<String>, Failure> {
        let bytes = self.optional::<Vec<u8>>(column)?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }
}

fn other_type(column: &str, _: &FromValueError) -> Failure {
    Failure::protocol(format!("the column {column} has another type than expected"))
}
