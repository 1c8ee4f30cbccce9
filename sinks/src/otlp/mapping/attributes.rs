//! Writes the attributes of one item.

use dbintel_schemas::{List, TextMap};

use super::super::proto::{self, Value};

/// Appends attributes to an encoded message, under the field number that its attributes have.
pub struct Attributes<'o> {
    field: u32,
    out: &'o mut Vec<u8>,
}

impl<'o> Attributes<'o> {
    /// Attributes under this field number.
    pub fn new(field: u32, out: &'o mut Vec<u8>) -> Self {
        Attributes { field, out }
    }

    /// A text; none is left out.
    pub fn text<'t>(&mut self, name: &str, value: impl Into<Option<&'t str>>) {
        if let Some(value) = value.into() {
            proto::attribute(self.field, name, Value::Text(value), self.out);
        }
    }

    /// An integer; none is left out.
    pub fn int(&mut self, name: &str, value: impl Into<Option<i64>>) {
        if let Some(value) = value.into() {
            proto::attribute(self.field, name, Value::Int(value), self.out);
        }
    }

    /// A number; none is left out.
    pub fn double(&mut self, name: &str, value: impl Into<Option<f64>>) {
        if let Some(value) = value.into() {
            proto::attribute(self.field, name, Value::Double(value), self.out);
        }
    }

    /// True or false; none is left out.
    pub fn boolean(&mut self, name: &str, value: impl Into<Option<bool>>) {
        if let Some(value) = value.into() {
            proto::attribute(self.field, name, Value::Bool(value), self.out);
        }
    }

    /// What only one engine tells: names with a dot as they are, others under `dbintel.`.
    pub fn map(&mut self, map: TextMap<'_>) {
        for (name, value) in map.iter() {
            if name.contains('.') {
                self.text(name, value);
            } else {
                self.text(&format!("dbintel.{name}"), value);
            }
        }
    }

    /// The same, with `prefix` in front of each name.
    pub fn map_under(&mut self, prefix: &str, map: TextMap<'_>) {
        map.iter().for_each(|(name, value)| self.text(&format!("{prefix}{name}"), value));
    }

    /// What a statement is: its verb, its tables (as `db.collection.name` if there is one), its fingerprint.
    pub fn statement(&mut self, verb: Option<&str>, tables: List<'_, &str>, fingerprint: Option<&str>) {
        self.text("db.operation.name", verb);
        if tables.len() == 1 {
            self.text("db.collection.name", tables.iter().next());
        }
        if !tables.is_empty() {
            self.text("dbintel.tables", tables.iter().collect::<Vec<_>>().join(",").as_str());
        }
        self.text("dbintel.fingerprint", fingerprint);
    }

    /// How the record was sampled, if a sampler ran.
    pub fn sampling(&mut self, rule: Option<&str>, probability: f64, weight: f64) {
        if rule.is_some() || weight != 1.0 {
            self.text("dbintel.sampling.rule", rule);
            self.double("dbintel.sampling.probability", probability);
            self.double("dbintel.sampling.weight", weight);
        }
    }
}
