-- One cell: the users of a tenant and the records about them. Names are unqualified, because the same text creates
-- every cell; `tenant_id` is first in every key, because a cell may hold many tenants. Row-level security is forced
-- on every table except `search_tokens`, so a wrong search_path still shows no rows.

-- The branches of a tenant: a tree.
create table branches (
    tenant_id  uuid not null,
    id         uuid not null,
    name       text not null,
    -- The name in the form in which names are compared.
    folded     text not null,
    -- Null for a branch at the top.
    parent     uuid,
    -- The ids of the branches from the top down to this one, both included. The branches below a branch are those whose
    -- path contains its id.
    path       uuid[] not null,
    -- When it was archived. From then on no user can be added to it.
    archived_at timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (tenant_id, id),
    constraint branches_name_key unique nulls not distinct (tenant_id, parent, folded),
    foreign key (tenant_id, parent) references branches (tenant_id, id),
    check (path[cardinality(path)] = id and cardinality(path) <= 8),
    check (parent is not distinct from path[cardinality(path) - 1])
);

create table roles (
    tenant_id  uuid not null,
    name       text not null,
    -- A higher number is a higher rank. Users act only on ranks below their own.
    rank       integer not null,
    predefined boolean not null,
    title       text not null default '',
    description text not null default '',
    -- Permissions by name. Empty for a predefined role, whose permissions are those of the release
    -- (`shared::contract::permissions`).
    permissions text[] not null default '{}',
    -- The permissions hold for users of this branch and of those below it. Null: for all users.
    branch     uuid,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (tenant_id, name),
    constraint roles_branch_fkey foreign key (tenant_id, branch) references branches (tenant_id, id),
    check (predefined or rank between 1 and 99),
    check (branch is null or not predefined)
);

create index roles_by_branch on roles (tenant_id, branch) where branch is not null;

-- The data key of each user, wrapped by the key of the tenant. It outlives the user: entries of the audit log about a
-- deleted user stay readable until the key is destroyed.
create table user_keys (
    tenant_id uuid not null,
    user_id   uuid not null,
    wrapped   bytea not null,
    primary key (tenant_id, user_id)
);

create table users (
    tenant_id       uuid not null,
    id              uuid not null,
    -- As typed, encrypted under the user's key; `identifiers` ensures that user names and addresses are unique.
    username        bytea not null,
    email           bytea,
    first_name      bytea not null,
    last_name       bytea not null,
    phone           bytea not null,
    status          text not null check (status in ('active', 'suspended', 'inactive', 'pending')),
    email_verified  boolean not null default false,
    -- The Argon2id verifier, sealed under the tenant's key. Null: cannot sign in, unless the
    -- password is still as another service hashed it.
    wrapped_verifier bytea,
    -- That hash, also encrypted, and its algorithm with parameters in clear: the cost of a check must be known
    -- without decrypting.
    foreign_hash    bytea,
    foreign_format  text,
    access_epoch    bigint not null default 0,
    session_epoch   bigint not null default 0,
    -- The access epoch that the last password change made.
    password_epoch  bigint not null default 0,
    -- Since when the user has the password. Null: unknown, so it counts as old as the account.
    password_changed_at timestamptz,
    -- Why the user must set a new password before a session is opened (`shared::wire::push::PasswordDue`). Null: they
    -- need not.
    password_due    text,
    -- When a one-time password expires.
    password_valid_until timestamptz,
    -- The session that was kept when the session epoch was raised to `kept_epoch`, and the lowest epoch that it may
    -- have at the edge. It is kept only while `kept_epoch` is the session epoch: a change that raises the epoch
    -- without naming a session ends this one, too.
    kept_session    text,
    kept_from       bigint,
    kept_epoch      bigint,
    last_login      timestamptz,
    -- When a link that confirms a network was last mailed to the user.
    network_mailed_at timestamptz,
    created_at      timestamptz not null,
    updated_at      timestamptz not null,
    -- The id from the legacy service, or the next free one of its numbering.
    legacy_id       text,
    -- The language of mails to the user: a language tag (BCP 47), or empty for the tenant's.
    language        text not null default '',
    -- How complete the profile is, in percent by the tenant's weights. Each write that changes it writes it
    -- (`users/completion.rs`).
    profile_completion smallint not null default 0 check (profile_completion between 0 and 100),
    -- What the edge must understand to sign the user in (`shared::wire::needs`). Control pushes it unchanged,
    -- including words that it does not know, so that a rollback to an older release grants nothing.
    needs           text[] not null default '{}',
    branch          uuid,
    constraint users_pkey primary key (tenant_id, id),
    constraint users_branch_fkey foreign key (tenant_id, branch) references branches (tenant_id, id),
    constraint users_legacy_id_key unique (tenant_id, legacy_id),
    check ((foreign_hash is null) = (foreign_format is null))
);

