"""The clients: each kind of request, what its client must see, and what tailburn must count for it."""
import dataclasses
import http.client
import json
import time

SLOS = ["availability", "abandonment", "first-token", "inter-token", "goodput", "refusals", "tokens", "cost"]

# What a record is for each SLO, in their order: good, bad, or left out.
STREAM = "gggggggg"
LATE = "ggbgbggg"
SLOW = "gggbbggg"
PLAIN = "gg---ggg"
BIG = "gg---gbb"
FAILED = "bg--bg--"
MISTAKE = "gg---g--"
REFUSED = "gg---b--"
LEFT = "-b------"
OUT = "--------"


@dataclasses.dataclass
class Ask:
    """One request."""
    saw: str
    text: str = "fine"
    stream: bool = False
    model: str = "chat"
    # None: the key of the kind's team. Empty: none.
    key: str | None = None
    # The client leaves after so many lines, or while it waits for the first one.
    leaves_after: int | None = None
    more: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Kind:
    name: str
    asks: list
    records: list
    # Why these records say something else than the client, where they do.
    note: str = ""
    # Not a client of this gateway. Records of keys that nobody has are of no team.
    is_stranger: bool = False
    tenant: str = ""

    def __post_init__(self):
        self.tenant = self.tenant or self.name

    def says(self, saw):
        """Good or bad, as this client would say; `-` where the gateway's availability is not asked."""
        if self.is_stranger or saw in ("left", "whole, cached"):
            return "-"
        # A client's own mistake is answered with 400, and a refusal too.
        return "g" if saw.startswith(("whole", "400")) else "b"


CACHE = {"cache": {"use-cache": True}}
KINDS = [
    Kind("stream", [Ask("whole", stream=True)], [STREAM]),
    Kind("plain", [Ask("whole")], [PLAIN]),
    Kind("late", [Ask("whole", "late", stream=True)], [LATE]),
    Kind("slow", [Ask("whole", "slow", stream=True)], [SLOW]),
    Kind("big", [Ask("whole", "big")], [BIG]),
    Kind("broken", [Ask("broken off", "broken", stream=True)], [FAILED]),
    Kind("cut", [Ask("whole", "cut", stream=True)], [STREAM], "the proxy ends a body that stops early as if it were whole"),
    Kind("retried", [Ask("whole", "retried", stream=True)], [FAILED, LATE], "429, 429, 200: the first attempt is a record"),
    Kind("retried-plain", [Ask("whole", "retried")], [FAILED, PLAIN], "the same"),
    Kind("limited", [Ask("429", "limited", stream=True)], [FAILED], "three attempts, one record"),
    Kind("fault", [Ask("500", "fault")], [FAILED]),
    Kind("timeout", [Ask("408", "long", model="impatient")], [FAILED]),
    Kind("down", [Ask("500", model="down")], [FAILED]),
    Kind("fallback", [Ask("whole", stream=True, model="down-with-fallback")], [FAILED, LATE],
         "the model that is down is a record"),
    Kind("outdated-key", [Ask("401", model="outdated-key")], [FAILED]),
    Kind("refused", [Ask("400, refused", "refused")], [REFUSED]),
    Kind("mistake", [Ask("400", "mistake")], [MISTAKE]),
    Kind("cached", [Ask("whole", more=CACHE), Ask("whole, cached", more=CACHE)], [PLAIN, OUT]),
    Kind("cached-stream", [Ask("whole", stream=True, more=CACHE), Ask("whole, cached", stream=True, more=CACHE)],
         [STREAM, OUT]),
    Kind("left", [Ask("left", "slow", stream=True, leaves_after=6)], [LEFT]),
    Kind("left-early", [Ask("left", "late", stream=True, leaves_after=0)], [LEFT]),
    Kind("left-plain", [Ask("left", "long", leaves_after=0)], [LEFT]),
    Kind("unknown-model", [Ask("400", model="no-such-model")], [OUT], is_stranger=True),
    Kind("wrong-key", [Ask("400", key="sk-nobody's"), Ask("401", key="sk-deleted"), Ask("401", key="malformed"),
                       Ask("401", key="sk-not-ours"), Ask("401", key="")], [OUT] * 5, is_stranger=True, tenant="default"),
]


def ask(port, team, number, wanted):
    """What the client of this request saw."""
    body = {"model": wanted.model, "user": f"user {number}", "stream": wanted.stream,
            "messages": [{"role": "user", "content": f"{wanted.text} {team} {number}"}], **wanted.more}
    headers = {"Content-Type": "application/json"}
    key = f"sk-team-{team}" if wanted.key is None else wanted.key
    if key:
        headers["Authorization"] = f"Bearer {key}"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        if wanted.leaves_after == 0:
            time.sleep(0.5)
            return "left"
        return read(connection.getresponse(), wanted)
    except (OSError, http.client.HTTPException) as error:
        return f"no answer ({type(error).__name__})"
    finally:
        connection.close()


def read(response, wanted):
    if wanted.leaves_after:
        for _ in range(wanted.leaves_after):
            response.readline()
        response.close()
        return "left"
    body = response.read().decode()
    if response.status != 200:
        return f"{response.status}, refused" if "content_policy_violation" in body else str(response.status)
    is_whole = '"finish_reason":"stop"' in body and (body.rstrip().endswith("data: [DONE]") or not wanted.stream)
    if not is_whole:
        return "broken off"
    return "whole, cached" if response.getheader("x-litellm-cache-key") else "whole"


def ask_all(port, kind, round_number):
    """What the clients of one kind saw, one after the other."""
    seen = []
    for wanted in kind.asks:
        seen.append((wanted.saw, ask(port, kind.name, round_number, wanted)))
        # The cache is written behind the answer.
        time.sleep(0.5)
    return seen
