-- Version 6: the index of domains has the first 255 characters of a domain. An entry of an index has at most 2,704 octets,
-- and a longer address, which put took before version 5, would keep the schema from an upgrade and an outcome from being
-- recorded. Version 4 had such an index once.
UPDATE spoolgore.setting SET value = '6' WHERE key = 'schema';

DROP INDEX IF EXISTS spoolgore.message_domain;
CREATE INDEX message_domain ON spoolgore.message (left(lower(split_part(envelope->'to'->>0, '@', 2)), 255), id)
	WHERE state IN (1, 3, 4);
