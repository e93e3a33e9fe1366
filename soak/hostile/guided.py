"""The engine that knows nothing and looks which lines it reaches: atheris (libFuzzer), a process a target.

python -m soak.hostile.guided TARGET --seconds 20 --seed 1 --folder /tmp/x
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
import warnings
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

MEMORY_MB, SECONDS = 6144, 20
"""What libFuzzer ends a target for; the watch of a single try is stricter."""


def is_here() -> bool:
    """Whether atheris can be imported."""
    return find_spec("atheris") is not None


def command(target: str, seconds: int, seed: int, folder: Path) -> list[str]:
    """What runs one target in a process of its own; its result is ``folder/result.json``."""
    return [
        sys.executable, "-m", "soak.hostile.guided", target,
        "--seconds", str(seconds), "--seed", str(seed), "--folder", str(folder),
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, required=True)
    asked = parser.parse_args()
    import atheris

    # Nothing of ours was imported until here: what is imported before it can be instrumented stays as it is.
    warnings.simplefilter("ignore")
    import_module("deeptracker.statistics")  # left as it is: numba compiles nothing that is instrumented
    with atheris.instrument_imports(include=["deeptracker"]):
        from soak.hostile import drawn, malice, targets
        from soak.hostile.watch import attempt, canary

    folder: Path = asked.folder
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    target = targets.targets(folder)[asked.target]
    drawn.warm_up(target, folder)
    for content in [*target.seeds(), *malice.every().get(asked.target, {}).values()]:
        (corpus / targets.file_name(content)).write_bytes(content)
    words = folder / "words"
    spelled = ["".join(f"\\x{byte:02x}" for byte in token) for token in target.tokens]
    words.write_text("".join(f'"{text}"\n' for text in spelled))
    tried, wrong, end = 0, [], time.monotonic() + asked.seconds

    def one(content: bytes) -> None:
        nonlocal tried
        tried += 1
        if what := attempt(lambda: target.feed(content, targets.scratch(folder)), folder):
            wrong.append((what, drawn.keep(content, folder / "wrong")))
        if time.monotonic() > end or len(wrong) >= drawn.MOST_WRONG:
            if canary().exists():
                wrong.append(("code of an input ran", ""))
            (folder / "result.json").write_text(json.dumps({"tried": tried, "wrong": wrong}))
            os._exit(0)  # libFuzzer ends the process from within, and would not come back here

    options = [f"-seed={asked.seed}", f"-rss_limit_mb={MEMORY_MB}", f"-timeout={SECONDS}", "-max_len=8192"]
    options += [f"-artifact_prefix={folder}/", "-print_final_stats=0", "-verbosity=0"]
    options += [f"-dict={words}"] if target.tokens else []
    atheris.Setup([sys.argv[0], *options, str(corpus)], one)
    with contextlib.suppress(SystemExit):
        atheris.Fuzz()


if __name__ == "__main__":
    main()

__all__ = ["command", "is_here"]
