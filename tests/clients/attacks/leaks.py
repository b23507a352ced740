"""Where else a secret might show: in what is said, written, counted, handed to children, or left in answers' headers."""

import http.server
import json
import pathlib
import re
import threading

from stage import ACCOUNT, BIN, REGION, end, wait_for

from .scene import Scene
from .wire import ask

TELEMETRY, METRICS, CHILD, REPLY = "src/telemetry.rs", "src/endpoint/metrics.rs", "src/child.rs", "src/endpoint/reply.rs"
TROUBLE, WIRE = "src/source/trouble.rs", "src/endpoint/control/wire.rs"


def attacks(suite):
    scene = Talker(suite, "talker")
    said(suite, scene)
    children(suite)
    hostile(suite)


class Talker(Scene):
    """A daemon that logs all that it can."""

    def __init__(self, suite, name):
        super().__init__(suite, name)
        end(self.daemon.process)
        self.daemon.process = suite.stage.spawn(name, [BIN, "serve", "--config", self.daemon.config, "--log-level", "debug"])
        self.daemon.wait()


def said(suite, scene):
    for door in scene.lending:
        scene.learn(door)
    for odd in (scene.container.honest.having("Authorization", "cbt1.forged"), scene.container.honest.also("X-Forwarded-For", "1.2.3.4"),
                scene.container.honest.also("Authorization", scene.ticket)):
        scene.container.ask(odd)
    for door, header in ((scene.container, "Authorization"), (scene.imds, "X-aws-ec2-metadata-token")):
        ask(door.place, door.honest.also(header, door.honest.value(header)).raw())
        ask(door.place, door.honest.raw().replace(b"HTTP/1.1", b"HTTP/1.9"))
    with suite.attack("leak", "the log at its most talkative is read", TELEMETRY, scene) as attack:
        log = scene.daemon.process.log.read_text()
        assert "DEBUG" in log and "lent" in log, "it does not say much"
        suite.shows_nothing(log)
        attack.saw = "no secret"
    for what, argv in (("status", ["status", "--json"]), ("status of a profile", ["status", "reader", "--json"]), ("list", ["list"]),
                       ("status for people", ["status"])):
        with suite.attack("leak", f"what `{what}` prints is read", WIRE, scene) as attack:
            done = scene.daemon.run(*argv)
            assert done.returncode == 0 and "reader" in done.stdout, done.stderr
            suite.shows_nothing(done.stdout)
            attack.saw = "no secret"
    with suite.attack("leak", "what monitoring is told is read", METRICS, scene) as attack:
        text = scene.metrics.ask().body.decode()
        assert 'profile="reader"' in text, "it does not tell much"
        suite.shows_nothing(text)
        assert not re.search(r"A[KS]IA[A-Z0-9]{12,}", text), "a key id"
        attack.saw = "no secret, and no key id"
    with suite.attack("leak", "an answer is kept by a cache, or opened to a page of another origin", REPLY, scene) as attack:
        for door in scene.doors:
            for request in (door.honest, door.honest.to("/nothing"), door.honest.having("Host", "evil.example")):
                head = door.ask(request).raw.split(b"\r\n\r\n")[0].lower()
                assert b"cache-control: no-store" in head and b"access-control" not in head, f"{door.name}: {head}"
                assert b"server:" not in head and b"set-cookie" not in head, f"{door.name}: {head}"
        attack.saw = "no-store, and no CORS"
    with suite.attack("leak", "the arguments and the environment of the daemon are read", "src/cli/serve.rs", scene) as attack:
        for name in ("cmdline", "environ"):
            suite.shows_nothing(pathlib.Path(f"/proc/{scene.daemon.process.pid}/{name}").read_bytes())
        attack.saw = "no secret"
    with suite.attack("leak", "the state directory is read as a whole", "src/seal/sealing.rs", scene) as attack:
        sealed = [path for path in (scene.daemon.dir / "state").rglob("*") if path.is_file()]
        wait_for(lambda: list((scene.daemon.dir / "state" / "sessions").glob("*")), "a sealed session")
        for path in sealed:
            suite.shows_nothing(path.read_bytes())
        attack.saw = "no secret"
    with suite.attack("leak", "`exec` and `env` print what they hand on", "src/cli/exec.rs", scene) as attack:
        done = scene.daemon.run("exec", "reader", "--", "sh", "-c", "echo $AWS_CONTAINER_AUTHORIZATION_TOKEN$AWS_SECRET_ACCESS_KEY; "
                                'tr "\\0" "\\n" </proc/$PPID/cmdline; tr "\\0" "\\n" </proc/$PPID/environ 2>&1')
        assert done.returncode == 0 and "exec" in done.stdout, done.stderr
        suite.shows_nothing(done.stdout + done.stderr)
        attack.saw = "no secret"


