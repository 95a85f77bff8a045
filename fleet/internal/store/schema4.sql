-- Version 4: pages of a long list are found through indexes. Messages that are ready or leased are in none of these
-- indexes: Put and a delivery at the first attempt cost what they did. The upgrade reads all messages that wait; meanwhile
-- no outcome is recorded, and leases last.
UPDATE spoolgore.setting SET value = '4' WHERE key = 'schema';

CREATE INDEX message_deferred ON spoolgore.message (id) WHERE state = 1 AND record IS NOT NULL;
CREATE INDEX message_scheduled ON spoolgore.message (id) WHERE state = 1 AND record IS NULL;

-- A search for a text needs the extension pg_trgm, which the owner of a database may make. Without the extension each
-- search reads all messages.
DO $$
DECLARE
	place text;
BEGIN
	BEGIN
		CREATE EXTENSION IF NOT EXISTS pg_trgm SCHEMA spoolgore;
	EXCEPTION WHEN OTHERS THEN
		RAISE NOTICE 'no index for searches: %', SQLERRM;
	END;
	SELECT n.nspname INTO place FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
		WHERE e.extname = 'pg_trgm';
	IF place IS NOT NULL THEN
		EXECUTE format('CREATE INDEX message_text ON spoolgore.message USING gin ((id::text || '' '' || sender || '' '' || '
			'host || '' '' || reason || '' '' || coalesce(envelope->>''to'', '''')) %I.gin_trgm_ops) '
			'WHERE state IN (1, 3, 4)', place);
	END IF;
END $$;
