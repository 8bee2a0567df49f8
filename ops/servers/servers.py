"""How each server is started: its configuration, its command, and where its access log comes from."""
import base64
import hashlib
import pathlib
import shutil
import socket
import sys
import threading

HERE = pathlib.Path(__file__).resolve().parent
USER, PASSWORD = "Smith [ext]", "secret"
TIMEOUT_S = 2


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """One server: `command` runs it, `port` and `unix` are where it listens, `log` is its access log."""

    has_auth = True
    has_queue = False

    def __init__(self, directory, backend):
        self.dir, self.backend = directory, backend
        self.port, self.log = free_port(), directory / "access.log"
        self.unix = str(directory / "web.sock")
        self.helpers = []
        digest = base64.b64encode(hashlib.sha1(PASSWORD.encode()).digest()).decode()
        (directory / "passwords").write_text(f"{USER}:{{SHA}}{digest}\n")
        (directory / "plain").write_text(f"{USER}:{PASSWORD}\n")
        (directory / "www").mkdir()
        self.write()

    def config(self, text):
        path = self.dir / "config"
        path.write_text(text)
        return str(path)


class Nginx(Server):
    package = "nginx-light"

    def write(self):
        path = self.config(f"""
daemon off; user root; pid {self.dir}/pid; error_log {self.dir}/error.log; worker_processes 1;
events {{ worker_connections 64; }}
http {{
  access_log {self.log};
  client_body_temp_path {self.dir}/t1; proxy_temp_path {self.dir}/t2; fastcgi_temp_path {self.dir}/t3;
  uwsgi_temp_path {self.dir}/t4; scgi_temp_path {self.dir}/t5;
  server {{
    listen 127.0.0.1:{self.port}; listen unix:{self.unix};
    location / {{ proxy_pass http://127.0.0.1:{self.backend}; proxy_read_timeout {TIMEOUT_S}s; }}
    location /auth {{ auth_basic x; auth_basic_user_file {self.dir}/passwords;
                      proxy_pass http://127.0.0.1:{self.backend}; }}
  }}
}}""")
        self.command = [shutil.which("nginx") or "/usr/sbin/nginx", "-c", path]


class Apache(Server):
    package = "apache2"

    def write(self):
        self.unix = None  # it listens on none
        modules = "mpm_event authn_core authn_file authz_core authz_user auth_basic proxy proxy_http"
        loads = "\n".join(f"LoadModule {m}_module /usr/lib/apache2/modules/mod_{m}.so" for m in modules.split())
        path = self.config(f"""
ServerRoot {self.dir}
ServerName localhost
PidFile {self.dir}/pid
DefaultRuntimeDir {self.dir}
ErrorLog {self.dir}/error.log
User www-data
Group www-data
Listen 127.0.0.1:{self.port}
{loads}
ProxyTimeout {TIMEOUT_S}
LogFormat "%h %l %u %t \\"%r\\" %>s %O \\"%{{Referer}}i\\" \\"%{{User-Agent}}i\\"" combined
CustomLog {self.log} combined
ProxyPass / http://127.0.0.1:{self.backend}/ retry=0
ProxyPassReverse / http://127.0.0.1:{self.backend}/
<LocationMatch "^/auth">
  AuthType Basic
  AuthName x
  AuthUserFile {self.dir}/passwords
  Require valid-user
</LocationMatch>""")
        self.command = ["/usr/sbin/apache2", "-X", "-f", path]


class Haproxy(Server):
    package = "haproxy"
    has_queue = True

    def write(self):
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("127.0.0.1", 0))
        threading.Thread(target=self.receive, args=(udp,), daemon=True).start()
        path = self.config(f"""
global
  log 127.0.0.1:{udp.getsockname()[1]} format raw local0
defaults
  mode http
  log global
  option httplog clf
  option abortonclose
  retries 0
  timeout connect {TIMEOUT_S}s
  timeout client 10s
  timeout server {TIMEOUT_S}s
  timeout queue {TIMEOUT_S}s
userlist people
  user "{USER}" insecure-password {PASSWORD}
frontend web
  bind 127.0.0.1:{self.port}
  bind unix@{self.unix}
  http-request auth realm x if {{ path_beg /auth }} !{{ http_auth(people) }}
  use_backend narrow if {{ path_beg /queue }}
  default_backend app
backend narrow
  server s 127.0.0.1:{self.backend} maxconn 1
backend app
  server s 127.0.0.1:{self.backend} maxconn 16
""")
        self.command = [shutil.which("haproxy") or "/usr/sbin/haproxy", "-db", "-f", path]

    def receive(self, udp):
        with open(self.log, "ab", buffering=0) as log:
            while True:
                line = udp.recv(65536).rstrip(b"\n")
                if b'"' in line:
                    log.write(line + b"\n")


class Varnish(Server):
    package = "varnish"
    has_auth = False  # it asks nobody; the name that a client sends is logged

    def write(self):
        vcl = f"""vcl 4.1;
backend default {{ .host = "127.0.0.1"; .port = "{self.backend}"; .first_byte_timeout = {TIMEOUT_S}s; }}
sub vcl_recv {{ return (pass); }}
"""
        (self.dir / "default.vcl").write_text(vcl)
        work = str(self.dir / "work")
        self.command = [shutil.which("varnishd") or "/usr/sbin/varnishd", "-F", "-n", work, "-f", str(self.dir / "default.vcl"),
                        "-a", f"127.0.0.1:{self.port}", "-a", f"web={self.unix}",
                        "-s", "malloc,16m", "-p", "thread_pool_min=10", "-j", "none"]
        self.helpers = [[shutil.which("varnishncsa") or "/usr/bin/varnishncsa", "-n", work, "-w", str(self.log), "-t", "20"]]


class Lighttpd(Server):
    package = "lighttpd"

    def write(self):
        path = self.config(f"""
server.modules = ( "mod_auth", "mod_authn_file", "mod_accesslog", "mod_proxy" )
server.document-root = "{self.dir}/www"
server.bind = "127.0.0.1"
server.port = {self.port}
server.errorlog = "{self.dir}/error.log"
accesslog.filename = "{self.log}"
auth.backend = "plain"
auth.backend.plain.userfile = "{self.dir}/plain"
auth.require = ( "/auth" => ( "method" => "basic", "realm" => "x", "require" => "valid-user" ) )
proxy.server = ( "" => (( "host" => "127.0.0.1", "port" => {self.backend}, "read-timeout" => {TIMEOUT_S} )) )
$SERVER["socket"] == "{self.unix}" {{ }}
""")
        self.command = [shutil.which("lighttpd") or "/usr/sbin/lighttpd", "-D", "-f", path]


class Gunicorn(Server):
    package = None
    has_auth = False  # the name that a client sends is logged

    def write(self):
        self.command = [sys.executable, "-m", "gunicorn", "--chdir", str(HERE), "app:wsgi", "--workers", "2",
                        "--timeout", str(TIMEOUT_S), "--access-logfile", str(self.log), "--error-logfile",
                        str(self.dir / "error.log"), "--bind", f"127.0.0.1:{self.port}", "--bind", f"unix:{self.unix}"]


ALL = {"nginx": Nginx, "apache": Apache, "haproxy": Haproxy, "varnish": Varnish, "lighttpd": Lighttpd,
       "gunicorn": Gunicorn}
