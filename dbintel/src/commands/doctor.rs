//! `dbintel doctor`: what each server lets us read, what the rest costs, and how to mend it.

use dbintel_config::Environment;
use dbintel_pollers::poll::Capability;
use dbintel_pollers::{Found, postgresql};
use serde_json::{Value, json};

use crate::cli::DoctorArguments;
use crate::failure::Failure;
use crate::output;
use crate::settings::{self, Poller};

/// What came of asking a server.
struct Patient {
    poller: Poller,
    result: Result<Found, postgresql::Failure>,
}

/// Asks all servers at once; fails with 1 if one cannot be reached or lacks something that can be mended.
pub fn run(arguments: &DoctorArguments, environment: &Environment) -> Result<(), Failure> {
    let pollers = settings::load_to_look(&arguments.config, environment)?.config.pollers;
    let chosen: Vec<Poller> = pollers
        .into_iter()
        .filter(|poller| arguments.target.as_ref().is_none_or(|target| *target == poller.target()))
        .collect();
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

fn ask(pollers: Vec<Poller>) -> Result<Vec<Patient>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::runtime)?;
    let asked = async {
        let asked: Vec<_> = pollers
            .into_iter()
            .map(|poller| tokio::spawn(async move { Patient { result: poller.config.probe().await, poller } }))
            .collect();
        let mut patients = Vec::with_capacity(asked.len());
        for patient in asked {
            patients.push(patient.await.map_err(Failure::runtime)?);
        }
        Ok(patients)
    };
    runtime.block_on(asked)
}

fn heading(patient: &Patient) -> String {
    let poller = &patient.poller;
    format!("{} ({} at {})", poller.target(), poller.id, poller.config.endpoint())
}

fn say_setup(patient: &Patient) {
    output::line(&format!("-- {}", heading(patient)));
    let setup = match &patient.result {
        Ok(found) => found.setup.clone(),
        Err(_) => patient.poller.config.setup(),
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
    let poller = &patient.poller;
    let capability = |it: &Capability| json!({ "name": it.name, "consequence": it.consequence, "remedy": it.remedy });
    let list = |all: &[Capability]| all.iter().map(capability).collect::<Vec<_>>();
    let (found, error) = (patient.result.as_ref().ok(), patient.result.as_ref().err());
    json!({
        "target": poller.target(),
        "poller": poller.id.to_string(),
        "endpoint": poller.config.endpoint().to_string(),
        "error": error.map(|failure| json!({ "class": failure.class, "message": failure.message })),
        "version": found.map(|found| &found.version),
        "role": found.map(|found| found.role),
        "missing": found.map(|found| list(&found.missing)),
        "advice": found.map(|found| list(&found.advice)),
        "absent": found.map(|found| list(&found.absent)),
    })
}
