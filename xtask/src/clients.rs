//! Third-party clients and servers for the tests: Python with the packages of a resource server and of a key service,
//! Node packages, a browser, and gateways. Only `test` installs them.
//!
//! The packages are pinned under `tests/clients`; Traefik and Envoy are among Python's. The browser is the one that
//! is installed on the machine: the browsers in package registries are built for cloud functions, and not for every
//! processor (docs/decisions/0006-the-machines-own-browser.md). nginx is the one on the machine, or Debian's package,
//! which is unpacked here and not installed, because its installation starts a server.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::run::{output, run};
use crate::tools::{digest_of, install_npm, npm_is_current};
use crate::workspace::Workspace;

/// Names of a browser on PATH, and where macOS keeps applications. The script `wardgate` looks for
/// the same.
const BROWSERS: [&str; 6] = [
    "chromium",
    "google-chrome",
    "google-chrome-stable",
    "chromium-browser",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
];

/// Succeeds in a Python that our packages know and that can make an environment.
const PROBE: &str =
    "import sys, venv, ensurepip; print(sys.version.split()[0]); sys.exit(sys.version_info < (3, 10))";

/// Where they are.
pub struct Clients {
    /// Python with the packages.
    pub python: PathBuf,
    /// Chromium or Chrome.
    pub browser: PathBuf,
    /// nginx.
    pub nginx: PathBuf,
}

impl Clients {
    /// Adds whatever is missing, but for a Python and a browser, which the machine has to bring.
    pub fn install(workspace: &Workspace) -> Result<Self> {
        let (browser, python) = (browser()?, Python::find()?);
        let nginx = nginx(workspace).map_or_else(|| unpack_nginx(workspace), Ok)?;
        install_npm(&folder(workspace).join("node"), || Ok(()))?;
        let python = python.install(workspace)?;
        Ok(Self { python, browser, nginx })
    }
}

/// The folder of their programs and pins.
pub fn folder(workspace: &Workspace) -> PathBuf {
    workspace.root.join("tests/clients")
}

/// Whether the pinned packages are what is installed.
pub fn are_current(workspace: &Workspace) -> Result<bool> {
    let node = npm_is_current(&folder(workspace).join("node"))?;
    Ok(node && Python::find().is_ok_and(|python| python.is_current(workspace).unwrap_or(false)))
}

/// Chromium or Chrome, the one of `WARDGATE_CHROMIUM` before any other.
pub fn browser() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("WARDGATE_CHROMIUM").map(PathBuf::from) {
        anyhow::ensure!(named.is_file(), "WARDGATE_CHROMIUM names no file: {}", named.display());
        return Ok(named);
    }
    BROWSERS.iter().find_map(|name| on_path(name)).context(
        "the tests need Chromium or Chrome: `apt-get install chromium` on Debian, `brew install --cask \
         google-chrome` on macOS, or name one in WARDGATE_CHROMIUM",
    )
}

/// The first file of this name in the folders of PATH; an absolute name is itself.
fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|place| place.is_file())
}

/// nginx: the machine's, which Debian keeps off the PATH of users, or the one that was unpacked here.
pub fn nginx(workspace: &Workspace) -> Option<PathBuf> {
    let unpacked = unpacked_nginx(workspace).join("usr/sbin/nginx");
    on_path("nginx").or_else(|| on_path("/usr/sbin/nginx")).or_else(|| unpacked.is_file().then_some(unpacked))
}

fn unpacked_nginx(workspace: &Workspace) -> PathBuf {
    workspace.root.join("build/nginx")
}

/// Debian's package, which apt verifies, unpacked under build/.
fn unpack_nginx(workspace: &Workspace) -> Result<PathBuf> {
    let folder = unpacked_nginx(workspace);
    let download = tempfile::tempdir()?;
    fs::create_dir_all(&folder)?;
    let fetch = || -> Result<()> {
        let get =
            || run(Command::new("apt-get").args(["download", "-qq", "nginx"]).current_dir(download.path()));
        if get().is_err() {
            // A fresh machine has no lists yet; only root may fetch them.
            run(Command::new("apt-get").args(["update", "-qq"]))?;
            get()?;
        }
        for package in fs::read_dir(download.path())? {
            run(Command::new("dpkg").arg("-x").arg(package?.path()).arg(&folder))?;
        }
        Ok(())
    };
    fetch().context(
        "the tests need nginx: `apt-get install nginx` on Debian (which starts a server), `brew install nginx` \
         on macOS",
    )?;
    let nginx = folder.join("usr/sbin/nginx");
    run(Command::new(&nginx).arg("-v").stderr(Stdio::null())).context("Debian's nginx does not run here")?;
    Ok(nginx)
}

/// A Python of the machine.
pub struct Python {
    program: &'static str,
    /// Its version.
    pub version: String,
}

impl Python {
    /// The first usable one: a `python3` on PATH may be a custom build that lacks modules of Debian's.
    pub fn find() -> Result<Self> {
        for program in ["python3", "/usr/bin/python3"] {
            if let Ok(version) = output(Command::new(program).args(["-c", PROBE])) {
                return Ok(Self { program, version: version.trim().to_owned() });
            }
        }
        bail!(
            "the tests need Python 3.10 or later with its module venv: `apt-get install python3 python3-venv` \
             on Debian, `brew install python` on macOS"
        )
    }

    /// An environment under build/ with exactly what requirements.txt pins.
    fn install(&self, workspace: &Workspace) -> Result<PathBuf> {
        let python = environment(workspace).join("bin/python");
        if self.is_current(workspace)? {
            return Ok(python);
        }
        run(Command::new(self.program).args(["-m", "venv", "--clear"]).arg(environment(workspace)))?;
        // Only wheels, for the same reason that npm runs no scripts: a build runs unreviewed code.
        run(Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"])
            .args(["--require-hashes", "--only-binary", ":all:", "--requirement"])
            .arg(requirements(workspace)))?;
        fs::write(stamp(workspace), self.wanted(workspace)?).context("cannot note the installed packages")?;
        Ok(python)
    }

    fn is_current(&self, workspace: &Workspace) -> Result<bool> {
        let wanted = self.wanted(workspace)?;
        // The environment's Python is a link, which dangles when the machine's was replaced.
        let lives = environment(workspace).join("bin/python").is_file();
        Ok(lives && fs::read_to_string(stamp(workspace)).is_ok_and(|noted| noted == wanted))
    }

    /// Packages hold code that was built for one Python.
    fn wanted(&self, workspace: &Workspace) -> Result<String> {
        Ok(format!("{} for Python {}", digest_of(&requirements(workspace))?, self.version))
    }
}

fn environment(workspace: &Workspace) -> PathBuf {
    workspace.root.join("build/python")
}

fn requirements(workspace: &Workspace) -> PathBuf {
    folder(workspace).join("python/requirements.txt")
}

fn stamp(workspace: &Workspace) -> PathBuf {
    environment(workspace).join(".wardgate-lock")
}
