//! `dev`: builds and runs everything on this machine, until it is asked to end.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::bundle::{self, Kind};
use crate::cli::{DevOptions, StateOption};
use crate::dev_json::{self, DevJson};
use crate::edge::Message;
use crate::events::{Event, Events, Stopped};
use crate::ledger::PATIENCE;
use crate::ports::{DEFAULT_BASE, Ports};
use crate::stack::Stack;
use crate::state::{Held, State};
use crate::steps::Steps;
use crate::wait::until;
use crate::workspace::Workspace;
use crate::{control, dev_vars, greeting, postgres, secrets, tools};

/// The name of `dev` itself in the ledger.
const DEV: &str = "dev";

/// The state folder that was asked for.
pub fn folder(workspace: &Workspace, option: &StateOption) -> PathBuf {
    option.state.clone().unwrap_or_else(|| workspace.root.join(".wardgate"))
}

/// Runs until asked to end.
pub fn run(workspace: &Workspace, options: &DevOptions) -> Result<()> {
    let folder = folder(workspace, &options.state);
    if options.reset && State::find(&folder).is_none() && folder.exists() {
        bail!("{} is not a state folder of Wardgate: nothing in it is deleted", folder.display());
    }
    let state = State::create(&folder)?;
    let Some(held) = state.hold()? else { bail!(greeting::who_runs(&state)) };
    if options.detach {
        drop(held);
        return detach(&state);
    }
    let events = Events::listen()?;
    match run_held(workspace, &held, options, &events) {
        // Whatever failed because we were asked to end is no failure of its own.
        Err(_) if events.go_on().is_err() => Err(Stopped.into()),
        other => other,
    }
}

fn run_held(workspace: &Workspace, held: &Held, options: &DevOptions, events: &Events) -> Result<()> {
    let state = &held.state;
    clean_up_after_the_last_one(state)?;
    let external = std::env::var("DATABASE_URL").ok().filter(|url| !url.is_empty());
    if options.reset {
        if external.is_some() {
            bail!(
                "--reset empties the state folder alone and never the database of DATABASE_URL: the two would not fit"
            );
        }
        held.empty()?;
    }
    let secrets = secrets(state, options, external.as_deref())?;
    Ports::from_base(secrets.port_base).ensure_free()?;
    state.ledger().record(DEV, std::process::id(), Signal::TERM)?;

    let mut steps = Steps::new(9 + usize::from(options.prepare), events);
    steps.step("Tools: Wasm target, npm packages", || tools::install(workspace))?;
    steps.noted("Worker: build the bundle", || bundle::build(workspace, Kind::Production))?;
    steps.step("Control and the mailbox: build the binaries", || control::build(workspace))?;
    let mut stack = Stack::new(workspace, events, state.clone(), secrets, external.as_deref())?;
    if !dev_vars::leave(&workspace.root, state)? {
        println!("      .dev.vars is not ours and stays as it is: a plain `wrangler dev` reads that");
    }
    steps.step("PostgreSQL: start", || stack.start_postgres())?;
    steps.step("PostgreSQL: roles, schema and cells", || stack.migrate())?;
    steps.step("Edge: start the Worker on workerd", || stack.start_edge())?;
    steps.step("Mailbox: start", || stack.start_mailbox())?;
    steps.step("Control: start", || stack.start_control())?;
    let people = steps.step("Tenant acme and the administrators", || stack.ensure_people())?;

    let mut dev_json = DevJson::of(&stack, &people, greeting::now());
    if options.prepare {
        steps.step("Edge: take everything over", || stack.settle())?;
        stack.stop();
        state.ledger().clear()?;
        greeting::print_prepared(&dev_json, &steps.elapsed());
        return Ok(());
    }
    dev_json.publish(&stack)?;
    greeting::print(&dev_json, &steps.elapsed());
    watch(&mut stack, &mut dev_json, events)?;

    println!("\nStopping the edge, control, the mailbox and PostgreSQL ...");
    dev_json::remove(state);
    stack.stop();
    state.ledger().clear()?;
    println!("Stopped.");
    Ok(())
}

/// Whatever a killed `dev` could not stop.
fn clean_up_after_the_last_one(state: &State) -> Result<()> {
    dev_json::remove(state);
    postgres::sweep_orphans();
    let stopped = state.ledger().clean()?;
    if !stopped.is_empty() {
        println!("Stopped what the last run left behind: {}.", stopped.join(", "));
    }
    Ok(())
}