create index users_by_age on users (tenant_id, created_at, id);
-- Lists that are filtered by one of these are counted and paged without reading the other rows.
create index users_by_status on users (tenant_id, status, created_at, id);
create index users_by_verified on users (tenant_id, email_verified, created_at, id);
create index users_by_branch on users (tenant_id, branch, created_at, id);
create index users_by_completion on users (tenant_id, profile_completion, created_at, id);
create index users_foreign on users (tenant_id, foreign_format) where foreign_hash is not null;

-- User names and addresses share one namespace: the key is the uniqueness. Only keyed hashes are
-- kept, the same that the edge looks users up by. Ids and outstanding tokens of the legacy service are
-- hashed under labels of their own.
create table identifiers (
    tenant_id uuid not null,
    hash      text not null,
    user_id   uuid not null,
    kind      text not null default 'name' check (kind in ('name', 'legacy_user', 'legacy_token')),
    -- The version of the lookup root that the key was derived from. During a rotation, a user has identifiers of both
    -- roots.
    version   integer not null,
    constraint identifiers_pkey primary key (tenant_id, hash),
    foreign key (tenant_id, user_id) references users (tenant_id, id) on delete cascade
);

create index identifiers_legacy_tokens on identifiers (tenant_id) where kind = 'legacy_token';
create index identifiers_by_user on identifiers (tenant_id, user_id);

create table user_roles (
    tenant_id uuid not null,
    user_id   uuid not null,
    role      text not null,
    -- `users.created_at`, which never changes: a list of the users who have a role is read in its order.
    created_at timestamptz not null,
    constraint user_roles_pkey primary key (tenant_id, user_id, role),
    foreign key (tenant_id, user_id) references users (tenant_id, id) on delete cascade,
    constraint user_roles_role_fkey foreign key (tenant_id, role) references roles (tenant_id, name)
);

create index user_roles_by_role on user_roles (tenant_id, role, created_at, user_id);

-- Entries of users' profiles: education, employment, skills, certifications. A transaction that writes
-- one has locked the user's row.
create table profile_entries (
    tenant_id  uuid not null,
    user_id    uuid not null,
    id         uuid not null,
    section    text not null check (section in ('qualifications', 'employment', 'skills', 'certifications')),
    -- The place in its section, from 0 and without a gap.
    place      integer not null check (place >= 0),
    -- The fields as a JSON object, encrypted under the user's key.
    sealed     bytea not null,
    -- When a certification expires, in clear, because those that expire soon are looked for. A date alone tells nothing
    -- of its owner but that some certification ends then.
    expires_on date check (expires_on is null or section = 'certifications'),
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (tenant_id, id),
    -- Checked after a statement, so that one statement can move several entries.
    constraint profile_entries_place_key unique (tenant_id, user_id, section, place) deferrable initially immediate,
    foreign key (tenant_id, user_id) references users (tenant_id, id) on delete cascade
);

create index profile_entries_by_expiry on profile_entries (tenant_id, expires_on, id) where expires_on is not null;

-- Former passwords of a user, as many as the tenant's setting `password_history` says: verifiers, encrypted under the
-- tenant's key. The present one is in `users`.
create table password_history (
    tenant_id uuid not null,
    user_id   uuid not null,
    -- The password epoch that it had.
    epoch     bigint not null,
    wrapped   bytea not null,
    primary key (tenant_id, user_id, epoch),
    foreign key (tenant_id, user_id) references users (tenant_id, id) on delete cascade
);

-- Checks of foreign passwords, counted by the hour. `subject` is a user or, for checks of unknown users, one of a few
-- numbers: the work must not reveal whether a user exists.
create table foreign_tries (
    tenant_id uuid not null,
    subject   uuid not null,
    began_at  timestamptz not null,
    tries     integer not null,
    primary key (tenant_id, subject)
);

create index foreign_tries_by_age on foreign_tries (tenant_id, began_at);

