-- SPDX-License-Identifier: MIT
CREATE UNIQUE INDEX debates_next_task ON debates (task);
