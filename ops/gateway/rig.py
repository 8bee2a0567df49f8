"""Runs the proxy, its provider, clients and `tailburn run` against a broker that is there (see ops/gateway/run)."""
import argparse
import collections
import concurrent.futures
import contextlib
import json
import os
import pathlib
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

import clients
from clients import KINDS, SLOS

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
TOPIC = "litellm"
RECORDS_WITHIN_S, STATUSES_WITHIN_S = 60, 120
AT_ONCE = 6


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(url):
    with contextlib.suppress(OSError):
        with urllib.request.urlopen(url, timeout=2) as response:
            return response.status == 200
    return False


def is_open(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(holds, within_s, process, log):
    deadline = time.monotonic() + within_s
    while not holds():
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"not ready: {log.stem}\n{log.read_text(errors='replace')[-3000:]}")
        time.sleep(0.3)


class Rig:
    def __init__(self, args):
        self.args, self.work, self.processes = args, pathlib.Path(args.work), []
        self.model, self.proxy, self.nobody, self.api = (free_port() for _ in range(4))

    def start(self, name, command, **environment):
        with open(self.work / f"{name}.log", "wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.work,
                                       env={**os.environ, **environment}, start_new_session=True)
        self.processes.append(process)
        return process

    def end(self):
        for process in reversed(self.processes):
            process.terminate()
        for process in reversed(self.processes):
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def start_all(self):
        admin = AdminClient({"bootstrap.servers": self.args.brokers})
        admin.create_topics([NewTopic(TOPIC, 1, 1)])[TOPIC].result(30)
        shutil.rmtree(self.work / "state", ignore_errors=True)
        model = self.start("model", [sys.executable, HERE / "model.py", str(self.model)])
        proxy = self.start(
            "proxy",
            [pathlib.Path(sys.executable).parent / "litellm", "--config", HERE / "proxy.yaml",
             "--host", "127.0.0.1", "--port", str(self.proxy)],
            PYTHONPATH=str(HERE), KAFKA_BROKERS=self.args.brokers, KAFKA_TOPIC=TOPIC,
            MASTER_KEY=f"sk-{secrets.token_hex(24)}", MODEL_BASE=f"http://127.0.0.1:{self.model}/v1",
            NOBODY_BASE=f"http://127.0.0.1:{self.nobody}/v1", LITELLM_LOCAL_MODEL_COST_MAP="True")
        shutil.copytree(ROOT / "ops/examples/slos/llm", self.work / "slos", dirs_exist_ok=True)
        (self.work / "tailburn.yaml").write_text(json.dumps({
            "application_id": "gateway", "slos": ["slos"], "privacy": {"user_ids": "plain"},
            "kafka": {"properties": {"bootstrap.servers": self.args.brokers}},
            "input": {"topics": [TOPIC], "preset": "litellm"},
            "output": {"status_interval": "10s", "tenant_status_interval": "10s"},
            "partitions": {"users": 1, "rollup": 1}, "topics": {"replication_factor": 1},
            "state": {"dir": str(self.work / "state")}, "http": {"listen": f"127.0.0.1:{self.api}"}}))
        tailburn = self.start("tailburn", [self.args.tailburn, "run", "--config", self.work / "tailburn.yaml"])
        for name, process, within_s, is_ready in [
                ("model", model, 10, lambda: is_open(self.model)),
                ("proxy", proxy, 120, lambda: answers(f"http://127.0.0.1:{self.proxy}/health/liveliness")),
                ("tailburn", tailburn, 60, lambda: answers(f"http://127.0.0.1:{self.api}/readyz"))]:
            wait_until(is_ready, within_s, process, self.work / f"{name}.log")

    def ask(self, team, number, **wanted):
        return clients.ask(self.proxy, team, number, clients.Ask("whole", **wanted))

    def ask_all(self):
        """What the clients saw, by kind: pairs of what they should see and what they saw."""
        # The first requests load half of the proxy.
        for number in range(3):
            self.ask("warm-up", number, stream=number > 0)
        seen = collections.defaultdict(list)
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            asked = [(kind.name, pool.submit(clients.ask_all, self.proxy, kind, number))
                     for number in range(self.args.rounds) for kind in KINDS]
            for name, future in asked:
                seen[name] += future.result()
        return seen

    def keep_asking(self, stop):
        """Event time moves on only while there are records."""
        number = 0
        while not stop.wait(1):
            self.ask("tick", number)
            number += 1

    def records(self):
        """How many records the topic has, by tenant, once there are as many as there should be, or time is up."""
        consumer = Consumer({"bootstrap.servers": self.args.brokers, "group.id": "rig", "enable.auto.commit": False})
        consumer.assign([TopicPartition(TOPIC, 0, 0)])
        wanted = {kind.tenant: len(kind.records) * self.args.rounds for kind in KINDS}
        found, deadline = collections.Counter(), time.monotonic() + RECORDS_WITHIN_S
        with open(self.work / "records.jsonl", "wb") as file:
            while time.monotonic() < deadline:
                message = consumer.poll(1)
                if message is None or message.error():
                    continue
                file.write(message.value() + b"\n")
                found[json.loads(message.value())["metadata"]["user_api_key_team_alias"] or "default"] += 1
                if all(found[tenant] >= count for tenant, count in wanted.items()):
                    # Records that should not be there come a little later.
                    deadline = min(deadline, time.monotonic() + 5)
                    wanted = {}
        consumer.close()
        return found

    def statuses(self):
        """(good, bad, unclassified) of each tenant and SLO, by the newest record of `slo-status`."""
        command = [self.args.tailburn, "tap", "slo-status", "--from", "earliest", "--exit-at-end",
                   "--config", self.work / "tailburn.yaml"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        counted = {}
        for line in done.stdout.splitlines():
            status = json.loads(line)
            if status["scope"] == "tenant":
                window = next(window for window in status["windows"] if window["window"] == status["compliance_window"])
                counted[status["tenant"], status["slo"].removeprefix("llm-")] = (
                    round(window["good"]), round(window["bad"]), status["counts"]["unclassified"])
        (self.work / "slo-status.jsonl").write_text(done.stdout)
        return counted

    def statuses_in_the_end(self):
        deadline = time.monotonic() + STATUSES_WITHIN_S
        while True:
            counted = self.statuses()
            if all(is_counted(kind, counted, self.args.rounds) for kind in KINDS) or time.monotonic() > deadline:
                return counted
            time.sleep(3)


def expected(kind, slo, rounds):
    """(good, bad, unclassified) of a kind's records for one SLO."""
    verdicts = [record[SLOS.index(slo)] for record in kind.records]
    return verdicts.count("g") * rounds, verdicts.count("b") * rounds, 0


def is_counted(kind, counted, rounds):
    return all(counted.get((kind.tenant, slo), (0, 0, 0)) == expected(kind, slo, rounds) for slo in SLOS)


def cell(numbers, records):
    good, bad, unclassified = numbers
    out = records - good - bad - unclassified
    parts = [f"{count}{letter}" for count, letter in ((good, "g"), (bad, "b"), (unclassified, "?"), (out, "-")) if count]
    return " ".join(parts)


def for_them(kind, answers_):
    """(good, bad, unclassified) as the clients of a kind would count their requests."""
    verdicts = [kind.says(saw) for _, saw in answers_]
    return verdicts.count("g"), verdicts.count("b"), 0


def said(answers_):
    return ", ".join(f"{count} {what}" for what, count in sorted(collections.Counter(answers_).items()))


def report(seen, found, counted, rounds):
    """Prints the table, and returns whether something is not as it should be."""
    rows, wrong, notes = [["kind", "requests", "the clients saw", "for them", "records", *SLOS]], [], []
    for kind in KINDS:
        answers_, records = seen[kind.name], found[kind.tenant]
        mark = ""
        if kind.note:
            notes.append(kind.note)
            mark = f" [{len(notes)}]"
        rows.append([kind.name + mark, str(len(answers_)), said(saw for _, saw in answers_),
                     cell(for_them(kind, answers_), len(answers_)), str(records),
                     *(cell(counted.get((kind.tenant, slo), (0, 0, 0)), records) for slo in SLOS)])
        if any(saw != should for should, saw in answers_):
            wrong.append(f"{kind.name}: the clients should have seen {said(should for should, _ in answers_)}")
        if records != len(kind.records) * rounds:
            wrong.append(f"{kind.name}: {len(kind.records) * rounds} records should have come")
        of_tailburn = counted.get((kind.tenant, "availability"), (0, 0, 0))
        if for_them(kind, answers_) != of_tailburn and not kind.note:
            wrong.append(f"{kind.name}: availability is not what the clients would say")
        for slo in SLOS:
            if counted.get((kind.tenant, slo), (0, 0, 0)) != expected(kind, slo, rounds):
                wrong.append(f"{kind.name}: {slo} should be {cell(expected(kind, slo, rounds), records)}")
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print(("  ".join(text.ljust(width) for text, width in zip(row, widths))).rstrip())
    print("\ng good, b bad, ? unclassified, - left out")
    for number, note in enumerate(notes, 1):
        print(f"[{number}] {note}")
    for line in wrong:
        print(f"wrong: {line}")
    return bool(wrong)


def main():
    parser = argparse.ArgumentParser()
    for name in ("tailburn", "brokers", "work"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--rounds", type=int, required=True)
    args = parser.parse_args()
    # What was started must end here, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    rig, stop = Rig(args), threading.Event()
    try:
        rig.start_all()
        seen = rig.ask_all()
        asking = threading.Thread(target=rig.keep_asking, args=(stop,))
        asking.start()
        try:
            found = rig.records()
            counted = rig.statuses_in_the_end()
        finally:
            stop.set()
            asking.join()
    finally:
        rig.end()
    sys.exit(report(seen, found, counted, args.rounds))


if __name__ == "__main__":
    main()
