-- The schema `platform`: which tenants there are, what signs for them, and what the edge must learn.
-- Run with `search_path = platform` as the owner. Privileges are in grants.sql, because the roles'
-- names depend on a setting.

-- A cell is a schema that holds the users of one tenant, or of many.
create table cells (
    name        text primary key check (name ~ '^t_[a-z0-9_]{1,38}$'),
    kind        text not null check (kind in ('schema', 'shared')),
    -- The last tenant migration that was applied whole; 0 before the first.
    version     bigint not null default 0,
    created_at  timestamptz not null,
    migrated_at timestamptz
);

create table tenants (
    id          uuid primary key,
    -- A deleted tenant keeps its row, so its slug and id are never given again.
    slug        text not null constraint tenants_slug_key unique,
    name        text not null,
    -- The name in the one form in which texts are compared: what a search reads.
    search      text not null default '',
    status      text not null check (status in ('provisioning', 'active', 'suspended', 'deleted')),
    is_platform boolean not null default false,
    isolation   text not null check (isolation in ('schema', 'shared')),
    cell        text not null,
    -- What its tokens say of it, and outsiders store: set when it is made, never derived again.
    issuer      text not null,
    audience    text,
    settings    jsonb not null,
    -- What the edge must understand to sign anybody in here (`shared::wire::needs`), pushed as it stands.
    needs       text[] not null default '{}',
    -- How `user_id` is written in tokens.
    user_id_form text not null default 'uuid' check (user_id_form in ('uuid', 'integer', 'string')),
    -- Key, date and marker of the legacy service's tokens that are still accepted (`shared::legacy`).
    legacy      jsonb,
    -- Whether somebody's password is still as another service hashed it, and until when such ones are
    -- checked; null: until none is left.
    foreign_left boolean not null default false,
    foreign_until timestamptz,
    -- When users of another service first came.
    imported_at timestamptz,
    -- The longest `settings.absolute_secs` before the present one: sessions that were begun under it may live.
    longest_session_secs bigint not null default 0,
    created_at  timestamptz not null,
    updated_at  timestamptz not null,
    deleted_at  timestamptz
);

create unique index tenants_one_platform on tenants (is_platform) where is_platform;
create index tenants_foreign on tenants (foreign_until) where foreign_left;
create index tenants_legacy on tenants (id) where legacy is not null;

-- A host given up by an edit leaves; the hosts of a deleted tenant stay and are never given again.
create table hosts (
    host      text constraint hosts_pkey primary key,
    -- Its A-labels as the letters that they stand for, for a search.
    in_letters text not null,
    tenant_id uuid not null references tenants (id),
    position  integer not null,
    unique (tenant_id, position) deferrable initially deferred
);

-- An issuer is one tenant's for good, its former ones and those of deleted tenants included: outsiders may
-- trust it long after it was changed.
create table issuers (
    issuer    text constraint issuers_pkey primary key,
    tenant_id uuid not null references tenants (id)
);

-- What `iss` and `aud` were before a change, while such tokens may live.
create table former_claims (
    tenant_id uuid not null references tenants (id),
    issuer    text not null,
    audience  text,
    ended_at  timestamptz not null,
    -- From when they are refused; null until the edge confirmed the change, for it issues such tokens till then.
    until     timestamptz,
    primary key (tenant_id, ended_at)
);

-- The first administrator of a tenant without a cell yet, sealed under the tenant's key: it holds a name and a verifier.
-- The job that makes the cell takes it.
create table first_admins (
    tenant_id uuid primary key references tenants (id),
    wrapped   bytea not null
);

-- Which tenants have, or had, a key: asked across all tenants, so everybody may read it. It says no more
-- than the published key sets do.
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
    -- Sealed under the tenant's key; gone once the key can sign no more.
    wrapped_private bytea,
    imported        boolean not null,
    created_at      timestamptz not null,
    -- When the edge confirmed that it publishes the key: caches of the key set count from here.
    confirmed_at    timestamptz,
    -- When it begins to sign; known once a rotation has chosen it.
    sign_from       timestamptz,
    -- When the edge forgets a retired or revoked key.
    remove_at       timestamptz,
    ended_at        timestamptz,
    constraint signing_keys_pkey primary key (tenant_id, kid),
    -- No key is written without its id.
    foreign key (kid, tenant_id) references key_ids (kid, tenant_id)
);

-- One key signs, and one waits, at most.
create unique index signing_keys_one_active on signing_keys (tenant_id) where state = 'active';
create unique index signing_keys_one_next on signing_keys (tenant_id) where state = 'next';

