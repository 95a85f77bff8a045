-- Version 9: a record of outcomes reads the messages of its batch only. Until version 8 a condition had an OR, for which no
-- index can be used: each record read all messages. A commit of Put waits for the disk of a synchronous standby also with
-- synchronous_commit = remote_write.
UPDATE spoolgore.setting SET value = '9' WHERE key = 'schema';

CREATE OR REPLACE FUNCTION spoolgore.durable() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF current_setting('synchronous_commit') IN ('off', 'local', 'remote_write') THEN
		PERFORM set_config('synchronous_commit', 'on', true);
	END IF;
END $$;

-- settle records the outcomes of a batch of leases. The result is the ids whose change was not made, as the lease has
-- been lost. Acceptances of all recipients (p_served) count in any case. Reports are made with the change they belong to.
CREATE OR REPLACE FUNCTION spoolgore.settle(p_served bigint[], p_changes jsonb, p_reports jsonb) RETURNS bigint[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	gone bigint[];
	done bigint[];
	deleted bigint[];
	silent bigint[];
	r record;
BEGIN
	PERFORM spoolgore.durable();
	PERFORM FROM spoolgore.message m WHERE m.id = ANY (p_served || ARRAY(
		SELECT x.id FROM jsonb_to_recordset(p_changes) AS x(id bigint))) ORDER BY m.id FOR UPDATE;
	gone := ARRAY(SELECT m.id FROM spoolgore.message m WHERE m.id = ANY (p_served));
	PERFORM spoolgore.discard(gone, 1);
	WITH x AS (SELECT * FROM jsonb_to_recordset(p_changes) AS x(id bigint, lease int, worker bigint, version int, state smallint,
			due timestamptz, looks timestamptz, suspect timestamptz, rcpts int, reason text, record jsonb)),
		c AS (UPDATE spoolgore.message m SET state = CASE WHEN m.wish = 1 AND x.state < 3 THEN 3 ELSE x.state END,
				wish = CASE m.wish WHEN 2 THEN 2 ELSE 0 END, worker = NULL, version = m.version + 1,
				due = CASE WHEN m.wish = 1 AND x.state < 3 THEN clock_timestamp() ELSE x.due END,
				looks = coalesce(x.looks, m.looks), suspect = x.suspect, rcpts = x.rcpts, reason = x.reason,
				record = coalesce(x.record, m.record)
			FROM x WHERE m.id = x.id AND m.state = 2 AND m.lease = x.lease AND m.worker = x.worker
				AND m.version = x.version
			RETURNING m.id, m.uid, m.state, m.wish),
		u AS (UPDATE spoolgore.uid u SET done = 2 FROM c WHERE c.state = 4 AND u.uid = c.uid)
	SELECT coalesce(array_agg(c.id), '{}'), array_agg(c.id) FILTER (WHERE c.wish = 2),
		coalesce(array_agg(c.id) FILTER (WHERE c.wish = 2 AND c.state = 4), '{}') INTO done, deleted, silent FROM c;
	FOR r IN SELECT * FROM jsonb_to_recordset(p_reports) AS x(id bigint, uid text, host text, envelope jsonb, content text)
	LOOP
		IF r.id = ANY (gone || done) AND r.id <> ALL (silent) THEN
			PERFORM spoolgore.enqueue(r.uid, r.host, '', 0, r.envelope,
				(SELECT array_agg(substr(x.b, n * 262144 + 1, 262144) ORDER BY n)
					FROM (SELECT decode(r.content, 'base64') AS b) x, generate_series(0, (octet_length(x.b) - 1) / 262144) n),
				false);
		END IF;
	END LOOP;
	IF deleted IS NOT NULL THEN
		PERFORM spoolgore.discard(deleted, 3);
	END IF;
	RETURN ARRAY(SELECT x.id FROM jsonb_to_recordset(p_changes) AS x(id bigint) WHERE x.id <> ALL (done));
END $$;
