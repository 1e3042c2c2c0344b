//! A PostgreSQL server of our own, from the binaries of an npm package.
//!
//! PostgreSQL refuses to run as root. Under root it therefore runs as the user `nobody`, with binaries and data in a
//! folder that this user can reach: the clone may be in root's home, which other users cannot read.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use sha2::{Digest, Sha256};

use crate::ledger::Identity;
use crate::program::{Program, Running, is_root, unprivileged_command};
use crate::run::{output, run};
use crate::state::State;
use crate::tools::postgres_package;
use crate::wait::until;
use crate::workspace::Workspace;

/// The database that holds everything; the roles of the service are named after it.
pub const DATABASE: &str = "wardgate";

/// The superuser of a cluster of ours.
pub const SUPERUSER: &str = "postgres";

/// The folder of files that the user `nobody` must be able to read, under root. Only root can write in /var/lib, so
/// no other user can plant files there.
const ROOT_FOLDER: &str = "/var/lib/wardgate-dev";

/// Durability: what may be lost when the machine, not only PostgreSQL, crashes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Nothing.
    Kept,
    /// Everything, when the machine falls over; nothing, when the server alone is killed. Tests throw it
    /// away anyway.
    Thrown,
    /// As `Kept`, with memory for a large database: for measurements.
    Measured,
}

/// Settings of a server for measurements, above PostgreSQL's defaults.
const MEASURED: [&str; 3] = ["shared_buffers=2GB", "max_wal_size=8GB", "maintenance_work_mem=512MB"];

/// Where a cluster's binaries and data are.
struct Place {
    binaries: PathBuf,
    data: PathBuf,
}

impl Place {
    fn of(workspace: &Workspace, state: &State) -> Result<Self> {
        let package = postgres_package(workspace);
        if !package.join("native/bin/postgres").is_file() {
            bail!(
                "npm brought no PostgreSQL for this machine: set DATABASE_URL to a server whose user may create roles"
            );
        }
        let native = if is_root() { copy_for_nobody(&package)? } else { package.join("native") };
        Ok(Self { binaries: native.join("bin"), data: data_folder(state) })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = unprivileged_command(self.binaries.join(program));
        // The folder that we are in may be closed to the user that this runs as.
        command.current_dir("/");
        command
    }
}

/// Starts the state's cluster on this port, creates it if there is none, and returns when it accepts connections.
pub fn start(
    workspace: &Workspace,
    state: &State,
    port: u16,
    password: &str,
    keep: Durability,
) -> Result<Running> {
    let place = Place::of(workspace, state)?;
    // By way of the state folder: data that lies elsewhere and is not linked from it belongs to a
    // folder deleted by hand.
    if !state.path("postgres").join("PG_VERSION").is_file() {
        create(&place, state, password, keep)?;
    }
    let limit = Duration::from_secs(10);
    let mut started = launch(&place, state, port, keep);
    // After a kill, the children of the old server hold its shared memory for a moment, and the server itself is a
    // zombie until its parent waits for it.
    let _ = until(limit, || {
        let log = log_tail(&state.log_path("postgres"));
        let lingers = log.contains("is still in use") || log.contains("\"postmaster.pid\" already exists");
        let again = started.is_err() && lingers;
        if again {
            started = launch(&place, state, port, keep);
        }
        !again
    });
    started
}

fn launch(place: &Place, state: &State, port: u16, keep: Durability) -> Result<Running> {
    let mut program = Program::unprivileged("postgres", place.binaries.join("postgres"), Signal::INT);
    let command =
        program.command().current_dir("/").arg("-D").arg(&place.data).args(["-p", &port.to_string()]);
    // No socket: its folder would have to be short, private and reachable at once. Loopback asks
    // for the password instead.
    for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=200"] {
        command.args(["-c", setting]);
    }
    if keep == Durability::Measured {
        MEASURED.iter().for_each(|setting| {
            command.args(["-c", setting]);
        });
    }
    if keep == Durability::Thrown {
        // Commits must still be written before they are confirmed: a test kills the server and then checks what it
        // had confirmed.
        for setting in ["fsync=off", "full_page_writes=off"] {
            command.args(["-c", setting]);
        }
    }
    wait_until_ready(program.start(state)?, place, state)
}

/// The eighth line of the server's lock file says "ready" when it is: pg_ctl looks there too.
fn wait_until_ready(mut running: Running, place: &Place, state: &State) -> Result<Running> {
    let lock = place.data.join("postmaster.pid");
    let pid = running.pid().to_string();
    let mut ended = None;
    let waited = until(Duration::from_secs(60), || {
        ended = running.ended();
        let text = fs::read_to_string(&lock).unwrap_or_default();
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        ended.is_some() || (lines.first() == Some(&pid.as_str()) && lines.get(7) == Some(&"ready"))
    });
    match (ended, waited) {
        (None, Ok(())) => Ok(running),
        _ => {
            bail!("PostgreSQL did not start; the end of its log:\n{}", log_tail(&state.log_path("postgres")))
        }
    }
}

