"""Hosts of their own addresses on one machine: network namespaces on a bridge; a scheduler and workers run on them.

    unshare --map-root-user --net python hosts.py RUN

starts a scheduler and three workers on a host each, analyses RUN with them, cuts a worker off while it computes,
and prints {"cut": address, "given up": [addresses], "hosts": [addresses of workers]}. This process is a fifth host.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import ExitStack

from deeptracker.analysis import analyze
from deeptracker.cluster import connect

NET = "10.77.0"
PORT = 8786
# Seconds until a peer that does not answer is given up; the defaults, made for real nets, would take minutes here.
PATIENCE = {
    "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "20s",
    "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "20",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "11s",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "5s",
}


def shell(command: str) -> None:
    subprocess.run(command, shell=True, check=True)


class Host:
    """A network namespace with an address and a cable to the bridge of this one."""

    def __init__(self, number: int, stack: ExitStack) -> None:
        self.address, self.cable = f"{NET}.{number}", f"cable{number}"
        self.stack = stack
        # What keeps the namespace says when it is in it: moving the cable before that would move it nowhere.
        keeper = self.start("unshare --net sh -c 'echo in; exec sleep 600'", stdout=subprocess.PIPE)
        assert keeper.stdout is not None
        keeper.stdout.readline()
        self.inside = f"nsenter --target {keeper.pid} --net"
        shell(f"ip link add {self.cable} type veth peer name end netns {keeper.pid}")
        shell(f"ip link set {self.cable} master bridge up")
        shell(f"{self.inside} ip link set lo up")
        shell(f"{self.inside} ip address add {self.address}/24 dev end")
        shell(f"{self.inside} ip link set end up")
        shell(f"{self.inside} ip route add default via {NET}.254")

    def start(self, command: str, **options: int) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(f"exec {command}", shell=True, **options)  # type: ignore[call-overload]
        self.stack.callback(process.wait)
        self.stack.callback(process.kill)
        return process

    def run(self, command: str) -> None:
        self.start(f"{self.inside} {sys.executable} -m dask {command}", stdout=subprocess.DEVNULL, stderr=2)

    def pull_the_plug(self) -> None:
        shell(f"ip link set {self.cable} down")


def main(run: str) -> None:
    os.environ.update(PATIENCE)
    scheduler = f"tcp://{NET}.1:{PORT}"
    with ExitStack() as stack:
        shell("ip link set lo up")
        shell("ip link add bridge type bridge")
        shell(f"ip address add {NET}.254/24 dev bridge")
        shell("ip link set bridge up")
        shell("ip route add default dev bridge")
        hosts = [Host(number, stack) for number in range(1, 5)]
        hosts[0].run(f"scheduler --host {hosts[0].address} --port {PORT} --dashboard-address 127.0.0.1:0")
        for host in hosts[1:]:
            host.run(f"worker {scheduler} --host {host.address} --nthreads 1 --no-dashboard")
        with connect(scheduler) as client:
            client.wait_for_workers(3, timeout=60)
            workers = list(client.scheduler_info()["workers"])
            victim = next(worker for worker in workers if f"{hosts[3].address}:" in worker)

            def cut() -> None:
                while not client.processing().get(victim):
                    time.sleep(0.005)
                hosts[3].pull_the_plug()

            cutting = threading.Thread(target=cut, daemon=True)
            cutting.start()
            analyze(run, client=client)
            assert not cutting.is_alive()
            given_up = sorted(
                set(workers) - set(client.scheduler_info()["workers"])
            )  # by silence or by TCP's patience
            print(json.dumps({"cut": victim, "given up": given_up, "hosts": workers}))


if __name__ == "__main__":
    main(sys.argv[1])
