"""A gate in front of a sandbox: it passes requests on, and kills a process at one of them.

Before the request gets there, or after it was obeyed and before the answer is back.
"""

import http.client
import http.server
import os
import signal
import threading
import urllib.parse

from stage import wait_for


class Gate:
    """Passes requests on to the sandbox at `url`."""

    def __init__(self, url):
        there, gate = urllib.parse.urlsplit(url).netloc, self
        self.arm("", "", 0)

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                action = urllib.parse.parse_qs(body.decode())["Action"][0]
                is_it = gate.is_it(action)
                if is_it and gate.when == "before":
                    return gate.end(self)
                asked = http.client.HTTPConnection(there, timeout=30)
                asked.request("POST", self.path, body, dict(self.headers))
                answer = asked.getresponse()
                text = answer.read()
                asked.close()
                if is_it:
                    return gate.end(self)
                self.send_response_only(answer.status)
                for name, value in answer.getheaders():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def arm(self, when, action, count):
        """At the request of that number for `action`, from now on."""
        self.pid, self.when, self.action, self.left = None, when, action, count

    def is_it(self, action):
        self.left -= action == self.action
        return action == self.action and self.left == 0

    def end(self, handler):
        wait_for(lambda: self.pid, "nobody was started")
        os.kill(self.pid, signal.SIGKILL)
        handler.close_connection = True

    def close(self):
        self.server.shutdown()
        self.server.server_close()
