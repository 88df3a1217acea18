//! `attune import` against a running gateway: what is sent, what is refused and why,
//! and that neither an interruption nor a repetition changes the result.

#![allow(clippy::unwrap_used, clippy::panic)] // Helpers fail the test just the same.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

const KEY: &str = "an-admin-key-of-this-test-only-0001";

fn attune() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_attune"));
    let variables = std::env::vars_os();
    for (name, _) in variables.filter(|(n, _)| n.to_string_lossy().starts_with("ATTUNE_")) {
        command.env_remove(name);
    }
    command
}

/// A gateway with everything behind it, in a folder of its own.
struct Shop {
    process: Child,
    address: String,
    folder: tempfile::TempDir,
}

impl Shop {
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().join("data");
        let mut process = attune()
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(&data_dir)
            .env("ATTUNE_BOOTSTRAP_ADMIN_KEY", KEY)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        stdout.read_line(&mut ready).unwrap();
        let address = ready.split("http://").nth(1).unwrap_or_default();
        let address = address.split(' ').next().unwrap_or_default();
        assert!(!address.is_empty(), "not ready: {ready}");
        Self {
            process,
            address: format!("http://{address}"),
            folder,
        }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn command(&self, what: &str, file: &Path, mapping: &Path) -> Command {
        let mut command = attune();
        command.args(["import", what]).arg(file);
        command.arg("--mapping").arg(mapping);
        command
            .args(["--endpoint", &self.address])
            .env("ATTUNE_KEY", KEY);
        command
    }

    fn import(&self, what: &str, file: &Path, mapping: &Path) -> Output {
        self.command(what, file, mapping).output().unwrap()
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A number of the printed summary.
fn count(output: &Output, name: &str) -> u64 {
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find(|line| line.starts_with(name));
    let told = || {
        panic!(
            "no {name}: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        )
    };
    let line = line.unwrap_or_else(told);
    line[name.len()..].trim().parse().unwrap()
}

fn rejected(file: &Path) -> Vec<(u64, String)> {
    let mut path = file.as_os_str().to_owned();
    path.push(".rejects.csv");
    let mut reader = csv::Reader::from_path(PathBuf::from(path)).unwrap();
    let rows = reader.records().map(|row| {
        let row = row.unwrap();
        (row[0].parse().unwrap(), row[1].to_owned())
    });
    rows.collect()
}

const ITEMS: &str = r#"
kind = "items"
[item_type]
item_type_id = "tent"
characteristics = [{ name = "persons", type = "NUMBER" }]
[item]
id = "{id}"
title = "{title}"
price = "{price}"
currency_code = "EUR"
[item.characteristics]
persons = { column = "persons", type = "number" }
"#;

#[test]
fn what_cannot_be_used_is_told_by_line_and_the_rest_is_sent_once() {
    let shop = Shop::open();
    let mapping = shop.write("items.toml", ITEMS);
    let file = shop.write(
        "items.csv",
        "id,title,price,persons\n\
         t1,Halden 2,199.9,2\n\
         t2,Halden 3,a lot,3\n\
         bad/id,Halden 4,300,4\n\
         t4,Halden 5,-1,5\n\
         t5,too short\n\
         t1,again,1,1\n\
         t6,Halden 6,400,6\n",
    );
    let first = shop.import("items", &file, &mapping);
    assert!(first.status.success());
    let counts = ["rows", "accepted", "unchanged", "repeated", "rejected"];
    assert_eq!(counts.map(|name| count(&first, name)), [7, 2, 0, 1, 4]);
    let rejects = rejected(&file);
    let lines: Vec<_> = rejects.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [3, 4, 5, 6]);
    for ((_, reason), part) in rejects
        .iter()
        .zip(["price", "item_id", "price.amount", "columns"])
    {
        assert!(reason.contains(part), "{reason}");
    }
    // The same again changes nothing, and can be made to count as a failure.
    let mut again = shop.command("items", &file, &mapping);
    let again = again.arg("--fail-on-reject").output().unwrap();
    assert_eq!(again.status.code(), Some(1));
    assert_eq!(counts.map(|name| count(&again, name)), [7, 0, 2, 1, 4]);
    // A mapping that reads what is not there, and one for something else.
    let other = shop.write("other.csv", "id,title\nx,y\n");
    let output = shop.import("items", &other, &mapping);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("price, persons"));
    assert_eq!(
        shop.import("events", &file, &mapping).status.code(),
        Some(1)
    );
}

const EVENTS: &str = r#"
kind = "events"
[event]
name = "Product Viewed"
user_id = "{user}"
time = { column = "at", format = "unix_ms" }
[event.properties]
product_id = "{item}"
"#;

#[test]
fn an_interrupted_import_goes_on_where_it_was() {
    const ROWS: u64 = 6_000;
    let shop = Shop::open();
    let mapping = shop.write("events.toml", EVENTS);
    let mut text = "user,item,at\nu0,x,never\n".to_owned();
    for i in 1..ROWS - 1 {
        text.push_str(&format!("u{},i{i},{}\n", i % 7, 1_700_000_000_000 + i));
    }
    text.push_str(",x,1700000000000\n");
    let file = shop.write("events.csv", &text);
    let mut slow = shop.command("events", &file, &mapping);
    slow.args(["--batch-size", "5", "--concurrency", "1"]);
    let mut slow = slow.stdout(Stdio::null()).spawn().unwrap();
    let state = shop.folder.path().join("events.csv.attune-import.json");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !state.exists() {
        assert!(Instant::now() < deadline, "no state was written");
        std::thread::sleep(Duration::from_millis(2));
    }
    slow.kill().unwrap();
    slow.wait().unwrap();
    assert!(state.exists(), "it was done before it could be interrupted");
    let output = shop.import("events", &file, &mapping);
    assert!(output.status.success());
    let counts = ["rows", "accepted", "rejected"].map(|name| count(&output, name));
    assert_eq!(counts, [ROWS, ROWS - 2, 2]);
    assert!(!state.exists());
    let lines: Vec<_> = rejected(&file).into_iter().map(|(line, _)| line).collect();
    assert_eq!(lines, [2, ROWS + 1]);
    // And without a message id in the mapping, a repetition is still one.
    assert_eq!(
        count(&shop.import("events", &file, &mapping), "accepted"),
        ROWS - 2
    );
    let events: u64 = (0..7).map(|user| shop.events_of(&format!("u{user}"))).sum();
    assert_eq!(events, ROWS - 2);
}

impl Shop {
    fn events_of(&self, user: &str) -> u64 {
        use attune_api::profile::v1::{
            LookupProfileRequest, profile_service_client::ProfileServiceClient,
        };
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let profile = runtime.block_on(async {
            let client = ProfileServiceClient::connect(self.address.clone()).await;
            let mut request = tonic::Request::new(LookupProfileRequest {
                namespace: "user_id".into(),
                value: user.into(),
            });
            let key = format!("Bearer {KEY}").parse().unwrap();
            request.metadata_mut().insert("authorization", key);
            client.unwrap().lookup_profile(request).await
        });
        u64::try_from(profile.unwrap().into_inner().event_count).unwrap()
    }
}
