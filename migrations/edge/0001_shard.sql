-- One D1 shard. Rows that control pushes carry (history, rev) and are only replaced by newer ones; rows that the edge
-- creates (families, attempts, outbox) are changed by conditional statements. Times are Unix milliseconds. Every
-- tenant's key begins with the tenant.

-- A random id of the database (another one after a reset), and the head of its feed. A reader that sees another id,
-- or a head below its cursor, drops its cached data of the shard.
create table shard (
  id integer primary key check (id = 1),
  incarnation text not null,
  head integer not null default 0,
  clean_cursor text not null default ''
);
insert into shard (id, incarnation) values (1, lower(hex(randomblob(16))));

-- What changed, in order; written by the triggers below in the batch that makes the change. Of the users and
-- families of one tenant it has at most 4000 rows, so that no read of it is large: see `crowds`.
create table feed (
  seq integer primary key autoincrement,
  at integer not null,
  kind text not null check (kind in ('document', 'name', 'user', 'family', 'crowd', 'calm')),
  tenant text not null,
  subject text not null,
  history integer,
  rev integer,
  status text,
  access_epoch integer,
  password_epoch integer
);
create index feed_tenant on feed (tenant, seq);
create trigger feed_head after insert on feed BEGIN
  update shard set head = new.seq;
END;

-- The number of users and families of a tenant in the feed. A tenant above the limit is crowded: its changes are no
-- longer written to the feed, and an isolate that checks a token of the tenant reads its user and its family. That
-- ends when no unexpired token can be affected by the changes that are not in the feed.
create table crowds (
  tenant text primary key,
  told integer not null default 0,
  -- When a change was last left out of the feed; null: the tenant is not crowded.
  at integer
) without rowid;
create index crowds_at on crowds (at) where at is not null;
create index crowds_unused on crowds (tenant) where told = 0 and at is null;
create trigger crowds_began after update of at on crowds when new.at is not null and old.at is null BEGIN
  insert into feed (at, kind, tenant, subject) values (new.at, 'crowd', new.tenant, new.tenant);
END;
create trigger feed_told after insert on feed when new.kind in ('user', 'family') BEGIN
  update crowds set told = told + 1 where tenant = new.tenant;
END;
create trigger feed_swept after delete on feed when old.kind in ('user', 'family') BEGIN
  update crowds set told = told - 1 where tenant = old.tenant;
END;

-- Users and families that changed are inserted here: into the feed, unless their tenant is crowded.
create view changes as
select at, kind, tenant, subject, status, access_epoch, password_epoch from feed;
create trigger changes_are_told instead of insert on changes BEGIN
  insert into crowds (tenant)
  select new.tenant
  where not exists (select 1 from crowds where tenant = new.tenant);
  update crowds
  set at = max(coalesce(at, 0), new.at)
  where tenant = new.tenant and (at is not null or told >= 4000);
  insert into feed (at, kind, tenant, subject, status, access_epoch, password_epoch)
  select new.at, new.kind, new.tenant, new.subject, new.status, new.access_epoch, new.password_epoch
  where exists (select 1 from crowds where tenant = new.tenant and at is null);
END;

-- Hosts and slugs. A row without a tenant is a tombstone.
create table names (
  name text primary key,
  tenant text,
  shard integer not null,
  history integer not null,
  rev integer not null,
  changed_at integer not null,
  stamp text
) without rowid;
create index names_tombstones on names (changed_at) where tenant is null;
create index names_tenant on names (tenant);
create trigger names_inserted after insert on names BEGIN
  insert into feed (at, kind, tenant, subject) values (new.changed_at, 'name', coalesce(new.tenant, ''), new.name);
END;
create trigger names_updated after update of tenant, shard on names
when new.tenant is not old.tenant or new.shard is not old.shard BEGIN
  insert into feed (at, kind, tenant, subject) values (new.changed_at, 'name', coalesce(new.tenant, ''), new.name);
END;

