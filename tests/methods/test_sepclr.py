"""SepCLR against METHODS 2.1: a slow float64 transcription, and who sends gradients where."""

import math

import numpy as np
import pytest
import torch

from cabench.augment.views import views
from cabench.codes import Batch
from cabench.method import Context
from cabench.methods.sepclr import SepCLR, sepclr_terms
from cabench.train import Draws

JOINT = "joint_entropy"
TAU = 0.5


def d2(a, b):
    return sum((p - q) ** 2 for p, q in zip(a, b, strict=True))


def slow_loss(heads_c, heads_s, y, salient_weight, null_weight, joint_weight):
    """METHODS 2.1, line by line, on lists of Python floats: one list of rows per view."""
    n = len(y)
    target, background = [i for i in range(n) if y[i]], [i for i in range(n) if not y[i]]
    common = [[[v / math.sqrt(sum(w * w for w in row)) for v in row] for row in view] for view in heads_c]
    zeroed = [[[v * y[i] for v in row] for i, row in enumerate(view)] for view in heads_s]

    def alignment(a, b, rows):
        return sum(d2(a[i], b[i]) for i in rows) / (2 * TAU) / len(rows)

    def uniformity(a):
        pairs = [math.exp(-d2(a[i], a[j]) / (2 * TAU)) for i in range(n) for j in range(i + 1, n)]
        return math.log(2 / (n * (n - 1)) * sum(pairs))

    def joint(c, s):
        def near(i):
            return sum(math.exp(-(d2(c[i], c[j]) + d2(s[i], s[j])) / (2 * TAU)) for j in range(n))

        return sum(math.log(near(i) / n) for i in range(n)) / n

    l_com = alignment(*common, range(n)) + 2 * (uniformity(common[0]) + uniformity(common[1])) / 2
    l_sal = alignment(*heads_s, target) + 2 * (uniformity(zeroed[0]) + uniformity(zeroed[1])) / 2
    l_null = sum(sum(v * v for v in view[i]) for view in heads_s for i in background)
    l_null = l_null / (2 * TAU) / len(background) / 2
    l_jem = (joint(common[0], zeroed[0]) + joint(common[1], zeroed[1])) / 2
    return l_com + salient_weight * l_sal + null_weight * l_null + joint_weight * l_jem


@pytest.fixture
def fitted(make_split):
    method = SepCLR(common_dim=6, salient_dim=5, epochs=1, batch_size=48)
    return method.fit(make_split().blind(), None, Context())


def batch_of(split, rows=slice(None)):
    return Batch(torch.from_numpy(split.x[rows]), torch.from_numpy(split.y[rows]))


def draws(seed=0):
    return Draws(torch.Generator().manual_seed(seed), torch.Generator().manual_seed(seed))


def total(terms, *names):
    return sum(raw * weight for name, (raw, weight) in terms.items() if not names or name in names)


def touched(method, loss):
    """Return the names of the networks that a loss sends a gradient to."""
    method.networks_.zero_grad(set_to_none=True)
    loss.backward()
    return {
        name
        for name, network in method.networks_.items()
        if any(p.grad is not None and p.grad.abs().max() > 0 for p in network.parameters())
    }


def test_the_whole_loss_equals_a_slow_transcription(fitted, make_split):
    method, batch = fitted, batch_of(make_split(), slice(0, 14))
    method.networks_.double().eval()
    method.common_weight, method.salient_weight, method.null_weight, method.joint_entropy_weight = 1, 3, 7, 11
    heads = {"common": [], "salient": []}
    hooks = [
        method.networks_[f"{space}_head"].register_forward_hook(
            lambda m, i, o, s=space: heads[s].append(o.tolist())
        )
        for space in heads
    ]
    method.networks_["common"].register_forward_pre_hook(lambda m, args: args[0].double())
    method.networks_["salient"].register_forward_pre_hook(lambda m, args: args[0].double())
    loss = total(method.training_loss(batch, draws()))
    for hook in hooks:
        hook.remove()
    expected = slow_loss(heads["common"], heads["salient"], batch.y.tolist(), 3, 7, 11)
    assert loss.dtype == torch.float64
    assert loss.item() == pytest.approx(expected, abs=1e-9)


