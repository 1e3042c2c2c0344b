-- The privileges on the queue. Its tables are those of the library graphile_worker, which creates them in the schema
-- `platform_jobs`. Run completely after every migration of the library, in one transaction: a privilege that is
-- missing here is revoked.
revoke all on schema platform_jobs from public;
revoke all on all tables in schema platform_jobs from {app}, {relay};

-- The relay role runs jobs. The library enables row-level security and creates no policy, so that only the owner of
-- its tables would see rows.
grant usage on schema platform_jobs to {relay};
grant select on platform_jobs.migrations, platform_jobs.jobs to {relay};
grant select, insert, update, delete on platform_jobs._private_jobs to {relay};
grant select, insert, update on platform_jobs._private_job_queues to {relay};
grant select, insert on platform_jobs._private_tasks to {relay};
grant select, insert, update on platform_jobs._private_known_crontabs to {relay};
grant select, insert, update, delete on platform_jobs._private_workers to {relay};
grant select, insert, delete on platform_jobs._private_job_retirements to {relay};

drop policy if exists relay_rows on platform_jobs._private_jobs;
create policy relay_rows on platform_jobs._private_jobs to {relay} using (true);
drop policy if exists relay_rows on platform_jobs._private_job_queues;
create policy relay_rows on platform_jobs._private_job_queues to {relay} using (true);
drop policy if exists relay_rows on platform_jobs._private_tasks;
create policy relay_rows on platform_jobs._private_tasks to {relay} using (true);
drop policy if exists relay_rows on platform_jobs._private_known_crontabs;
create policy relay_rows on platform_jobs._private_known_crontabs to {relay} using (true);

-- Data of a job that the library has no column for is in its flags: `tenant`, `delays` (seconds after each failure),
-- `attempts` (its attempts, for a retry by hand), and `lane` (pool and tenant), if the number of the tenant's
-- concurrent jobs is limited.
create index if not exists jobs_of_lanes
    on platform_jobs._private_jobs ((flags ->> 'lane'), run_at)
    where flags ? 'lane';

-- How far the `run_at` of a resting job is moved into the future until its lane has room: about a thousand years. The
-- library selects jobs by `run_at`, so its index skips resting jobs.
create or replace function platform.resting() returns interval
language sql immutable parallel safe
as $$ select interval '8766000 hours' $$;

-- Called for every job that returns from an unsuccessful run: an error of its handler, a panic, a shutdown, a killed
-- control process. The kind's own delay replaces the library's, and a job of a lane rests again. An attempt that is
-- given back has not failed, and its `run_at` stays.
create or replace function platform.release_job() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    delays jsonb := new.flags -> 'delays';
begin
    new.updated_at := clock_timestamp();
    if new.attempts = old.attempts then
        new.run_at := case
            when new.attempts >= new.max_attempts then old.run_at
            else clock_timestamp() + interval '1 second' * coalesce(
                (delays ->> (least(new.attempts, jsonb_array_length(delays)) - 1))::double precision,
                exp(least(new.attempts, 10)))
        end;
        -- The message of a panic is only for the log.
        new.last_error := case
            when new.last_error like 'TaskPanic(%' then 'its handler panicked'
            when new.last_error = 'WorkerCrashed' then 'its control was killed, or not heard of for too long'
            else new.last_error
        end;
    end if;
    if new.flags ? 'lane' then
        new.run_at := new.run_at + platform.resting();
    end if;
    return new;
end
$$;

create or replace trigger release_job
    before update on platform_jobs._private_jobs
    for each row
    when (old.locked_at is not null and new.locked_at is null)
    execute function platform.release_job();

-- Lets as many resting jobs of a lane run as it has room for, those that wait longest first. If another control
-- process does the same at this moment, it does nothing.
create or replace function platform.admit_jobs(lane text, most integer) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    room     bigint;
    admitted integer;
begin
    if not pg_try_advisory_xact_lock(hashtext('wardgate/jobs'), hashtext(admit_jobs.lane)) then
        return 0;
    end if;
    select admit_jobs.most - count(*) into room
    from platform_jobs._private_jobs j
    where j.flags ? 'lane' and j.flags ->> 'lane' = admit_jobs.lane
        and j.run_at < now() + platform.resting() / 2
        and (j.locked_at is not null or j.is_available);
    with next as (
        select j.id
        from platform_jobs._private_jobs j
        where j.flags ? 'lane' and j.flags ->> 'lane' = admit_jobs.lane
            and j.run_at between now() + platform.resting() / 2 and now() + platform.resting()
            and j.is_available
        order by j.run_at, j.id
        limit greatest(room, 0)
        for update skip locked
    )
    update platform_jobs._private_jobs j
    set run_at = j.run_at - platform.resting()
    from next
    where j.id = next.id;
    get diagnostics admitted = row_count;
    if admitted > 0 then
        perform pg_notify('jobs:insert', '{"r":' || random()::text || ',"count":' || admitted || '}');
    end if;
    return admitted;
end
$$;

revoke all on function platform.admit_jobs from public;
grant execute on function platform.admit_jobs to {relay};

-- The queue as the command line shows it. A job that was replaced while it ran has no key any more: it is shown while
-- it runs, and its rest is deleted.
create or replace view platform.queue as
select
    j.id,
    t.identifier as kind,
    case
        when j.locked_at is not null then 'running'
        when j.attempts >= j.max_attempts then 'dead'
        else 'waiting'
    end as state,
    (j.flags ->> 'tenant')::uuid as tenant_id,
    j.payload::jsonb as payload,
    j.attempts::integer as attempts,
    coalesce((j.flags ->> 'attempts')::integer, j.max_attempts) as most_attempts,
    case
        when j.run_at < now() + platform.resting() / 2 then j.run_at
        else j.run_at - platform.resting()
    end as run_at,
    j.last_error as reason,
    j.created_at,
    j.updated_at
