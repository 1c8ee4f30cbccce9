//! Writes the golden bytes of a release: `cargo run -p dbintel-schemas --example write_golden -- v1`.
//!
//! For each topic, `testdata/<release>` gets one record with every field filled, framed as on the wire (`.bin`) and readable
//! (`.json`), the schema (`avsc/`), and its line in `fingerprints.txt`. What was written once is never written again.

use std::collections::HashMap;
use std::error::Error;
use std::fs;
use std::path::Path;

use apache_avro::Schema;
use apache_avro::schema::{Name, RecordSchema};
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use dbintel_schemas::Definition;
use dbintel_schemas::records::DEFINITIONS;

fn main() -> Result<(), Box<dyn Error>> {
    let release = std::env::args().nth(1).ok_or("name the release, such as v1")?;
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(release);
    if directory.exists() {
        return Err(format!("{} exists: what was released stays as it is", directory.display()).into());
    }
    fs::create_dir_all(directory.join("avsc"))?;
    let mut fingerprints = String::new();
    for definition in DEFINITIONS {
        write_topic(&directory, &definition)?;
        fingerprints += &format!("{} {} {:016x}\n", definition.topic, definition.name, definition.fingerprint);
    }
    fs::write(directory.join("fingerprints.txt"), fingerprints)?;
    Ok(())
}

fn write_topic(directory: &Path, definition: &Definition) -> Result<(), Box<dyn Error>> {
    let schema = Schema::parse_str(definition.schema)?;
    let value = Filler::default().value("", &schema);
    let mut framed = vec![0xc3, 0x01];
    framed.extend_from_slice(&definition.fingerprint.to_le_bytes());
    GenericDatumWriter::builder(&schema).build()?.write_value_ref(&mut framed, &value)?;
    let json = serde_json::to_string_pretty(&serde_json::Value::try_from(value)?)?;
    fs::write(directory.join(format!("{}.bin", definition.topic)), framed)?;
    fs::write(directory.join(format!("{}.json", definition.topic)), json + "\n")?;
    fs::write(directory.join("avsc").join(format!("{}.avsc", definition.topic)), definition.schema)?;
    Ok(())
}

/// Fills every field, each with another value.
#[derive(Default)]
struct Filler {
    count: u8,
    named: HashMap<Name, Schema>,
}

impl Filler {
    fn value(&mut self, field: &str, schema: &Schema) -> Value {
        self.count = self.count.wrapping_add(1);
        let count = self.count;
        match schema {
            Schema::Boolean => Value::Boolean(true),
            Schema::Int => Value::Int(i32::from(count) * -1000),
            Schema::Long => Value::Long(long(count)),
            Schema::TimestampMicros => Value::TimestampMicros(1_760_000_000_000_000 + i64::from(count)),
            Schema::Double => Value::Double(f64::from(count) / 256.0),
            Schema::Bytes => Value::Bytes(vec![0, count, 0xff]),
            Schema::String => Value::String(format!("{field} {count} é😀")),
            Schema::Union(union) => Value::Union(1, Box::new(self.value(field, &union.variants()[1]))),
            Schema::Array(array) => Value::Array((0..2).map(|_| self.value(field, &array.items)).collect()),
            Schema::Map(map) => {
                Value::Map((0..2).map(|index| (format!("key {index}"), self.value(field, &map.types))).collect())
            }
            Schema::Fixed(fixed) => {
                self.named.insert(fixed.name.clone(), schema.clone());
                Value::Fixed(fixed.size, (count..).take(fixed.size).collect())
            }
            Schema::Record(record) => self.record(record, schema),
            Schema::Ref { name } => {
                let schema = self.named.get(name).cloned().expect("a type is defined above its use");
                self.value(field, &schema)
            }
            other => unreachable!("the build script refuses {other:?}"),
        }
    }

    fn record(&mut self, record: &RecordSchema, schema: &Schema) -> Value {
        let fields = record.fields.iter().map(|field| (field.name.clone(), self.value(&field.name, &field.schema)));
        let value = Value::Record(fields.collect());
        self.named.insert(record.name.clone(), schema.clone());
        value
    }
}

/// Numbers of one to ten bytes, of both signs.
fn long(count: u8) -> i64 {
    let size = u32::from(count) % 64;
    let number = (i64::MAX >> size) - i64::from(count);
    if count.is_multiple_of(3) { -number } else { number }
}
