//! `up --demo`: a throw-away PostgreSQL with a workload that has something to find.
//!
//! [`installation`] finds the programs, [`server`] starts them in a scratch directory and removes it at the end, however
//! that comes, and [`workload`] holds one slow statement, one chain of locks, one statement whose plan flips, and some
//! planted personal data, beside an ordinary mix.

mod installation;
mod server;
mod workload;

use std::path::{Path, PathBuf};

use dbintel_config::Environment;

use self::server::Server;
use self::workload::Workload;
use crate::failure::Failure;

/// Names of the variables that the demo's configuration refers to.
const ENDPOINT: &str = "DBINTEL_DEMO_ENDPOINT";
const PASSWORD: &str = "DBINTEL_DEMO_PASSWORD";
const DIRECTORY: &str = "DBINTEL_DEMO_DIRECTORY";

/// The configuration of the demo, as it is shipped.
pub const CONFIGURATION: &str = include_str!("../../../config/files/demo.yaml");

/// A demo that runs.
pub struct Demo {
    server: Server,
    workload: Workload,
}

impl Demo {
    /// Starts the server and the workload; both end with this process.
    pub async fn start(postgres_bin: Option<&Path>, environment: &Environment) -> Result<Demo, Failure> {
        let installation = installation::find(postgres_bin, environment).map_err(Failure::runtime)?;
        let server = Server::start(&installation).await.map_err(Failure::runtime)?;
        let workload = Workload::start(&server).await.map_err(Failure::runtime)?;
        Ok(Demo { server, workload })
    }

    /// What the demo's configuration takes from the environment.
    pub fn environment(&self) -> Environment {
        Environment::from_iter(self.variables())
    }

    /// Leaves the configuration in the scratch directory, for other commands to be tried on the running demo.
    pub fn write_configuration(&self) -> std::io::Result<PathBuf> {
        let mut text = CONFIGURATION.to_owned();
        for (name, value) in self.variables() {
            text = text.replace(&format!("${{env:{name}}}"), &value);
        }
        let path = self.server.directory().join("demo.yaml");
        std::fs::write(&path, text)?;
        Ok(path)
    }

    /// Where state and the log are kept; removed at the end.
    pub fn state_directory(&self) -> PathBuf {
        self.server.directory().join("state")
    }

    /// How a person connects to look around.
    pub fn connection(&self) -> String {
        self.server.connection()
    }

    /// Ends the workload, stops the server and removes all files.
    pub async fn stop(self) {
        self.workload.stop().await;
        self.server.stop().await;
    }

    fn variables(&self) -> [(&'static str, String); 3] {
        [
            (ENDPOINT, self.server.endpoint()),
            (PASSWORD, self.server.monitor_password().to_owned()),
            (DIRECTORY, self.state_directory().display().to_string()),
        ]
    }
}
