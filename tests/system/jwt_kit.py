# SPDX-License-Identifier: MIT
"""An identity provider: keys, signed tokens, and its key set over HTTP."""
import base64
import hashlib
import hmac
import http.server
import json
import threading
import time

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

SECRET = "the secret of a project in the tests, long enough"


def b64(data):
    if not isinstance(data, bytes):
        data = json.dumps(data).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def claims(sub="user-1", tenant=None, expires=3600, **more):
    now = int(time.time())
    out = {"sub": sub, "aud": "authenticated", "role": "authenticated",
           "iat": now, "exp": now + expires}
    if tenant:
        out["app_metadata"] = {"tenant_id": tenant}
    return {**out, **more}


def hs256(payload, secret=SECRET, **header):
    text = f'{b64({"alg": "HS256", "typ": "JWT", **header})}.{b64(payload)}'
    mac = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
    return f"{text}.{b64(mac)}"


class Key:
    """alg is RS256 or ES256."""

    def __init__(self, kid, alg="ES256"):
        self.kid, self.alg = kid, alg
        self.private = ec.generate_private_key(ec.SECP256R1()) \
            if alg == "ES256" else rsa.generate_private_key(65537, 2048)

    def jwk(self):
        n = self.private.public_key().public_numbers()
        out = {"kid": self.kid, "use": "sig", "alg": self.alg}
        if self.alg == "ES256":
            return {**out, "kty": "EC", "crv": "P-256",
                    "x": b64(n.x.to_bytes(32, "big")),
                    "y": b64(n.y.to_bytes(32, "big"))}
        return {**out, "kty": "RSA", "e": "AQAB",
                "n": b64(n.n.to_bytes(256, "big"))}

    def sign(self, payload, **header):
        head = {"alg": self.alg, "kid": self.kid, "typ": "JWT", **header}
        text = f"{b64(head)}.{b64(payload)}"
        if self.alg == "ES256":
            r, s = utils.decode_dss_signature(self.private.sign(
                text.encode(), ec.ECDSA(hashes.SHA256())))
            signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        else:
            signature = self.private.sign(text.encode(), padding.PKCS1v15(),
                                          hashes.SHA256())
        return f"{text}.{b64(signature)}"


class Issuer:
    """Serves the key set of `keys` on loopback; status 200 unless set."""

    def __init__(self, *keys):
        self.keys, self.status, self.asked = list(keys), 200, 0
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                issuer.asked += 1
                body = json.dumps(
                    {"keys": [k.jwk() for k in issuer.keys]}).encode()
                self.send_response(issuer.status)
                if issuer.status == 302:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/jwks.json"
        threading.Thread(target=self.server.serve_forever,
                         daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
