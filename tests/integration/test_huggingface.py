"""Hugging Face ``Trainer``: real trainings with the real library, against loops written by hand. No network."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import pytest
import torch
from torch import nn
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

import deeptracker as dt
from deeptracker.integrations.huggingface import DeepTrackerCallback

NAMES = {0: "cold", 1: "mild", 2: "hot"}


def examples(number: int, seed: int):
    draw = np.random.default_rng(seed)
    return [{"input_ids": draw.integers(0, 32, 5).tolist(), "labels": int(draw.integers(3))} for _ in range(number)]


def model(dropout: float = 0.0):
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=32, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24, num_labels=3,
        max_position_embeddings=8, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout, id2label=NAMES,
    )  # fmt: skip
    return BertForSequenceClassification(config)


class Plain(nn.Module):
    """A model that knows nothing of the trainer; its loss is a mean over the batch."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.classifier = nn.Embedding(32, 8), nn.Linear(8, 3)

    def forward(self, input_ids, labels=None):
        logits = self.classifier(self.embedding(input_ids).mean(1))
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


class InOrder(Trainer):
    """Examples as they come, so that a loop by hand can follow."""

    def _get_train_sampler(self, *_):
        return torch.utils.data.SequentialSampler(self.train_dataset)


def trainer(tmp_path, callback=None, net=None, kind=InOrder, metrics=None, evaluate=None, **options):
    options = {
        "max_steps": 4, "learning_rate": 0.1, "optim": "sgd", "lr_scheduler_type": "constant", "max_grad_norm": 0.5,
        "per_device_train_batch_size": 4, "per_device_eval_batch_size": 5, "save_strategy": "no", "logging_steps": 2,
        "report_to": [], "use_cpu": True, "disable_tqdm": True, "dataloader_pin_memory": False, **options,
    }  # fmt: skip
    return kind(
        net or model(), TrainingArguments(str(tmp_path / "out"), **options), train_dataset=examples(40, seed=1),
        eval_dataset=evaluate, compute_metrics=metrics, callbacks=[] if callback is None else [callback],
    )  # fmt: skip


def by_hand(net, updates: int, accumulate: int, autocast: bool = False):
    """Gradient norms of the classifier as the optimizer receives them, of all before clipping, and the losses.

    Bert is given the number of examples of an update and makes nothing of it, so that the trainer sums its means.
    """
    rows, scale = examples(40, seed=1), accumulate if isinstance(net, Plain) else 1
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    norms, before, losses = [], [], []
    for update in range(updates):
        part = rows[update * 4 * accumulate : (update + 1) * 4 * accumulate]
        total = 0.0
        for start in range(0, len(part), 4):
            ids = torch.tensor([row["input_ids"] for row in part[start : start + 4]])
            labels = torch.tensor([row["labels"] for row in part[start : start + 4]])
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
                loss = net(input_ids=ids, labels=labels)["loss"] / scale
            loss.backward()
            total += loss.item()
        before.append(nn.utils.clip_grad_norm_(net.parameters(), 0.5).item())
        norms.append(net.classifier.weight.grad.norm(dim=1).numpy().copy())
        losses.append(total)
        optimizer.step()
        optimizer.zero_grad()
    return norms, before, losses


@pytest.mark.parametrize(("accumulate", "net"), [(1, model), (2, model), (2, Plain)], ids=["1", "2", "2, plain"])
def test_records__are_the_updates_with_the_gradients_that_the_optimizer_receives(tmp_path, accumulate, net) -> None:
    callback = DeepTrackerCallback(tmp_path / "run", every=1, strict=True)
    trainer(tmp_path, callback, net(), gradient_accumulation_steps=accumulate).train()
    norms, before, losses = by_hand(net(), 4, accumulate)
    run = dt.open_run(tmp_path / "run")
    assert run.filters.iteration.values.tolist() == [1, 2, 3, 4]
    np.testing.assert_allclose(run.filters.g_norm2.sel(layer="classifier"), norms, rtol=1e-4)
    np.testing.assert_allclose(run.scalars.loss, losses, rtol=1e-5)
    np.testing.assert_allclose(run.scalars.logged_grad_norm.sel(iteration=[2, 4]), before[1::2], rtol=1e-4)
    np.testing.assert_allclose(
        run.scalars.logged_loss.sel(iteration=[2, 4]), np.reshape(losses, (2, 2)).mean(1), rtol=1e-3
    )
    assert run.attributes["config"]["per_device_train_batch_size"] == 4


def test_records__of_mixed_precision(tmp_path) -> None:
    trainer(tmp_path, DeepTrackerCallback(tmp_path / "run", every=1, strict=True), bf16=True).train()
    norms, _, losses = by_hand(model(), 4, 1, autocast=True)
    run = dt.open_run(tmp_path / "run")
    np.testing.assert_allclose(run.filters.g_norm2.sel(layer="classifier"), norms, rtol=2e-2)
    np.testing.assert_allclose(run.scalars.loss, losses, rtol=1e-2)


def test_loss__that_the_model_does_not_return_is_the_logged_one(tmp_path) -> None:
    callback = DeepTrackerCallback(tmp_path / "run", every=1, strict=True)
    trainer(tmp_path, callback, label_smoothing_factor=0.1).train()
    scalars = dt.open_run(tmp_path / "run").scalars
    assert np.isnan(scalars.loss.sel(iteration=[1, 3])).all()
    np.testing.assert_array_equal(scalars.loss.sel(iteration=[2, 4]), scalars.logged_loss.sel(iteration=[2, 4]))


