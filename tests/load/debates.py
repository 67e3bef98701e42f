#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What debates in flight cost one runner: memory, processor time per call, and
how far its loop is behind. Five agents, three rounds, streams of about 20
tokens a second, each agent of a provider of its own, and each provider a stub
process of its own, so that no stub is the bottleneck before the runner is.

    tests/load/debates.py [--build DIR] [--seconds N] [--counts 10,100,...]

A row is taken while all of the debates are in flight. Memory is that of the
runner alone; "growth" is its RSS per debate over the row before.
"""
import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request

import stack as st

# Environment of the base URL and of the key, path, agent.
PROVIDERS = (
    ("OPENAI_BASE_URL", "OPENAI_API_KEY", "/openai/v1", "openai-api"),
    ("MISTRAL_BASE_URL", "MISTRAL_API_KEY", "/mistral/v1", "mistral-api"),
    ("DEEPSEEK_BASE_URL", "DEEPSEEK_API_KEY", "/deepseek", "deepseek-api"),
    ("XAI_BASE_URL", "XAI_API_KEY", "/xai/v1", "grok"),
    ("ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY", "/anthropic",
     "anthropic-api"),
)
TOKEN_MS = 50
START_SECONDS = 120
MB = 1024


def start_stubs(build):
    out = []
    for _ in PROVIDERS:
        p = subprocess.Popen(
            [os.path.join(build, "tests/tools/llm_stub"), "--listen",
             "127.0.0.1:0"], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        out.append((p, p.stdout.readline().decode().split()[-1]))
    return out


def post(url, body):
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as r:
        return json.load(r)


def metrics(url):
    with urllib.request.urlopen(url + "/metrics") as r:
        text = r.read().decode()
    return {m[1]: float(m[2]) for m in
            re.finditer(r"^(aragora_\S+) ([-\d.e+]+)$", text, re.M)}


def memory_mb(pid):
    """RSS, PSS."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as f:
        text = f.read()
    return [int(re.search(rf"^{k}:\s+(\d+) kB", text, re.M)[1]) / MB
            for k in ("Rss", "Pss")]


def measure(build, count, seconds):
    stubs = start_stubs(build)
    here = os.path.dirname(os.path.abspath(__file__))
    env = {"ARAGORA_SHARE_DIR": os.path.dirname(os.path.dirname(here)),
           "ARAGORA_MAX_CONCURRENT_DEBATES": str(count),
           "ARAGORA_MAX_QUEUED_DEBATES": str(2 * count),
           "ARAGORA_DEBATE_TIMEOUT": "7200", "ARAGORA_AGENT_TIMEOUT": "1200",
           "ARAGORA_WORKERS": "1"}
    for (url, key, path, _), (_, port) in zip(PROVIDERS, stubs):
        env[url] = f"http://127.0.0.1:{port}{path}"
        env[key] = "sk-load"
    kept = st.clean_environment
    st.clean_environment = lambda: {**kept(), **env}
    try:
        with st.Stack(build) as s:
            return sample(s, count, seconds, [p.pid for p, _ in stubs])
    finally:
        st.clean_environment = kept
        for p, _ in stubs:
            p.kill()
            p.wait()


def sample(s, count, seconds, stub_pids):
    runner = next(pid for pid, line in st.tree_of(s.process.pid)
                  if "aragora-runner" in line)
    idle = memory_mb(runner)[0]
    # It is stopped while they are asked for, so that all begin together.
    os.kill(runner, signal.SIGSTOP)
    agents = [f"{agent}|stub-slow@{TOKEN_MS}" for *_, agent in PROVIDERS]
    for i in range(count):
        post(s.url + "/api/debates",
             {"task": f"Tea or coffee, number {i}?", "agents": agents,
              "rounds": 3, "consensus": "majority"})
    os.kill(runner, signal.SIGCONT)
    deadline = time.monotonic() + START_SECONDS
    while metrics(s.url)["aragora_debates_active"] < count:
        if time.monotonic() > deadline:
            break
        time.sleep(0.2)
    before, cpu, t0 = metrics(s.url), st.cpu_seconds(runner), time.monotonic()
    stubs = sum(st.cpu_seconds(p) for p in stub_pids)
    lag, rss, pss = 0, 0, 0
    while time.monotonic() - t0 < seconds:
        time.sleep(1)
        late = metrics(s.url)["aragora_runner_loop_lag_seconds"]
        lag = max(lag, 1000 * late)
        now = memory_mb(runner)
        rss, pss = max(rss, now[0]), max(pss, now[1])
    after, took = metrics(s.url), time.monotonic() - t0
    cpu = st.cpu_seconds(runner) - cpu
    stubs = sum(st.cpu_seconds(p) for p in stub_pids) - stubs
    name = "aragora_llm_calls_total"
    calls = after[name] - before[name]
    failed = 'aragora_debates_total{outcome="failed"}'
    return {"active": after["aragora_debates_active"], "idle": idle,
            "rss": rss, "pss": pss, "calls": calls, "cores": cpu / took,
            "cpu_ms": 1000 * cpu / calls if calls else float("nan"),
            "stub_cores": stubs / took, "lag": lag,
            "failed": after.get(failed, 0) - before.get(failed, 0)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", default="build")
    parser.add_argument("--seconds", type=float, default=20,
                        help="how long a row is looked at")
    parser.add_argument("--counts", default="10,100,1000,2000")
    args = parser.parse_args()
    build = os.path.abspath(args.build)
    if not os.access(os.path.join(build, "tests/tools/llm_stub"), os.X_OK):
        sys.exit("no stub: make tests/tools/llm_stub first, or --build DIR")
    print("debates active  idle MB  RSS MB  PSS MB growth KB  calls/s "
          "CPU ms/call  cores  stubs' cores  lag ms  failed", flush=True)
    last = None
    for count in (int(x) for x in args.counts.split(",")):
        r = measure(build, count, args.seconds)
        from_n, from_rss = last or (0, r["idle"])
        growth = (r["rss"] - from_rss) * MB / (count - from_n)
        last = (count, r["rss"])
        print(f"{count:7} {r['active']:6.0f} {r['idle']:8.1f} {r['rss']:7.1f} "
              f"{r['pss']:7.1f} {growth:9.0f} "
              f"{r['calls'] / args.seconds:8.1f} {r['cpu_ms']:11.2f} "
              f"{r['cores']:6.2f} {r['stub_cores']:13.2f} {r['lag']:7.0f} "
              f"{r['failed']:7.0f}", flush=True)


main()
