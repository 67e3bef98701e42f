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
