#!/usr/bin/env bash
# LiteLLM's proxy 1.108.7: after retries, the record of a stream lasts from the first attempt on, that of an answer in one
# piece only for the last attempt, and a request whose three attempts fail has one record: its first attempt.
#
# Expected: of two requests that differ in `stream` alone (429, 429, 200), the successes' "standard logging payloads" say
#           the same: either how long the client waited, or how long the last attempt took. And where every attempt
#           fails, a record an attempt, as the package's own Router writes them, or one with the client's wait.
# Seen:     who reads endTime - startTime takes a failure after five seconds for an instant one:
#           stream, retried: waited 2.5 s, records: failure 0.0 s, success 2.5 s
#           plain, retried:  waited 2.8 s, records: failure 0.0 s, success 0.0 s
#           plain, failed:   waited 5.5 s, records: failure 0.0 s
#
# Installs litellm[proxy] into a temporary directory, and listens on free ports of loopback. It needs python3 with venv.
# Ends with 0 while this holds.
set -euo pipefail

version=1.108.7

work=$(mktemp -d)
proxy=
end() {
  if [[ -n $proxy ]]; then
    kill "$proxy" 2>/dev/null || true
    wait "$proxy" 2>/dev/null || true
  fi
  rm -rf "$work"
}
trap end EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check "litellm[proxy]==$version" >"$work/pip.log" 2>&1 \
  || { cat "$work/pip.log"; exit 2; }

read -r provider_port proxy_port < <(python3 - <<'PY'
import socket

sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(s.getsockname()[1] for s in sockets))
PY
)
cat >"$work/config.yaml" <<YAML
model_list:
  - model_name: chat
    litellm_params: {model: openai/small, api_base: "http://127.0.0.1:$provider_port/v1", api_key: any}
router_settings: {num_retries: 2}
litellm_settings: {callbacks: to_file.logger}
general_settings: {master_key: os.environ/MASTER_KEY}
YAML
cat >"$work/to_file.py" <<'PY'
import json
import os

from litellm.integrations.custom_logger import CustomLogger


class ToFile(CustomLogger):
    def write(self, kwargs):
        with open(os.environ["RECORDS"], "a") as file:
            record = kwargs["standard_logging_object"]
            file.write(json.dumps({name: record[name] for name in ("end_user", "status", "startTime", "endTime")}) + "\n")

    async def async_log_success_event(self, kwargs, response_obj, start_time, end_time):
        self.write(kwargs)

    async def async_log_failure_event(self, kwargs, response_obj, start_time, end_time):
        self.write(kwargs)


logger = ToFile()
PY
MASTER_KEY=sk-$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
export MASTER_KEY RECORDS=$work/records LITELLM_LOCAL_MODEL_COST_MAP=True
(cd "$work" && exec "$work/venv/bin/litellm" --config config.yaml --host 127.0.0.1 --port "$proxy_port") \
  >"$work/proxy.log" 2>&1 &
proxy=$!

python3 - "$provider_port" "$proxy_port" <<'PY' || { code=$?; tail -n 5 "$work/proxy.log"; exit "$code"; }
import collections
import http.client
import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

provider_port, proxy_port = map(int, sys.argv[1:])
asked = collections.Counter()


class Provider(BaseHTTPRequestHandler):
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = request["messages"][0]["content"]
        asked[text] += 1
        head = {"id": "1", "created": 1, "model": "small"}
        if "failed" in text or "retried" in text and asked[text] < 3:
            return self.answer(429, "application/json", json.dumps({"error": {"message": "busy", "code": "busy"}}))
        if not request.get("stream"):
            choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "yes"}}
            usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
            return self.answer(200, "application/json", json.dumps({**head, "choices": [choice], "usage": usage}))
        choices = [{"index": 0, "delta": {"content": "yes"}}], [{"index": 0, "delta": {}, "finish_reason": "stop"}]
        events = [json.dumps({**head, "object": "chat.completion.chunk", "choices": choice}) for choice in choices]
        self.answer(200, "text/event-stream", "".join(f"data: {event}\n\n" for event in [*events, "[DONE]"]))

    def answer(self, status, kind, body):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


def ask(text, method="POST", path="/v1/chat/completions"):
    """The status, and how long the client waited."""
    connection = http.client.HTTPConnection("127.0.0.1", proxy_port, timeout=60)
    began = time.monotonic()
    body = {"model": "chat", "user": text, "stream": "stream" in text, "messages": [{"role": "user", "content": text}]}
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {os.environ['MASTER_KEY']}"}
    connection.request(method, path, json.dumps(body) if method == "POST" else None, headers)
    response = connection.getresponse()
    response.read()
    return response.status, time.monotonic() - began


def is_there():
    try:
        return ask("", "GET", "/health/liveliness")[0] == 200
    except OSError:
        return False


def records():
    if not os.path.exists(os.environ["RECORDS"]):
        return []
    with open(os.environ["RECORDS"]) as file:
        return [json.loads(line) for line in file]


threading.Thread(target=ThreadingHTTPServer(("127.0.0.1", provider_port), Provider).serve_forever, daemon=True).start()
for _ in range(240):
    if is_there():
        break
    time.sleep(0.5)
else:
    sys.exit("the proxy does not answer")
# The first requests load half of the proxy.
ask("plain, first"), ask("stream, first")

waited = {}
for text, status in ("stream, retried", 200), ("plain, retried", 200), ("plain, failed", 429):
    seen, waited[text] = ask(text)
    if seen != status or asked[text] != 3:
        sys.exit(f"{text}: {seen} after {asked[text]} attempts")
for _ in range(100):
    if len([record for record in records() if record["end_user"] in waited]) >= 5:
        break
    time.sleep(0.1)
time.sleep(1)

lasted = collections.defaultdict(list)
for record in records():
    lasted[record["end_user"]].append((record["status"], record["endTime"] - record["startTime"]))
for text, wait_s in waited.items():
    words = ", ".join(f"{status} {seconds:.1f} s" for status, seconds in sorted(lasted[text]))
    print(f"{text + ':':16} waited {wait_s:.1f} s, records: {words}")


def holds(text, *wanted):
    """Whether the records are these: a status, and whether it lasted as long as the client waited or next to nothing."""
    found = sorted(lasted[text])
    return [status for status, _ in found] == [status for status, _ in wanted] and all(
        seconds > 0.9 * waited[text] if is_whole else seconds < 0.3 * waited[text]
        for (_, seconds), (_, is_whole) in zip(found, wanted))


sys.exit(0 if holds("stream, retried", ("failure", False), ("success", True))
         and holds("plain, retried", ("failure", False), ("success", False))
         and holds("plain, failed", ("failure", False)) else "this has changed")
PY
