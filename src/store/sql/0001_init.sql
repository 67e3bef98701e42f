-- SPDX-License-Identifier: MIT
-- A released migration never changes; add the next number instead.
CREATE TABLE debates (
	id TEXT NOT NULL PRIMARY KEY,
	tenant TEXT NOT NULL,
	owner TEXT,
	slug TEXT NOT NULL,
	task TEXT NOT NULL,
	config TEXT NOT NULL,
	status TEXT NOT NULL CHECK (status IN ('pending', 'running', 'paused',
	    'completed', 'failed', 'cancelled')),
	phase TEXT NOT NULL,
	round BIGINT NOT NULL DEFAULT 0,
	total_rounds BIGINT NOT NULL DEFAULT 0,
	priority BIGINT NOT NULL DEFAULT 0,
	result TEXT,
	error TEXT,
	confidence DOUBLE PRECISION NOT NULL DEFAULT 0,
	consensus_reached BIGINT NOT NULL DEFAULT 0,
	last_seq BIGINT NOT NULL DEFAULT 0,
	created_us BIGINT NOT NULL,
	updated_us BIGINT NOT NULL,
	started_us BIGINT NOT NULL DEFAULT 0,
	completed_us BIGINT NOT NULL DEFAULT 0,
	lease_epoch BIGINT NOT NULL DEFAULT 0,
	lease_until_us BIGINT NOT NULL DEFAULT 0,
	runner TEXT,
	attempts BIGINT NOT NULL DEFAULT 0,
	idempotency_key TEXT,
	request_hash TEXT
);
CREATE UNIQUE INDEX debates_idempotency ON debates (tenant, idempotency_key)
	WHERE idempotency_key IS NOT NULL;
CREATE INDEX debates_recent ON debates (tenant, created_us);
CREATE INDEX debates_slug ON debates (tenant, slug);
CREATE INDEX debates_pending ON debates (priority, created_us)
	WHERE status = 'pending';
CREATE INDEX debates_running ON debates (lease_until_us)
	WHERE status = 'running';

CREATE TABLE events (
	debate_id TEXT NOT NULL REFERENCES debates (id),
	seq BIGINT NOT NULL,
	tenant TEXT NOT NULL,
	type TEXT NOT NULL,
	round BIGINT NOT NULL DEFAULT 0,
	agent TEXT,
	created_us BIGINT NOT NULL,
	data TEXT NOT NULL,
	PRIMARY KEY (debate_id, seq)
);

CREATE TABLE turns (
	debate_id TEXT NOT NULL REFERENCES debates (id),
	step_key TEXT NOT NULL,
	tenant TEXT NOT NULL,
	round BIGINT NOT NULL,
	phase TEXT NOT NULL,
	agent TEXT NOT NULL,
	target TEXT,
	role TEXT NOT NULL,
	state BIGINT NOT NULL,
	attempt BIGINT NOT NULL,
	content TEXT,
	parsed TEXT,
	error TEXT,
	tokens_in BIGINT NOT NULL DEFAULT 0,
	tokens_out BIGINT NOT NULL DEFAULT 0,
	seq BIGINT NOT NULL DEFAULT 0,
	started_us BIGINT NOT NULL,
	finished_us BIGINT NOT NULL DEFAULT 0,
	PRIMARY KEY (debate_id, step_key)
);

CREATE TABLE runners (
	id TEXT NOT NULL PRIMARY KEY,
	host TEXT NOT NULL,
	pid BIGINT NOT NULL,
	capacity BIGINT NOT NULL,
	active BIGINT NOT NULL,
	seen_us BIGINT NOT NULL
);

CREATE TABLE tokens (
	id TEXT NOT NULL PRIMARY KEY,
	tenant TEXT NOT NULL,
	name TEXT NOT NULL,
	prefix TEXT NOT NULL,
	hash TEXT NOT NULL,
	tier TEXT NOT NULL,
	created_us BIGINT NOT NULL,
	expires_us BIGINT NOT NULL DEFAULT 0,
	last_used_us BIGINT NOT NULL DEFAULT 0,
	revoked_us BIGINT NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX tokens_hash ON tokens (hash);
