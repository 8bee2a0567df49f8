"""Runs real servers on loopback, sends typical requests, and compares what the clients saw with what
tailburn reads from the access logs.

  rig.py --tailburn PROGRAM [--server NAME ...] [--rounds N] [--keep DIR]

Prints a table a server, one row a kind of request. Ends with 1 where a line is no outcome, or where its status
and its verdict contradict each other.
"""
import argparse
import base64
import collections
import datetime
import json
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import servers

KINDS = ["ok", "missing", "fail", "reset", "slow", "half", "abort", "queue", "auth", "denied", "sock", "sockfail", "bare"]
# The path that the rig requests for kinds that are not paths of the application.
PATHS = {"auth": "auth", "denied": "auth", "sock": "ok", "sockfail": "fail"}


def connect(server, unix):
    if unix:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(server.unix)
    else:
        connection = socket.create_connection(("127.0.0.1", server.port))
    connection.settimeout(20)
    return connection


def path_of(kind, number):
    prefix = PATHS.get(kind, kind)
    return f"/{prefix}-{kind}-{number}"


def ask(server, kind, number):
    """What a client sees: a status, or in words what happened to it."""
    if kind == "queue":
        return ask_queued(server, number)
    with connect(server, kind.startswith("sock")) as connection:
        if kind == "bare":
            return "no request"
        lines = [f"GET {path_of(kind, number)} HTTP/1.1", "Host: localhost", "User-Agent: rig", "Connection: close"]
        if PATHS.get(kind) == "auth":
            password = servers.PASSWORD if kind == "auth" else "wrong"
            lines.append("Authorization: Basic " + base64.b64encode(f"{servers.USER}:{password}".encode()).decode())
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        if kind == "abort":
            time.sleep(0.4)
            return "gave up"
        return read_answer(connection)


