//! `dbintel validate`: every mistake of a configuration, and with `--probe` also what cannot be reached.

use dbintel_config::{EXIT_CONFIG, Environment, Problems};
use serde_json::{Value, json};

use crate::cli::ValidateArguments;
use crate::failure::Failure;
use crate::output;
use crate::probe::{self, Probe};
use crate::settings;

/// Validates; fails with 78 if there is a mistake, with 1 if something cannot be reached.
pub fn run(arguments: &ValidateArguments, environment: &Environment) -> Result<(), Failure> {
    let loaded = match settings::load_to_look(&arguments.config, environment) {
        Ok(loaded) => loaded,
        Err(Failure::Configuration(problems)) if arguments.json.json => {
            output::line(&to_json(&problems, false, &[]).to_string());
            return Err(Failure::Said(EXIT_CONFIG as u8));
        }
        Err(failure) => return Err(failure),
    };
    let probes = if arguments.probe { probe::run(&loaded.config)? } else { Vec::new() };
    if arguments.json.json {
        output::line(&to_json(&loaded.warnings, true, &probes).to_string());
    } else {
        say(&loaded.warnings, &probes);
    }
    if probes.iter().all(|probe| probe.result.is_ok()) { Ok(()) } else { Err(Failure::Said(1)) }
}

fn say(warnings: &Problems, probes: &[Probe]) {
    if !warnings.is_empty() {
        output::complain(&warnings.to_string());
    }
    output::line("the configuration is valid");
    for probe in probes {
        let said = match &probe.result {
            Ok(answer) => format!("reached {}: {answer}", probe.what),
            Err(error) => format!("could not reach {}: {error}", probe.what),
        };
        output::line(&said);
    }
}

fn to_json(problems: &Problems, valid: bool, probes: &[Probe]) -> Value {
    let problems: Value = serde_json::from_str(&problems.to_json()).unwrap_or_default();
    let probes: Vec<Value> = probes.iter().map(probe_to_json).collect();
    json!({ "valid": valid, "problems": problems, "probes": probes })
}

fn probe_to_json(probe: &Probe) -> Value {
    let (answer, error) = (probe.result.as_ref().ok(), probe.result.as_ref().err());
    json!({ "what": probe.what, "reached": error.is_none(), "answer": answer, "error": error })
}
