-- SPDX-License-Identifier: MIT
-- One row for each time a provider is asked: written before the request is
-- sent, completed with the turn. key_attempt: the attempt whose
-- Idempotency-Key it bears. state: store/store_attempt.h; cost -1 = not known.
-- min-binary: 3
CREATE TABLE attempts (
	debate_id TEXT NOT NULL REFERENCES debates (id) ON DELETE CASCADE,
	step_key TEXT NOT NULL,
	attempt BIGINT NOT NULL,
	tenant TEXT NOT NULL,
	lease_epoch BIGINT NOT NULL,
	key_attempt BIGINT NOT NULL,
	kind TEXT NOT NULL,
	state BIGINT NOT NULL,
	request_hash TEXT NOT NULL,
	provider TEXT NOT NULL,
	model TEXT NOT NULL,
	tokens_in BIGINT NOT NULL,
	tokens_out BIGINT NOT NULL,
	is_estimated BIGINT NOT NULL,
	cost_udollar BIGINT NOT NULL,
	http_status BIGINT NOT NULL,
	error TEXT,
	started_us BIGINT NOT NULL,
	finished_us BIGINT NOT NULL,
	PRIMARY KEY (debate_id, step_key, attempt)
);

DO $$
DECLARE
	t TEXT;
BEGIN
	FOREACH t IN ARRAY ARRAY['attempts'] LOOP
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
END $$;
