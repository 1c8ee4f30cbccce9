//! The container files, read into what the tests ask for.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use dbintel_config::{Document, Environment, Node, Value as Yaml};
use serde_json::Value;

/// The checkout.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A file of the checkout.
pub fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A YAML file of the checkout that has these keys at most. All scalars come out as text.
pub fn yaml(path: &str, keys: &[&str]) -> Value {
    let document = Document::from_text(path, &text(path), &Environment::empty()).unwrap();
    let loaded = document.read(|section| {
        let value = |key: &&str| Some(((*key).to_owned(), json(&section.raw(key)?)));
        keys.iter().filter_map(value).collect()
    });
    Value::Object(loaded.unwrap().config)
}

fn json(node: &Node) -> Value {
    match &node.value {
        Yaml::Scalar(scalar) => Value::String(scalar.text().to_owned()),
        Yaml::Sequence(items) => items.iter().map(json).collect(),
        Yaml::Mapping(entries) => {
            entries.iter().map(|entry| (entry.key.text().to_owned(), json(&entry.value))).collect()
        }
    }
}

/// A list of texts; empty if there is none.
pub fn list(value: &Value) -> Vec<String> {
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().map(|item| item.as_str().unwrap().to_owned()).collect()
}

fn map(value: &Value) -> BTreeMap<String, String> {
    let entries = value.as_object().into_iter().flatten();
    entries.map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned())).collect()
}

/// `docker-compose.yml`.
pub struct Compose {
    pub services: BTreeMap<String, Service>,
    pub volumes: Vec<String>,
}

/// One service.
pub struct Service {
    pub name: String,
    pub image: String,
    pub command: Vec<String>,
    pub environment: BTreeMap<String, String>,
    pub ports: Vec<String>,
    pub volumes: Vec<String>,
    pub depends_on: Vec<String>,
    pub healthcheck: Vec<String>,
}

impl Compose {
    pub fn read() -> Compose {
        let file = yaml("docker-compose.yml", &["x-dbintel", "services", "volumes"]);
        let services = file["services"].as_object().unwrap().iter();
        let services = services.map(|(name, value)| (name.clone(), Service::of(name, value))).collect();
        Compose { services, volumes: file["volumes"].as_object().unwrap().keys().cloned().collect() }
    }
}

impl Service {
    fn of(name: &str, value: &Value) -> Service {
        Service {
            name: name.to_owned(),
            image: value["image"].as_str().unwrap().to_owned(),
            command: list(&value["command"]),
            environment: map(&value["environment"]),
            ports: list(&value["ports"]),
            volumes: list(&value["volumes"]),
            depends_on: value["depends_on"].as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect(),
            healthcheck: list(&value["healthcheck"]["test"]),
        }
    }
}

/// `Dockerfile`: its instructions with what follows each.
pub struct Dockerfile(Vec<(String, String)>);

impl Dockerfile {
    pub fn read() -> Dockerfile {
        let text = text("Dockerfile").replace("\\\n", " ");
        let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
        let split = |line: &str| line.split_once(' ').map(|(name, rest)| (name.to_owned(), rest.trim().to_owned()));
        Dockerfile(lines.map(|line| split(line).unwrap()).collect())
    }

    /// What follows each instruction of that name.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(instruction, _)| instruction == name).map(|(_, rest)| rest.as_str()).collect()
    }

    /// What follows the only instruction of that name.
    pub fn one(&self, name: &str) -> &str {
        let all = self.all(name);
        let [one] = all.as_slice() else { panic!("{} times {name}", all.len()) };
        one
    }

    /// The words of an instruction in its JSON form.
    pub fn words(&self, name: &str) -> Vec<String> {
        list(&serde_json::from_str(self.one(name)).unwrap())
    }

    /// The variables of `ENV`.
    pub fn environment(&self) -> BTreeMap<String, String> {
        let pairs = self.all("ENV").into_iter().flat_map(str::split_whitespace);
        pairs
            .map(|pair| pair.split_once('=').unwrap())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }
}
