"""check_method: an honest method passes; broken in one place, it is told which rule it breaks."""

import itertools
from pathlib import Path

import pytest
import torch

from cabench import registry
from cabench.testing import RULES, check_method, tiny_split
from cabench.testing.world import world_state

ROOT = Path(__file__).resolve().parents[2]
FIT = "        rng = numpy_stream("
CHECK = """        if len(set(train.y)) < 2:
            raise UserError("'honest' needs background and target images.")
"""
numbers = itertools.count()


@pytest.fixture
def broken(plugins, tmp_path):
    """Return the honest method, or another file's, with some text of its source replaced."""

    def make(*changes, file=plugins / "honest.py"):
        source = file.read_text()
        for old, new in zip(changes[::2], changes[1::2], strict=True):
            assert old in source
            source = source.replace(old, new)
        copy = tmp_path / f"broken_{next(numbers)}.py"
        copy.write_text(source)
        return registry.read("method", copy).load()

    return make


def before(place, line):
    return place, f"        {line}\n{place}"


def test_an_honest_method_passes(broken):
    check_method(broken())


def test_parameters_of_the_caller_are_kept(broken):
    seen = broken(*before(FIT, "self.seen_.append((self.origin, self.common_dim, self.salient_dim))"))
    seen.seen_ = []
    check_method(seen, origin="background", common_dim=3)
    assert seen.seen_[0] == ("background", 3, 5)


BREAKS = {
    "card": [
        ('    paper = ""\n', ""),
        ('title = "Random projections"', 'title = "Random " + "projections"'),
        ('title = "Random projections"', 'title = ""'),
        ('    name = "honest"', '    name: str = "honest"'),
        ('kind = "linear"', 'kind = "magic"'),
        ('supervision = "domain"', 'supervision = "domian"'),
        ("    settings =", '    role = "flor"\n    settings ='),
    ],
    "settings": [
        ('{"smoke"', '{"smok"'),
        ('"common_dim": 2', '"comon_dim": 2'),
        ('"common_dim": 2', '"common_dim": 0'),
    ],
    "parameters": [
        ("count(4)", "4"),
        ("def fit(", "def __post_init__(self):\n        self.common_dim = 3\n\n    def fit("),
        ("(1 - self.shrinkage) * ", ""),
        ("choice(", 'choice("nothing", '),
        ("self.salient_dim))", "5))"),
        ('if self.origin == "background":', 'if self.origin == "background" and self.shrinkage / 0:'),
        ('if self.origin == "background":', 'if self.origin == "background" and self.gone:'),
        before(FIT, 'if self.origin != "zero":\n            raise UserError("No.")'),
    ],
    "shapes": [
        ("pixels @ self.common_,", "(pixels @ self.common_).astype(float),"),
        ("pixels @ self.common_,", "(pixels @ self.common_)[:, 0],"),
        ("pixels @ self.common_,", "pixels @ self.common_ * np.nan,"),
        ("return Codes(pixels @ self.common_, ", "return (pixels @ self.common_, "),
        before(FIT, 'if train.x.ndim == 5:\n            raise UserError("No volumes.")'),
        before(FIT, "assert train.x.shape[1] == 3"),
        before(FIT, "assert train.x.shape[-1] == train.x.shape[-2]"),
    ],
    "deterministic": [
        ("pixels = self._pixels(x)", "pixels = self._pixels(x) + np.random.default_rng().random()"),
        ("pixels = self._pixels(x)", "self.origin_ = self.origin_ + 1\n        pixels = self._pixels(x)"),
    ],
    "alone": [
        ("pixels - self.origin_", "pixels - pixels.mean(0)"),
        ("pixels = self._pixels(x)", "pixels = self._pixels(x) + (len(x) == 1)"),
        ("pixels = self._pixels(x)", "pixels = self._pixels(x).squeeze()"),
        ("pixels = self._pixels(x)", "pixels = self._pixels(x) + np.arange(len(x))[:, None].astype(np.float32)"),
    ],
    "seed": [
        ('numpy_stream(context.seed, "init")', "np.random.default_rng()"),
        ('numpy_stream(context.seed, "init")', "np.random.mtrand._rand"),
        ('numpy_stream(context.seed, "init")', "np.random.default_rng(torch.initial_seed())"),
    ],
    "trace": [
        before(FIT, "np.random.seed(context.seed)"),
        before(FIT, "torch.manual_seed(context.seed)"),
        before(FIT, "import random; random.seed(context.seed)"),
        before(FIT, "torch.set_num_threads(2)"),
        before(FIT, "torch.set_grad_enabled(False)"),
        before(FIT, "np.seterr(all='ignore')"),
        before(FIT, "import os; os.environ['HONEST'] = str(np.random.default_rng().random())"),
        before(FIT, "import os; os.chdir('/')"),
        before(FIT, "open('log.txt', 'w').close()"),
        before(FIT, "import signal; signal.signal(signal.SIGUSR1, lambda *_: None)"),
        before(FIT, "import warnings; warnings.simplefilter('ignore')"),
        before(FIT, "import sys; sys.path.append('.')"),
        before(FIT, "import logging; logging.getLogger().addHandler(logging.NullHandler())"),
    ],
    "silence": [
        before(FIT, "print('Fitting.')"),
        before(FIT, "import sys; print('Fitting.', file=sys.stderr)"),
        before(FIT, "import os; os.write(1, b'Fitting.')"),
        before(FIT, "import os; os.write(2, b'Fitting.')"),
        before(FIT, "import warnings; warnings.warn('Fitting.')"),
    ],
    "inputs": [
        before(FIT, "train.x[0] += 1"),
        before(FIT, "train.y[:2] = 1 - train.y[:2]"),
        ("pixels = self._pixels(x)", "pixels = self._pixels(x); x[0] = 0"),
    ],
    "refit": [
        ('"init"', '"init", vars(self).setdefault("fits_", []).append(0), len(self.fits_)'),
    ],
    "labels": [('"init"', '"init", len(train.labels)')],
    "group": [('supervision = "domain"', 'supervision = "none"', '"init"', '"init", train.y')],
    "one_group": [
        (CHECK, "", 'choice("zero", "background")', 'choice("background", "zero")'),
        ("needs background and target images", "needs two groups"),
        ("raise UserError(", "raise ValueError("),
    ],
    "saved": [
        before(FIT, "self.codes_ = Codes(None, None)"),
        ("self.origin_", "self.offset"),
        ("self.shape_", "self.shape"),
    ],
    "images": [
        (".clip(0, 1)", ""),
        (".clip(0, 1)", " * np.nan"),
        (".clip(0, 1)", ".clip(0, 1).astype(float)"),
        (".clip(0, 1)", ".clip(0, 1)[..., 1:]"),
        (".clip(0, 1)", ".clip(0, 1)[1:]"),
        ("def swap", "def exchange"),
        ("return self.decode(Codes(b.common, t.salient)), ", "return "),
    ],
}


