//! Avro's parsing canonical form of a schema, and its CRC-64-AVRO fingerprint. The build script uses this file, too.
//!
//! A primitive type with a logical type becomes the primitive type's name, as in Avro for Java and in fastavro. apache-avro for
//! Rust and Avro for Python leave `{"type":"long"}` there, so that their fingerprints differ from these.

use serde_json::{Map, Value};

/// Fingerprint of the empty input, and the polynomial.
const EMPTY: u64 = 0xc15d_213a_a4d7_a795;

/// The schema without all that does not change how data is parsed, in one spelling.
pub fn parsing_canonical_form(schema: &Value) -> Result<String, String> {
    let mut out = String::new();
    write_schema(schema, "", &mut out)?;
    Ok(out)
}

/// CRC-64-AVRO, as the Avro specification defines it.
pub fn crc64_avro(bytes: &[u8]) -> u64 {
    bytes.iter().fold(EMPTY, |fingerprint, byte| (fingerprint >> 8) ^ table((fingerprint ^ u64::from(*byte)) & 0xff))
}

fn table(index: u64) -> u64 {
    (0..8).fold(index, |entry, _| (entry >> 1) ^ (EMPTY & 0_u64.wrapping_sub(entry & 1)))
}

fn write_schema(schema: &Value, namespace: &str, out: &mut String) -> Result<(), String> {
    match schema {
        Value::String(name) => write_text(&full_name(name, namespace), out),
        Value::Array(branches) => write_list(branches, out, |branch, out| write_schema(branch, namespace, out))?,
        Value::Object(object) => write_object(object, namespace, out)?,
        _ => return Err(format!("{schema}: not a schema")),
    }
    Ok(())
}

fn write_object(object: &Map<String, Value>, namespace: &str, out: &mut String) -> Result<(), String> {
    let kind = object.get("type").ok_or("a type without \"type\"")?;
    match kind.as_str() {
        Some("record") => write_record(object, namespace, out),
        Some("array") => write_container("array", "items", object, namespace, out),
        Some("map") => write_container("map", "values", object, namespace, out),
        Some("fixed") => write_fixed(object, namespace, out),
        Some("enum") => write_enum(object, namespace, out),
        _ => write_schema(kind, namespace, out),
    }
}

fn write_record(object: &Map<String, Value>, namespace: &str, out: &mut String) -> Result<(), String> {
    let inner_namespace = write_name(object, namespace, out)?;
    out.push_str(",\"type\":\"record\",\"fields\":");
    let fields = object.get("fields").and_then(Value::as_array).ok_or("a record without \"fields\"")?;
    write_list(fields, out, |field, out| {
        let name = field.get("name").and_then(Value::as_str).ok_or("a field without \"name\"")?;
        out.push_str("{\"name\":");
        write_text(name, out);
        out.push_str(",\"type\":");
        write_schema(field.get("type").ok_or("a field without \"type\"")?, &inner_namespace, out)?;
        out.push('}');
        Ok(())
    })?;
    out.push('}');
    Ok(())
}

fn write_fixed(object: &Map<String, Value>, namespace: &str, out: &mut String) -> Result<(), String> {
    write_name(object, namespace, out)?;
    let size = object.get("size").and_then(Value::as_u64).ok_or("a fixed without \"size\"")?;
    out.push_str(&format!(",\"type\":\"fixed\",\"size\":{size}}}"));
    Ok(())
}

fn write_enum(object: &Map<String, Value>, namespace: &str, out: &mut String) -> Result<(), String> {
    write_name(object, namespace, out)?;
    out.push_str(",\"type\":\"enum\",\"symbols\":");
    let symbols = object.get("symbols").and_then(Value::as_array).ok_or("an enum without \"symbols\"")?;
    write_list(symbols, out, |symbol, out| {
        write_text(symbol.as_str().ok_or("a symbol that is not a text")?, out);
        Ok(())
    })?;
    out.push('}');
    Ok(())
}

fn write_container(
    kind: &str,
    content: &str,
    object: &Map<String, Value>,
    namespace: &str,
    out: &mut String,
) -> Result<(), String> {
    out.push_str(&format!("{{\"type\":\"{kind}\",\"{content}\":"));
    write_schema(object.get(content).ok_or("an array or map without its content")?, namespace, out)?;
    out.push('}');
    Ok(())
}

/// Opens the object of a named type with its full name; returns the namespace for what is inside.
fn write_name(object: &Map<String, Value>, namespace: &str, out: &mut String) -> Result<String, String> {
    let name = object.get("name").and_then(Value::as_str).ok_or("a named type without \"name\"")?;
    let namespace = object.get("namespace").and_then(Value::as_str).unwrap_or(namespace);
    let full_name = full_name(name, namespace);
    out.push_str("{\"name\":");
    write_text(&full_name, out);
    Ok(full_name.rsplit_once('.').map_or("", |(namespace, _)| namespace).to_owned())
}

fn full_name(name: &str, namespace: &str) -> String {
    const PRIMITIVES: [&str; 8] = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];
    if name.contains('.') || namespace.is_empty() || PRIMITIVES.contains(&name) {
        name.to_owned()
    } else {
        format!("{namespace}.{name}")
    }
}

fn write_list(
    items: &[Value],
    out: &mut String,
    write_item: impl Fn(&Value, &mut String) -> Result<(), String>,
) -> Result<(), String> {
    out.push('[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_item(item, out)?;
    }
    out.push(']');
    Ok(())
}

/// Names hold nothing that would need an escape.
fn write_text(text: &str, out: &mut String) {
    out.push('"');
    out.push_str(text);
    out.push('"');
}
