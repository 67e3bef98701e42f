-- SPDX-License-Identifier: MIT
-- The batch whose max_parallel bounds how many of its debates run at once;
-- NULL = none does.
-- min-binary: 3
ALTER TABLE debates ADD COLUMN bounded_by TEXT;
CREATE INDEX debates_bounded ON debates (bounded_by)
	WHERE bounded_by IS NOT NULL AND status IN ('pending', 'running');

-- Who waits for others of its batch comes last, and counts in nothing that is
-- fair between tenants.
CREATE OR REPLACE FUNCTION aragora_place(TEXT, TEXT)
	RETURNS TABLE (place BIGINT)
	LANGUAGE sql STABLE SECURITY DEFINER AS $$
	WITH held AS MATERIALIZED (
		SELECT o.id FROM (SELECT d.id, d.status, b.max_parallel,
			row_number() OVER (PARTITION BY d.bounded_by ORDER BY
			CASE WHEN d.status = 'running' THEN 0 ELSE 1 END,
			d.priority DESC, d.created_us, d.id) AS n
			FROM debates d JOIN batches b ON b.id = d.bounded_by
			WHERE d.bounded_by IS NOT NULL AND
			    d.status IN ('pending', 'running')) AS o
		WHERE o.status = 'pending' AND o.n > o.max_parallel),
	lined AS (
		SELECT d.id, d.tenant, d.priority, d.created_us, d.status,
		    CASE WHEN d.id IN (SELECT held.id FROM held) THEN 2
		    WHEN d.status = 'pending' THEN 1 ELSE 0 END AS turn
		FROM debates d WHERE d.status IN ('pending', 'running')),
	ranked AS (
		SELECT l.*, row_number() OVER (PARTITION BY l.tenant ORDER BY
		    l.turn, l.priority DESC, l.created_us, l.id) AS load
		FROM lined l)
	SELECT q.place FROM (
		SELECT r.id, r.tenant, row_number() OVER (ORDER BY r.turn,
		    r.priority DESC, r.load, r.created_us, r.id) AS place
		FROM ranked r WHERE r.status = 'pending') AS q
	WHERE q.tenant = $1 AND q.id = $2 $$;

-- From a bounded batch one runner takes at a time: it counts what runs only
-- when the batch is its own, in a statement that sees what the last one took.
-- Whoever comes meanwhile leaves that batch out. Which are its own the first
-- statement tells the second in a setting of the transaction.
CREATE OR REPLACE FUNCTION aragora_claim(TEXT, BIGINT, BIGINT, BIGINT)
	RETURNS TABLE (id TEXT, tenant TEXT)
	LANGUAGE sql VOLATILE SECURITY DEFINER AS $$
	SELECT set_config('aragora.bounds',
	    coalesce(CAST(array_agg(l.id) AS TEXT), '{}'), true)
	FROM (SELECT b.id FROM batches b WHERE b.id IN (
		SELECT d.bounded_by FROM debates d
		WHERE d.bounded_by IS NOT NULL AND
		    d.status IN ('pending', 'running')
		GROUP BY d.bounded_by HAVING bool_or(d.status = 'pending'))
		FOR NO KEY UPDATE OF b SKIP LOCKED) AS l;
	WITH held AS MATERIALIZED (
		SELECT o.id FROM (SELECT d.id, d.status, d.bounded_by,
			b.max_parallel, row_number() OVER (
			PARTITION BY d.bounded_by ORDER BY
			CASE WHEN d.status = 'running' THEN 0 ELSE 1 END,
			d.priority DESC, d.created_us, d.id) AS n
			FROM debates d JOIN batches b ON b.id = d.bounded_by
			WHERE d.bounded_by IS NOT NULL AND
			    d.status IN ('pending', 'running')) AS o
		WHERE o.status = 'pending' AND (o.n > o.max_parallel OR
		    o.bounded_by <> ALL (CAST(coalesce(nullif(current_setting(
		    'aragora.bounds', true), ''), '{}') AS TEXT[])))),
	lined AS MATERIALIZED (
		SELECT d.id, d.tenant, d.priority, d.created_us,
		    CASE WHEN d.id IN (SELECT held.id FROM held) THEN 2
		    WHEN d.status = 'pending' OR d.lease_until_us < $2 THEN 1
		    ELSE 0 END AS turn
		FROM debates d WHERE d.status IN ('pending', 'running')),
	ranked AS MATERIALIZED (
		SELECT l.id, l.turn, row_number() OVER (PARTITION BY l.tenant
		    ORDER BY l.turn, l.priority DESC, l.created_us, l.id)
		    AS load
		FROM lined l),
	next AS MATERIALIZED (
		SELECT d.id FROM debates d JOIN ranked r ON r.id = d.id
		WHERE r.turn = 1 AND d.status IN ('pending', 'running') AND
		    (d.status = 'pending' OR d.lease_until_us < $2)
		ORDER BY d.priority DESC, r.load, d.created_us, d.id LIMIT $4
		FOR UPDATE OF d SKIP LOCKED)
	UPDATE debates d SET status = 'running', runner = $1,
	    lease_until_us = $3, lease_epoch = lease_epoch + 1,
	    attempts = attempts + 1, updated_us = $2, started_us =
	    CASE WHEN started_us = 0 THEN $2 ELSE started_us END
	WHERE d.id IN (SELECT next.id FROM next)
	RETURNING d.id, d.tenant $$;

DO $$
DECLARE
	f TEXT;
BEGIN
	FOREACH f IN ARRAY ARRAY['aragora_place(TEXT, TEXT)',
	    'aragora_claim(TEXT, BIGINT, BIGINT, BIGINT)'] LOOP
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