@pytest.mark.parametrize(
    ("rule", "change"),
    [(rule, change) for rule, changes in BREAKS.items() for change in changes],
    ids=[f"{rule}-{k}" for rule, changes in BREAKS.items() for k in range(len(changes))],
)
def test_a_method_broken_in_one_place_is_told_the_rule(broken, rule, change, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AssertionError) as error:
        check_method(broken(*change))
    assert str(error.value).startswith(f"{rule}: ")


def test_every_rule_has_a_method_that_breaks_it():
    assert {*BREAKS, "resumed", "cuda"} == {name for name, _ in RULES}


def test_a_loss_that_looks_at_the_groups_breaks_a_method_without_supervision(broken):
    cls = broken('supervision = "domain"', 'supervision = "none"', file=ROOT / "methods" / "cvae.py")
    with pytest.raises(AssertionError, match=r"^group: "):
        check_method(cls)


def test_a_method_that_counts_its_steps_outside_of_its_networks_breaks_the_rule_of_resuming(broken):
    count = "    def seen(self, train):\n        self.step_ = 0\n        return super().seen(train)\n\n"
    start, loss = "        z = self.latents(batch, draws)\n", "        terms = self.evidence(z)\n"
    later = "        terms = {name: (raw, weight * self.step_) for name, (raw, weight) in terms.items()}\n"
    changes = (
        ("    def training_loss(", count + "    def training_loss("),
        (start, start + "        self.step_ += 1\n"),
        (loss, loss + later),
    )
    with pytest.raises(AssertionError, match=r"^resumed: a resumed fit has other codes$"):
        check_method(broken(*itertools.chain(*changes), file=ROOT / "methods" / "cvae.py"))


def test_a_method_is_tried_on_a_gpu_where_there_is_one(broken, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    check_method(broken())
    with pytest.raises(AssertionError, match=r"^cuda: ValueError: No GPU\.$"):
        check_method(broken(*before(FIT, 'if context.device == "cuda":\n            raise ValueError("No GPU.")')))


@pytest.mark.parametrize("change", BREAKS["trace"])
def test_the_check_itself_leaves_the_world_as_it_was(broken, change, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = world_state()
    with pytest.raises(AssertionError):
        check_method(broken(*change))
    assert world_state() == before


def test_tiny_images_are_the_same_each_time():
    assert tiny_split().digest() == tiny_split().digest() != tiny_split(seed=1).digest()
    assert tiny_split("volume", 8, share=1.0).y.tolist() == [1] * 8
