//! The encoding of a set: see the module above.

use std::ops::Range;

use super::{OFFSETS_MAX, OffsetSet, OffsetSetError};

const EMPTY_TAG: u8 = 0;
const RUNS_TAG: u8 = 1;
const BITMAP_TAG: u8 = 2;

pub(super) fn encode(runs: &[Range<i64>], first_offset: i64, out: &mut Vec<u8>) {
    let (Some(first), Some(last)) = (runs.first(), runs.last()) else {
        return out.push(EMPTY_TAG);
    };
    assert!(first_offset <= first.start, "offset {} is encoded relative to {first_offset}", first.start);
    let bits = first.start.abs_diff(last.end);
    let bitmap_size = varint_size(first_offset.abs_diff(first.start)) + bits.div_ceil(8);
    if run_fields(runs, first_offset).map(varint_size).sum::<u64>() <= bitmap_size {
        out.push(RUNS_TAG);
        run_fields(runs, first_offset).for_each(|field| write_varint(field, out));
    } else {
        out.push(BITMAP_TAG);
        write_varint(first_offset.abs_diff(first.start), out);
        write_bitmap(runs, first.start, bits, out);
    }
}

/// Gap and length less one of each run.
fn run_fields(runs: &[Range<i64>], first_offset: i64) -> impl Iterator<Item = u64> + '_ {
    let ends = std::iter::once(first_offset).chain(runs.iter().map(|run| run.end));
    runs.iter().zip(ends).flat_map(|(run, before)| [before.abs_diff(run.start), run.start.abs_diff(run.end) - 1])
}

/// The caller has found the bitmap to be smaller than the runs, so that it is not large.
fn write_bitmap(runs: &[Range<i64>], start: i64, bits: u64, out: &mut Vec<u8>) {
    let base = out.len();
    out.resize(base + index(bits.div_ceil(8)), 0);
    for offset in runs.iter().cloned().flatten() {
        let bit = start.abs_diff(offset);
        out[base + index(bit / 8)] |= 1 << (bit % 8);
    }
}

pub(super) fn decode(first_offset: i64, bytes: &[u8]) -> Result<OffsetSet, OffsetSetError> {
    match bytes {
        [EMPTY_TAG] => Ok(OffsetSet::new()),
        [EMPTY_TAG, ..] => Err(OffsetSetError::NotAsWritten),
        [RUNS_TAG, runs @ ..] => decode_runs(first_offset, runs),
        [BITMAP_TAG, bitmap @ ..] => decode_bitmap(first_offset, bitmap),
        _ => Err(OffsetSetError::UnknownTag),
    }
}

fn decode_runs(first_offset: i64, mut bytes: &[u8]) -> Result<OffsetSet, OffsetSetError> {
    let mut set = OffsetSet::new();
    let mut end = first_offset;
    while !bytes.is_empty() {
        let start = after(end, read_varint(&mut bytes)?)?;
        if start == end && !set.runs.is_empty() {
            return Err(OffsetSetError::NotAsWritten);
        }
        let length_less_one = read_varint(&mut bytes)?;
        set.length = set.length.saturating_add(length_less_one).saturating_add(1);
        if set.length > OFFSETS_MAX {
            return Err(OffsetSetError::TooManyOffsets);
        }
        end = after(start, length_less_one + 1)?;
        set.runs.push(start..end);
    }
    not_empty(set)
}

fn decode_bitmap(first_offset: i64, mut bytes: &[u8]) -> Result<OffsetSet, OffsetSetError> {
    let mut set = OffsetSet::new();
    let start = after(first_offset, read_varint(&mut bytes)?)?;
    after(start, bytes.len() as u64 * 8)?;
    let set_bits = bytes.iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>();
    if set_bits > OFFSETS_MAX {
        return Err(OffsetSetError::TooManyOffsets);
    }
    for (bit, offset) in (start..).take(bytes.len() * 8).enumerate() {
        if bytes[bit / 8] & (1 << (bit % 8)) != 0 {
            set.push(offset).map_err(|_| OffsetSetError::NotAsWritten)?;
        }
    }
    not_empty(set)
}

fn not_empty(set: OffsetSet) -> Result<OffsetSet, OffsetSetError> {
    if set.is_empty() { Err(OffsetSetError::NotAsWritten) } else { Ok(set) }
}

fn after(offset: i64, distance: u64) -> Result<i64, OffsetSetError> {
    offset.checked_add_unsigned(distance).ok_or(OffsetSetError::OffsetTooLarge)
}

fn varint_size(value: u64) -> u64 {
    u64::from((value | 1).ilog2()) / 7 + 1
}

fn write_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

fn read_varint(bytes: &mut &[u8]) -> Result<u64, OffsetSetError> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or(OffsetSetError::BrokenNumber)?;
        *bytes = rest;
        let group = u64::from(byte & 0x7f);
        if shift == 63 && group > 1 {
            return Err(OffsetSetError::BrokenNumber);
        }
        value |= group << shift;
        if *byte < 0x80 {
            return Ok(value);
        }
    }
    Err(OffsetSetError::BrokenNumber)
}

/// A position within a bitmap in memory.
fn index(position: u64) -> usize {
    usize::try_from(position).expect("a bitmap is no larger than the runs, which are in memory")
}
