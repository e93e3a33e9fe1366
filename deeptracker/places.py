"""Where a layer stands: its block and its stage, read off the names of the modules."""

from __future__ import annotations

from collections import Counter

_DOMINANT = 0.7  # a module that holds more of the layers than this is a wrapper (``backbone``), not a stage


def places(names: list[str]) -> list[tuple[str, str]]:
    """(block, stage) of each layer, in the order of ``names``.

    A stage is a part of the network, at the coarsest level at which it splits into parts of several layers
    (``layer2`` of a ResNet); single layers before the first such part form the ``stem``, those after the last
    the ``head``. A block is the innermost module with at least two layers (``layer2.0``).
    """
    paths = [tuple(name.split(".")) for name in names]
    held = Counter(path[:depth] for path in paths for depth in range(len(path)))
    root: tuple[str, ...] = ()
    while True:
        children = {
            path[: len(root) + 1] for path in paths if path[: len(root)] == root and len(path) > len(root) + 1
        }
        wrapper = [child for child in children if held[child] > _DOMINANT * len(paths)]
        inner = {path[: len(root) + 2] for path in paths if wrapper and path[: len(root) + 1] == wrapper[0]}
        if not wrapper or not any(held[part] > 1 for part in inner):
            break
        root = wrapper[0]
    depth = len(root) + 1
    parts = [path[:depth] if held[path[:depth]] > 1 and path[: depth - 1] == root else None for path in paths]
    first = next((i for i, part in enumerate(parts) if part), len(parts))
    last = max((i for i, part in enumerate(parts) if part), default=-1)
    if last < 0:
        return [(name, "network") for name in names]
    out = []
    for i, (path, part) in enumerate(zip(paths, parts, strict=True)):
        stage = ".".join(part) if part else "stem" if i < first else "head" if i > last else ".".join(path)
        inside = [path[:d] for d in range(len(path) - 1, len(root), -1) if held[path[:d]] > 1]
        out.append((".".join(inside[0]) if inside else ".".join(path), stage))
    return out
