-- What remains of events that a journal had let go of before it was brought here: positions without rows.
CREATE TABLE gone (
    first bigint PRIMARY KEY,
    last bigint NOT NULL,
    -- 32 bytes an event.
    leaves bytea NOT NULL
);

-- Commands that left them: they take effect no more. Of entity and id only a hash is known.
CREATE TABLE gone_command (
    hash bytea PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    sequence bigint NOT NULL,
    events integer NOT NULL,
    -- That of the commit's last event.
    position bigint NOT NULL,
    time bigint NOT NULL
);
CREATE INDEX gone_command_by_position ON gone_command (position);

-- Who reads whole commits finds those without events here, and all others by their events.
CREATE INDEX command_without_events ON command (position) WHERE events = 0;
