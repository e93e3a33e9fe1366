"""Which layer feeds which, read off autograd's graph of one forward pass.

Modules tell only their own calls; additions and ``F.relu`` between them are seen nowhere but in the graph that
autograd builds anyway. Nothing is kept of it after the walk.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

_ACTIVATIONS = {
    "Relu": "ReLU", "Gelu": "GELU", "Silu": "SiLU", "Sigmoid": "Sigmoid", "Tanh": "Tanh", "LeakyRelu": "LeakyReLU",
    "Elu": "ELU", "Hardtanh": "Hardtanh", "Hardswish": "Hardswish", "Softplus": "Softplus", "Mish": "Mish",
    "Prelu": "PReLU",
}  # fmt: skip


@dataclass(slots=True)
class Follows:
    """What comes after a layer, up to the next layer."""

    normalisation: str = ""
    activation: str = ""
    direct: bool = False  # the activation acts on this layer's output alone (no addition in between)
    feeds: set[str] = field(default_factory=set)


def tensors(value: Any) -> list[torch.Tensor]:
    """Every tensor inside a model's output: tensors, tuples, lists, dictionaries, dataclass-like mappings."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        return [t for item in value.values() for t in tensors(item)]
    if isinstance(value, (tuple, list)):
        return [t for item in value for t in tensors(item)]
    return []


def _activation(node: Any) -> str:
    name = type(node).__name__ if type(node).__name__ != "Node" else node.name()
    return next((label for start, label in _ACTIVATIONS.items() if name.startswith(start + "Backward")), "")


def read_graph(
    output: Any, layers: dict[int, str], norms: dict[int, str], results: Mapping[str, Any]
) -> dict[str, Follows]:
    """Walk back from a forward pass's output.

    Parameters
    ----------
    output : what the model returned, with its graph.
    layers, norms : id of the weight parameter → name of the module.
    results : node of the output of each layer whose weight is computed from the parameter: what uses the parameter
        itself is not the layer's operation.

    Returns
    -------
    layer → what follows it. Without the layers of which the pass had no graph (no gradient, compiled).
    """
    users: dict[Any, list[Any]] = defaultdict(list)
    owner: dict[Any, str] = {}
    shared: set[Any] = set()  # compiled code is one node over many layers
    norm_of: dict[Any, str] = {}
    stack = [t.grad_fn for t in tensors(output) if t.grad_fn is not None]
    seen = set(stack)
    while stack:
        node = stack.pop()
        for source, _ in node.next_functions:
            if source is None:
                continue
            variable = getattr(source, "variable", None)
            if variable is not None:
                if id(variable) in layers:
                    name = layers[id(variable)]
                    if owner.setdefault(node, name) != name:
                        shared.add(node)
                elif id(variable) in norms:
                    norm_of[node] = norms[id(variable)]
                continue
            users[source].append(node)
            if source not in seen:
                seen.add(source)
                stack.append(source)
    for node in shared:
        del owner[node]
    # A transposed or viewed weight (linear layers) hangs one node below the operation that uses it.
    for node in [n for n in owner if not _is_operation(n) or owner[n] in results]:
        name = owner.pop(node)
        if name not in results:
            owner[_operation(node, users)] = name
    owner |= {node: name for name, node in results.items() if node in seen}
    out: dict[str, Follows] = {}
    for node, name in owner.items():
        if name not in out:
            out[name] = _follow(node, users, owner, norm_of)
    return out


def _operation(node: Any, users: dict[Any, list[Any]]) -> Any:
    """The operation that uses a weight which was only looked at differently."""
    while users[node] and not _is_operation(node):
        node = users[node][0]
    return node


def _is_operation(node: Any) -> bool:
    return not node.name().startswith(("TBackward", "View", "Permute", "Transpose", "AsStrided", "Alias", "Expand",
                                       "ToCopy", "Unsafe"))  # fmt: skip


def _follow(start: Any, users: dict[Any, list[Any]], owner: dict[Any, str], norm_of: dict[Any, str]) -> Follows:
    found = Follows()
    queue = [(node, True) for node in users[start]]
    seen: set[Any] = set()
    while queue:
        node, direct = queue.pop(0)
        if node in seen:
            continue
        seen.add(node)
        if node in owner:
            found.feeds.add(owner[node])
            continue
        label = _activation(node)
        if label and not found.activation:
            found.activation, found.direct = label, direct
        if node in norm_of and direct and not found.normalisation and not found.activation:
            found.normalisation = norm_of[node]
        joins = sum(source is not None and getattr(source, "variable", None) is None
                    for source, _ in node.next_functions) > 1  # fmt: skip
        queue += [(user, direct and not joins) for user in users[node]]
    return found
