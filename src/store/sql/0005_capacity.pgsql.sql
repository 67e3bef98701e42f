-- SPDX-License-Identifier: MIT
-- Somebody wants this debate paused; its runner does so at the next step.
-- min-binary: 3
ALTER TABLE debates ADD COLUMN pause_wanted BIGINT NOT NULL DEFAULT 0;

-- Fair between tenants: within a priority the one with the fewest debates
-- under way is next. A tenant's running debates are numbered before its
-- waiting ones, so that the number of a waiting one is what the tenant has
-- under way once it is taken up.
CREATE OR REPLACE FUNCTION aragora_place(TEXT, TEXT)
	RETURNS TABLE (place BIGINT)
	LANGUAGE sql STABLE SECURITY DEFINER AS $$
	SELECT q.place FROM (
		SELECT r.id, r.tenant, row_number() OVER (ORDER BY
		    r.priority DESC, r.load, r.created_us, r.id) AS place
		FROM (SELECT d.id, d.tenant, d.priority, d.created_us,
			d.status, row_number() OVER (PARTITION BY d.tenant
			ORDER BY CASE WHEN d.status = 'pending' THEN 1 ELSE 0
			END, d.priority DESC, d.created_us, d.id) AS load
			FROM debates d
			WHERE d.status IN ('pending', 'running')) AS r
		WHERE r.status = 'pending') AS q
	WHERE q.tenant = $1 AND q.id = $2 $$;

-- What was ranked may have been taken by another runner since: the row itself
-- is asked again under its lock.
CREATE OR REPLACE FUNCTION aragora_claim(TEXT, BIGINT, BIGINT, BIGINT)
	RETURNS TABLE (id TEXT, tenant TEXT)
	LANGUAGE sql VOLATILE SECURITY DEFINER AS $$
	WITH ranked AS MATERIALIZED (
		SELECT d.id, row_number() OVER (PARTITION BY d.tenant
		    ORDER BY CASE WHEN d.status = 'pending' OR
		    d.lease_until_us < $2 THEN 1 ELSE 0 END,
		    d.priority DESC, d.created_us, d.id) AS load
		FROM debates d WHERE d.status IN ('pending', 'running')),
	next AS MATERIALIZED (
		SELECT d.id FROM debates d JOIN ranked r ON r.id = d.id
		WHERE d.status IN ('pending', 'running') AND
		    (d.status = 'pending' OR d.lease_until_us < $2)
		ORDER BY d.priority DESC, r.load, d.created_us, d.id LIMIT $4
		FOR UPDATE OF d SKIP LOCKED)
	UPDATE debates d SET status = 'running', runner = $1,
	    lease_until_us = $3, lease_epoch = lease_epoch + 1,
	    attempts = attempts + 1, updated_us = $2, started_us =
	    CASE WHEN started_us = 0 THEN $2 ELSE started_us END
	WHERE d.id IN (SELECT next.id FROM next)
	RETURNING d.id, d.tenant $$;

-- Of the leases given, those whose debates are to be paused.
CREATE FUNCTION aragora_pausing(TEXT)
	RETURNS TABLE (id TEXT, lease_epoch BIGINT)
	LANGUAGE sql STABLE SECURITY DEFINER AS $$
	SELECT d.id, d.lease_epoch
	FROM json_array_elements(CAST($1 AS json)) AS l (value)
	JOIN debates d ON d.id = l.value->>0 AND
	    d.lease_epoch = CAST(l.value->>1 AS BIGINT)
	WHERE d.status = 'running' AND d.pause_wanted = 1 $$;

DO $$
DECLARE
	f TEXT;
BEGIN
	FOREACH f IN ARRAY ARRAY['aragora_place(TEXT, TEXT)',
	    'aragora_claim(TEXT, BIGINT, BIGINT, BIGINT)',
	    'aragora_pausing(TEXT)'] LOOP
		EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', f);
		IF EXISTS (SELECT FROM pg_roles
		    WHERE rolname = 'aragora_app') THEN
			EXECUTE format(
			    'GRANT EXECUTE ON FUNCTION %s TO aragora_app', f);
		END IF;
		EXECUTE format('ALTER FUNCTION %s SET search_path = '
		    'pg_catalog, %I, pg_temp', f, current_schema());
	END LOOP;
END $$;
