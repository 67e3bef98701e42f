# SPDX-License-Identifier: MIT
"""Who may include whom: downwards only, never sideways between programs."""
import re

import tree

LEVEL = {
    "src/base": {"base"},
    "src/settings": {"base"},
    "src/store": {"base", "settings"},
    "src/bus": {"base", "settings"},
    "src/redis": {"base", "settings"},
    "src/limit": {"base", "settings", "redis"},
    "src/cache": {"base", "settings", "redis"},
    "src/metrics": {"base", "settings"},
    "src/telemetry": {"base", "settings", "metrics"},
    "src/auth": {"base", "settings"},
    "src/account": {"base", "settings", "store", "auth"},
    "src/llm": {"base", "settings", "metrics"},
    "src/debate": {"base", "settings", "store", "bus", "llm", "limit",
                   "cache", "metrics"},
    "src/receipt": {"base", "settings", "store", "bus", "auth"},
    "src/runner": {"base", "settings", "redis", "store", "bus", "llm", "limit",
                   "cache", "metrics", "telemetry", "debate", "receipt"},
    "src/cli": {"base", "settings", "store", "bus", "llm", "limit",
                "cache", "metrics", "debate", "auth", "account", "receipt"},
    "fcgi": {"base", "settings", "redis", "store", "bus", "llm", "limit",
             "cache", "metrics", "telemetry", "auth", "account", "receipt"},
    "ws-bridge": {"base", "settings", "store", "bus", "limit", "cache",
                  "metrics", "telemetry", "auth", "account"},
}
# Further headers: the pure parts of the domain for the two front programs,
# the list of routes and the metrics that the store's pool and the bus count.
ALSO = {
    "fcgi": {"debate/audience_take.h", "debate/batch_view.h", "debate/config.h", "debate/grant.h", "debate/recall.h",
             "debate/similar.h",
             "debate/view.h"},
    "ws-bridge": {"debate/audience_take.h", "debate/config.h", "debate/view.h"},
    "src/cli": {"fcgi/routes.h"},
    "src/store": {"metrics/metrics.h"},
    "src/bus": {"metrics/metrics.h"},
    "src/limit": {"metrics/metrics.h"},
    "src/cache": {"metrics/metrics.h"},
}


def module_of(include):
    """'src/store/db.h' and 'store/db.h' are both of store."""
    return include.removeprefix("src/").split("/")[0]


def main():
    report = tree.Report()
    checked = 0
    for path in tree.files(".c", ".h", ".def", under=("src", "fcgi",
                                                      "ws-bridge")):
        home = next((h for h in LEVEL if path.startswith(h + "/")), None)
        if home is None:
            report.find(path, "is in no folder that the architecture names")
            continue
        checked += 1
        for n, line in enumerate(tree.read(path).splitlines(), 1):
            m = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if not m or m.group(1) == "config.h":
                continue
            include = m.group(1)
            module = module_of(include)
            if "/" not in include:
                report.find(f"{path}:{n}", f'"{include}" names no folder')
            elif module == module_of(home):
                continue
            elif module not in LEVEL[home] and \
                    include not in ALSO.get(home, ()):
                report.find(f"{path}:{n}", f"{home} may not include {include}")
    report.done(checked)


main()