def test_only_the_joint_entropy_couples_the_encoders(fitted, make_split):
    fitted.networks_.train()
    batch = batch_of(make_split())

    def terms():
        return fitted.training_loss(batch, draws())

    for name in terms():
        reached = touched(fitted, terms()[name][0])
        if name == JOINT:
            assert reached == {"common", "common_head", "salient", "salient_head"}
        else:
            space = "common" if "common" in name else "salient"
            assert reached == {space, f"{space}_head"}, name


def test_without_joint_entropy_the_salient_encoder_does_not_move_the_common_code(make_split):
    codes = []
    for null_weight in (1.0, 500.0):
        method = SepCLR(epochs=2, batch_size=12, null_weight=null_weight, joint_entropy_weight=0.0)
        codes.append(method.fit(make_split().blind()).embed(make_split().x))
    assert np.array_equal(codes[0].common, codes[1].common)
    assert not np.array_equal(codes[0].salient, codes[1].salient)


@pytest.mark.parametrize("group", [0, 1])
def test_an_empty_group_gives_exact_zeros_and_finite_gradients(group):
    y = torch.full((6,), group)
    generator = torch.Generator().manual_seed(0)
    heads = [torch.randn(6, 4, generator=generator, requires_grad=True) for _ in range(4)]
    terms = sepclr_terms((heads[0], heads[1]), (heads[2], heads[3]), y)
    assert terms["alignment_salient" if group == 0 else "null"].item() == 0
    sum(terms.values()).backward()
    assert all(torch.isfinite(value) for value in terms.values())
    assert all(head.grad.isfinite().all() for head in heads)


def test_background_rows_feel_no_pairwise_term_in_the_salient_space():
    generator = torch.Generator().manual_seed(0)
    c = tuple(torch.randn(6, 4, generator=generator) for _ in range(2))
    s = tuple(torch.randn(6, 3, generator=generator, requires_grad=True) for _ in range(2))
    y = torch.tensor([0, 1, 0, 1, 1, 0])
    terms = sepclr_terms(c, s, y)
    (terms["alignment_salient"] + terms["uniformity_salient"] + terms[JOINT]).backward()
    assert not s[0].grad[y == 0].any() and s[0].grad[y == 1].abs().min() > 0


def test_the_code_is_the_representation_before_the_projector(fitted, make_split):
    split = make_split()
    before = fitted.embed(split.x)
    for name in ("common_head", "salient_head"):
        for parameter in fitted.networks_[name].parameters():
            parameter.data.zero_()
    after = fitted.embed(split.x)
    assert np.array_equal(before.common, after.common) and np.array_equal(before.salient, after.salient)
    assert after.common.shape[1] == 6 and after.salient.shape[1] == 5


def test_both_views_are_drawn_afresh_for_each_image(fitted, make_split):
    """An alignment of exactly 0 would mean that both views were the same draw."""
    batch, generator = batch_of(make_split()), torch.Generator().manual_seed(0)
    first, second = (views(batch.x, fitted.canvas_.augmentation, generator) for _ in range(2))
    assert (first - second).flatten(1).abs().amax(1).min() > 0
    assert fitted.training_loss(batch, draws())["alignment_common"][0] > 0


def test_published_settings():
    paper = SepCLR.settings["paper"]
    assert paper["*"]["backbone"] == "resnet18" and paper["*"]["learning_rate"] == 3e-4
    assert (paper["*"]["epochs"], paper["*"]["batch_size"]) == (250, 512)
    weights = {
        name: tuple((paper["*"] | paper.get(name, {}))[f"{term}_weight"] for term in ("salient", "null"))
        for name in ("cifar_mnist", "celeba_accessories", "chexpert_subtypes", "odir_subtypes")
    }
    assert list(weights.values()) == [(1000, 1000), (1000, 1000), (1, 10), (1, 100)]
