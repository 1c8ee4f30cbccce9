//! What items are about: a monitored server, or one of its objects.

use dbintel_schemas::TextMap;

use super::attributes::Attributes;

/// Field number of the attributes of a `Resource`.
const ATTRIBUTES: u32 = 1;

/// Objects that the contrib receiver knows, as resource attributes of PostgreSQL.
const POSTGRESQL_OBJECTS: [(&str, &str); 3] = [
    ("database", "postgresql.database.name"),
    ("schema", "postgresql.schema.name"),
    ("index", "postgresql.index.name"),
];

/// The monitored server. What may change while it is the same server (its role) is not part of it.
#[derive(Debug, Clone, Copy)]
pub struct Server<'a> {
    /// Name of the target.
    pub target: &'a str,
    /// Engine; empty when not known.
    pub engine: &'a str,
    /// Version of the engine; empty when not known.
    pub version: &'a str,
    /// Labels of the target.
    pub labels: TextMap<'a>,
}

impl Server<'_> {
    /// Appends the attributes of a `Resource`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut attributes = Attributes::new(ATTRIBUTES, out);
        for (name, value) in self.labels.iter().filter(|(name, _)| !is_ours(name)) {
            attributes.text(name, value);
        }
        attributes.text("service.instance.id", self.target);
        attributes.text("db.system.name", some(self.engine));
        attributes.text("db.system.version", some(self.version));
        if self.engine != "postgresql" {
            attributes.text("mysql.instance.endpoint", some(self.engine).map(|_| self.target));
        }
        if let Some((address, port)) = address_and_port(self.target) {
            attributes.text("server.address", address);
            attributes.int("server.port", i64::from(port));
        }
    }

    /// Appends the attributes of an object of the server.
    pub fn write_object(&self, object: TextMap<'_>, out: &mut Vec<u8>) {
        self.write(out);
        let mut attributes = Attributes::new(ATTRIBUTES, out);
        if self.engine == "postgresql" {
            for (key, name) in POSTGRESQL_OBJECTS {
                attributes.text(name, object.get(key));
            }
            attributes.text("postgresql.table.name", table_name(object).as_deref());
        } else {
            for (key, value) in object.iter() {
                attributes.text(&format!("dbintel.object.{key}"), value);
            }
        }
    }
}

/// Whether an object's key is part of the resource; the others belong to its points.
pub fn is_resource_key(engine: &str, key: &str) -> bool {
    engine != "postgresql" || key == "table" || POSTGRESQL_OBJECTS.iter().any(|(known, _)| *known == key)
}

/// The contrib receiver writes a table with its schema, but the table of an index without.
fn table_name(object: TextMap<'_>) -> Option<String> {
    let table = object.get("table")?;
    match (object.get("schema"), object.get("index")) {
        (Some(schema), None) => Some(format!("{schema}.{table}")),
        _ => Some(table.to_owned()),
    }
}

/// Labels cannot take the place of what we say ourselves.
fn is_ours(label: &str) -> bool {
    const OURS: [&str; 6] = [
        "service.instance.id",
        "db.system.name",
        "db.system.version",
        "mysql.instance.endpoint",
        "server.address",
        "server.port",
    ];
    OURS.contains(&label) || label.starts_with("postgresql.")
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// A target without a name of its own is called `host:port`.
fn address_and_port(target: &str) -> Option<(&str, u16)> {
    let (address, port) = target.rsplit_once(':')?;
    let address = address.trim_start_matches('[').trim_end_matches(']');
    Some((some(address)?, port.parse().ok()?))
}
