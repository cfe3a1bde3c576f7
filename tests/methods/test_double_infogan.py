"""Double InfoGAN against METHODS 2.10."""

import math
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from training_step import batch_of, draws, total, touched, touched_by_players

from cabench.api import load_method
from cabench.augment.views import Canvas, whole
from cabench.codes import Augmentation, Batch
from cabench.methods.double_infogan import DoubleInfoGAN
from cabench.nets.dcgan import Generator, NoisyDiscriminator

SMALL = {"common_dim": 6, "salient_dim": 5, "epochs": 1, "batch_size": 12}
C, S = 6, 5


@pytest.fixture
def fitted(make_split):
    return DoubleInfoGAN(cr_weight=1.0, **SMALL).fit(make_split().blind())


@pytest.fixture
def untrained(make_split):
    return built(make_split, cr_weight=1.0)


@pytest.fixture(scope="module")
def native(make_split):
    return built(make_split, cr_weight=1.0, track="native")


@pytest.fixture
def batch(make_split):
    return batch_of(make_split(n=20, share=0.35).blind())


def built(make_split, **params):
    method = DoubleInfoGAN(**SMALL | params)
    method.epochs = 0
    return method.fit(make_split().blind())


def only(batch, group):
    rows = batch.y == group
    return Batch.of(batch.x[rows], batch.y[rows])


def softplus(value):
    return max(value, 0) + math.log1p(math.exp(-abs(value)))


def transcribed(method, batch, seed):
    """Return the losses of METHODS 2.10 of (generator, discriminator), image by image; without CR."""
    networks, noise = method.networks_.eval(), torch.Generator().manual_seed(seed)
    n = len(batch.x)
    prior_c, prior_s = torch.randn(2 * n, C, generator=noise), torch.randn(2 * n, S, generator=noise)
    x = whole(batch.x, 16)

    def generator(c, s):
        return networks["decoder"](torch.cat([c, s])[None])

    def discriminator(image):
        common, salient = networks["common"](image)[0].double(), networks["salient"](image)[0].double()
        return common[:C], salient[:S], float(common[C] + salient[S]), float(salient[S + 1])

    def cross_entropy(logit, truth):
        return softplus(-logit) if truth else softplus(logit)

    def l1(a, b):
        return float((a.double() - b.double()).abs().mean())

    halves = {0: 0.5, 1: 1.0}
    loss = {"generator": 0.0, "discriminator": 0.0}
    for y in (0, 1):
        for i in range(n):
            c, s = prior_c[y * n + i], prior_s[y * n + i] * y
            fake = generator(c, s)
            c_hat, s_hat, real, target = discriminator(fake)
            info = l1(c_hat, c) + l1(s_hat, s)
            loss["generator"] += halves[y] / n * (0.5 * softplus(-real) + 0.5 * cross_entropy(target, y) + info)
            loss["discriminator"] += halves[y] / n * (0.5 * softplus(real) + info)
        rows = [i for i in range(n) if batch.y[i] == y]
        for i in rows:
            c_hat, s_hat, real, target = discriminator(x[i : i + 1])
            rebuilt = generator(c_hat.float(), s_hat.float() * y)
            error = l1(2 * rebuilt - 1, 2 * x[i : i + 1] - 1)
            own = 0.5 * softplus(-real) + 0.5 * cross_entropy(target, y)
            loss["generator"] += halves[y] / len(rows) * error
            loss["discriminator"] += halves[y] / len(rows) * (error + own)
            if y == 0:
                loss["discriminator"] += float(s_hat.abs().mean()) / len(rows)
    return loss


def test_both_losses_equal_a_transcription_per_image(fitted, batch):
    with torch.no_grad():
        expected = transcribed(fitted, batch, seed=3)
        generator = fitted.generator_loss(batch, draws(3))
        generator.pop("cr")
        assert total(generator).item() == pytest.approx(expected["generator"], rel=1e-5)
        assert total(fitted.training_loss(batch, draws(3))).item() == pytest.approx(
            expected["discriminator"], rel=1e-5
        )


def test_each_players_step_sends_gradients_to_its_own_networks_alone(untrained, batch):
    own = {"generator": {"decoder"}, "cr": {"cr"}, "discriminator": {"common", "salient"}}
    players = untrained.players()
    assert [player.name for player in players] == list(own)
    for player in players:
        assert set(player.networks) == own[player.name]
        untrained.networks_.requires_grad_(False)
        for name in player.networks:
            untrained.networks_[name].requires_grad_(True)
        assert touched(untrained, total(player.loss(batch, draws()))) == own[player.name]


