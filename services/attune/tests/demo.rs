//! The demo as a newcomer runs it: the program itself, its output and what it leaves
//! behind.

#![allow(clippy::unwrap_used)] // Helpers outside test functions fail the test just the same.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
};

use tempfile::TempDir;

/// Three columns of 37 characters with 3 between them.
const COLUMN: usize = 40;

fn demo(scratch: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_attune"));
    command.arg("demo").env("TMPDIR", scratch.path());
    command
}

fn is_empty(scratch: &TempDir) -> bool {
    fs::read_dir(scratch.path()).unwrap().next().is_none()
}

/// What is said below the titles in one column.
fn reasons(output: &str, column: usize) -> BTreeSet<String> {
    let page = output.lines().skip(4);
    let page = page.take_while(|line| !line.contains("loaded and shown in"));
    let cells = page.map(|line| {
        let cell = line.chars().skip(column * COLUMN).take(COLUMN);
        cell.collect::<String>()
    });
    let below = cells.filter(|cell| cell.starts_with("   "));
    let below = below.map(|cell| cell.trim().to_owned());
    below.filter(|cell| !cell.is_empty()).collect()
}

#[test]
fn each_person_gets_a_page_with_reasons_of_their_own() {
    let scratch = TempDir::new().unwrap();
    let run = demo(&scratch).arg("--once").output().unwrap();
    let output = String::from_utf8(run.stdout).unwrap();
    let problems = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{problems}");

    let heading = output.lines().next().unwrap();
    for name in ["Mira Castellan", "Jonas Weber", "A stranger"] {
        assert!(heading.contains(name), "{heading}");
    }
    let [mira, jonas, stranger] = [0, 1, 2].map(|column| reasons(&output, column));
    for (name, own) in [("mira", &mira), ("jonas", &jonas), ("stranger", &stranger)] {
        assert!(own.len() >= 2, "{name} has reasons:\n{output}");
    }
    assert_ne!(mira, jonas, "{output}");
    let of_their_own = |own: &BTreeSet<String>| {
        let personal = |line: &&String| {
            [
                "Because you viewed",
                "Often bought with",
                "Similar to",
                "You viewed",
            ]
            .iter()
            .any(|start| line.starts_with(start))
        };
        own.iter().filter(personal).count()
    };
    assert!(
        of_their_own(&mira) >= 2 && of_their_own(&jonas) >= 2,
        "{output}"
    );
    assert_eq!(
        of_their_own(&stranger),
        0,
        "nothing is known of them:\n{output}"
    );
    assert!(
        stranger.contains("+ A first read for newcomers"),
        "{output}"
    );

    assert!(!output.contains('\u{1b}'), "no colors where nobody looks");
    let page = output
        .lines()
        .take_while(|line| !line.contains("loaded and shown"));
    assert!(page.into_iter().all(|line| line.chars().count() <= 120));
    assert!(is_empty(&scratch), "the scratch directory is gone");
}

#[test]
fn it_serves_on_until_it_is_interrupted() {
    let scratch = TempDir::new().unwrap();
    let mut running = demo(&scratch)
        .args(["--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(running.stdout.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("Serving until") {
        line.clear();
        assert_ne!(output.read_line(&mut line).unwrap(), 0, "it serves on");
    }
    assert!(!is_empty(&scratch));
    let interrupt = Command::new("kill").arg(running.id().to_string()).status();
    assert!(interrupt.unwrap().success());
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    assert!(running.wait().unwrap().success());
    assert!(is_empty(&scratch), "the scratch directory is gone");
}
