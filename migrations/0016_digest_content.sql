-- What a digest told, so that the next one tells what changed since; and that one waits for the scores to be evaluated.

-- {"until": …, "scorecards": {"production-readiness": {"mean": 75, "levels": {"Bronze": 2}, …}}}; null where it told no scores.
alter table idp.digest_delivery add column told jsonb;

-- Since when what is due waits for the evaluation of scorecards; null while nothing waits.
alter table idp.digest_schedule add column waits_since timestamptz;

-- Where a team says that something is not its own.
create index disowned_by_team on idp.disowned (team, at);
