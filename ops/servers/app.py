"""The application behind the servers: as WSGI for gunicorn, and as a plain server behind the proxies.

What a path asks for stands in its first part: /fail-2 fails, /slow-1 takes longer than any server waits.
"""
import socket
import sys
import threading
import time

SLOW_S = 5.0
ABORTED_S = 1.5


def kind(path):
    return path.lstrip("/").split("-")[0]


def wsgi(environ, start_response):
    asked = kind(environ["PATH_INFO"])
    if asked == "missing":
        start_response("404 Not Found", [("Content-Length", "3")])
        return [b"no\n"]
    if asked in ("fail", "reset"):
        raise RuntimeError("asked to fail")
    if asked == "slow":
        time.sleep(SLOW_S)
    if asked in ("abort", "queue"):
        time.sleep(ABORTED_S)
    start_response("200 OK", [("Content-Length", "20000")])
    return half() if asked == "half" else [b"x" * 20000]


def half():
    yield b"x" * 100
    raise RuntimeError("asked to break off")


def answer(connection):
    with connection:
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(65536)
            if not more:
                return
            data += more
        asked = kind(data.split(b" ")[1].decode("latin-1"))
        if asked == "reset":
            return
        time.sleep({"slow": SLOW_S, "abort": ABORTED_S, "queue": ABORTED_S}.get(asked, 0))
        status = {"missing": b"404 Not Found", "fail": b"500 Internal Server Error"}.get(asked, b"200 OK")
        body = b"x" * (100 if asked == "half" else 20000)
        head = b"HTTP/1.1 " + status + b"\r\nContent-Length: 20000\r\nConnection: close\r\n\r\n"
        try:
            connection.sendall(head + body)
        except OSError:
            pass


def serve(port):
    with socket.create_server(("127.0.0.1", port), backlog=64) as listener:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=answer, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
