-- Version 2: the last outcomes are remembered, and workers hear of a flush. Workers of version 1 go on.
CREATE TABLE spoolgore.outcome (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	at timestamptz NOT NULL DEFAULT clock_timestamp(),
	entry jsonb NOT NULL);
INSERT INTO spoolgore.setting VALUES ('flush', '0'), ('outcomes', '100000');
UPDATE spoolgore.setting SET value = '2' WHERE key = 'schema';

-- settle records a batch, and remembers outcomes: {"id": of the message, "entry": for people, "failed": given up}. A batch
-- that is repeated is remembered once. The table keeps about as many outcomes as the setting says.
CREATE FUNCTION spoolgore.settle(p_served bigint[], p_changes jsonb, p_reports jsonb, p_outcomes jsonb) RETURNS bigint[]
LANGUAGE plpgsql AS $$
DECLARE
	present bigint[];
	stale bigint[];
	newest bigint;
	n int;
BEGIN
	present := ARRAY(SELECT m.id FROM spoolgore.message m WHERE m.id IN (
		SELECT x.id FROM jsonb_to_recordset(p_outcomes) AS x(id bigint)));
	stale := spoolgore.settle(p_served, p_changes, p_reports);
	WITH o AS (INSERT INTO spoolgore.outcome (entry)
		SELECT x.entry FROM jsonb_to_recordset(p_outcomes) AS x(id bigint, entry jsonb, failed boolean)
		WHERE x.id = ANY (present) AND NOT (x.failed AND x.id = ANY (stale)) RETURNING id)
	SELECT max(o.id), count(*) INTO newest, n FROM o;
	IF newest % 128 < n THEN
		DELETE FROM spoolgore.outcome WHERE id IN (
			SELECT o.id FROM spoolgore.outcome o WHERE o.id <= newest - (
				SELECT value::text::bigint FROM spoolgore.setting WHERE key = 'outcomes')
			ORDER BY o.id LIMIT 512 FOR UPDATE SKIP LOCKED);
	END IF;
	RETURN stale;
END $$;

-- claim_old leases messages whose age has to be looked at. The time is a variable: with clock_timestamp() in the
-- condition, which is volatile, no index could be used, and each call read all messages.
CREATE OR REPLACE FUNCTION spoolgore.claim_old(p_worker bigint, p_n int)
RETURNS TABLE (
	id bigint, lease int, version int, uid text, host text, name text, created timestamptz, suspect timestamptz,
	sender text, rcpts int, size bigint, envelope text, record text, piece bytea
) LANGUAGE plpgsql AS $$
DECLARE
	clock timestamptz := clock_timestamp();
	ids bigint[];
BEGIN
	ids := ARRAY(SELECT m.id FROM spoolgore.message m WHERE m.state IN (0, 1) AND m.looks <= clock
		ORDER BY m.looks LIMIT p_n FOR UPDATE SKIP LOCKED);
	RETURN QUERY
		WITH c AS (UPDATE spoolgore.message m SET state = 2, lease = m.lease + 1, worker = p_worker
			WHERE m.id = ANY (ids) AND m.state IN (0, 1) RETURNING m.*)
		SELECT c.id, c.lease, c.version, c.uid, c.host, c.name, c.created, c.suspect, c.sender, c.rcpts, c.size,
			c.envelope::text, c.record::text, b.data
		FROM c JOIN spoolgore.body b ON b.message = c.id AND b.n = 0;
END $$;
