"""An SSH server on loopback that runs what it is told, as sshd does, for one key.

    python ssh_server.py FOLDER

writes ``key`` (of the user), ``known_hosts``, ``port`` and the ``commands`` that it runs into the folder, and serves
until it is ended.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

import asyncssh


async def run(folder: Path, process: asyncssh.SSHServerProcess[bytes]) -> None:
    """Run the command; what it started ends with it or with the connection."""
    with (folder / "commands").open("a") as log:
        print(process.command, file=log)
    child = await asyncio.create_subprocess_shell(
        process.command or "true",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert child.stdout is not None
    assert child.stderr is not None
    said = [
        asyncio.create_task(copy(child.stdout, process.stdout)),
        asyncio.create_task(copy(child.stderr, process.stderr)),
    ]
    ended = asyncio.create_task(child.wait())
    left = asyncio.create_task(process.wait_closed())
    await asyncio.wait([ended, left], return_when=asyncio.FIRST_COMPLETED)
    if ended.done():
        await asyncio.wait(said, timeout=5)
        process.exit(child.returncode or 0)
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    await ended


async def copy(source: asyncio.StreamReader, target: asyncssh.SSHWriter[bytes]) -> None:
    with suppress(OSError, asyncssh.Error):
        while data := await source.read(4096):
            target.write(data)
            await target.drain()


async def serve(folder: Path) -> None:
    user, host = asyncssh.generate_private_key("ssh-ed25519"), asyncssh.generate_private_key("ssh-ed25519")
    (folder / "key").touch(mode=0o600)
    user.write_private_key(folder / "key")
    user.write_public_key(folder / "authorized_keys")
    server = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_host_keys=[host],
        authorized_client_keys=str(folder / "authorized_keys"),
        process_factory=partial(run, folder),
        encoding=None,
    )
    public = host.export_public_key().decode()
    names = [f"[{name}]:{server.get_port()} {public}" for name in ("127.0.0.1", "localhost")]
    (folder / "known_hosts").write_text("".join(names))
    (folder / "port.part").write_text(str(server.get_port()))
    (folder / "port.part").rename(folder / "port")
    await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
