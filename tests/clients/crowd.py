"""Clients that never come to the end of their request: as many as are wanted, each back as soon as it is cut off."""

import contextlib
import resource
import socket
import threading

from stage import NotHere

HEAD = b"GET /v1/credentials HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "


class Crowd:
    """`count` of them, shared out among `ports`, for as long as this is entered."""

    def __init__(self, ports, count):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        if hard < count + 500:
            raise NotHere(f"{hard} files may be open here, too few for {count} connections")
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.all_came = threading.Event()
        self._places = [ports[n % len(ports)] for n in range(count)]
        self._open = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._dawdle, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join(60)
        for slow in self._open.values():
            slow.close()

    def _dawdle(self):
        """A byte each, round after round; whoever was cut off comes again."""
        while not self._over.is_set():
            for place, port in enumerate(self._places):
                if place in self._open and not self._is_cut(place):
                    continue
                with contextlib.suppress(OSError):
                    self._open[place] = self._come(port)
                if self._over.is_set():
                    return
            self.all_came.set()
            self._over.wait(1)

    def _is_cut(self, place):
        try:
            self._open[place].send(b"x")
            return False
        except BlockingIOError:
            return False
        except OSError:
            self._open.pop(place).close()
            return True

    @staticmethod
    def _come(port):
        slow = socket.create_connection(("127.0.0.1", port), 5)
        slow.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            slow.send(HEAD)
        return slow
