"""The launches of a snapshot on a CUDA device, and that what they launch compiles: neither needs one."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from deeptracker.record import segments
from deeptracker.record.layers import Layer
from deeptracker.record.modules import find_layers
from deeptracker.record.segments import SegmentSet
from deeptracker.record.stacked import StackedSet
from deeptracker.statistics import GRADIENT, MOMENTS, WEIGHT
from deeptracker.testing.networks import network

triton = pytest.importorskip("triton")
kernels = pytest.importorskip("deeptracker.record.kernels")

NAMES = ("read_gradients", "read_weights", "combine")
WRITTEN = {name: getattr(kernels, name) for name in NAMES}
CPU = torch.device("cpu")


class Launches:
    """In the place of the kernels: what would have been launched."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[tuple[str, tuple[int, ...], tuple[Any, ...], dict[str, Any]]] = []
        for name in NAMES:
            monkeypatch.setattr(kernels, name, self._stand_in(name))

    def _stand_in(self, name: str) -> Any:
        made = self.made

        class Kernel:
            def __getitem__(self, grid: tuple[int, ...]) -> Any:
                return lambda *args, **options: made.append((name, grid, args, options))

        return Kernel()


@pytest.fixture
def launches(monkeypatch: pytest.MonkeyPatch) -> Launches:
    return Launches(monkeypatch)


class Operations(TorchDispatchMode):
    """Torch's own operations, but for views: each is a launch or a copy."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not function.is_view:
            self.names.append(str(function))
        return function(*args, **(kwargs or {}))


def resnet50() -> list[Layer]:
    torch.manual_seed(0)
    model = nn.ModuleDict()
    for layer in network("resnet50", classes=1000):
        kind: Any = (
            nn.utils.skip_init(nn.Linear, layer.inputs, layer.filters)
            if layer.linear
            else nn.utils.skip_init(nn.Conv2d, layer.inputs, layer.filters, layer.kernel, bias=False)
        )
        model[layer.name.replace(".", "_")] = kind
    return find_layers(model)[0]


def gradients_of(layers: Sequence[Layer]) -> list[torch.Tensor | None]:
    return [torch.empty_like(layer.parameter) for layer in layers]


def test_segment_set__makes_three_launches_and_one_copy_for_resnet50(launches: Launches) -> None:
    layers = resnet50()
    ours = SegmentSet(layers, [layer.rows(layer.parameter) for layer in layers], CPU)
    sizes = np.array([layer.filters for layer in layers])
    widths = np.array([layer.size for layer in layers]) // sizes
    assert sizes.sum() == 27_560
    given, parameters = gradients_of(layers), [layer.parameter for layer in layers]
    launches.made.clear()
    with Operations() as operations:
        ours.gradients(given, range(len(layers)))
        ours.weights(parameters)
        ours.derive()
    of_segments = (int((sizes * -(-widths // kernels.BLOCK)).sum()),)
    assert [(name, grid) for name, grid, *_ in launches.made] == [
        ("read_gradients", of_segments), ("read_weights", of_segments), ("combine", (-(-27_560 // kernels.ROWS),)),
    ]  # fmt: skip
    assert operations.names == ["aten._to_copy.default"]


def test_segment_set__sends_addresses_only_where_they_changed(launches: Launches) -> None:
    layers, _ = find_layers(nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2), nn.ConvTranspose2d(2, 2, 2)))
    ours = SegmentSet(layers, [layer.rows(layer.parameter) for layer in layers], CPU)
    launches.made.clear()
    given, others = gradients_of(layers), gradients_of(layers)
    for of_linear in (given[:2], given[:2], others[:2]):
        ours.gradients(of_linear, [0, 1])
        ours.gradients([given[2]], [2])
    first, again, moved = (launches.made[i][2][0] for i in (0, 2, 4))
    assert first is again
    assert moved is not first
    assert first[::2].tolist() == [given[0].data_ptr(), given[1].data_ptr(), 0]
    assert moved[::2].tolist() == [others[0].data_ptr(), others[1].data_ptr(), 0]
    of_copy = launches.made[1][2][0][::2].tolist()
    assert of_copy[:2] == [0, 0]
    assert of_copy[2] not in (0, given[2].data_ptr())  # filters of a transposed convolution lie across


def test_kernels__number_the_columns_as_the_accumulators_do() -> None:
    assert len(WEIGHT) + len(GRADIENT) == kernels.COLUMNS <= kernels.WIDTH
    assert len(WEIGHT) == kernels.GRADIENTS
    assert WEIGHT[: len(GRADIENT)] == GRADIENT == MOMENTS
    assert [MOMENTS.index(name) for name in ("min", "max")] == [4, 5]


@pytest.mark.parametrize("capability", [80, 90])
def test_kernels__compile_for_gpus_and_leave_each_thread_its_registers(
    capability: int, launches: Launches, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    layers, _ = find_layers(nn.Sequential(nn.Linear(3, 2)))
    SegmentSet(layers, [layer.rows(layer.parameter) for layer in layers], CPU)
    assert sorted(name for name, *_ in launches.made) == sorted(NAMES)
    for name, _, args, options in launches.made:
        compiled = compile_as_launched(WRITTEN[name], args, options, capability)
        ptx, machine = compiled.asm["ptx"], compiled.asm["cubin"]
        assert f".target sm_{capability}" in ptx
        assert machine[:4] == b"\x7fELF"
        assert ".ftz" not in ptx  # the smallest numbers are not zeros
        (tmp_path / "kernel.ptx").write_text(ptx)
        told = subprocess.run(
            [triton.knobs.nvidia.ptxas.path, "-v", f"-arch={re.search(r'sm_[0-9a-z]+', ptx)[0]}", "kernel.ptx"],
            cwd=tmp_path, capture_output=True, text=True, check=True,
        ).stderr  # fmt: skip
        assert re.findall(r"(\d+) bytes spill", told) == ["0", "0"], told


def compile_as_launched(kernel: Any, args: Sequence[Any], options: dict[str, Any], capability: int) -> Any:
    """What a launch with these arguments would have compiled on a device."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    letters = {torch.int32: "i32", torch.int64: "i64", torch.float32: "fp32", torch.float64: "fp64"}
    warps = options.pop("num_warps")
    kinds = [f"*{letters[a.dtype]}" if isinstance(a, torch.Tensor) else "i32" for a in args]
    signature = dict(zip(kernel.arg_names, [*kinds, *["constexpr"] * len(options)], strict=True))
    aligned = {(i,): [["tt.divisibility", 16]] for i, kind in enumerate(kinds) if kind.startswith("*")}
    source = ASTSource(kernel, signature, constexprs=options, attrs=aligned)
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": warps})


