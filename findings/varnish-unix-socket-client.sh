#!/usr/bin/env bash
# Varnish 7.1.1 (Debian 12): the client of a request on a unix socket is logged as 0.0.0.0.
#
# Expected: a mark for "no peer", as every other server writes (nginx `unix:`, HAProxy `unix`, a path, `-`).
# Seen:     `%h` of varnishncsa is the address 0.0.0.0, so that all clients of a socket look like one client
#           with an address.
#           0.0.0.0 - - [27/Nov/2026:05:59:41 +0000] "GET http://localhost/a HTTP/1.1" 200 3 "-" "-"
#
# Downloads the packages below into a temporary directory and runs them from there; no service is started.
# It needs apt-get, gcc (Varnish compiles its configuration) and python3. Ends with 0 while this holds.
set -euo pipefail

version=7.1.1-2+deb12u1

work=$(mktemp -d)
pids=()
end() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap end EXIT

cd "$work"
apt-get -q download "varnish=$version" "libvarnishapi3=$version" libjemalloc2 >download.log 2>&1 || { cat download.log; exit 2; }
for package in *.deb; do dpkg -x "$package" root; done
root=$work/root
library=$(dirname "$(find "$root" -name 'libvarnishapi.so.3' | head -n 1)")
export LD_LIBRARY_PATH=$library:$library/varnish

cat >vcl <<'VCL'
vcl 4.1;
backend none none;
sub vcl_recv { return (synth(200, "OK")); }
VCL
export PATH=$root/usr/sbin:$root/usr/bin:$PATH
varnishd -F -j none -n "$work/run" -f "$work/vcl" -a "web=$work/web.sock" -s malloc,8m -p "vcl_path=$work" \
  -p "vmod_path=$library/varnish/vmods" >varnishd.log 2>&1 &
pids+=($!)
for _ in $(seq 100); do [[ -S $work/web.sock && -d $work/run/_.vsm_child ]] && break; sleep 0.1; done
[[ -S $work/web.sock ]] || { cat varnishd.log; exit 2; }
sleep 1
varnishncsa -n "$work/run" -t 10 -w "$work/access.log" >varnishncsa.log 2>&1 &
pids+=($!)
sleep 1

python3 - "$work/web.sock" <<'PY'
import socket
import sys
import time

def connected():
    for _ in range(100):
        s = socket.socket(socket.AF_UNIX)
        try:
            s.connect(sys.argv[1])
            return s
        except OSError:  # the socket is there before anybody listens
            time.sleep(0.1)
    sys.exit("varnishd does not listen")

with connected() as s:
    s.sendall(b"GET /a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert s.recv(65536).startswith(b"HTTP/1.1 200")
PY

for _ in $(seq 100); do [[ -s $work/access.log ]] && break; sleep 0.1; done
line=$(head -n 1 "$work/access.log")
echo "$line"
[[ $line == "0.0.0.0 - - ["*'"GET http://localhost/a HTTP/1.1" 200 '* ]] || { echo "this has changed"; exit 1; }
