//! Numbers and byte strings inside a block.

use super::Damaged;

/// Reads a payload from a position on.
pub(super) struct Payload<'a> {
    pub bytes: &'a [u8],
    pub position: usize,
}

impl<'a> Payload<'a> {
    pub fn finished(&self) -> bool {
        self.position >= self.bytes.len()
    }

    pub fn number(&mut self) -> Result<u64, Damaged> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(self.position).ok_or(Damaged("a number is cut off"))?;
            self.position += 1;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Damaged("a number does not end"))
    }

    pub fn bytes(&mut self) -> Result<&'a [u8], Damaged> {
        let length = self.number()?;
        self.take(length)
    }

    pub fn optional(&mut self) -> Result<Option<&'a [u8]>, Damaged> {
        match self.number()? {
            0 => Ok(None),
            length => self.take(length - 1).map(Some),
        }
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Damaged> {
        let end = usize::try_from(length).ok().and_then(|length| self.position.checked_add(length));
        let taken = end.and_then(|end| self.bytes.get(self.position..end)).ok_or(Damaged("a field is cut off"))?;
        self.position += taken.len();
        Ok(taken)
    }
}

/// Appends a number.
pub(super) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

/// Appends bytes after their length.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends bytes after their length + 1, or 0 for none.
pub(super) fn put_optional(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => out.push(0),
        Some(bytes) => {
            put_number(out, bytes.len() as u64 + 1);
            out.extend_from_slice(bytes);
        }
    }
}
