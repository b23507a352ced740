"""A Ceph Object Gateway with STS, from the distribution's packages: a monitor, a store in memory and the gateway.

It is the smallest cluster that works: one of each daemon, each pool of one placement group without a copy, and no
manager. All of it listens on loopback alone and is gone with the stage.
"""

import os
import secrets
import subprocess
import urllib.request
import uuid

from stage import PATH, NotHere, free_port, listening, wait_for

PROGRAMS = ["ceph", "ceph-authtool", "ceph-mon", "ceph-osd", "monmaptool", "openssl", "radosgw", "radosgw-admin"]


class Ceph:
    """A running gateway: `url`, and `tls_url` with the certificate authority `ca`, are the same one.

    `shortest` is the shortest session that may be asked for, in seconds; the gateway's own default is 900.
    """

    def __init__(self, stage, shortest=900):
        missing = [name for name in PROGRAMS if not find(name)]
        if missing:
            raise NotHere(f"there is no {', '.join(missing)}: install ceph-mon ceph-osd radosgw ceph-common openssl")
        self.stage = stage
        self.dir = stage.dir / "ceph"
        for name in ("mon", "osd", "rgw", "run"):
            (self.dir / name).mkdir(parents=True)
        self.conf = self.dir / "ceph.conf"
        self.keyring = self.dir / "keyring"
        self._certificate()
        self._mon, self._rgw = free_port(), free_port()
        self._fsid = uuid.uuid4()
        tls = free_port()
        self.url, self.tls_url = f"http://127.0.0.1:{self._rgw}", f"https://127.0.0.1:{tls}"
        stage.write("ceph/ceph.conf", self._settings(tls, shortest))
        # `radosgw-admin`, as it would be called on a gateway's own machine.
        self.admin = [find("radosgw-admin"), "-c", self.conf, "-n", "client.admin"]
        self._start()

    def _start(self):
        keys = {"mon.": {"mon": "allow *"}, "client.admin": {"mon": "allow *", "osd": "allow *"},
                "osd.0": {"mon": "allow profile osd", "osd": "allow *"},
                "client.rgw.stage": {"mon": "allow rw", "osd": "allow rwx"}}
        create = ["--create-keyring"]
        for name, caps in keys.items():
            words = [word for service, cap in caps.items() for word in ("--cap", service, cap)]
            self._tool("ceph-authtool", *create, self.keyring, "--gen-key", "-n", name, *words, conf=False)
            create = []
        monmap = self.dir / "monmap"
        self._tool("monmaptool", "--create", "--fsid", self._fsid, "--addv", "a", f"[v2:127.0.0.1:{self._mon}]", monmap,
                   conf=False)
        self._tool("ceph-mon", "-i", "a", "--mkfs", "--monmap", monmap, "--keyring", self.keyring)
        mon = self._daemon("ceph-mon", "-i", "a")
        wait_for(lambda: listening(self._mon), "ceph-mon", mon)
        disk = uuid.uuid4()
        self._tool("ceph", "--connect-timeout", "20", "osd", "new", disk, "0")
        self._tool("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", disk)
        self._daemon("ceph-osd", "-i", "0")
        # It waits for the store by itself.
        gateway = self._daemon("radosgw", "-n", "client.rgw.stage")
        wait_for(self._answers, "radosgw", gateway, 90)

    def _answers(self):
        try:
            urllib.request.urlopen(self.url, timeout=2).close()
        except OSError:
            return False
        return True

    def _daemon(self, program, *words):
        return self.stage.spawn(program, [find(program), "-c", self.conf, *words, "-f"])

    def _tool(self, program, *words, conf=True):
        argv = [find(program), *(["-c", self.conf] if conf else []), *words]
        done = subprocess.run([str(word) for word in argv], env=self.stage.env(), stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stderr[-400:]}")
        return done.stdout

    def _certificate(self):
        self.ca = self.dir / "gateway.pem"
        self._tool("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=rgw",
                   "-addext", "basicConstraints=CA:FALSE", "-addext", "subjectAltName=IP:127.0.0.1",
                   "-keyout", self.dir / "gateway.key", "-out", self.ca, conf=False)

    def _settings(self, tls, shortest):
        frontends = " ".join([
            f"beast endpoint=127.0.0.1:{self._rgw} ssl_endpoint=127.0.0.1:{tls} ssl_certificate={self.ca}",
            f"ssl_private_key={self.dir}/gateway.key tcp_nodelay=1"])
        return f"""\
[global]
fsid = {self._fsid}
mon_host = [v2:127.0.0.1:{self._mon}]
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_msgr1 = false
auth_allow_insecure_global_id_reclaim = false
keyring = {self.keyring}
run_dir = {self.dir}/run
admin_socket = {self.dir}/run/$name.asok
crash_dir = {self.dir}/run
log_file =
log_to_stderr = true
osd_crush_chooseleaf_type = 0
osd_pool_default_min_size = 1
osd_pool_default_pg_autoscale_mode = off
osd_pool_default_pg_num = 1
osd_pool_default_pgp_num = 1
osd_pool_default_size = 1
rgw_rados_pool_pg_num_min = 1
# A pool is made by a vote of the monitors, and there is one to wait for.
paxos_min_wait = 0.02
paxos_propose_interval = 0.05

[mon]
mon_allow_pool_size_one = true
mon_cluster_log_file = {self.dir}/cluster.log
mon_data = {self.dir}/mon
mon_max_pg_per_osd = 1000
# How full this machine's disk is says nothing of a store in memory.
mon_data_avail_crit = 1
mon_data_avail_warn = 2
mon_osd_full_ratio = 0.99
mon_osd_nearfull_ratio = 0.97

[osd]
memstore_device_bytes = 1073741824
osd_class_default_list = *
osd_class_load_list = *
osd_data = {self.dir}/osd
osd_objectstore = memstore

[client.rgw.stage]
objecter_tick_interval = 0.5
rgw_data = {self.dir}/rgw
rgw_frontends = {frontends}
rgw_run_sync_thread = false
rgw_thread_pool_size = 32
# The authorities that it trusts are the machine's own, which are not ours to add to.
rgw_verify_ssl = false
# What the gateway needs for STS.
rgw_s3_auth_use_sts = true
rgw_sts_key = {secrets.token_hex(8)}
rgw_sts_min_session_duration = {shortest}
"""


def find(program):
    """The program's path among the system's own."""
    paths = (os.path.join(directory, program) for directory in PATH.split(":"))
    return next((path for path in paths if os.access(path, os.X_OK)), None)
