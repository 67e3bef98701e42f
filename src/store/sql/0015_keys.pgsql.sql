-- SPDX-License-Identifier: MIT
-- What requests with an Idempotency-Key have made (ref) and what was answered
-- (status 0: not known). A row is good for a day. target NULL: from before,
-- when only debates were created by key.
-- min-binary: 3
CREATE TABLE request_keys (
	tenant TEXT NOT NULL,
	request_key TEXT NOT NULL,
	target TEXT,
	request_hash TEXT NOT NULL,
	ref TEXT NOT NULL,
	status BIGINT NOT NULL,
	answer TEXT,
	created_us BIGINT NOT NULL,
	PRIMARY KEY (tenant, request_key)
);
CREATE INDEX request_keys_age ON request_keys (created_us);
INSERT INTO request_keys (tenant, request_key, target, request_hash, ref,
	status, answer, created_us)
	SELECT tenant, idempotency_key, NULL, coalesce(request_hash, ''), id, 0,
	NULL, created_us FROM debates WHERE idempotency_key IS NOT NULL;

-- What is older than the given time, at most so many.
CREATE FUNCTION aragora_keys_sweep(BIGINT, BIGINT)
	RETURNS TABLE (tenant TEXT)
	LANGUAGE sql VOLATILE SECURITY DEFINER AS $$
	DELETE FROM request_keys k WHERE (k.tenant, k.request_key) IN (
		SELECT o.tenant, o.request_key FROM request_keys o
		WHERE o.created_us <= $1 ORDER BY o.created_us LIMIT $2)
	AND k.created_us <= $1 RETURNING k.tenant $$;

DO $$
DECLARE
	t TEXT;
BEGIN
	FOREACH t IN ARRAY ARRAY['request_keys'] LOOP
		EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
		EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
		EXECUTE format('CREATE POLICY aragora_tenant ON %I '
		    'USING (tenant = (SELECT aragora_tenant())) '
		    'WITH CHECK (tenant = (SELECT aragora_tenant()))', t);
		EXECUTE format('CREATE POLICY aragora_owner ON %I '
		    'TO CURRENT_USER USING (true) WITH CHECK (true)', t);
		IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'aragora_app')
		THEN
			EXECUTE format('GRANT SELECT, INSERT, UPDATE ON %I TO '
			    'aragora_app', t);
		END IF;
	END LOOP;
	REVOKE ALL ON FUNCTION aragora_keys_sweep(BIGINT, BIGINT) FROM PUBLIC;
	IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'aragora_app') THEN
		GRANT EXECUTE ON FUNCTION aragora_keys_sweep(BIGINT, BIGINT)
		    TO aragora_app;
	END IF;
	EXECUTE format('ALTER FUNCTION aragora_keys_sweep(BIGINT, BIGINT) SET '
	    'search_path = pg_catalog, %I, pg_temp', current_schema());
END $$;
