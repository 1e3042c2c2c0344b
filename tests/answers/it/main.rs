//! The program: a folder of answers and a document in, differences and an exit code out.

use std::fs;
use std::process::Command;

use serde_json::json;

/// The output of the program for one answer, and whether it accepts the answer.
fn held(status: u16, arguments: &[&str]) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let answers = folder.path().join("answers");
    fs::create_dir(&answers).unwrap();
    let seen = json!({"method": "GET", "route": "healthz", "status": status, "media_type": "", "body": ""});
    fs::write(answers.join("1.jsonl"), format!("{seen}\n")).unwrap();
    let document = folder.path().join("openapi.json");
    let responses = json!({"200": {"description": "alive"}, "503": {"description": "not"}});
    fs::write(&document, json!({"paths": {"/healthz": {"get": {"responses": responses}}}}).to_string())
        .unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_answers"));
    let done = program.arg(&answers).arg(&document).args(arguments).output().unwrap();
    (done.status.success(), String::from_utf8(done.stdout).unwrap())
}

#[test]
fn an_answer_that_is_not_described_fails() {
    let (content, said) = held(418, &["--part"]);
    assert!(!content && said.contains("GET /healthz 418: not in the document"), "{said}");
}

#[test]
fn a_status_that_no_test_has_seen_fails_unless_only_some_ran() {
    let (content, said) = held(200, &[]);
    assert!(!content && said.contains("GET /healthz 503: described, and no test has seen it"), "{said}");
    assert_eq!(held(200, &["--part"]), (true, String::from("1 answers\n")));
}
