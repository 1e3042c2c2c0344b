-- The schema `platform`: the tenants, their signing keys, and the changes for the edge. Run with `search_path =
-- platform` as the owner. Privileges are in grants.sql, because the roles' names depend on a setting.

-- A cell is a schema with the users of one tenant, or of many.
create table cells (
    name        text primary key check (name ~ '^t_[a-z0-9_]{1,38}$'),
    kind        text not null check (kind in ('schema', 'shared')),
    -- The last tenant migration that was applied completely; 0 before the first.
    version     bigint not null default 0,
    created_at  timestamptz not null,
    migrated_at timestamptz
);

create table tenants (
    id          uuid primary key,
    -- A deleted tenant keeps its row, so its slug and id are never given again.
    slug        text not null constraint tenants_slug_key unique,
    name        text not null,
    -- The name in the normalised form for comparisons, which a search reads.
    search      text not null default '',
    status      text not null check (status in ('provisioning', 'active', 'suspended', 'deleted')),
    is_platform boolean not null default false,
    isolation   text not null check (isolation in ('schema', 'shared')),
    cell        text not null,
    -- The issuer of its tokens, which resource servers store: set when the tenant is created, never derived again.
    issuer      text not null,
    audience    text,
    settings    jsonb not null,
    -- What the edge must understand to sign users of the tenant in (`shared::wire::needs`), pushed unchanged.
    needs       text[] not null default '{}',
    -- How `user_id` is written in tokens.
    user_id_form text not null default 'uuid' check (user_id_form in ('uuid', 'integer', 'string')),
    -- Key, date and marker of the legacy service's tokens that are still accepted (`shared::legacy`).
    legacy      jsonb,
    -- Whether a user's password is still as another service hashed it, and until when such hashes are checked; null:
    -- until none is left.
    foreign_left boolean not null default false,
    foreign_until timestamptz,
    -- When users of another service were first imported.
    imported_at timestamptz,
    -- The longest `settings.absolute_secs` before the present one: sessions that began under it may still be valid.
    longest_session_secs bigint not null default 0,
    created_at  timestamptz not null,
    updated_at  timestamptz not null,
    deleted_at  timestamptz
);

create unique index tenants_one_platform on tenants (is_platform) where is_platform;
create index tenants_foreign on tenants (foreign_until) where foreign_left;
create index tenants_legacy on tenants (id) where legacy is not null;

-- An edit deletes the row of a host that it removes; the hosts of a deleted tenant stay and are never assigned again.
create table hosts (
    host      text constraint hosts_pkey primary key,
    -- Its A-labels decoded to Unicode, for a search.
    in_letters text not null,
    tenant_id uuid not null references tenants (id),
    position  integer not null,
    unique (tenant_id, position) deferrable initially deferred
);

-- An issuer belongs to one tenant for good, including former ones and those of deleted tenants: resource servers may
-- trust it long after a change.
create table issuers (
    issuer    text constraint issuers_pkey primary key,
    tenant_id uuid not null references tenants (id)
);

-- `iss` and `aud` before a change, while tokens with them may be valid.
create table former_claims (
    tenant_id uuid not null references tenants (id),
    issuer    text not null,
    audience  text,
    ended_at  timestamptz not null,
    -- From when they are refused; null until the edge has confirmed the change, because it issues such tokens until
    -- then.
    until     timestamptz,
    primary key (tenant_id, ended_at)
);

-- The first administrator of a tenant without a cell yet, encrypted under the tenant's key: it holds a name and a
-- verifier. The job that creates the cell deletes it.
create table first_admins (
    tenant_id uuid primary key references tenants (id),
    wrapped   bytea not null
);

-- Which tenants have, or had, a key: read across all tenants, so every role may read it. It reveals no more than the
-- published key sets.
create table key_ids (
    kid       text not null,
    tenant_id uuid not null references tenants (id),
    primary key (kid, tenant_id)
);

create table signing_keys (
    tenant_id       uuid not null references tenants (id),
    kid             text not null,
    state           text not null check (state in ('next', 'active', 'retired', 'revoked', 'removed')),
    bits            integer not null check (bits >= 2048),
    public_jwk      jsonb not null,
    -- Encrypted under the tenant's key; null once the key can no longer sign.
    wrapped_private bytea,
    imported        boolean not null,
    created_at      timestamptz not null,
    -- When the edge confirmed that it publishes the key: caches of the key set count from here.
    confirmed_at    timestamptz,
    -- When it begins to sign; set once a rotation has chosen it.
    sign_from       timestamptz,
    -- When the edge deletes a retired or revoked key.
    remove_at       timestamptz,
    ended_at        timestamptz,
    constraint signing_keys_pkey primary key (tenant_id, kid),
    -- No key is written without its id.
    foreign key (kid, tenant_id) references key_ids (kid, tenant_id)
);

