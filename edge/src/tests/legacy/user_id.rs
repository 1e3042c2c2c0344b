//! The `user_id` claim, as the old service wrote it.

use serde_json::{Value, json};
use shared::ids::UserId;
use shared::tokens::claims::UserIdForm;

use super::{acme, detail, with};
use crate::tests::fixture::{PASSWORD, claims};

#[test]
fn user_id_is_written_as_the_old_service_wrote_it_and_sub_is_the_id() {
    let (world, acme) = acme();
    acme.old_user("eve", "e-17");
    let ids: [(UserIdForm, &str, Value); 5] = [
        (UserIdForm::Integer, "acme-ada", json!(1)),
        (UserIdForm::String, "acme-ada", json!("1")),
        (UserIdForm::Integer, "eve", json!("e-17")),
        (UserIdForm::String, "eve", json!("e-17")),
        (UserIdForm::Uuid, "eve", json!(acme.user_id("eve"))),
    ];
    for (form, name, user_id) in ids {
        acme.edit(|tenant| tenant.user_id = form);
        world.advance(3001);
        let sub: UserId = acme.user_id(name);
        let login = json!({"username": name, "password": PASSWORD});
        let answer = acme.post("/api/login/", &login).expect(200);
        assert_eq!(answer.json()["user"]["id"], json!(sub), "the answer has the id itself");
        let refreshed = acme.refreshed(&answer.text("refresh"));
        for token in [&answer.text("access"), &answer.text("refresh"), &refreshed.access, &refreshed.refresh]
        {
            let claims = claims(token);
            assert_eq!((&claims["user_id"], &claims["sub"]), (&user_id, &json!(sub)), "{form:?} {name}");
        }
        assert_eq!(acme.validate(&refreshed.access).expect(200).json()["user_id"], user_id);
    }
    acme.edit(|tenant| tenant.user_id = UserIdForm::String);
    world.advance(3001);
    for spelling in [json!(1), json!("1")] {
        let answer = acme.validate(&with("access", "user_id", spelling)).expect(200);
        assert_eq!(answer.json()["user_id"], "1");
    }
    assert_eq!(detail(acme.validate(&with("access", "user_id", json!("01")))), "Token is blacklisted");
}
