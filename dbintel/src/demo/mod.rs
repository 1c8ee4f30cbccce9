//! `up --demo`: a throw-away PostgreSQL with a workload that has something to find.
//!
//! [`installation`] finds the programs, [`server`] starts them in a scratch directory and removes it at the end, however
//! that comes, and [`workload`] holds one slow statement, one chain of locks, one statement whose plan flips, and some
//! planted personal data, beside an ordinary mix.

mod installation;
mod server;
mod workload;

use std::path::{Path, PathBuf, absolute};

use dbintel_config::Environment;

use self::server::Server;
use self::workload::Workload;
use crate::cli::UpArguments;
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
    /// Where state and the log are kept: removed at the end, unless the user chose it.
    state_directory: PathBuf,
}

impl Demo {
    /// Starts the server and the workload; both end with this process.
    pub async fn start(arguments: &UpArguments, environment: &Environment) -> Result<Demo, Failure> {
        let postgres_bin = arguments.postgres_bin.as_deref();
        let installation = installation::find(postgres_bin, environment).map_err(Failure::runtime)?;
        let chosen = arguments.serve.config.state_directory.as_ref().map(absolute).transpose();
        let chosen = chosen.map_err(Failure::runtime)?;
        let server = Server::start(&installation).await.map_err(Failure::runtime)?;
        let workload = Workload::start(&server).await.map_err(Failure::runtime)?;
        let state_directory = chosen.unwrap_or_else(|| server.directory().join("state"));
        Ok(Demo { server, workload, state_directory })
    }

    /// What the demo's configuration takes from the environment.
    pub fn environment(&self) -> Environment {
        Environment::from_iter(self.variables())
    }

    /// What a person can try meanwhile, line by line, with commands that work where they are.
    pub fn hints(&self, environment: &Environment) -> std::io::Result<Vec<String>> {
        let path = environment.get("PATH").unwrap_or_default();
        let configuration = self.write_configuration()?;
        let dbintel = spelling(&std::env::current_exe()?, path);
        let tap = format!("{dbintel} tap enriched.queries --from -1m --config {}", configuration.display());
        let has_psql = path.split(':').any(|folder| Path::new(folder).join("psql").is_file());
        let psql = has_psql.then(|| format!("  database {}", self.server.connection()));
        Ok(psql.into_iter().chain([format!("  try      {tap}")]).collect())
    }

    /// Leaves the configuration in the scratch directory, for other commands to be tried on the running demo.
    fn write_configuration(&self) -> std::io::Result<PathBuf> {
        let mut text = CONFIGURATION.to_owned();
        for (name, value) in self.variables() {
            text = text.replace(&format!("${{env:{name}}}"), &value);
        }
        let path = self.server.directory().join("demo.yaml");
        std::fs::write(&path, text)?;
        Ok(path)
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
            (DIRECTORY, self.state_directory.display().to_string()),
        ]
    }
}

/// How a program is called: by its name if that is what PATH gives, otherwise by its path.
fn spelling(program: &Path, path: &str) -> String {
    let name = program.file_name().unwrap_or_default();
    let found = path.split(':').map(|folder| Path::new(folder).join(name)).find(|candidate| candidate.is_file());
    let is_it = found.is_some_and(|found| found.canonicalize().is_ok_and(|found| found == program));
    if is_it { name.display().to_string() } else { program.display().to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_called_by_its_name_where_that_finds_it() {
        let folder = tempfile::tempdir().unwrap();
        let (here, other) = (folder.path().join("here"), folder.path().join("other"));
        for place in [&here, &other] {
            std::fs::create_dir(place).unwrap();
            std::fs::write(place.join("dbintel"), "").unwrap();
        }
        let program = here.join("dbintel").canonicalize().unwrap();
        let path =
            |folders: &[&Path]| folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(":");
        assert_eq!(spelling(&program, &path(&[Path::new("/nowhere"), &here, &other])), "dbintel");
        assert_eq!(spelling(&program, &path(&[&other, &here])), program.display().to_string());
        assert_eq!(spelling(&program, ""), program.display().to_string());
    }
}