-- At most one key signs, and one waits.
create unique index signing_keys_one_active on signing_keys (tenant_id) where state = 'active';
create unique index signing_keys_one_next on signing_keys (tenant_id) where state = 'next';

-- The data keys of tenants, wrapped by a key-encryption key of the key provider. A tenant has one, and a second one
-- while values of the first are re-encrypted.
create table tenant_keys (
    tenant_id  uuid not null references tenants (id),
    version    integer not null check (version > 0),
    wrapped    bytea not null,
    -- The id of the key-encryption key, which `wrapped` contains, too: keys that another one wrapped are found by it.
    wrapped_by text not null,
    -- By the clock of the database, because control processes with other clocks decide by its age whether it
    -- encrypts.
    created_at timestamptz not null,
    -- From then on no value that it encrypts is committed.
    retired_at timestamptz,
    primary key (tenant_id, version)
);

alter table tenant_keys enable row level security;
alter table tenant_keys force row level security;
create policy tenant_rows on tenant_keys
    using (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);

create index tenant_keys_by_wrapping on tenant_keys (wrapped_by, tenant_id);

-- The secrets from which a tenant's MAC keys are derived (see `shared::derive`). `search` and `import` stay in control.
create table roots (
    tenant_id  uuid not null references tenants (id),
    kind       text not null check (kind in ('session', 'lookup', 'search', 'import')),
    version    integer not null,
    wrapped    bytea not null,
    created_at timestamptz not null,
    primary key (tenant_id, kind, version)
);

-- A change of a tenant's session root in progress.
create table session_rotations (
    tenant_id uuid primary key references tenants (id),
    -- The version of the new root.
    version   integer not null,
    begun_at  timestamptz not null,
    -- From when it signs: set once the edge has confirmed that it has the root.
    sign_from timestamptz,
    -- When the former root is removed, because no valid session has a token of it then: set once the edge has
    -- confirmed `sign_from`.
    remove_at timestamptz
);

-- The rotation of a tenant's lookup root in progress (`users/lookup/`). The root of `version` is the new one, and
-- replaces the other.
create table lookup_rotations (
    tenant_id   uuid primary key references tenants (id),
    version     integer not null,
    -- In this order: identifiers under the new root are added; the edge gets them; the new root is in use; the old
    -- identifiers are deleted; the old root is kept for values that cannot be hashed again.
    stage       text not null check (stage in ('adding', 'confirming', 'switched', 'removing', 'former')),
    began_at    timestamptz not null,
    -- The revision that the edge must have confirmed before the new root is in use.
    rev         bigint,
    switched_at timestamptz,
    -- When the edge confirmed it.
    confirmed_at timestamptz,
    -- Whether an operator gave up the values that cannot be hashed again.
    forget      boolean not null default false,
    -- The time of the next step.
    due_at      timestamptz not null
);

-- The tenant's own mail server and sender address, if it has them. Encrypted under the tenant's key: it holds a
-- password.
create table mail_senders (
    tenant_id  uuid primary key references tenants (id),
    wrapped    bytea not null,
    updated_at timestamptz not null
);

alter table mail_senders enable row level security;
alter table mail_senders force row level security;
create policy tenant_rows on mail_senders
    using (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);

-- The CAPTCHA that a tenant asks for, where it does: all but the secret, which is sealed under the tenant's key.
create table captchas (
    tenant_id  uuid primary key references tenants (id),
    policy     jsonb not null,
    wrapped    bytea not null,
    updated_at timestamptz not null
);

alter table captchas enable row level security;
alter table captchas force row level security;
create policy tenant_rows on captchas
    using (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);

alter table key_ids enable row level security;
alter table key_ids force row level security;
create policy all_rows on key_ids for select using (true);
create policy tenant_rows on key_ids for insert
    with check (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);

alter table signing_keys enable row level security;
alter table signing_keys force row level security;
create policy tenant_rows on signing_keys
    using (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);

alter table roots enable row level security;
alter table roots force row level security;
create policy tenant_rows on roots
    using (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);

-- The counter that orders all changes for the edge, and how far the edge has confirmed them.
create table revisions (
    tenant_id    uuid primary key references tenants (id),
    -- Raised by `edges reseed` after a restore from a backup.
    history      bigint not null default 1,
    rev          bigint not null default 0,
    -- The edge's last answer: its history and mark.
    mark_history bigint not null default 0,
    mark         bigint not null default 0,
    confirmed_at timestamptz,
    -- The highest revision of a deleted tombstone: an edge with a mark below it needs a snapshot.
    swept        bigint not null default 0,
    -- Set when the edge has a later revision than control: nothing is pushed for this tenant until a reseed.
    halted_at    timestamptz,
    halted_why   text
) with (fillfactor = 70);

