-- Version 10: with 1,000,000 messages that wait for longer than 14 days, as those scheduled for the next month, tidy took a
-- fifth of a processor to look for old uids. Workers whose ages of messages differ do not write all messages at each start.
UPDATE spoolgore.setting SET value = '10' WHERE key = 'schema';

-- enter registers a worker. look is the number of seconds after which the age of a message is looked at. Messages that are
-- looked at later are changed.
CREATE OR REPLACE FUNCTION spoolgore.enter(p_name text, p_lease double precision, p_look double precision) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	w bigint := nextval('spoolgore.worker_id');
	was double precision;
	clock timestamptz := clock_timestamp();
	age interval := make_interval(secs => p_look);
BEGIN
	INSERT INTO spoolgore.worker (id, name, lease) VALUES (w, p_name, make_interval(secs => p_lease));
	SELECT value::text::double precision INTO was FROM spoolgore.setting WHERE key = 'look' FOR UPDATE;
	IF was <> p_look THEN
		UPDATE spoolgore.setting SET value = to_jsonb(p_look) WHERE key = 'look';
		IF p_look < was THEN
			UPDATE spoolgore.message SET looks = greatest(created, clock - age) + age
				WHERE state IN (0, 1) AND looks > greatest(created, clock - age) + age;
		END IF;
	END IF;
	RETURN w;
END $$;

-- tidy of version 7 that looks for old uids once in a minute, not once in a second.
CREATE OR REPLACE FUNCTION spoolgore.tidy(p_reap boolean, OUT promoted int, OUT reaped int, OUT more boolean)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	clock timestamptz := clock_timestamp();
	ids bigint[];
BEGIN
	promoted := 0; reaped := 0; more := false;
	BEGIN
		LOCK TABLE spoolgore.setting IN SHARE UPDATE EXCLUSIVE MODE NOWAIT; -- of no row, and of no reader
	EXCEPTION WHEN lock_not_available THEN
		RETURN;
	END;
	PERFORM spoolgore.add_reasons();
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
	IF random() < 1.0 / 60 THEN -- uids of old messages that are still to be sent are read, too
		DELETE FROM spoolgore.uid u WHERE u.uid IN (
			SELECT o.uid FROM spoolgore.uid o WHERE o.at < clock - interval '14 days' AND o.done <> 0
			ORDER BY o.at LIMIT 30000);
	END IF;
END $$;
