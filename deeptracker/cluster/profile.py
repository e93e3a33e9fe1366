"""A profile: how to start workers, or where they are. Read from YAML and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from reprlib import repr as short
from typing import Any

from deeptracker.cluster.keys import FILES_HERE, KEYS
from deeptracker.errors import InputError

_MOST_BYTES = 100_000
_MOST_BRACKETS = 500

SUPPORTED = '"local", a YAML file of a kind among ' + ", ".join(KEYS) + ", or tcp://host:port of a scheduler"


@dataclass(frozen=True, slots=True)
class Profile:
    """How to start workers, or where they are.

    Parameters
    ----------
    kind : ``local`` (processes on this machine), ``scheduler`` (one that runs), ``ssh``, ``slurm``, ``kubernetes``.
    workers : number of processes altogether, None = one a core (local), one a host (ssh), one (slurm, kubernetes).
    threads : threads of a worker.
    memory : limit of a worker as Dask writes it (``4GiB``), None = its share of the machine.
    wait : seconds until workers must be there, None = as the kind needs.
    tls : whether everything that they say to one another is encrypted, with certificates made for the time of the
        cluster, or the files ``ca``, ``cert``, ``key`` of certificates.
    settings : what else the kind takes; see docs/clusters.md.
    """

    kind: str = "local"
    workers: int | None = None
    threads: int = 1
    memory: str | None = None
    wait: float | None = None
    tls: bool | Mapping[str, str] = False
    settings: Mapping[str, Any] = field(default_factory=dict)


def read_profile(source: str | Path) -> Profile:
    """A profile by name (``local``) or from a YAML file.

    Raises
    ------
    InputError : no such profile or file, an unknown kind or key, or a value that does not fit.
    """
    if str(source) == "local":
        return Profile()
    path = Path(source)
    if path.suffix not in {".yaml", ".yml"}:
        raise InputError(f"cluster {str(source)!r} is not supported: give {SUPPORTED}")
    content = _yaml(path)
    if not isinstance(content, Mapping):
        raise InputError(f'cluster profile {path} is empty: it needs at least "kind: local"')
    return _checked(path, {str(key): value for key, value in content.items() if value is not None})


def _yaml(path: Path) -> Any:
    import yaml  # type: ignore[import-untyped]  # here: Dask brings it, and most calls need none

    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"cluster profile {path} has more than {_MOST_BYTES:,} bytes: name a profile")
        text = path.read_text()
        if text.count("[") + text.count("{") > _MOST_BRACKETS:  # the time of the parser grows with their square
            raise InputError(f"cluster profile {path} has more than {_MOST_BRACKETS} brackets: write lists out")
        # A few aliases of aliases stand for more values than any memory holds.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            raise InputError(f"cluster profile {path} uses an alias (*name): write its value out")
        return yaml.safe_load(text)
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"cluster profile {path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date, a number of 5,000 digits
        why = (str(error).splitlines() or ["it cannot be understood"])[0]
        raise InputError(f"cluster profile {path} is no valid YAML: {why}") from None


def _checked(path: Path, content: Mapping[str, Any]) -> Profile:
    kind = content.get("kind", "local")
    if not isinstance(kind, str) or kind not in KEYS:
        raise InputError(f"cluster profile {path}: there is no kind {short(kind)}: kinds are {', '.join(KEYS)}")
    keys = KEYS[kind]
    given = {key: value for key, value in content.items() if key != "kind"}
    unknown = sorted(set(given) - set(keys))
    if unknown:
        known = ", ".join(sorted(keys))
        raise InputError(f"cluster profile {path}: unknown key {short(unknown[0])}; kind {kind} takes {known}")
    for name, key in keys.items():
        if name not in given and key.required:
            raise InputError(f"cluster profile {path}: kind {kind} needs {name}: {key.expected}")
        if name in given and not key.fits(given[name]):
            raise InputError(f"cluster profile {path}: {name} is {short(given[name])}, but must be {key.expected}")
    if isinstance(given.get("tls"), Mapping):
        given["tls"] = {part: _file(path, "tls", name) for part, name in given["tls"].items()}
    for name in FILES_HERE:
        if name in given:
            given[name] = _file(path, name, given[name])
    fields = {name: given.pop(name) for name in Profile.__dataclass_fields__ if name in given}
    return Profile(kind=kind, **fields, settings=given)


def _file(profile: Path, key: str, name: str) -> str:
    """The absolute path of a file that a profile names."""
    try:
        found = (profile.absolute().parent / Path(name).expanduser()).resolve()
        there = found.is_file()
    except (ValueError, RuntimeError, OSError):  # a NUL, the home of nobody, links in a circle
        found, there = Path(name), False
    if not there:
        raise InputError(f"cluster profile {profile}: {key} names {found}, which is no file")
    return str(found)


__all__ = ["SUPPORTED", "Profile", "read_profile"]
