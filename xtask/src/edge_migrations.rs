//! The migrations of D1, which go through two splitters before SQLite sees them: wrangler's, when they are
//! applied locally or by file, and that of Cloudflare's API, which `d1 migrations apply --remote` sends the
//! whole text to. The latter is reported to know `BEGIN` and `END` in capitals alone (workers-sdk, issues
//! 10998 and 15314), so a trigger in lower case would be cut at its first inner semicolon.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::run::output;
use crate::tools::node_command;
use crate::workspace::Workspace;

/// Where they are.
pub const FOLDER: &str = "migrations/edge";
/// The words that begin and end what has semicolons inside.
const BLOCKS: [&str; 3] = ["BEGIN", "CASE", "END"];

/// Refuses a migration that spells one of [`BLOCKS`] otherwise than in capitals.
pub fn check(folder: &Path) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.sort();
    if files.is_empty() {
        bail!("{} has no migration", folder.display());
    }
    for file in files {
        let sql = fs::read_to_string(&file)?;
        if let Some((line, word)) = misspelled(&sql) {
            bail!(
                "{}:{line}: write {} in capitals: D1 cuts a trigger at its first semicolon otherwise",
                file.display(),
                word.to_ascii_uppercase()
            );
        }
    }
    Ok(())
}

/// The first line and word that D1 would not know.
fn misspelled(sql: &str) -> Option<(usize, String)> {
    let code = without_texts(sql);
    let mut lines = (1..).zip(code.lines());
    lines.find_map(|(number, line)| {
        let mut words = line.split(|c: char| !(c.is_alphanumeric() || c == '_'));
        let wrong = words.find(|word| {
            let capitals = word.to_ascii_uppercase();
            BLOCKS.contains(&capitals.as_str()) && *word != capitals
        });
        wrong.map(|word| (number, word.to_owned()))
    })
}

/// The text with spaces in place of comments, strings and quoted names; lines stay where they are.
fn without_texts(sql: &str) -> String {
    let mut code = String::with_capacity(sql.len());
    let mut until: Option<&str> = None;
    let mut rest = sql;
    while let Some(next) = rest.chars().next() {
        let (ends, begins) = match until {
            Some(end) => (rest.starts_with(end).then_some(end.len()), None),
            None => {
                let texts = [("--", "\n"), ("/*", "*/"), ("'", "'"), ("\"", "\""), ("`", "`"), ("[", "]")];
                (None, texts.into_iter().find(|(begin, _)| rest.starts_with(begin)))
            }
        };
        let taken = match (ends, begins) {
            (Some(end), _) => {
                until = None;
                end
            }
            (None, Some((begin, end))) => {
                until = Some(end);
                begin.len()
            }
            (None, None) => next.len_utf8(),
        };
        let is_code = until.is_none() && ends.is_none();
        let (text, after) = rest.split_at(taken);
        code.extend(text.chars().map(|c| if is_code || c == '\n' { c } else { ' ' }));
        rest = after;
    }
    code
}

/// Applies them with wrangler to databases that are thrown away, in both ways that docs/deployment.md names.
pub fn apply(workspace: &Workspace) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let wrangler = |state: &str, arguments: &[&str]| {
        let mut wrangler = node_command(workspace)?;
        wrangler.arg(workspace.npm("wrangler/bin/wrangler.js")).args(["d1"]).args(arguments);
        wrangler.args(["--local", "--persist-to"]).arg(scratch.path().join(state));
        output(wrangler.current_dir(&workspace.root))
    };
    wrangler("applied", &["migrations", "apply", "DB_0"])?;
    let mut files = fs::read_dir(workspace.root.join(FOLDER))?
        .map(|entry| Ok(entry?.path().display().to_string()))
        .collect::<Result<Vec<_>>>()?;
    files.sort();
    for file in files {
        wrangler("executed", &["execute", "DB_0", "--yes", "--file", &file])?;
    }
    let schema = "select type, name, sql from sqlite_master
        where name not like 'd1_%' and name not like '_cf_%' and name not like 'sqlite_%' order by type, name";
    let shown = |state| wrangler(state, &["execute", "DB_0", "--json", "--command", schema]);
    let (applied, executed) = (results(&shown("applied")?)?, results(&shown("executed")?)?);
    if applied != executed || !applied.to_string().contains("trigger") {
        bail!("the two ways to apply {FOLDER} leave different schemas");
    }
    Ok(())
}

/// The rows of a statement, without how long it took.
fn results(answer: &str) -> Result<serde_json::Value> {
    let answer: serde_json::Value = serde_json::from_str(answer)?;
    Ok(answer[0]["results"].clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_migrations_are_spelled_as_d1_wants_them() {
        check(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(FOLDER)).unwrap();
    }

    #[test]
    fn lower_case_is_refused_with_its_line() {
        let trigger =
            "create table t (a);\ncreate trigger x after insert on t BEGIN\n  delete from t;\nEND;\n";
        assert_eq!(misspelled(trigger), None);
        assert_eq!(misspelled(&trigger.replace("BEGIN", "begin")), Some((2, "begin".into())));
        assert_eq!(misspelled(&trigger.replace("END", "End")), Some((4, "End".into())));
        let cased = trigger.replace("delete from t", "select case when a then 1 end from t");
        assert_eq!(misspelled(&cased), Some((3, "case".into())));
        let folder = tempfile::tempdir().unwrap();
        assert!(check(folder.path()).is_err(), "nothing checked is not fine");
        fs::write(folder.path().join("0001.sql"), trigger.replace("END", "end")).unwrap();
        let refused = check(folder.path()).unwrap_err().to_string();
        assert!(refused.ends_with(
            "0001.sql:4: write END in capitals: D1 cuts a trigger at its first semicolon otherwise"
        ));
    }

    #[test]
    fn comments_strings_and_names_may_say_what_they_like() {
        for harmless in [
            "-- the end\nselect 1;",
            "/* begin\n end */ select 1;",
            "select 'it''s the end';",
            "select \"end\", `begin`, [case] from t;",
            "select ended_at, the_end from t;",
        ] {
            assert_eq!(misspelled(harmless), None, "{harmless}");
        }
        assert_eq!(misspelled("select 'a' ; end"), Some((1, "end".into())));
    }
}
