//! Client of a schema registry with the Confluent API (Confluent, Karapace, Apicurio, Redpanda).
//!
//! Blocking and bounded: time, size and the number of schemas kept. It does not retry: whoever asks knows how long the
//! answer may take, and keeps its place meanwhile.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::Hash;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use crate::http::{Answer, HttpClient, HttpError, percent_encoded, redacted};

/// Schemas kept by id, and ids kept by subject and schema.
const KEPT_MAX: usize = 1000;
/// Characters of an answer that an error quotes.
const QUOTED_MAX: usize = 300;
/// Media type of the API.
/// The registry's own code for an id that it does not know.
const NO_SCHEMA: i64 = 40403;

const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// How to reach the registry.
#[derive(Clone)]
pub struct Config {
    /// Base address, such as `http://registry:8081` or `http://apicurio:8080/apis/ccompat/v7`.
    pub url: String,
    /// User name for basic authentication; empty for none.
    pub username: String,
    /// Password for basic authentication.
    pub password: String,
    /// PEM file with the authorities to trust; none trusts those of the system.
    pub ca_file: Option<PathBuf>,
    /// How long a call may take.
    pub timeout: Duration,
}

impl fmt::Debug for Config {
    /// Leaves out the password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Config")
            .field("url", &redacted(&self.url))
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// The registry did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// It may work later.
    #[error("the schema registry is not available: {0}")]
    Unavailable(String),
    /// The registry has no schema with this id.
    #[error("the schema registry has no schema with id {0}")]
    Unknown(u32),
    /// The schema is not compatible with the earlier ones of its subject, or not a schema.
    #[error("the schema registry refused the schema of {subject}: {message}")]
    Refused {
        /// Subject.
        subject: String,
        /// What the registry says.
        message: String,
    },
    /// It will not work until a person changes something.
    #[error("the schema registry cannot be used: {0}")]
    Unusable(String),
}

/// The registry.
#[derive(Debug)]
pub struct Registry {
    http: HttpClient,
    schemas: Mutex<Bounded<u32, Arc<str>>>,
    ids: Mutex<Bounded<(String, String), u32>>,
}

impl Registry {
    /// Nothing is asked yet.
    pub fn new(config: &Config) -> Result<Registry, RegistryError> {
        let Config { url, username, password, ca_file, timeout } = config;
        let http = HttpClient::new(url, username, password, ca_file.as_ref(), *timeout);
        Ok(Registry {
            http: http.map_err(|error| RegistryError::Unusable(error.to_string()))?,
            schemas: Mutex::default(),
            ids: Mutex::default(),
        })
    }

    /// Registers the Avro schema of a topic's values under `<topic>-value` and returns its id. The same schema always has
    /// the same id.
    pub fn register(&self, topic: &str, schema: &str) -> Result<u32, RegistryError> {
        let subject = format!("{topic}-value");
        let key = (subject.clone(), schema.to_owned());
        if let Some(id) = lock(&self.ids).get(&key) {
            return Ok(id);
        }
        let body = json!({ "schemaType": "AVRO", "schema": schema }).to_string();
        let path = format!("/subjects/{}/versions", percent_encoded(&subject));
        let answer = self.http.post(&path, MEDIA_TYPE, &body).map_err(unavailable)?;
        match answer.status {
            200 => {}
            409 | 422 => return Err(RegistryError::Refused { subject, message: quoted(&answer) }),
            _ => return Err(unexpected(&answer)),
        }
        let id = field(&answer, "id").and_then(|id| u32::try_from(id.as_u64()?).ok());
        let id = id.ok_or_else(|| RegistryError::Unavailable(format!("no id in {}", quoted(&answer))))?;
        lock(&self.ids).insert(key, id);
        Ok(id)
    }

