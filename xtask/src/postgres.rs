//! A private PostgreSQL for tests and benchmarks: found, or installed where the
//! machine can, initialised once under `target/postgres` and kept running. Touches
//! no other cluster of the machine, and says plainly why where it cannot start.

use std::{
    fs::{self, File},
    io::Read as _,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

use crate::shell::{self, command, run};

/// Starts it unless it runs, and gives its address, which is also left in
/// `target/postgres/url` for the tests.
pub fn start() -> Result<String> {
    let cluster = Cluster::locate()?;
    let lock = File::create(cluster.folder.join("lock")).context("cannot make the lock file")?;
    lock.lock().context("cannot take the lock file")?;

    if let Ok(url) = fs::read_to_string(cluster.url_file())
        && cluster.is_running()
    {
        println!("PostgreSQL already runs: {url}");
        return Ok(url);
    }
    if !cluster.data.join("PG_VERSION").exists() {
        cluster.initialise()?;
    }
    if cluster.is_running() {
        // Its address was lost, so nobody can be using it.
        cluster.pg_ctl(&["stop", "-m", "fast", "-w"])?;
    }
    let url = cluster.launch()?;
    fs::write(cluster.url_file(), &url).context("cannot write the address")?;
    println!("PostgreSQL runs: {url}");
    Ok(url)
}

/// Stops it. The data stays for the next start.
pub fn stop() -> Result<()> {
    let cluster = Cluster::locate()?;
    if cluster.is_running() {
        cluster.pg_ctl(&["stop", "-m", "fast", "-w"])?;
    }
    if cluster.url_file().exists() {
        fs::remove_file(cluster.url_file()).context("cannot remove the address")?;
    }
    println!("PostgreSQL is stopped");
    Ok(())
}

struct Cluster {
    /// Where the address is written: `target/postgres`.
    folder: PathBuf,
    data: PathBuf,
    programs: PathBuf,
    /// Whom the server runs as, where we are root, which it refuses to be.
    user: Option<&'static str>,
}

const SUPERUSER: &str = "attune";

impl Cluster {
    fn locate() -> Result<Self> {
        let programs = programs()?;
        let folder = shell::target().join("postgres");
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        let user = unprivileged_user()?;
        let data = data_folder(&folder, user)?;
        Ok(Self {
            folder,
            data,
            programs,
            user,
        })
    }

    fn url_file(&self) -> PathBuf {
        self.folder.join("url")
    }

    fn password_file(&self) -> PathBuf {
        self.folder.join("password")
    }

    fn program(&self, name: &str) -> Command {
        let mut command = as_user(self.user, self.programs.join(name));
        // Somewhere the other user may be; the repository may be closed to it.
        command.current_dir(&self.data);
        command
    }

    fn pg_ctl(&self, arguments: &[&str]) -> Result<()> {
        let mut pg_ctl = self.program("pg_ctl");
        pg_ctl.arg("-D").arg(&self.data).arg("-s").args(arguments);
        // The server must not hold on to our output, or whoever reads it waits forever.
        pg_ctl.stdin(Stdio::null()).stdout(Stdio::null());
        run(&mut pg_ctl).with_context(|| self.log_tail())
    }

    fn is_running(&self) -> bool {
        let mut status = self.program("pg_ctl");
        status.arg("-D").arg(&self.data).arg("status");
        status.stdout(Stdio::null()).stderr(Stdio::null());
        status.status().is_ok_and(|status| status.success())
    }

    fn initialise(&self) -> Result<()> {
        println!("making a PostgreSQL cluster in {}", self.data.display());
        fs::write(self.password_file(), random_hex()?).context("cannot write the password")?;
        // Through a file of its own, since the other user may not read ours.
        let handed_over = self.data.with_extension("password");
        fs::copy(self.password_file(), &handed_over)?;
        give_to(self.user, &handed_over)?;
        let mut initdb = self.program("initdb");
        initdb
            .arg("-D")
            .arg(&self.data)
            .args(["-U", SUPERUSER, "--auth=password", "--encoding=UTF8"])
            .args(["--locale=C", "--no-instructions"])
            .arg(format!("--pwfile={}", handed_over.display()))
            .stdout(Stdio::null());
        let made = run(&mut initdb);
        fs::remove_file(&handed_over).context("cannot remove the password's copy")?;
        made
    }

    fn launch(&self) -> Result<String> {
        // The port is free now; if it is taken before the server has it, pg_ctl says so.
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let settings = [
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={port}"),
            "unix_socket_directories=".to_owned(),
            "max_connections=300".to_owned(),
            "shared_buffers=256MB".to_owned(),
            "fsync=on".to_owned(),
        ];
        let options: String = settings.iter().map(|s| format!("-c {s} ")).collect();
        let log = self.data.join("server.log");
        let log = log.to_string_lossy();
        self.pg_ctl(&["start", "-w", "-t", "60", "-l", &log, "-o", &options])?;
        let password = fs::read_to_string(self.password_file())
            .context("cannot read the password; remove target/postgres to begin anew")?;
        Ok(format!(
            "postgres://{SUPERUSER}:{password}@127.0.0.1:{port}/postgres"
        ))
    }

    fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.data.join("server.log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().rev().take(10).collect();
        let tail: Vec<_> = lines.into_iter().rev().collect();
        format!("the server's log ends with:\n{}", tail.join("\n"))
    }
}

/// The newest installed server's programs; installs them where that is possible.
fn programs() -> Result<PathBuf> {
    if let Some(found) = find_programs() {
        return Ok(found);
    }
    let root = is_root()?;
    let apt = Path::new("/usr/bin/apt-get").exists();
    if !(root && apt) {
        bail!(
            "PostgreSQL is needed and is not installed, and this task can install it only \
             as root on Debian or Ubuntu. Install its server (on Debian: apt-get install \
             postgresql) so that `initdb` and `pg_ctl` are on the PATH or under \
             /usr/lib/postgresql"
        );
    }
    println!("PostgreSQL is not installed: installing Debian's package `postgresql`");
    let mut update = command("apt-get");
    run(update.args(["update", "-qq"]))?;
    let mut install = command("apt-get");
    run(install.env("DEBIAN_FRONTEND", "noninteractive").args([
        "install",
        "-y",
        "-qq",
        "--no-install-recommends",
        "postgresql",
    ]))?;
    find_programs()
        .context("the package was installed, but has no initdb under /usr/lib/postgresql")
}

fn find_programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).collect::<Vec<_>>();
    let mut versions: Vec<(u32, PathBuf)> = ["/usr/lib/postgresql", "/usr/local/lib/postgresql"]
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    let versions = versions.into_iter().map(|(_, folder)| folder);
    // Only folders with the server's programs: clients are often installed alone.
    on_path
        .into_iter()
        .chain(versions)
        .find(|folder| folder.join("initdb").exists() && folder.join("pg_ctl").exists())
}

