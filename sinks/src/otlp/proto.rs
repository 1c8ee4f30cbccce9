//! Writes protobuf (<https://protobuf.dev/programming-guides/encoding/>) straight into bytes: items are encoded once, when
//! they are taken, and a request is their concatenation. The structs of `opentelemetry-proto` are the oracle in tests.

/// Wire types.
const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const FIXED32: u32 = 5;
const LENGTH: u32 = 2;

/// Field numbers of `opentelemetry.proto.common.v1.KeyValue` and `AnyValue`.
const KEY: u32 = 1;
const VALUE: u32 = 2;
const STRING_VALUE: u32 = 1;
const BOOL_VALUE: u32 = 2;
const INT_VALUE: u32 = 3;
const DOUBLE_VALUE: u32 = 4;

/// Value of an attribute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// Text.
    Text(&'a str),
    /// An integer.
    Int(i64),
    /// A number.
    Double(f64),
    /// True or false.
    Bool(bool),
}

/// An unsigned integer, seven bits at a time.
pub fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn key(field: u32, wire_type: u32, out: &mut Vec<u8>) {
    varint(u64::from(field << 3 | wire_type), out);
}

/// A field of an integer or enum.
pub fn integer(field: u32, value: u64, out: &mut Vec<u8>) {
    key(field, VARINT, out);
    varint(value, out);
}

/// A field of eight bytes.
pub fn fixed64(field: u32, value: [u8; 8], out: &mut Vec<u8>) {
    key(field, FIXED64, out);
    out.extend_from_slice(&value);
}

/// A field of four bytes.
pub fn fixed32(field: u32, value: u32, out: &mut Vec<u8>) {
    key(field, FIXED32, out);
    out.extend_from_slice(&value.to_le_bytes());
}

/// A field of bytes, text or an encoded message.
pub fn bytes(field: u32, value: &[u8], out: &mut Vec<u8>) {
    key(field, LENGTH, out);
    varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

/// A field of a message that `write` encodes.
pub fn message(field: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    key(field, LENGTH, out);
    let start = out.len();
    write(out);
    let length = out.len() - start;
    varint(length as u64, out);
    let prefix = out.len() - start - length;
    out[start..].rotate_right(prefix);
}

/// A field of the time `us` µs after the epoch, in ns. Nothing for times that OTLP cannot tell.
pub fn time(field: u32, us: Option<i64>, out: &mut Vec<u8>) {
    let ns = us.and_then(|us| u64::try_from(us).ok()).and_then(|us| us.checked_mul(1000));
    if let Some(ns) = ns {
        fixed64(field, ns.to_le_bytes(), out);
    }
}

/// A field of an attribute.
pub fn attribute(field: u32, name: &str, value: Value<'_>, out: &mut Vec<u8>) {
    message(field, out, |out| {
        bytes(KEY, name.as_bytes(), out);
        any_value(VALUE, value, out);
    });
}

/// A field of an `AnyValue`.
pub fn any_value(field: u32, value: Value<'_>, out: &mut Vec<u8>) {
    message(field, out, |out| match value {
        Value::Text(text) => bytes(STRING_VALUE, text.as_bytes(), out),
        Value::Int(value) => integer(INT_VALUE, value as u64, out),
        Value::Double(value) => fixed64(DOUBLE_VALUE, value.to_le_bytes(), out),
        Value::Bool(value) => integer(BOOL_VALUE, u64::from(value), out),
    });
}
