//! How a topic's settings are stored: version, partitions, retention, largest record, name.

use std::time::Duration;

use crate::{NewTopic, Retention};

const VERSION: u8 = 1;
const NAME_FROM: usize = 22;
const TIME: u8 = 0;
const COMPACTED: u8 = 1;
const UNLIMITED: u8 = 2;

/// The stored form.
pub(super) fn encode(settings: &NewTopic) -> Vec<u8> {
    let (kind, millis) = match settings.retention {
        Retention::Time(time) => (TIME, u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
        Retention::Compacted => (COMPACTED, 0),
        Retention::Unlimited => (UNLIMITED, 0),
    };
    let mut bytes = vec![VERSION];
    bytes.extend_from_slice(&settings.partitions.to_le_bytes());
    bytes.push(kind);
    bytes.extend_from_slice(&millis.to_le_bytes());
    bytes.extend_from_slice(&(settings.message_bytes_max as u64).to_le_bytes());
    bytes.extend_from_slice(settings.name.as_bytes());
    bytes
}

/// Reads what [`encode`] wrote; none if it is something else.
pub(super) fn decode(bytes: &[u8]) -> Option<NewTopic> {
    if *bytes.first()? != VERSION {
        return None;
    }
    let millis = u64::from_le_bytes(bytes.get(6..14)?.try_into().ok()?);
    let retention = match *bytes.get(5)? {
        TIME => Retention::Time(Duration::from_millis(millis)),
        COMPACTED => Retention::Compacted,
        UNLIMITED => Retention::Unlimited,
        _ => return None,
    };
    Some(NewTopic {
        name: String::from_utf8(bytes.get(NAME_FROM..)?.to_vec()).ok()?,
        partitions: u32::from_le_bytes(bytes.get(1..5)?.try_into().ok()?),
        retention,
        message_bytes_max: usize::try_from(u64::from_le_bytes(bytes.get(14..22)?.try_into().ok()?)).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_come_back_as_they_were() {
        for retention in [Retention::Time(Duration::from_millis(1_500)), Retention::Compacted, Retention::Unlimited] {
            let settings =
                NewTopic { name: "dbintel.events".to_owned(), partitions: 12, retention, message_bytes_max: 1 << 20 };
            let bytes = encode(&settings);
            assert_eq!(decode(&bytes), Some(settings));
            assert_eq!(decode(&bytes[..NAME_FROM - 1]), None, "cut off");
        }
        assert_eq!(decode(b"\x02nonsense"), None);
    }
}
