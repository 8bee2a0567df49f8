#!/usr/bin/env bash
# librdkafka 2.12.1 (confluent-kafka 2.12.1): while the server of OpenID Connect tokens answers 503, closing a client waits.
#
# Expected: a client that is closed gives up its tries for a token, and is gone at once.
# Seen:     between two tries it sleeps for 5, 10, 15, then 20 s, and closing it waits for the end of that sleep: rd_usleep
#           looks at its flag for the end only where a signal interrupts the sleep. Nor does it say anything of the 503
#           before the last try has failed, 50 s after the first.
#           closed after 6 s with 0 words of a token: 9.0 s more
#
# Installs confluent-kafka into a temporary directory, and listens on free ports of loopback. It needs python3 with pip.
# Ends with 0 while this holds.
set -euo pipefail

version=2.12.1

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --target "$work/site" "confluent-kafka==$version" >"$work/pip.log" 2>&1 \
  || { cat "$work/pip.log"; exit 2; }

PYTHONPATH=$work/site python3 - <<'PY'
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

from confluent_kafka import Producer


class Away(BaseHTTPRequestHandler):
    def do_POST(self):
        self.send_response(503)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Away)
threading.Thread(target=server.serve_forever, daemon=True).start()
said = []
producer = Producer({
    "bootstrap.servers": "127.0.0.1:9",
    "security.protocol": "sasl_plaintext",
    "sasl.mechanism": "OAUTHBEARER",
    "sasl.oauthbearer.method": "oidc",
    "sasl.oauthbearer.client.id": "a",
    "sasl.oauthbearer.client.secret": "b",
    "sasl.oauthbearer.token.endpoint.url": f"http://127.0.0.1:{server.server_port}/token",
    "error_cb": lambda error: said.append(str(error)),
})
began = time.monotonic()
while time.monotonic() - began < 6:
    producer.poll(0.1)
words = [text for text in said if "token" in text.lower()]
began = time.monotonic()
del producer
waited_s = time.monotonic() - began
print(f"closed after 6 s with {len(words)} words of a token: {waited_s:.1f} s more")
sys.exit(0 if waited_s > 3 and not words else 1)
PY
