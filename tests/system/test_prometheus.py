# SPDX-License-Identifier: MIT
"""The rules and the dashboard: each alert fires when it should, not earlier
and not below its bound; nothing names a metric that does not exist; `aragora
scaling` and the rules have the same figures."""
import json
import os
import re
import subprocess

import pytest
import yaml

import stack as st

RULES = os.path.join(st.SOURCE, "conf/prometheus/aragora-rules.yml")
DASHBOARD = os.path.join(st.SOURCE, "conf/grafana/aragora.json")
STEP = 15  # seconds between samples
LONG = 60 * 60 // STEP


def rules():
    with open(RULES, encoding="utf-8") as f:
        return [r for g in yaml.safe_load(f)["groups"] for r in g["rules"]]


def alerts():
    return [r for r in rules() if "alert" in r]


def constant(value):
    return f"{value}x{LONG}"


def grows(per_second):
    return f"0+{per_second * STEP}x{LONG}"


def seconds(at_most):
    """Requests of which all take up to this bucket."""
    bounds = ("0.1", "0.2", "0.5", "1", "2", "5", "+Inf")
    name = "aragora_api_request_duration_seconds_bucket"
    return {f'{name}{{le="{b}"}}':
            grows(10 if b == "+Inf" or float(b) >= at_most else 0)
            for b in bounds}


def requests(bad_share):
    name = "aragora_http_requests_total"
    return {f'{name}{{status="2xx"}}': grows(100 * (1 - bad_share)),
            f'{name}{{status="5xx"}}': grows(100 * bad_share)}


def calls(bad_share):
    return {"aragora_llm_calls_total": grows(10),
            "aragora_llm_errors_total": grows(10 * bad_share)}


def debates(share):
    return {"aragora_debates_capacity_cluster": constant(100),
            "aragora_debates_running": constant(round(50 * share)),
            "aragora_debates_queued": constant(round(50 * share))}


def memory(used):
    return {"node_memory_MemTotal_bytes": constant(1000),
            "node_memory_MemAvailable_bytes":
                constant(round(1000 * (1 - used)))}


def cpu(used):
    return {'node_cpu_seconds_total{mode="idle",cpu="0"}': grows(1 - used),
            'node_cpu_seconds_total{mode="iowait",cpu="0"}': grows(0),
            'node_cpu_seconds_total{mode="user",cpu="0"}': grows(used)}


def pool(used):
    return {"aragora_db_pool_in_use": constant(round(10 * used)),
            "aragora_db_pool_idle": constant(10 - round(10 * used))}


def calm(websockets=150, **other):
    """All four signals below their lower bounds, but for the named."""
    out = {**cpu(other.get("cpu", 0.2)), **debates(other.get("debates", 0.1)),
           **memory(other.get("memory", 0.3)),
           "aragora_websocket_connections": constant(websockets)}
    return out


