"""`cabench show-swaps` and `load_run`, on real runs."""

import io
import itertools
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import PLUGINS
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

import cabench as package
from cabench import registry
from cabench.api import find_run
from cabench.cli.show_swaps import MOST_ROWS
from cabench.codes import Codes
from cabench.errors import UserError
from cabench.method import Context
from cabench.report.swaps import LIMIT, figure, panels, picture, png
from cabench.spec import RunSpec
from cabench.swaps import draw_pairs

TOY = PLUGINS / "toy.py"
SMALL = {"common_dim": 4, "salient_dim": 3, "batch_size": 40}
NAMED = f"cvae[{','.join(f'{k}={v}' for k, v in SMALL.items())}]"
TOYS = ("--plugin", TOY)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A folder of runs: cvae on two data sets, a method that draws no images, and a failure."""
    folder = tmp_path_factory.mktemp("runs") / "results"
    common = {"tier": "smoke", "results": folder, "device": "cpu"}
    package.run(methods=NAMED, datasets="dsprites_grid", **common)
    package.run(methods=f"{NAMED},constant", datasets="toy", seeds="0,1", plugins=[TOY], **common)
    package.run(methods="raising", datasets="toy", plugins=[TOY, PLUGINS / "raising.py"], **common)
    return folder


@pytest.fixture
def own_results(results, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(results, tmp_path / "results")


@pytest.fixture(scope="module")
def toy():
    return registry.get("dataset", "toy", [TOY]).load()()


@pytest.fixture(scope="module")
def spec(results):
    return RunSpec(**find_run("toy-cvae-0", results)["spec"])


@pytest.fixture(scope="module")
def method(results):
    return package.load_run("toy-cvae-0", results)


def test_one_command_draws_a_run(cabench, results, tmp_path):
    out = tmp_path / "new" / "swaps.png"
    done = cabench("show-swaps", "dsprites", "--out", out, "--results", results)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"Written: {out}\n" and not done.stderr
    assert out.stat().st_size < LIMIT
    drawn = np.asarray(Image.open(out).convert("RGB"))
    assert drawn.shape[0] > 600 and drawn.shape[1] > 700
    # The true counterfactuals, in the sixth column, hold white sprites; the background, in the first, does not.
    background, truth = ((drawn[-575:, left : left + 90] > 240).sum() for left in (10, 525))
    assert truth > 1.1 * background


def test_the_number_of_rows_is_the_user_s(cabench, results, tmp_path):
    heights = []
    for rows in (2, 3):
        out = tmp_path / f"{rows}.png"
        done = cabench("show-swaps", "toy-cvae-1", "--out", out, "--results", results, "--rows", rows, *TOYS)
        assert done.returncode == 0, done.stderr
        heights.append(Image.open(out).size[1])
    assert heights[1] - heights[0] == 95


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["toy-cave"], "There is no run 'toy-cave' in results. Did you mean 'toy-cvae'?"),
        (["toy-cvae"], "'toy-cvae' is the beginning of 2 runs, give more of one: toy-cvae-0-"),
        (["toy-constant-0", *TOYS], "'constant' draws no images to swap between; these methods do: "),
        (["toy-raising"], "is not done but failed (RuntimeError: the optimiser diverged)"),
        (["toy-cvae-0"], "There is no dataset 'toy'"),
        (["toy-cvae-0", "--results", "nowhere"], "There are no runs in nowhere"),
        (["toy-cvae-0", "--out", "swaps.jpg"], "The picture is a .png file, not swaps.jpg."),
        (["toy-cvae-0", "--rows", "0"], "0 is not in the range 1<=x<=8"),
        (["toy-cvae-0", "--out", "file/in/it.png", *TOYS], "file/in/it.png could not be written (Not a directory)"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_2(args, sentence, cabench, own_results, tmp_path):
    (tmp_path / "file").touch()
    done = cabench("show-swaps", "--out", "swaps.png", *args)
    assert done.returncode == 2
    assert sentence in done.stderr and "Error: " in done.stderr
    assert "Traceback" not in done.stderr and not list(tmp_path.glob("*.png"))


@pytest.mark.parametrize("damage", ["truncated", "missing", "another's"])
def test_a_model_that_cannot_be_read_is_one_sentence_with_the_way_out(damage, cabench, own_results):
    folder = own_results / "runs" / find_run("toy-cvae-0", own_results)["run_id"]
    model = folder / "model.safetensors"
    if damage == "truncated":
        model.write_bytes(model.read_bytes()[:-100])
    elif damage == "missing":
        model.unlink()
    else:
        other = find_run("toy-constant-0", own_results)["run_id"]
        shutil.copy(own_results / "runs" / other / model.name, model)
    done = cabench("show-swaps", "toy-cvae-0", "--out", "swaps.png", *TOYS)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "holds no model of 'cvae'" in done.stderr
    assert f"remove {folder.relative_to(own_results.parent)}" in done.stderr


def test_a_loaded_run_gives_the_codes_of_the_fit_bit_for_bit(method, spec, toy):
    splits = toy.load(tier="smoke")
    fitted = package.load_method("cvae", tier="smoke", dataset="toy", **SMALL)
    fitted.fit(splits.train.blind(), splits.validation.blind(), Context(threads=1))  # as a cell does
    loaded, own = (m.embed(splits.test.x) for m in (method, fitted))
    assert np.array_equal(loaded.common, own.common) and np.array_equal(loaded.salient, own.salient)
    assert {name: getattr(method, name) for name in spec.params} == dict(spec.params)


def test_a_run_is_found_by_its_whole_name(results):
    record = find_run("toy-constant-0", results)
    assert find_run(record["run_id"], results) == record
    assert package.load_run(record["run_id"], results).name == "constant"


def test_a_run_that_kept_no_model_says_why(own_results):
    from cabench.store import Store

    record = find_run("toy-cvae-0", own_results)
    Store(own_results).write(record | {"training": record["training"] | {"unsaved": "it learned a set"}})
    with pytest.raises(UserError, match=r"kept no model: it learned a set\.$"):
        package.load_run("toy-cvae-0", own_results)


def test_the_truth_beside_a_swap_is_the_renderer_s(toy, spec):
    n = toy.sizes["smoke"][2]
    test, pairs = toy.load(tier="smoke").test, draw_pairs(toy, spec, 5)
    assert len(pairs.background) == len(pairs.target) == len(pairs.truth) == 5
    for background, target, truth in zip(pairs.background, pairs.target, pairs.truth, strict=True):
        (b,), (t,) = (np.flatnonzero((test.x == image).all((1, 2, 3))) for image in (background, target))
        assert test.y[b] == 0 and test.y[t] == 1
        wear = np.where(np.arange(n) == b, t, np.arange(n))
        assert np.array_equal(toy.synthetic(n, toy.part_seed("test"), "test", wear).x[b], truth)


def test_every_method_and_seed_is_shown_the_same_pairs(toy, spec):
    first, second = (draw_pairs(toy, replace(spec, method=name, seed=s), 5) for name, s in (("a", 0), ("b", 3)))
    assert np.array_equal(first.background, second.background) and np.array_equal(first.target, second.target)


@pytest.mark.parametrize("why", ["real", "no counterfactuals"])
def test_pairs_without_a_known_truth_come_from_the_test_split(why, toy, spec):
    splits, asked = toy.load(tier="smoke"), []
    x, y = splits.test.x[5:], splits.test.y[5:]  # 27 of background, 28 of target

    def synthetic(n, seed, part):
        raise AssertionError("not asked for here")

    dataset = SimpleNamespace(
        synthetic=synthetic,
        load=lambda **kwargs: asked.append(kwargs) or SimpleNamespace(test=SimpleNamespace(x=x, y=y)),
    )
    source = "real" if why == "real" else "synthetic"
    pairs = draw_pairs(dataset, replace(spec, source=source), 100, root="there")
    assert asked == [{"source": source, "root": "there", "tier": "smoke"}]
    assert pairs.truth is None and len(pairs.background) == len(pairs.target) == 27
    rows = {image.tobytes() for image in x[y == 0]}
    assert {image.tobytes() for image in pairs.background} == rows


def test_the_columns_are_what_the_method_draws(method, toy, spec):
    pairs = draw_pairs(toy, spec, 4)
    (background, target, swaps, bare) = panels(method, pairs)
    b, t = method.embed(pairs.background), method.embed(pairs.target)
    zeros = np.zeros_like(t.salient)
    np.testing.assert_array_equal(background["background"], pairs.background / np.float32(255))
    np.testing.assert_array_equal(background["reconstructed"], method.decode(Codes(b.common, zeros)))
    np.testing.assert_array_equal(target["target"], pairs.target / np.float32(255))
    np.testing.assert_array_equal(target["reconstructed"], method.decode(t))
    swapped, truth = swaps.values()
    np.testing.assert_array_equal(swapped, method.decode(Codes(b.common, t.salient)))
    np.testing.assert_array_equal(truth, pairs.truth / np.float32(255))
    np.testing.assert_array_equal(*bare.values(), method.decode(Codes(t.common, zeros)))
    assert len(panels(method, replace(pairs, truth=None))[2]) == 1


SHAPES = {"grey": (1, 96, 96), "colour": (3, 128, 128), "volume": (1, 8, 16, 16)}


def noise(kind, n):
    groups = [2, 2, 2, 1]
    rng = np.random.default_rng(0)
    titles = iter(["background", "reconstructed", "target", "again", "background with\ntarget's salient", "b", "c"])
    return [{next(titles): rng.random((n, *SHAPES[kind])) for _ in range(k)} for k in groups]


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("letters", [20, 400])
def test_nothing_in_the_picture_overlaps_or_is_cut_off(kind, letters):
    made = figure(noise(kind, 3), "on cifar " * (letters // 9))
    FigureCanvasAgg(made).draw()
    boxes = [t.get_window_extent() for t in made.texts] + [a.get_window_extent() for a in made.axes]
    assert len(boxes) == 1 + 7 + 21
    for a, b in itertools.combinations(boxes, 2):
        assert not a.overlaps(b)
    for box in boxes:
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= made.bbox.x1 and box.y1 <= made.bbox.y1


@pytest.mark.parametrize("kind", SHAPES)
def test_the_largest_picture_of_noise_stays_below_300_kb(kind):
    packed = png(figure(noise(kind, MOST_ROWS), "noise"))
    assert len(packed) <= LIMIT == 300_000
    assert Image.open(io.BytesIO(packed)).size[1] > 800


def test_a_volume_is_shown_by_its_middle_slice_upright():
    volume = np.random.default_rng(0).random((1, 5, 4, 6))
    assert np.array_equal(picture(volume), volume[0, 2, ::-1])
    assert picture(np.zeros((3, 4, 6))).shape == (4, 6, 3) and picture(np.zeros((1, 4, 6))).shape == (4, 6)
