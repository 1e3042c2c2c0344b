//! The program that `./wardgate dev` starts, and that `./wardgate mail` asks.
#![allow(clippy::print_stdout, reason = "a command for people")]

use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use mailbox::shown::{Line, Shown};
use mailbox::{Kept, Mailbox, Options, page};

/// How many mails are kept; older ones are deleted.
const LIMIT: usize = 200;

#[derive(Parser)]
#[command(name = "wardgate-mailbox", about = "Keeps what it is sent by SMTP, and shows it")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Receive mails, and serve the page that shows them, until a signal comes
    Serve {
        /// Where mails are kept
        #[arg(long)]
        folder: PathBuf,
        /// Port of SMTP
        #[arg(long)]
        smtp_port: u16,
        /// Port of the page
        #[arg(long)]
        page_port: u16,
    },
    /// Print the last mail
    Last(Shape),
    /// List the mails, the newest first
    List(Shape),
}

#[derive(Args)]
struct Shape {
    /// Where mails are kept
    #[arg(long)]
    folder: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    match run(&Cli::parse().verb) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: &Verb) -> Result<ExitCode, Box<dyn std::error::Error>> {
    match verb {
        Verb::Serve { folder, smtp_port, page_port } => {
            let kept = Kept::open(folder, LIMIT)?;
            serve(kept, *smtp_port, *page_port)?;
        }
        Verb::Last(Shape { folder, json }) => {
            let kept = Kept::open(folder, LIMIT)?;
            let Some(shown) = kept.last()?.map(|(number, mail)| Shown::of(number, &mail)) else {
                eprintln!("There is no mail yet.");
                return Ok(ExitCode::FAILURE);
            };
            print(&match json {
                true => serde_json::to_string_pretty(&shown)?,
                false => shown.terminal(),
            })?;
        }
        Verb::List(Shape { folder, json }) => {
            let lines = Line::all(&Kept::open(folder, LIMIT)?)?;
            match json {
                true => print(&serde_json::to_string_pretty(&lines)?)?,
                false => lines.iter().try_for_each(|line| print(&line.text()))?,
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints a line. A reader that has ended, as `head` has after its last line, wants no more: that is no failure.
fn print(text: &str) -> std::io::Result<()> {
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

#[tokio::main(flavor = "current_thread")]
async fn serve(kept: Kept, smtp_port: u16, page_port: u16) -> std::io::Result<()> {
    let mailbox =
        Mailbox::with(Options { port: smtp_port, kept: Some(kept.clone()), ..Options::default() }).await?;
    println!("SMTP on 127.0.0.1:{}, page on http://127.0.0.1:{page_port}/mail", mailbox.port());
    page::serve(kept, page_port).await
}
