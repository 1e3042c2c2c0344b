//! `answers FOLDER DOCUMENT [--part]`: holds the kept answers against a document. With `--part` only some
//! tests ran, and what they have not seen says nothing.
#![expect(clippy::print_stdout, reason = "what this program is for")]

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs, io};

use answers::Seen;
use answers::described::Described;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (folder, document, part) = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [folder, document] => (folder, document, false),
        [folder, document, "--part"] => (folder, document, true),
        _ => {
            println!("usage: answers FOLDER DOCUMENT [--part]");
            return ExitCode::from(2);
        }
    };
    match differences(Path::new(folder), Path::new(document), part) {
        Ok(differences) if differences.is_empty() => ExitCode::SUCCESS,
        Ok(differences) => {
            println!("{}", differences.join("\n"));
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("{error}");
            ExitCode::from(2)
        }
    }
}

fn differences(folder: &Path, document: &Path, part: bool) -> io::Result<Vec<String>> {
    let document = serde_json::from_slice(&fs::read(document)?)?;
    let described = Described::new(&document);
    let mut answers: Vec<Seen> = Vec::new();
    for entry in fs::read_dir(folder)? {
        for line in fs::read_to_string(entry?.path())?.lines() {
            answers.push(serde_json::from_str(line)?);
        }
    }
    println!("{} answers", answers.len());
    let unseen = if part { Default::default() } else { described.unseen(&answers) };
    Ok(described.differences(&answers).into_iter().chain(unseen).collect())
}
