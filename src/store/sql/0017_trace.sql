-- SPDX-License-Identifier: MIT
-- Where a debate was asked for: the W3C trace context (traceparent and
-- tracestate) and the name of that request.
-- min-binary: 3
ALTER TABLE debates ADD COLUMN trace_parent TEXT;
ALTER TABLE debates ADD COLUMN trace_state TEXT;
ALTER TABLE debates ADD COLUMN request_id TEXT;
