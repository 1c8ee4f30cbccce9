//! How each type is read and written.

use std::fmt::Debug;

use super::output::LONG_SIZE_BOUND;
use super::{Cursor, Fault, Output};

/// A type with an encoding. The build script implements it for the records; there is no use in implementing it elsewhere.
pub trait Datum<'a>: Copy + Debug + PartialEq {
    /// Most bytes that a value takes besides its content.
    const SIZE_BOUND: usize;

    /// Reads a value off the front. It is arbitrary when the cursor has failed.
    fn read(cursor: &mut Cursor<'a>) -> Self;

    /// Bytes of content: of texts, of bytes, and of lists.
    fn content_size(&self) -> usize {
        0
    }

    /// Writes the value.
    fn write(&self, output: &mut Output<'_>);
}

impl<'a> Datum<'a> for bool {
    const SIZE_BOUND: usize = 1;

    #[inline(always)]
    fn read(cursor: &mut Cursor<'a>) -> Self {
        let [byte] = cursor.array();
        if byte > 1 {
            cursor.fail(Fault::NotABoolean);
        }
        byte == 1
    }

    #[inline]
    fn write(&self, output: &mut Output<'_>) {
        output.raw(&[u8::from(*self)]);
    }
}

impl<'a> Datum<'a> for i32 {
    const SIZE_BOUND: usize = LONG_SIZE_BOUND;

    #[inline(always)]
    fn read(cursor: &mut Cursor<'a>) -> Self {
        Self::try_from(cursor.long()).unwrap_or_else(|_| {
            cursor.fail(Fault::IntTooLarge);
            0
        })
    }

    #[inline]
    fn write(&self, output: &mut Output<'_>) {
        output.long(i64::from(*self));
    }
}

impl<'a> Datum<'a> for i64 {
    const SIZE_BOUND: usize = LONG_SIZE_BOUND;

    #[inline(always)]
    fn read(cursor: &mut Cursor<'a>) -> Self {
        cursor.long()
    }

    #[inline]
    fn write(&self, output: &mut Output<'_>) {
        output.long(*self);
    }
}

impl<'a> Datum<'a> for f64 {
    const SIZE_BOUND: usize = size_of::<Self>();

    #[inline(always)]
    fn read(cursor: &mut Cursor<'a>) -> Self {
        Self::from_le_bytes(cursor.array())
    }

    #[inline]
    fn write(&self, output: &mut Output<'_>) {
        output.raw(&self.to_le_bytes());
    }
}

impl<'a> Datum<'a> for &'a str {
    const SIZE_BOUND: usize = LONG_SIZE_BOUND;

    #[inline(always)]
    fn read(cursor: &mut Cursor<'a>) -> Self {
        str::from_utf8(cursor.bytes()).unwrap_or_else(|_| {
            cursor.fail(Fault::NotUtf8);
            ""
        })
    }

    #[inline]
    fn content_size(&self) -> usize {
        self.len()
    }

    #[inline]
    fn write(&self, output: &mut Output<'_>) {
        output.bytes(self.as_bytes());
    }
}

impl<'a> Datum<'a> for &'a [u8] {
    const SIZE_BOUND: usize = LONG_SIZE_BOUND;

    #[inline(always)]
    fn read(cursor: &mut Cursor<'a>) -> Self {
        cursor.bytes()
    }

    #[inline]
    fn content_size(&self) -> usize {
        self.len()
    }

    #[inline]
    fn write(&self, output: &mut Output<'_>) {
        output.bytes(self);
    }
}

impl<'a, const N: usize> Datum<'a> for [u8; N] {
    const SIZE_BOUND: usize = N;

    #[inline(always)]
    fn read(cursor: &mut Cursor<'a>) -> Self {
        cursor.array()
    }

    #[inline]
    fn write(&self, output: &mut Output<'_>) {
        output.raw(self);
    }
}

impl<'a, T: Datum<'a>> Datum<'a> for Option<T> {
    const SIZE_BOUND: usize = 1 + T::SIZE_BOUND;

    #[inline(always)]
    fn read(cursor: &mut Cursor<'a>) -> Self {
        if cursor.branch() { Some(T::read(cursor)) } else { None }
    }

    #[inline]
    fn content_size(&self) -> usize {
        self.as_ref().map_or(0, T::content_size)
    }

    #[inline]
    fn write(&self, output: &mut Output<'_>) {
        match self {
            None => output.long(0),
            Some(value) => {
                output.long(1);
                value.write(output);
            }
        }
    }
}

/// An entry of a map.
impl<'a> Datum<'a> for (&'a str, &'a str) {
    const SIZE_BOUND: usize = 2 * <&str>::SIZE_BOUND;

    #[inline(always)]
    fn read(cursor: &mut Cursor<'a>) -> Self {
        (Datum::read(cursor), Datum::read(cursor))
    }

    #[inline]
    fn content_size(&self) -> usize {
        self.0.len() + self.1.len()
    }

    #[inline]
    fn write(&self, output: &mut Output<'_>) {
        self.0.write(output);
        self.1.write(output);
    }
}