-- The data keys of tenants, wrapped by a key-encryption key of the key provider. A tenant has one, and a second one while
-- what the first one sealed is sealed anew under it.
create table tenant_keys (
    tenant_id  uuid not null references tenants (id),
    version    integer not null check (version > 0),
    wrapped    bytea not null,
    -- The id of the key-encryption key, which stands in `wrapped`, too: what another one wrapped is found by it.
    wrapped_by text not null,
    -- By the clock of the database, since controls with other clocks decide by its age whether it seals.
    created_at timestamptz not null,
    -- From then on nothing that it seals is committed.
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

-- A change of a tenant's session root that is under way.
create table session_rotations (
    tenant_id uuid primary key references tenants (id),
    -- Of the new root.
    version   integer not null,
    begun_at  timestamptz not null,
    -- From when it signs: known once the edge has confirmed that it knows the root.
    sign_from timestamptz,
    -- When the one before leaves, which then has signed for no session that lives: known once the edge has confirmed
    -- `sign_from`.
    remove_at timestamptz
);

-- The rotation of a tenant's lookup root that is under way (`users/lookup/`). The root of `version` comes in, and the
-- other lookup root goes out.
create table lookup_rotations (
    tenant_id   uuid primary key references tenants (id),
    version     integer not null,
    -- In this order: identifiers are made with the new root beside the others; the edge takes them; the new root is
    -- in force; the others go; the old root is kept for what cannot be made anew.
    stage       text not null check (stage in ('adding', 'confirming', 'switched', 'removing', 'former')),
    began_at    timestamptz not null,
    -- What the edge must have confirmed before the new root is in force.
    rev         bigint,
    switched_at timestamptz,
    -- When the edge had confirmed that.
    confirmed_at timestamptz,
    -- Whether an operator gave up what cannot be made anew.
    forget      boolean not null default false,
    -- When there is something to do next.
    due_at      timestamptz not null
);

-- The server through which a tenant sends its mail, and as whom, where it has one of its own. Sealed under the tenant's
-- key: it holds a password.
create table mail_senders (
    tenant_id  uuid primary key references tenants (id),
    wrapped    bytea not null,
    updated_at timestamptz not null
);

alter table mail_senders enable row level security;
alter table mail_senders force row level security;
create policy tenant_rows on mail_senders
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

-- The counter that orders every change the edge must learn, and how far the edge has confirmed.
create table revisions (
    tenant_id    uuid primary key references tenants (id),
    -- Raised by `edges reseed` after a restore from a backup.
    history      bigint not null default 1,
    rev          bigint not null default 0,
    -- What the edge answered last: its history and mark.
    mark_history bigint not null default 0,
    mark         bigint not null default 0,
    confirmed_at timestamptz,
    -- The highest revision of a tombstone that was swept: a mark below it needs a snapshot.
    swept        bigint not null default 0,
    -- Set when the edge knows more than we do: nothing is written for this tenant until a reseed.
    halted_at    timestamptz,
    halted_why   text
) with (fillfactor = 70);

create index revisions_behind on revisions (tenant_id)
    where rev > mark or history <> mark_history;

-- Where the audit log of each tenant ends. A writer locks the row right before COMMIT, so positions have no gap
-- and their order is that of commits.
create table audit_heads (
    tenant_id   uuid primary key references tenants (id),
    -- Of the last entry; 0 before the first.
    position    bigint not null default 0,
    hash        bytea not null default decode(repeat('00', 32), 'hex') check (length(hash) = 32),
    recorded_at timestamptz
) with (fillfactor = 70);

-- Up to where each log is covered by a signed checkpoint that was copied out. Apart from the heads, so that
-- noting it keeps no writer waiting.
create table audit_checkpoints (
    tenant_id uuid primary key references tenants (id),
    history   bigint not null,
    position  bigint not null,
    -- Since when a newer one is due that is not out.
    due_since timestamptz
);

-- Which entries of each log are in archives. The manifest is the signed line that stands with the checkpoints, too.
-- Rows of entries in archives may be removed.
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
    -- In the tenant's present history: a raised one makes the edge take every row again.
    rev        bigint not null,
    -- A change that revokes and has not reached the edge yet.
    urgent     boolean not null,
    -- The id of the edge's key-encryption key under which this revision is sealed: a control that has another one gives
    -- the row a new revision before it sends it. Null where nothing is sealed.
    sealed_by  text,
    deleted_at timestamptz,
    primary key (tenant_id, kind, subject)
);

create index edge_rows_by_rev on edge_rows (tenant_id, rev);
create index edge_rows_by_seal on edge_rows (sealed_by, tenant_id) where sealed_by is not null;
create index edge_rows_urgent on edge_rows (tenant_id) where urgent;
create index edge_rows_tombstones on edge_rows (deleted_at) where deleted_at is not null;

-- Who is sending what, so that several controls share the work; a lease outlives one request only.
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

-- Facts of the edge that their tenant could not take when they came, in their order. Its lane `facts` says
-- why, and when they are offered again.
create table held_facts (
    tenant_id uuid not null references tenants (id),
    -- The fact's id at the edge.
    id        uuid not null,
    place     bigint generated always as identity,
    fact      jsonb not null,
    primary key (tenant_id, id)
);

create index held_facts_in_order on held_facts (tenant_id, place);

-- How far the outbox of an edge has been taken over. The control that takes holds the row's lock.
create table drains (
    edge       text primary key,
    -- The id of the key-encryption key under which everything is to be sealed, once a change of it was asked for.
    reseal_to  text,
    cursor     jsonb,
    drained_at timestamptz,
    last_error text
);

-- Creations that asked to happen once. Kept is what tells a repeat from another request, never the
-- answer; user, route and key are one keyed hash.
create table idempotency_keys (
    tenant_id  uuid not null references tenants (id),
    claim      bytea not null,
    -- A keyed hash of what was asked for.
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
