//! The program as its operator meets it: exit codes, the line that says it is ready,
//! health, and leaving when told to.

#![allow(clippy::unwrap_used)] // Helpers outside test functions fail the test just the same.
#![allow(clippy::panic)]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread::JoinHandle,
};

fn attune(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_attune"));
    let theirs = std::env::vars_os().filter(|(name, _)| {
        let name = name.to_string_lossy();
        name.starts_with("ATTUNE_") || name.starts_with("OTEL_")
    });
    for (name, _) in theirs {
        command.env_remove(name);
    }
    command.args(args);
    command
}

/// A process that is ready.
struct Served {
    process: Child,
    address: String,
    ready: String,
    told: Option<JoinHandle<String>>,
}

impl Served {
    fn start(data_dir: &Path, args: &[&str], environment: &[(&str, &str)]) -> Self {
        let data_dir = data_dir.to_str().unwrap();
        let mut command = attune(&["serve", "--listen", "127.0.0.1:0", "--data-dir", data_dir]);
        command.args(args).envs(environment.iter().copied());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut stderr = process.stderr.take().unwrap();
        // Read on the side, so that a full pipe cannot hold the process up.
        let told = std::thread::spawn(move || {
            let mut told = String::new();
            stderr.read_to_string(&mut told).unwrap();
            told
        });
        let mut ready = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut ready)
            .unwrap();
        let address = ready.split("http://").nth(1).unwrap_or_default();
        let address = address.split(' ').next().unwrap_or_default().to_owned();
        if address.is_empty() {
            panic!("not ready: {}", told.join().unwrap());
        }
        Self {
            process,
            address,
            ready,
            told: Some(told),
        }
    }

    /// The whole answer to a GET.
    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: attune\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// How it ended after a signal, and everything it logged.
    fn end(mut self, signal: &str) -> (ExitStatus, String) {
        let pid = self.process.id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(sent.unwrap().success());
        let status = self.process.wait().unwrap();
        (status, self.told.take().unwrap().join().unwrap())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // A test that failed half-way leaves no process behind; one that ended is gone.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn every_configuration_fault_is_told_and_the_exit_code_is_2() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("attune.toml");
    std::fs::write(&file, "listn = 'x'\n[telemetry]\ntrace_sample_ratio = 7\n").unwrap();
    let output = attune(&["serve", "--config", file.to_str().unwrap()])
        .args(["--set", "draining.finish_ms=soon"])
        .env("ATTUNE_GATEWAY__NONSENSE", "1")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).unwrap();
    for fault in [
        "listn: ",
        "telemetry.trace_sample_ratio: ",
        "draining.finish_ms: ",
        "gateway.nonsense: ",
        "attune.toml",
        "ATTUNE_GATEWAY__NONSENSE",
        "--set draining.finish_ms",
    ] {
        assert!(told.contains(fault), "{fault} is not in {told}");
    }
}

#[test]
fn all_services_become_ready_and_leave_on_either_signal() {
    for signal in ["TERM", "INT"] {
        let directory = tempfile::tempdir().unwrap();
        let served = Served::start(directory.path(), &[], &[]);
        assert!(served.ready.contains("rule-engine"), "{}", served.ready);
        for path in ["/livez", "/readyz"] {
            let answer = served.get(path);
            assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        }
        let (status, told) = served.end(signal);
        assert!(status.success(), "{told}");
        assert!(told.contains("left in order"), "{told}");
        assert!(!told.contains("WARN") && !told.contains("ERROR"), "{told}");
    }
}

#[test]
fn one_service_runs_alone_on_its_own_database() {
    let directory = tempfile::tempdir().unwrap();
    let token = [("ATTUNE_PEERS__TOKEN", "a-token-between-services")];
    let served = Served::start(directory.path(), &["--services", "profile"], &token);
    assert!(served.get("/readyz").starts_with("HTTP/1.1 200"));
    let (status, told) = served.end("TERM");
    assert!(status.success(), "{told}");
    assert!(directory.path().join("profile.db").exists());
    assert!(!directory.path().join("catalog.db").exists());
}

#[test]
fn a_port_that_is_taken_is_told_and_the_exit_code_is_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let directory = tempfile::tempdir().unwrap();
    let output = attune(&["serve", "--listen", &address])
        .args(["--data-dir", directory.path().to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains(&address), "{told}");
}
