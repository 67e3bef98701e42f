# SPDX-License-Identifier: MIT
"""The objectives are the same wherever they stand: in src/metrics/slo.def, as
thresholds of scripts/load_test.js, as alerts of the Prometheus rules, and where
the dashboard changes its colour."""
import json
import re

import tree

TABLE = "src/metrics/slo.def"
SCRIPT = "scripts/load_test.js"
RULES = "conf/prometheus/aragora-rules.yml"
DASHBOARD = "conf/grafana/aragora.json"
BEYOND = {"<": ">", ">": "<"}
# Alerts on the same series with bounds of their own, for what is worse than
# an objective that is missed.
WORSE = {"AragoraManyErrors"}


def objectives():
    names = ("id", "name", "op", "bound", "unit", "of", "metric", "value",
             "alert", "series", "per", "what")
    for row in tree.rows(TABLE, "SLO"):
        yield dict(zip(names, (tree.unquote(c) if c.startswith('"') else c
                               for c in row)))


def number(text):
    return f"{float(text):g}"


def thresholds(report):
    """What the script has: {metric: [threshold]}."""
    text = tree.read(SCRIPT)
    m = re.search(r"^  thresholds: \{\n(.*?)^  \},\n", text, re.M | re.S)
    if not m:
        report.find(SCRIPT, "has no thresholds")
        return {}
    # Its rate can be told, and has the table's bound when it is not.
    default = re.search(r"__ENV\.MIN_RPS \|\| ([\d.]+)", text)
    body = m.group(1).replace("${MIN_RPS}",
                              default.group(1) if default else "?")
    return {metric: re.findall(r'["`]([^"`]+)["`]', values)
            for metric, values in re.findall(r"(\w+): \[(.*?)\]", body, re.S)}


def check_script(report, rows):
    has = thresholds(report)
    wanted = {}
    for row in rows:
        if row["metric"]:
            wanted.setdefault(row["metric"], []).append(
                f"{row['value']}{row['op']}{number(row['bound'])}")
    for metric in sorted(has.keys() | wanted.keys()):
        if has.get(metric, []) != wanted.get(metric, []):
            report.find(SCRIPT, f"{metric} is {has.get(metric)}, "
                                f"{TABLE} says {wanted.get(metric)}")


def check_rules(report, rows):
    has = dict(re.findall(r"^ +- alert: (\w+)\n +expr: (?!>-)(.+)$",
                          tree.read(RULES), re.M))
    wanted = {}
    for row in rows:
        if row["alert"]:
            bound = float(row["bound"]) / float(row["per"])
            wanted[row["alert"]] = \
                f"{row['series']} {BEYOND[row['op']]} {bound:g}"
    series = {row["series"] for row in rows if row["series"]}
    for alert, expr in wanted.items():
        if has.get(alert) != expr:
            report.find(RULES, f"{alert} is '{has.get(alert)}', "
                               f"{TABLE} says '{expr}'")
    for alert, expr in has.items():
        if expr.split()[0] in series and alert not in wanted and \
                alert not in WORSE:
            report.find(RULES, f"{alert} is about an objective, but not in "
                               f"{TABLE}")


def steps(panel):
    """Where its colour changes."""
    defaults = panel.get("fieldConfig", {}).get("defaults", {})
    return [s["value"] for s in
            defaults.get("thresholds", {}).get("steps", [])
            if s["value"] is not None]


def check_dashboard(report, rows):
    bounds = {r["series"]: float(r["bound"]) / float(r["per"])
              for r in rows if r["series"]}
    for panel in json.loads(tree.read(DASHBOARD))["panels"]:
        for target in panel.get("targets", []):
            bound = bounds.get(target["expr"])
            has = steps(panel)
            if bound is not None and has and has[0] != bound:
                report.find(DASHBOARD, f"{panel['title']} changes at {has}, "
                                       f"{TABLE} says {bound:g}")


def main():
    report = tree.Report()
    rows = list(objectives())
    check_dashboard(report, rows)
    check_script(report, rows)
    check_rules(report, rows)
    report.done(len(rows))


main()
