//! A tenant's second-factor policy: for which roles, from when, and with which reason it is lifted.

use chrono::TimeDelta;
use serde_json::json;
use shared::wire::needs::{Needs, SECOND_FACTOR_POLICY};

use crate::mfa::{MFA, TOTP};
use crate::scene::{Member, Scene};

const ME: &str = "/api/user/me/";

async fn is_refused(member: &Member) -> bool {
    let answer = member.get(ME).await;
    let refused = answer.status == 401;
    assert!(refused || answer.status == 200, "{}", answer.body);
    if refused {
        assert_eq!(answer.body["messages"][0]["message"], "Token is blacklisted");
    }
    refused
}

#[tokio::test]
async fn a_token_of_whom_it_is_demanded_counts_with_a_second_factor_alone() {
    let scene = Scene::new().await;
    let (staff, client) = (scene.member("staff", "staff").await, scene.member("client", "client").await);
    let strong = scene.with_mfa(staff.id).await;
    for (roles, refused) in [
        (&["staff"][..], (true, false)),
        (&["root-admin", "co-admin"], (false, false)),
        (&["client", "staff"], (true, true)),
        (&["*"], (true, true)),
        (&[], (false, false)),
    ] {
        scene.demands(roles).await;
        assert_eq!((is_refused(&staff).await, is_refused(&client).await), refused, "{roles:?}");
        assert!(!is_refused(&strong).await);
    }
}

#[tokio::test]
async fn a_demand_begins_when_it_says() {
    let scene = Scene::new().await;
    let ada = scene.member("ada", "staff").await;
    let from = scene.control.clock.now() + TimeDelta::minutes(3);
    scene.demands(&["staff"]).await;
    assert!(is_refused(&ada).await);
    scene.sets(|settings| settings.second_factor_from = Some(from)).await;
    assert!(!is_refused(&ada).await);
    let shown = ada.get(MFA).await.expect(200).body;
    assert_eq!((&shown["required"], shown["required_from"].is_string()), (&json!(false), true));
    let client = scene.member("client", "client").await.get(MFA).await.expect(200).body;
    assert_eq!((&client["required"], &client["required_from"]), (&json!(false), &json!(null)));
    // Until then an authenticator is enrolled in a session.
    ada.post(TOTP, json!({})).await.expect(201);
    scene.control.clock.advance(TimeDelta::minutes(3));
    assert!(is_refused(&ada).await, "the moment passes without a change");
    let shown = scene.with_mfa(ada.id).await.get(MFA).await.expect(200).body;
    assert_eq!(shown["required"], true);
}

#[tokio::test]
async fn the_edge_must_understand_a_demand_and_learns_of_a_raised_one_at_once() {
    let scene = Scene::new().await;
    let document = || scene.edge.state().documents[&scene.tenant.id].clone();
    scene.push().await;
    assert_eq!(document().needs, Needs::default());
    let urgent = "select urgent from platform.edge_rows where tenant_id = $1 and kind = 'document'";
    let is_urgent = async || -> bool {
        let mut admin = scene.database.admin().await;
        sqlx::query_scalar(urgent).bind(scene.tenant.id.uuid()).fetch_one(&mut admin).await.unwrap()
    };
    scene.demands(&["staff"]).await;
    assert!(is_urgent().await);
    scene.push().await;
    assert_eq!(
        (document().needs, document().settings.second_factor_roles),
        (Needs::of(&[SECOND_FACTOR_POLICY]), vec!["staff".to_owned()])
    );
    scene.demands(&[]).await;
    assert!(!is_urgent().await);
    scene.push().await;
    assert_eq!((document().needs, document().settings.second_factor_roles), (Needs::default(), vec![]));
}

#[tokio::test]
async fn root_admins_are_let_off_with_a_reason_that_stands_in_the_log() {
    let scene = Scene::new().await;
    let root = scene.enrolled("root", "root-admin").await.member;
    let path = format!("/api/tenant/tenants/{}/", scene.tenant.id);
    let set = |roles: &[&str]| json!({"settings": {"second_factor_roles": roles}});
    root.patch(&path, set(&["root-admin", "co-admin"])).await.expect(200);
    root.patch(&path, set(&["root-admin"])).await.expect(200);
    let refused = root.patch(&path, set(&["co-admin"])).await.expect(400);
    let said = "Root-admins would not need a second factor any more: say why. It stands in the audit log.";
    assert_eq!(refused.body, json!({"reason": [said]}));
    let later = json!({"settings": {"second_factor_from": "2999-01-01T00:00:00Z"}});
    assert_eq!(root.patch(&path, later).await.expect(400).body, json!({"reason": [said]}));
    let mut change = set(&["co-admin"]);
    change["reason"] = json!(" The last phone is lost ");
    root.patch(&path, change).await.expect(200);
    let listed = root.get("/api/audit/?action=tenant.edited").await.expect(200).body;
    let details: Vec<_> = listed["results"].as_array().unwrap().iter().map(|it| &it["details"]).collect();
    assert_eq!(
        details[0],
        &json!({
            "fields": ["settings"], "reason": "The last phone is lost",
            "second_factor": {
                "from": {"roles": ["root-admin"], "from": null}, "to": {"roles": ["co-admin"], "from": null},
            },
        })
    );
    assert_eq!(details.len(), 3);
    assert!(details[1..].iter().all(|it| it.get("reason").is_none()));
}

#[tokio::test]
async fn a_role_that_is_not_there_is_refused() {
    let scene = Scene::new().await;
    let root = scene.member("root", "root-admin").await;
    let path = format!("/api/tenant/tenants/{}/", scene.tenant.id);
    for (roles, said) in [
        (json!(["admins", "*", "staff"]), "admins: there is no such role."),
        (json!(["staff", "staff"]), "A role is named twice."),
    ] {
        let refused =
            root.patch(&path, json!({"settings": {"second_factor_roles": roles}})).await.expect(400);
        assert_eq!(refused.body, json!({"second_factor_roles": [said]}));
    }
    let times = json!({"settings": {"second_factor_from": "soon"}});
    let refused = root.patch(&path, times).await.expect(400);
    assert_eq!(
        refused.body,
        json!({"second_factor_from": ["Enter a time with its zone, as 2027-01-31T08:00:00Z."]})
    );
}
