#!/usr/bin/env bash
# HAProxy 2.6.12 (Debian 12): `option abortonclose` in a backend does nothing, in `defaults` it works.
#
# Expected: its manual has the option for `defaults`, `listen` and `backend`: in either place, a client that gives
#           up while it waits in the queue is taken out of it, and logged with the state CQ-- and the status -1.
# Seen:     in `defaults`: -1 CQ--. In the backend alone, without a warning at start: the client that is gone waits
#           for the whole `timeout queue`, and is logged as a 503 with sQ--: a failure that nobody saw.
#           GET /queued HTTP/1.1" 503 217 "" "" .. "web" "narrow" "<NOSRV>" 0 1000 -1 -1 1000 sQ-- ..
#           GET /queued HTTP/1.1" -1 0 "" "" .. "web" "narrow" "<NOSRV>" 0 300 -1 -1 300 CQ-- ..
#
# Downloads the packages below into a temporary directory and runs them from there, on free ports of loopback; no
# service is started. It needs apt-get and python3. Ends with 0 while this holds.
set -euo pipefail

version=2.6.12-1+deb12u4

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get -q download "haproxy=$version" liblua5.3-0 libopentracing-c-wrapper0 libopentracing1 libpcre2-8-0 \
  >download.log 2>&1 || { cat download.log; exit 2; }
for package in *.deb; do dpkg -x "$package" root; done
export LD_LIBRARY_PATH
LD_LIBRARY_PATH=$(find "$work/root" -name '*.so.*' -printf '%h\n' | sort -u | paste -sd:)

python3 - "$work/root/usr/sbin/haproxy" <<'PY'
import socket
import subprocess
import sys
import threading
import time


def listener():
    return socket.create_server(("127.0.0.1", 0))


def slow_application(listening):
    """Answers each request after 2 s."""
    def answer(connection):
        with connection:
            connection.recv(65536)
            time.sleep(2)
            try:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            except OSError:
                pass
    while True:
        threading.Thread(target=answer, args=(listening.accept()[0],), daemon=True).start()


def ask(port, path):
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return connection


def line_of_queued(in_defaults, in_backend):
    """The log line of a client that gives up in the queue."""
    application = listener()
    threading.Thread(target=slow_application, args=(application,), daemon=True).start()
    with listener() as probe:
        port = probe.getsockname()[1]
    log = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    log.bind(("127.0.0.1", 0))
    log.settimeout(10)
    config = f"""
global
  log 127.0.0.1:{log.getsockname()[1]} format raw local0
defaults
  mode http
  log global
  option httplog clf
  {in_defaults}
  timeout connect 1s
  timeout client 9s
  timeout server 9s
  timeout queue 1s
frontend web
  bind 127.0.0.1:{port}
  default_backend narrow
backend narrow
  {in_backend}
  server s 127.0.0.1:{application.getsockname()[1]} maxconn 1
"""
    with open("config", "w") as file:
        file.write(config)
    checked = subprocess.run([sys.argv[1], "-c", "-f", "config"], capture_output=True, text=True)
    assert checked.returncode == 0 and "abortonclose" not in checked.stderr, checked.stderr
    haproxy = subprocess.Popen([sys.argv[1], "-db", "-f", "config"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        with ask(port, "/first"):
            time.sleep(0.3)
            with ask(port, "/queued"):
                time.sleep(0.3)
            while True:
                line = log.recv(65536).decode()
                if "/queued" in line:
                    return line.strip()
    finally:
        haproxy.terminate()
        haproxy.wait(10)


backend, defaults = line_of_queued("", "option abortonclose"), line_of_queued("option abortonclose", "")
print("in the backend:", backend)
print("in defaults:   ", defaults)
holds = '" 503 ' in backend and " sQ-- " in backend and '" -1 ' in defaults and " CQ-- " in defaults
sys.exit(0 if holds else "this has changed")
PY