# Which set is used


def test_set_on__is_torchs_own_where_triton_is_missing_or_does_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    layers, _ = find_layers(nn.Sequential(nn.Linear(3, 2)))
    initial = [layer.rows(layer.parameter) for layer in layers]
    assert type(segments.set_on(layers, initial, CPU)) is StackedSet
    made: list[torch.device] = []

    class Stacked(StackedSet):
        def __init__(self, layers: Any, initial: Any, device: torch.device) -> None:
            made.append(device)

    def failing(error: Exception) -> Any:
        def fail(*_: Any) -> None:
            raise error

        return fail

    monkeypatch.setattr(segments, "StackedSet", Stacked)
    cuda = torch.device("cuda:0")
    monkeypatch.setattr(segments, "SegmentSet", failing(ImportError("no triton")))
    assert type(segments.set_on(layers, initial, cuda)) is Stacked
    monkeypatch.setattr(segments, "SegmentSet", failing(RuntimeError("Failed to find C compiler.\nmore")))
    with pytest.warns(
        RuntimeWarning, match=r"Triton does not work here \(RuntimeError: Failed to find C compiler\.\)"
    ):
        assert type(segments.set_on(layers, initial, cuda)) is Stacked
    monkeypatch.setattr(segments, "SegmentSet", failing(torch.OutOfMemoryError("full")))
    with pytest.raises(torch.OutOfMemoryError):
        segments.set_on(layers, initial, cuda)
    assert made == [cuda, cuda]
    monkeypatch.setattr(segments, "SegmentSet", lambda *_: "ours")
    assert segments.set_on(layers, initial, cuda) == "ours"