/// None where we are an ordinary user ourselves.
fn unprivileged_user() -> Result<Option<&'static str>> {
    if !is_root()? {
        return Ok(None);
    }
    for user in ["postgres", "nobody"] {
        let mut id = command("id");
        id.args(["-u", user])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if id.status().is_ok_and(|status| status.success()) {
            return Ok(Some(user));
        }
    }
    bail!("PostgreSQL refuses to run as root, and there is neither a user `postgres` nor `nobody`")
}

fn is_root() -> Result<bool> {
    let id = command("id")
        .arg("-u")
        .output()
        .context("cannot run `id`")?;
    Ok(id.stdout.trim_ascii() == b"0")
}

fn as_user(user: Option<&str>, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let Some(user) = user else {
        return command(program);
    };
    let mut runuser = command("runuser");
    runuser.args(["-u", user, "--"]).arg(program);
    runuser
}

fn give_to(user: Option<&str>, path: &Path) -> Result<()> {
    match user {
        Some(user) => run(command("chown").arg(user).arg(path)),
        None => Ok(()),
    }
}

/// Under `target`, or where the server's user cannot get there, in the folder for
/// temporary files.
fn data_folder(folder: &Path, user: Option<&str>) -> Result<PathBuf> {
    let near = folder.join("data");
    if make_reachable(&near, user)? {
        return Ok(near);
    }
    // One per repository, found again by the next start.
    let name: String = shell::root()
        .to_string_lossy()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let far = std::env::temp_dir().join(format!("attune-postgres{name}"));
    ensure!(
        make_reachable(&far, user)?,
        "the user {} can enter neither {} nor {}",
        user.unwrap_or("that runs this"),
        near.display(),
        far.display()
    );
    Ok(far)
}

fn make_reachable(data: &Path, user: Option<&str>) -> Result<bool> {
    if !data.exists() {
        fs::create_dir_all(data).with_context(|| format!("cannot create {}", data.display()))?;
        give_to(user, data)?;
    }
    let mut test = as_user(user, "test");
    test.current_dir("/").arg("-w").arg(data);
    test.stderr(Stdio::null());
    Ok(test.status().is_ok_and(|status| status.success()))
}

fn random_hex() -> Result<String> {
    let mut bytes = [0_u8; 16];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .context("cannot read /dev/urandom")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
