"""The sRB-VAE against METHODS 2.8."""

import math

import pytest
import torch
from training_step import batch_of, draws, total, touched, touched_by_players

from cabench.api import load_method
from cabench.augment.views import whole
from cabench.codes import Batch
from cabench.methods.srb_vae import SRBVAE

SMALL = {"common_dim": 6, "salient_dim": 5, "epochs": 1, "batch_size": 12}
C, S = 6, 5
D_B, D_T = "discriminator_background", "discriminator_target"


def built(make_split, **params):
    method = SRBVAE(**SMALL | params)
    method.epochs = 0
    return method.fit(make_split().blind())


@pytest.fixture
def untrained(make_split):
    return built(make_split)


@pytest.fixture(scope="module")
def native(make_split):
    return built(make_split, track="native")


@pytest.fixture
def batch(make_split):
    return batch_of(make_split(n=20, share=0.35).blind())


def only(batch, group):
    rows = batch.y == group
    return Batch.of(batch.x[rows], batch.y[rows])


def gradients(method, loss):
    method.networks_.zero_grad(set_to_none=True)
    loss.backward()
    return {
        name: torch.cat(
            [torch.zeros(p.numel()) if p.grad is None else p.grad.flatten() for p in network.parameters()]
        )
        for name, network in method.networks_.items()
    }


def softplus(value):
    return max(value, 0) + math.log1p(math.exp(-abs(value)))


def transcribed(method, batch, seed):
    """Return the terms a..f of METHODS 2.8, image by image, over the batch size, and the mean log-ratios."""
    networks, noise = method.networks_.eval(), torch.Generator().manual_seed(seed)
    n, x, r = len(batch.x), whole(batch.x, 16), method.networks_["reference"].vector
    noise_c, noise_s = torch.randn(n, C, generator=noise), torch.randn(n, S, generator=noise)
    prior = torch.randn(n, C + S, generator=noise)
    again_c, again_s = torch.randn(n, C, generator=noise), torch.randn(n, S, generator=noise)

    def sample(image, noise_c, noise_s):
        (mc, vc), (ms, vs) = (networks[space](image)[0].split(k) for space, k in (("common", C), ("salient", S)))
        return mc + (vc / 2).exp() * noise_c, ms + (vs / 2).exp() * noise_s

    def decode(c, s):
        return networks["decoder"](torch.cat([c, s])[None])

    def logit(image, c, s, y):
        if y:
            return float(networks[D_T](image, torch.cat([c, s])[None]))
        return float(networks[D_B](image, c[None]))

    def squares(a, b):
        return float((a.double() - b.double()).square().sum()) / n

    terms = dict.fromkeys(("cross_entropy", "ratio_data", "ratio_drawn", "reconstruction", "latent"), 0.0)
    for i in range(n):
        y, image = int(batch.y[i]), x[i : i + 1]
        c, s = sample(image, noise_c[i], noise_s[i])
        z_c, z_s = prior[i, :C], prior[i, C:]
        if not y:
            s = z_s = r
        drawn = decode(z_c, z_s)
        real, fake = logit(image, c, s, y), logit(drawn, z_c, z_s, y)
        terms["cross_entropy"] += (softplus(real) + softplus(-fake)) / n
        terms["ratio_data"] -= real / n
        terms["ratio_drawn"] += fake / n
        terms["reconstruction"] += squares(decode(c, s), image)
        read_c, read_s = sample(drawn, again_c[i], again_s[i])
        terms["latent"] += squares(read_c, z_c) + (squares(read_s, z_s) if y else 0.0)
    return terms


@pytest.mark.parametrize("objective", ["adversarial", "official_joint"])
def test_the_loss_equals_a_transcription_per_image(objective, make_split, batch):
    method = SRBVAE(objective=objective, **SMALL).fit(make_split().blind())
    with torch.no_grad():
        expected = transcribed(method, batch, seed=3)
        terms = method.training_loss(batch, draws(3))
    adversarial = {"adversarial": {"ratio_data", "ratio_drawn"}, "official_joint": {"cross_entropy"}}[objective]
    assert set(terms) == adversarial | {"reconstruction", "latent"}
    for name, (raw, _) in terms.items():
        assert raw.item() == pytest.approx(expected[name], rel=1e-5, abs=1e-6), name


def test_the_discriminators_loss_equals_a_transcription_per_image(make_split, batch):
    method = SRBVAE(**SMALL).fit(make_split().blind())
    with torch.no_grad():
        expected = transcribed(method, batch, seed=3)["cross_entropy"]
        assert method.discriminator_loss(batch, draws(3))["cross_entropy"][0].item() == pytest.approx(
            expected, rel=1e-5
        )


