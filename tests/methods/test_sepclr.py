"""SepCLR against METHODS 2.1 and 2.3: slow float64 transcriptions, who sends gradients where, who steps."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from training_step import batch_of, draws, total, touched

from cabench.augment.views import views
from cabench.codes import Batch
from cabench.method import Context
from cabench.methods.sepclr import ESTIMATORS, Heads, SepCLR, sepclr_terms
from cabench.nets.posterior import Posterior

TERMS = ("k_jem", "vclub", "vclub_s", "vl1out", "vub", "tc", "mmd", "hsic")
MODEL = {"common", "common_head", "salient", "salient_head"}
TAU = 0.5


def make(mi_term="k_jem", **changes):
    parameters = {"common_dim": 6, "salient_dim": 5, "epochs": 1, "batch_size": 48} | changes
    return SepCLR(mi_term=mi_term, **parameters)


@pytest.fixture
def fitted(make_split):
    """Give the fitted method with a term."""
    return lambda *args, **changes: make(*args, **changes).fit(make_split().blind(), None, Context())


def history_name(mi_term):
    return "joint_entropy" if mi_term == "k_jem" else mi_term


# --- METHODS 2.1 and 2.3, line by line, on lists of Python floats: one list of rows per view ------


def d2(a, b):
    return sum((p - q) ** 2 for p, q in zip(a, b, strict=True))


def double(values):
    return torch.tensor(values, dtype=torch.float64)


def average(values):
    values = list(values)
    return sum(values) / len(values)


def slow_kernels(a, b):
    """MMD's thirteen kernels, averaged over all pairs."""
    return average(math.exp(-(10.0**p) * d2(u, v)) for u in a for v in b for p in range(-6, 7)) * 13


