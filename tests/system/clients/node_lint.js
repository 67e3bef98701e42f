// SPDX-License-Identifier: MIT
// node_lint.js DOCUMENT CONFIG: what Redocly's rules say to a description, as
// a JSON array of {rule, severity, message, at}.
"use strict";
const { lint, loadConfig } = require("@redocly/openapi-core");

async function main([document, config]) {
  const problems = await lint({
    ref: document,
    config: await loadConfig({ configPath: config }),
  });
  console.log(JSON.stringify(problems.map((p) => ({
    rule: p.ruleId,
    severity: p.severity,
    message: p.message,
    at: p.location.map((l) => l.pointer),
  }))));
}

main(process.argv.slice(2)).catch((e) => {
  console.error(e);
  process.exit(1);
});
