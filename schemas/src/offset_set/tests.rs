use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::*;

fn set_of(offsets: impl IntoIterator<Item = i64>) -> OffsetSet {
    let mut set = OffsetSet::new();
    offsets.into_iter().for_each(|offset| set.push(offset).unwrap());
    set
}

fn encoded(set: &OffsetSet, first_offset: i64) -> Vec<u8> {
    let mut bytes = Vec::new();
    set.encode(first_offset, &mut bytes);
    bytes
}

#[test]
fn the_smaller_form_is_written() {
    let cases: [(OffsetSet, i64, &[u8]); 6] = [
        (set_of([]), 5, &[0]),
        (set_of([5]), 5, &[1, 0, 0]),
        (set_of([300]), 0, &[1, 0xac, 2, 0]),
        (set_of(1000..2000), 1000, &[1, 0, 0xe7, 7]),
        (set_of([7, 8, 10]), 5, &[2, 2, 0b1011]),
        (set_of((0..20).step_by(2)), 0, &[2, 0, 0x55, 0x55, 0b101]),
    ];
    for (set, first_offset, expected) in cases {
        assert_eq!(encoded(&set, first_offset), expected, "{set:?}");
        assert_eq!(OffsetSet::decode(first_offset, expected), Ok(set));
    }
}

#[test]
fn offsets_only_ascend() {
    let mut set = set_of([3, 4]);
    assert_eq!(set.push(4), Err(PushError::NotAscending { offset: 4, last: 4 }));
    assert_eq!(set.push(-1), Err(PushError::NotAscending { offset: -1, last: 4 }));
    assert_eq!(set, set_of([3, 4]));
}

#[test]
fn broken_bytes_are_refused() {
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    let cases: [(Vec<u8>, OffsetSetError); 10] = [
        (vec![], OffsetSetError::UnknownTag),
        (vec![3, 0], OffsetSetError::UnknownTag),
        (vec![0, 0], OffsetSetError::NotAsWritten),
        (vec![1], OffsetSetError::NotAsWritten),
        (vec![1, 0], OffsetSetError::BrokenNumber),
        (vec![1, 0, 0, 0, 0], OffsetSetError::NotAsWritten),
        (vec![2, 0, 0, 0], OffsetSetError::NotAsWritten),
        ([&[1], &huge[..], &[0]].concat(), OffsetSetError::OffsetTooLarge),
        ([&[1, 0], &huge[..]].concat(), OffsetSetError::TooManyOffsets),
        ([&[2], &huge[..], &[1]].concat(), OffsetSetError::OffsetTooLarge),
    ];
    for (bytes, expected) in cases {
        assert_eq!(OffsetSet::decode(0, &bytes), Err(expected), "{bytes:?}");
    }
}

#[test]
fn a_set_far_apart_stays_small() {
    let set = set_of([0, i64::MAX - 1]);
    let bytes = encoded(&set, 0);
    assert!(bytes.len() < 16, "{}", bytes.len());
    assert_eq!(OffsetSet::decode(0, &bytes), Ok(set));
}

proptest! {
    #[test]
    fn encoding_keeps_the_set(offsets in btree_set(-300_i64..300, 0..200), before in 0_i64..500) {
        let set = set_of(offsets.iter().copied());
        let first_offset = offsets.first().copied().unwrap_or(0) - before;
        let decoded = OffsetSet::decode(first_offset, &encoded(&set, first_offset));
        prop_assert_eq!(decoded.as_ref(), Ok(&set));
        prop_assert_eq!(set.len(), offsets.len() as u64);
        prop_assert_eq!(set.iter().collect::<Vec<_>>(), offsets.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn contains_is_that_of_a_set(outer in btree_set(0_i64..60, 0..60), inner in btree_set(0_i64..60, 0..20)) {
        let set = set_of(outer.iter().copied());
        for offset in -1..61 {
            prop_assert_eq!(set.contains(offset), outer.contains(&offset));
        }
        prop_assert_eq!(set.contains_all(&set_of(inner.iter().copied())), inner.is_subset(&outer));
        prop_assert!(set.contains_all(&set_of(outer.iter().copied().step_by(2))));
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(first_offset: i64, tag in 0_u8..4, rest in vec(any::<u8>(), 0..64)) {
        let bytes = [&[tag], rest.as_slice()].concat();
        if let Ok(set) = OffsetSet::decode(first_offset, &bytes) {
            prop_assert!(set.len() <= OFFSETS_MAX);
            prop_assert_eq!(OffsetSet::decode(first_offset, &encoded(&set, first_offset)), Ok(set));
        }
    }
}