def slow_dependence(c, s):
    n, tables = len(c), []
    for rows in (c, s):
        squared = [[d2(u, v) for v in rows] for u in rows]
        upper = sorted(squared[i][j] for i in range(n) for j in range(i + 1, n))
        median = upper[(len(upper) - 1) // 2]
        tables.append(double(squared).div(-2 * median).exp())
    centring = torch.eye(n).double() - 1 / n
    return (torch.trace(tables[0] @ centring @ tables[1] @ centring) / (n - 1) ** 2).item()


def slow_bound(mi_term, mean, logvar, s, partners):
    n = len(s)

    def log_q(j, i):
        """log q(s_j | c_i)"""
        parts = zip(s[j], mean[i], logvar[i], strict=True)
        return sum(-((x - m) ** 2) / (2 * math.exp(v)) - (v + math.log(2 * math.pi)) / 2 for x, m, v in parts)

    own = average(log_q(i, i) for i in range(n))
    if mi_term == "vclub":
        return own - average(log_q(j, i) for i in range(n) for j in range(n))
    if mi_term == "vclub_s":
        return own - average(log_q(j, i) for i, j in enumerate(partners))
    if mi_term == "vl1out":
        return own - average(math.log(average(math.exp(log_q(i, j)) for j in range(n) if j != i)) for i in range(n))
    return average(
        sum(m * m + math.exp(v) - 1 - v for m, v in zip(mean[i], logvar[i], strict=True)) / 2 for i in range(n)
    )


def slow_penalty(method, c, zeroed, y, noise):
    """R of one view."""
    term, n = method.mi_term, len(y)
    if term == "k_jem":
        near = [average(math.exp(-(d2(c[i], c[j]) + d2(zeroed[i], zeroed[j]))) for j in range(n)) for i in range(n)]
        return average(math.log(v) for v in near)
    groups = [[c[i] for i in range(n) if y[i] == group] for group in (0, 1)]
    if term == "mmd":
        background, target = groups
        within = slow_kernels(background, background) + slow_kernels(target, target)
        return within - 2 * slow_kernels(background, target)
    counted = [i for i in range(n) if y[i] or method.mi_rows == "all"]
    c, s = [c[i] for i in counted], [zeroed[i] for i in counted]
    if term == "hsic":
        return slow_dependence(c, s)
    network = method.networks_[ESTIMATORS[term]]
    if term == "tc":
        return average(network(double([*a, *b])).item() for a, b in zip(c, s, strict=True))
    mean, logvar = zip(*([z.tolist() for z in network(double(row))] for row in c), strict=True)
    partners = torch.randperm(len(s), generator=noise).tolist() if term == "vclub_s" else None
    return slow_bound(term, mean, logvar, s, partners)


def slow_loss(method, heads_c, heads_s, y, noise):
    n = len(y)
    target, background = [i for i in range(n) if y[i]], [i for i in range(n) if not y[i]]
    common = [[[v / math.sqrt(sum(w * w for w in row)) for v in row] for row in view] for view in heads_c]
    zeroed = [[[v * y[i] for v in row] for i, row in enumerate(view)] for view in heads_s]

    def alignment(a, b, rows):
        return sum(d2(a[i], b[i]) for i in rows) / (2 * TAU) / len(rows)

    def uniformity(a):
        pairs = [math.exp(-d2(a[i], a[j]) / (2 * TAU)) for i in range(n) for j in range(i + 1, n)]
        return math.log(2 / (n * (n - 1)) * sum(pairs))

    l_com = alignment(*common, range(n)) + 2 * (uniformity(common[0]) + uniformity(common[1])) / 2
    l_sal = alignment(*heads_s, target) + 2 * (uniformity(zeroed[0]) + uniformity(zeroed[1])) / 2
    l_null = sum(sum(v * v for v in view[i]) for view in heads_s for i in background)
    l_null = l_null / (2 * TAU) / len(background) / 2
    penalty = average([slow_penalty(method, common[v], zeroed[v], y, noise) for v in range(2)])
    return (
        method.common_weight * l_com
        + method.salient_weight * l_sal
        + method.null_weight * l_null
        + method.mi_weight * penalty
    )


@pytest.mark.parametrize(
    ("mi_term", "mi_rows"),
    [(term, "target") for term in TERMS] + [(term, "all") for term in (*ESTIMATORS, "hsic")],
)
def test_the_whole_loss_equals_a_slow_transcription(mi_term, mi_rows, fitted, make_split):
    method = fitted(mi_term, mi_rows=mi_rows, common_weight=2, salient_weight=3, null_weight=7, mi_weight=11)
    batch = batch_of(make_split(), slice(0, 14))
    method.networks_.double().eval()
    heads = {"common": [], "salient": []}
    for space, seen in heads.items():
        method.networks_[space].register_forward_pre_hook(lambda m, args: args[0].double())
        method.networks_[f"{space}_head"].register_forward_hook(lambda m, i, o, seen=seen: seen.append(o.tolist()))
    loss = total(method.training_loss(batch, draws()))
    expected = slow_loss(method, heads["common"], heads["salient"], batch.y.tolist(), draws().noise)
    assert loss.dtype == torch.float64
    assert loss.item() == pytest.approx(expected, abs=1e-9)


# --- who sends gradients where, and who steps -----------------------------------------------------


@pytest.mark.parametrize("mi_term", TERMS)
def test_only_the_mutual_information_term_couples_the_encoders(mi_term, fitted, make_split):
    method, batch = fitted(mi_term), batch_of(make_split())
    method.networks_.train()
    for name in method.training_loss(batch, draws()):
        reached = touched(method, method.training_loss(batch, draws())[name][0]) & MODEL
        if name != history_name(mi_term):
            space = "common" if "common" in name else "salient"
            assert reached == {space, f"{space}_head"}, name
        elif mi_term in ("vub", "mmd"):
            assert reached == {"common", "common_head"}  # what they measure is in the common code alone
        else:
            assert reached == MODEL


@pytest.mark.parametrize("mi_term", ESTIMATORS)
def test_the_estimators_loss_reaches_the_estimator_alone(mi_term, fitted, make_split):
    method = fitted(mi_term)
    method.networks_.train()
    loss = total(method.estimator_loss(batch_of(make_split()), draws()))
    assert touched(method, loss) == {ESTIMATORS[mi_term]}


@pytest.mark.parametrize("mi_term", ESTIMATORS)
def test_each_player_steps_in_turn_and_moves_only_its_own_networks(mi_term, make_split):
    seen = []

    class Watched(SepCLR):
        name = "watched"

        def note(self, who):
            seen.append((who, {k: v.detach().clone() for k, v in self.networks_.named_parameters()}))

        def estimator_loss(self, batch, draws):
            self.note("estimator")
            return super().estimator_loss(batch, draws)

        def training_loss(self, batch, draws):
            self.note("model")
            return super().training_loss(batch, draws)

    method = Watched(mi_term=mi_term, common_dim=6, salient_dim=5, epochs=1, batch_size=16, inner_steps=2)
    method.fit(make_split().blind(), None, Context())
    assert [who for who, _ in seen] == ["estimator", "estimator", "model"] * 3
    for (who, before), (_, after) in pairwise(seen):
        moved = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
        assert moved == ({ESTIMATORS[mi_term]} if who == "estimator" else MODEL)


def rows_of(y):
    """Return the row numbers of both groups."""
    return Batch.of(torch.empty(len(y)), y).groups


def test_background_rows_feel_no_pairwise_term_in_the_salient_space(fitted):
    generator = torch.Generator().manual_seed(0)
    y = torch.tensor([0, 1, 0, 1, 1, 0])
    heads = [random_heads(y, generator) for _ in range(2)]
    terms = sepclr_terms(*heads, y)
    joint = sum(fitted("k_jem").penalty(view, rows_of(y), draws()) for view in heads)
    (terms["alignment_salient"] + terms["uniformity_salient"] + joint).backward()
    assert not heads[0].s.grad[y == 0].any() and heads[0].s.grad[y == 1].abs().min() > 0


def random_heads(y, generator):
    c = F.normalize(torch.randn(len(y), 6, generator=generator)).requires_grad_()
    s = torch.randn(len(y), 5, generator=generator).requires_grad_()
    return Heads(c, s, s * y[:, None])


# --- the term as a parameter ----------------------------------------------------------------------


@pytest.mark.parametrize("mi_term", ["none", *TERMS])
def test_the_term_stands_in_the_history_under_its_name_and_weight(mi_term, fitted):
    (epoch,) = fitted(mi_term, mi_weight=3.0).history_
    names = {key.removeprefix("train/") for key in epoch if not key.endswith(("/weighted", "/loss"))}
    own = {name for name in names if "/" not in name} - {"alignment_common", "uniformity_common", "null"}
    own -= {"alignment_salient", "uniformity_salient"}
    assert own == (set() if mi_term == "none" else {history_name(mi_term)})
    inner = {"posterior": "negative_log_likelihood", "discriminator": "cross_entropy"}
    estimator = ESTIMATORS.get(mi_term)
    assert names - own == (names - own if estimator is None else names - own | {f"{estimator}/{inner[estimator]}"})
    for name in own:
        assert epoch[f"train/{name}/weighted"] == pytest.approx(3 * epoch[f"train/{name}"], rel=1e-5)


def test_no_term_is_k_jem_of_weight_0_bit_for_bit(make_split):
    split = make_split()
    codes = [make(**changes, epochs=2, batch_size=12).fit(split.blind()).embed(split.x) for changes in
             ({"mi_term": "none"}, {"mi_weight": 0.0})]  # fmt: skip
    assert np.array_equal(codes[0].common, codes[1].common)
    assert np.array_equal(codes[0].salient, codes[1].salient)


def test_without_the_term_the_salient_encoder_does_not_move_the_common_code(make_split):
    codes = []
    for null_weight in (1.0, 500.0):
        method = SepCLR(epochs=2, batch_size=12, null_weight=null_weight, mi_term="none")
        codes.append(method.fit(make_split().blind()).embed(make_split().x))
    assert np.array_equal(codes[0].common, codes[1].common)
    assert not np.array_equal(codes[0].salient, codes[1].salient)


def test_every_term_starts_from_the_same_encoders(make_split):
    starts = []
    for mi_term in ("k_jem", "none", "vclub", "tc"):
        method = make(mi_term, learning_rate=1e-30).fit(make_split().blind())
        starts.append([p for name in sorted(MODEL) for p in method.networks_[name].parameters()])
    # A bias of 0 moves by the learning rate.
    assert all(
        torch.allclose(a, b, rtol=0, atol=1e-28)
        for start in starts[1:]
        for a, b in zip(starts[0], start, strict=True)
    )


@pytest.mark.parametrize("mi_term", [*ESTIMATORS, "hsic"])
def test_background_rows_count_only_if_all_rows_do(mi_term, fitted):
    y = torch.tensor([0, 1, 0, 1, 1, 0])
    for mi_rows in ("target", "all"):
        method, values = fitted(mi_term, mi_rows=mi_rows), []
        for shift in (0.0, 1.0):
            heads = random_heads(y, torch.Generator().manual_seed(0))
            moved = Heads(heads.c + shift * (y == 0)[:, None], heads.s, heads.zeroed)
            values.append(method.penalty(moved, rows_of(y), draws()).item())
        assert (values[0] == values[1]) == (mi_rows == "target")


@pytest.mark.parametrize("mi_term", ESTIMATORS)
def test_inner_rate_and_inner_steps_are_those_of_the_estimator(mi_term, fitted):
    inner, model = fitted(mi_term, inner_rate=0.5, inner_steps=4, learning_rate=1e-4).players()
    assert (inner.name, inner.networks) == (ESTIMATORS[mi_term], (ESTIMATORS[mi_term],))
    assert (inner.learning_rate, inner.steps) == (0.5, 4)
    assert set(model.networks) == MODEL and (model.learning_rate, model.steps) == (1e-4, 1)


def test_the_posterior_learns_the_likelihood_of_target_rows(fitted, make_split):
    method, batch = fitted("vclub"), batch_of(make_split())
    method.networks_.double().eval()
    for space in ("common", "salient"):
        method.networks_[space].register_forward_pre_hook(lambda m, args: args[0].double())
    heads = method.heads(batch, draws())
    expected = []
    for i in np.flatnonzero(batch.y):
        mean, logvar = method.networks_["posterior"](heads.c[i])
        expected.append(-torch.distributions.Normal(mean, (logvar / 2).exp()).log_prob(heads.s[i]).sum().item())
    loss = method.estimator_loss(batch, draws())["negative_log_likelihood"][0]
    assert loss.item() == pytest.approx(average(expected), rel=1e-9)


def test_a_variance_of_the_posterior_keeps_a_floor_whatever_it_learns():
    """All background rows have the salient code 0: a free variance would collapse onto them (METHODS 2.3)."""
    posterior = Posterior(6, 5)
    for parameter in posterior.parameters():
        parameter.data.mul_(1e4)
    _, logvar = posterior(torch.randn(50, 6, generator=torch.Generator().manual_seed(0)))
    assert logvar.exp().min() >= 1e-2 and logvar.exp().max() < 3


# --- empty groups, codes, views, settings ---------------------------------------------------------


@pytest.mark.parametrize("mi_rows", ["target", "all"])
@pytest.mark.parametrize("mi_term", ["none", *TERMS])
@pytest.mark.parametrize("group", [0, 1])
def test_an_empty_group_gives_exact_zeros_and_finite_gradients(mi_term, mi_rows, group, fitted, make_split):
    method, split = fitted(mi_term, mi_rows=mi_rows), make_split()
    method.networks_.train()
    batch = batch_of(split, split.y == group)
    losses = [method.training_loss]
    if mi_term in ESTIMATORS:
        losses.append(method.estimator_loss)
    found = {}
    for loss in losses:
        terms = loss(batch, draws())
        method.networks_.zero_grad(set_to_none=True)
        total(terms).backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in method.networks_.parameters())
        found |= {name: raw.item() for name, (raw, _) in terms.items()}
    assert all(math.isfinite(value) for value in found.values())
    assert found["alignment_salient" if group == 0 else "null"] == 0
    if mi_term == "mmd" or (group == 0 and mi_rows == "target" and mi_term not in ("none", "k_jem")):
        assert found[mi_term] == 0
        assert found.get("negative_log_likelihood", 0) == found.get("cross_entropy", 0) == 0


