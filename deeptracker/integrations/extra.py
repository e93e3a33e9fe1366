"""A library that is not installed, said in one line."""

from __future__ import annotations

from deeptracker.errors import MissingExtraError


def missing(what: str, package: str) -> MissingExtraError:
    """The error of an integration whose library is absent."""
    return MissingExtraError(f"deeptracker.integrations.{what} needs {package}: pip install {package}")


__all__ = ["missing"]
