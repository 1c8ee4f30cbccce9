//! Writes the generated module: structs, their codec, and the list of all definitions.

use serde_json::Value;

use crate::counters;
use crate::model::{Field, Record, SchemaFile, Type};

/// The text of `records.rs`.
pub fn module(files: &[SchemaFile]) -> Result<String, String> {
    let mut out = String::new();
    for record in distinct_records(files)? {
        emit_record(record, &mut out)?;
    }
    for file in files {
        emit_top_level(file, &mut out);
    }
    emit_definitions(files, &mut out);
    Ok(out)
}

/// Each record type once; files that share one must define it alike.
fn distinct_records(files: &[SchemaFile]) -> Result<Vec<&Record>, String> {
    let mut distinct: Vec<&Record> = Vec::new();
    for (file, record) in files.iter().flat_map(|file| file.records.iter().map(move |record| (file, record))) {
        match distinct.iter().find(|other| other.name == record.name) {
            None => distinct.push(record),
            Some(other) if *other == record => {}
            Some(_) => return Err(format!("{}.avsc: {} differs from another file's", file.topic, record.name)),
        }
    }
    Ok(distinct)
}

fn emit_record(record: &Record, out: &mut String) -> Result<(), String> {
    if record.is_all_nullable_longs() {
        return counters::emit(record, out);
    }
    emit_struct(record, out);
    emit_default(record, out);
    emit_codec(record, out);
    Ok(())
}

fn emit_struct(record: &Record, out: &mut String) {
    let lines = record.fields.iter().map(|field| {
        let Field { name, doc, unit, .. } = field;
        format!("    /// {doc}; unit: `{unit}`\n    pub {name}: {},\n", rust_type(&field.kind))
    });
    let fields: String = lines.collect();
    let (doc, name, lifetime) = (&record.doc, &record.name, lifetime(record, "'a"));
    out.push_str(&format!(
        "/// {doc}\n#[derive(Debug, Clone, Copy, PartialEq)]\npub struct {name}{lifetime} {{\n{fields}}}\n\n"
    ));
}

fn emit_default(record: &Record, out: &mut String) {
    let lines = record.fields.iter().map(|field| format!("            {}: {},\n", field.name, default_value(field)));
    let fields: String = lines.collect();
    let (name, lifetime) = (&record.name, lifetime(record, "'_"));
    out.push_str(&format!(
        "impl Default for {name}{lifetime} {{\n    fn default() -> Self {{\n        Self {{\n{fields}        }}\n    }}\n}}\n\n"
    ));
}

fn emit_codec(record: &Record, out: &mut String) {
    let names = || record.fields.iter().map(|field| &field.name);
    let reads: String = names().map(|name| format!("            {name}: Datum::read(&mut local),\n")).collect();
    let writes: String = names().map(|name| format!("        self.{name}.write(output);\n")).collect();
    let bounds = record.fields.iter().map(|field| format!("<{}>::SIZE_BOUND", rust_type(&field.kind)));
    let bounds = bounds.collect::<Vec<_>>().join("\n        + ");
    let contents = names().map(|name| format!("self.{name}.content_size()"));
    let contents = contents.collect::<Vec<_>>().join("\n            + ");
    let (name, lifetime) = (&record.name, lifetime(record, "'a"));
    out.push_str(&format!(
        "impl<'a> Datum<'a> for {name}{lifetime} {{
    const SIZE_BOUND: usize = {bounds};

    #[inline]
    fn read(cursor: &mut Cursor<'a>) -> Self {{
        let mut local = *cursor;
        let record = Self {{\n{reads}        }};
        *cursor = local;
        record
    }}

    #[inline]
    fn content_size(&self) -> usize {{
        {contents}
    }}

    #[inline]
    fn write(&self, output: &mut Output<'_>) {{\n{writes}    }}
}}\n\n"
    ));
}

fn emit_top_level(file: &SchemaFile, out: &mut String) {
    let Some(record) = file.records.last() else { return };
    let (topic, fingerprint, variant) = (&file.topic, file.fingerprint, topic_variant(&file.topic));
    let (namespace, name, lifetime) = (&record.namespace, &record.name, lifetime(record, "'a"));
    out.push_str(&format!(
        "impl<'a> Record<'a> for {name}{lifetime} {{
    const NAME: &'static str = \"{namespace}.{name}\";
    const SCHEMA: &'static str = include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/avsc/{topic}.avsc\"));
    const FINGERPRINT: u64 = {fingerprint:#018x};
    const TOPIC: Topic = Topic::{variant};
}}\n\n"
    ));
}

fn emit_definitions(files: &[SchemaFile], out: &mut String) {
    let names = files.iter().filter_map(|file| file.records.last());
    let lines: String = names.map(|record| format!("    Definition::of::<{}>(),\n", record.name)).collect();
    let count = files.len();
    out.push_str(&format!(
        "/// What each topic's values are, sorted by the name of the topic.\npub const DEFINITIONS: [Definition; {count}] = [\n{lines}];\n\n"
    ));
}

fn rust_type(kind: &Type) -> String {
    match kind {
        Type::Boolean => "bool".to_owned(),
        Type::Int => "i32".to_owned(),
        Type::Long => "i64".to_owned(),
        Type::Double => "f64".to_owned(),
        Type::String => "&'a str".to_owned(),
        Type::Bytes => "&'a [u8]".to_owned(),
        Type::Fixed(size) => format!("[u8; {size}]"),
        Type::Nullable(inner) => format!("Option<{}>", rust_type(inner)),
        Type::List(item) => format!("List<'a, {}>", rust_type(item)),
        Type::TextMap => "TextMap<'a>".to_owned(),
        Type::Record { name, borrows: true } => format!("{name}<'a>"),
        Type::Record { name, borrows: false } => name.clone(),
    }
}

fn default_value(field: &Field) -> String {
    match (&field.kind, &field.default) {
        (Type::Boolean, Some(Value::Bool(value))) => value.to_string(),
        (Type::Int | Type::Long, Some(Value::Number(value))) => value.to_string(),
        (Type::Double, Some(Value::Number(value))) => format!("{value}_f64"),
        (Type::String, Some(Value::String(value))) => format!("{value:?}"),
        _ => "Default::default()".to_owned(),
    }
}

fn lifetime(record: &Record, lifetime: &str) -> String {
    if record.borrows() { format!("<{lifetime}>") } else { String::new() }
}

/// `raw.queries` is `RawQueries`.
fn topic_variant(topic: &str) -> String {
    let words = topic.split('.').map(|word| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_uppercase() + rest
    });
    words.collect()
}
