"""The provider behind the proxy: a small server that speaks as OpenAI's does.

What a request is to become stands in the first word of its last message. Further words tell requests apart.
"""
import collections
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WORDS = [f"word{i} " for i in range(10)]
FIRST_S, WORD_S, LATE_S, SLOW_S, LONG_S = 0.05, 0.005, 1.5, 0.12, 2.5

# Status, code and type of the errors.
ERRORS = {
    "refused": (400, "content_policy_violation", "invalid_request_error"),
    "mistake": (400, "invalid_value", "invalid_request_error"),
    "limited": (429, "rate_limit_exceeded", "requests"),
    "retried": (429, "rate_limit_exceeded", "requests"),
    "fault": (500, "server_error", "server_error"),
}
asked = collections.Counter()


class Provider(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = request["messages"][-1]["content"]
        kind = text.split()[0]
        asked[text] += 1
        if self.headers["Authorization"] != "Bearer right":
            return self.fail(401, "invalid_api_key", "invalid_request_error")
        if kind in ERRORS and not (kind == "retried" and asked[text] == 3):
            return self.fail(*ERRORS[kind])
        if kind == "long":
            time.sleep(LONG_S)
        prompt = 9000 if kind == "big" else 7
        usage = {"prompt_tokens": prompt, "completion_tokens": len(WORDS), "total_tokens": prompt + len(WORDS)}
        self.head = {"id": f"chat-{time.time_ns()}", "created": int(time.time()), "model": "small"}
        try:
            if request.get("stream"):
                self.stream(kind, (request.get("stream_options") or {}).get("include_usage"), usage)
            else:
                message = {"role": "assistant", "content": "".join(WORDS)}
                self.answer(200, {**self.head, "object": "chat.completion", "usage": usage,
                                  "choices": [{"index": 0, "finish_reason": "stop", "message": message}]})
        except OSError:
            # The proxy has left.
            self.close_connection = True

    def fail(self, status, code, kind):
        self.answer(status, {"error": {"message": code, "type": kind, "param": None, "code": code}})

    def answer(self, status, body):
        body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def stream(self, kind, with_usage, usage):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        time.sleep(LATE_S if kind == "late" else FIRST_S)
        for number, word in enumerate(WORDS):
            if number == 3 and kind == "broken":
                self.close_connection = True
                return self.connection.shutdown(2)
            if number == 3 and kind == "cut":
                return self.wfile.write(b"0\r\n\r\n")
            self.chunk([{"index": 0, "delta": {"role": "assistant", "content": word}, "finish_reason": None}])
            time.sleep(SLOW_S if kind == "slow" else WORD_S)
        self.chunk([{"index": 0, "delta": {}, "finish_reason": "stop"}])
        if with_usage:
            self.chunk([], usage=usage)
        self.event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def chunk(self, choices, **more):
        self.event(json.dumps({**self.head, "object": "chat.completion.chunk", "choices": choices, **more}))

    def event(self, data):
        data = f"data: {data}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Provider).serve_forever()
