-- One cell: the people of a tenant and what is done to them. Unqualified, because the same text
-- makes every cell; `tenant_id` first in every key, because a cell may hold many tenants.
-- Row security is forced on every table, so a wrong search_path still shows nothing.

create table roles (
    tenant_id  uuid not null,
    name       text not null,
    -- Greater is mightier. Nobody acts on a rank at or above their own.
    rank       integer not null,
    predefined boolean not null,
    primary key (tenant_id, name)
);

create table users (
    tenant_id       uuid not null,
    id              uuid not null,
    -- As typed; `identifiers` decides who may have it.
    username        text not null,
    email           text,
    first_name      text not null default '',
    last_name       text not null default '',
    phone           text not null default '',
    status          text not null check (status in ('active', 'suspended', 'inactive', 'pending')),
    email_verified  boolean not null default false,
    -- The Argon2id verifier, wrapped by control's key-encryption key. Null: cannot sign in.
    wrapped_verifier bytea,
    access_epoch    bigint not null default 0,
    session_epoch   bigint not null default 0,
    -- The access epoch that the last password change made.
    password_epoch  bigint not null default 0,
    last_login      timestamptz,
    created_at      timestamptz not null,
    updated_at      timestamptz not null,
    constraint users_pkey primary key (tenant_id, id)
);

create index users_by_age on users (tenant_id, created_at, id);
create index users_by_username on users (tenant_id, username, id);
create index users_by_email on users (tenant_id, coalesce(email, ''), id);

-- User names and addresses share one namespace: the key is the uniqueness. Only keyed hashes are
-- kept, the same that the edge looks people up by.
create table identifiers (
    tenant_id uuid not null,
    hash      text not null,
    user_id   uuid not null,
    constraint identifiers_pkey primary key (tenant_id, hash),
    foreign key (tenant_id, user_id) references users (tenant_id, id) on delete cascade
);

create index identifiers_by_user on identifiers (tenant_id, user_id);

create table user_roles (
    tenant_id uuid not null,
    user_id   uuid not null,
    role      text not null,
    constraint user_roles_pkey primary key (tenant_id, user_id, role),
    foreign key (tenant_id, user_id) references users (tenant_id, id) on delete cascade,
    constraint user_roles_role_fkey foreign key (tenant_id, role) references roles (tenant_id, name)
);

create index user_roles_by_role on user_roles (tenant_id, role);

-- Append-only for the service: its role may insert and read, nothing else.
create table audit_entries (
    tenant_id  uuid not null,
    id         uuid not null,
    at         timestamptz not null,
    -- `person` of the tenant, `platform` (an administrator of the platform tenant), `operator` (the
    -- command line), `edge`, or `control` itself.
    actor_kind text not null check (actor_kind in ('person', 'platform', 'operator', 'edge', 'control')),
    actor      text,
    action     text not null,
    outcome    text not null check (outcome in ('done', 'refused')),
    target     text,
    -- The id of the fact at the edge: a second delivery finds it here.
    event_id   uuid,
    request_id text,
    client     text,
    details    jsonb not null default '{}',
    primary key (tenant_id, id)
);

create unique index audit_entries_event on audit_entries (tenant_id, event_id) where event_id is not null;
create index audit_entries_by_time on audit_entries (tenant_id, at desc, id desc);

alter table roles enable row level security;
alter table roles force row level security;
create policy tenant_rows on roles
    using (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);

alter table users enable row level security;
alter table users force row level security;
create policy tenant_rows on users
    using (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);

alter table identifiers enable row level security;
alter table identifiers force row level security;
create policy tenant_rows on identifiers
    using (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);

alter table user_roles enable row level security;
alter table user_roles force row level security;
create policy tenant_rows on user_roles
    using (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);

alter table audit_entries enable row level security;
alter table audit_entries force row level security;
create policy tenant_rows on audit_entries
    using (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);
