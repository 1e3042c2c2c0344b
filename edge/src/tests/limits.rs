//! The table of limits: what is enforced, published.

use shared::contract::limits;

use super::fixture::{Request, World};

#[test]
fn the_limits_are_published_whatever_is_away() {
    let world = World::new();
    let acme = world.tenant("acme");
    world.new_isolate();
    world.memory().store_down.set(true);
    world.memory().control_down.set(true);
    let urls =
        ["https://auth.example/api/limits/".to_owned(), acme.url("/api/limits"), acme.url("/api/limits/")];
    for url in urls {
        let batches = world.memory().batches.get();
        let answer = world.send(Request::new("GET", &url)).expect(200);
        assert_eq!(world.memory().batches.get(), batches, "{url}");
        assert_eq!(answer.json()["limits"], serde_json::Value::from(limits::table()));
        assert_eq!(answer.json()["limits"]["account_attempts_max"], 100);
        assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
        assert_eq!(world.send(Request::new("HEAD", &url)).expect(200).text, "");
        world.send(Request::new("POST", &url)).expect(405);
        world.send(Request::new("OPTIONS", &url)).expect(200);
    }
}
