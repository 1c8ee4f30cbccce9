//! The trace context in comments: W3C Trace Context, <https://www.w3.org/TR/trace-context/#traceparent-header>.

use std::fmt;

use crate::Traceparent;

const LENGTH: usize = 55;

impl Traceparent {
    /// Reads the value of the header. Identities of zeros, upper case and unknown shapes are refused; of versions later than
    /// 00 the part that is known is read.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (head, tail) = value.split_at_checked(LENGTH)?;
        let has_dashes = head[2] == b'-' && head[35] == b'-' && head[52] == b'-';
        let version = hexadecimal(&head[..2])?;
        let fits_version = if version == 0 { tail.is_empty() } else { tail.is_empty() || tail[0] == b'-' };
        if !has_dashes || version == 0xff || !fits_version {
            return None;
        }
        let trace_id = hexadecimal(&head[3..35]).filter(|id| *id != 0)?;
        let parent_id = u64::try_from(hexadecimal(&head[36..52])?).ok().filter(|id| *id != 0)?;
        let flags = u8::try_from(hexadecimal(&head[53..])?).ok()?;
        Some(Self { trace_id, parent_id, flags })
    }
}

impl fmt::Display for Traceparent {
    /// As the header has it, version 00.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.parent_id, self.flags)
    }
}

fn hexadecimal(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0_u128, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_specification_allows_is_read() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let read = Traceparent::parse(good.as_bytes()).unwrap();
        assert_eq!(read.parent_id, 0xb7ad_6b71_6920_3331);
        assert_eq!(read.to_string(), good);
        let later = "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what";
        assert_eq!(Traceparent::parse(later.as_bytes()), Some(read));
        for bad in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01what",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
        ] {
            assert_eq!(Traceparent::parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
