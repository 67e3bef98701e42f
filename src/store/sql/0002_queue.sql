-- SPDX-License-Identifier: MIT
-- One small index of what is not finished, in the order of the queue: the
-- claim reads it from the front, however many debates have ended. That it
-- holds no lease time keeps heartbeats from touching any index.
CREATE INDEX debates_queue ON debates (priority DESC, created_us, id)
	WHERE status IN ('pending', 'running');
DROP INDEX debates_pending;
DROP INDEX debates_running;
