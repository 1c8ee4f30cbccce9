//! Servers that are found in a list, which changes while the process runs.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use dbintel_tests::scratch::Scratch;
use dbintel_tests::servers::HOST;
use dbintel_tests::servers::postgres::{Major, Postgres};
use dbintel_tests::wait;
use serde_json::{Value, json};

use crate::cli_rig::{FREE_PORTS, LIMIT, Running, json_lines, run, said, text};

/// A process whose targets are in a list.
struct Scene {
    up: Running,
    configuration: PathBuf,
    _scratch: Scratch,
}

impl Scene {
    fn start(discovery: &str) -> Scene {
        let scratch = Scratch::new("discovery");
        let configuration = scratch.write("dbintel.yaml", &configuration(discovery));
        let arguments: Vec<&str> = ["up", "--quiet", "--config", text(&configuration)]
            .into_iter()
            .chain(FREE_PORTS.into_iter().take(4))
            .collect();
        let mut up = Running::start(&arguments, &[]);
        up.wait_until_ready();
        Scene { up, configuration, _scratch: scratch }
    }

    fn environment(&self) -> [(&str, &str); 1] {
        [("DBINTEL_STATE_DIRECTORY", text(self.up.scratch.path()))]
    }

    /// What `targets list` says of each target.
    fn listed(&self) -> Vec<Value> {
        let arguments = ["targets", "list", "--json", "--config", text(&self.configuration)];
        json_lines(&said(&arguments, &self.environment()))
    }

    /// Number of targets that are polled.
    fn polled(&mut self) -> f64 {
        self.up.sample("metrics", "poller_targets{").unwrap()
    }

    fn wait_until_polled(&mut self, targets: f64) {
        wait::blocking(LIMIT, &format!("{targets} targets"), || (self.polled() == targets).then_some(()));
    }

    /// Polls that went well, as JSON, that the log has of a target.
    fn polls(&self, target: &str) -> Vec<Value> {
        let arguments =
            ["tap", "raw.polls", "--config", text(&self.configuration), "--from", "beginning", "--timeout", "1s"];
        let lines = json_lines(&said(&arguments, &self.environment()));
        let is_it = |line: &Value| line["value"]["target"] == target && line["value"]["outcome"] == "ok";
        lines.into_iter().filter(is_it).collect()
    }

    /// What readiness says of the poller.
    fn said_of_poller(&mut self) -> String {
        let body: Value = serde_json::from_slice(&self.up.get("health", "/readyz?verbose").body).unwrap();
        let components = body["components"].as_array().unwrap().clone();
        let poller = components.into_iter().find(|one| one["component"] == "poller postgresql/fleet").unwrap();
        poller["message"].as_str().unwrap_or_default().to_owned()
    }
}

fn configuration(discovery: &str) -> String {
    format!(
        "pollers:
  postgresql/fleet:
    username: postgres
    labels: {{region: eu, team: nobody}}
    discovery: {discovery}
pipelines: {{main: {{pollers: [postgresql/fleet]}}}}
"
    )
}

fn list(servers: &[(&Postgres, Option<&str>)]) -> String {
    let group = |(server, name): &(&Postgres, Option<&str>)| {
        let mut labels = json!({"team": "payments", "__meta_zone": "a"});
        if let Some(name) = name {
            labels["target"] = json!(name);
        }
        json!({"targets": [format!("{HOST}:{}", server.port)], "labels": labels})
    };
    Value::Array(servers.iter().map(group).collect()).to_string()
}

