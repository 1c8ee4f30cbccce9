//! The least HTTP client that serves for loopback: one request per connection, blocking.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(10);

/// What a server answered.
#[derive(Debug)]
pub struct Response {
    /// The status code, such as 200.
    pub status: u16,
    /// Names in lower case, in the order received.
    pub headers: Vec<(String, String)>,
    /// The body as sent.
    pub body: Vec<u8>,
}

impl Response {
    /// The body as text, with marks in place of what is not UTF-8.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The first header of that (lower case) name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Asks `127.0.0.1:port` for `path`.
///
/// # Errors
/// If nothing listens, or what comes is not HTTP, or takes longer than 10 seconds.
pub fn get(port: u16, path: &str) -> io::Result<Response> {
    request("GET", port, path, &[], b"")
}

/// Sends `body` to `127.0.0.1:port`.
///
/// # Errors
/// As [`get`].
pub fn post(port: u16, path: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Response> {
    request("POST", port, path, headers, body)
}

fn request(method: &str, port: u16, path: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Response> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;

    // HTTP/1.0: the server sends no chunks and closes the connection at the end.
    let mut head = format!("{method} {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;

    let mut received = Vec::new();
    stream.read_to_end(&mut received)?;
    parse(&received).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP"))
}

fn parse(received: &[u8]) -> Option<Response> {
    let head_end = received.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&received[..head_end]).ok()?;
    let (status_line, header_lines) = head.split_once("\r\n").unwrap_or((head, ""));
    let status = status_line.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    let headers = header_lines
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Some(Response { status, headers, body: received[head_end + 4..].to_vec() })
}

/// Writes each byte that is not a letter or a digit as `%XX`, for use in a query string.
#[must_use]
pub fn percent_encode(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_parsed() {
        let response = parse(b"HTTP/1.1 429 Too Many\r\nRetry-After: 3\r\n\r\nlater").unwrap();
        assert_eq!((response.status, response.header("retry-after")), (429, Some("3")));
        assert_eq!(response.text(), "later");
        assert_eq!(parse(b"HTTP/1.1 204\r\n\r\n").unwrap().status, 204);
        for not_http in [&b""[..], b"SSH-2.0", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 x\r\n\r\n"] {
            assert!(parse(not_http).is_none(), "{not_http:?}");
        }
    }

    #[test]
    fn queries_are_encoded() {
        assert_eq!(percent_encode("rate(a[1m]) > 0"), "rate%28a%5B1m%5D%29%20%3E%200");
    }
}
