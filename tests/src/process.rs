//! One process of the program: started, waited for, killed, terminated, started again
//! on the same address and data.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
};

use attune_testkit::{ReservedPort, wait_until};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

use crate::{PATIENCE, binary};

/// What to run.
#[derive(Debug, Clone)]
pub struct Plan {
    pub name: String,
    pub services: String,
    pub directory: PathBuf,
    /// Keys and values for `--set`.
    pub settings: Vec<(String, String)>,
    pub environment: Vec<(String, String)>,
}

pub struct Process {
    plan: Plan,
    /// Its own also while it is away, so that it finds it free when it is back.
    port: ReservedPort,
    child: Option<Child>,
}

impl Process {
    pub async fn start(plan: Plan) -> Self {
        std::fs::create_dir_all(&plan.directory).expect("the temporary directory is writable");
        let mut process = Self {
            plan,
            port: ReservedPort::new(),
            child: None,
        };
        process.run().await;
        process
    }

    /// `http://host:port`
    pub fn url(&self) -> String {
        format!("http://{}", self.port.address())
    }

    /// As `kill -9` does it: nothing is flushed, nobody is told.
    pub async fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().await.expect("it can be killed");
    }

    /// Sends a signal by its name without `SIG`.
    pub async fn signal(&self, name: &str) {
        let id = self.child.as_ref().and_then(Child::id).expect("it runs");
        let arguments = [format!("-{name}"), id.to_string()];
        let sent = Command::new("kill").args(arguments).status().await;
        assert!(sent.is_ok_and(|s| s.success()), "the signal is sent");
    }

    /// Stops every thread where it stands. On a busy machine those that run when the
    /// signal comes go on for a moment, long enough to answer one more call.
    pub async fn freeze(&self) {
        self.signal("STOP").await;
        let id = self.child.as_ref().and_then(Child::id).expect("it runs");
        wait_until("all threads stand still", PATIENCE, || async {
            states(id).iter().all(|state| state == "T")
        })
        .await;
    }

    /// As an orchestrator asks it to leave.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM").await;
        let mut child = self.child.take().expect("it runs");
        let exit = timeout(PATIENCE, child.wait()).await;
        exit.unwrap_or_else(|_| panic!("{} does not leave", self.plan.name))
            .expect("its end is reported")
    }

    /// Again, where it was and with what it had.
    pub async fn restart(&mut self) {
        assert!(self.child.is_none(), "{} still runs", self.plan.name);
        self.run().await;
    }

    /// All that it has logged so far.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.log_path()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub fn log_path(&self) -> PathBuf {
        self.plan.directory.join("log")
    }

    async fn run(&mut self) {
        let plan = &self.plan;
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_path());
        let mut command = Command::new(binary::attune());
        command
            .args([
                "serve",
                "--services",
                &plan.services,
                "--listen",
                &self.port.address().to_string(),
            ])
            .arg("--data-dir")
            .arg(plan.directory.join("data"))
            .env_clear()
            .envs(plan.environment.iter().cloned())
            .current_dir(&plan.directory)
            .stdout(Stdio::piped())
            .stderr(log.expect("the temporary directory is writable"))
            .kill_on_drop(true);
        for (key, value) in &plan.settings {
            command.args(["--set", &format!("{key}={value}")]);
        }
        let mut child = command.spawn().expect("the program can be started");
        let stdout = child.stdout.take().expect("it is piped");
        let ready = timeout(PATIENCE, ready_line(stdout)).await;
        self.child = Some(child);
        match ready {
            Ok(true) => {}
            Ok(false) => panic!("{} ended early:\n{}", self.plan.name, self.log()),
            Err(_) => panic!("{} does not get ready:\n{}", self.plan.name, self.log()),
        }
    }

    pub fn directory(&self) -> &Path {
        &self.plan.directory
    }
}

/// Whether `attune is ready on http://ADDRESS (…)` comes. What comes later is read and
/// dropped, so that the program never waits for a reader.
async fn ready_line(stdout: tokio::process::ChildStdout) -> bool {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if line.contains("ready on http://") {
            let mut stdout = lines.into_inner();
            tokio::spawn(async move {
                let mut sink = Vec::new();
                let _ = stdout.read_to_end(&mut sink).await;
            });
            return true;
        }
    }
    false
}

/// Starts the program where it is expected to refuse: its exit code and what it said.
pub async fn attempt(settings: &[(&str, &str)]) -> (Option<i32>, String) {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let mut command = Command::new(binary::attune());
    command
        .arg("serve")
        .env_clear()
        .current_dir(directory.path())
        .kill_on_drop(true);
    for (key, value) in settings {
        command.args(["--set", &format!("{key}={value}")]);
    }
    let ended = timeout(PATIENCE, command.output())
        .await
        .expect("it refuses in time");
    let output = ended.expect("the program can be started");
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// The state of each thread of a process, as the kernel tells it.
fn states(process: u32) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).expect("it runs");
    tasks
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok())
        // The second field is a name in parentheses that may hold anything.
        .filter_map(|stat| Some(stat.rsplit_once(") ")?.1.get(..1)?.to_owned()))
        .collect()
}
