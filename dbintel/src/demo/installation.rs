//! Finds a PostgreSQL on this machine: a folder with `initdb` and `postgres`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use dbintel_config::Environment;

/// Programs that the demo needs.
const PROGRAMS: [&str; 2] = ["initdb", "postgres"];
/// Where distributions put one folder per version, and what follows the version.
const VERSIONED: [(&str, &str); 2] = [("/usr/lib/postgresql", "bin"), ("/usr/libexec", "bin")];
/// Where there is one version.
const FIXED: [&str; 3] = ["/usr/local/pgsql/bin", "/usr/pgsql/bin", "/usr/local/bin"];

/// A PostgreSQL that can be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// Folder with the programs.
    pub bin: PathBuf,
}

/// No PostgreSQL was found.
#[derive(Debug, thiserror::Error)]
pub enum InstallationError {
    /// The folder that was named is not one.
    #[error("{0} holds no `initdb` and `postgres`; --postgres-bin or DBINTEL_POSTGRES_BIN names the folder that does")]
    NotHere(PathBuf),
    /// There is none in the usual places.
    #[error(
        "the demo needs PostgreSQL 13 or newer, and there is none in PATH or in the usual folders; install one (Debian: \
         `apt-get install postgresql`) or name the folder with `initdb` and `postgres` with --postgres-bin or \
         DBINTEL_POSTGRES_BIN"
    )]
    Nowhere,
}

/// The installation in the folder that was named, else in PATH, else in the usual places, newest version first.
pub fn find(named: Option<&Path>, environment: &Environment) -> Result<Installation, InstallationError> {
    if let Some(bin) = named {
        let found = complete(bin).then(|| Installation { bin: bin.to_owned() });
        return found.ok_or_else(|| InstallationError::NotHere(bin.to_owned()));
    }
    let path = environment.get("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = path.split(':').filter(|place| !place.is_empty()).map(PathBuf::from).collect();
    places.extend(VERSIONED.iter().flat_map(|(parent, below)| versions(Path::new(parent), below)));
    places.extend(FIXED.iter().map(PathBuf::from));
    let found = places.into_iter().find(|place| complete(place)).map(|bin| Installation { bin });
    found.ok_or(InstallationError::Nowhere)
}

/// Folders of versions, newest first.
fn versions(parent: &Path, below: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    let mut versions: Vec<(u32, PathBuf)> = entries.flatten().filter_map(|entry| version(&entry.path())).collect();
    versions.sort_by(|left, right| right.cmp(left));
    versions.into_iter().map(|(_, path)| path.join(below)).collect()
}

/// The number at the end of a folder's name: `17`, `postgresql17`, `postgresql@17`.
fn version(path: &Path) -> Option<(u32, PathBuf)> {
    let name = path.file_name()?.to_str()?;
    let digits = name.strip_prefix("postgresql").unwrap_or(name).trim_start_matches('@');
    Some((digits.parse().ok()?, path.to_owned()))
}

fn complete(bin: &Path) -> bool {
    PROGRAMS.iter().all(|program| {
        let metadata = fs::metadata(bin.join(program));
        metadata.is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn install(bin: &Path) {
        fs::create_dir_all(bin).unwrap();
        for program in PROGRAMS {
            fs::write(bin.join(program), "").unwrap();
            fs::set_permissions(bin.join(program), fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    #[test]
    fn the_named_folder_wins_and_has_to_be_complete() {
        let folder = tempfile::tempdir().unwrap();
        let (named, in_path) = (folder.path().join("named"), folder.path().join("path"));
        install(&in_path);
        let environment = Environment::from_iter([("PATH", format!("/nowhere:{}", in_path.display()))]);
        assert_eq!(find(None, &environment).unwrap().bin, in_path);
        assert!(matches!(find(Some(&named), &environment), Err(InstallationError::NotHere(_))));
        install(&named);
        assert_eq!(find(Some(&named), &environment).unwrap().bin, named);
        fs::remove_file(named.join("initdb")).unwrap();
        assert!(find(Some(&named), &environment).is_err());
    }

    #[test]
    fn the_newest_version_is_first() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["9", "17", "postgresql18", "common", "postgresql@13"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let names: Vec<_> = versions(folder.path(), "bin");
        let expected = ["postgresql18/bin", "17/bin", "postgresql@13/bin", "9/bin"];
        assert_eq!(names, expected.map(|name| folder.path().join(name)));
    }
}