create index revisions_behind on revisions (tenant_id)
    where rev > mark or history <> mark_history;

-- The end of the audit log of each tenant. A writer locks the row right before COMMIT, so positions have no gap and
-- their order is that of commits.
create table audit_heads (
    tenant_id   uuid primary key references tenants (id),
    -- The position of the last entry; 0 before the first.
    position    bigint not null default 0,
    hash        bytea not null default decode(repeat('00', 32), 'hex') check (length(hash) = 32),
    recorded_at timestamptz
) with (fillfactor = 70);

-- Up to which position a signed and copied checkpoint covers each log. It is separate from the heads, so that writing
-- it blocks no writer.
create table audit_checkpoints (
    tenant_id uuid primary key references tenants (id),
    history   bigint not null,
    position  bigint not null,
    -- Since when a newer checkpoint is due.
    due_since timestamptz
);

-- Which entries of each log are in archives. The manifest is the signed line that is also stored with the
-- checkpoints. Rows of archived entries may be deleted.
create table audit_archives (
    tenant_id uuid not null references tenants (id),
    starts    bigint not null check (starts > 0),
    ends      bigint not null check (ends >= starts),
    manifest  text not null,
    primary key (tenant_id, starts)
);

-- The latest revision of every row that the edge holds. A second change moves the row, so the
-- table is as large as the edge's state and not as long as its history.
create table edge_rows (
    tenant_id  uuid not null references tenants (id),
    -- A session's row is a tombstone; its subject is `<user>/<session>`.
    kind       text not null check (kind in ('document', 'name', 'user', 'identifier', 'session')),
    subject    text not null,
    -- In the tenant's present history: a higher one makes the edge accept every row again.
    rev        bigint not null,
    -- A change that revokes and has not reached the edge yet.
    urgent     boolean not null,
    -- The id of the edge's key-encryption key under which this revision is sealed: a control process with another one
    -- gives the row a new revision before it sends it. Null if nothing is sealed.
    sealed_by  text,
    deleted_at timestamptz,
    primary key (tenant_id, kind, subject)
);

create index edge_rows_by_rev on edge_rows (tenant_id, rev);
create index edge_rows_by_seal on edge_rows (sealed_by, tenant_id) where sealed_by is not null;
create index edge_rows_urgent on edge_rows (tenant_id) where urgent;
create index edge_rows_tombstones on edge_rows (deleted_at) where deleted_at is not null;

-- Leases of pushes, so that several control processes share the work; a lease lasts for one request.
create table edge_lanes (
    tenant_id     uuid not null references tenants (id),
    lane          text not null check (lane in ('backlog', 'urgent', 'facts')),
    leased_until  timestamptz,
    attempts      integer not null default 0,
    retry_at      timestamptz,
    failing_since timestamptz,
    last_error    text,
    primary key (tenant_id, lane)
);

-- Facts of the edge that could not be stored for their tenant when they arrived, in their order. The tenant's lane
-- `facts` has the reason and the time of the next attempt.
create table held_facts (
    tenant_id uuid not null references tenants (id),
    -- The fact's id at the edge.
    id        uuid not null,
    place     bigint generated always as identity,
    fact      jsonb not null,
    primary key (tenant_id, id)
);

create index held_facts_in_order on held_facts (tenant_id, place);

-- How far the outbox of an edge has been drained. The control process that drains holds the row's lock.
create table drains (
    edge       text primary key,
    -- The id of the key-encryption key to seal everything under, once its change was requested.
    reseal_to  text,
    cursor     jsonb,
    drained_at timestamptz,
    last_error text
);

-- Creations with an idempotency key. It stores what distinguishes a repetition from another request, never the
-- answer; user, route and key are one keyed hash.
create table idempotency_keys (
    tenant_id  uuid not null references tenants (id),
    claim      bytea not null,
    -- A keyed hash of the request.
    body       bytea not null,
    status     smallint not null,
    object     uuid not null,
    created_at timestamptz not null,
    primary key (tenant_id, claim)
);

create index idempotency_keys_by_age on idempotency_keys (created_at);

-- `wardgate bootstrap` prints a token once; only its digest is kept.
create table setup_tokens (
    digest     bytea primary key,
    expires_at timestamptz not null,
    used_at    timestamptz
);
