//! A schema registry that speaks the Confluent API: Apicurio, with everything in memory.

use std::sync::OnceLock;

use serde_json::{Value, json};

use super::{HOST, installed, text};
use crate::process::{Process, Program};
use crate::scratch::Scratch;
use crate::{http, ports};

const API: &str = "/apis/ccompat/v7";
const CONTENT_TYPE: (&str, &str) = ("Content-Type", "application/vnd.schemaregistry.v1+json");

/// A registry; its process ends with the value.
#[derive(Debug)]
pub struct Registry {
    /// The base of the Confluent API, for `schema.registry.url`.
    pub url: String,
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    /// The registry's process.
    pub process: Process,
    _scratch: Scratch,
}

impl Registry {
    /// Starts an empty registry, in about 3 seconds. Compatibility is `NONE` until it is set.
    ///
    /// # Panics
    /// If it is not installed or does not start.
    #[must_use]
    pub fn start() -> Registry {
        let jar = installed("registry").join("apicurio-registry-app-3.0.9-runner.jar");
        let scratch = Scratch::new("registry");
        let port = ports::free();
        let program = Program::new("java", scratch.path())
            .arguments(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"])
            .arguments([format!("-Dquarkus.http.host={HOST}"), format!("-Dquarkus.http.port={port}")])
            .arguments(["-jar".to_owned(), text(&jar)]);
        let mut process = Process::start(program);
        process.wait_until(|_| http::get(port, "/health/ready").is_ok_and(|response| response.status == 200));
        Registry { url: format!("http://{HOST}:{port}{API}"), port, process, _scratch: scratch }
    }

    /// One registry for all tests of a process that do not stop it. Use subjects of your own.
    ///
    /// # Panics
    /// As [`Registry::start`].
    pub fn shared() -> &'static Registry {
        static SHARED: OnceLock<Registry> = OnceLock::new();
        SHARED.get_or_init(Registry::start)
    }

    /// Registers an Avro schema and gives its id.
    ///
    /// # Panics
    /// If the registry refuses.
    #[must_use]
    pub fn register(&self, subject: &str, schema: &str) -> u32 {
        let path = format!("{API}/subjects/{subject}/versions");
        let body = json!({ "schema": schema }).to_string();
        let response = http::post(self.port, &path, &[CONTENT_TYPE], body.as_bytes()).expect("the registry answers");
        let answer = parse(&response);
        let id = answer["id"].as_u64().and_then(|id| u32::try_from(id).ok());
        id.unwrap_or_else(|| panic!("the registry refused {subject}: {answer}"))
    }

    /// The schema of that id, if the registry has it.
    ///
    /// # Panics
    /// If the registry does not answer.
    #[must_use]
    pub fn schema(&self, id: u32) -> Option<String> {
        let response = http::get(self.port, &format!("{API}/schemas/ids/{id}")).expect("the registry answers");
        parse(&response)["schema"].as_str().map(str::to_owned)
    }
}

fn parse(response: &http::Response) -> Value {
    serde_json::from_slice(&response.body).unwrap_or_else(|_| panic!("the registry answers {}", response.text()))
}
