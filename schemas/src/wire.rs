//! Framing: how a value on a topic names the schema that it was written with.
//!
//! We write Avro's single-object encoding, or the frame of Confluent's registry when one is configured, and read both.

mod canonical;
mod schemas;
mod shape;

use std::fmt;

pub use schemas::{InsertError, ReadError, SCHEMA_BYTES_MAX, SCHEMAS_MAX, Schemas};
pub use shape::ShapeError;

use crate::Record;

const SINGLE_OBJECT_MAGIC: [u8; 2] = [0xc3, 0x01];
const REGISTRY_ID_MAGIC: u8 = 0;
const REGISTRY_GUID_MAGIC: u8 = 1;

/// Which frame to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// C3 01, then the fingerprint as 8 bytes little-endian.
    SingleObject,
    /// 0, then the identifier as 4 bytes big-endian.
    Confluent {
        /// Identifier that the registry gave to the schema of the record.
        schema_id: u32,
    },
}

/// The schema that a value was written with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WriterSchema {
    /// CRC-64-AVRO of its parsing canonical form.
    Fingerprint(u64),
    /// Identifier in the registry.
    RegistryId(u32),
    /// Globally unique identifier in the registry.
    RegistryGuid([u8; 16]),
}

impl fmt::Display for WriterSchema {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fingerprint(fingerprint) => write!(formatter, "fingerprint {fingerprint:#018x}"),
            Self::RegistryId(id) => write!(formatter, "registry id {id}"),
            Self::RegistryGuid(guid) => write!(formatter, "registry guid {:032x}", u128::from_be_bytes(*guid)),
        }
    }
}

/// A value without a frame that we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// There are no bytes.
    #[error("the value is empty")]
    Empty,
    /// The first byte belongs to no frame that we know.
    #[error("the value begins with {0:#04x}, which is neither Avro's single-object encoding nor a registry's frame")]
    UnknownMagic(u8),
    /// The frame is cut.
    #[error("the value ends within its frame, after {0} bytes")]
    Truncated(usize),
}

/// Appends a record with its frame.
#[inline]
pub fn write<'a, R: Record<'a>>(record: &R, framing: Framing, out: &mut Vec<u8>) {
    match framing {
        Framing::SingleObject => {
            out.extend_from_slice(&SINGLE_OBJECT_MAGIC);
            out.extend_from_slice(&R::FINGERPRINT.to_le_bytes());
        }
        Framing::Confluent { schema_id } => {
            out.push(REGISTRY_ID_MAGIC);
            out.extend_from_slice(&schema_id.to_be_bytes());
        }
    }
    record.encode(out);
}

/// Splits a value into the schema of its writer and the datum.
#[inline]
pub fn unframe(bytes: &[u8]) -> Result<(WriterSchema, &[u8]), WireError> {
    let split = match bytes {
        [] => return Err(WireError::Empty),
        [0xc3] => None,
        [0xc3, 0x01, rest @ ..] => rest
            .split_first_chunk()
            .map(|(fingerprint, datum)| (WriterSchema::Fingerprint(u64::from_le_bytes(*fingerprint)), datum)),
        [REGISTRY_ID_MAGIC, rest @ ..] => {
            rest.split_first_chunk().map(|(id, datum)| (WriterSchema::RegistryId(u32::from_be_bytes(*id)), datum))
        }
        [REGISTRY_GUID_MAGIC, rest @ ..] => {
            rest.split_first_chunk().map(|(guid, datum)| (WriterSchema::RegistryGuid(*guid), datum))
        }
        [first, ..] => return Err(WireError::UnknownMagic(*first)),
    };
    split.ok_or(WireError::Truncated(bytes.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::SchemaEntry;

    fn entry() -> SchemaEntry<'static> {
        SchemaEntry { fingerprint: -1, name: "n", schema: "s", writer_version: "v" }
    }

    #[test]
    fn frames_have_these_bytes() {
        let datum = [1, 2, b'n', 2, b's', 2, b'v'];
        let fingerprint = SchemaEntry::FINGERPRINT;
        let single_object = [&[0xc3, 0x01], &fingerprint.to_le_bytes()[..], &datum].concat();
        let confluent = [&[0, 0, 0, 1, 2], &datum[..]].concat();
        let cases = [
            (Framing::SingleObject, single_object, WriterSchema::Fingerprint(fingerprint)),
            (Framing::Confluent { schema_id: 258 }, confluent, WriterSchema::RegistryId(258)),
        ];
        for (framing, expected, writer) in cases {
            let mut bytes = Vec::new();
            write(&entry(), framing, &mut bytes);
            assert_eq!(bytes, expected);
            assert_eq!(unframe(&bytes), Ok((writer, &datum[..])));
        }
    }

    #[test]
    fn a_registry_may_use_a_globally_unique_identifier() {
        let guid = *b"0123456789abcdef";
        let bytes = [&[1], &guid[..], b"datum"].concat();
        assert_eq!(unframe(&bytes), Ok((WriterSchema::RegistryGuid(guid), &b"datum"[..])));
    }

    #[test]
    fn what_is_not_framed_is_told() {
        let cases: [(&[u8], WireError); 6] = [
            (&[], WireError::Empty),
            (b"{\"json\": 1}", WireError::UnknownMagic(b'{')),
            (&[0xc3, 0x02, 0, 0, 0, 0, 0, 0, 0, 0], WireError::UnknownMagic(0xc3)),
            (&[0xc3], WireError::Truncated(1)),
            (&[0xc3, 0x01, 0, 0, 0, 0, 0, 0, 0], WireError::Truncated(9)),
            (&[0, 0, 0, 1], WireError::Truncated(4)),
        ];
        for (bytes, expected) in cases {
            assert_eq!(unframe(bytes), Err(expected), "{bytes:?}");
        }
    }

    #[test]
    fn writing_appends() {
        let mut bytes = b"before".to_vec();
        write(&entry(), Framing::Confluent { schema_id: 1 }, &mut bytes);
        assert!(bytes.starts_with(b"before\0\0\0\0\x01"));
        assert_eq!(bytes.len(), 6 + 5 + 7);
    }
}
