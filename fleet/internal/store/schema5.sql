-- Version 5: a role that may only call put cannot stop the workers. Every role of a database may take any advisory lock,
-- so tidy takes turns by a lock on a table, for which a role needs rights. What put is given has limits: a worker holds
-- the envelopes of many messages in memory.
UPDATE spoolgore.setting SET value = '5' WHERE key = 'schema';

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

-- No address has more than 320 octets.
CREATE OR REPLACE FUNCTION spoolgore.put(sender text, recipients text[], content bytea, id text DEFAULT '') RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	r record;
	pieces bytea[];
BEGIN
	IF coalesce(cardinality(recipients), 0) = 0 OR array_ndims(recipients) > 1
		OR array_position(recipients, NULL) IS NOT NULL THEN
		RAISE EXCEPTION 'spoolgore.put: no recipients, or one that is NULL' USING ERRCODE = '22023';
	END IF;
	IF cardinality(recipients) > 10000 THEN
		RAISE EXCEPTION 'spoolgore.put: % recipients; the limit is 10000', cardinality(recipients) USING ERRCODE = '54000';
	END IF;
	IF content IS NULL OR sender IS NULL OR octet_length(content) = 0 THEN
		RAISE EXCEPTION 'spoolgore.put: no content, or a sender that is NULL' USING ERRCODE = '22023';
	END IF;
	IF greatest(octet_length(sender), octet_length(id), (SELECT max(octet_length(x)) FROM unnest(recipients) x)) > 1000 THEN
		RAISE EXCEPTION 'spoolgore.put: an address or an id of more than 1000 octets' USING ERRCODE = '54000';
	END IF;
	SELECT array_agg(substr(content, n * 262144 + 1, 262144) ORDER BY n) INTO pieces
		FROM generate_series(0, (octet_length(content) - 1) / 262144) n;
	SELECT * INTO r FROM spoolgore.enqueue(
		CASE WHEN coalesce(id, '') = '' THEN 'sql:' || gen_random_uuid() ELSE 'id:' || id END,
		left(coalesce(current_setting('spoolgore.host', true), ''), 255), '', 0,
		jsonb_strip_nulls(jsonb_build_object('from', sender, 'to', to_jsonb(recipients), 'id', nullif(id, ''))),
		pieces, false);
	RETURN r.id::text;
END $$;
