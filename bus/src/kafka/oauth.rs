//! Bearer tokens for brokers: read from a file, or asked from an OpenID Connect provider.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rdkafka::client::OAuthToken;
use serde_json::Value;

use super::clock;
use super::config::Token;
use crate::http::{HttpClient, redacted};

/// How long a provider may take; the thread that polls waits for it.
const TIMEOUT: Duration = Duration::from_secs(5);

/// There is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("could not read the token file {file}: {message}")]
    File {
        /// Which file.
        file: PathBuf,
        /// What the system says.
        message: String,
    },
    /// The provider cannot be asked, or said no.
    #[error("the token endpoint {address} gave no token: {message}")]
    Endpoint {
        /// Which endpoint.
        address: String,
        /// What it says.
        message: String,
    },
    /// There is something, and it is not a token.
    #[error("the bearer token is not a JSON web token with an `exp` claim")]
    NotAToken,
}

/// Where tokens come from.
#[derive(Debug)]
pub struct Source(Token);

impl Source {
    /// None if no source is configured.
    pub fn new(token: &Token) -> Option<Source> {
        match token {
            Token::None => None,
            token => Some(Source(token.clone())),
        }
    }

    /// A fresh token.
    pub fn token(&self) -> Result<OAuthToken, TokenError> {
        match &self.0 {
            Token::None => Err(TokenError::NotAToken),
            Token::File(file) => {
                let fail = |error: std::io::Error| TokenError::File { file: file.clone(), message: error.to_string() };
                let token = std::fs::read_to_string(file).map_err(fail)?;
                described(token.trim(), None)
            }
            Token::Endpoint { url, client_id, client_secret, scope } => ask(url, client_id, client_secret, scope),
        }
    }
}

fn ask(url: &str, client_id: &str, client_secret: &str, scope: &str) -> Result<OAuthToken, TokenError> {
    let fail = |message: String| TokenError::Endpoint { address: redacted(url), message };
    let client = HttpClient::new(url, client_id, client_secret, None, TIMEOUT).map_err(|error| fail(error.message))?;
    let mut form = "grant_type=client_credentials".to_owned();
    if !scope.is_empty() {
        form.push_str("&scope=");
        form.push_str(&crate::http::percent_encoded(scope));
    }
    let answer = client.post("", "application/x-www-form-urlencoded", &form).map_err(|error| fail(error.message))?;
    if answer.status != 200 {
        return Err(fail(format!("status {}", answer.status)));
    }
    let answer: Value = serde_json::from_str(&answer.body).map_err(|_| fail("the answer is not JSON".to_owned()))?;
    let Some(token) = answer["access_token"].as_str() else {
        return Err(fail("the answer has no access_token".to_owned()));
    };
    let ends_at = answer["expires_in"].as_i64().map(|seconds| clock::unix_ms() + seconds * 1000);
    described(token, ends_at.map(|ends_at| (client_id, ends_at)))
}

/// The token with its principal and the end of its life: those that it says, else the given ones.
fn described(token: &str, known: Option<(&str, i64)>) -> Result<OAuthToken, TokenError> {
    let claims = claims(token).unwrap_or(Value::Null);
    let ends_at = claims["exp"].as_f64().map(|seconds| (seconds * 1000.0) as i64);
    let lifetime_ms = ends_at.or(known.map(|(_, ends_at)| ends_at)).ok_or(TokenError::NotAToken)?;
    let principal = claims["sub"].as_str().or(known.map(|(name, _)| name)).unwrap_or_default();
    Ok(OAuthToken { token: token.to_owned(), principal_name: principal.to_owned(), lifetime_ms })
}

fn claims(token: &str) -> Option<Value> {
    let payload = token.split('.').nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(claims: &str) -> String {
        format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn a_token_says_whose_it_is_and_how_long() {
        let token = described(&jwt(r#"{"sub":"dbintel","exp":1700000000}"#), None).expect("a token");
        assert_eq!((token.principal_name.as_str(), token.lifetime_ms), ("dbintel", 1_700_000_000_000));
        let opaque = described("opaque", Some(("client", 5))).expect("a token");
        assert_eq!((opaque.principal_name.as_str(), opaque.lifetime_ms), ("client", 5));
        assert!(matches!(described("opaque", None), Err(TokenError::NotAToken)));
    }

    #[test]
    fn errors_hold_no_secret() {
        let token = Token::Endpoint {
            url: "http://user:hidden@127.0.0.1:1/token?key=hidden".to_owned(),
            client_id: "client".to_owned(),
            client_secret: "hidden".to_owned(),
            scope: String::new(),
        };
        let error = Source::new(&token).expect("a source").token().err().expect("nobody listens on port 1");
        assert!(!error.to_string().contains("hidden"), "{error}");
        assert!(!format!("{token:?}").contains("hidden"));
    }
}