/// The folder's secrets, new ones in a new folder. Ports and kind of database stay what they were.
fn secrets(state: &State, options: &DevOptions, external: Option<&str>) -> Result<secrets::Secrets> {
    let file = state.path("secrets.json");
    let Some(kept) = secrets::Secrets::read(&file)? else {
        let made = secrets::Secrets::generate(options.port_base.unwrap_or(DEFAULT_BASE), external.is_none())?;
        made.write(&file)?;
        return Ok(made);
    };
    if options.port_base.is_some_and(|base| base != kept.port_base) {
        bail!(
            "this state was made for --port-base {}, which its tokens name: use --reset, or another --state",
            kept.port_base
        );
    }
    match (kept.managed_database, external) {
        (true, Some(_)) => {
            bail!("this state has a PostgreSQL of its own: unset DATABASE_URL, or use another --state")
        }
        (false, None) => bail!("this state was made with DATABASE_URL, which is not set now"),
        _ => Ok(kept),
    }
}

/// Runs until a signal ends it. A part that ends by itself is reported and not restarted, because the other parts
/// work without it; `restart` starts it again.
fn watch(stack: &mut Stack<'_>, dev_json: &mut DevJson, events: &Events) -> Result<()> {
    loop {
        match events.next(Duration::from_secs(60)) {
            Some(Event::Stop) => return Ok(()),
            Some(Event::Restart) => match stack.restart() {
                Ok(()) => println!("Everything runs again."),
                Err(error) => println!("Could not restart: {error:#}"),
            },
            Some(Event::Edge(Message::Restarted { workerd_pid })) => {
                println!("workerd ended and was started again.");
                if let Some(edge) = &mut stack.edge {
                    edge.set_workerd(&stack.state, workerd_pid)?;
                }
            }
            Some(Event::ChildEnded | Event::Edge(Message::Ready { .. })) | None => {}
        }
        for words in stack.take_ended() {
            println!("{words}; the other parts still run. `./wardgate restart` starts it again.");
        }
        dev_json.publish(stack)?;
    }
}

/// Starts a `dev` that outlives us, shows what it says, and returns when it is ready or has failed.
fn detach(state: &State) -> Result<()> {
    let log = state.log(DEV)?;
    let arguments = std::env::args_os().skip(1).filter(|argument| argument != "--detach");
    let mut child = Command::new(std::env::current_exe()?)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()
        .context("cannot start")?;
    let mut shown = File::open(state.log_path(DEV))?;
    loop {
        let ended = child.try_wait()?;
        let ready = DevJson::read(state).is_some_and(|found| found.pid == child.id());
        show_news(&mut shown)?;
        match ended {
            Some(_) => bail!("dev has ended"),
            None if ready => return show_news(&mut shown),
            None => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

fn show_news(log: &mut File) -> Result<()> {
    std::io::copy(log, &mut std::io::stdout()).map(|_| ()).context("cannot show the log")
}

/// Stops the `dev` of this state, or what a killed one left.
pub fn stop(workspace: &Workspace, option: &StateOption) -> Result<()> {
    let folder = folder(workspace, option);
    let Some(state) = State::find(&folder) else { bail!("nothing was ever started in {}", folder.display()) };
    let running = state.ledger().living(DEV);
    if let Some(dev) = &running {
        dev.signal(Signal::TERM);
        // It stops four programs, each of which may take its time.
        let _ = until(PATIENCE * 5, || !dev.lives());
    }
    let Some(held) = state.hold()? else { bail!("dev does not end: {}", greeting::who_runs(&state)) };
    dev_json::remove(&held.state);
    let left_behind = held.state.ledger().clean()?;
    match (running, left_behind.as_slice()) {
        (Some(_), _) => println!("Stopped."),
        (None, []) => println!("Nothing runs."),
        (None, names) => println!("Stopped what the last run left behind: {}.", names.join(", ")),
    }
    Ok(())
}

/// Asks the running `dev` to start what has ended, and waits until it has.
pub fn restart(workspace: &Workspace, option: &StateOption) -> Result<()> {
    let running =
        State::find(&folder(workspace, option)).and_then(|state| Some((state.ledger().living(DEV)?, state)));
    let Some((dev, state)) = running else { bail!("no dev runs here: ./wardgate dev") };
    dev.signal(Signal::USR1);
    let whole = || DevJson::read(&state).is_some_and(|found| found.ready);
    if until(Duration::from_secs(90), || whole() || !dev.lives()).is_err() || !whole() {
        bail!("not everything runs: see the logs in {}", state.path("logs").display());
    }
    println!("Everything runs.");
    Ok(())
}
