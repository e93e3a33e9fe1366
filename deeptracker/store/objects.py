"""Requests to the object store of a bucket, each bounded in time; faults become one line without any secret.

Credentials come from the environment of the process that asks, and stay in it: nothing here is stored or pickled.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import urlsplit

from deeptracker.errors import MissingExtraError, UnreachableError

# A request is tried four times within some 15 s; a part of 8 MiB has 30 s to go through.
_TRIES = 3
_PATIENCE = timedelta(seconds=15)
_REQUEST = timedelta(seconds=30)
_PART = 8 << 20
_CODE = re.compile(r"<Code>(\w+)</Code>")
_STATUS = re.compile(r"status code: (\d{3})")

T = TypeVar("T")


class ReplacedError(Exception):
    """An object is not (or no longer) what a conditional request expects."""


@lru_cache(maxsize=16)
def _client(bucket: str, settings: tuple[tuple[str, str], ...], process: int) -> Any:
    try:
        from obstore.store import S3Store
    except ImportError as error:
        raise MissingExtraError('a run at s3:// needs obstore: pip install "deeptracker[cloud]"') from error
    http = any(name == "AWS_ALLOW_HTTP" and value.lower() in ("1", "true", "yes") for name, value in settings)
    return S3Store(
        bucket,
        client_options={"timeout": _REQUEST, "connect_timeout": timedelta(seconds=5), "allow_http": http},
        retry_config={"max_retries": _TRIES, "retry_timeout": _PATIENCE},
    )


def client(bucket: str) -> Any:
    """The client of a bucket, by the ``AWS_…`` variables of the environment as they are now."""
    settings = tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_")))
    return _client(bucket, settings, os.getpid())


def _asked(bucket: str, key: str, work: Callable[[Any, Any], T]) -> T:
    """``work(obstore, client)``, its faults told in our words."""
    store = client(bucket)
    import obstore

    errors = obstore.exceptions
    try:
        return work(obstore, store)
    except FileNotFoundError:
        raise FileNotFoundError(f"s3://{bucket}/{key} is missing") from None
    except (errors.AlreadyExistsError, errors.PreconditionError):
        raise ReplacedError(f"s3://{bucket}/{key}") from None
    except (errors.BaseError, ValueError, OSError) as error:
        # The answer of a server can hold what was signed: only its code is told.
        raise UnreachableError(f"s3://{bucket}/{key}: {_reason(str(error), error)}") from None


def _reason(text: str, error: Exception) -> str:
    code, status = _CODE.search(text), _STATUS.search(text)
    if code is not None and code[1] == "NoSuchBucket":
        return "there is no such bucket: correct the name, or create it"
    if "169.254.169.254" in text:
        return "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (docs/buckets.md)"
    if type(error).__name__ in ("PermissionDeniedError", "UnauthenticatedError") or (
        status is not None and status[1] in ("401", "403")
    ):
        said = f" ({code[1]})" if code is not None else ""
        return f"the object store refuses access{said}: check the credentials in AWS_… and the rights of this key"
    if status is not None:
        said = f" ({code[1]})" if code is not None else ""
        return f"the object store answers {status[1]}{said}: check AWS_ENDPOINT_URL, AWS_REGION and the bucket"
    return f"no answer from {_endpoint()}: check the network and AWS_ENDPOINT_URL"


def _endpoint() -> str:
    given = next(
        (os.environ[n] for n in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT") if os.environ.get(n)), ""
    )
    parts = urlsplit(given if "//" in given else f"//{given}")
    try:
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        port = ""
    return f"{parts.hostname}{port}" if parts.hostname else "the object store of AWS"


def get(bucket: str, key: str) -> tuple[bytes, str, datetime]:
    """Content, entity tag, and time of the last change by the server's clock."""

    def work(obstore: Any, store: Any) -> tuple[bytes, str, datetime]:
        result = obstore.get(store, key)
        return bytes(result.bytes()), result.meta["e_tag"] or "", result.meta["last_modified"]

    return _asked(bucket, key, work)


def view(bucket: str, key: str) -> memoryview:
    """Content, without a copy of it."""
    return _asked(bucket, key, lambda obstore, store: memoryview(obstore.get(store, key).bytes()))


def part(bucket: str, key: str, start: int, size: int) -> memoryview:
    """Bytes from ``start`` on, or the last ``size`` where ``start`` is negative; fewer where the object ends."""

    def work(obstore: Any, store: Any) -> memoryview:
        wanted = {"suffix": size} if start < 0 else (start, start + size)
        return memoryview(obstore.get(store, key, options={"range": wanted}).bytes())

    return _asked(bucket, key, work)


def head(bucket: str, key: str) -> dict[str, Any]:
    """``size``, ``e_tag`` and ``last_modified``."""
    return _asked(bucket, key, lambda obstore, store: dict(obstore.head(store, key)))


def put(bucket: str, key: str, content: bytes, over: str | None = "*") -> str:
    """Write an object whole; returns its entity tag.

    Parameters
    ----------
    over : ``"*"``: whatever is there; an entity tag: only that; None: only where nothing is.

    Raises
    ------
    ReplacedError
        Something else is there.
    """

    def work(obstore: Any, store: Any) -> str:
        mode = {"*": "overwrite", None: "create"}.get(over) or {"e_tag": over}
        try:
            return obstore.put(store, key, content, mode=mode, chunk_size=_PART)["e_tag"] or ""
        except FileNotFoundError:  # an object that should have been there, or the bucket itself
            if over in ("*", None):
                raise ValueError("<Code>NoSuchBucket</Code>") from None
            raise ReplacedError(key) from None

    return _asked(bucket, key, work)


def copy(bucket: str, source: str, target: str) -> None:
    """Copy an object within the object store."""
    _asked(bucket, source, lambda obstore, store: obstore.copy(store, source, target))


def delete(bucket: str, keys: Sequence[str]) -> None:
    """Delete objects; those that are not there are no fault."""
    if keys:
        _asked(bucket, keys[0], lambda obstore, store: obstore.delete(store, list(keys)))


def below(bucket: str, key: str) -> Iterator[dict[str, Any]]:
    """``path`` and ``size`` of every object below a prefix, a thousand a request."""

    def following(stream: Any) -> Any:
        return _asked(bucket, key, lambda obstore, store: next(stream, None))

    stream = _asked(bucket, key, lambda obstore, store: iter(obstore.list(store, key or None, chunk_size=1000)))
    while (found := following(stream)) is not None:
        yield from found


def children(bucket: str, key: str) -> tuple[list[str], list[str]]:
    """Names of the objects and of the prefixes directly below a prefix."""

    def work(obstore: Any, store: Any) -> tuple[list[str], list[str]]:
        found = obstore.list_with_delimiter(store, key or None)
        files = [entry["path"].rpartition("/")[2] for entry in found["objects"]]
        return files, [prefix.rstrip("/").rpartition("/")[2] for prefix in found["common_prefixes"]]

    return _asked(bucket, key, work)


__all__ = ["ReplacedError", "below", "children", "copy", "delete", "get", "head", "part", "put", "view"]
