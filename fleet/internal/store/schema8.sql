-- Version 8: the time in hold of a message that was held while it was being sent is no age, as for any other message. A
-- message that is given up after it was to be deleted makes no report. A second put with the same id locks no row that a
-- worker needs: the transaction of a program may be long.
UPDATE spoolgore.setting SET value = '8' WHERE key = 'schema';
UPDATE spoolgore.message SET due = clock_timestamp() WHERE state = 3 AND (due IS NULL OR due > clock_timestamp());

-- unlease ends the leases of messages whose worker has not sent them.
CREATE OR REPLACE FUNCTION spoolgore.unlease(p_ids bigint[]) RETURNS int
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	n int;
	deleted bigint[];
BEGIN
	WITH c AS (UPDATE spoolgore.message m SET
			state = CASE WHEN m.wish = 1 THEN 3 WHEN m.due > clock_timestamp() THEN 1 ELSE 0 END,
			due = CASE WHEN m.wish = 1 THEN clock_timestamp() ELSE m.due END,
			wish = CASE m.wish WHEN 2 THEN 2 ELSE 0 END, worker = NULL, version = m.version + 1
		WHERE m.id = ANY (p_ids) AND m.state = 2 RETURNING m.id, m.wish, m.rcpts)
	SELECT coalesce(sum(c.rcpts), 0), array_agg(c.id) FILTER (WHERE c.wish = 2) INTO n, deleted FROM c;
	IF deleted IS NOT NULL THEN
		PERFORM spoolgore.discard(deleted, 3);
	END IF;
	RETURN n;
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
	PERFORM FROM spoolgore.message m WHERE m.id = ANY (p_served) OR m.id IN (
		SELECT x.id FROM jsonb_to_recordset(p_changes) AS x(id bigint)) ORDER BY m.id FOR UPDATE;
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

-- enqueue adds a message, unless there is one with the same uid. The content may be added to by the same transaction.
CREATE OR REPLACE FUNCTION spoolgore.enqueue(
	p_uid text, p_host text, p_name text, p_age double precision, p_envelope jsonb, p_pieces bytea[], p_durable boolean,
	OUT id bigint, OUT added boolean, OUT at timestamptz
) LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	first timestamptz;
	later timestamptz;
	look interval;
BEGIN
	IF p_durable THEN
		PERFORM spoolgore.durable();
	END IF;
	at := clock_timestamp();
	LOOP
		id := nextval('spoolgore.message_id');
		INSERT INTO spoolgore.uid (uid, message) VALUES (p_uid, id) ON CONFLICT (uid) DO NOTHING;
		added := FOUND;
		EXIT WHEN added;
		SELECT u.message INTO id FROM spoolgore.uid u WHERE u.uid = p_uid;
		IF FOUND THEN -- the commit of this transaction waits for the disk, and so for that of the first one
			PERFORM pg_logical_emit_message(true, 'spoolgore', '');
			RETURN;
		END IF; -- the uid has just been removed
	END LOOP;
	first := at - make_interval(secs => greatest(p_age, 0));
	later := (p_envelope->>'notBefore')::timestamptz;
	SELECT make_interval(secs => value::text::double precision) INTO look FROM spoolgore.setting WHERE key = 'look';
	INSERT INTO spoolgore.message (id, uid, host, name, state, priority, created, due, looks, sender, rcpts, size, envelope)
	VALUES (id, p_uid, p_host, p_name, CASE WHEN later > at THEN 1 ELSE 0 END,
		coalesce((p_envelope->>'priority')::int, 0), first, later,
		least(greatest(first, later) + look, (p_envelope->>'expire')::timestamptz),
		p_envelope->>'from', jsonb_array_length(p_envelope->'to'),
		(SELECT coalesce(sum(octet_length(p)), 0) FROM unnest(p_pieces) p), p_envelope);
	INSERT INTO spoolgore.body SELECT id, n - 1, p FROM unnest(p_pieces) WITH ORDINALITY AS x(p, n);
END $$;
