-- SPDX-License-Identifier: MIT
-- How often what happened to a tenant's memories, hour by hour. kind: the
-- names of MEMORY_DEED_LIST in src/store/memory.h; tier -1 = none.
-- min-binary: 3
CREATE TABLE memory_tallies (
	tenant TEXT NOT NULL,
	hour_us BIGINT NOT NULL,
	kind TEXT NOT NULL,
	tier BIGINT NOT NULL,
	n BIGINT NOT NULL,
	PRIMARY KEY (tenant, hour_us, kind, tier)
);
