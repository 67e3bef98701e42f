-- SPDX-License-Identifier: MIT
-- Which bridges are alive and what they hold, told by themselves: open
-- WebSockets, streams of server-sent events, subscriptions. Since when the
-- oldest debate of the queue waits, of whichever tenant; 0 = none does.
-- min-binary: 3
CREATE TABLE bridges (
	id TEXT NOT NULL PRIMARY KEY,
	host TEXT NOT NULL,
	pid BIGINT NOT NULL,
	started_us BIGINT NOT NULL,
	seen_us BIGINT NOT NULL,
	connections BIGINT NOT NULL,
	streams BIGINT NOT NULL,
	subscriptions BIGINT NOT NULL
);
CREATE FUNCTION aragora_oldest() RETURNS BIGINT
	LANGUAGE sql STABLE SECURITY DEFINER AS $$
	SELECT coalesce(min(CASE WHEN started_us = 0 THEN created_us
	    ELSE updated_us END), 0) FROM debates
	WHERE status IN ('pending', 'running') AND status = 'pending' $$;
DO $$
BEGIN
	REVOKE ALL ON FUNCTION aragora_oldest() FROM PUBLIC;
	IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'aragora_app') THEN
		GRANT SELECT, INSERT, UPDATE, DELETE ON bridges TO aragora_app;
		GRANT EXECUTE ON FUNCTION aragora_oldest() TO aragora_app;
	END IF;
	EXECUTE format('ALTER FUNCTION aragora_oldest() SET search_path = '
	    'pg_catalog, %I, pg_temp', current_schema());
END $$;
