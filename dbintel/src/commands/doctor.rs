//! `dbintel doctor`: what each server lets us read, what the rest costs, and how to mend it.

use dbintel_config::{ComponentId, Environment};
use dbintel_pollers::poll::Capability;
use dbintel_pollers::{Config, Found, postgresql};
use serde_json::{Value, json};

use crate::cli::DoctorArguments;
use crate::failure::Failure;
use crate::output;
use crate::settings;

/// What came of asking a server.
struct Patient {
    target: String,
    poller: ComponentId,
    config: Config,
    result: Result<Found, postgresql::Failure>,
}

/// Asks all servers at once; fails with 1 if one cannot be reached or lacks something that can be mended.
pub fn run(arguments: &DoctorArguments, environment: &Environment) -> Result<(), Failure> {
    let pollers = settings::load_to_look(&arguments.config, environment)?.config.pollers;
    let mut chosen = Vec::new();
    for poller in &pollers {
        let targets = poller.targets().map_err(Failure::Runtime)?;
        let wanted =
            targets.into_iter().filter(|(name, _)| arguments.target.as_ref().is_none_or(|target| target == name));
        chosen.extend(wanted.map(|(target, config)| (target, poller.id.clone(), config)));
    }
    if chosen.is_empty() {
        let what = arguments.target.as_ref().map_or("poller".to_owned(), |target| format!("target {target}"));
        return Err(Failure::Runtime(format!("the configuration has no {what}")));
    }
    let patients = ask(chosen)?;
    if arguments.sql {
        patients.iter().for_each(say_setup);
        return Ok(());
    }
    if arguments.json.json {
        output::line(&Value::Array(patients.iter().map(to_json).collect()).to_string());
    } else {
        patients.iter().for_each(say);
    }
    let is_well = |patient: &Patient| patient.result.as_ref().is_ok_and(|found| found.missing.is_empty());
    if patients.iter().all(is_well) { Ok(()) } else { Err(Failure::Said(1)) }
}

fn ask(chosen: Vec<(String, ComponentId, Config)>) -> Result<Vec<Patient>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::runtime)?;
    let asked = async {
        let ask = |(target, poller, config): (String, ComponentId, Config)| async move {
            Patient { result: config.probe().await, target, poller, config }
        };
        let asked: Vec<_> = chosen.into_iter().map(|one| tokio::spawn(ask(one))).collect();
        let mut patients = Vec::with_capacity(asked.len());
        for patient in asked {
            patients.push(patient.await.map_err(Failure::runtime)?);
        }
        Ok(patients)
    };
    runtime.block_on(asked)
}

fn heading(patient: &Patient) -> String {
    format!("{} ({} at {})", patient.target, patient.poller, patient.config.endpoint())
}

fn say_setup(patient: &Patient) {
    output::line(&format!("-- {}", heading(patient)));
    let setup = match &patient.result {
        Ok(found) => found.setup.clone(),
        Err(_) => patient.config.setup(),
    };
    output::line(setup.trim_end());
}

fn say(patient: &Patient) {
    output::line(&heading(patient));
    let found = match &patient.result {
        Ok(found) => found,
        Err(failure) => {
            output::line(&format!("  cannot be reached: {}", failure.message));
            output::line("  `dbintel doctor --sql` prints the statements that set our account up");
            return;
        }
    };
    output::line(&format!("  {}, {}", found.version, found.role));
    if found.missing.is_empty() {
        output::line("  nothing is missing");
    }
    for Capability { name, consequence, remedy } in found.missing.iter().chain(&found.advice) {
        output::line(&format!("  {name}: {consequence}"));
        output::line(&format!("      mend it with: {remedy}"));
    }
    for Capability { name, consequence, .. } in &found.absent {
        output::line(&format!("  {name}: {consequence}"));
    }
}

fn to_json(patient: &Patient) -> Value {
    let capability = |it: &Capability| json!({ "name": it.name, "consequence": it.consequence, "remedy": it.remedy });
    let list = |all: &[Capability]| all.iter().map(capability).collect::<Vec<_>>();
    let (found, error) = (patient.result.as_ref().ok(), patient.result.as_ref().err());
    json!({
        "target": patient.target,
        "poller": patient.poller.to_string(),
        "endpoint": patient.config.endpoint().to_string(),
        "error": error.map(|failure| json!({ "class": failure.class, "message": failure.message })),
        "version": found.map(|found| &found.version),
        "role": found.map(|found| found.role),
        "missing": found.map(|found| list(&found.missing)),
        "advice": found.map(|found| list(&found.advice)),
        "absent": found.map(|found| list(&found.absent)),
    })
}
