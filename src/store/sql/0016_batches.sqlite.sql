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
