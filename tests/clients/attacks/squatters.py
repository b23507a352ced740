"""Another user takes the port of an endpoint, while the daemon serves and while it is down, and waits for tickets."""

import socket

from stage import end, wait_for

from .household import House
from .wire import Request, ask

KERNEL, LISTENERS, UNITS = "the kernel", "src/daemon/listeners.rs", "systemd/system/credbroker-local.socket"
NOT_NOW, NO_DAEMON = 75, 125
# Binds as it is told, says whether it could, and takes down what it hears.
SQUATTER = """
import socket, sys
options, host, port, log = sys.argv[1].split(), sys.argv[2], int(sys.argv[3]), sys.argv[4]
listener = socket.socket()
for option in options:
    listener.setsockopt(socket.SOL_SOCKET, getattr(socket, option), 1)
try:
    listener.bind((host, port))
    listener.listen()
except OSError as error:
    print(error.strerror, flush=True)
    sys.exit(1)
print("bound", flush=True)
open(log, "w").close()
while log != "/dev/null":
    line, _ = listener.accept()
    open(log, "ab").write(line.recv(10000))
    line.close()
"""

KIND = "squatter"

def attacks(suite):
    with House(suite, "squatters") as house:
        tenant = house.daemon(house.alice, "own")
        while_it_serves(suite, house, tenant)
        while_it_is_down(suite, house, tenant)
        held(suite, house)


def while_it_serves(suite, house, tenant):
    for what, options, host in (("its address", "", "127.0.0.1"), ("its address, to be shared", "SO_REUSEPORT SO_REUSEADDR", "127.0.0.1"),
                                ("every address", "SO_REUSEADDR", "0.0.0.0"),
                                ("every address, to be shared", "SO_REUSEPORT SO_REUSEADDR", "0.0.0.0")):
        with suite.attack("squatter", f"binds the port of a daemon that serves: {what}", KERNEL, tenant) as attack:
            done = house.bob.run("python3", "-c", SQUATTER, options, host, tenant.port, "/dev/null", timeout=60)
            assert done.returncode == 1 and done.stdout == "Address already in use\n", f"{done.returncode}: {done.stdout}"
            attack.saw = "in use"


def while_it_is_down(suite, house, tenant):
    tenant.stop()
    log = house.bob.home / "heard"
    squatter = house.stage.spawn("squatter", [*house.bob.prefix, "python3", "-c", SQUATTER, "", "127.0.0.1", tenant.port, log],
                                 house.bob.env())
    wait_for(log.exists, "the squatter", squatter)
    with suite.attack("squatter", "has the port, and a person runs `exec`", "src/cli/exec.rs") as attack:
        done = house.alice.credbroker(tenant.control, "exec", "reader", "--", "true")
        assert done.returncode == NO_DAEMON and not log.read_bytes(), f"{done.returncode}: {done.stderr}"
        attack.saw = "exit 125, and nothing is said to it"
    with suite.attack("squatter", "has the port, and the daemon starts", LISTENERS) as attack:
        done = house.alice.run(house.program, "serve", "--config", tenant.config, timeout=120)
        assert done.returncode == NOT_NOW and "something else listens" in done.stderr, f"{done.returncode}: {done.stderr}"
        assert not log.read_bytes(), "something was said to it"
        attack.saw = "exit 75"
    with suite.attack("squatter", "has the free port that a daemon had before", LISTENERS) as attack:
        free = tenant.config.read_text().replace(f'address = "127.0.0.1:{tenant.port}"\n', "")
        tenant.config.write_text(free)
        house.file(tenant.state / "port-local", f"{tenant.port}\n", tenant.owner.uid)
        tenant.start()
        tenant.wait()
        told = house.alice.credbroker(tenant.control, "exec", "reader", "--", "sh", "-c", "echo $AWS_CONTAINER_CREDENTIALS_FULL_URI")
        assert told.returncode == 0 and f":{tenant.port}/" not in told.stdout, f"{told.stdout}{told.stderr}"
        assert not log.read_bytes(), "something was said to it"
        tenant.serves()
        attack.saw = "another port is served, and told"
    tenant.stop()
    end(squatter)


def held(suite, house):
    """A socket that systemd holds, by the protocol of systemd.socket(5): it is bound as long as that wants."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        tenant = Held(house, port, listener.fileno())
        with suite.attack("squatter", "waits for the moment at which the daemon is down, and systemd holds its socket", UNITS) as attack:
            bob = ["python3", "-c", SQUATTER, "SO_REUSEPORT SO_REUSEADDR", "0.0.0.0", port, "/dev/null"]
            end(tenant.tenant.process)
            done = house.bob.run(*bob, timeout=60)
            assert done.returncode == 1 and "in use" in done.stdout, f"{done.returncode}: {done.stdout}"
            with socket.create_connection(("127.0.0.1", port)) as waiting:
                tenant.start()
                waiting.settimeout(60)
                waiting.sendall(Request("GET", "/v1/credentials", (("Host", "localhost"), ("Authorization", tenant.ticket))).raw())
                assert waiting.recv(100).startswith(b"HTTP/1.1 200 "), "who came meanwhile is not served"
            attack.saw = "in use; who comes meanwhile is served later"
        with suite.attack("squatter", "has bound every address, and hands that socket on", "src/endpoint/listener.rs") as attack:
            end(tenant.tenant.process)
            with socket.socket() as public:
                public.bind(("0.0.0.0", 0))
                public.listen()
                text = tenant.tenant.config.read_text().replace(f'"127.0.0.1:{port}"', f'"127.0.0.1:{public.getsockname()[1]}"')
                config = house.file(tenant.tenant.dir / "public.toml", text.replace('address = "127', 'socket = "local" # "127'),
                                    house.alice.uid, 0o644)
                done = house.alice.run("bash", "-c", WITH_SOCKET, "bash", public.fileno(), house.program, "serve", "--config", config,
                                       pass_fds=(public.fileno(),), timeout=60, env=house.alice.env(LISTEN_FDNAMES="local"))
            assert done.returncode == 78 and "other machines" in done.stderr, f"{done.returncode}: {done.stderr}"
            attack.saw = "exit 78"


class Held:
    """A daemon whose container endpoint's socket is held by somebody else."""

    def __init__(self, house, port, fd):
        self.house, self.port, self.fd = house, port, fd
        self.tenant = house.daemon(house.alice, "held")
        self.tenant.stop()
        text = self.tenant.config.read_text().replace(f":{self.tenant.port}", f":{port}")
        self.tenant.config.write_text(text)
        self.tenant.port = port
        self.start()
        self.ticket = self.tenant.ticket()
        answer = ask(port, Request("GET", "/v1/credentials", (("Host", "localhost"), ("Authorization", self.ticket))).raw())
        assert answer.status == 200, answer.raw

    def start(self):
        tenant = self.tenant
        tenant.process = self.house.stage.spawn(
            "held", [*tenant.owner.prefix, "bash", "-c", WITH_SOCKET, "bash", self.fd, self.house.program, "serve", "--config",
                     tenant.config], tenant.env, pass_fds=(self.fd,))
        tenant.wait()


# The descriptor becomes the third, as systemd hands it on (sd_listen_fds(3)).
WITH_SOCKET = 'from=$1; shift; [ "$from" = 3 ] || eval "exec 3<&$from $from<&-"; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@"'