    /// The schema with this id.
    pub fn schema(&self, id: u32) -> Result<Arc<str>, RegistryError> {
        if let Some(schema) = lock(&self.schemas).get(&id) {
            return Ok(schema);
        }
        let answer = self.http.get(&format!("/schemas/ids/{id}")).map_err(unavailable)?;
        match answer.status {
            200 => {}
            // Any other 404 is that of a proxy, and says nothing about the schema.
            404 if field(&answer, "error_code").and_then(|code| code.as_i64()) == Some(NO_SCHEMA) => {
                return Err(RegistryError::Unknown(id));
            }
            404 => return Err(RegistryError::Unavailable(format!("status 404: {}", quoted(&answer)))),
            _ => return Err(unexpected(&answer)),
        }
        let schema = field(&answer, "schema").and_then(|schema| schema.as_str().map(Arc::<str>::from));
        let schema = schema.ok_or_else(|| RegistryError::Unavailable(format!("no schema in {}", quoted(&answer))))?;
        lock(&self.schemas).insert(id, Arc::clone(&schema));
        Ok(schema)
    }
}

fn unavailable(error: HttpError) -> RegistryError {
    RegistryError::Unavailable(error.to_string())
}

fn unexpected(answer: &Answer) -> RegistryError {
    let message = format!("status {}: {}", answer.status, quoted(answer));
    match answer.status {
        408 | 425 | 429 | 500.. => RegistryError::Unavailable(message),
        401 | 403 => RegistryError::Unusable(format!("{message}: check its user name and password")),
        _ => RegistryError::Unusable(format!("{message}: check its address")),
    }
}

fn field(answer: &Answer, name: &str) -> Option<Value> {
    serde_json::from_str::<Value>(&answer.body).ok()?.get(name).cloned()
}

fn quoted(answer: &Answer) -> String {
    let message = field(answer, "message").and_then(|message| message.as_str().map(str::to_owned));
    message.unwrap_or_else(|| answer.body.clone()).chars().take(QUOTED_MAX).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The last [`KEPT_MAX`] entries.
#[derive(Debug)]
struct Bounded<K, V> {
    entries: HashMap<K, V>,
    order: VecDeque<K>,
}

impl<K, V> Default for Bounded<K, V> {
    fn default() -> Bounded<K, V> {
        Bounded { entries: HashMap::new(), order: VecDeque::new() }
    }
}

impl<K: Eq + Hash + Clone, V: Clone> Bounded<K, V> {
    fn get(&self, key: &K) -> Option<V> {
        self.entries.get(key).cloned()
    }

    fn insert(&mut self, key: K, value: V) {
        if self.entries.insert(key.clone(), value).is_some() {
            return;
        }
        self.order.push_back(key);
        if self.order.len() > KEPT_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.entries.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_entry_makes_room() {
        let mut kept = Bounded::default();
        for key in 0..=KEPT_MAX {
            kept.insert(key, key);
        }
        assert_eq!(kept.get(&0), None);
        assert_eq!(kept.get(&1), Some(1));
        assert_eq!(kept.entries.len(), KEPT_MAX);
    }

    #[test]
    fn statuses_say_what_to_do() {
        let error = |status, body: &str| unexpected(&Answer { status, body: body.to_owned() });
        assert_eq!(
            error(503, r#"{"error_code":50001,"message":"store"}"#),
            RegistryError::Unavailable("status 503: store".to_owned())
        );
        assert!(matches!(error(401, ""), RegistryError::Unusable(message) if message.contains("password")));
        assert!(matches!(error(404, "<html>"), RegistryError::Unusable(message) if message.contains("address")));
    }

    #[test]
    fn nothing_secret_is_shown() {
        let config = Config {
            url: "http://user:hidden@127.0.0.1:1/".to_owned(),
            username: "reader".to_owned(),
            password: "hidden".to_owned(),
            ca_file: None,
            timeout: Duration::from_secs(1),
        };
        assert!(!format!("{config:?}").contains("hidden"), "{config:?}");
        let registry = Registry::new(&config).expect("a registry");
        let error = registry.schema(1).expect_err("nobody listens on port 1");
        assert!(matches!(&error, RegistryError::Unavailable(message) if !message.contains("hidden")), "{error}");
    }
}
