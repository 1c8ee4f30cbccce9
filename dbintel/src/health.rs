//! Whether the process lives (`/`, `/livez`) and whether it is ready (`/readyz`).
//!
//! Living never depends on the log or on a server: an orchestrator restarts what does not live, and that helps against
//! neither. Readiness asks each component; `/readyz?verbose` shows what each one said.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::clock;

/// Longest wait for the answers of all components.
const CHECKS_TIMEOUT: Duration = Duration::from_secs(2);

/// What a component says: that it is ready, perhaps with something to know, or what is wrong with it.
pub type Said = Result<Option<String>, String>;

/// Asks a component. It may block.
type Check = Arc<dyn Fn() -> Said + Send + Sync>;

/// In which part of its life the process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Components are being started.
    Starting,
    /// All run.
    Running,
    /// They are being stopped.
    Stopping,
}

/// What the health endpoints tell. Cheap to clone.
#[derive(Clone)]
pub struct Health {
    shared: Arc<Shared>,
}

struct Shared {
    started_at: Instant,
    phase: AtomicU8,
    checks: Mutex<Vec<(String, Check)>>,
}

/// What a component said.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Answer {
    component: String,
    said: Said,
}

impl Health {
    /// A process that is being started.
    pub fn new() -> Health {
        let phase = AtomicU8::new(Phase::Starting as u8);
        Health { shared: Arc::new(Shared { started_at: clock::now(), phase, checks: Mutex::default() }) }
    }

    /// Adds a component. `check` may block.
    pub fn watch(&self, component: &str, check: impl Fn() -> Said + Send + Sync + 'static) {
        let mut checks = self.shared.checks.lock().unwrap_or_else(PoisonError::into_inner);
        checks.push((component.to_owned(), Arc::new(check)));
    }

    /// Enters another part of its life.
    pub fn enter(&self, phase: Phase) {
        self.shared.phase.store(phase as u8, Ordering::Release);
    }

    /// The routes.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/", get(alive))
            .route("/livez", get(alive))
            .route("/healthz", get(alive))
            .route("/readyz", get(ready))
            .with_state(self.clone())
    }

    fn phase(&self) -> &'static str {
        match self.shared.phase.load(Ordering::Acquire) {
            phase if phase == Phase::Starting as u8 => "starting",
            phase if phase == Phase::Running as u8 => "running",
            _ => "stopping",
        }
    }

    /// Asks all components, but does not wait for ever.
    async fn ask(&self) -> Vec<Answer> {
        let checks = self.shared.checks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let asked: Vec<_> = checks
            .into_iter()
            .map(|(component, check)| (component, tokio::task::spawn_blocking(move || check())))
            .collect();
        let deadline = tokio::time::Instant::now() + CHECKS_TIMEOUT;
        let mut answers = Vec::with_capacity(asked.len());
        for (component, task) in asked {
            let said = match tokio::time::timeout_at(deadline, task).await {
                Ok(Ok(said)) => said,
                Ok(Err(_)) => Err("the check failed".to_owned()),
                Err(_) => Err(format!("no answer within {} s", CHECKS_TIMEOUT.as_secs())),
            };
            answers.push(Answer { component, said });
        }
        answers
    }
}

/// The answer of the Collector's health check extension.
async fn alive(State(health): State<Health>) -> Json<Value> {
    let uptime = clock::now().saturating_duration_since(health.shared.started_at);
    Json(json!({ "status": "Server available", "uptime_seconds": uptime.as_secs() }))
}

async fn ready(
    State(health): State<Health>,
    Query(parameters): Query<HashMap<String, String>>,
) -> (StatusCode, Json<Value>) {
    let (phase, answers) = (health.phase(), health.ask().await);
    let ready = phase == "running" && answers.iter().all(|answer| answer.said.is_ok());
    let mut body = json!({ "ready": ready, "phase": phase });
    let verbose = parameters.get("verbose").is_some_and(|value| value != "false");
    if verbose || !ready {
        body["components"] = answers.iter().map(to_json).collect();
    }
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(body))
}

fn to_json(answer: &Answer) -> Value {
    let message = match &answer.said {
        Ok(message) => message.as_ref(),
        Err(message) => Some(message),
    };
    json!({ "component": answer.component, "ready": answer.said.is_ok(), "message": message })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn readiness(health: &Health, query: &[(&str, &str)]) -> (u16, Value) {
        let parameters = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (status, Json(body)) = ready(State(health.clone()), Query(parameters)).await;
        (status.as_u16(), body)
    }

    #[tokio::test]
    async fn ready_is_what_runs_and_has_no_component_in_trouble() {
        let health = Health::new();
        health.watch("bus", || Ok(None));
        assert_eq!(readiness(&health, &[]).await.0, 503);
        health.enter(Phase::Running);
        assert_eq!(readiness(&health, &[]).await, (200, json!({ "ready": true, "phase": "running" })));
        let bus = json!({ "component": "bus", "ready": true, "message": null });
        let (status, body) = readiness(&health, &[("verbose", "")]).await;
        assert_eq!((status, &body["components"]), (200, &json!([bus])));
        health.watch("poller", || Ok(Some("the server is away".to_owned())));
        let poller = json!({ "component": "poller", "ready": true, "message": "the server is away" });
        assert_eq!(readiness(&health, &[]).await.0, 200);
        health.watch("sinks", || Err("the receiver is away".to_owned()));
        let sinks = json!({ "component": "sinks", "ready": false, "message": "the receiver is away" });
        let (status, body) = readiness(&health, &[]).await;
        assert_eq!((status, &body["components"]), (503, &json!([bus, poller, sinks])));
    }

    #[tokio::test]
    async fn a_process_lives_whatever_its_components_say() {
        let health = Health::new();
        health.watch("bus", || Err("away".to_owned()));
        health.enter(Phase::Stopping);
        let Json(body) = alive(State(health.clone())).await;
        assert_eq!(body["status"], "Server available");
        assert_eq!(readiness(&health, &[]).await.0, 503);
    }
}