-- Tenants' documents: the authoritative ones at the edge; KV holds copies. rev is the document's revision.
create table tenants (
  id text primary key,
  status text not null,
  history integer not null,
  rev integer not null,
  document text not null,
  -- SHA-256 of the document's bytes, as Content-Digest writes it (RFC 9530). A copy with another digest is never
  -- used: an attacker may be able to write to KV but not to D1.
  digest text not null,
  -- What a reader must understand to sign users of the tenant in, as a JSON list; null: nothing.
  needs text,
  -- The roles that need a second factor, as a JSON list; null: none.
  factor_roles text,
  -- From when on they need it; null: at once.
  factor_from integer,
  -- For how many days devices may be remembered; 0: not at all.
  device_days integer not null default 0,
  -- Tighter timeouts of sessions, as a JSON list of `role`, `idle` and `absolute` (milliseconds, or null); null: none.
  role_timeouts text,
  kv_history integer not null default 0,
  kv_rev integer not null default 0,
  changed_at integer not null
) without rowid;
create index tenants_kv_behind on tenants (id)
where history > kv_history or (history = kv_history and rev > kv_rev);
-- Names and documents are pushed independently of each other. A name that came before its tenant was unknown until
-- here: isolates that remember it as such learn of it by the feed.
create trigger tenants_inserted after insert on tenants BEGIN
  insert into feed (at, kind, tenant, subject, history, rev, status)
  values (new.changed_at, 'document', new.id, new.id, new.history, new.rev, new.status);
  insert into feed (at, kind, tenant, subject)
  select new.changed_at, 'name', new.id, name from names where tenant = new.id;
END;
create trigger tenants_updated after update of history, rev on tenants
when (new.history, new.rev) is not (old.history, old.rev) BEGIN
  insert into feed (at, kind, tenant, subject, history, rev, status)
  values (new.changed_at, 'document', new.id, new.id, new.history, new.rev, new.status);
END;

-- The revision up to which the edge has all changes of a tenant.
create table marks (
  tenant text primary key,
  history integer not null,
  rev integer not null
) without rowid;

-- Users: what a sign-in needs, no name, no address. Status deleted is a tombstone.
create table users (
  tenant text not null,
  id text not null,
  history integer not null,
  rev integer not null,
  status text not null,
  access_epoch integer not null,
  session_epoch integer not null,
  password_epoch integer not null,
  roles text not null,
  verifier text,
  -- Whether control must check the password, because another service hashed it.
  foreign_hash integer not null default 0,
  -- The id that the old service gave.
  legacy_id text,
  -- Whether the user has signed out everywhere, including the old service's tokens. The edge sets it; a push does not
  -- change it.
  legacy_over integer not null default 0,
  -- Why the user must choose a new password before a session is opened; null: they need not, unless the password is
  -- older than the tenant allows.
  password_due text,
  -- Since when the user has the password.
  password_changed_at integer,
  -- When a one-time password expires.
  password_valid_until integer,
  -- The key of the user's recovery codes, sealed; null: the user has none.
  recovery_key text,
  -- What a reader must understand to sign the user in, as a JSON list; null: nothing.
  needs text,
  -- Fields of the pushed row that this release does not know, as a JSON object: the migration of the release that
  -- knows them reads them from here. Null: none.
  more text,
  changed_at integer not null,
  stamp text,
  primary key (tenant, id)
) without rowid;
-- Users with the epochs that tokens and families name: their counters above the floor of the tenant's history.
-- 1048576 is LEAP of shared::epochs. The counter of the last password change says how a token below it is refused,
-- and is not raised by a reseed. `factor_from` is when the tenant began, or begins, to require a second factor of the
-- user; null: it does not. A user counts as enrolled also if only `needs` says so: a later release may know another
-- kind of factor. `idle_cap` and `absolute_cap` are the tightest timeouts of the user's roles in milliseconds; null:
-- there are none.
create view subjects as
select tenant, id, status, roles, verifier, foreign_hash, legacy_id, legacy_over, needs,
       password_due, password_changed_at, password_valid_until, recovery_key,
       exists (select 1 from authenticators where tenant = users.tenant and user = users.id)
       or exists (select 1 from json_each(users.needs) where value = 'second_factor') as has_factor,
       (
         select json_group_array(json_object('id', id, 'seed', seed))
         from authenticators
         where tenant = users.tenant and user = users.id
       ) as authenticators,
       (
         select coalesce(t.factor_from, 0)
         from tenants t
         where t.id = users.tenant
           and exists (
             select 1
             from json_each(t.factor_roles)
             where value = '*' or value in (select value from json_each(users.roles))
           )
       ) as factor_from,
       (
         select min(r.value ->> 'idle')
         from tenants t, json_each(t.role_timeouts) r
         where t.id = users.tenant
           and r.value ->> 'role' in (select value from json_each(users.roles))
       ) as idle_cap,
       (
         select min(r.value ->> 'absolute')
         from tenants t, json_each(t.role_timeouts) r
         where t.id = users.tenant
           and r.value ->> 'role' in (select value from json_each(users.roles))
       ) as absolute_cap,
       access_epoch + (select (history - 1) * 1048576 from tenants where id = users.tenant) as access_epoch,
       session_epoch + (select (history - 1) * 1048576 from tenants where id = users.tenant) as session_epoch,
       session_epoch as session_counter,
       password_epoch as password_counter