def test_training__is_the_same_bit_for_bit_with_and_without(tmp_path) -> None:
    results = []
    for recorded in (False, True):
        callback = DeepTrackerCallback(tmp_path / "run", every=1, full_every=2, strict=True) if recorded else None
        training = trainer(
            tmp_path, callback, model(dropout=0.2), Trainer, evaluate=examples(12, seed=2), eval_strategy="steps",
            eval_steps=2, logging_steps=1, optim="adamw_torch", gradient_accumulation_steps=2,
            metrics=callback.compute_metrics() if callback else lambda prediction: {},
        )  # fmt: skip
        training.train()
        losses = [row["loss"] for row in training.state.log_history if "loss" in row]
        results.append((losses, {name: value.clone() for name, value in training.model.state_dict().items()}))
    (losses_a, state_a), (losses_b, state_b) = results
    assert losses_a == losses_b
    assert len(losses_a) == 4
    assert all(torch.equal(state_a[name], state_b[name]) for name in state_a)


@pytest.mark.parametrize("batchwise", [False, True])
def test_evaluation__answers_are_recorded_example_by_example(tmp_path, batchwise: bool) -> None:
    seen: list[np.ndarray] = []

    def accuracy(prediction, compute_result: bool = True):
        seen.append(np.argmax(np.asarray(prediction.predictions), 1))
        return {"accuracy": 0.5} if compute_result else {}

    callback = DeepTrackerCallback(tmp_path / "run", every=1, strict=True)
    rows = examples(12, seed=2)
    training = trainer(
        tmp_path, callback, metrics=callback.compute_metrics(accuracy), evaluate=rows, eval_strategy="steps",
        eval_steps=2, eval_on_start=True, batch_eval_metrics=batchwise,
    )  # fmt: skip
    training.train()
    training.predict(examples(12, seed=3))
    run = dt.open_run(tmp_path / "run")
    assert run.validation.validation.values.tolist() == [0, 2, 4]
    expected = np.concatenate(seen).reshape(-1, 12)[:3]
    np.testing.assert_array_equal(run.validation.predicted.sel(image=np.arange(12)), expected)
    np.testing.assert_array_equal(run.images.target.sel(image=np.arange(12)), [row["labels"] for row in rows])
    assert run.images["class"].values.tolist() == list(NAMES.values())
    assert (run.scalars.eval_accuracy.sel(iteration=[2, 4]) == 0.5).all()
    training.model.eval()
    with torch.no_grad():
        logits = training.model(input_ids=torch.tensor([row["input_ids"] for row in rows])).logits
    loss = nn.functional.cross_entropy(logits, torch.tensor([row["labels"] for row in rows]), reduction="none")
    np.testing.assert_allclose(run.validation.loss.isel(validation=-1).sel(image=np.arange(12)), loss, rtol=2e-3)


def test_evaluation__of_several_sets_keeps_their_names(tmp_path) -> None:
    callback = DeepTrackerCallback(tmp_path / "run", every=1, strict=True)
    sets = {"easy": examples(6, seed=2), "hard": examples(9, seed=3)}
    trainer(
        tmp_path, callback, metrics=callback.compute_metrics(), evaluate=sets, eval_strategy="steps", eval_steps=4
    ).train()
    run = dt.open_run(tmp_path / "run")
    assert run.dataset("validation/easy/raw").sizes == {"validation": 1, "image": 6}
    assert run.dataset("validation/hard/raw").sizes == {"validation": 1, "image": 9}


def test_resume__from_a_checkpoint_goes_on_in_the_run_it_was_made_in(tmp_path) -> None:
    trainer(tmp_path, DeepTrackerCallback(every=1, strict=True), max_steps=2).train()  # another one in that place
    saving = {"save_strategy": "steps", "save_steps": 4}
    trainer(tmp_path, DeepTrackerCallback(every=1, strict=True), max_steps=6, **saving).train()
    again = trainer(tmp_path, DeepTrackerCallback(every=1, strict=True), max_steps=8, **saving)
    again.train(resume_from_checkpoint=str(tmp_path / "out" / "checkpoint-4"))
    first, second = (dt.open_run(tmp_path / "out" / name) for name in ("deeptracker", "deeptracker-2"))
    assert first.filters.iteration.values.tolist() == [1, 2]
    assert second.filters.iteration.values.tolist() == list(range(1, 9))
    assert np.isnan(second.filters.update_norm2.sel(iteration=5)).all(), "the record after the checkpoint is new"


def test_exception__leaves_a_run_that_the_next_training_may_take(tmp_path) -> None:
    class Failing(InOrder):
        def training_step(self, *args, **kwargs):
            if self.state.global_step == 2:
                raise KeyError("the user's own")
            return super().training_step(*args, **kwargs)

    left = DeepTrackerCallback(tmp_path / "run", every=1, strict=True)
    with pytest.raises(KeyError, match="the user's own"):
        trainer(tmp_path, left, kind=Failing).train()
    trainer(tmp_path, DeepTrackerCallback(tmp_path / "run", every=1, strict=True), max_steps=1).train()
    assert left.recorder is None, "ended by the next one"
    assert dt.open_run(tmp_path / "run").filters.iteration.values.tolist() == [1, 2]
    assert dt.open_run(tmp_path / "run-2").filters.iteration.values.tolist() == [1]
    left.close()
