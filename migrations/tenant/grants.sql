-- The privileges of each role in one cell. Run completely after every migration of the cell, in one transaction: a
-- privilege that is missing here is revoked.
revoke all on schema {cell} from public;
revoke all on all tables in schema {cell} from {app}, {relay};
grant usage on schema {cell} to {app};

grant select, insert, update (name, folded, parent, path, archived_at, updated_at), delete on {cell}.branches to {app};
grant select, insert, update (rank, title, description, permissions, branch, updated_at), delete on {cell}.roles to {app};
grant select, insert, update, delete on {cell}.users to {app};
grant select, insert, update (wrapped) on {cell}.user_keys to {app};
grant select, insert, update, delete on {cell}.identifiers to {app};
grant select, insert, delete on {cell}.user_roles to {app};
grant select, insert on {cell}.audit_entries to {app};
grant select, insert, update (wrapped) on {cell}.audit_keys to {app};
grant select, insert, update (wrapped), delete on {cell}.password_history to {app};
grant select, insert, update (place, sealed, expires_on, updated_at), delete on {cell}.profile_entries to {app};
grant select, insert, update, delete on {cell}.foreign_tries to {app};
grant select, insert, update, delete on {cell}.mails to {app};
grant select, insert, update, delete on {cell}.mail_counts to {app};
grant select, insert, update, delete on {cell}.password_tries to {app};
grant select, insert, update, delete on {cell}.seen_devices to {app};
grant select, insert, update, delete on {cell}.authenticators to {app};
grant select, insert, update (wrapped), delete on {cell}.recovery_sets to {app};
grant select, insert, update (used_at), delete on {cell}.recovery_codes to {app};
grant select, insert, update on {cell}.legacy_ids to {app};
grant select, insert on {cell}.legacy_deleted to {app};
grant select, insert, update on {cell}.legacy_imports to {app};
grant select, insert, update, delete on {cell}.legacy_totp to {app};
grant select, insert, update, delete on {cell}.search_tokens to {app};
grant select, insert, update, delete on {cell}.requests to {app};
grant select, insert, update on {cell}.request_counts to {app};
grant select, insert, update, delete on {cell}.links to {app};
