//! Many users at once, by SQL: sealed as any user is, and unknown to the edge.

use control::crypt::personal::UserKey;
use control::db::TenantTx;
use control::users::Profile;
use control::users::store::{PersonalColumns, insert_keys};
use shared::ids::UserId;
use uuid::Uuid;

/// Makes active users with these profiles, each a second older than the one before. They have no identifiers.
pub async fn insert(tx: &mut TenantTx, profiles: &[Profile]) -> Vec<UserId> {
    let (mut ids, mut keys, mut columns): (Vec<Uuid>, _, _) = (vec![], vec![], vec![]);
    for profile in profiles {
        let id = UserId::new(0, control::world::random().unwrap());
        let (key, wrapped) = UserKey::make(tx.keys(), id).unwrap();
        ids.push(id.uuid());
        keys.push(wrapped);
        columns.push(PersonalColumns::of(&key, profile).unwrap());
    }
    insert_keys(tx, &ids, &keys).await.unwrap();
    let column =
        |of: fn(&PersonalColumns) -> &Vec<u8>| columns.iter().map(|it| of(it).clone()).collect::<Vec<_>>();
    sqlx::query(
        "insert into users
             (tenant_id, id, username, email, first_name, last_name, phone, status, created_at, updated_at)
         select nullif(current_setting('app.tenant', true), '')::uuid, id, username, email, first_name, last_name,
             phone, 'active', now() - n * interval '1 second', now()
         from unnest($1::uuid[], $2::bytea[], $3::bytea[], $4::bytea[], $5::bytea[], $6::bytea[]) with ordinality
             as u (id, username, email, first_name, last_name, phone, n)",
    )
    .bind(&ids)
    .bind(column(|it| &it.username))
    .bind(columns.iter().map(|it| it.email.clone()).collect::<Vec<_>>())
    .bind(column(|it| &it.first_name))
    .bind(column(|it| &it.last_name))
    .bind(column(|it| &it.phone))
    .execute(&mut **tx)
    .await
    .unwrap();
    ids.into_iter().map(UserId::from).collect()
}