-- Queued mails that no server has accepted yet. Recipient and content are in `sealed`, under a key of the row's own,
-- which is deleted with the row.
create table mails (
    tenant_id   uuid not null,
    id          uuid not null,
    kind        text not null,
    -- The user that it concerns, if any.
    user_id     uuid,
    -- Whether it is already counted in the budgets. If not, it waits.
    counted     boolean not null,
    -- Wrapped by the tenant's key.
    wrapped_key bytea not null,
    sealed      bytea not null,
    created_at  timestamptz not null,
    -- When it expires.
    not_after   timestamptz not null,
    primary key (tenant_id, id),
    foreign key (tenant_id, user_id) references users (tenant_id, id) on delete cascade
);

create index mails_by_user on mails (tenant_id, user_id) where user_id is not null;
create index mails_by_end on mails (tenant_id, not_after);

-- How many mails an account, or the domain of an address, may still be sent in a window that began with the first one.
create table mail_counts (
    tenant_id uuid not null,
    -- A keyed hash of the account or the domain.
    counter   bytea not null check (length(counter) = 32),
    remaining integer not null check (remaining >= 0),
    ends_at   timestamptz not null,
    primary key (tenant_id, counter)
);

create index mail_counts_by_end on mail_counts (tenant_id, ends_at);

-- Attempts to enter the current password for a change of it, in a window from the first counted attempt. At most one
-- row for each user.
create table password_tries (
    tenant_id uuid not null,
    user_id   uuid not null,
    began_at  timestamptz not null,
    tries     integer not null,
    primary key (tenant_id, user_id),
    foreign key (tenant_id, user_id) references users (tenant_id, id) on delete cascade
);

-- Authenticators of users: devices or apps that generate one-time codes (TOTP).
create table authenticators (
    tenant_id    uuid not null,
    user_id      uuid not null,
    id           uuid not null,
    -- The name that its owner gave it, encrypted under the user's key.
    name         bytea not null,
    -- The seed, encrypted under the tenant's key.
    wrapped      bytea not null,
    created_at   timestamptz not null,
    -- When its first code was accepted. Null: its enrolment is not complete, and it cannot be used.
    confirmed_at timestamptz,
    -- Wrong codes at the enrolment.
    tries        integer not null default 0,
    -- The last time step whose code was used, as far as control knows. The edge decides, and reports it in facts.
    last_step    bigint not null default 0,
    last_used_at timestamptz,
    primary key (tenant_id, id),
    foreign key (tenant_id, user_id) references users (tenant_id, id) on delete cascade
);

create index authenticators_by_user on authenticators (tenant_id, user_id);
-- A user enrols one at a time.
create unique index authenticators_enrolled on authenticators (tenant_id, user_id) where confirmed_at is null;

-- Sets of recovery codes, at most one for each user. `wrapped` is the key that the codes are hashed with, encrypted
-- under the tenant's key.
create table recovery_sets (
    tenant_id  uuid not null,
    user_id    uuid not null,
    wrapped    bytea not null,
    created_at timestamptz not null,
    primary key (tenant_id, user_id),
    foreign key (tenant_id, user_id) references users (tenant_id, id) on delete cascade
);

create table recovery_codes (
    tenant_id uuid not null,
    user_id   uuid not null,
    -- A keyed hash of the code.
    hash      bytea not null check (length(hash) = 32),
    -- When the edge accepted it. It is valid once.
    used_at   timestamptz,
    primary key (tenant_id, user_id, hash),
    foreign key (tenant_id, user_id) references recovery_sets (tenant_id, user_id) on delete cascade
);

-- Devices and countries that users signed in from, to detect new ones. At most 50 for each user.
create table seen_devices (
    tenant_id uuid not null,
    user_id   uuid not null,
    kind      text not null check (kind in ('device', 'country')),
    -- A keyed hash of browser and operating system, or of the country.
    mark      bytea not null check (length(mark) = 32),
    seen_at   timestamptz not null,
    primary key (tenant_id, user_id, mark),
    foreign key (tenant_id, user_id) references users (tenant_id, id) on delete cascade
);

-- The search index: for each user the keyed hashes of short parts of their names (`users/search/index.rs`). The row
-- with the id 00000000-0000-0000-0000-000000000000 marks the index of the tenant as complete.
--
-- Unlogged: backups with `--no-unlogged-table-data` hold no hashes that a dictionary could turn back into names. A
-- crash of PostgreSQL empties the table, including that row, and a job fills it again.
--
-- The only table without row-level security. Under it PostgreSQL uses an index only for operators that are marked
-- leakproof, and those of arrays are not: a search would read every row. The tokens of each tenant are hashed with a
-- key of its own, and the users that are found here are read again through `users`.
create unlogged table search_tokens (
    tenant_id uuid not null,
    user_id   uuid not null,
    -- The version of the root that the key was derived from.
    version   integer not null,
    tokens    bigint[] not null,
    primary key (tenant_id, user_id)
);