@pytest.mark.parametrize(
    ("term", "networks"),
    [
        ("adversarial", {"common", "salient"}),
        ("class", {"salient"}),
        ("info_common", {"common"}),
        ("info_salient", {"salient"}),
        ("reconstruction", {"common", "salient", "decoder"}),
        ("null", {"salient"}),
    ],
)
def test_a_term_of_the_discriminator_reaches_the_encoders_that_it_reads(term, networks, untrained, batch):
    assert touched(untrained, untrained.training_loss(batch, draws())[term][0]) == networks


@pytest.mark.parametrize("term", ["adversarial", "class", "info_common", "info_salient", "reconstruction", "cr"])
def test_every_term_of_the_generator_reaches_the_generator(term, untrained, batch):
    assert "decoder" in touched(untrained, untrained.generator_loss(batch, draws())[term][0])


def test_background_sends_the_salient_code_no_error_of_images(untrained, batch):
    terms = untrained.training_loss(only(batch, 0), draws())
    assert touched(untrained, terms["reconstruction"][0]) == {"common", "decoder"}


@pytest.mark.parametrize("group", [0, 1])
def test_without_one_group_losses_and_gradients_are_finite(group, untrained, batch):
    there = only(batch, group)
    for player in untrained.players():
        terms = player.loss(there, draws())
        assert all(torch.isfinite(raw) for raw, _ in terms.values())
        touched(untrained, total(terms))


def test_without_background_its_term_is_exactly_zero_and_on_the_graph(untrained, batch):
    null, _ = untrained.training_loss(only(batch, 1), draws())["null"]
    assert null.item() == 0
    assert touched(untrained, null) == set()


def test_drawn_background_images_have_a_salient_code_of_zero_and_each_group_the_size_of_the_batch(untrained):
    fakes = untrained.fakes(7, draws())
    assert fakes.y.tolist() == [0] * 7 + [1] * 7
    assert not fakes.s[:7].any() and fakes.s[7:].abs().amin() > 0
    assert len(fakes.images) == 14


def test_running_statistics_are_those_of_the_data_alone(untrained, batch):
    twin = deepcopy(untrained.networks_).train()
    untrained.networks_.train()
    untrained.training_loss(batch, draws())
    x = whole(batch.x, 16)
    twin["decoder"](torch.cat([twin["common"](x)[:, :C], twin["salient"](x)[:, :S] * batch.y[:, None]], 1))
    for name in ("common", "salient", "decoder"):
        for key, value in twin[name].state_dict().items():
            if "running" in key:
                torch.testing.assert_close(untrained.networks_[name].state_dict()[key], value, msg=f"{name}.{key}")


def test_a_hopeless_discriminator_keeps_a_gradient(untrained, batch, monkeypatch):
    heads = untrained.heads
    monkeypatch.setattr(untrained, "heads", lambda x, noise: replace(heads(x, noise), real=logits))
    logits = torch.full((2 * len(batch.x),), -200.0, requires_grad=True)
    with monkeypatch.context() as context:
        context.setattr(untrained, "rebuilt_error", lambda data, x, y: x.sum() * 0)
        raw, _ = untrained.generator_loss(batch, draws())["adversarial"]
    raw.backward()
    assert raw.item() == pytest.approx(1.5 * 200)
    assert logits.grad.sum().item() == pytest.approx(-1.5)


def test_the_pairs_of_the_cr_network_share_all_of_c_and_the_one_salient_unit_to_be_named(untrained, batch):
    codes = []

    class Oracle(torch.nn.Module):
        def forward(self, pairs):
            assert pairs.shape[1] == 6
            first, second = codes[-1].chunk(2)
            assert torch.equal(first[:, :C], second[:, :C])
            same = first[:, C:] == second[:, C:]
            assert same.sum(1).tolist() == [1] * len(first)
            return 100.0 * same

    untrained.networks_["decoder"].register_forward_pre_hook(lambda module, args: codes.append(args[0]))
    untrained.networks_["cr"] = Oracle()
    assert untrained.cr_loss(batch, draws())["cross_entropy"][0].item() == pytest.approx(0, abs=1e-6)


