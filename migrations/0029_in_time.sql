-- What is decided is decided when the last word of it was said, which must be in time, however long writing it down takes.

update idp.request
set decided_at = (select max(at) from idp.vote where vote.request = request.id)
where state in ('approved', 'denied') and decided_at >= expires_at;
alter table idp.request
    add constraint request_in_time check (state not in ('approved', 'denied') or decided_at < expires_at);

create or replace function idp.request_is_as_asked() returns trigger language plpgsql as $$
begin
    if (new.nonce, new.action, new.revision, new.target, new.inputs, new.pinned, new.intent, new.rule, new.quorum, new.risk,
        new.requester, new.platform, new.tenant, new.account, new.break_glass, new.is_long, new.requested_at, new.timeline,
        new.expires_at)
       is distinct from
       (old.nonce, old.action, old.revision, old.target, old.inputs, old.pinned, old.intent, old.rule, old.quorum, old.risk,
        old.requester, old.platform, old.tenant, old.account, old.break_glass, old.is_long, old.requested_at, old.timeline,
        old.expires_at) then
        raise exception 'request % is not what was asked for', old.id using errcode = 'check_violation';
    end if;
    if old.state <> 'pending' and new.state <> old.state then
        raise exception 'request % has ended as %', old.id, old.state using errcode = 'check_violation';
    end if;
    if new.state = 'approved' and old.state = 'pending' and old.break_glass is null and (
        (select count(*) from idp.vote where request = old.id and verdict = 'approve') < old.quorum
        or exists (select from idp.vote where request = old.id and verdict = 'deny')
    ) then
        raise exception 'request % is not approved', old.id using errcode = 'check_violation';
    end if;
    if new.version < old.version then
        raise exception 'request % goes back', old.id using errcode = 'check_violation';
    end if;
    return new;
end $$;