/// Makes the cluster under another name first: an interrupted start leaves nothing that looks like
/// one.
fn create(place: &Place, state: &State, password: &str, keep: Durability) -> Result<()> {
    let parent = place.data.parent().context("a data folder has a parent")?;
    let fresh = parent.join(format!("{}.new", file_name(&place.data)));
    delete_data(state)?;
    make_reachable(parent)?;
    fs::create_dir(&fresh).with_context(|| format!("cannot make {}", fresh.display()))?;
    if is_root() {
        fs::write(owner_note(&place.data), state.folder().as_os_str().as_encoded_bytes())?;
        run(Command::new("chown").arg("65534:65534").arg(&fresh))?;
    }
    let new = Place { binaries: place.binaries.clone(), data: fresh };
    let mut initdb = new.command("initdb");
    initdb.arg("-D").arg(&new.data).args(["-U", SUPERUSER, "--auth=trust", "--encoding=UTF8"]);
    initdb.args(["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions"]);
    if keep == Durability::Thrown {
        // Passwords of tests protect nothing, and an unoptimised client computes 4,096 iterations at every connection.
        initdb.args(["--no-sync", "--set", "scram_iterations=1"]);
    }
    output(&mut initdb)?;
    single_user(&new, password)?;
    // From here on every connection needs a password, on every address.
    fs::write(new.data.join("pg_hba.conf"), "host all all 127.0.0.1/32 scram-sha-256\n")?;
    fs::rename(&new.data, &place.data)?;
    let link = state.path("postgres");
    if link != place.data {
        symlink(&place.data, link).context("cannot link the data folder")?;
    }
    Ok(())
}

/// The first statements of a cluster, by the mode that needs neither a server nor a client.
fn single_user(place: &Place, password: &str) -> Result<()> {
    let mut command = place.command("postgres");
    command.args(["--single", "-D"]).arg(&place.data).arg("postgres");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let mut input = child.stdin.take().context("a pipe was asked for")?;
    writeln!(input, "alter role {SUPERUSER} password '{password}'")?;
    writeln!(input, "create database {DATABASE}")?;
    drop(input);
    let done = child.wait_with_output()?;
    let errors = String::from_utf8_lossy(&done.stderr);
    if !done.status.success() || errors.contains("ERROR") {
        bail!("the new PostgreSQL refused its first statements:\n{errors}");
    }
    Ok(())
}

/// In the state folder, or, under root, in a folder that the user `nobody` can reach.
fn data_folder(state: &State) -> PathBuf {
    if !is_root() {
        return state.path("postgres");
    }
    let digest = Sha256::digest(state.folder().as_os_str().as_encoded_bytes());
    let name: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Path::new(ROOT_FOLDER).join(format!("data-{name}"))
}

/// Deletes the state's cluster, wherever it is.
pub fn delete_data(state: &State) -> Result<()> {
    let data = data_folder(state);
    delete(&data)?;
    delete(&data.with_file_name(format!("{}.new", file_name(&data))))?;
    delete(&owner_note(&data))?;
    delete(&state.path("postgres"))
}

/// The file that names the owning state folder, for data outside of it.
fn owner_note(data: &Path) -> PathBuf {
    data.with_extension("owner")
}

/// Deletes data outside of state folders if its state folder no longer exists, because a developer deleted it.
pub fn sweep_orphans() {
    for entry in fs::read_dir(ROOT_FOLDER).into_iter().flatten().flatten() {
        let note = entry.path();
        let Some(owner) =
            note.extension().filter(|is| *is == "owner").and_then(|_| fs::read_to_string(&note).ok())
        else {
            continue;
        };
        let data = note.with_extension("");
        if !Path::new(&owner).exists() && !runs(&data) {
            let _ = delete(&data).and_then(|()| delete(&note));
        }
    }
}

/// Whether a server runs on this data, by the pid in its lock file.
fn runs(data: &Path) -> bool {
    let lock = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    let pid = lock.lines().next().and_then(|line| line.trim().parse().ok());
    pid.and_then(Identity::of).is_some()
}

fn delete(path: &Path) -> Result<()> {
    let Ok(found) = fs::symlink_metadata(path) else { return Ok(()) };
    let deleted = if found.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    deleted.with_context(|| format!("cannot delete {}", path.display()))
}

/// A copy of the package's files that the user `nobody` can read; one for each version, shared by all states.
fn copy_for_nobody(package: &Path) -> Result<PathBuf> {
    #[derive(serde::Deserialize)]
    struct Package {
        version: String,
    }
    let Package { version } = serde_json::from_slice(&fs::read(package.join("package.json"))?)?;
    let copy = Path::new(ROOT_FOLDER).join(format!("postgresql-{version}"));
    if copy.is_dir() {
        return Ok(copy);
    }
    make_reachable(Path::new(ROOT_FOLDER))?;
    let fresh = tempfile::Builder::new().prefix("copy-").tempdir_in(ROOT_FOLDER)?;
    run(Command::new("cp").arg("-R").arg(package.join("native")).arg(fresh.path()))?;
    run(Command::new("chmod").args(["-R", "a+rX"]).arg(fresh.path()))?;
    // The second of two concurrent processes finds the first one's copy in place.
    match fs::rename(fresh.path().join("native"), &copy) {
        Err(error) if !copy.is_dir() => Err(error).context("cannot copy PostgreSQL's binaries"),
        _ => Ok(copy),
    }
}

fn make_reachable(folder: &Path) -> Result<()> {
    if is_root() {
        fs::create_dir_all(folder)?;
        run(Command::new("chmod").arg("0711").arg(folder))?;
    }
    Ok(())
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The last lines of a log, for a message.
pub fn log_tail(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
