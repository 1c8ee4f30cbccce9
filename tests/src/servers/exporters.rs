//! The exporters of PostgreSQL and MySQL for Prometheus, as second opinions on what a server says.

use std::collections::BTreeMap;

use super::{HOST, installed};
use crate::process::{Process, Program};
use crate::scratch::Scratch;
use crate::{http, ports};

/// An exporter that looks at one server; its process ends with the value.
#[derive(Debug)]
pub struct Exporter {
    port: u16,
    /// Its process.
    pub process: Process,
    _scratch: Scratch,
}

/// Values by name and labels, such as `up` and `{}`, or `x` and `{a="b"}`.
pub type Samples = BTreeMap<(String, String), f64>;

impl Exporter {
    /// Looks at PostgreSQL on this port, as the superuser, at one database.
    ///
    /// # Panics
    /// If it is not installed or does not start.
    #[must_use]
    pub fn of_postgres(port: u16, database: &str) -> Exporter {
        let name = format!("postgresql://postgres@{HOST}:{port}/{database}?sslmode=disable");
        Exporter::start("prometheus-postgres-exporter", &[], ("DATA_SOURCE_NAME", &name))
    }

    /// Looks at MySQL or MariaDB on this port.
    ///
    /// # Panics
    /// As [`Exporter::of_postgres`].
    #[must_use]
    pub fn of_mysql(port: u16, user: &str, password: &str) -> Exporter {
        let name = format!("{user}:{password}@({HOST}:{port})/");
        let collect = ["--collect.perf_schema.tableiowaits", "--collect.perf_schema.indexiowaits"];
        Exporter::start("prometheus-mysqld-exporter", &collect, ("DATA_SOURCE_NAME", &name))
    }

    fn start(program: &str, arguments: &[&str], (name, value): (&str, &str)) -> Exporter {
        let (scratch, port) = (Scratch::new("exporter"), ports::free());
        let path = installed("exporters").join("usr/bin").join(program);
        let mut program = Program::new(path, scratch.path())
            .arguments([format!("--web.listen-address={HOST}:{port}")])
            .arguments(arguments.iter().copied());
        program.environment.push((name.to_owned(), value.to_owned()));
        let mut process = Process::start(program);
        process.wait_until(|_| http::get(port, "/").is_ok_and(|response| response.status == 200));
        Exporter { port, process, _scratch: scratch }
    }

    /// What it says now.
    ///
    /// # Panics
    /// If it does not answer.
    #[must_use]
    pub fn samples(&self) -> Samples {
        let response = http::get(self.port, "/metrics").expect("the exporter answers");
        let text = response.text();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let sample = |line: &str| {
            let (name, value) = line.rsplit_once(' ')?;
            let (name, labels) = name.split_once('{').unwrap_or((name, "}"));
            Some(((name.to_owned(), format!("{{{labels}")), value.parse().ok()?))
        };
        lines.filter_map(sample).collect()
    }
}
