"""The references with one encoder: slow float64 transcriptions, who sends gradients where, what they leave out."""

import math

import numpy as np
import pytest
import torch
from training_step import batch_of, draws, total, touched

from cabench.augment.views import whole
from cabench.errors import UserError
from cabench.method import Context
from cabench.methods.dann import DANN
from cabench.methods.simclr import SimCLR
from cabench.methods.simclr_target import SimCLRTarget
from cabench.methods.supervised_y import SupervisedY
from cabench.spec import resolve

TAU = 0.5
NEW = (SimCLRTarget, SupervisedY, DANN)


def fit(cls, split, validation=None, **changes):
    method = cls(**{"dim": 6, "epochs": 1, "batch_size": 12} | changes)
    return method.fit(split.blind(), validation and validation.blind(), Context())


def record(method, name, calls):
    """Keep what a network returns, in rows of Python floats."""
    method.networks_[name].register_forward_hook(lambda m, args, out: calls.append(out.tolist()))


def in_double(method):
    """Let every network compute in float64, from float32 images too."""
    method.networks_.double().eval()
    method.networks_["encoder"].register_forward_pre_hook(lambda m, args: args[0].double())
    return method


def contrast(heads):
    """METHODS 2.1, A + 2 (U + U) / 2, line by line: heads are two lists of rows."""
    common = [[[v / math.sqrt(sum(w * w for w in row)) for v in row] for row in view] for view in heads]
    n = len(common[0])

    def apart(a, b):
        return sum((p - q) ** 2 for p, q in zip(a, b, strict=True)) / (2 * TAU)

    def uniformity(view):
        pairs = [math.exp(-apart(view[i], view[j])) for i in range(n) for j in range(i + 1, n)]
        return math.log(2 / (n * (n - 1)) * sum(pairs))

    return sum(apart(common[0][i], common[1][i]) for i in range(n)) / n + sum(map(uniformity, common))


def cross_entropy(logits, y):
    chances = [1 / (1 + math.exp(-row[0])) for row in logits]
    return -sum(math.log(p if group else 1 - p) for p, group in zip(chances, y, strict=True)) / len(y)


# SimCLR


def test_simclr_s_loss_equals_a_slow_transcription_on_all_rows(make_split):
    method, batch, heads = in_double(fit(SimCLR, make_split())), batch_of(make_split(), slice(0, 14)), []
    record(method, "head", heads)
    loss = total(method.training_loss(batch, draws()))
    assert len(heads[0]) == len(batch.y)
    assert loss.item() == pytest.approx(contrast(heads), rel=1e-9)


def test_simclr_on_the_target_equals_a_slow_transcription_on_target_rows(make_split):
    method, batch, heads = in_double(fit(SimCLRTarget, make_split())), batch_of(make_split(), slice(0, 14)), []
    record(method, "head", heads)
    loss = total(method.training_loss(batch, draws()))
    assert len(heads[0]) == int(batch.y.sum())
    assert loss.item() == pytest.approx(contrast(heads), rel=1e-9)


def test_no_background_pixel_reaches_simclr_on_the_target(make_split):
    split, other = make_split(), make_split()
    other.x[other.y == 0] = 255 - other.x[other.y == 0]
    codes = [fit(SimCLRTarget, train).embed(split.x).salient for train in (split, other)]
    assert np.array_equal(*codes)
    assert not np.array_equal(*(fit(SimCLR, train).embed(split.x).salient for train in (split, other)))


@pytest.mark.parametrize("targets", [0, 1])
def test_too_few_target_rows_give_exact_zeros_and_zero_gradients(targets, make_split):
    method, split = fit(SimCLRTarget, make_split()), make_split()
    rows = np.r_[np.flatnonzero(split.y == 0)[:5], np.flatnonzero(split.y == 1)[:targets]]
    method.networks_.train().zero_grad(set_to_none=True)
    terms = method.training_loss(batch_of(split, rows), draws())
    assert [raw.item() for raw, _ in terms.values()] == [0, 0]
    total(terms).backward()
    assert not any(p.grad.any() for p in method.networks_.parameters())


def test_a_validation_split_without_target_is_watched_and_never_nan(make_split):
    method = fit(SimCLRTarget, make_split(), make_split(n=24, seed=1, share=0.0))
    assert method.history_[-1]["validation/loss"] == 0


# Supervised on y


def test_supervised_y_s_loss_equals_a_slow_transcription(make_split):
    method, batch, logits = in_double(fit(SupervisedY, make_split())), batch_of(make_split()), []
    record(method, "classifier", logits)
    loss = total(method.training_loss(batch, draws()))
    assert loss.item() == pytest.approx(cross_entropy(logits[0], batch.y.tolist()), rel=1e-9)


def test_supervised_y_learns_to_tell_the_groups_apart(make_split):
    split, fresh = make_split(), make_split(n=24, seed=1)
    method = fit(SupervisedY, split, epochs=30)
    with torch.no_grad():
        salient = torch.from_numpy(method.embed(fresh.x).salient)
        said = method.networks_["classifier"](salient)[:, 0] > 0
    assert (said.numpy() == fresh.y).mean() > 0.9


def test_the_code_of_supervised_y_is_what_its_classifier_reads(make_split):
    method, split = fit(SupervisedY, make_split()), make_split()
    read = []
    method.networks_["classifier"].register_forward_pre_hook(lambda m, args: read.append(args[0]))
    x = whole(torch.from_numpy(split.x), 16)
    with torch.no_grad():
        method.networks_["classifier"](method.penultimate(x))
        np.testing.assert_allclose(method.embed(split.x).salient, read[0].numpy(), atol=1e-6)
    assert read[0].amin() == 0  # after the rectifier