-- New rows wait in the pending list of the GIN index; every search reads that list, too. So its limit is half a
-- megabyte, below PostgreSQL's default.
create index search_tokens_by_token on search_tokens using gin (tokens) with (gin_pending_list_limit = 512);

-- Stored requests that wait for the proof of an address. Names and addresses are in `sealed`, under a key of the
-- row's own, which is deleted with the row.
create table requests (
    tenant_id   uuid not null,
    id          uuid not null,
    kind        text not null check (kind in ('registration', 'reset', 'resend', 'invitation', 'address', 'network')),
    -- The user that it concerns, if any.
    user_id     uuid,
    -- Wrapped by the tenant's key.
    wrapped_key bytea not null,
    sealed      bytea not null,
    -- A keyed hash of its address, if it is looked up by that.
    sought      bytea check (length(sought) = 32),
    created_at  timestamptz not null,
    expires_at  timestamptz not null,
    primary key (tenant_id, id),
    foreign key (tenant_id, user_id) references users (tenant_id, id) on delete cascade
);

create index requests_by_address on requests (tenant_id, kind, sought) where sought is not null;
create index requests_by_kind on requests (tenant_id, kind, created_at, id);
create index requests_by_user on requests (tenant_id, user_id) where user_id is not null;
create index requests_by_end on requests (tenant_id, expires_at);

-- The number of requests of a kind without a credential in a window that began with the first one. Rows of `requests`
-- cannot be counted instead: most are deleted sooner, and how soon depends on the user.
create table request_counts (
    tenant_id uuid not null,
    kind      text not null check (kind in ('registration', 'reset', 'resend')),
    began_at  timestamptz not null,
    made      integer not null,
    primary key (tenant_id, kind)
);

-- Unused links of mails. A link belongs to a user or a request.
create table links (
    tenant_id  uuid not null,
    kind       text not null check (kind in ('verify', 'reset', 'invite', 'address', 'undo', 'network')),
    -- SHA-256 of 32 random bytes.
    digest     bytea not null check (length(digest) = 32),
    user_id    uuid,
    request_id uuid,
    holder     uuid not null generated always as (coalesce(user_id, request_id)) stored,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    primary key (tenant_id, kind, digest),
    -- A newer link replaces the older one.
    constraint links_holder_key unique (tenant_id, kind, holder),
    foreign key (tenant_id, user_id) references users (tenant_id, id) on delete cascade,
    foreign key (tenant_id, request_id) references requests (tenant_id, id) on delete cascade,
    check (num_nonnulls(user_id, request_id) = 1)
);

create index links_by_end on links (tenant_id, expires_at);
create index links_by_user on links (tenant_id, user_id) where user_id is not null;
create index links_by_request on links (tenant_id, request_id) where request_id is not null;

-- The next id in the legacy service's numbering, if its ids are numbers.
create table legacy_ids (
    tenant_id uuid not null,
    next      bigint not null,
    primary key (tenant_id)
);

-- Ids of the legacy service whose users were deleted here: a repeated import must not bring them back.
create table legacy_deleted (
    tenant_id uuid not null,
    legacy_id text not null,
    primary key (tenant_id, legacy_id)
);

-- Digests of the data that the last import read of a user, under a key that no rotation changes, so that a second
-- import writes only changes.
create table legacy_imports (
    tenant_id       uuid not null,
    user_id         uuid not null,
    row_digest      bytea not null,
    password_digest bytea not null,
    -- `users.updated_at` as the import left it: another one means that the user was changed here.
    left_at         timestamptz not null,
    primary key (tenant_id, user_id),
    foreign key (tenant_id, user_id) references users (tenant_id, id) on delete cascade
);

-- TOTP devices of the legacy service. A compatible one became an authenticator here.
create table legacy_totp (
    tenant_id uuid not null,
    user_id   uuid not null,
    -- The device's id in that service.
    device    text not null,
    -- The device, encrypted under the tenant's key. Null: it became an authenticator, and a repeated import does not
    -- create another one.
    wrapped   bytea,
    primary key (tenant_id, user_id, device),
    foreign key (tenant_id, user_id) references users (tenant_id, id) on delete cascade
);

