//! Remembered devices: stored after a correct code, used in place of one, revoked.

use super::statement::{Sql, statements};

statements! {
    /// A valid device: (tenant, user, digest, now).
    LIVING_DEVICE = "
        select digest
        from living_devices
        where tenant = ?1
          and user = ?2
          and digest = ?3
          and expires_at > ?4";

    /// Uses a device in place of a code, if it is still valid: (tenant, user, digest, now, event).
    CLAIM_DEVICE = "
        update devices
        set used_at = ?4, claimed_by = ?5
        where tenant = ?1
          and user = ?2
          and digest = ?3
          and exists (
            select 1
            from living_devices
            where tenant = ?1 and user = ?2 and digest = ?3 and expires_at > ?4
          )
        returning digest";

    /// A device, under the access epoch that its user has now, where a code of this event opened a session:
    /// (tenant, user, digest, now, expiry, name, event, sid).
    INSERT_DEVICE = "
        insert into devices (tenant, user, digest, name, created_at, expires_at, access_epoch, life)
        select u.tenant, u.id, ?3, ?6, ?4, ?5, u.access_epoch, s.incarnation
        from subjects u
        join shard s on s.id = 1
        where u.tenant = ?1
          and u.id = ?2
          and exists (select 1 from claims where tenant = ?1 and user = ?2 and event = ?7)
          and exists (select 1 from families where id = ?8)
        returning digest";

    /// The fact of it: (event, tenant, now, user, sid, network, digest).
    RECORD_DEVICE = "
        insert into outbox (id, tenant, at, kind, user, sid, network, more)
        select ?1, tenant, ?3, 'device_remembered', user, ?5, ?6, json_object('device', digest)
        from devices
        where tenant = ?2
          and user = ?4
          and digest = ?7";

    /// A user's oldest devices above the limit go: (tenant, user, limit).
    EVICT_DEVICES = "
        delete from devices
        where tenant = ?1
          and user = ?2
          and digest in (
            select digest
            from devices
            where tenant = ?1 and user = ?2
            order by created_at desc, digest
            limit -1 offset ?3
          )";

    /// A user's valid devices, the newest first: (tenant, user, now).
    LIVING_DEVICES = "
        select digest as id, name, created_at, used_at, expires_at
        from living_devices
        where tenant = ?1
          and user = ?2
          and expires_at > ?3
        order by created_at desc, digest";

    /// Forgets one device of a user, or all: (tenant, user, digest or null).
    FORGET_DEVICES = "
        delete from devices
        where tenant = ?1
          and user = ?2
          and (?3 is null or digest = ?3)
        returning digest";
}