from users;
create index users_tombstones on users (changed_at) where status = 'deleted';
create trigger users_inserted after insert on users
when new.status <> 'active' or new.access_epoch > 0 BEGIN
  insert into changes (at, kind, tenant, subject, status, access_epoch, password_epoch)
  values (new.changed_at, 'user', new.tenant, new.id, new.status, new.access_epoch, new.password_epoch);
END;
create trigger users_updated
after update of status, access_epoch, session_epoch, password_epoch, legacy_over on users
when (new.status, new.access_epoch, new.session_epoch, new.password_epoch, new.legacy_over)
  is not (old.status, old.access_epoch, old.session_epoch, old.password_epoch, old.legacy_over) BEGIN
  insert into changes (at, kind, tenant, subject, status, access_epoch, password_epoch)
  values (new.changed_at, 'user', new.tenant, new.id, new.status, new.access_epoch, new.password_epoch);
END;

-- A counter decreases only if control was restored from a backup. It could then reach again the values of sessions
-- that had already ended, so the user's sessions end.
create trigger users_restored after update of access_epoch, session_epoch on users
when new.status <> 'deleted'
  and (new.access_epoch < old.access_epoch or new.session_epoch < old.session_epoch) BEGIN
  update families
  set ended_at = new.changed_at, ended_for = 'session_ended'
  where tenant = new.tenant and user = new.id and ended_at is null;
END;

-- Authenticators of users, as their rows were pushed. The edge sets the step of the last code: a push may raise it
-- and never lowers it.
create table authenticators (
  tenant text not null,
  user text not null,
  id text not null,
  -- The seed, sealed.
  seed text not null,
  last_step integer not null,
  -- The event of the call that used the last step.
  claimed_by text,
  primary key (tenant, user, id)
) without rowid;

-- Keyed hashes of recovery codes. The edge sets whether one was used: a push may set it to used, and never back.
create table recovery_codes (
  tenant text not null,
  user text not null,
  hash text not null,
  used_at integer,
  -- The event of the call that used it.
  claimed_by text,
  primary key (tenant, user, hash)
) without rowid;

-- Remembered devices: a request with its cookie needs no code. The digest is that of the random bytes in the cookie,
-- which also has a MAC.
create table devices (
  tenant text not null,
  user text not null,
  digest text not null,
  -- The `User-Agent` of the browser.
  name text not null,
  created_at integer not null,
  -- When it was last used in place of a code.
  used_at integer,
  expires_at integer not null,
  -- As `subjects` had it: a new password, another second factor, and any other change that ends access tokens also
  -- end the device.
  access_epoch integer not null,
  -- The id of the database: after a restore, a device may be back that was revoked since.
  life text not null,
  -- The event of the call that used it last.
  claimed_by text,
  primary key (tenant, user, digest)
) without rowid;
create index devices_expired on devices (expires_at);

-- The valid ones, until the earlier of their own end and the one by the tenant's document.
create view living_devices as
select d.tenant, d.user, d.digest, d.name, d.created_at, d.used_at,
       min(d.expires_at, d.created_at + t.device_days * 86400000) as expires_at