LABEL = '{service="database"}'
# alert (and signal): what makes it fire, what comes close.
CASES = {
    "AragoraDown": ({'up{job="aragora"}': constant(0)},
                    {'up{job="aragora"}': constant(1)}),
    "AragoraDatabaseDown": ({"aragora_up" + LABEL: constant(0)},
                            {"aragora_up" + LABEL: constant(1)}),
    "AragoraDatabaseFull": ({"aragora_db_full_total": grows(1)},
                            {"aragora_db_full_total": constant(7)}),
    "AragoraNoRunner": ({"aragora_runners": constant(0),
                         "aragora_debates_queued": constant(1)},
                        {"aragora_runners": constant(0),
                         "aragora_debates_queued": constant(0)}),
    "AragoraLimitsWithoutRedis": (
        {"aragora_rate_limit_fallbacks_total": grows(1)},
        {"aragora_rate_limit_fallbacks_total": constant(4)}),
    "AragoraRunnerFenced": ({"aragora_runner_fenced_total": grows(1)},
                            {"aragora_runner_fenced_total": constant(3)}),
    "AragoraRunnerLate": ({"aragora_runner_loop_lag_seconds": constant(1.1)},
                          {"aragora_runner_loop_lag_seconds": constant(0.9)}),
    "AragoraPoolWaits": ({"aragora_db_pool_timeouts_total": grows(1)},
                         {"aragora_db_pool_timeouts_total": constant(2)}),
    "AragoraTracesLost": (
        {'aragora_trace_spans_total{result="dropped"}': grows(1)},
        {'aragora_trace_spans_total{result="exported"}': grows(1),
         'aragora_trace_spans_total{result="failed"}': constant(9)}),
    "AragoraSlowMedian": (seconds(0.5), seconds(0.1)),
    "AragoraSlow": (seconds(1), seconds(0.5)),
    "AragoraVerySlow": (seconds(5), seconds(1)),
    "AragoraErrors": (requests(0.02), requests(0.009)),
    "AragoraManyErrors": (requests(0.06), requests(0.04)),
    "AragoraProvidersFail": (calls(0.25), calls(0.15)),
    "AragoraBreakerOpen": (
        {'aragora_breaker_state{provider="openai"}': "1 2 1 2 1 2 1 2x200"},
        {'aragora_breaker_state{provider="openai"}': constant(0)}),
    "AragoraNearlyFull": (debates(0.82), debates(0.78)),
    "AragoraFull": (debates(1.02), debates(0.98)),
    "AragoraQueueOld": ({"aragora_queue_oldest_seconds": constant(301)},
                        {"aragora_queue_oldest_seconds": constant(300)}),
    "AragoraMemory": (memory(0.81), memory(0.79)),
    "AragoraMemoryCritical": (memory(0.96), memory(0.94)),
    "AragoraPoolNearlyFull": (pool(0.9), pool(0.8)),
    "AragoraScaleUp/cpu": (cpu(0.72), cpu(0.68)),
    "AragoraScaleUp/debates": (debates(0.82), debates(0.78)),
    "AragoraScaleUp/websockets": (calm(websockets=801), calm(websockets=800)),
    "AragoraScaleUp/memory": (memory(0.81), memory(0.79)),
    "AragoraScaleDown": (calm(), calm(websockets=200)),
}
NEAR = {"AragoraScaleDown": [calm(cpu=0.32), calm(debates=0.22),
                             calm(memory=0.42)]}


def key(rule):
    signal = rule.get("labels", {}).get("signal")
    return rule["alert"] + (f"/{signal}" if signal else "")


def minutes(rule):
    return int(rule.get("for", "0m").removesuffix("m"))


def promtool(tmp_path, rule, series, at, fires):
    """Does the alert fire at that time, as expected?"""
    labels = rule["labels"]
    got = {"eval_time": f"{at}m", "alertname": rule["alert"]}
    expr = {"expr": 'count(ALERTS{alertname="%s",alertstate="firing"%s}) '
            'or vector(0)' % (rule["alert"],
                              f',signal="{labels["signal"]}"'
                              if "signal" in labels else ""),
            "eval_time": got["eval_time"],
            "exp_samples": [{"labels": "{}", "value": 1 if fires else 0}]}
    test = {"rule_files": [RULES], "evaluation_interval": f"{STEP}s",
            "tests": [{"interval": f"{STEP}s",
                       "input_series": [{"series": k, "values": v}
                                        for k, v in series.items()],
                       "promql_expr_test": [expr]}]}
    path = tmp_path / "test.yml"
    path.write_text(json.dumps(test), encoding="utf-8")
    r = subprocess.run(["promtool", "test", "rules", str(path)],
                       capture_output=True, text=True, check=False)
    assert r.returncode == 0, (rule["alert"], at, r.stdout + r.stderr)


def test_every_alert_has_a_case():
    assert sorted(key(r) for r in alerts()) == sorted(CASES)


@pytest.mark.parametrize("name", sorted(CASES))
def test_alert(name, tmp_path):
    rule = next(r for r in alerts() if key(r) == name)
    bad, near = CASES[name]
    hold = minutes(rule)
    # Rates need their window to be full before they are what they will be.
    settled = 16 + hold
    promtool(tmp_path, rule, bad, settled, True)
    if hold > 0:
        promtool(tmp_path, rule, bad, hold - 1, False)
    for series in (near, *NEAR.get(name, [])):
        promtool(tmp_path, rule, series, settled + 20, False)


def test_scaling_has_the_same_figures():
    with open(os.path.join(st.SOURCE, "src/cli/scaling.def"),
              encoding="utf-8") as f:
        table = re.findall(
            r'^SCALE\(\w+, "(\w+)", ([\d.]+), (\d+), ([\d.]+), (\d+),',
            f.read(), re.M)
    assert len(table) == 4
    down = next(r for r in alerts() if r["alert"] == "AragoraScaleDown")
    for name, high, high_min, low, low_min in table:
        up = next(r for r in alerts() if key(r) == f"AragoraScaleUp/{name}")
        assert float(up["expr"].split(">")[1]) == float(high)
        assert minutes(up) == int(high_min)
        assert minutes(down) == int(low_min)
        record = up["expr"].split(">")[0].strip()
        bound = re.search(rf"{re.escape(record)} < ([\d.]+)", down["expr"])
        assert float(bound[1]) == float(low)


