"""TLS between scheduler, workers and client: each shows a certificate, and talks to nobody who has none."""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from deeptracker.cluster.workers import first_line
from deeptracker.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from distributed import Security


@contextmanager
def secured(tls: bool | Mapping[str, str], folder: str | Path | None = None) -> Iterator[Security | None]:
    """What Dask needs to know of TLS; None without.

    Parameters
    ----------
    tls : True makes a certificate that is good for this cluster only; or the files ``ca``, ``cert``, ``key``.
    folder : where the files of such a certificate are put (in a folder of their own, which only the user can read,
        and which ends with the block), None = that for temporary files. Files rather than options of a command: any
        user of a machine can read the command lines of all.

    Raises
    ------
    InputError : the files are no certificates, do not belong together, or cannot be written.
    MissingExtraError : certificates cannot be made without cryptography.
    """
    if not tls:
        yield None
    elif isinstance(tls, Mapping):
        yield from_files(tls)
    else:
        where = None if folder is None else Path(folder).expanduser()
        try:
            temporary = tempfile.TemporaryDirectory(prefix=".deeptracker-tls-", dir=where)
        except OSError as error:
            raise InputError(f"tls: certificates cannot be written to {where}: {error.strerror}") from None
        with temporary as name:
            yield from_files(_made(Path(name)))


def from_files(files: Mapping[str, str]) -> Security:
    """The same certificate for all roles, as clusters of one user have it."""
    from distributed import Security

    given = Security(
        require_encryption=True,
        tls_ca_file=files["ca"],
        **{
            f"tls_{role}_{part}": files[part]
            for role in ("client", "scheduler", "worker")
            for part in ("cert", "key")
        },
    )
    try:
        given.get_connection_args("client")
    except (ssl.SSLError, OSError) as error:
        named = ", ".join(f"{part} {files[part]}" for part in ("ca", "cert", "key"))
        raise InputError(f"tls: no certificate and key that belong together ({named}): {first_line(error)}") from None
    return given


def options(security: Security) -> dict[str, object]:
    """The same as JSON, for processes that are started with it: paths, no keys."""
    names = ["require_encryption", "tls_ca_file"]
    names += [f"tls_{role}_{part}" for role in ("client", "scheduler", "worker") for part in ("cert", "key")]
    return {name: getattr(security, name) for name in names}


def _made(folder: Path) -> dict[str, str]:
    """A certificate that vouches for itself, and its key, as files."""
    from distributed import Security

    try:
        made = Security.temporary()
    except ImportError:
        raise MissingExtraError('"tls: true" needs cryptography: pip install "deeptracker[cluster]"') from None
    contents = {"ca": made.tls_ca_file, "cert": made.tls_client_cert, "key": made.tls_client_key}
    for part, content in contents.items():
        path = folder / f"{part}.pem"
        path.touch(mode=0o600)
        path.write_text(content)
    return {part: str(folder / f"{part}.pem") for part in contents}


__all__ = ["from_files", "options", "secured"]
