-- Version 7: a page by a relay, a reason or a domain is found through an index, also among messages that are ready, and the
-- reasons are counted when they change. A message that is put has two entries more in indexes. The upgrade reads all
-- messages; meanwhile no outcome is recorded, and leases last. Workers of an older version go on: triggers count for them.
UPDATE spoolgore.setting SET value = '7' WHERE key = 'schema';
LOCK TABLE spoolgore.message IN SHARE ROW EXCLUSIVE MODE;

-- kind is a reason without addresses and queue ids, as qshape.Kind of the core makes it. Some encodings have no ellipsis.
CREATE FUNCTION spoolgore.kind(reason text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	dots text := CASE WHEN getdatabaseencoding() IN ('UTF8', 'SQL_ASCII') THEN convert_from('\xe280a6', 'UTF8')
		ELSE '...' END;
BEGIN
	IF strpos(reason, '@') > 0 THEN
		reason := regexp_replace(reason COLLATE "C",
			'[^ \t\n\f\r<>()\[\]"'',;:]+@[^ \t\n\f\r<>()\[\]"'',;:]+', dots, 'g');
	END IF;
	RETURN left(regexp_replace(reason COLLATE "C", '(?=[A-Za-z]*[0-9])[0-9A-Za-z]{8,}', dots, 'g'), 500);
END $$;

-- relays are the relays of the last attempts for the recipients that have not accepted, as a key of an index: their
-- number and their names, a line each. '0': there is none. '+': they are too long for an index.
CREATE FUNCTION spoolgore.relays(record jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	names jsonb := jsonb_path_query_array(record, '$.*[*] ? (!(@.Status == 2) || @.GivenUp == true).Relay');
	keys text;
BEGIN
	IF jsonb_array_length(names) = 1 THEN
		keys := E'1\n' || (names->>0);
	ELSE
		SELECT count(*) || E'\n' || string_agg(d.name, E'\n' ORDER BY d.name COLLATE "C") INTO keys
			FROM (SELECT DISTINCT x.name FROM jsonb_array_elements_text(names) x(name)) d;
	END IF;
	RETURN CASE WHEN octet_length(keys) > 1000 THEN '+' ELSE coalesce(keys, '0') END;
END $$;

-- A page is the first entries of one state, and of one group. A message that waits without an attempt has no relay and
-- no reason.
CREATE INDEX message_waits ON spoolgore.message (id) WHERE state = 0;
DROP INDEX IF EXISTS spoolgore.message_put_aside;
CREATE INDEX message_put_aside ON spoolgore.message (state, id) WHERE state IN (3, 4);
DROP INDEX IF EXISTS spoolgore.message_domain;
CREATE INDEX message_domain ON spoolgore.message (state, left(lower(split_part(envelope->'to'->>0, '@', 2)), 255), id)
	WHERE state IN (0, 3, 4) OR state = 1 AND record IS NOT NULL;
CREATE INDEX message_domain_scheduled ON spoolgore.message
	(left(lower(split_part(envelope->'to'->>0, '@', 2)), 255), id) WHERE state = 1 AND record IS NULL;
CREATE INDEX message_relay ON spoolgore.message (state, spoolgore.relays(record) COLLATE "C", id)
	WHERE record IS NOT NULL AND state IN (0, 1, 3, 4);
CREATE INDEX message_reason ON spoolgore.message (state, spoolgore.kind(reason) COLLATE "C", id)
	WHERE reason <> '' AND state IN (0, 1, 3, 4);

-- The numbers of messages that are to be sent, by the kind of their reason. A transaction adds its changes as rows of a
-- second table, so that no transaction waits for another one; tidy adds them up.
CREATE TABLE spoolgore.reason (kind text PRIMARY KEY, n bigint NOT NULL);
CREATE TABLE spoolgore.reason_change (kind text NOT NULL, n bigint NOT NULL);
INSERT INTO spoolgore.reason SELECT spoolgore.kind(m.reason), count(*) FROM spoolgore.message m
	WHERE m.reason <> '' AND m.state IN (0, 1, 2) GROUP BY 1;

CREATE FUNCTION spoolgore.reason_changed() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	was text;
	is_now text;
BEGIN
	IF OLD.state < 3 AND OLD.reason <> '' THEN
		was := spoolgore.kind(OLD.reason);
	END IF;
	IF NEW.state < 3 AND NEW.reason <> '' THEN
		is_now := spoolgore.kind(NEW.reason);
	END IF;
	IF was IS DISTINCT FROM is_now THEN
		IF was IS NOT NULL THEN
			INSERT INTO spoolgore.reason_change VALUES (was, -1);
		END IF;
		IF is_now IS NOT NULL THEN
			INSERT INTO spoolgore.reason_change VALUES (is_now, 1);
		END IF;
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER message_reason_put AFTER INSERT ON spoolgore.message FOR EACH ROW
	WHEN (NEW.reason <> '') EXECUTE FUNCTION spoolgore.reason_changed();
CREATE TRIGGER message_reason_set AFTER UPDATE ON spoolgore.message FOR EACH ROW
	WHEN ((OLD.reason <> NEW.reason OR (OLD.state < 3) <> (NEW.state < 3)) AND (OLD.reason <> '' OR NEW.reason <> ''))
	EXECUTE FUNCTION spoolgore.reason_changed();
CREATE TRIGGER message_reason_gone AFTER DELETE ON spoolgore.message FOR EACH ROW
	WHEN (OLD.reason <> '') EXECUTE FUNCTION spoolgore.reason_changed();

-- add_reasons adds up changes of numbers. One process at a time does so.
CREATE FUNCTION spoolgore.add_reasons() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM spoolgore.reason_change) THEN
		RETURN;
	END IF;
	WITH d AS (DELETE FROM spoolgore.reason_change WHERE ctid = ANY (ARRAY(
			SELECT c.ctid FROM spoolgore.reason_change c LIMIT 20000)) RETURNING kind, n)
		INSERT INTO spoolgore.reason AS r SELECT d.kind, sum(d.n) FROM d GROUP BY d.kind HAVING sum(d.n) <> 0
			ON CONFLICT (kind) DO UPDATE SET n = r.n + EXCLUDED.n;
	DELETE FROM spoolgore.reason WHERE n = 0;
END $$;

-- tidy of version 5 that adds up reasons, too.
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
	DELETE FROM spoolgore.uid u WHERE u.uid IN (
		SELECT o.uid FROM spoolgore.uid o WHERE o.at < clock - interval '14 days' AND o.done <> 0 ORDER BY o.at LIMIT 500);
END $$;

REVOKE EXECUTE ON FUNCTION spoolgore.kind(text), spoolgore.relays(jsonb), spoolgore.reason_changed(),
	spoolgore.add_reasons() FROM PUBLIC;
ANALYZE spoolgore.message;
