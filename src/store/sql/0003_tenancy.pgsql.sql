-- SPDX-License-Identifier: MIT
-- Row level security: without a tenant no row is seen, with one only its own.
-- The setting ends with the transaction and is '' afterwards, not NULL.
--
-- The service's role owns nothing. What it must do across tenants, claim work
-- and look up whose a token is, it does through the functions below, which run
-- as the owner and give no more than is needed.
CREATE FUNCTION aragora_tenant() RETURNS TEXT LANGUAGE sql STABLE
	PARALLEL SAFE AS
	$$ SELECT nullif(current_setting('aragora.tenant', true), '') $$;

DO $$
DECLARE
	t TEXT;
BEGIN
	FOREACH t IN ARRAY ARRAY['debates', 'events', 'turns', 'tokens'] LOOP
		EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
		EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
		EXECUTE format('CREATE POLICY aragora_tenant ON %I '
		    'USING (tenant = (SELECT aragora_tenant())) '
		    'WITH CHECK (tenant = (SELECT aragora_tenant()))', t);
		-- For migrations, copies and the functions; the service refuses
		-- to run as this role in production.
		EXECUTE format('CREATE POLICY aragora_owner ON %I '
		    'TO CURRENT_USER USING (true) WITH CHECK (true)', t);
	END LOOP;
END $$;

CREATE FUNCTION aragora_place(TEXT, TEXT) RETURNS TABLE (place BIGINT)
	LANGUAGE sql STABLE SECURITY DEFINER AS $$
	SELECT (SELECT count(*) FROM debates q
	    WHERE q.status IN ('pending', 'running') AND
	    q.status = 'pending' AND (q.priority > d.priority OR
	    (q.priority = d.priority AND (q.created_us < d.created_us OR
	    (q.created_us = d.created_us AND q.id <= d.id)))))
	FROM debates d WHERE d.tenant = $1 AND d.id = $2 AND
	    d.status = 'pending' $$;

CREATE FUNCTION aragora_pending() RETURNS BIGINT
	LANGUAGE sql STABLE SECURITY DEFINER AS $$
	SELECT count(*) FROM debates WHERE status IN ('pending', 'running')
	    AND status = 'pending' $$;

CREATE FUNCTION aragora_active(BIGINT) RETURNS BIGINT
	LANGUAGE sql STABLE SECURITY DEFINER AS $$
	SELECT count(*) FROM debates WHERE status IN ('pending', 'running')
	    AND status = 'running' AND lease_until_us > $1 $$;

-- The candidates are looked for once: a plan that repeated the inner query
-- would claim more than asked for.
CREATE FUNCTION aragora_claim(TEXT, BIGINT, BIGINT, BIGINT)
	RETURNS TABLE (id TEXT, tenant TEXT)
	LANGUAGE sql VOLATILE SECURITY DEFINER AS $$
	WITH next AS MATERIALIZED (
		SELECT d.id FROM debates d
		WHERE d.status IN ('pending', 'running') AND
		    (d.status = 'pending' OR d.lease_until_us < $2)
		ORDER BY d.priority DESC, d.created_us, d.id LIMIT $4
		FOR UPDATE SKIP LOCKED)
	UPDATE debates d SET status = 'running', runner = $1,
	    lease_until_us = $3, lease_epoch = lease_epoch + 1,
	    attempts = attempts + 1, updated_us = $2, started_us =
	    CASE WHEN started_us = 0 THEN $2 ELSE started_us END
	WHERE d.id IN (SELECT next.id FROM next)
	RETURNING d.id, d.tenant $$;

CREATE FUNCTION aragora_claim_one(TEXT, BIGINT, BIGINT, TEXT)
	RETURNS TABLE (id TEXT, tenant TEXT)
	LANGUAGE sql VOLATILE SECURITY DEFINER AS $$
	UPDATE debates d SET status = 'running', runner = $1,
	    lease_until_us = $3, lease_epoch = lease_epoch + 1,
	    attempts = attempts + 1, updated_us = $2, started_us =
	    CASE WHEN started_us = 0 THEN $2 ELSE started_us END
	WHERE d.id = $4 AND (d.status = 'pending' OR
	    (d.status = 'running' AND d.lease_until_us < $2))
	RETURNING d.id, d.tenant $$;

CREATE FUNCTION aragora_extend(TEXT, BIGINT)
	RETURNS TABLE (id TEXT, lease_epoch BIGINT)
	LANGUAGE sql VOLATILE SECURITY DEFINER AS $$
	UPDATE debates d SET lease_until_us = $2
	FROM json_array_elements(CAST($1 AS json)) AS l (value)
	WHERE d.id = l.value->>0 AND
	    d.lease_epoch = CAST(l.value->>1 AS BIGINT) AND
	    d.status = 'running'
	RETURNING d.id, d.lease_epoch $$;

CREATE FUNCTION aragora_heads(TEXT)
	RETURNS TABLE (n BIGINT, last_seq BIGINT)
	LANGUAGE sql STABLE SECURITY DEFINER AS $$
	SELECT l.n - 1, d.last_seq
	FROM json_array_elements_text(CAST($1 AS json))
	    WITH ORDINALITY AS l (id, n)
	JOIN debates AS d ON d.id = l.id $$;

CREATE FUNCTION aragora_token(TEXT, BIGINT) RETURNS SETOF tokens
	LANGUAGE sql STABLE SECURITY DEFINER AS $$
	SELECT * FROM tokens WHERE hash = $1 AND revoked_us = 0 AND
	    (expires_us = 0 OR expires_us > $2) $$;

CREATE FUNCTION aragora_tokens() RETURNS BIGINT
	LANGUAGE sql STABLE SECURITY DEFINER AS $$
	SELECT count(*) FROM tokens WHERE revoked_us = 0 $$;

-- Nobody but the service's role may call them, and they look for their tables
-- where these were made, whatever the caller's search_path is.
DO $$
DECLARE
	f TEXT;
	has_role BOOLEAN := EXISTS (
		SELECT FROM pg_roles WHERE rolname = 'aragora_app');
BEGIN
	FOR f IN SELECT CAST(CAST(oid AS regprocedure) AS TEXT) FROM pg_proc
	    WHERE pronamespace = CAST(current_schema() AS regnamespace) AND
	    proname LIKE 'aragora\_%'
	LOOP
		EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', f);
		IF has_role THEN
			EXECUTE format(
			    'GRANT EXECUTE ON FUNCTION %s TO aragora_app', f);
		END IF;
		IF f <> 'aragora_tenant()' THEN
			EXECUTE format('ALTER FUNCTION %s SET search_path = '
			    'pg_catalog, %I, pg_temp', f, current_schema());
		END IF;
	END LOOP;
	-- The role reads and writes rows, and that is all.
	IF has_role THEN
		GRANT SELECT, INSERT, UPDATE ON debates, events, turns, tokens
		    TO aragora_app;
		GRANT SELECT, INSERT, UPDATE, DELETE ON runners TO aragora_app;
		GRANT SELECT ON schema_migrations TO aragora_app;
	END IF;
END $$;
-- Policies call it as the role that reads.
GRANT EXECUTE ON FUNCTION aragora_tenant() TO PUBLIC;
