"""What is planted in a training: the kind's effect, from its first step to its last, and nothing before or beside."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch
from torch import nn

from deeptracker.errors import InputError
from deeptracker.testing.faults import FAULTS, UNNAMED, Fault, Ground, control, plant
from deeptracker.testing.resnet import SmallResNet

SITES = [("conv1", "bn1"), ("layer1.0.conv1", "layer1.0.bn1"), ("layer2.0.conv1", "layer2.0.bn1")]
GROUND = Ground([str(digit) for digit in range(10)], SITES, [layer for layer, _ in SITES], 5e-4)
START, STEPS = 4, 12
FROZEN, FORGETFUL = 2, 0
"""Seeds with which normalisations keep their statistics, or have those of the last batch only."""


@dataclass
class Training:
    """Weights before each step, what each batch was, and gradients as the optimizer got them."""

    fault: Fault
    weights: list[dict[str, torch.Tensor]] = field(default_factory=list)
    chosen: list[torch.Tensor] = field(default_factory=list)
    batches: list[tuple[torch.Tensor, torch.Tensor]] = field(default_factory=list)
    gradients: list[dict[str, torch.Tensor | None]] = field(default_factory=list)
    seen: list[torch.Tensor] = field(default_factory=list)
    target: torch.Tensor = field(default_factory=lambda: torch.empty(0))
    optimizer: torch.optim.Optimizer | None = None


def train(kind: str, seed: int = 0, steps: int = STEPS, adam: bool = False) -> Training:
    torch.manual_seed(7)
    model = SmallResNet(widths=(4, 8))
    x, y = torch.randn(300, 1, 8, 8), torch.arange(300) % 10
    settings = {"lr": 0.01, "weight_decay": GROUND.weight_decay}
    optimizer: torch.optim.Optimizer = (
        torch.optim.AdamW(model.parameters(), **settings)
        if adam
        else torch.optim.SGD(model.parameters(), momentum=0.9, **settings)
    )
    order = torch.Generator().manual_seed(1)
    before = torch.get_rng_state()
    fault = plant(kind, seed, (START, START + 1), GROUND)
    out = Training(fault, target=y, optimizer=optimizer)
    for step in range(steps):
        fault.before_step(step, model, optimizer)
        out.weights.append({name: p.detach().clone() for name, p in model.named_parameters()})
        chosen = fault.order(step, torch.randint(300, (32,), generator=order), y)
        bx, by = fault.batch(step, x[chosen], y[chosen])
        out.chosen.append(chosen)
        out.batches.append((bx, by))
        loss = nn.functional.cross_entropy(model(bx), by)
        optimizer.zero_grad()
        loss.backward()
        fault.gradients(step, model, optimizer)
        there = {name: p.grad for name, p in model.named_parameters()}
        out.gradients.append({name: None if g is None else g.clone() for name, g in there.items()})
        if all(g is None or g.isfinite().all() for g in there.values()):
            optimizer.step()
        out.seen.append(fault.validation(step, x, y))
    assert torch.equal(before, torch.get_rng_state()), "a fault draws from its own generator only"
    return out


@pytest.fixture(scope="module")
def clean() -> Training:
    return train("none")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("kind", [kind for kind in FAULTS if kind not in ("none", "validation-images")])
def test_training__is_that_of_its_twin_until_the_fault_and_another_one_after(kind: str, clean: Training) -> None:
    found = train(kind, seed=FROZEN if kind == "normalisation" else 0)
    assert found.fault.truth.iteration == START
    # What changes weights itself is seen at its own step, all else after it.
    assert all(same(found.weights[step], clean.weights[step]) for step in range(START))
    assert not same(found.weights[START + 2], clean.weights[START + 2])


@pytest.mark.parametrize("kind", FAULTS)
def test_draws__depend_on_the_seed_alone(kind: str) -> None:
    one, again, other = (plant(kind, seed, (0, 1000), GROUND).truth for seed in (1, 1, 2))
    assert one == again
    assert kind == "none" or one.iteration != other.iteration


def test_rate__is_put_back_after_a_spike() -> None:
    found = train("lr-spike", steps=20)
    assert found.optimizer is not None
    assert found.optimizer.param_groups[0]["lr"] == 0.01


def test_flip__gives_the_images_of_one_class_the_label_of_another() -> None:
    found = train("label-flip")
    one, other = (int(name) for name in found.fault.truth.classes)
    right = [found.target[chosen] for chosen in found.chosen]
    for step in range(STEPS):
        given, mine = found.batches[step][1], right[step] == one
        assert torch.equal(given[~mine], right[step][~mine])
        assert (given[mine] == (other if step >= START else one)).all()


def test_duplicates__are_a_few_images() -> None:
    found = train("duplicates")
    distinct = [len(chosen.unique()) for chosen in found.chosen]
    assert min(distinct[:START]) > 20
    assert max(distinct[START:]) <= found.fault.truth.strength["distinct"]


def test_class__that_is_withheld_is_not_seen_and_batches_stay_as_large() -> None:
    found = train("class-withheld")
    (name,) = found.fault.truth.classes
    for chosen in found.chosen[START:]:
        assert len(chosen) == 32
        assert int(name) not in found.target[chosen]
    assert any(int(name) in found.target[chosen] for chosen in found.chosen[:START])


def test_sorted_classes__come_one_after_another() -> None:
    found = train("class-sorted", steps=START + 70)
    assert found.fault.truth.end is not None
    batches = [found.target[chosen] for chosen in found.chosen[START : found.fault.truth.end + 1]]
    assert all(len(batch.unique()) <= 2 for batch in batches)
    assert torch.cat(batches).unique().tolist() == list(range(10))
    assert (torch.stack([batch.float().mean() for batch in batches]).diff() >= -1).all()


def test_frozen_layer__keeps_its_weights_and_the_others_go_on() -> None:
    found = train("frozen-layer")
    (layer,) = found.fault.truth.layers
    first, last = found.weights[START], found.weights[-1]
    still = [name for name in first if torch.equal(first[name], last[name])]
    assert still == [f"{layer}.weight"]


@pytest.mark.parametrize("adam", [False, True])
def test_decay__shrinks_one_layer_a_hundred_times_as_fast(adam: bool) -> None:
    found, twin = train("weight-decay", steps=START + 2, adam=adam), train("none", steps=START + 2, adam=adam)
    (layer,) = found.fault.truth.layers
    less = twin.weights[-1][f"{layer}.weight"] - found.weights[-1][f"{layer}.weight"]
    expected = 0.01 * 99 * GROUND.weight_decay * twin.weights[START][f"{layer}.weight"]
    torch.testing.assert_close(less, expected, rtol=1e-2, atol=1e-6)
    others = [name for name in less_names(found, twin) if name != f"{layer}.weight"]
    assert others == []


def less_names(one: Training, other: Training) -> list[str]:
    """Parameters that differ after the first faulty step."""
    return [name for name, w in one.weights[START + 1].items() if not torch.equal(w, other.weights[START + 1][name])]


def test_overflow__is_in_one_layer_and_such_steps_are_left_out() -> None:
    found = train("non-finite")
    (layer,) = found.fault.truth.layers
    bad = [name for name, g in found.gradients[START].items() if g is not None and not g.isfinite().all()]
    assert bad == [f"{layer}.weight"]
    assert same(found.weights[START], found.weights[START + 1])


def test_underflow__makes_the_share_of_gradients_zero_that_was_drawn() -> None:
    found = train("underflow")
    gradients = torch.cat([g.flatten() for g in found.gradients[START].values() if g is not None])
    assert float((gradients == 0).float().mean()) == pytest.approx(found.fault.truth.strength["lost"], abs=0.03)
    before = torch.cat([g.flatten() for g in found.gradients[START - 1].values() if g is not None])
    assert float((before == 0).float().mean()) < 0.02


@pytest.mark.parametrize("adam", [False, True])
def test_state__that_is_lost_begins_anew(adam: bool) -> None:
    found, twin = train("state-lost", steps=START + 2, adam=adam), train("none", steps=START + 2, adam=adam)
    assert found.optimizer is not None
    name = next(iter(found.weights[0]))
    if not adam:  # the first step is by the gradient and the decay alone
        step = found.weights[START][name] - found.weights[START + 1][name]
        gradient = found.gradients[START][name]
        assert gradient is not None
        torch.testing.assert_close(step, 0.01 * (gradient + 5e-4 * found.weights[START][name]))
    else:
        steps = [t.weights[START + 1][name] - t.weights[START][name] for t in (found, twin)]
        assert steps[0].abs().mean() > steps[1].abs().mean(), "its first step is as long as the learning rate"


def test_reset_at_a_drop__differs_from_the_drop_alone() -> None:
    reset, drop = train("momentum-reset"), train("lr-drop")
    assert reset.optimizer is not None
    assert drop.optimizer is not None
    assert reset.optimizer.param_groups[0]["lr"] < 0.004
    assert drop.optimizer.param_groups[0]["lr"] < 0.004


def test_stale_gradients__are_those_of_the_step_before() -> None:
    found, twin = train("stale-gradients"), train("none")
    for name in found.weights[0]:
        assert torch.equal(found.gradients[START + 1][name], twin.gradients[START][name])


def test_validation_images__are_damaged_in_one_class_and_the_same_at_every_pass(clean: Training) -> None:
    found = train("validation-images")
    (name,) = found.fault.truth.classes
    mine = found.target == int(name)
    assert torch.equal(found.seen[START - 1], clean.seen[0])
    assert torch.equal(found.seen[START][~mine], clean.seen[0][~mine])
    assert (found.seen[START][mine] != clean.seen[0][mine]).all()
    assert torch.equal(found.seen[START], found.seen[-1])
    assert same(found.weights[-1], clean.weights[-1]), "the training is as it was"


def test_normalisations__keep_their_statistics_or_have_those_of_the_last_batch() -> None:
    x = [torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(number)) for number in range(3)]
    for seed in (FROZEN, FORGETFUL):
        fault, model = plant("normalisation", seed, (1, 2), GROUND), SmallResNet(widths=(4, 8))
        assert fault.truth.strength["frozen"] == (seed == FROZEN)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        means = []
        for step in range(3):
            model.train()  # as a validation leaves it
            fault.before_step(step, model, optimizer)
            model(x[step])
            means.append(model.bn1.running_mean.clone())
        if seed == FROZEN:
            assert torch.equal(means[0], means[2])
        else:
            torch.testing.assert_close(means[2], model.conv1(x[2]).mean((0, 2, 3)))


def test_weight_noise__has_the_size_that_was_drawn_in_one_layer(clean: Training) -> None:
    found = train("weight-noise")
    moved = {name: w - clean.weights[START][name] for name, w in found.weights[START].items()}
    (layer,) = found.fault.truth.layers
    assert [name for name, by in moved.items() if by.any()] == [f"{layer}.weight"]
    share = (
        moved[f"{layer}.weight"].square().mean().sqrt()
        / clean.weights[START][f"{layer}.weight"].square().mean().sqrt()
    )
    assert float(share) == pytest.approx(found.fault.truth.strength["share"], rel=0.2)


def test_dead_filters__of_a_layer_without_normalisation_answer_nothing() -> None:
    model = nn.Sequential(nn.Conv2d(1, 12, 3), nn.GELU())
    fault = plant("dead-filters", 3, (START, START + 1), Ground(["0"], [("0", "0")]))
    fault.before_step(START, model, torch.optim.SGD(model.parameters(), lr=0.1))
    answers = model(torch.randn(50, 1, 6, 6)).abs().amax((0, 2, 3))
    assert (answers < 1e-6).nonzero().flatten().tolist() == list(fault.truth.channels)


def test_unknown_kind__is_refused_with_the_known_ones() -> None:
    assert set(UNNAMED) < set(FAULTS)
    with pytest.raises(InputError, match="choose one of dead-filters"):
        plant("gremlins", 0, (0, 1), GROUND)


def test_control__of_a_reset_at_a_drop_is_the_drop_alone() -> None:
    window = (START, START + 50)
    reset = plant("momentum-reset", 3, window, GROUND)
    alone = control(reset, window)
    assert alone is not None
    assert (alone.truth.iteration, alone.truth.strength) == (reset.truth.iteration, reset.truth.strength)
    assert control(plant("lr-spike", 3, window, GROUND), window) is None
