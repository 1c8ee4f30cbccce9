//! Where a receiver is.

/// A parsed endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Whether to speak TLS.
    pub secure: bool,
    /// Host name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Path of a URL, without a slash at its end.
    pub path: String,
}

/// An endpoint cannot be understood. Holds it with a mask over what may be secret.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not an endpoint: write host:port, or a URL that begins with http:// or https://")]
pub struct EndpointError(String);

impl EndpointError {
    /// Masks what stands before an `@` or behind a `?`.
    pub fn new(text: &str) -> Self {
        let (scheme, rest) = text.split_at(text.find("://").map_or(0, |at| at + "://".len()));
        let (user, rest) = rest.rsplit_once('@').map_or(("", rest), |(_, rest)| ("****@", rest));
        let (rest, query) = rest.split_once('?').map_or((rest, ""), |(rest, _)| (rest, "?****"));
        EndpointError(format!("{scheme}{user}{rest}{query}"))
    }
}

impl Endpoint {
    /// Parses `host:port` or a URL. Without a scheme, `secure` decides; without a port, the scheme's or `port`.
    pub fn parse(text: &str, secure: bool, port: u16) -> Result<Endpoint, EndpointError> {
        let wrong = || EndpointError::new(text);
        let (secure, port, rest) = match text.split_once("://") {
            Some(("https", rest)) => (true, 443, rest),
            Some(("http", rest)) => (false, 80, rest),
            Some(_) => return Err(wrong()),
            None => (secure, port, text),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, number)) if !number.ends_with(']') => (host, number.parse().map_err(|_| wrong())?),
            _ => (authority, port),
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let is_odd = |character: char| character.is_whitespace() || "@?#[]".contains(character);
        if host.is_empty() || host.contains(is_odd) || path.contains(char::is_whitespace) {
            return Err(wrong());
        }
        Ok(Endpoint { secure, host: host.to_owned(), port, path: path.trim_end_matches('/').to_owned() })
    }

    /// Host and port as they stand in a URL.
    pub fn authority(&self) -> String {
        let Endpoint { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_what_users_write() {
        let cases = [
            ("otlp.nr-data.net:4317", true, "otlp.nr-data.net", 4317, ""),
            ("localhost", true, "localhost", 9, ""),
            ("http://localhost:4318", false, "localhost", 4318, ""),
            ("http://localhost", false, "localhost", 80, ""),
            ("https://otlp.nr-data.net", true, "otlp.nr-data.net", 443, ""),
            ("https://gateway:8443/otlp/", true, "gateway", 8443, "/otlp"),
            ("[::1]:4317", true, "::1", 4317, ""),
            ("http://[::1]/v", false, "::1", 80, "/v"),
        ];
        for (text, secure, host, port, path) in cases {
            let expected = Endpoint { secure, host: host.to_owned(), port, path: path.to_owned() };
            assert_eq!(Endpoint::parse(text, true, 9), Ok(expected), "{text}");
        }
        assert!(!Endpoint::parse("localhost:1", false, 9).unwrap().secure);
        assert_eq!(Endpoint::parse("[::1]:4317", true, 9).unwrap().authority(), "[::1]:4317");
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        for text in ["", "grpc://a:1", "a:b", "a:99999", ":4317", "a b:1", "http://", "http://a/b c"] {
            assert_eq!(Endpoint::parse(text, true, 9), Err(EndpointError(text.to_owned())));
        }
    }

    #[test]
    fn what_is_refused_is_shown_without_secrets() {
        let cases = [
            ("user:hunter2@host:1", "****@host:1"),
            ("https://user:hunter2@host:1/v", "https://****@host:1/v"),
            ("https://user:hun/ter2@host", "https://****@host"),
            ("https://user:hun@ter2@host", "https://****@host"),
            ("https://user:hun?ter2@host", "https://****@host"),
            ("https://host?key=hunter2", "https://host?****"),
            ("grpc://hunter2@host:1", "grpc://****@host:1"),
        ];
        for (text, shown) in cases {
            assert_eq!(Endpoint::parse(text, true, 9), Err(EndpointError(shown.to_owned())), "{text}");
        }
    }
}