def test_each_players_step_sends_gradients_to_its_own_networks_alone(untrained, batch):
    own = {"discriminator": {D_B, D_T}, "model": {"common", "salient", "decoder", "reference"}}
    players = untrained.players()
    assert [player.name for player in players] == list(own)
    for player in players:
        assert set(player.networks) == own[player.name]
        untrained.networks_.requires_grad_(False)
        for name in player.networks:
            untrained.networks_[name].requires_grad_(True)
        assert touched(untrained, total(player.loss(batch, draws()))) == own[player.name]


def test_the_discriminators_loss_goes_back_to_no_other_network(untrained, batch):
    assert touched(untrained, total(untrained.discriminator_loss(batch, draws()))) == {D_B, D_T}


def test_the_released_objective_has_one_player_for_all_networks(make_split):
    (player,) = built(make_split, objective="official_joint").players()
    assert set(player.networks) == {"common", "salient", "decoder", "reference", D_B, D_T}


@pytest.mark.parametrize(
    ("term", "networks"),
    [
        ("ratio_data", {"common", "salient", D_B, D_T}),
        ("ratio_drawn", {"decoder", "reference", D_B, D_T}),
        ("reconstruction", {"common", "salient", "decoder", "reference"}),
        ("latent", {"common", "salient", "decoder", "reference"}),
    ],
)
def test_a_term_reaches_its_side_of_the_divergence(term, networks, untrained, batch):
    assert touched(untrained, untrained.training_loss(batch, draws())[term][0]) == networks


def test_background_never_moves_the_salient_encoder(untrained, batch):
    loss = total(untrained.training_loss(only(batch, 0), draws()))
    assert touched(untrained, loss) == {"common", "decoder", "reference", D_B}


def test_targets_never_move_the_reference(untrained, batch):
    loss = total(untrained.training_loss(only(batch, 1), draws()))
    assert touched(untrained, loss) == {"common", "salient", "decoder", D_T}


@pytest.mark.parametrize("objective", ["adversarial", "official_joint"])
@pytest.mark.parametrize("group", [0, 1])
def test_without_one_group_losses_and_gradients_are_finite(group, objective, make_split, batch):
    method = built(make_split, objective=objective)
    method.networks_.train()
    for player in method.players():
        terms = player.loss(only(batch, group), draws())
        assert all(torch.isfinite(raw) for raw, _ in terms.values())
        touched(method, total(terms))
    assert all(torch.isfinite(value).all() for value in method.networks_.state_dict().values())


def test_the_model_works_against_its_discriminators_and_in_the_released_objective_for_them(make_split, batch):
    def agreement(objective):
        method = built(make_split, objective=objective)
        method.networks_.eval()
        terms = method.training_loss(batch, draws())
        adversarial = sum(raw for name, (raw, _) in terms.items() if name not in ("reconstruction", "latent"))
        ours = gradients(method, adversarial)
        data, drawn = method.of_data(batch, noise := draws()), method.of_prior(batch.y == 1, noise)
        theirs = gradients(method, method.cross_entropy(data, drawn, batch.groups))
        model = ("common", "salient", "decoder")
        return [torch.nn.functional.cosine_similarity(ours[name], theirs[name], dim=0).item() for name in model]

    assert agreement("official_joint") == pytest.approx([1, 1, 1], abs=1e-4)
    assert max(agreement("adversarial")) < -0.9


def test_background_images_are_decoded_from_the_reference(untrained, batch):
    inputs = []
    untrained.networks_["decoder"].register_forward_pre_hook(lambda module, args: inputs.append(args[0]))
    untrained.training_loss(batch, draws())
    reference = untrained.networks_["reference"].vector
    assert len(inputs) == 2
    for codes in inputs:
        own = (codes[:, C:] == reference).all(1)
        assert own.tolist() == (batch.y == 0).tolist()


def test_the_background_discriminator_sees_no_salient_code(untrained, batch):
    widths = {}

    def watch(name):
        network = untrained.networks_[name]
        network.register_forward_pre_hook(lambda module, args: widths.update({name: args[1].shape}))

    watch(D_B)
    watch(D_T)
    untrained.training_loss(batch, draws())
    assert widths == {D_B: (13, C), D_T: (7, C + S)}


