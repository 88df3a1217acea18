//! The services as an operator would run them: all in one process, or each in its own.

use std::{path::Path, process::ExitStatus};

use tempfile::TempDir;

use crate::{
    Api, PATIENCE,
    process::{Plan, Process},
    wait_until,
};

/// The first admin key of the workspace `default`.
pub const ADMIN_KEY: &str = "an-admin-key-for-the-tests-only";
const PEER_TOKEN: &str = "a-credential-between-services-for-the-tests-only";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topology {
    OneProcess,
    FiveProcesses,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    Profile,
    Catalog,
    RuleEngine,
    Messaging,
    Gateway,
}

impl Service {
    /// In the order in which each finds those it calls.
    pub const ALL: [Self; 5] = [
        Self::Profile,
        Self::Catalog,
        Self::RuleEngine,
        Self::Messaging,
        Self::Gateway,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Profile => "profile",
            Self::Catalog => "catalog",
            Self::RuleEngine => "rule-engine",
            Self::Messaging => "messaging",
            Self::Gateway => "gateway",
        }
    }

    fn calls(self) -> &'static [Self] {
        match self {
            Self::Profile | Self::Catalog => &[],
            Self::RuleEngine | Self::Messaging => &[Self::Profile, Self::Catalog],
            Self::Gateway => &[
                Self::Profile,
                Self::Catalog,
                Self::RuleEngine,
                Self::Messaging,
            ],
        }
    }

    fn setting(self) -> String {
        format!("peers.{}", self.name().replace('-', "_"))
    }
}

/// Running services on data of their own, which goes with them.
pub struct Deployment {
    topology: Topology,
    /// One, or one per service in the order of [`Service::ALL`].
    processes: Vec<Process>,
    directory: TempDir,
}

impl Deployment {
    pub async fn start(topology: Topology) -> Self {
        Self::with(topology, &[]).await
    }

    /// With settings of every process beside those of the harness.
    pub async fn with(topology: Topology, settings: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let mut processes: Vec<Process> = Vec::new();
        match topology {
            Topology::OneProcess => {
                let all = Service::ALL.map(Service::name).join(",");
                let plan = plan("attune", &all, &directory, settings);
                processes.push(Process::start(plan).await);
            }
            Topology::FiveProcesses => {
                for service in Service::ALL {
                    let mut plan = plan(service.name(), service.name(), &directory, settings);
                    for called in service.calls() {
                        let url = processes[*called as usize].url();
                        plan.settings.push((called.setting(), url));
                    }
                    processes.push(Process::start(plan).await);
                }
            }
        }
        Self {
            topology,
            processes,
            directory,
        }
    }

    /// The public door, with the admin key.
    pub fn api(&self) -> Api {
        Api::new(&self.url(), ADMIN_KEY)
    }

    /// `http://host:port` of the public door.
    pub fn url(&self) -> String {
        self.process(Service::Gateway).url()
    }

    /// Kills the process of a service, and with it all services that share it.
    pub async fn kill(&mut self, service: Service) {
        self.process_mut(service).kill().await;
    }

    /// As when the power goes: every process, at once.
    pub async fn kill_all(&mut self) {
        for process in &mut self.processes {
            process.kill().await;
        }
    }

    /// All of them again, each before those that call it.
    pub async fn restart_all(&mut self) {
        for process in &mut self.processes {
            process.restart().await;
        }
    }

    pub async fn terminate(&mut self, service: Service) -> ExitStatus {
        self.process_mut(service).terminate().await
    }

    /// Stops the process of a service where it stands: it is there, and silent.
    pub async fn freeze(&self, service: Service) {
        self.process(service).freeze().await;
    }

    pub async fn thaw(&self, service: Service) {
        self.process(service).signal("CONT").await;
    }

    /// Starts the process of a service again and waits until it can be called.
    pub async fn restart(&mut self, service: Service) {
        self.process_mut(service).restart().await;
        let api = self.api();
        wait_until("the door is open", PATIENCE, || async {
            api.get("/readyz").await.status == 200
        })
        .await;
    }

    /// Where all processes keep their data and logs.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// All log lines of all processes.
    pub fn logs(&self) -> String {
        self.processes.iter().map(Process::log).collect()
    }

    pub fn topology(&self) -> Topology {
        self.topology
    }

    fn process(&self, service: Service) -> &Process {
        match self.topology {
            Topology::OneProcess => &self.processes[0],
            Topology::FiveProcesses => &self.processes[service as usize],
        }
    }

    fn process_mut(&mut self, service: Service) -> &mut Process {
        match self.topology {
            Topology::OneProcess => &mut self.processes[0],
            Topology::FiveProcesses => &mut self.processes[service as usize],
        }
    }
}

/// What the processes said, where a test fails.
impl Drop for Deployment {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for process in &self.processes {
            let log = process.log();
            let lines: Vec<_> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(40)..];
            eprintln!("--- {}\n{}", process.directory().display(), last.join("\n"));
        }
    }
}

fn plan(name: &str, services: &str, directory: &TempDir, settings: &[(&str, &str)]) -> Plan {
    let own = [
        ("telemetry.log_format", "json"),
        ("peers.token", PEER_TOKEN),
        // On a busy machine every service has the time for its part; scenarios about
        // services that have not set it lower.
        ("gateway.personalize.deadline_default_ms", "30000"),
    ];
    let settings = own.iter().chain(settings);
    Plan {
        name: name.to_owned(),
        services: services.to_owned(),
        directory: directory.path().join(name),
        settings: settings
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect(),
        environment: vec![(
            "ATTUNE_BOOTSTRAP_ADMIN_KEY".to_owned(),
            ADMIN_KEY.to_owned(),
        )],
    }
}