-- The tenant's audit log: a chain, each entry hashed with the hash of the one before (`db/chain.rs`). Append-only for
-- the service: its role has only INSERT and SELECT.
create table audit_entries (
    tenant_id  uuid not null,
    -- From 1, without a gap, in the order of commits.
    position   bigint not null,
    -- When it was committed; never decreases from one position to the next.
    recorded_at timestamptz not null,
    id         uuid not null,
    -- When it happened.
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
    -- The client's address and the details, in a form that the first byte names (`db/body.rs`).
    body       bytea not null,
    -- The value that a filter by the client's address compares. It is derived from `body` and is not in the hash, so
    -- that it can be rewritten or erased.
    client_key text,
    -- SHA-256 over all columns above except `client_key`, and the hash of the previous entry.
    hash       bytea not null check (length(hash) = 32),
    primary key (tenant_id, position)
);

-- The key of the tenant's audit log, wrapped by the key of the tenant. It encrypts the data of entries that concern
-- no user with a key, and hashes the addresses of clients. The chain hashes the encrypted form of entries, so this
-- key can never be replaced.
create table audit_keys (
    tenant_id uuid not null,
    wrapped   bytea not null,
    primary key (tenant_id)
);

create unique index audit_entries_event on audit_entries (tenant_id, event_id) where event_id is not null;
create index audit_entries_by_time on audit_entries (tenant_id, at desc, id desc);
create index audit_entries_by_actor on audit_entries (tenant_id, actor, at desc, id desc) where actor is not null;
create index audit_entries_by_target on audit_entries (tenant_id, target, at desc, id desc) where target is not null;
create index audit_entries_by_action on audit_entries (tenant_id, action, at desc, id desc);

alter table roles enable row level security;
alter table roles force row level security;
create policy tenant_rows on roles
    using (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);
-- The predefined roles stay as they are. They may be locked, so `using` lets them pass.
create policy predefined_unchanged on roles as restrictive for update using (true) with check (not predefined);
create policy predefined_kept on roles as restrictive for delete using (not predefined);

alter table branches enable row level security;
alter table branches force row level security;
create policy tenant_rows on branches
    using (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);

alter table user_keys enable row level security;
alter table user_keys force row level security;
create policy tenant_rows on user_keys
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

alter table audit_keys enable row level security;
alter table audit_keys force row level security;
create policy tenant_rows on audit_keys
    using (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);

alter table password_history enable row level security;
alter table password_history force row level security;
create policy tenant_rows on password_history
    using (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);

alter table profile_entries enable row level security;
alter table profile_entries force row level security;
create policy tenant_rows on profile_entries
    using (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);

alter table foreign_tries enable row level security;
alter table foreign_tries force row level security;
create policy tenant_rows on foreign_tries
    using (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);

alter table requests enable row level security;
alter table requests force row level security;
create policy tenant_rows on requests
    using (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);

alter table request_counts enable row level security;
alter table request_counts force row level security;
create policy tenant_rows on request_counts
    using (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);

alter table links enable row level security;
alter table links force row level security;
create policy tenant_rows on links
    using (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);

alter table mails enable row level security;
alter table mails force row level security;
create policy tenant_rows on mails
    using (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);

alter table mail_counts enable row level security;
alter table mail_counts force row level security;
create policy tenant_rows on mail_counts
    using (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);

alter table seen_devices enable row level security;
alter table seen_devices force row level security;
create policy tenant_rows on seen_devices
    using (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);

alter table password_tries enable row level security;
alter table password_tries force row level security;
create policy tenant_rows on password_tries
    using (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);

alter table authenticators enable row level security;
alter table authenticators force row level security;
create policy tenant_rows on authenticators
    using (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);

alter table recovery_sets enable row level security;
alter table recovery_sets force row level security;
create policy tenant_rows on recovery_sets
    using (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);

alter table recovery_codes enable row level security;
alter table recovery_codes force row level security;
create policy tenant_rows on recovery_codes
    using (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);

alter table legacy_ids enable row level security;
alter table legacy_ids force row level security;
create policy tenant_rows on legacy_ids
    using (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);

alter table legacy_imports enable row level security;
alter table legacy_imports force row level security;
create policy tenant_rows on legacy_imports
    using (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);

alter table legacy_totp enable row level security;
alter table legacy_totp force row level security;
create policy tenant_rows on legacy_totp
    using (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);

alter table legacy_deleted enable row level security;
alter table legacy_deleted force row level security;
create policy tenant_rows on legacy_deleted
    using (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);
