-- The first schema. Every name is unqualified: the session's search_path is the schema of the service.
-- Texts compare by bytes, as the contract orders keys. Times are microseconds since 1970, UTC.

CREATE TABLE journal (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    lineage bytea NOT NULL,
    family_key bytea NOT NULL
);

-- Histories that this one grew out of, the nearest first.
CREATE TABLE parent (
    nearness integer PRIMARY KEY,
    lineage bytea NOT NULL,
    fork bigint NOT NULL
);

-- The sequencer: who holds this row's lock gives positions. Its lock makes position order commit order.
CREATE TABLE head (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    position bigint NOT NULL,
    -- How many entities have a number.
    entities bigint NOT NULL,
    -- The latest time of any event.
    latest bigint NOT NULL,
    -- The position of the last mark.
    marked bigint NOT NULL,
    -- The last position that is no longer there.
    floor bigint NOT NULL
) WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
INSERT INTO head (position, entities, latest, marked, floor) VALUES (0, 0, -9223372036854775808, 0, 0);

-- Sequence 0: only commands without events have named it.
CREATE TABLE entity (
    number bigint PRIMARY KEY,
    kind text COLLATE "C" NOT NULL,
    tenant text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    sequence bigint NOT NULL,
    time bigint NOT NULL,
    position bigint NOT NULL,
    deleted boolean NOT NULL,
    UNIQUE (kind, tenant, id)
) WITH (fillfactor = 70);

CREATE TABLE event (
    position bigint PRIMARY KEY,
    entity bigint NOT NULL,
    sequence bigint NOT NULL,
    slice smallint NOT NULL,
    kind text COLLATE "C" NOT NULL,
    tenant text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    version integer NOT NULL,
    time bigint NOT NULL,
    commit uuid NOT NULL,
    index integer NOT NULL,
    command bytea NOT NULL,
    command_name text COLLATE "C" NOT NULL,
    correlation_id text,
    causation_id text,
    traceparent text,
    principal text,
    content smallint NOT NULL,
    flags integer NOT NULL,
    tags text[],
    payload bytea NOT NULL,
    UNIQUE (entity, sequence)
);
CREATE INDEX event_by_type ON event (kind, name, position);

CREATE TABLE tag (
    tag text COLLATE "C" NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (tag, position)
);

-- What took effect, for ever. The reply may go when a baseline stands for it. The context is here only if no event has it.
CREATE TABLE command (
    entity bigint NOT NULL,
    command bytea NOT NULL,
    name text COLLATE "C" NOT NULL,
    fingerprint bytea,
    reply bytea,
    sequence bigint NOT NULL,
    events integer NOT NULL,
    commit uuid NOT NULL,
    -- That of the commit's last event.
    position bigint NOT NULL,
    time bigint NOT NULL,
    correlation_id text,
    causation_id text,
    traceparent text,
    principal text,
    PRIMARY KEY (entity, command)
);

-- Now and then: no event up to this position is later than `latest`. A time is found by them.
CREATE TABLE mark (
    position bigint PRIMARY KEY,
    latest bigint NOT NULL
);
CREATE INDEX mark_by_time ON mark (latest, position);

CREATE SEQUENCE revision;
CREATE TABLE register (
    name text COLLATE "C" PRIMARY KEY,
    revision bigint NOT NULL,
    value bytea NOT NULL
);
