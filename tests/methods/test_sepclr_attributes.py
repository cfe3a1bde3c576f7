"""SepCLR with known attributes against METHODS 2.2: a slow float64 transcription, and who feels what."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from training_step import batch_of, draws, total, touched

from cabench.augment.views import whole
from cabench.codes import TARGET, Batch, Factor
from cabench.errors import UserError
from cabench.method import Context
from cabench.methods.sepclr_attributes import (
    SepCLRAttributes,
    native_encoder,
)
from cabench.spec import signature_defaults

TAU = 0.5
SALIENT = {"uniformity_salient", "attributes", "null"}
COMMON = {"alignment_common", "uniformity_common"}


@pytest.fixture
def fitted(make_split):
    """A method fitted on images with the attributes mark (classes) and size (in points, some missing)."""
    method = SepCLRAttributes(common_dim=6, epochs=1, batch_size=48)
    return method.fit(make_split(), None, Context())


def average(values):
    values = list(values)
    return sum(values) / len(values) if values else 0.0


def in_double(method):
    """Put the networks into float64, and return their inputs and outputs as they are called."""
    seen = {"common": [], "salient": []}
    method.networks_.double().eval()
    for space, calls in seen.items():
        method.networks_[space].register_forward_pre_hook(lambda m, args: args[0].double())
        method.networks_[space].register_forward_hook(
            lambda m, args, out, calls=calls: calls.append((args[0].detach(), out.tolist()))
        )
    return seen


def d2(a, b):
    return sum((p - q) ** 2 for p, q in zip(a, b, strict=True))


def slow_loss(common, s, y, attributes, weights):
    """METHODS 2.2, line by line, on lists of Python floats; attributes: (values, whether classes) per unit."""
    n = len(y)
    target, background = [i for i in range(n) if y[i]], [i for i in range(n) if not y[i]]
    c, other = ([[v / math.sqrt(sum(w * w for w in row)) for v in row] for row in view] for view in common)
    zeroed = [[v * y[i] for v in row] for i, row in enumerate(s)]

    def uniformity(a):
        return math.log(average(math.exp(-d2(a[i], a[j])) for i in range(n) for j in range(i + 1, n)))

    def closeness(a, b, classes):
        return math.exp(-((a - b) ** 2) / (1e-5 if classes else 2 * 0.025))

    l_sal = 0.0
    for j, (values, classes) in enumerate(attributes):
        known = [i for i in target if not math.isnan(values[i])]
        sa = average(
            closeness(values[i], values[k], classes) * (s[i][j] - s[k][j]) ** 2
            for i in known for k in known if i < k
        )  # fmt: skip
        null = average(s[i][j] ** 2 for i in background) / (2 * (0.5 if classes else 0.025))
        l_sal += (uniformity([[row[j]] for row in zeroed]) + (sa + null) / 2) / len(attributes)
    l_com = average(d2(a, b) for a, b in zip(c, other, strict=True)) / (2 * TAU)
    l_com += (uniformity(c) + uniformity(other)) / 2
    joint = average(
        math.log(average(math.exp(-d2(c[i], c[j]) - d2(zeroed[i], zeroed[j])) for j in range(n))) for i in range(n)
    )
    return weights[0] * l_com + weights[1] * l_sal + weights[2] * joint


@pytest.mark.parametrize("weights", [(1.0, 100.0, 10.0), (2.0, 3.0, 5.0)])
def test_the_whole_loss_equals_a_slow_transcription(weights, fitted, make_split):
    split = make_split()
    batch, calls = batch_of(split, slice(0, 24)), in_double(fitted)
    fitted.common_weight, fitted.salient_weight, fitted.mi_weight = weights
    terms = fitted.training_loss(batch, draws())
    size = split.labels["size"][split.y == 1]
    low, high = np.nanmin(size), np.nanmax(size)
    attributes = [
        (batch.labels["mark"].tolist(), True),
        (((batch.labels["size"].double() - low) / (high - low)).tolist(), False),
    ]
    assert np.isnan(size).any()
    (salient,) = (out for _, out in calls["salient"])
    expected = slow_loss([out for _, out in calls["common"]], salient, batch.y.tolist(), attributes, weights)
    assert total(terms).item() == pytest.approx(expected, rel=1e-5)
    assert set(terms) == COMMON | SALIENT | {"joint_entropy"}


def test_only_the_joint_entropy_couples_the_encoders(fitted, make_split):
    fitted.networks_.train()
    batch = batch_of(make_split())
    for name in fitted.training_loss(batch, draws()):
        reached = touched(fitted, fitted.training_loss(batch, draws())[name][0])
        if name == "joint_entropy":
            assert reached == {"common", "salient"}
        else:
            assert reached == ({"common"} if name in COMMON else {"salient"}), name


def test_an_attribute_moves_its_own_unit_alone(fitted, make_split):
    batch = batch_of(make_split())
    for unit, name in enumerate(("mark", "size")):
        s = torch.randn(len(batch.y), 2, generator=torch.Generator().manual_seed(0)).requires_grad_()
        sum(fitted.salient_terms(unit, batch, s, s * batch.y[:, None]).values()).backward()
        assert s.grad[:, unit].any() and not s.grad[:, 1 - unit].any()
        gradients = []
        for values in (batch.labels[name], batch.labels[name].flip(0)):
            changed = replace(batch, labels=dict(batch.labels) | {name: values})
            s.grad = None
            fitted.salient_terms(unit, changed, s, s)["attributes"].backward()
            gradients.append(s.grad[:, unit].clone())
        assert not torch.equal(*gradients)


def test_a_missing_attribute_leaves_out_its_pairs_and_nothing_else(fitted, make_split):
    batch, rows = batch_of(make_split()), torch.arange(6)
    s = torch.randn(48, 2, generator=torch.Generator().manual_seed(0))
    known = {"size": torch.linspace(2, 8, 48), "mark": torch.zeros(48)}
    missing = {"size": torch.where(torch.arange(48) < 6, known["size"], torch.nan), "mark": known["mark"]}
    everyone = torch.ones_like(batch.y)
    found = fitted.salient_terms(1, Batch.of(batch.x, everyone, missing), s, s)
    fewer = Batch.of(batch.x[rows], everyone[rows], {name: column[rows] for name, column in known.items()})
    expected = fitted.salient_terms(1, fewer, s[rows], s[rows])
    assert found["attributes"].item() == pytest.approx(expected["attributes"].item(), rel=1e-6)
    assert (
        found["uniformity_salient"]
        == fitted.salient_terms(1, Batch.of(batch.x, everyone, known), s, s)["uniformity_salient"]
    )


def test_an_attribute_of_a_background_image_counts_for_nothing(fitted, make_split):
    batch = batch_of(make_split())
    s = torch.randn(48, 2, generator=torch.Generator().manual_seed(0))
    found = []
    for value in (5.0, torch.nan):
        size = torch.where(batch.y == 1, batch.labels["size"], value)
        told = replace(batch, labels=dict(batch.labels) | {"size": size})
        found.append(fitted.salient_terms(1, told, s, s)["attributes"].item())
    assert found[0] == found[1] > 0


def test_the_null_term_counts_twenty_times_for_a_continuous_attribute(fitted, make_split):
    batch = batch_of(make_split())
    s = torch.full((48, 2), 0.3)
    nulls = [fitted.salient_terms(unit, batch, s, s)["null"].item() for unit in range(2)]
    assert nulls == pytest.approx([0.09 / 2, 20 * 0.09 / 2], rel=1e-5)


def test_classes_are_close_if_equal_and_values_by_how_near_they_are(fitted, make_split):
    split = make_split()
    batch = batch_of(split)
    s = torch.zeros(48, 2)
    s[1:] = 1.0
    everyone, size = torch.ones_like(batch.y), split.labels["size"][split.y == 1]
    step = 0.05 * (np.nanmax(size) - np.nanmin(size))

    def attributes(unit: int, mark: float, shift: float) -> float:
        """Return the term of two rows, one apart in the code, whose marks or sizes differ by so much."""
        labels = {"mark": torch.tensor([0.0, mark]), "size": torch.tensor([5.0, 5.0 + shift])}
        return fitted.salient_terms(unit, Batch.of(batch.x[:2], everyone[:2], labels), s[:2], s[:2])[
            "attributes"
        ].item()

    assert attributes(0, mark=0.0, shift=3.0) == 0.5
    assert attributes(0, mark=2.0, shift=0.0) == 0.0
    assert attributes(1, mark=2.0, shift=step) == pytest.approx(math.exp(-0.05) / 2, rel=1e-5)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([-0.6, 0.5, np.nan], (0.0, 1.0)),  # as published
        ([2.0, 12.0, np.nan], (2.0, 10.0)),
        ([7.0, 7.0, 7.0], (7.0, 1.0)),
        ([np.nan] * 3, (0.0, 1.0)),
    ],
)
def test_values_are_put_on_the_range_of_training_targets_unless_they_lie_within_one(values, expected, make_split):
    split = make_split()
    column = np.where(split.y == 1, np.resize(values, len(split.y)), 1000.0)
    column[split.y == 1] = np.resize(values, split.y.sum())
    method = SepCLRAttributes(epochs=1, batch_size=48)
    method.fit(replace(split, labels=dict(split.labels) | {"size": column}), None, Context())
    assert method.ranges_["size"] == pytest.approx(expected)
    assert all(math.isfinite(value) for value in method.history_[0].values())


def test_the_salient_encoder_sees_the_clean_image_and_the_common_one_a_view_too(fitted, make_split):
    batch, calls = batch_of(make_split()), in_double(fitted)
    fitted.training_loss(batch, draws())
    clean = whole(batch.x, 16).double()
    (salient,), (first, second) = ([x for x, _ in calls[space]] for space in ("salient", "common"))
    assert torch.equal(salient, clean) and torch.equal(first, clean)
    assert (second - clean).flatten(1).abs().amax(1).min() > 0


@pytest.mark.parametrize("group", [0, 1])
def test_an_empty_group_gives_exact_zeros_and_finite_gradients(group, fitted, make_split):
    split = make_split()
    fitted.networks_.train()
    terms = fitted.training_loss(batch_of(split, split.y == group), draws())
    total(terms).backward()
    assert terms["attributes" if group == 0 else "null"][0].item() == 0
    assert all(raw.isfinite() for raw, _ in terms.values())
    assert all(p.grad.isfinite().all() for p in fitted.networks_.parameters())


def test_attributes_that_are_all_missing_give_exactly_zero(fitted, make_split):
    batch = batch_of(make_split())
    gone = {name: torch.full_like(column, torch.nan) for name, column in batch.labels.items()}
    terms = fitted.training_loss(replace(batch, labels=gone), draws())
    assert terms["attributes"][0].item() == 0 and total(terms).isfinite()


# --- which factors, which networks ----------------------------------------------------------------


def test_there_is_one_unit_per_salient_factor_of_target_rows_in_their_order(fitted, make_split):
    split = make_split()
    assert [factor.name for factor in fitted.attributes_] == ["mark", "size"]
    assert fitted.embed(split.x).salient.shape == (48, 2) and fitted.embed(split.x).common.shape == (48, 6)
    assert "salient_dim" not in signature_defaults(SepCLRAttributes)


@pytest.mark.parametrize("factors", [(), (TARGET, Factor("glow", "common")), (Factor("mark", "salient", "all"),)])
def test_a_data_set_without_such_a_factor_is_one_clear_sentence(factors, make_split):
    with pytest.raises(UserError, match=r"^'sepclr_attributes' needs a data set with a salient factor .*\.$"):
        SepCLRAttributes(epochs=1, batch_size=12).fit(replace(make_split(), factors=factors))


def test_another_attribute_changes_the_salient_code_alone_if_the_encoders_are_not_coupled(make_split):
    split, codes = make_split(), []
    for labels in (split.labels, dict(split.labels) | {"mark": (split.labels["mark"] + 1) % 2}):
        method = SepCLRAttributes(epochs=2, batch_size=12, mi_weight=0.0)
        codes.append(method.fit(replace(split, labels=labels)).embed(split.x))
    assert np.array_equal(codes[0].common, codes[1].common)
    assert not np.array_equal(codes[0].salient, codes[1].salient)


def test_the_native_networks_are_the_published_ones(make_split):
    method, split = SepCLRAttributes(track="native"), make_split("grey")
    view = method.seen(split)
    assert (view.size, view.augmentation.size) == (64, 64)
    networks = method.build(split, view)
    shapes = {
        space: [tuple(p.shape) for p in network.parameters() if p.ndim > 1] for space, network in networks.items()
    }
    widths = (1, 512, 256, 128, 64, 32)
    convolutions = [(out, into, 4, 4) for into, out in pairwise(widths)]
    assert shapes["common"] == [*convolutions, (128, 128), (32, 128)]
    assert shapes["salient"] == [*convolutions, (128, 128), (2, 128)]
    kinds = [type(layer).__name__ for layer in networks["common"]]
    assert kinds == ["Conv2d", "ReLU"] * 5 + ["Flatten", "Linear", "ReLU", "Linear"]


def test_native_networks_take_volumes(make_split):
    split = make_split("volume", n=4)
    view = SepCLRAttributes(track="native").seen(split)
    assert view.size == 32
    codes = native_encoder(view, 7)(whole(torch.from_numpy(split.x), view.size))
    assert codes.shape == (4, 7) and codes.isfinite().all()


def test_published_settings():
    paper = SepCLRAttributes.settings["paper"]
    dsprites = SepCLRAttributes(**paper["*"] | paper["dsprites_grid"])
    assert (dsprites.epochs, dsprites.batch_size, dsprites.learning_rate) == (250, 1024, 3e-4)
    assert (dsprites.common_weight, dsprites.salient_weight, dsprites.mi_weight) == (1, 100, 10)
    assert dsprites.common_dim == 32
