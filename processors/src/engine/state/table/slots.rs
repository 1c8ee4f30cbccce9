//! Slots by number, in chunks that never move: growing costs no copy and leaves no hole.

use std::ops::{Index, IndexMut};

/// Slots in a chunk.
const CHUNK: usize = 1024;

/// Grows at its end.
pub struct Slots<T> {
    chunks: Vec<Vec<T>>,
}

impl<T> Slots<T> {
    /// None.
    pub fn new() -> Self {
        Self { chunks: Vec::new() }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.chunks.last().map_or(0, |last| (self.chunks.len() - 1) * CHUNK + last.len())
    }

    /// Appends one.
    pub fn push(&mut self, slot: T) {
        match self.chunks.last_mut() {
            Some(last) if last.len() < CHUNK => last.push(slot),
            _ => {
                // The first chunk grows: most tables are small.
                let mut chunk = Vec::with_capacity(if self.chunks.is_empty() { 0 } else { CHUNK });
                chunk.push(slot);
                self.chunks.push(chunk);
            }
        }
    }
}

impl<T> Index<u32> for Slots<T> {
    type Output = T;

    fn index(&self, number: u32) -> &T {
        &self.chunks[number as usize / CHUNK][number as usize % CHUNK]
    }
}

impl<T> IndexMut<u32> for Slots<T> {
    fn index_mut(&mut self, number: u32) -> &mut T {
        &mut self.chunks[number as usize / CHUNK][number as usize % CHUNK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_dense_over_chunks() {
        let mut slots = Slots::new();
        for number in 0..2 * CHUNK as u32 + 1 {
            assert_eq!(slots.len(), number as usize);
            slots.push(number);
        }
        slots[CHUNK as u32] += 1;
        assert_eq!((slots[0], slots[CHUNK as u32], slots[2 * CHUNK as u32]), (0, CHUNK as u32 + 1, 2 * CHUNK as u32));
    }
}
