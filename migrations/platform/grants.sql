-- The privileges of each role in the schema `platform`. Run completely after every migration, in one transaction: a
-- privilege that is missing here is revoked.
revoke all on schema platform from public;
revoke all on all tables in schema platform from {app}, {relay};
grant usage on schema platform to {app}, {relay};

grant select on platform.cells to {app}, {relay};
grant select, insert, update on platform.tenants to {app};
grant select, insert, update, delete on platform.hosts to {app};
grant select, insert on platform.issuers to {app};
grant select, insert, update, delete on platform.former_claims to {app};
grant select, insert, update (wrapped), delete on platform.first_admins to {app};
grant select, insert on platform.key_ids to {app};
grant select, insert, update on platform.signing_keys to {app};
grant select, insert, update (wrapped), delete on platform.roots to {app};
grant select, insert, update, delete on platform.session_rotations to {app};
grant select, insert, update, delete on platform.lookup_rotations to {app};
grant select, insert, update, delete on platform.mail_senders to {app};
grant select, insert, update, delete on platform.captchas to {app};
grant select, insert, update (wrapped, wrapped_by, retired_at), delete on platform.tenant_keys to {app};
grant select, insert, update on platform.revisions to {app};
grant select, insert, update on platform.edge_rows to {app};
grant select, insert, update on platform.audit_heads to {app};
grant select, insert on platform.audit_archives to {app};
grant select, insert, update on platform.setup_tokens to {app};
grant select, insert, update on platform.idempotency_keys to {app};

-- The relay role finds due work and records its progress. It reads no user and no key.
grant select on platform.tenants to {relay};
grant select, update on platform.revisions to {relay};
grant select on platform.session_rotations to {relay};
grant select, update, delete on platform.edge_rows to {relay};
grant select, insert, update on platform.edge_lanes to {relay};
grant select, insert, update, delete on platform.drains to {relay};
grant select, insert, delete on platform.held_facts to {relay};
grant select, delete on platform.idempotency_keys to {relay};
grant select on platform.audit_heads to {relay};
grant select, insert, update on platform.audit_checkpoints to {relay};
grant select on platform.edge_lanes to {app};

-- It finds which tenants' keys must be wrapped again or replaced, and reads no key.
revoke all (tenant_id, version, wrapped_by, created_at) on platform.tenant_keys from {relay};
grant select (tenant_id, version, wrapped_by, created_at) on platform.tenant_keys to {relay};
drop policy if exists relay_rows on platform.tenant_keys;
create policy relay_rows on platform.tenant_keys for select to {relay} using (true);
