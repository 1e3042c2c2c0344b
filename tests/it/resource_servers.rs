//! Resource servers keep their code and their settings: a Django project with SimpleJWT takes our
//! access tokens by JWKS and by PEM, and nothing else.

use serde_json::json;
use wardgate_tests::actors::Tenant;
use wardgate_tests::clients::{ResourceServer, Trust, bad_tokens};
use wardgate_tests::stack::Stack;

#[tokio::test]
async fn django_takes_our_access_tokens_by_jwks_and_by_pem_and_nothing_else() {
    let stack = Stack::shared().await;
    let (acme, other) = tokio::join!(Tenant::create(stack), Tenant::create(stack));
    let ada = acme.user_with("ada", json!({"roles": ["staff"]})).await;
    let eve = other.user_with("ada", json!({"roles": ["root-admin"]})).await;
    let session = ada.sign_in().await;
    let (by_jwks, by_pem) =
        tokio::join!(ResourceServer::start(&acme, Trust::Jwks), ResourceServer::start(&acme, Trust::Pem));

    let servers = [(Trust::Jwks, &by_jwks), (Trust::Pem, &by_pem)];
    let bad = bad_tokens(&acme, &session, &eve.sign_in().await).await;
    for (trust, server) in servers {
        let ada_is = json!({"user_id": ada.id, "roles": ["staff"], "tenant": acme.id});
        assert_eq!(server.whoami(&session.access).await.expect(200).json(), ada_is, "{trust:?}");
        for (what, token) in &bad {
            let reply = server.whoami(token).await;
            assert_eq!(
                (reply.status, reply.text_at("code")),
                (401, "token_not_valid".into()),
                "{trust:?} {what}"
            );
        }
    }

    // The next key was in the set when Django fetched it: a rotation needs no change of resource servers.
    let session = acme.rotated(&session).await;
    let _ = by_jwks.whoami(&session.access).await.expect(200);
    // A resource server with a configured PEM needs the next one.
    let _ = by_pem.whoami(&session.access).await.expect(401);
}
