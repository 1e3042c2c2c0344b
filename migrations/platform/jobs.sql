-- Who may do what with the queue. Its tables are the library's (graphile_worker), which makes them in
-- the schema `platform_jobs`. Run whole after every migration of the library, in one transaction: what
-- is not granted here is not granted.
revoke all on schema platform_jobs from public;
revoke all on all tables in schema platform_jobs from {app}, {relay};

-- The relay runs jobs. The library enables row security and makes no policy, so that only the owner
-- of its tables would see a row.
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

-- The only way of the app into the queue. It runs as the owner, so it checks what it is given: the
-- tasks are those that `control::jobs` enqueues, and a payload names rows and carries nothing else.
-- A waiting job with the same task and the same `about` is replaced. The delay counts from this
-- statement by the database's clock, so that no other machine's clock makes a job early.
create or replace function platform.enqueue(
    task       text,
    payload    jsonb,
    about      text,
    delay_secs double precision,
    attempts   integer
) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if (enqueue.task in ('advance_keys', 'forget_expired', 'provision_tenant', 'rebuild_search', 'rotate_lookup')) is not true then
        raise exception 'no job "%" may be enqueued', enqueue.task using errcode = 'insufficient_privilege';
    end if;
    if (jsonb_typeof(enqueue.payload) = 'object'
        and octet_length(enqueue.payload::text) <= 1000
        and octet_length(enqueue.about) between 1 and 100
        and enqueue.delay_secs between 0 and 315360000
        and enqueue.attempts between 1 and 25) is not true
    then
        raise exception 'a job "%" is not enqueued like this', enqueue.task using errcode = 'check_violation';
    end if;
    perform platform_jobs.add_job(
        identifier => enqueue.task,
        payload => enqueue.payload::json,
        run_at => clock_timestamp() + enqueue.delay_secs * interval '1 second',
        max_attempts => enqueue.attempts,
        job_key => enqueue.task || '/' || enqueue.about
    );
end
$$;

revoke all on function platform.enqueue from public;
grant execute on function platform.enqueue to {app}, {relay};
