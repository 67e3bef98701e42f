# SPDX-License-Identifier: MIT
"""The files for containers: what they name exists and fits together. (No
engine is needed to see that.)"""
import os
import re
import subprocess

import yaml

import stack as st

CONF = os.path.join(st.SOURCE, "conf")
COMPOSE = os.path.join(CONF, "container/compose.yaml")
KUBERNETES = os.path.join(CONF, "kubernetes/aragora.yaml")
CONTAINERFILE = os.path.join(CONF, "container/Containerfile")


def text(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def settings():
    r = subprocess.run([st.Stack.program("aragora"), "config"],
                       capture_output=True, text=True, check=True,
                       env={"PATH": os.environ["PATH"]})
    return {line.split("=")[0] for line in r.stdout.splitlines()}


def walk(node):
    """Every mapping in a document."""
    if isinstance(node, dict):
        yield node
        for v in node.values():
            yield from walk(v)
    elif isinstance(node, list):
        for v in node:
            yield from walk(v)


def documents():
    return list(yaml.safe_load_all(text(KUBERNETES)))


def of_kind(kind):
    return [d for d in documents() if d["kind"] == kind]


def check_command(argv):
    """One of ours, with options it takes."""
    if not argv[0].startswith("aragora"):
        return 0
    program = st.Stack.program(argv[0])
    if argv[0] == "aragora":
        usage = subprocess.run([program, "help", argv[1]],
                               capture_output=True, text=True, check=True)
    else:
        usage = subprocess.run([program, "--help"], capture_output=True,
                               text=True, check=True)
    for option in (a for a in argv if a.startswith("--")):
        assert option in usage.stdout, argv
    return 1


def test_variables_are_settings():
    known = settings()
    for path in (COMPOSE, KUBERNETES, CONTAINERFILE):
        names = set(re.findall(r"\bARAGORA_[A-Z_]+", text(path)))
        assert names and names <= known, (path, names - known)


def test_compose():
    services = yaml.safe_load(text(COMPOSE))["services"]
    volumes = yaml.safe_load(text(COMPOSE))["volumes"]
    ours = 0
    for name, s in services.items():
        ours += check_command(s.get("command", ["-"]))
        waits = s.get("depends_on", [])
        for other in waits:
            assert other in services, (name, other)
        for v in s.get("volumes", []):
            source = v.split(":")[0]
            assert source in volumes or os.path.exists(os.path.normpath(
                os.path.join(os.path.dirname(COMPOSE), source))), (name, v)
        if name in ("api", "ws", "runner"):
            grace = int(s["stop_grace_period"].removesuffix("s"))
            assert grace > 30 and s["depends_on"]["migrate"]
    assert ours == 4
    assert services["migrate"]["depends_on"] == {
        "postgres": {"condition": "service_healthy"}}


def test_addresses_of_nginx_are_replaced():
    """What the containers put in place of sockets stands in the file."""
    conf = text(os.path.join(CONF, "nginx/aragora.conf"))
    for path in (COMPOSE, KUBERNETES):
        found = re.findall(r"s\|([^|]+)\|([^|]+)\|", text(path))
        assert found
        for old, _ in found:
            assert old in conf, (path, old)


def test_kubernetes():
    names = {(d["kind"], d["metadata"]["name"]) for d in documents()}
    assert len(names) == len(documents())
    deployments = {d["metadata"]["name"]: d for d in of_kind("Deployment")}
    ours = 0
    for name, d in deployments.items():
        spec = d["spec"]["template"]["spec"]
        assert spec["terminationGracePeriodSeconds"] > 30
        assert spec["securityContext"]["runAsNonRoot"]
        labels = d["spec"]["template"]["metadata"]["labels"]
        assert labels == d["spec"]["selector"]["matchLabels"], name
        mounted = {v["name"] for v in spec["volumes"]}
        for c in spec["containers"]:
            ours += check_command(c["command"])
            assert c["securityContext"]["readOnlyRootFilesystem"]
            assert "limits" in c["resources"], c["name"]
            assert {m["name"] for m in c["volumeMounts"]} <= mounted
            stop = c.get("lifecycle", {}).get("preStop", {}).get("exec")
            if stop:
                assert int(stop["command"][1]) + 30 < \
                    spec["terminationGracePeriodSeconds"]
    assert ours == 3
    for kind in ("PodDisruptionBudget", "HorizontalPodAutoscaler",
                 "ScaledObject"):
        for d in of_kind(kind):
            assert d["metadata"]["name"] in deployments, d
    labels = [d["spec"]["selector"]["matchLabels"]
              for d in deployments.values()]
    for d in of_kind("Service"):
        assert d["spec"]["selector"] in labels
        ports = [p["name"] for w in deployments.values()
                 if w["spec"]["selector"]["matchLabels"] ==
                 d["spec"]["selector"]
                 for c in w["spec"]["template"]["spec"]["containers"]
                 for p in c.get("ports", [])]
        for p in d["spec"]["ports"]:
            assert p["targetPort"] in ports


def test_probes_are_routes():
    r = subprocess.run([st.Stack.program("aragora"), "routes"],
                       capture_output=True, text=True, check=True)
    for node in walk(documents()):
        path = node.get("httpGet", {}).get("path") if isinstance(
            node.get("httpGet"), dict) else None
        if path:
            assert re.search(rf"GET\s+{re.escape(path)}\b", r.stdout), path
    ingress = of_kind("Ingress")[0]["metadata"]["annotations"]
    path = ingress["alb.ingress.kubernetes.io/healthcheck-path"]
    assert re.search(rf"GET\s+{re.escape(path)}\b", r.stdout)


def test_scale_figures():
    """Of the same table as `aragora scaling`."""
    table = dict(re.findall(
        r'^SCALE\(\w+, "(\w+)", ([\d.]+),',
        text(os.path.join(st.SOURCE, "src/cli/scaling.def")), re.M))
    by_name = {d["metadata"]["name"]:
               float(d["spec"]["triggers"][0]["metadata"]["threshold"])
               for d in of_kind("ScaledObject")}
    assert by_name == {"aragora-runner": float(table["debates"]),
                       "aragora-ws": float(table["websockets"])}
    hpa = of_kind("HorizontalPodAutoscaler")[0]["spec"]
    assert {m["resource"]["name"]:
            m["resource"]["target"]["averageUtilization"] / 100
            for m in hpa["metrics"]} == {
                "cpu": float(table["cpu"]), "memory": float(table["memory"])}
    assert hpa["behavior"]["scaleUp"]["stabilizationWindowSeconds"] == 180
    assert hpa["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 600


def test_image_has_what_is_linked():
    """Each library that a program of ours needs comes from a package that the
    image installs."""
    image = text(CONTAINERFILE).split("FROM")[2]
    packages = set(re.findall(r"\blib[\w.+-]+|\bzlib1g\b", image))
    for program in ("aragora", "aragora-fcgi", "aragora-ws",
                    "aragora-runner"):
        r = subprocess.run(["objdump", "-p", st.Stack.program(program)],
                           capture_output=True, text=True, check=True)
        for so in re.findall(r"NEEDED\s+(\S+)", r.stdout):
            if so.startswith(("libc.", "libm.", "ld-", "libasan", "libubsan",
                              "libtsan", "libgcc")):
                continue
            found = subprocess.run(["dpkg", "-S", f"*/{so}"],
                                   capture_output=True, text=True,
                                   check=True).stdout
            owners = {line.split(":")[0] for line in found.splitlines()}
            assert owners & packages, (program, so, owners)
