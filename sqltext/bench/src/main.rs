//! How fast statement text is normalised and fingerprinted, beside two others that do it: `make bench`.
//!
//! One line per workload: MB/s of one core for each subject, or why there is no number. Each measurement has a process of
//! its own, so that a subject that crashes or does not end takes nothing with it. Without an argument the statements are
//! those of `sqltext/testdata`; otherwise the argument is a folder of `.sql` files.

mod subjects;
mod workloads;

use std::hint::black_box;
use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use subjects::Subject;
use workloads::{Of, Workload};

/// A workload is repeated until it has taken this long.
const TIME_MIN: Duration = Duration::from_millis(700);

/// What takes longer than this, once, is not waited for.
const TIME_MAX: Duration = Duration::from_secs(120);

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.as_slice() {
        [flag, folder, workload, subject] if flag == "--one" => one(Path::new(folder), workload, subject),
        [] => all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata")),
        [folder] => all(Path::new(folder)),
        _ => {
            eprintln!("usage: dbintel-sqltext-bench [folder of .sql files]");
            ExitCode::from(2)
        }
    }
}

/// Measures every workload with every subject, each in a process of its own.
fn all(folder: &Path) -> ExitCode {
    print!("{:32} {:>9} {:>12}", "MB/s per core", "texts", "ns/text");
    println!("{}", Subject::ALL.map(|subject| format!(" {:>22}", subject.name())).concat());
    for workload in Workload::all() {
        let mut first = String::new();
        let mut columns = String::new();
        for subject in Subject::ALL {
            let said = in_a_child(folder, &workload.name, subject);
            let (number, rest) = said.split_once('\t').unwrap_or((&said, ""));
            columns += &format!(" {number:>22}");
            if first.is_empty() {
                first = rest.to_owned();
            }
        }
        println!("{:32} {first}{columns}", workload.name);
    }
    ExitCode::SUCCESS
}

fn in_a_child(folder: &Path, workload: &str, subject: Subject) -> String {
    let program = env::current_exe().unwrap_or_else(|_| PathBuf::from("/proc/self/exe"));
    let child = Command::new(program)
        .args(["--one", &folder.to_string_lossy(), workload, subject.name()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else { return "not started".to_owned() };
    let start = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if start.elapsed() < TIME_MAX => thread::sleep(Duration::from_millis(20)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return format!("> {} s", TIME_MAX.as_secs());
            }
        }
    };
    let mut said = String::new();
    let read = child.stdout.take().map(|mut out| out.read_to_string(&mut said));
    match (status.signal(), read) {
        (Some(signal), _) => format!("crash: signal {signal}"),
        (None, Some(Ok(1..))) => said.trim_end().to_owned(),
        _ => format!("crash: {status}"),
    }
}

/// Measures one workload with one subject: "MB/s", a tab, and how many texts at how many nanoseconds.
fn one(folder: &Path, workload: &str, subject: &str) -> ExitCode {
    let workload = Workload::all().into_iter().find(|one| one.name == workload);
    let subject = Subject::ALL.into_iter().find(|one| one.name() == subject);
    let (Some(workload), Some(subject)) = (workload, subject) else { return ExitCode::FAILURE };
    if workload.dialect == Of::MySql && subject == Subject::PgQuery {
        println!("-");
        return ExitCode::SUCCESS;
    }
    let texts = workload.texts(folder);
    let mut read = subject.reader(workload.dialect);
    let refused = texts.iter().filter(|text| !read(text)).count();
    if refused == texts.len() {
        println!("refused");
        return ExitCode::SUCCESS;
    }
    let (start, start_of_work) = (Instant::now(), time_on_core());
    let mut rounds = 0_u32;
    while rounds == 0 || start.elapsed() < TIME_MIN {
        for text in &texts {
            black_box(read(black_box(text)));
        }
        rounds += 1;
    }
    let on_core = time_on_core().zip(start_of_work).map(|(end, start)| end.saturating_sub(start));
    let seconds = on_core.unwrap_or_else(|| start.elapsed()).as_secs_f64() / f64::from(rounds);
    let bytes: usize = texts.iter().map(Vec::len).sum();
    let note = if refused == 0 { String::new() } else { format!(" ({refused} refused)") };
    println!(
        "{:.*}{note}\t{:9} {:12.0}",
        usize::from(bytes as f64 / seconds < 10e6),
        bytes as f64 / seconds / 1e6,
        texts.len(),
        seconds * 1e9 / texts.len() as f64,
    );
    ExitCode::SUCCESS
}

/// How long this process has been on a core, where the system tells: others that share the machine do not count.
fn time_on_core() -> Option<Duration> {
    let schedule = fs::read_to_string("/proc/self/schedstat").ok()?;
    schedule.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}