def ask_queued(server, number):
    """A client that gives up while it waits behind another one for a server."""
    with connect(server, False) as first, connect(server, False) as second:
        first.sendall(b"GET /queue-hold HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(0.3)
        second.sendall(f"GET {path_of('queue', number)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        time.sleep(0.4)
        return "gave up"


def read_answer(connection):
    data = b""
    try:
        while more := connection.recv(65536):
            data += more
    except OSError:
        pass
    head, found, body = data.partition(b"\r\n\r\n")
    if not found:
        return "no answer"
    status = head.split(b" ")[1].decode()
    length = next((int(h.split(b":")[1]) for h in head.split(b"\r\n") if h.lower().startswith(b"content-length")), None)
    is_whole = length is None or len(body) >= length
    if b"transfer-encoding: chunked" in head.lower():
        is_whole = body.endswith(b"0\r\n\r\n")
    return status if is_whole else f"{status}, broken off"


def is_bad(seen):
    return seen.startswith("no answer") or seen.endswith("broken off") or seen.startswith("5")


def run_server(name, directory, backend, rounds):
    server = servers.ALL[name](directory, backend)
    processes = []
    with open(directory / "output", "wb") as output:
        def start(command):
            processes.append(subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True))
        try:
            start(server.command)
            wait_until(lambda: can_connect(server.port), f"{name} does not listen: see {directory}/output")
            for command in server.helpers:
                start(command)
                time.sleep(1)
            seen = ask_all(server, rounds)
            time.sleep(3)
        finally:
            for process in reversed(processes):
                process.terminate()
            for process in processes:
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
    return server, seen


def ask_all(server, rounds):
    seen, threads = collections.defaultdict(list), []
    asked_at = {}
    def one(kind, number):
        asked_at[kind, number] = time.time()
        try:
            answer = ask(server, kind, number)
        except OSError as error:
            answer = f"no answer ({type(error).__name__})"
        seen[kind].append((number, answer, asked_at[kind, number], time.time()))
    for number in range(rounds):
        for kind in KINDS:
            if kind.startswith("sock") and not server.unix or kind == "denied" and not server.has_auth:
                continue
            if kind == "queue" and not server.has_queue:
                continue
            thread = threading.Thread(target=one, args=(kind, number))
            thread.start()
            threads.append(thread)
            # Gunicorn's workers take one request at a time.
            if isinstance(server, servers.Gunicorn):
                thread.join()
    for thread in threads:
        thread.join()
    return seen


def can_connect(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(holds, complaint):
    for _ in range(100):
        if holds():
            return
        time.sleep(0.1)
    sys.exit(complaint)


def judge(tailburn, log, directory):
    """tailburn's result for each line of a log."""
    (directory / "slo.yaml").write_text("""apiVersion: openslo/v1
kind: SLO
metadata: {name: web}
spec:
  service: web
  indicator:
    metadata: {name: web}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: tailburn, spec: {filter: "status < 500"}}}
  timeWindow: [{duration: 28d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{target: 0.99}]
""")
    config = directory / "tailburn.yaml"
    config.write_text("slos: [slo.yaml]\nprivacy: {user_ids: plain}\ninput: {format: clf}\n")
    command = [tailburn, "check", "--config", str(config), "--input", str(log), "--limit", "100000", "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    return json.loads(done.stdout)["records"]


def row_of(kind, answers, records):
    """One row of the table: what clients saw, and the results for their lines."""
    lines = collections.Counter()
    users, late = set(), []
    for number, answer, asked, answered in answers:
        mine = [r for r in records if r["became"] == "outcome"
                and r["fields"].get("attributes", {}).get("path") == path_of(kind, number)]
        if not mine:
            lines["no line"] += 1
        for record in mine:
            fields = record["fields"]
            lines[f"{fields.get('status', 'none')} {record['verdicts'][0]['verdict']}"] += 1
            users.add(fields.get("user", "-"))
            if auth := fields["attributes"].get("auth_user"):
                users.add(f"auth_user {auth}")
            late.append((kind, stamp(fields["timestamp"]), asked, answered))
    return lines, users, late


def stamp(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def means(late):
    """Whether the log has the start or the end of a long request."""
    slow = [(at, asked, answered) for kind, at, asked, answered in late if kind == "slow"]
    if not slow:
        return "?"
    return "start" if all(abs(at - int(asked)) <= 1 for at, asked, _ in slow) else "end"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tailburn", required=True)
    parser.add_argument("--server", action="append", choices=list(servers.ALL))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep")
    args = parser.parse_args()
    top = pathlib.Path(args.keep or tempfile.mkdtemp(prefix="tailburn-servers-"))
    top.mkdir(parents=True, exist_ok=True)
    top.chmod(0o755)
    backend = servers.free_port()
    app = subprocess.Popen([sys.executable, str(servers.HERE / "app.py"), str(backend)])
    failed = False
    try:
        wait_until(lambda: can_connect(backend), "the application does not listen")
        for name in args.server or servers.ALL:
            directory = top / name
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir()
            server, seen = run_server(name, directory, backend, args.rounds)
            records = judge(args.tailburn, server.log, directory)
            failed |= report(name, seen, records, args.rounds)
    finally:
        app.send_signal(signal.SIGTERM)
        app.wait()
        if not args.keep:
            shutil.rmtree(top)
    sys.exit(failed)


def report(name, seen, records, rounds):
    failed, all_late, totals = False, [], collections.Counter()
    print(f"\n{name}: {len(records)} lines")
    print(f"  {'request':10}{'the client saw':29}{'the log, and tailburn':38}user")
    for kind in [kind for kind in KINDS if kind in seen]:
        answers = seen[kind]
        lines, users, late = row_of(kind, answers, records)
        all_late += late
        saw = collections.Counter(answer for _, answer, _, _ in answers)
        print(f"  {kind:10}{said(saw):29}{said(lines):38}{', '.join(sorted(users))}")
        for _, answer, _, _ in answers:
            totals["client", "bad" if is_bad(answer) else "good" if answer[0].isdigit() else answer] += 1
        for line, count in lines.items():
            totals["tailburn", line if line == "no line" else line.split(" ")[1]] += count
            # Exactly the failures that the log shows must be failures.
            failed |= line.startswith("5") != line.endswith(" bad") and line != "no line"
    for who in ("client", "tailburn"):
        print(f"  {who}: " + ", ".join(f"{count} {what}" for (of, what), count in sorted(totals.items()) if of == who))
    return report_rest(records, all_late, rounds) or failed


def report_rest(records, late, rounds):
    """Lines without a request of ours, dead letters, and the meaning of a line's time."""
    ours = {path_of(kind, number) for kind in KINDS for number in range(rounds)}
    dead = [record for record in records if record["became"] == "dead_letter"]
    for record in dead[:3]:
        print(f"  dead letter: line {record['number']}: {record['detail']}")
    others = collections.Counter(
        f"status {r['fields'].get('status', 'none')}, {r['verdicts'][0]['verdict']}" for r in records
        if r["became"] == "outcome" and r["fields"].get("attributes", {}).get("path") not in ours)
    if others:
        print(f"  lines without a request: {said(others)}")
    print(f"  the time of a line is that of the request's {means(late)}")
    return bool(dead)


def said(counter):
    return ", ".join(f"{count} x {what}" for what, count in sorted(counter.items()))


main()
