-- Version 3: a role of an application needs the right to call put, and none on the tables. Functions use only what is in
-- pg_catalog and what they name with its schema: a user who can make functions in another schema of the search path, as
-- everybody can in public until PostgreSQL 14, cannot have them called with the rights of a worker.
UPDATE spoolgore.setting SET value = '3' WHERE key = 'schema';

CREATE OR REPLACE FUNCTION spoolgore.put(sender text, recipients text[], content bytea, id text DEFAULT '') RETURNS text
LANGUAGE plpgsql SECURITY DEFINER AS $$
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
	SELECT array_agg(substr(content, n * 262144 + 1, 262144) ORDER BY n) INTO pieces
		FROM generate_series(0, (octet_length(content) - 1) / 262144) n;
	SELECT * INTO r FROM spoolgore.enqueue(
		CASE WHEN coalesce(id, '') = '' THEN 'sql:' || gen_random_uuid() ELSE 'id:' || id END,
		coalesce(current_setting('spoolgore.host', true), ''), '', 0,
		jsonb_strip_nulls(jsonb_build_object('from', sender, 'to', to_jsonb(recipients), 'id', nullif(id, ''))),
		pieces, false);
	RETURN r.id::text;
END $$;

DO $$
DECLARE
	f regprocedure;
BEGIN
	FOR f IN SELECT p.oid::regprocedure FROM pg_catalog.pg_proc p
		WHERE p.pronamespace = 'spoolgore'::regnamespace AND p.prokind = 'f'
	LOOP
		EXECUTE 'ALTER FUNCTION ' || f || ' SET search_path = pg_catalog, pg_temp';
		EXECUTE 'REVOKE EXECUTE ON FUNCTION ' || f || ' FROM PUBLIC';
	END LOOP;
END $$;
