-- SPDX-License-Identifier: MIT
-- Debates that were asked for together. What a batch has come to is what its
-- debates have: nothing of it is written down here but the message that is
-- owed at its end. webhook_state: store/store_batch.h.
-- min-binary: 3
CREATE TABLE batches (
	id TEXT NOT NULL PRIMARY KEY,
	tenant TEXT NOT NULL,
	owner TEXT,
	priority BIGINT NOT NULL,
	max_parallel BIGINT NOT NULL,
	metadata TEXT NOT NULL,
	webhook_url TEXT,
	webhook_headers TEXT,
	webhook_state BIGINT NOT NULL,
	webhook_tries BIGINT NOT NULL,
	webhook_due_us BIGINT NOT NULL,
	webhook_done_us BIGINT NOT NULL,
	webhook_error TEXT,
	created_us BIGINT NOT NULL
);
CREATE INDEX batches_recent ON batches (tenant, created_us, id);
CREATE INDEX batches_webhooks ON batches (webhook_due_us)
	WHERE webhook_state = 1;
CREATE TABLE batch_items (
	batch_id TEXT NOT NULL REFERENCES batches (id) ON DELETE CASCADE,
	place BIGINT NOT NULL,
	tenant TEXT NOT NULL,
	item_id TEXT NOT NULL,
	debate_id TEXT NOT NULL,
	retries BIGINT NOT NULL,
	PRIMARY KEY (batch_id, place)
);
CREATE INDEX batch_items_tenant ON batch_items (tenant, batch_id, place);

-- Messages that are owed by batches which are over. Who takes one has until
-- $2 to send it.
CREATE FUNCTION aragora_webhooks(BIGINT, BIGINT, BIGINT)
	RETURNS TABLE (id TEXT, tenant TEXT, tries BIGINT)
	LANGUAGE sql VOLATILE SECURITY DEFINER AS $$
	WITH due AS MATERIALIZED (
		SELECT b.id FROM batches b
		WHERE b.webhook_state = 1 AND b.webhook_due_us <= $1 AND
		    NOT EXISTS (SELECT 1 FROM batch_items i
			JOIN debates d ON d.id = i.debate_id
			WHERE i.batch_id = b.id AND d.status IN
			    ('pending', 'running', 'paused'))
		ORDER BY b.webhook_due_us LIMIT $3
		FOR UPDATE OF b SKIP LOCKED)
	UPDATE batches b SET webhook_due_us = $2,
	    webhook_tries = b.webhook_tries + 1
	WHERE b.id IN (SELECT due.id FROM due)
	RETURNING b.id, b.tenant, b.webhook_tries $$;

DO $$
DECLARE
	t TEXT;
BEGIN
	FOREACH t IN ARRAY ARRAY['batches', 'batch_items'] LOOP
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
	REVOKE ALL ON FUNCTION aragora_webhooks(BIGINT, BIGINT, BIGINT)
	    FROM PUBLIC;
	IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'aragora_app') THEN
		GRANT EXECUTE ON FUNCTION
		    aragora_webhooks(BIGINT, BIGINT, BIGINT) TO aragora_app;
	END IF;
	EXECUTE format('ALTER FUNCTION aragora_webhooks(BIGINT, BIGINT, '
	    'BIGINT) SET search_path = pg_catalog, %I, pg_temp',
	    current_schema());
END $$;
