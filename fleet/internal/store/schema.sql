-- Version 1 of the schema of a fleet. docs/fleet.md describes the tables.
CREATE SCHEMA IF NOT EXISTS spoolgore;

CREATE TABLE spoolgore.setting (key text PRIMARY KEY, value jsonb NOT NULL);
INSERT INTO spoolgore.setting VALUES ('schema', '1'), ('paused', 'false'), ('look', '432000');

-- A uid stands for one message that was put, for 14 days.
-- done: 0 queued, 1 accepted for all recipients, 2 given up, 3 deleted
CREATE TABLE spoolgore.uid (
	uid text PRIMARY KEY,
	message bigint NOT NULL,
	at timestamptz NOT NULL DEFAULT now(),
	again int NOT NULL DEFAULT 0,
	done smallint NOT NULL DEFAULT 0);
CREATE INDEX uid_at ON spoolgore.uid (at);

CREATE SEQUENCE spoolgore.message_id;
-- state: 0 ready, 1 waiting until due, 2 leased to a worker, 3 held, 4 failed
-- wish: what to do when the lease ends; 0 nothing, 1 hold, 2 delete
-- looks: when somebody has to look at the age of the message
CREATE TABLE spoolgore.message (
	id bigint PRIMARY KEY,
	uid text NOT NULL,
	host text NOT NULL,
	name text NOT NULL DEFAULT '',
	state smallint NOT NULL,
	wish smallint NOT NULL DEFAULT 0,
	priority int NOT NULL DEFAULT 0,
	created timestamptz NOT NULL,
	due timestamptz,
	looks timestamptz NOT NULL,
	lease int NOT NULL DEFAULT 0,
	worker bigint,
	version int NOT NULL DEFAULT 0,
	suspect timestamptz,
	sender text NOT NULL,
	rcpts int NOT NULL,
	size bigint NOT NULL DEFAULT 0,
	reason text NOT NULL DEFAULT '',
	envelope jsonb NOT NULL,
	record jsonb
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX message_sender ON spoolgore.message (sender, priority DESC, id) WHERE state = 0;
CREATE INDEX message_ready ON spoolgore.message (priority DESC, id) WHERE state = 0;
CREATE INDEX message_due ON spoolgore.message (due) WHERE state = 1;
CREATE INDEX message_leased ON spoolgore.message (worker) WHERE state = 2;
CREATE INDEX message_looks ON spoolgore.message (looks) WHERE state IN (0, 1);
CREATE INDEX message_put_aside ON spoolgore.message (id) WHERE state IN (3, 4);

-- The content as it was put, in pieces of 256 KiB.
CREATE TABLE spoolgore.body (message bigint, n int, data bytea NOT NULL, PRIMARY KEY (message, n));
ALTER TABLE spoolgore.body ALTER data SET STORAGE EXTERNAL;

CREATE SEQUENCE spoolgore.worker_id;
CREATE TABLE spoolgore.worker (
	id bigint PRIMARY KEY,
	name text NOT NULL,
	began timestamptz NOT NULL DEFAULT clock_timestamp(),
	beat timestamptz NOT NULL DEFAULT clock_timestamp(),
	lease interval NOT NULL,
	status jsonb NOT NULL DEFAULT '{}');

-- An account at a relay that several workers use.
CREATE TABLE spoolgore.relay (
	name text PRIMARY KEY,
	proven boolean NOT NULL DEFAULT false,
	cause text NOT NULL DEFAULT '',
	rest interval NOT NULL DEFAULT '0',
	until timestamptz NOT NULL DEFAULT '-infinity',
	prober bigint,
	probing timestamptz NOT NULL DEFAULT '-infinity');

CREATE TABLE spoolgore.bucket (name text PRIMARY KEY, state bytea NOT NULL);

-- durable makes the commit of this transaction wait for the disk, at least.
CREATE FUNCTION spoolgore.durable() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF current_setting('synchronous_commit') IN ('off', 'local') THEN
		PERFORM set_config('synchronous_commit', 'on', true);
	END IF;
END $$;

-- enqueue adds a message, unless there is one with the same uid. The content may be added to by the same transaction.
CREATE FUNCTION spoolgore.enqueue(
	p_uid text, p_host text, p_name text, p_age double precision, p_envelope jsonb, p_pieces bytea[], p_durable boolean,
	OUT id bigint, OUT added boolean, OUT at timestamptz
) LANGUAGE plpgsql AS $$
DECLARE
	first timestamptz;
	later timestamptz;
	look interval;
BEGIN
	IF p_durable THEN
		PERFORM spoolgore.durable();
	END IF;
	at := clock_timestamp();
	id := nextval('spoolgore.message_id');
	added := true;
	INSERT INTO spoolgore.uid AS u (uid, message) VALUES (p_uid, id)
		ON CONFLICT (uid) DO UPDATE SET again = u.again + 1 RETURNING u.message, u.message = id INTO id, added;
	IF NOT added THEN
		RETURN;
	END IF;
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

-- put adds a message inside the transaction of the caller: the message is sent if and only if the transaction commits.
-- The result is the name of the message. id (empty: none) is the caller's own: within 14 days, a second put with the
-- same id adds no message.
CREATE FUNCTION spoolgore.put(sender text, recipients text[], content bytea, id text DEFAULT '') RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	r record;
	pieces bytea[];
BEGIN
	IF coalesce(cardinality(recipients), 0) = 0 OR array_position(recipients, NULL) IS NOT NULL THEN
		RAISE EXCEPTION 'spoolgore.put: no recipients, or one that is NULL' USING ERRCODE = '22023';
	END IF;
	IF content IS NULL OR sender IS NULL OR octet_length(content) = 0 THEN
		RAISE EXCEPTION 'spoolgore.put: no content, or a sender that is NULL' USING ERRCODE = '22023';
	END IF;
	SELECT array_agg(substr(content, n * 262144 + 1, 262144) ORDER BY n) INTO pieces
		FROM generate_series(0, (octet_length(content) - 1) / 262144) n;
	SELECT * INTO r FROM spoolgore.enqueue(
		CASE WHEN coalesce(id, '') = '' THEN 'sql:' || gen_random_uuid() ELSE 'id:' || id END,
		coalesce(current_setting('spoolgore.host', true), ''), '', 0,
		jsonb_strip_nulls(jsonb_build_object('from', sender, 'to', to_jsonb(recipients), 'id', nullif(id, ''))),
		pieces, false);
	RETURN r.id::text;
END $$;

CREATE FUNCTION spoolgore.put(sender text, recipients text[], content text, id text DEFAULT '') RETURNS text
LANGUAGE sql AS $$
	SELECT spoolgore.put(sender, recipients, convert_to(content, 'UTF8'), id)
$$;

-- claim leases up to p_n ready messages to a worker: those of high priority first, then some of each sender, beginning
-- behind the sender p_after.
CREATE FUNCTION spoolgore.claim(p_worker bigint, p_n int, p_after text)
RETURNS TABLE (
	id bigint, lease int, version int, uid text, host text, name text, created timestamptz, suspect timestamptz,
	sender text, rcpts int, size bigint, envelope text, record text, piece bytea
) LANGUAGE plpgsql AS $$
DECLARE
	ids bigint[];
	more bigint[];
	senders text[];
	each int;
BEGIN
	IF NOT EXISTS (SELECT FROM spoolgore.worker w WHERE w.id = p_worker AND w.beat > clock_timestamp() - w.lease) THEN
		RETURN;
	END IF;
	PERFORM spoolgore.durable();
	ids := ARRAY(SELECT m.id FROM spoolgore.message m WHERE m.state = 0 AND m.priority > 0
		ORDER BY m.priority DESC, m.id LIMIT p_n FOR UPDATE SKIP LOCKED);
	IF cardinality(ids) < p_n THEN
		senders := spoolgore.senders(p_after, least(p_n - cardinality(ids), 64));
		IF cardinality(senders) > 1 THEN
			each := greatest(1, (p_n - cardinality(ids)) / cardinality(senders));
			more := ARRAY(SELECT x.id FROM unnest(senders) s(sender), LATERAL (
				SELECT m.id FROM spoolgore.message m
				WHERE m.state = 0 AND m.sender = s.sender AND m.priority <= 0
				ORDER BY m.priority DESC, m.id LIMIT each FOR UPDATE SKIP LOCKED) x);
			ids := ids || more;
		END IF;
		IF cardinality(ids) < p_n THEN
			more := ARRAY(SELECT m.id FROM spoolgore.message m WHERE m.state = 0 AND m.id <> ALL (ids)
				ORDER BY m.priority DESC, m.id LIMIT p_n - cardinality(ids) FOR UPDATE SKIP LOCKED);
			ids := ids || more;
		END IF;
	END IF;
	RETURN QUERY
		WITH c AS (UPDATE spoolgore.message m SET state = 2, lease = m.lease + 1, worker = p_worker, due = NULL
			WHERE m.id = ANY (ids) AND m.state = 0 RETURNING m.*)
		SELECT c.id, c.lease, c.version, c.uid, c.host, c.name, c.created, c.suspect, c.sender, c.rcpts, c.size,
			c.envelope::text, c.record::text, b.data
		FROM c JOIN spoolgore.body b ON b.message = c.id AND b.n = 0 ORDER BY c.priority DESC, c.id;
END $$;

-- senders returns up to p_n senders with ready messages, in order, beginning behind p_after.
CREATE FUNCTION spoolgore.senders(p_after text, p_n int) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
	all_of text[] := '{}';
	next text := p_after;
	turned boolean := false;
BEGIN
	WHILE cardinality(all_of) < p_n LOOP
		SELECT m.sender INTO next FROM spoolgore.message m WHERE m.state = 0 AND m.sender > next
			ORDER BY m.sender LIMIT 1;
		IF next IS NULL THEN
			EXIT WHEN turned;
			turned := true;
			SELECT m.sender INTO next FROM spoolgore.message m WHERE m.state = 0 ORDER BY m.sender LIMIT 1;
			EXIT WHEN next IS NULL;
		END IF;
		EXIT WHEN next = ANY (all_of) OR turned AND next > p_after;
		all_of := all_of || next;
	END LOOP;
	RETURN all_of;
END $$;

-- discard deletes messages for good.
CREATE FUNCTION spoolgore.discard(p_ids bigint[], p_done int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	n int;
BEGIN
	WITH d AS (DELETE FROM spoolgore.message m WHERE m.id = ANY (p_ids) RETURNING m.id, m.uid),
		b AS (DELETE FROM spoolgore.body b USING d WHERE b.message = d.id),
		u AS (UPDATE spoolgore.uid u SET done = p_done FROM d WHERE u.uid = d.uid)
	SELECT count(*) INTO n FROM d;
	RETURN n;
END $$;

-- unlease ends the leases of messages whose worker has not sent them.
CREATE FUNCTION spoolgore.unlease(p_ids bigint[]) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	n int;
	deleted bigint[];
BEGIN
	WITH c AS (UPDATE spoolgore.message m SET
			state = CASE WHEN m.wish = 1 THEN 3 WHEN m.due > clock_timestamp() THEN 1 ELSE 0 END,
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
CREATE FUNCTION spoolgore.settle(p_served bigint[], p_changes jsonb, p_reports jsonb) RETURNS bigint[]
LANGUAGE plpgsql AS $$
DECLARE
	gone bigint[];
	done bigint[];
	deleted bigint[];
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
				wish = CASE m.wish WHEN 2 THEN 2 ELSE 0 END, worker = NULL, version = m.version + 1, due = x.due,
				looks = coalesce(x.looks, m.looks), suspect = x.suspect, rcpts = x.rcpts, reason = x.reason,
				record = coalesce(x.record, m.record)
			FROM x WHERE m.id = x.id AND m.state = 2 AND m.lease = x.lease AND m.worker = x.worker
				AND m.version = x.version
			RETURNING m.id, m.uid, m.state, m.wish),
		u AS (UPDATE spoolgore.uid u SET done = 2 FROM c WHERE c.state = 4 AND u.uid = c.uid)
	SELECT coalesce(array_agg(c.id), '{}'), array_agg(c.id) FILTER (WHERE c.wish = 2) INTO done, deleted FROM c;
	FOR r IN SELECT * FROM jsonb_to_recordset(p_reports) AS x(id bigint, uid text, host text, envelope jsonb, content text)
	LOOP
		IF r.id = ANY (gone || done) THEN
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

-- claim_old leases messages whose age has to be looked at.
CREATE FUNCTION spoolgore.claim_old(p_worker bigint, p_n int)
RETURNS TABLE (
	id bigint, lease int, version int, uid text, host text, name text, created timestamptz, suspect timestamptz,
	sender text, rcpts int, size bigint, envelope text, record text, piece bytea
) LANGUAGE plpgsql AS $$
DECLARE
	ids bigint[];
BEGIN
	ids := ARRAY(SELECT m.id FROM spoolgore.message m WHERE m.state IN (0, 1) AND m.looks <= clock_timestamp()
		ORDER BY m.looks LIMIT p_n FOR UPDATE SKIP LOCKED);
	RETURN QUERY
		WITH c AS (UPDATE spoolgore.message m SET state = 2, lease = m.lease + 1, worker = p_worker
			WHERE m.id = ANY (ids) AND m.state IN (0, 1) RETURNING m.*)
		SELECT c.id, c.lease, c.version, c.uid, c.host, c.name, c.created, c.suspect, c.sender, c.rcpts, c.size,
			c.envelope::text, c.record::text, b.data
		FROM c JOIN spoolgore.body b ON b.message = c.id AND b.n = 0;
END $$;

-- tidy makes waiting messages ready, ends the leases of dead workers, and removes old uids. One worker at a time does
-- so. reaped is the number of recipients of the leases that were ended.
CREATE FUNCTION spoolgore.tidy(p_reap boolean, OUT promoted int, OUT reaped int, OUT more boolean) LANGUAGE plpgsql AS $$
DECLARE
	clock timestamptz := clock_timestamp();
	ids bigint[];
BEGIN
	promoted := 0; reaped := 0; more := false;
	IF NOT pg_try_advisory_xact_lock(hashtext('spoolgore.tidy')) THEN
		RETURN;
	END IF;
	UPDATE spoolgore.message m SET state = 0 WHERE m.id IN (
		SELECT w.id FROM spoolgore.message w WHERE w.state = 1 AND w.due <= clock ORDER BY w.due LIMIT 2000
		FOR UPDATE SKIP LOCKED);
	GET DIAGNOSTICS promoted = ROW_COUNT;
	more := promoted = 2000;
	IF p_reap THEN
		ids := ARRAY(SELECT m.id FROM spoolgore.message m WHERE m.state = 2 AND m.worker NOT IN (
			SELECT w.id FROM spoolgore.worker w
			WHERE w.beat > clock - w.lease OR pg_postmaster_start_time() > clock - w.lease)
			LIMIT 2000 FOR UPDATE SKIP LOCKED);
		IF cardinality(ids) > 0 THEN
			reaped := spoolgore.unlease(ids);
		END IF;
		DELETE FROM spoolgore.worker w WHERE w.beat < clock - interval '10 minutes'
			AND NOT EXISTS (SELECT FROM spoolgore.message m WHERE m.state = 2 AND m.worker = w.id);
	END IF;
	DELETE FROM spoolgore.uid u WHERE u.uid IN (
		SELECT o.uid FROM spoolgore.uid o WHERE o.at < clock - interval '14 days' AND o.done <> 0 ORDER BY o.at LIMIT 500);
END $$;

-- enter registers a worker. look is the number of seconds after which the age of a message is looked at.
CREATE FUNCTION spoolgore.enter(p_name text, p_lease double precision, p_look double precision) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
	w bigint := nextval('spoolgore.worker_id');
	was double precision;
BEGIN
	INSERT INTO spoolgore.worker (id, name, lease) VALUES (w, p_name, make_interval(secs => p_lease));
	SELECT value::text::double precision INTO was FROM spoolgore.setting WHERE key = 'look' FOR UPDATE;
	IF was <> p_look THEN
		UPDATE spoolgore.setting SET value = to_jsonb(p_look) WHERE key = 'look';
		UPDATE spoolgore.message SET looks = least(looks, greatest(created, clock_timestamp() - make_interval(secs => p_look))
			+ make_interval(secs => p_look)) WHERE state IN (0, 1) AND p_look < was;
	END IF;
	RETURN w;
END $$;

-- beat says that a worker is alive. known is false if the row of the worker is gone.
CREATE FUNCTION spoolgore.beat(p_worker bigint, p_status jsonb, OUT known boolean, OUT at timestamptz, OUT paused boolean)
LANGUAGE plpgsql AS $$
BEGIN
	at := clock_timestamp();
	UPDATE spoolgore.worker SET beat = at, status = p_status WHERE id = p_worker;
	known := FOUND;
	SELECT value = 'true' INTO paused FROM spoolgore.setting WHERE key = 'paused';
END $$;

-- admit says how a worker may use an account at a relay: 0 not now, 1 freely, 2 for one probe.
CREATE FUNCTION spoolgore.admit(p_name text, p_worker bigint, OUT how int)
LANGUAGE plpgsql AS $$
DECLARE
	r spoolgore.relay;
	at timestamptz := clock_timestamp();
BEGIN
	SELECT * INTO r FROM spoolgore.relay WHERE name = p_name;
	IF FOUND AND r.proven THEN
		how := 1;
		RETURN;
	END IF;
	INSERT INTO spoolgore.relay (name) VALUES (p_name) ON CONFLICT DO NOTHING;
	UPDATE spoolgore.relay SET prober = p_worker, probing = at + interval '2 minutes'
		WHERE name = p_name AND NOT proven AND until <= at AND (probing <= at OR prober = p_worker);
	how := CASE WHEN FOUND THEN 2 ELSE 0 END;
END $$;

-- proved records that an account works; refused that the relay refuses the account.
CREATE FUNCTION spoolgore.proved(p_name text) RETURNS void LANGUAGE sql AS $$
	UPDATE spoolgore.relay SET proven = true, cause = '', rest = '0', until = '-infinity', prober = NULL,
		probing = '-infinity' WHERE name = p_name
$$;
CREATE FUNCTION spoolgore.refused(p_name text, p_why text) RETURNS void LANGUAGE sql AS $$
	UPDATE spoolgore.relay SET proven = false, cause = p_why, prober = NULL, probing = '-infinity',
		until = CASE WHEN until > clock_timestamp() THEN until
			ELSE clock_timestamp() + least(greatest(rest * 2, interval '1 second'), interval '5 minutes') END,
		rest = CASE WHEN until > clock_timestamp() THEN rest
			ELSE least(greatest(rest * 2, interval '1 second'), interval '5 minutes') END
		WHERE name = p_name
$$;