from devices d
join subjects u on u.tenant = d.tenant and u.id = d.user
join tenants t on t.id = d.tenant
join shard s on s.id = 1
where u.status = 'active'
  and u.access_epoch = d.access_epoch
  and s.incarnation = d.life
  and exists (select 1 from authenticators where tenant = d.tenant and user = d.user);

-- Accepted second factors, by the event of the last call; a remembered device counts as one. A call that finds its
-- own event here has sent a valid one.
create view claims as
select tenant, user, claimed_by as event from authenticators where claimed_by is not null
union all
select tenant, user, claimed_by as event from recovery_codes where claimed_by is not null
union all
select tenant, user, claimed_by as event from devices where claimed_by is not null;

-- Attempts of one-time codes in a fixed window, after a right password. A right code takes its own attempt back; a
-- right password changes nothing here.
create table code_tries (
  tenant text not null,
  user text not null,
  window_start integer not null,
  count integer not null,
  -- The event of the call that was counted last.
  counted_by text not null,
  primary key (tenant, user)
) without rowid;
create index code_tries_window on code_tries (window_start);

-- Without an authenticator there is no code to guess: one that is enrolled after a reset has its own count.
create trigger authenticators_gone after delete on authenticators
when not exists (select 1 from authenticators where tenant = old.tenant and user = old.user) BEGIN
  delete from code_tries where tenant = old.tenant and user = old.user;
END;

-- Challenges: a user with a second factor gets one for the right password. One for each user: a new sign-in replaces
-- the older one.
create table challenges (
  tenant text not null,
  user text not null,
  -- SHA-256 of the challenge.
  digest text not null,
  -- As `subjects` has it.
  session_epoch integer not null,
  expires_at integer not null,
  tries integer not null default 0,
  -- The event of the call that was counted last.
  counted_by text,
  -- When a right code used it up.
  used_at integer,
  primary key (tenant, user)
) without rowid;
create unique index challenges_digest on challenges (tenant, digest);
create index challenges_expired on challenges (expires_at);

-- When a user is deleted, all their rows that allow a sign-in and the data of their clients are deleted.
create trigger users_gone after update of status on users when new.status = 'deleted' BEGIN
  delete from authenticators where tenant = new.tenant and user = new.id;
  delete from recovery_codes where tenant = new.tenant and user = new.id;
  delete from code_tries where tenant = new.tenant and user = new.id;
  delete from challenges where tenant = new.tenant and user = new.id;
  delete from attempts where tenant = new.tenant and account = new.id;
  delete from networks where tenant = new.tenant and user = new.id;
  delete from devices where tenant = new.tenant and user = new.id;
  update families set client = null where tenant = new.tenant and user = new.id and client is not null;
END;

-- Keyed hashes of user names and addresses, of the old service's ids, and of its unexpired refresh tokens. The
-- primary key makes them unique, so a move is one upsert. A row without a user is a tombstone.
create table identifiers (
  tenant text not null,
  hash text not null,
  user text,
  history integer not null,
  rev integer not null,
  changed_at integer not null,
  stamp text,
  primary key (tenant, hash)
) without rowid;
create index identifiers_tombstones on identifiers (changed_at) where user is null;

-- Refresh families. Columns that a refresh changes are in no index.
create table families (
  id text primary key,
  tenant text not null,
  user text not null,
  generation integer not null,
  created_at integer not null,
  rotated_at integer not null,
  idle_deadline integer not null,
  absolute_deadline integer not null,
  -- The user's session epoch at birth, as `subjects` has it.
  session_epoch integer not null,
  amr text not null,
  auth_time integer not null,
  ended_at integer,
  ended_for text,
  ended_by text,
  -- For a family that a legacy token was exchanged for: the event of that call, and when that token expires. Until
  -- then the row stays, ended or not; otherwise the token could be exchanged again.
  made_by text,
  kept_until integer not null default 0,
  -- The event of the call that stepped the family up last.
  stepped_by text,
  -- When it was last rotated or renewed.
  used_at integer not null,
  -- The client that opened it, sealed by the edge for itself; null: unknown.
  client text
) without rowid;
create index families_user on families (tenant, user);
create index families_finished on families (max(absolute_deadline, kept_until));
create index families_ended on families (max(ended_at, kept_until)) where ended_at is not null;
create trigger families_end after update of ended_at on families
when new.ended_at is not null and old.ended_at is null BEGIN
  insert into changes (at, kind, tenant, subject) values (new.ended_at, 'family', new.tenant, new.id);
