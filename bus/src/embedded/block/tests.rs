//! Blocks: what goes in comes out, and damage is found.

use super::*;

type Row<'a> = (i64, Option<&'a [u8]>, Option<&'a [u8]>, &'a [(&'a str, &'a [u8])]);

fn sealed(rows: &[Row<'_>]) -> Sealed {
    let mut builder = Builder::default();
    for (timestamp, key, value, headers) in rows {
        builder.push(*timestamp, *key, *value, headers);
    }
    builder.seal(1_000)
}

fn headers_of(entry: &Entry<'_>) -> Vec<(String, Vec<u8>)> {
    let mut payload = Payload { bytes: entry.headers, position: 0 };
    let mut headers = Vec::new();
    while !payload.finished() {
        let name = String::from_utf8(payload.bytes().unwrap().to_vec()).unwrap();
        headers.push((name, payload.bytes().unwrap().to_vec()));
    }
    headers
}

#[test]
fn what_goes_in_comes_out() {
    let large = vec![7; 300_000];
    let cases: [&[Row<'_>]; 5] = [
        &[(0, None, None, &[])],
        &[(5, Some(b""), Some(b""), &[]), (5, None, Some(b"x"), &[])],
        &[(1_700_000_000_000, Some(b"key"), Some(b"value"), &[("traceparent", b"00-aa"), ("empty", b"")])],
        &[(i64::MAX, Some(b"a"), None, &[]), (i64::MIN, Some(b"b"), None, &[]), (-1, Some(b"c"), None, &[])],
        &[(10, Some(b"large"), Some(&large), &[]), (9, Some(b"older"), Some(b"v"), &[])],
    ];
    for rows in cases {
        let stored = sealed(rows);
        let block = Block::open(&stored.bytes).unwrap();
        let mut position = 0;
        for (delta, (timestamp, key, value, headers)) in rows.iter().enumerate() {
            let (entry, next) = block.entry(position).unwrap().expect("a record");
            assert_eq!(entry.delta as usize, delta);
            assert_eq!((entry.timestamp, entry.key, entry.value), (*timestamp, *key, *value));
            let expected: Vec<_> = headers.iter().map(|(name, value)| (name.to_string(), value.to_vec())).collect();
            assert_eq!(headers_of(&entry), expected);
            position = next;
        }
        assert_eq!(block.entry(position).unwrap(), None);
        assert_eq!(stored.summary.count as usize, rows.len());
        assert_eq!(stored.summary.last_delta as usize, rows.len() - 1);
        assert_eq!(stored.summary.newest, rows.iter().map(|row| row.0).max().unwrap());
        assert_eq!(Summary::decode(&stored.summary.encode()), Ok(stored.summary));
    }
}

#[test]
fn offsets_may_have_gaps() {
    let mut builder = Builder::default();
    for delta in [0, 7, u32::MAX] {
        builder.push_entry(&Entry { delta, timestamp: 1, key: None, value: Some(b"v"), headers: b"" });
    }
    let stored = builder.seal(0);
    assert!(builder.is_empty(), "sealing begins a new block");
    let block = Block::open(&stored.bytes).unwrap();
    let mut deltas = Vec::new();
    let mut position = 0;
    while let Some((entry, next)) = block.entry(position).unwrap() {
        deltas.push(entry.delta);
        position = next;
    }
    assert_eq!(deltas, [0, 7, u32::MAX]);
    assert_eq!(block.last_delta, u32::MAX);
}

#[test]
fn repetition_is_compressed_and_noise_is_kept() {
    let repeated = vec![b'r'; 100_000];
    let noise: Vec<u8> = (0..100_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect();
    assert!(sealed(&[(0, None, Some(&repeated), &[])]).bytes.len() < 2_000);
    assert!(sealed(&[(0, None, Some(&noise), &[])]).bytes.len() <= 100_000 + 64);
}

#[test]
fn every_changed_or_missing_byte_is_found() {
    let stored = sealed(&[(3, Some(b"key"), Some(&[b'v'; 200]), &[]), (4, None, None, &[("h", b"1")])]).bytes;
    for at in 0..stored.len() {
        let mut changed = stored.clone();
        changed[at] ^= 0x10;
        assert!(Block::open(&changed).is_err(), "byte {at} was changed");
        assert!(Block::open(&stored[..at]).is_err(), "cut off at {at}");
    }
}

#[test]
fn nonsense_behind_a_right_checksum_is_an_error() {
    for payload in [&[0xff_u8; 20][..], &[0, 0, 9, 1], &[0, 0, 0, 0, 200]] {
        let block = Block { payload: payload.to_vec(), first_timestamp: 0, last_delta: 0, sealed_at: 0 };
        assert!(block.entry(0).is_err(), "{payload:?}");
    }
}

#[test]
fn a_timestamp_from_the_future_does_not_make_a_block_younger() {
    let mut summary = sealed(&[(5_000, None, None, &[])]).summary;
    assert_eq!(summary.aged_from(), 1_000);
    summary.newest = 20;
    assert_eq!(summary.aged_from(), 20);
}