def known_metrics():
    out = {"up"}
    for path, row in (("metric.def", r'^METRIC\(\w+, \w+, "(\w+)"'),
                      ("histogram.def", r'^HISTOGRAM\(\w+, "(\w+)"')):
        with open(os.path.join(st.SOURCE, "src/metrics", path),
                  encoding="utf-8") as f:
            for name in re.findall(row, f.read(), re.M):
                out.add(name)
                if path == "histogram.def":
                    out |= {f"{name}_{x}" for x in ("bucket", "sum", "count")}
    return out | {r["record"] for r in rules() if "record" in r}


def metrics_of(expr):
    """Names in an expression, without functions, labels and words."""
    expr = re.sub(r"\{[^}]*\}", "", expr)
    expr = re.sub(r"\b(by|without|on|ignoring)\s*\([^)]*\)", "", expr)
    return {m for m in re.findall(r"[a-zA-Z_:][\w:]*", expr)
            if m.startswith(("aragora", "node_", "up")) and
            not re.fullmatch(r"[a-z_]+\(", m)}


def test_rules_name_what_exists():
    known = known_metrics()
    for r in rules():
        for name in metrics_of(r["expr"]):
            assert name in known or name.startswith("node_"), (r, name)


def panels():
    with open(DASHBOARD, encoding="utf-8") as f:
        dashboard = json.load(f)
    return dashboard, [p for p in dashboard["panels"] if p["type"] != "row"]


def test_dashboard(tmp_path):
    """Each expression is one that Prometheus takes, over metrics that exist;
    each panel has a title, a unit, and a place of its own."""
    dashboard, all_panels = panels()
    assert dashboard["uid"] == "aragora" and len(all_panels) >= 12
    known = known_metrics()
    places, ids, checked = set(), set(), []
    for p in all_panels:
        assert p["title"] and p["fieldConfig"]["defaults"]["unit"], p["title"]
        g = p["gridPos"]
        cells = {(x, y) for x in range(g["x"], g["x"] + g["w"])
                 for y in range(g["y"], g["y"] + g["h"])}
        assert not cells & places and g["x"] + g["w"] <= 24, p["title"]
        places |= cells
        ids.add(p["id"])
        for t in p["targets"]:
            expr = t["expr"].replace("$__rate_interval", "1m")
            assert "$" not in expr, expr
            for name in metrics_of(expr):
                assert name in known, (p["title"], name)
            checked.append({"record": f"check:{len(checked)}", "expr": expr})
    assert len(ids) == len(all_panels)
    path = tmp_path / "rules.yml"
    path.write_text(json.dumps({"groups": [{"name": "x", "rules": checked}]}),
                    encoding="utf-8")
    r = subprocess.run(["promtool", "check", "rules", str(path)],
                       capture_output=True, text=True, check=False)
    assert r.returncode == 0, r.stdout + r.stderr


def scaling(s, *args):
    r = subprocess.run(
        [st.Stack.program("aragora"), "scaling", "--seconds", "1", *args],
        env=s.env, capture_output=True, text=True, check=False)
    assert r.returncode == 0, r.stderr
    return r.stdout


def test_scaling_advice():
    """Debates that wait for nobody are a reason to add a host."""
    with st.Stack(runners=0) as s:
        look = json.loads(scaling(s, "--json"))
        assert look["capacity"] == 0
        assert look["signals"]["debates"]["now"] == 0
        assert 0 <= look["signals"]["cpu"]["now"] <= 1
        assert 0 < look["signals"]["memory"]["now"] < 1
        s.create(agents=["demo", "demo"])
        look = json.loads(scaling(s, "--json"))
        assert look["signals"]["debates"]["now"] == 1
        assert look["advice"] == "up"
        assert "debates 1.00 is above 0.8" in look["reason"]
        assert "for 3 minutes" in look["reason"]
        text = scaling(s)
        assert "up: " in text and "No runner is alive" in text
        s.start_runner()
        st.wait_for("the runner", lambda: json.loads(
            scaling(s, "--json"))["capacity"] == 10)


def test_scaling_refuses():
    for args in (["--seconds", "0"], ["x"], ["--nothing"]):
        r = subprocess.run([st.Stack.program("aragora"), "scaling", *args],
                           capture_output=True, text=True, check=False)
        assert r.returncode == 64, args
