//! How the fields of stored values are written and read: a version, then integers of as few bytes as they need, and texts.

use super::StateError;

/// Appends an integer: zigzag, seven bits a byte.
pub fn write_number(out: &mut Vec<u8>, number: i64) {
    write_unsigned(out, ((number << 1) ^ (number >> 63)) as u64);
}

/// Appends an integer without a sign: LEB128.
pub fn write_unsigned(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Takes what [`write_unsigned`] wrote; none when it is cut or longer than any integer.
pub fn read_unsigned(input: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = input.split_first()?;
        *input = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// The integer that zigzag made of it.
pub fn zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Appends an integer that may be absent.
pub fn write_optional(out: &mut Vec<u8>, number: Option<i64>) {
    out.push(u8::from(number.is_some()));
    if let Some(number) = number {
        write_number(out, number);
    }
}

/// Appends a text, with its length in front.
pub fn write_text(out: &mut Vec<u8>, text: &str) {
    write_number(out, text.len() as i64);
    out.extend_from_slice(text.as_bytes());
}

/// The fields of a stored value that are not read yet.
pub struct Fields<'a> {
    bytes: &'a [u8],
    table: &'static str,
}

impl<'a> Fields<'a> {
    /// Fields of a value of `table`, whose first byte has to be `version`.
    pub fn of(table: &'static str, version: u8, bytes: &'a [u8]) -> Result<Self, StateError> {
        let mut fields = Self { bytes, table };
        match fields.byte()? {
            found if found == version => Ok(fields),
            other => Err(fields.error(format!("version {other} is not known"))),
        }
    }

    /// All fields are read.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// A byte.
    pub fn byte(&mut self) -> Result<u8, StateError> {
        let (first, rest) = self.bytes.split_first().ok_or_else(|| self.cut())?;
        self.bytes = rest;
        Ok(*first)
    }

    /// Eight bytes, little end first.
    pub fn fixed(&mut self) -> Result<u64, StateError> {
        let (first, rest) = self.bytes.split_first_chunk::<8>().ok_or_else(|| self.cut())?;
        self.bytes = rest;
        Ok(u64::from_le_bytes(*first))
    }

    /// What [`write_number`] wrote.
    pub fn number(&mut self) -> Result<i64, StateError> {
        read_unsigned(&mut self.bytes).map(zigzag).ok_or_else(|| self.cut())
    }

    /// How many of something follow: LEB128.
    pub fn count(&mut self) -> Result<usize, StateError> {
        read_unsigned(&mut self.bytes).and_then(|count| count.try_into().ok()).ok_or_else(|| self.cut())
    }

    /// What [`write_optional`] wrote.
    pub fn optional(&mut self) -> Result<Option<i64>, StateError> {
        Ok(if self.byte()? == 0 { None } else { Some(self.number()?) })
    }

    /// What [`write_text`] wrote.
    pub fn text(&mut self) -> Result<&'a str, StateError> {
        let length = usize::try_from(self.number()?).map_err(|_| self.cut())?;
        let (text, rest) = self.bytes.split_at_checked(length).ok_or_else(|| self.cut())?;
        self.bytes = rest;
        std::str::from_utf8(text).map_err(|_| self.cut())
    }

    /// Something is wrong with the value.
    pub fn error(&self, detail: String) -> StateError {
        StateError::Decode { table: self.table.into(), detail }
    }

    fn cut(&self) -> StateError {
        self.error("the value is cut or damaged".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_read_back_and_cut_ones_are_refused() {
        let mut out = vec![3];
        for number in [0, -1, i64::MIN, i64::MAX, 300] {
            write_number(&mut out, number);
        }
        write_optional(&mut out, None);
        write_optional(&mut out, Some(-7));
        write_text(&mut out, "Straße");
        let mut fields = Fields::of("t", 3, &out).unwrap();
        for number in [0, -1, i64::MIN, i64::MAX, 300] {
            assert_eq!(fields.number().unwrap(), number);
        }
        assert_eq!((fields.optional().unwrap(), fields.optional().unwrap()), (None, Some(-7)));
        assert_eq!(fields.text().unwrap(), "Straße");
        assert!(fields.is_empty() && fields.byte().is_err());
        assert!(Fields::of("t", 2, &out).is_err());
        assert!(Fields::of("t", 2, &[2, 4, b'a']).unwrap().text().is_err(), "shorter than its length");
    }
}