def test_weights_weigh_their_terms(untrained, batch):
    names = ("adversarial", "class", "info", "reconstruction", "null", "cr")
    for k, name in enumerate(names):
        setattr(untrained, f"{name}_weight", k + 2.0)
    terms = untrained.training_loss(batch, draws()) | untrained.generator_loss(batch, draws())
    assert {name: weight for name, (_, weight) in terms.items()} == {
        "adversarial": 2,
        "class": 3,
        "info_common": 4,
        "info_salient": 4,
        "reconstruction": 5,
        "null": 6,
        "cr": 7,
    }


def test_the_background_share_weighs_background_images_in_every_term_but_the_null_term(untrained, batch):
    def terms(group, share):
        untrained.networks_.eval()
        untrained.background_share = share
        return untrained.training_loss(only(batch, group), draws())

    for name in ("class", "reconstruction"):
        assert terms(0, 0.0)[name][0].item() == 0
        assert terms(0, 3.0)[name][0].item() == pytest.approx(3 * terms(0, 1.0)[name][0].item())
        assert terms(1, 3.0)[name][0].item() == terms(1, 0.0)[name][0].item()
    assert terms(0, 0.0)["null"][0].item() == terms(0, 3.0)["null"][0].item() > 0


def test_the_cr_network_is_there_when_it_weighs_something(make_split):
    method = built(make_split, generator_steps=2)
    assert set(method.networks_) == {"common", "salient", "decoder"}
    assert [(player.name, player.steps) for player in method.players()] == [("generator", 2), ("discriminator", 1)]


def test_adam_forgets_fast_as_published(untrained):
    assert {player.betas for player in untrained.players()} == {(0.5, 0.999)}


def test_published_settings():
    def paper(dataset):
        method = load_method("double_infogan", tier="paper", dataset=dataset)
        return (
            method.common_dim,
            method.salient_dim,
            method.learning_rate,
            method.generator_steps,
            method.cr_weight,
            method.batch_size,
        )

    assert paper("cifar_mnist") == (64, 64, 2e-4, 1, 0, 128)
    assert paper("celeba_accessories") == (95, 5, 2e-4, 1, 0, 128)
    assert paper("dsprites_grid") == (95, 15, 5e-5, 2, 1, 128)
    assert paper("schizophrenia_mri") == (95, 15, 1e-4, 1, 1, 32)
    method = DoubleInfoGAN()
    weights = ("adversarial", "class", "info", "reconstruction", "null", "cr")
    assert [getattr(method, f"{name}_weight") for name in weights] == [0.5, 0.5, 1, 1, 1, 0]
    assert method.background_share == 0.5


def test_the_native_networks_step_like_the_matched_ones(native, batch):
    few = Batch.of(batch.x[:4], torch.tensor([0, 1, 0, 1]))
    own = {"generator": {"decoder"}, "cr": {"cr"}, "discriminator": {"discriminator"}}
    assert touched_by_players(native, few) == own


def test_native_images_have_side_64_and_lie_between_0_and_1(native, make_split):
    codes = native.embed(make_split(n=4).x)
    assert codes.common.shape == (4, C) and codes.salient.shape == (4, S)
    drawn = native.decode(codes)
    assert drawn.shape == (4, 3, 64, 64) and 0 <= drawn.min() <= drawn.max() <= 1


def test_the_native_discriminator_is_noisy_in_training_only(native):
    x = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))

    def real(seed, train):
        native.networks_.train(train)
        return native.heads(x, draws(seed).noise).real.tolist()

    assert real(1, True) == real(1, True) != real(2, True)
    assert real(1, False) == real(2, False)


def test_the_native_networks_see_images_between_minus_1_and_1():
    grey = torch.full((2, 3, 64, 64), 0.5)
    net = NoisyDiscriminator(3, 2, (1, 1, C, S), 0.2).eval()
    # There is no bias: the middle grey of an image is the 0 that nothing answers to.
    assert not net(grey, None).any() and net(grey + 0.1, None).any()


def test_native_volumes_have_side_64():
    view = Canvas(1, 64, 3, Augmentation(size=64))
    with torch.no_grad():
        volumes = Generator(view, C + S)(torch.zeros(2, C + S))
        out = NoisyDiscriminator(1, 3, (1, 1, C, S), 0.2).eval()(volumes, None)
    assert volumes.shape == (2, 1, 64, 64, 64) and out.shape == (2, 2 + C + S)


def test_volumes_train_in_the_matched_track(make_split):
    split = make_split("volume")
    method = DoubleInfoGAN(cr_weight=1.0, **SMALL).fit(split.blind())
    assert method.decode(method.embed(split.x[:3])).shape == (3, 1, 16, 16, 16)