def test_the_code_is_the_representation_before_the_projector(fitted, make_split):
    method, split = fitted(), make_split()
    before = method.embed(split.x)
    for name in ("common_head", "salient_head"):
        for parameter in method.networks_[name].parameters():
            parameter.data.zero_()
    after = method.embed(split.x)
    assert np.array_equal(before.common, after.common) and np.array_equal(before.salient, after.salient)
    assert after.common.shape[1] == 6 and after.salient.shape[1] == 5


def test_both_views_are_drawn_afresh_for_each_image(fitted, make_split):
    """An alignment of exactly 0 would mean that both views were the same draw."""
    method, batch, generator = fitted(), batch_of(make_split()), torch.Generator().manual_seed(0)
    first, second = (views(batch.x, method.canvas_.augmentation, generator) for _ in range(2))
    assert (first - second).flatten(1).abs().amax(1).min() > 0
    assert method.training_loss(batch, draws())["alignment_common"][0] > 0


def test_published_settings():
    paper = SepCLR.settings["paper"]
    assert paper["*"]["backbone"] == "resnet18" and paper["*"]["learning_rate"] == 3e-4
    assert (paper["*"]["epochs"], paper["*"]["batch_size"]) == (250, 512)
    weights = {
        name: tuple(
            vars(SepCLR(**paper["*"] | paper.get(name, {})))[f"{term}_weight"] for term in ("salient", "null", "mi")
        )
        for name in ("cifar_mnist", "celeba_accessories", "chexpert_subtypes", "odir_subtypes")
    }
    assert list(weights.values()) == [(1000, 1000, 10), (1000, 1000, 10), (1, 10, 10), (1, 100, 10)]
    assert SepCLR().mi_term == "k_jem" and SepCLR().mi_rows == "target"
