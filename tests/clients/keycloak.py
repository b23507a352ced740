"""A real Keycloak, on Java: the server that tests/run has put into the cache and built, with a home in the stage.

Its database is in memory. It speaks https on loopback alone, with a certificate of its own, and calls itself by that
address whatever it is called by.
"""

import json
import secrets
import shutil
import ssl
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

from stage import CACHE, NotHere, free_port, wait_for

HOME = CACHE / "keycloak"


class Keycloak:
    """A running Keycloak with `realms`, each as its JSON has it; `${NAME}` in those is taken from `env`.

    `url` is where it is, `ca` the authority of its certificate, `seconds` how long it took to start.
    """

    def __init__(self, stage, realms, **env):
        java = shutil.which("java", path="/usr/local/bin:/usr/bin:/bin")
        if not java or not (HOME / "lib" / "quarkus" / "generated-bytecode.jar").exists():
            raise NotHere(f"there is no java, or no Keycloak in {HOME}: tests/run brings it")
        self.dir = stage.dir / "keycloak"
        for number, realm in enumerate(realms):
            stage.write(f"keycloak/data/import/{number}.json", realm)
        (self.dir / "conf").mkdir()
        for name in ("lib", "providers"):
            (self.dir / name).symlink_to(HOME / name)
        key, self.ca = self.dir / "server.key", self.dir / "server.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=sso",
             "-addext", "basicConstraints=CA:FALSE", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
             "-keyout", key, "-out", self.ca], check=True, capture_output=True, timeout=60)
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self._ssl = ssl.create_default_context(cafile=self.ca)
        self._password = secrets.token_urlsafe(24)
        stage.secret(self._password)
        start = time.monotonic()
        self.process = stage.spawn("keycloak", [java, *self._java(), *self._words(key)], stage.env(
            KC_BOOTSTRAP_ADMIN_USERNAME="admin", KC_BOOTSTRAP_ADMIN_PASSWORD=self._password, **env))
        wait_for(self._answers, "Keycloak", self.process, 180)
        self.seconds = time.monotonic() - start

    def new_secret(self, realm, client_id):
        """Gives a client another secret, as a person would in the console: the old one is worth nothing any more."""
        token = self.ask("/realms/master/protocol/openid-connect/token", {
            "grant_type": "password", "client_id": "admin-cli", "username": "admin", "password": self._password,
        })["access_token"]
        clients = f"/admin/realms/{realm}/clients"
        [client] = self.ask(f"{clients}?clientId={client_id}", token=token)
        return self.ask(f"{clients}/{client['id']}/client-secret", {}, token=token)["value"]

    def ask(self, path, form=None, token=None):
        """The JSON that it answers, to a GET, or to a POST where there is a form."""
        data = None if form is None else urllib.parse.urlencode(form).encode()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = urllib.request.Request(self.url + path, data, headers)
        with urllib.request.urlopen(request, timeout=30, context=self._ssl) as answer:
            return json.load(answer)

    def _answers(self):
        try:
            self.ask("/realms/master")
        except OSError:
            return False
        return True

    def _java(self):
        """What kc.sh gives Java; it would stay between us and the server, and leave that behind when it is killed."""
        opens = [f"java.base/java.{name}" for name in ("lang", "security", "util", "util.concurrent")]
        properties = {
            "java.util.concurrent.ForkJoinPool.common.threadFactory":
                "io.quarkus.bootstrap.forkjoin.QuarkusForkJoinWorkerThreadFactory",
            "java.util.logging.manager": "org.jboss.logmanager.LogManager",
            "jboss.server.config.dir": self.dir / "conf",
            "kc.home.dir": self.dir,
            "picocli.disable.closures": "true",
        }
        # It is not here for long: a small heap and quick compilation.
        return ["-Xms64m", "-Xmx384m", "-XX:MaxMetaspaceSize=256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
                *(f"--add-opens={package}=ALL-UNNAMED" for package in opens),
                *(f"-D{name}={value}" for name, value in properties.items()),
                "-cp", self.dir / "lib" / "quarkus-run.jar", "io.quarkus.bootstrap.runner.QuarkusEntryPoint"]

    def _words(self, key):
        return ["start", "--optimized", "--import-realm", "--cache=local", "--http-host=127.0.0.1",
                f"--https-port={self.port}", f"--https-certificate-file={self.ca}",
                f"--https-certificate-key-file={key}", f"--hostname={self.url}"]
