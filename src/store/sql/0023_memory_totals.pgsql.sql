-- SPDX-License-Identifier: MIT
-- What all tenants together remember, for who looks after the database:
-- figures of each tier, none of them of a tenant that could be told.
-- min-binary: 3
CREATE FUNCTION aragora_memory_totals(BIGINT)
	RETURNS TABLE (tier BIGINT, tenants BIGINT, entries BIGINT,
	bytes BIGINT, most_entries BIGINT, most_bytes BIGINT)
	LANGUAGE sql STABLE SECURITY DEFINER AS $$
	SELECT s.tier, count(*), CAST(sum(s.entries) AS BIGINT),
	    CAST(sum(s.bytes) AS BIGINT), max(s.entries), max(s.bytes)
	FROM (SELECT m.tenant, m.tier, count(*) AS entries,
		CAST(sum(m.bytes) AS BIGINT) AS bytes
		FROM memories m WHERE m.expires_us > $1
		GROUP BY m.tenant, m.tier) AS s
	GROUP BY s.tier $$;
REVOKE ALL ON FUNCTION aragora_memory_totals(BIGINT) FROM PUBLIC;

DO $$
BEGIN
	IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'aragora_app') THEN
		GRANT EXECUTE ON FUNCTION aragora_memory_totals(BIGINT)
		    TO aragora_app;
	END IF;
	EXECUTE format('ALTER FUNCTION aragora_memory_totals(BIGINT) SET '
	    'search_path = pg_catalog, %I, pg_temp', current_schema());
END $$;