#[test]
fn targets_come_and_go_with_a_file() {
    let (one, other) = (Postgres::start(Major::V18), Postgres::start(Major::V12));
    let scratch = Scratch::new("list");
    let file = scratch.write("targets.json", &list(&[(&one, Some("orders"))]));
    let mut scene = Scene::start(&format!("{{file: {}, refresh_interval: 1s}}", file.display()));
    scene.wait_until_polled(1.0);
    let polls = wait::blocking(LIMIT, "a poll", || Some(scene.polls("orders")).filter(|polls| !polls.is_empty()));
    let labels = &polls[0]["value"]["labels"];
    assert_eq!(
        *labels,
        json!({"region": "eu", "team": "payments"}),
        "the list wins, and what is internal to it is left out"
    );

    assert!(
        scene.said_of_poller().contains("1 of 1 targets: orders lacks pg_stat_statements"),
        "{}",
        scene.said_of_poller()
    );

    fs::write(&file, list(&[(&one, Some("orders")), (&other, None)])).unwrap();
    scene.wait_until_polled(2.0);
    let unnamed = format!("{HOST}:{}", other.port);
    wait::blocking(LIMIT, "a poll of the other", || (!scene.polls(&unnamed).is_empty()).then_some(()));
    let names: Vec<Value> = scene.listed().into_iter().map(|target| target["target"].clone()).collect();
    assert_eq!(names, [json!(unnamed), json!("orders")]);

    fs::write(&file, "[{\"targets\": [\"nonsense\"]}]").unwrap();
    wait::blocking(LIMIT, "the complaint", || {
        scene.said_of_poller().contains("`nonsense`: expected host:port").then_some(())
    });
    assert!(scene.said_of_poller().contains("the 2 servers that were found last are polled"));
    assert_eq!(scene.polled(), 2.0, "nothing stops");
    assert!(scene.up.process.log().contains("targets.json:1:"), "{}", scene.up.process.log());

    fs::write(&file, list(&[(&other, None)])).unwrap();
    scene.wait_until_polled(1.0);
    let last = scene.polls("orders").len();
    wait::blocking(LIMIT, "more of the other", || (scene.polls(&unnamed).len() > last + 5).then_some(()));
    assert_eq!(scene.polls("orders").len(), last, "what left the list is not polled");
    assert!(scene.up.process.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_come_from_an_http_service() {
    let postgres = Postgres::start(Major::V18);
    let answer = Arc::new(list(&[(&postgres, Some("orders"))]));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let router = Router::new().route("/sd", get(move || async move { answer.to_string() }));
    let service = tokio::spawn(async { axum::serve(listener, router).await });
    tokio::task::block_in_place(|| {
        let url = format!("http://user:secret@127.0.0.1:{port}/sd?token=secret");
        let mut scene = Scene::start(&format!("{{http: {{url: '{url}'}}, refresh_interval: 1s}}"));
        scene.wait_until_polled(1.0);
        service.abort();
        wait::blocking(LIMIT, "the complaint", || {
            scene.said_of_poller().contains("that were found last are polled").then_some(())
        });
        assert_eq!(scene.polled(), 1.0);
        let log = scene.up.process.log();
        assert!(log.contains("the list of targets is not as it should be") && !log.contains("secret"), "{log}");
    });
}

#[test]
fn what_cannot_be_is_refused_before_anything_starts() {
    let scratch = Scratch::new("refused");
    let cases = [
        ("{}", "give one of `file` and `http`"),
        ("{file: a, http: {url: b}}", "give one of `file` and `http`"),
        ("{file: a, every: 5s}", "unknown key `every`"),
        ("{file: a}\n    endpoint: 'a:1'", "is of one server, and `discovery` finds them"),
    ];
    for (discovery, expected) in cases {
        let file = scratch.write("dbintel.yaml", &configuration(discovery));
        let ended = run(&["validate", "--config", text(&file)], &[]);
        assert_eq!(ended.code, Some(78), "{discovery}");
        assert!(ended.stderr.contains(expected) || ended.stdout.contains(expected), "{discovery}: {ended:?}");
    }
    let file = scratch.write("dbintel.yaml", &configuration("{file: /nonexistent/list.json}"));
    let ended = run(&["doctor", "--config", text(&file)], &[]);
    assert!(ended.stderr.contains("could not read /nonexistent/list.json"), "{ended:?}");
}
