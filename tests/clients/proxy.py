"""A bad line: stands between a daemon and its STS, and does to what passes whatever it is told."""

import contextlib
import socket
import struct
import threading
import time

PASS = "pass"
REFUSE = "refuse"  # nobody listens
HANG = "hang"  # connections are taken, and nothing comes back
CUT = "cut"  # the answer ends in its middle
TRICKLE = "trickle"  # the answer comes a few bytes a second
MODES = (REFUSE, HANG, CUT, TRICKLE)


class Proxy:
    """Listens on a port of its own, and passes connections on to `port`."""

    def __init__(self, port):
        self.there = "127.0.0.1", port
        self.mode = PASS
        self._clients = set()
        self._listener = self._listen(0)
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def set(self, mode):
        """What happens to connections from now on; those that hang are ended by a change."""
        was, self.mode = self.mode, mode
        if mode == REFUSE and was != REFUSE:
            # Wakes the thread that accepts, too.
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        elif was == REFUSE and mode != REFUSE:
            self._listener = self._listen(self.port)

    def drop(self):
        """Cuts the connections that there are."""
        for client in list(self._clients):
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def _listen(self, port):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(64)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _accept(self, listener):
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        self._clients.add(client)
        with client, contextlib.suppress(OSError), socket.create_connection(self.there, 10) as server:
            threading.Thread(target=self._requests, args=(client, server), daemon=True).start()
            while data := server.recv(65536):
                if not self._answer(client, data):
                    # Closing sends a reset.
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    break
        self._clients.discard(client)

    @staticmethod
    def _requests(client, server):
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)

    def _answer(self, client, data):
        """Passes on a piece of an answer, as the mode has it; whether more may follow."""
        while self.mode == HANG:
            time.sleep(0.1)
        if self.mode in (CUT, REFUSE):
            client.sendall(data[: len(data) // 2])
            return False
        while self.mode == TRICKLE and data:
            client.sendall(data[:8])
            data = data[8:]
            time.sleep(0.5)
        client.sendall(data)
        return True
