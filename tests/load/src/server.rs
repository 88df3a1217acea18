//! Child processes under load: the `attune` binary on a scratch directory and the
//! echo server. Each dies with its handle.

use std::{
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

pub const KEY: &str = "load-admin-key-0123456789abcdef";

pub struct Server {
    child: Child,
    pub endpoint: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nothing of a benchmark's server is worth keeping.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Starts `attune serve` with all services in one process.
    pub fn attune(data_dir: &Path) -> Result<Self> {
        let address = free_address()?;
        let child = Command::new(attune_binary()?)
            .args(["serve", "--listen", &address.to_string(), "--data-dir"])
            .arg(data_dir)
            .env("ATTUNE_BOOTSTRAP_ADMIN_KEY", KEY)
            .env("RUST_LOG", "warn")
            .spawn()
            .context("cannot start attune")?;
        let mut server = Self {
            child,
            endpoint: format!("http://{address}"),
        };
        server.wait_until_listening(address)?;
        Ok(server)
    }

    /// Starts this program again as the echo server.
    pub fn echo(answer_bytes: usize) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["echo", &answer_bytes.to_string()])
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().context("no stdout")?;
        let mut address = String::new();
        BufReader::new(stdout).read_line(&mut address)?;
        Ok(Self {
            child,
            endpoint: format!("http://{}", address.trim()),
        })
    }

    /// Asks it to leave and waits until it has, with everything written.
    pub fn leave(mut self) -> Result<()> {
        let pid = self.pid().to_string();
        let asked = Command::new("kill").args(["-TERM", &pid]).status()?;
        ensure!(asked.success(), "attune cannot be asked to leave: {asked}");
        let left = self.child.wait()?;
        ensure!(left.success(), "attune did not leave in order: {left}");
        Ok(())
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory in bytes.
    pub fn resident_bytes(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let kib: u64 = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.trim().strip_suffix("kB"))
            .context("no VmRSS")?
            .trim()
            .parse()?;
        Ok(kib * 1024)
    }

    fn wait_until_listening(&mut self, address: SocketAddr) -> Result<()> {
        let begin = Instant::now();
        while std::net::TcpStream::connect(address).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("attune ended at start: {status}");
            }
            if begin.elapsed() > Duration::from_secs(60) {
                bail!("attune does not listen on {address}");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

/// The release binary beside this one.
pub fn attune_binary() -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name("attune");
    if !path.exists() {
        bail!("{} is missing; run `cargo xtask bench`", path.display());
    }
    Ok(path)
}

fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