def test_the_reference_is_drawn_from_the_unit_cube_trained_saved_and_used_for_swaps(make_split):
    split = make_split()
    vector = built(make_split).networks_["reference"].vector
    assert vector.min() >= 0 and vector.max() < 1
    method = SRBVAE(**SMALL).fit(split.blind())
    trained = method.networks_["reference"].vector
    assert (trained != vector).all()
    copy = SRBVAE(**SMALL).restore(method.state())
    assert torch.equal(copy.null_code(3), trained.expand(3, -1))
    codes = method.embed(split.x[:3])
    _, without = method.swap(split.x[:3], split.x[:3])
    with torch.no_grad():
        expected = method.generate(torch.from_numpy(codes.common), trained.expand(3, -1))
    torch.testing.assert_close(torch.from_numpy(without), expected)


def test_codes_are_posterior_means_of_background_too(untrained, make_split):
    split = make_split()
    codes = untrained.embed(split.x)
    with torch.no_grad():
        salient = untrained.networks_["salient"](whole(torch.from_numpy(split.x), 16))[:, :S]
    torch.testing.assert_close(torch.from_numpy(codes.salient), salient)


def test_running_statistics_of_encoders_and_decoder_are_those_of_the_data_alone(untrained, batch):
    def statistics():
        return {
            k: v.clone() for k, v in untrained.networks_.state_dict().items() if "running" in k and "discr" not in k
        }

    untrained.networks_.train()
    before = statistics()
    untrained.latent_error(untrained.of_prior(batch.y == 1, draws()), batch.y == 1, draws())
    assert all(torch.equal(value, before[key]) for key, value in statistics().items())
    untrained.training_loss(batch, draws())
    assert not any(torch.equal(value, before[key]) for key, value in statistics().items())


def test_weights_weigh_their_terms(make_split, batch):
    for objective, adversarial in (
        ("adversarial", {"ratio_data", "ratio_drawn"}),
        ("official_joint", {"cross_entropy"}),
    ):
        method = built(make_split, objective=objective, adversarial_weight=2.0, latent_weight=3.0)
        weights = {name: weight for name, (_, weight) in method.training_loss(batch, draws()).items()}
        assert weights == dict.fromkeys(adversarial, 2.0) | {"reconstruction": 1.0, "latent": 3.0}


def test_the_discriminators_have_their_own_rate(make_split):
    method = built(make_split, discriminator_rate=0.5, learning_rate=0.25)
    assert [player.learning_rate for player in method.players()] == [0.5, 0.25]


def test_published_settings():
    method = load_method("srb_vae", tier="paper", dataset="celeba_accessories")
    assert (method.common_dim, method.salient_dim, method.batch_size, method.epochs) == (16, 6, 128, 100)
    assert (method.adversarial_weight, method.latent_weight, method.learning_rate) == (1, 1, 1e-3)


def test_the_native_networks_step_like_the_matched_ones(native, batch):
    few = Batch.of(batch.x[:6], torch.tensor([0, 1, 0, 1, 0, 1]))
    own = {"discriminator": {D_B, D_T}, "model": {"encoder", "decoder", "reference"}}
    assert touched_by_players(native, few) == own


def test_the_native_trunk_reads_both_codes_and_images_have_side_64(native, make_split):
    split = make_split(n=4)
    codes, drawn = native.embed(split.x), native.decode(native.embed(split.x))
    with torch.no_grad():
        both = native.networks_["encoder"](whole(torch.from_numpy(split.x), 64))
    assert both.shape == (4, 2 * (C + S))
    torch.testing.assert_close(
        torch.cat([torch.from_numpy(codes.common), torch.from_numpy(codes.salient)], 1), both[:, : C + S]
    )
    assert drawn.shape == (4, 3, 64, 64) and 0 <= drawn.min() <= drawn.max() <= 1


def test_only_the_matched_discriminators_see_which_code_belongs_to_an_image(native, untrained):
    def lost_by_swapping(method):
        random = torch.Generator().manual_seed(0)
        images = 30 * torch.randn(2, 3, method.canvas_.size, method.canvas_.size, generator=random)
        codes = 30 * torch.randn(2, C + S, generator=random)
        discriminator = method.networks_.eval()[D_T]
        with torch.no_grad():
            own, others = discriminator(images, codes), discriminator(images, codes.flip(0))
        return abs(own.sum() - others.sum()) / own.abs().sum()

    assert lost_by_swapping(native) < 1e-5
    assert lost_by_swapping(untrained) > 1e-3


def test_volumes_train_in_both_tracks(make_split):
    split = make_split("volume", n=24)
    method = SRBVAE(**SMALL).fit(split.blind())
    assert method.decode(method.embed(split.x[:3])).shape == (3, 1, 16, 16, 16)
    native = SRBVAE(track="native", **SMALL)
    native.epochs = 0
    native.fit(split.blind())
    assert native.decode(native.embed(split.x[:1])).shape == (1, 1, 64, 64, 64)
