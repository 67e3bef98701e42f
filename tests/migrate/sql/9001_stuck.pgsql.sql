-- SPDX-License-Identifier: MIT
-- Does not end, half done: to be killed.
ALTER TABLE debates ADD COLUMN stuck TEXT;
SELECT pg_sleep(86400);
