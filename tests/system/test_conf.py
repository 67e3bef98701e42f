# SPDX-License-Identifier: MIT
"""The example configuration is one that a real nginx takes."""
import os
import shutil
import subprocess

import pytest

import stack as st

WRAPPER = """
pid {dir}/nginx.pid; error_log {dir}/nginx.log;
events {{ }}
http {{
  client_body_temp_path {dir}/a; proxy_temp_path {dir}/b;
  fastcgi_temp_path {dir}/c; scgi_temp_path {dir}/d; uwsgi_temp_path {dir}/e;
  include {conf};
}}
"""


@pytest.mark.parametrize("name", ["aragora", "aragora-hosts"])
def test_nginx_example(tmp_path, name):
    example = os.path.join(st.SOURCE, f"conf/nginx/{name}.conf")
    with open(example, encoding="ascii") as f:
        text = f.read()
    # fastcgi_params is the distribution's; the port must be free to take.
    shutil.copy("/etc/nginx/fastcgi_params", tmp_path / "fastcgi_params")
    assert "listen 80;" in text
    conf = tmp_path / "aragora.conf"
    conf.write_text(text.replace("listen 80;",
                                 f"listen 127.0.0.1:{st.free_port()};"))
    main = tmp_path / "nginx.conf"
    main.write_text(WRAPPER.format(dir=tmp_path, conf=conf))
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    r = subprocess.run([nginx, "-t", "-p", str(tmp_path), "-c", str(main)],
                       capture_output=True, text=True, check=False)
    assert r.returncode == 0, r.stderr


def test_env_example_is_true():
    """`aragora config --env-example`, with every line taken in, is valid."""
    env = {k: v for k, v in os.environ.items()
           if not k.startswith("ARAGORA_")}
    program = st.Stack.program("aragora")
    text = subprocess.run([program, "config", "--env-example"], env=env,
                          capture_output=True, text=True, check=True).stdout
    lines = [line[1:] for line in text.splitlines()
             if line.startswith("#") and not line.startswith("# ")]
    assert len(lines) > 80
    env.update(line.split("=", 1) for line in lines)
    r = subprocess.run([program, "config"], env=env, capture_output=True,
                       text=True, check=False)
    assert r.returncode == 0, r.stderr
