-- SPDX-License-Identifier: MIT
-- The batch whose max_parallel bounds how many of its debates run at once;
-- NULL = none does.
-- min-binary: 3
ALTER TABLE debates ADD COLUMN bounded_by TEXT;
CREATE INDEX debates_bounded ON debates (bounded_by)
	WHERE bounded_by IS NOT NULL AND status IN ('pending', 'running');
