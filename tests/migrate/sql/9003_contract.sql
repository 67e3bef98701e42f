-- SPDX-License-Identifier: MIT
-- Programs from before this one are no longer admitted.
DROP INDEX debates_next_task;
ALTER TABLE debates DROP COLUMN next_note;