END;

-- Wrong passwords in a fixed window: of an account from a network, of an account from every network that is not known
-- to it (network ''), from such a network (account ''), and at a tenant (both ''). The account is the id of the user
-- whom a name leads to; for an unknown name, a part of its keyed hash, so that invented names fill a bounded
-- number of rows.
create table attempts (
  tenant text not null,
  account text not null,
  network text not null,
  -- When the window ends.
  ends integer not null,
  count integer not null,
  -- No attempt is accepted before this time.
  open_at integer not null,
  -- The event of the call that was counted last.
  counted_by text not null,
  primary key (tenant, account, network)
) without rowid;
create index attempts_over on attempts (ends);

-- Networks that a user recently signed in from, or confirmed by a mailed link.
create table networks (
  tenant text not null,
  user text not null,
  network text not null,
  until integer not null,
  primary key (tenant, user, network)
) without rowid;
create index networks_over on networks (until);

-- Tickets: a user who must do something before a session is opened gets one for the right password. One of a purpose
-- for each user: a newer one replaces the older. They are valid only for the epochs that the user had.
create table tickets (
  tenant text not null,
  user text not null,
  purpose text not null,
  -- SHA-256 of the ticket.
  digest text not null,
  password_epoch integer not null,
  -- As `subjects` has it.
  access_epoch integer not null,
  expires_at integer not null,
  primary key (tenant, user, purpose)
) without rowid;
create unique index tickets_digest on tickets (tenant, digest);
create index tickets_expired on tickets (expires_at);

-- Facts for control, in order.
create table outbox (
  seq integer primary key autoincrement,
  id text not null unique,
  tenant text not null,
  at integer not null,
  kind text not null,
  user text,
  sid text,
  network text,
  name_hash text,
  count integer not null default 1,
  -- Further fields of the fact, as a JSON object; null: none.
  more text
);

-- Refused sign-ins by the minute; they move to the outbox after that minute. Rows without a name hash count requests
-- from a network that the tenant does not allow.
create table refusals (
  tenant text not null,
  name_hash text not null,
  network text not null,
  minute integer not null,
  id text not null,
  count integer not null,
  primary key (tenant, name_hash, network, minute)
) without rowid;
create index refusals_minute on refusals (minute, id);

-- The number of waiting refusals, by tenant, and of all tenants under the empty id.
create table refusals_waiting (
  tenant text primary key,
  count integer not null
) without rowid;
create trigger refusals_inserted after insert on refusals BEGIN
  insert into refusals_waiting (tenant, count)
  values (new.tenant, 1), ('', 1)
  on conflict (tenant) do update set count = count + 1;
END;
create trigger refusals_deleted after delete on refusals BEGIN
  update refusals_waiting set count = count - 1 where tenant in (old.tenant, '');
END;

-- Refused sign-ins that got no row of their own, because too many wait: one row for each tenant, from its first such
-- minute until control has the count.
create table refusals_dropped (
  tenant text primary key,
  minute integer not null,
  id text not null,
  count integer not null
) without rowid;

-- A push is inserted here before its rows: one that does not follow the mark aborts the whole batch. from_rev is null
-- for changes that are sent ahead, which do not move the mark.
create view pushes as
select tenant, history, rev as from_rev from marks;
create trigger pushes_follow_the_mark instead of insert on pushes BEGIN
  select raise(abort, 'stale_history')
  where exists (select 1 from marks where tenant = new.tenant and history > new.history);
  select raise(abort, 'revision_gap')
  where new.from_rev > 0
    and not exists (
      select 1 from marks
      where tenant = new.tenant and history = new.history and rev >= new.from_rev
    );
END;
