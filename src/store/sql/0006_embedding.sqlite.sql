-- SPDX-License-Identifier: MIT
-- What finished debates are about, as vectors: of one model each, float32 as
-- base64. Searched by reading a tenant's rows of one model, newest first.
-- min-binary: 3
CREATE TABLE debate_vectors (
	debate_id TEXT NOT NULL PRIMARY KEY REFERENCES debates (id),
	tenant TEXT NOT NULL,
	model TEXT NOT NULL,
	dimension BIGINT NOT NULL,
	data TEXT NOT NULL,
	created_us BIGINT NOT NULL
);
CREATE INDEX debate_vectors_scan ON debate_vectors
	(tenant, model, dimension, created_us DESC, debate_id DESC);