from platform_jobs._private_jobs j
join platform_jobs._private_tasks t on t.id = j.task_id
where j.key is not null or j.locked_at is not null;

revoke all on platform.queue from public, {app}, {relay};
grant select on platform.queue to {app}, {relay};

-- The only way for the app role to enqueue. It runs as the owner, so it checks its arguments: the tasks are those
-- that `control::jobs` enqueues, and a payload holds only ids of rows. A waiting job with the same task and the same
-- `about` is replaced. The delay counts from this statement by the database's clock, so that another machine's clock
-- cannot make a job run early. False, and nothing done, if `most` jobs of the task wait in the lane.
create or replace function platform.enqueue(
    task       text,
    payload    jsonb,
    about      text,
    delay_secs double precision,
    attempts   integer,
    delays     integer[] default null,
    tenant     uuid default null,
    lane       text default null,
    most       integer default null
) returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    job_key text := enqueue.task || '/' || enqueue.about;
    run_at  timestamptz;
    job_id  bigint;
begin
    if (enqueue.task in ('advance_keys', 'announce_demand', 'answer_request', 'answer_reset', 'confirm_network', 'forget_expired', 'forget_mail', 'forget_passwords', 'lift_attempts', 'provision_tenant', 'rebuild_search', 'recount_profiles', 'rotate_lookup', 'send_mail')) is not true then
        raise exception 'no job "%" may be enqueued', enqueue.task using errcode = 'insufficient_privilege';
    end if;
    if (jsonb_typeof(enqueue.payload) = 'object'
        and octet_length(enqueue.payload::text) <= 1000
        and octet_length(enqueue.about) between 1 and 100
        and enqueue.delay_secs between 0 and 315360000
        and enqueue.attempts between 1 and 100
        and (enqueue.delays is null or cardinality(enqueue.delays) between 1 and 100
            and 0 <= all (enqueue.delays) and 604800 >= all (enqueue.delays))
        and (enqueue.lane is null or octet_length(enqueue.lane) between 1 and 100)) is not true
    then
        raise exception 'a job "%" is not enqueued like this', enqueue.task using errcode = 'check_violation';
    end if;
    if enqueue.lane is not null and enqueue.most <= (
        select count(*)
        from (
            select
            from platform_jobs._private_jobs j
            join platform_jobs._private_tasks t on t.id = j.task_id
            where j.flags ? 'lane' and j.flags ->> 'lane' = enqueue.lane
                and t.identifier = enqueue.task and j.is_available and j.key <> job_key
            limit enqueue.most
        ) waiting
    ) then
        return false;
    end if;
    run_at := clock_timestamp() + enqueue.delay_secs * interval '1 second';
    job_id := (platform_jobs.add_job(
        identifier => enqueue.task,
        payload => enqueue.payload::json,
        run_at => case when enqueue.lane is null then run_at else run_at + platform.resting() end,
        max_attempts => enqueue.attempts,
        job_key => job_key
    )).id;
    update platform_jobs._private_jobs j
    set flags = jsonb_strip_nulls(jsonb_build_object(
        'attempts', enqueue.attempts, 'delays', to_jsonb(enqueue.delays), 'tenant', enqueue.tenant,
        'lane', enqueue.lane))
    where j.id = job_id;
    return true;
end
$$;

revoke all on function platform.enqueue from public;
grant execute on function platform.enqueue to {app}, {relay};

-- Retries a job at once and with its full number of attempts: a dead one, or one that failed and waits for its next
-- attempt. `done`; `running` or `waiting` if there is nothing to retry in that state; null without such a job. Of
-- several concurrent calls one is `done`.
create or replace function platform.retry_job(id bigint) returns text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    job platform_jobs._private_jobs;
begin
    select j.* into job
    from platform_jobs._private_jobs j
    where j.id = retry_job.id and (j.key is not null or j.locked_at is not null)
    for update;
    if job.id is null then
        return null;
    elsif job.locked_at is not null then
        return 'running';
    elsif job.is_available and job.attempts = 0 then
        return 'waiting';
    end if;
    delete from platform_jobs._private_job_retirements r where r.id = job.id;
    update platform_jobs._private_jobs j
    set attempts = 0,
        max_attempts = coalesce((j.flags ->> 'attempts')::smallint, j.max_attempts),
        run_at = clock_timestamp()
            + case when j.flags ? 'lane' then platform.resting() else interval '0' end,
        updated_at = clock_timestamp()
    where j.id = job.id;
    perform pg_notify('jobs:insert', '{"r":' || random()::text || ',"count":1}');
    return 'done';
end
$$;

-- Deletes a job from the queue: `done`; `running`; null without such a job.
create or replace function platform.cancel_job(id bigint) returns text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    job platform_jobs._private_jobs;
begin
    select j.* into job
    from platform_jobs._private_jobs j
    where j.id = cancel_job.id and (j.key is not null or j.locked_at is not null)
    for update;
    if job.id is null then
        return null;
    elsif job.locked_at is not null then
        return 'running';
    end if;
    delete from platform_jobs._private_jobs j where j.id = job.id;
    return 'done';
end
$$;

revoke all on function platform.retry_job, platform.cancel_job from public;
grant execute on function platform.retry_job, platform.cancel_job to {app}, {relay};