# DANN


def test_dann_s_losses_equal_slow_transcriptions(make_split):
    method, batch = in_double(fit(DANN, make_split(), adversary_weight=3.0)), batch_of(make_split(), slice(0, 14))
    heads, logits = [], []
    record(method, "head", heads)
    record(method, "adversary", logits)
    loss = total(method.training_loss(batch, draws()))
    misled = (cross_entropy(logits[0], batch.y.tolist()) + cross_entropy(logits[1], batch.y.tolist())) / 2
    assert loss.item() == pytest.approx(contrast(heads) - 3.0 * misled, rel=1e-9)
    adversary = total(method.adversary_loss(batch, draws()))
    assert adversary.item() == pytest.approx(cross_entropy(logits[2], batch.y.tolist()), rel=1e-9)


def test_each_term_of_dann_reaches_the_networks_that_it_is_about(make_split):
    method, batch = fit(DANN, make_split()), batch_of(make_split())
    method.networks_.train()
    assert touched(method, total(method.adversary_loss(batch, draws()))) == {"adversary"}
    for name in ("alignment", "uniformity"):
        assert touched(method, method.training_loss(batch, draws())[name][0]) == {"encoder", "head"}
    assert touched(method, method.training_loss(batch, draws())["adversary"][0]) == {"encoder", "adversary"}


@pytest.mark.parametrize(
    ("still", "moving"), [("learning_rate", {"adversary"}), ("adversary_rate", {"encoder", "head"})]
)
def test_a_player_of_dann_moves_only_its_own_networks(still, moving, make_split):
    start = fit(DANN, make_split(), learning_rate=1e-30, adversary_rate=1e-30)
    after = fit(DANN, make_split(), epochs=2, **{still: 1e-30})
    moved = {
        name
        for name, network in after.networks_.items()
        for own, before in zip(network.parameters(), start.networks_[name].parameters(), strict=True)
        if not torch.allclose(own, before, rtol=0, atol=1e-12)
    }
    assert moved == moving


@pytest.mark.parametrize("group", [0, 1])
def test_dann_s_losses_stay_finite_with_one_group(group, make_split):
    method, split = fit(DANN, make_split()), make_split()
    for loss in (method.training_loss, method.adversary_loss):
        method.networks_.train().zero_grad(set_to_none=True)
        total(loss(batch_of(split, split.y == group), draws())).backward()
        assert all(p.grad.isfinite().all() for p in method.networks_.parameters() if p.grad is not None)


def test_the_weight_of_the_adversary_changes_the_code_and_at_zero_it_is_simclr_s(make_split):
    split = make_split()
    codes = {w: fit(DANN, split, adversary_weight=w).embed(split.x).common for w in (0.0, 5.0)}
    assert not np.array_equal(codes[0.0], codes[5.0])
    loss = fit(DANN, split, adversary_weight=0.0).training_loss(batch_of(split), draws())
    same = {name: weight for name, (_, weight) in loss.items() if weight}
    assert same == {"alignment": 1.0, "uniformity": 1.0}


def test_the_adversary_steps_as_often_as_it_is_told_and_sees_no_scale(make_split):
    method, calls = fit(DANN, make_split(), adversary_steps=5), []
    assert [(player.name, player.steps) for player in method.players()] == [("adversary", 5), ("model", 1)]
    method.networks_.train()
    code = torch.randn(48, 6, generator=torch.Generator().manual_seed(0))
    for scale in (1.0, 0.1):
        calls.append(method.cross_entropy(scale * code, torch.arange(48) % 2).item())
    assert calls[0] == pytest.approx(calls[1], rel=1e-2)


# All


@pytest.mark.parametrize(("cls", "held"), [(SimCLRTarget, "salient"), (SupervisedY, "salient"), (DANN, "common")])
def test_a_space_that_a_reference_does_not_have_is_a_column_of_zeros(cls, held, make_split):
    codes = fit(cls, make_split()).embed(make_split().x)
    missing = codes["common" if held == "salient" else "salient"]
    assert missing.shape == (48, 1) and not missing.any()
    assert codes[held].shape == (48, 6) and codes[held].std(0).max() > 0


@pytest.mark.parametrize("cls", [SimCLRTarget, DANN])
def test_the_code_is_the_representation_before_the_projector(cls, make_split):
    method, x = fit(cls, make_split()), make_split().x
    before = method.embed(x)
    for parameter in method.networks_["head"].parameters():
        parameter.data.zero_()
    after = method.embed(x)
    assert np.array_equal(before.common, after.common) and np.array_equal(before.salient, after.salient)


@pytest.mark.parametrize("cls", NEW)
def test_the_paper_tier_has_the_budget_of_simclr_or_of_the_ceiling(cls):
    paper = cls.settings["paper"]["*"]
    expected = (100, 512, 1e-3) if cls is SupervisedY else (250, 512, 3e-4)
    assert (paper["epochs"], paper["batch_size"], paper["learning_rate"]) == expected
    assert paper["backbone"] == "resnet18" and cls.settings["paper"]["schizophrenia_mri"] == {"backbone": "small"}


@pytest.mark.parametrize(
    ("cls", "name", "value"),
    [
        (SimCLR, "dim", 0),
        (SimCLRTarget, "dim", 0),
        (SupervisedY, "epochs", 0),
        (DANN, "adversary_weight", -1.0),
        (DANN, "adversary_rate", 0.0),
        (DANN, "backbone", "smal"),
    ],
)
def test_a_parameter_out_of_its_range_is_refused_at_planning(cls, name, value):
    with pytest.raises(UserError, match=rf"^{cls.name}\[{name}\] .*[.?]$"):
        resolve(cls, [{name: value}], cls.name)
