-- What scorecards found of each entity, how that went from day to day, and what made a rule flip.

-- One row: up to what everything is evaluated, and who is at it. Any process reads it to see that there is nothing to do;
-- whoever evaluates writes its name into it, and writes it again with each piece: who lost it writes nothing more.
create table idp.score_evaluation (
    one boolean primary key default true check (one),
    -- The catalog that was evaluated last; -1 before there was any.
    catalog_revision bigint not null default -1,
    catalog_mark text,
    fact_revision bigint not null default -1,
    exemption_revision bigint not null default -1,
    -- The scorecards that were evaluated last, and when the process that did so had read them.
    scorecards text not null default '',
    scorecards_read_at timestamptz,
    evaluated_at timestamptz,
    -- Who is at it, and until when the others let it be.
    holder uuid,
    held_until timestamptz
);
insert into idp.score_evaluation default values;

-- What a scorecard was when it was evaluated: outcomes are letters in the order of its rules.
create table idp.scorecard_definition (
    id bigint generated always as identity primary key,
    scorecard text not null,
    fingerprint text not null,
    -- Names, in the order of the file.
    rules text[] not null,
    -- Names, the lowest first.
    levels text[] not null,
    first_evaluated_at timestamptz not null default clock_timestamp(),
    unique (scorecard, fingerprint)
);

create table idp.score (
    entity text not null,
    scorecard text not null,
    definition bigint not null references idp.scorecard_definition,
    -- Null where no rule counts.
    percent smallint,
    -- The place of its level, -1 below the lowest.
    level smallint not null,
    -- One letter for each rule: p(ass), f(ail), u(nknown), e(xempt), l(ater), - (not about it).
    outcomes text not null,
    -- When time alone changes something; null: never.
    until timestamptz,
    primary key (entity, scorecard)
);
create index on idp.score (scorecard);
create index on idp.score (until) where until is not null;

-- The score at the end of each day on which it changed, and the one before that day: what it was on a day in between is
-- found from the present backwards, so that no day needs a row of its own.
create table idp.score_day (
    scorecard text not null,
    entity text not null,
    -- In UTC.
    day date not null,
    percent smallint,
    -- Null: the scorecard was not about it.
    level smallint,
    percent_before smallint,
    level_before smallint,
    primary key (scorecard, entity, day)
);
create index on idp.score_day (day);

-- Each time that a rule found something else of an entity than before, and why.
create table idp.score_flip (
    id bigint generated always as identity primary key,
    at timestamptz not null default clock_timestamp(),
    entity text not null,
    scorecard text not null,
    rule text not null,
    -- Letters, as in `score.outcomes`.
    was text not null,
    became text not null,
    -- {"kind":"catalog","path":"spec.owner",…}
    cause jsonb not null
);
create index on idp.score_flip (entity, at);
create index on idp.score_flip (at);