def children(suite):
    """A command of the configuration prints its own environment, arguments and descriptors."""
    with suite.attack("leak", "a command of the configuration looks at what it was given", CHILD) as attack:
        place = suite.stage.dir / "children"
        suite.stage.write("children/base.json", {"Version": 1, "AccessKeyId": "AKIAIOSFODNN7EXAMPLE", "SecretAccessKey": 40 * "n"})
        planted = {"AWS_SECRET_ACCESS_KEY": 40 * "p", "AWS_SESSION_TOKEN": 60 * "q", "SOME_PASSWORD": "hunter2hunter2"}
        suite.secret(*planted.values())
        script = f"env > {place}/seen; ls -l /proc/self/fd >> {place}/seen; echo no"
        text = '[daemon]\nstate_dir = "state"\ncontrol = "control.sock"\n'
        text += f'[profile.it]\ncredential_process = {json.dumps(["sh", "-c", script])}\n'
        daemon = suite.stage.daemon(text, name="children", env=suite.stage.env(**planted))
        environ = pathlib.Path(f"/proc/{daemon.process.pid}/environ").read_text()
        assert "hunter2hunter2" in environ, "it was not planted"
        daemon.run("process", "it")
        seen = (place / "seen").read_text()
        assert "PATH=" in seen, seen
        suite.shows_nothing(seen)
        numbers = {int(it) for it in re.findall(r" (\d+) -> ", seen)}
        assert numbers <= {0, 1, 2, 3}, f"descriptors: {seen}"
        attack.saw = "a clean environment, and no descriptor"


def hostile(suite):
    """An STS that says again what it was sent, in its errors: what people and logs are told has no secret of it."""
    token = "eyJhbGciOiJub25lIn0." + 60 * "w" + ".c2lnbmF0dXJl"
    suite.secret(token)
    with Echo() as echo:
        suite.stage.write("echoed/token", token)
        suite.stage.write("echoed/base.json", {"Version": 1, "AccessKeyId": "AKIAIOSFODNN7EXAMPLE", "SecretAccessKey": 40 * "n"})
        role = f'role_arn = "arn:aws:iam::{ACCOUNT}:role/Reader"\nregion = "{REGION}"\nendpoint_url = "{echo.url}"\n'
        text = '[daemon]\nstate_dir = "state"\ncontrol = "control.sock"\n[profile.base]\naccess_key = { file = "base.json" }\n'
        text += f'[profile.keys]\nsource_profile = "base"\n{role}[profile.web]\nweb_identity_token = {{ file = "token" }}\n{role}'
        daemon = suite.stage.daemon(text, name="echoed")
        for profile, what in (("web", "a web identity token"), ("keys", "a signature")):
            with suite.attack("leak", f"an STS repeats {what} in its error", TROUBLE) as attack:
                done = daemon.run("process", profile)
                assert done.returncode and not done.stdout, done.returncode
                assert echo.heard, "nothing was sent"
                suite.secret(*re.findall(r"Signature=([0-9a-f]{64})", " ".join(echo.heard)))
                told = [done.stderr, daemon.run("status", profile, "--json").stdout, daemon.process.log.read_text()]
                for text in told:
                    suite.shows_nothing(text)
                attack.saw = "it is not told"


class Echo:
    """An STS whose errors repeat the whole request."""

    def __init__(self):
        echo, self.heard = self, []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                said = f"{dict(self.headers)} {body}"
                echo.heard.append(said)
                text = ("<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>"
                        + said.replace("&", "&amp;").replace("<", "&lt;") + "</Message></Error></ErrorResponse>").encode()
                self.send_response(403)
                self.send_header("Content-Type", "text/xml")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
