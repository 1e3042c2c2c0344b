//! A user's living sessions exist at the edge alone; control lists and ends them by a signed call.

use serde_json::Value;
use wardgate_tests::actors::Tenant;
use wardgate_tests::stack::Stack;

#[tokio::test]
async fn the_command_line_lists_a_users_sessions_and_ends_one() {
    let stack = Stack::shared().await;
    let acme = Tenant::create(stack).await;
    let (ada, bob) = (acme.user("ada").await, acme.user("bob").await);
    let (kept, ended, foreign) = (ada.sign_in().await, ada.sign_in().await, bob.sign_in().await);
    let tenant = acme.slug.clone();
    let run = |more: &[&str]| {
        let sessions = ["user", "sessions", "ada", "--tenant", tenant.as_str(), "--json"];
        serde_json::from_str::<Value>(&stack.command(&[&sessions[..], more].concat(), "")).expect("JSON")
    };
    let living = || {
        let listed = run(&[]);
        let rows = listed["results"].as_array().expect("a list").iter();
        let mut ids: Vec<_> = rows.map(|row| row["sid"].as_str().expect("an id").to_owned()).collect();
        ids.sort();
        ids
    };
    let mut both = vec![kept.claim("sid"), ended.claim("sid")];
    both.sort();
    assert_eq!(living(), both);

    assert_eq!(run(&["--end", &ended.claim("sid"), "--yes"])["ended"], true);

    assert_eq!(living(), [kept.claim("sid")]);
    let _ = ended.try_refresh().await.expect(401);
    let _ = kept.try_refresh().await.expect(200);
    let _ = foreign.try_refresh().await.expect(200);
}
