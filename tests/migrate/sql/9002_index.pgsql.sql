-- SPDX-License-Identifier: MIT
-- Fails, and leaves an invalid index, while two debates have the same task.
-- min-binary: 1
-- optional
-- no-transaction
CREATE UNIQUE INDEX CONCURRENTLY debates_next_task ON debates (task);
