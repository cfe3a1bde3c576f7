"""`cabench data` on two toys: a server here gives the files of `free`, nobody may fetch those of `gated`."""

import functools
import hashlib
import json
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

import cabench as package
from cabench.__main__ import main
from cabench.cli.main import cli

LABELS = b"".join(b"i%d,%d\n" % (k, k % 2) for k in range(300))
NOTES = b"nobody published a checksum of this"
TOYS = """
import numpy as np
from cabench.codes import Augmentation, Factor
from cabench.dataset import Dataset, RawFile, Recipe, Rendered, Unreadable
from cabench.errors import DataMissing

class Free(Dataset):
    name = "NAME"
    title = "Toy"
    modality = "toy"
    licence = "CC0 as a toy"
    obtain = "Write to the owners."
    steps = STEPS
    files = (
        RawFile("NAME/labels.csv", URLS_1, "sha256:SHA", ("NAME/other.csv",)),
        RawFile("NAME/notes.txt", URLS_2),
    )
    factors = (Factor("side", "salient", "target", ("left", "right"), main=True),)
    augmentation = Augmentation(size=4)
    sizes = {tier: (20, 10, 10) for tier in ("smoke", "quick", "paper")}
    recipe_version = 1

    def synthetic(self, n, seed, part, wear=None):
        y = np.arange(n) % 2
        return Rendered(np.zeros((n, 1, 4, 4), np.uint8), y, {"side": np.where(y == 1, 0.0, np.nan)})

    def recipe(self, root):
        import pandas as pd
        if not (root / "NAME/labels.csv").exists():
            raise DataMissing("NAME/labels.csv is missing.")
        table = pd.read_csv(root / "NAME/labels.csv", names=["id", "target"])
        k = np.arange(len(table))
        table["part"] = np.array(["train"] * 8 + ["validation", "test"])[k // 2 % 10]
        table["group"] = k
        table["side"] = np.where(table["target"] == 1, k // 2 % 2, np.nan)
        left_out = {"rows of the official kind": 5} if self.variant == "official" else {}
        return Recipe(table, (1, 4, 4), self.factors, left_out, ("NAME/labels.csv",))

    def reader(self, root, table):
        def read(row):
            if row.id in ("i7", "i8", "i9"):
                raise Unreadable("its end is missing")
            return np.full((1, 4, 4), 7, np.uint8)
        return read
"""


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.requests.append(self.path)
        super().do_GET()


@pytest.fixture
def server(tmp_path):
    """Serves labels.csv and notes.txt."""
    (tmp_path / "served").mkdir()
    (tmp_path / "served/labels.csv").write_bytes(LABELS)
    (tmp_path / "served/notes.txt").write_bytes(NOTES)
    serving = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=tmp_path / "served"))
    serving.requests = []
    thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield serving
    serving.shutdown()
    serving.server_close()
    thread.join()


@pytest.fixture
def toys(tmp_path, server):
    """The options that make both toys known."""
    sha = hashlib.sha256(LABELS).hexdigest()
    url = f"http://127.0.0.1:{server.server_port}"
    kinds = {
        "free": {"URLS_1": f'("{url}/labels.csv",)', "URLS_2": f'("{url}/notes.txt",)', "STEPS": "()"},
        "gated": {"URLS_1": "()", "URLS_2": "()", "STEPS": '("Register.", "Unpack the files into gated/.")'},
    }
    options = []
    for name, words in kinds.items():
        text = TOYS.replace("NAME", name).replace("SHA", sha)
        for word, value in words.items():
            text = text.replace(word, value)
        (tmp_path / f"{name}.py").write_text(text)
        options += ["--plugin", str(tmp_path / f"{name}.py")]
    return options


@pytest.fixture
def data(tmp_path, toys, monkeypatch, capsys):
    """Run `cabench data` as its users do; returns (exit code, stdout, stderr)."""
    monkeypatch.setenv("CABENCH_DATA", str(tmp_path / "root"))
    monkeypatch.setenv("COLUMNS", "200")

    def call(command, *words):
        options = [] if command == "preview" else toys
        monkeypatch.setattr(sys, "argv", ["cabench", "data", command, *map(str, words), *options])
        with pytest.raises(SystemExit) as caught:
            main()
        out, err = capsys.readouterr()
        return caught.value.code, out, err

    return call


@pytest.fixture
def root(tmp_path):
    return tmp_path / "root"


def put(root, name):
    (root / name).mkdir(parents=True)
    (root / name / "labels.csv").write_bytes(LABELS)
    (root / name / "notes.txt").write_bytes(NOTES)


def test_help_imports_nothing_heavy_and_status_and_fetch_no_torch(toys, tmp_path):
    code = (
        "import sys; from click.testing import CliRunner; from cabench.cli.main import cli\n"
        "assert CliRunner().invoke(cli, ['data', '--help']).exit_code == 0\n"
        "heavy = {'torch', 'pandas', 'numpy', 'pooch', 'requests', 'filelock', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "options = sys.argv[1:]\n"
        "assert CliRunner().invoke(cli, ['data', 'status', 'free', *options]).exit_code == 0\n"
        "assert CliRunner().invoke(cli, ['data', 'fetch', 'free', *options]).exit_code == 0\n"
        "assert 'torch' not in sys.modules\n"
    )
    words = [sys.executable, "-c", code, "--data-root", tmp_path / "root", *toys]
    subprocess.run(words, check=True, cwd=Path(package.__file__).parent.parent)


def test_status_says_what_is_missing_and_how_to_get_it(data, root):
    code, out, _ = data("status", "free", "gated")
    assert code == 0
    assert str(root) in out
    assert "CC0 as a toy" in out
    assert "standard: no, official: no" in out
    assert "free lacks free/labels.csv, free/notes.txt. Run `cabench data fetch free`." in out
    assert (
        "gated lacks gated/labels.csv, gated/notes.txt. Only you can get gated/labels.csv, gated/notes.txt:\n"
        in out
    )
    assert "  1. Register.\n  2. Unpack the files into gated/.\n" in out
    assert "\x1b[" not in out


def test_status_without_names_lists_every_data_set_and_json_says_the_same(data, root):
    put(root, "gated")
    data("prepare", "gated[variant=official]")
    (root / "free").mkdir()
    (root / "free/other.csv").write_bytes(LABELS)
    code, out, _ = data("status", "--json")
    assert code == 0
    cards = {card["name"]: card for card in json.loads(out)["datasets"]}
    assert {"free", "gated", "cifar_mnist", "odir_subtypes"} <= set(cards)
    assert cards["gated"]["prepared"] == {"standard": "no", "official": "yes"}
    assert cards["gated"]["missing"] == []
    assert cards["free"]["files"] == [
        {"path": "free/labels.csv", "found": str(root / "free/other.csv")},
        {"path": "free/notes.txt", "found": None},
    ]
    assert cards["free"]["missing"] == ["free/notes.txt"]


def test_status_tells_prepared_from_damaged_and_out_of_date(data, root, tmp_path):
    def states():
        return json.loads(data("status", "gated", "--json")[1])["datasets"][0]["prepared"]["standard"]

    put(root, "gated")
    data("prepare", "gated")
    assert states() == "yes"
    plugin = tmp_path / "gated.py"
    # Of another length: Python takes a file of the same size and second for the one it has compiled.
    plugin.write_text(plugin.read_text().replace("recipe_version = 1", "recipe_version = 10"))
    assert states() == "out of date"
    (root / "prepared/gated/standard-0/pixels.npy").unlink()
    assert states() == "damaged"


def test_fetch_then_prepare_then_verify(data, root, server):
    code, out, err = data("fetch", "free")
    assert (code, err) == (0, "")
    assert f"{root / 'free/labels.csv'}: fetched\n" in out
    assert f"no checksum is published, it has sha256:{hashlib.sha256(NOTES).hexdigest()}" in out
    assert (root / "free/labels.csv").read_bytes() == LABELS
    assert data("prepare", "free")[0] == 0
    assert data("verify", "free", "--full")[0] == 0
    asked = len(server.requests)
    code, out, _ = data("fetch", "free")
    assert out == f"{root / 'free/labels.csv'}: here\n{root / 'free/notes.txt'}: here\n"
    assert len(server.requests) == asked


def test_offline_only_checks(data, root, server):
    code, _, err = data("fetch", "free", "--offline")
    assert code == 2
    assert f"{root / 'free/labels.csv'} is missing" in err
    assert "Run `cabench data fetch free`." in err
    put(root, "free")
    assert data("fetch", "free", "--offline")[0] == 0
    (root / "free/labels.csv").write_bytes(b"damaged")
    code, _, err = data("fetch", "free", "--offline")
    assert code == 2
    assert f"{root / 'free/labels.csv'} is damaged (expected sha256:" in err
    assert server.requests == []


def test_gated_files_are_never_fetched_and_their_steps_are_printed(data, server):
    code, _, err = data("fetch", "gated")
    assert code == 2
    assert "  1. Register.\n  2. Unpack the files into gated/.\n" in err
    assert server.requests == []


def test_what_fails_with_one_data_set_does_not_stop_the_next(data, root):
    code, out, err = data("fetch", "gated", "free")
    assert code == 2
    assert err.startswith("Error: gated: ")
    assert (root / "free/labels.csv").exists()
    code, out, err = data("prepare", "gated,free")
    assert code == 2
    assert err.startswith("Error: ")
    assert "free: prepared in" in out


def test_one_file_that_cannot_be_fetched_does_not_stop_the_others(data, root, tmp_path):
    (tmp_path / "served/labels.csv").write_bytes(b"something else")
    code, _, err = data("fetch", "free")
    assert code == 2
    assert "expected sha256:" in err
    assert not (root / "free/labels.csv").exists()
    assert (root / "free/notes.txt").exists()


def test_prepare_prints_folder_counts_progress_and_what_was_left_out(data, root):
    put(root, "gated")
    code, out, _ = data("prepare", "gated[variant=official]", "--jobs", "1")
    assert code == 0
    assert "gated[variant=official]: 300 of 300 images\n" in out
    assert f"gated[variant=official]: prepared in {root / 'prepared/gated/official-0'}\n" in out
    assert "  train: 237 images (119 background, 118 target, 237 groups)\n" in out
    assert "  left out: 5 rows of the official kind\n" in out
    assert "  unreadable: i8: its end is missing\n" in out
    assert "\x1b[" not in out


def test_prepare_again_does_nothing_unless_forced(data, root):
    put(root, "gated")
    data("prepare", "gated")
    assert "300 of 300 images" not in data("prepare", "gated")[1]
    assert "300 of 300 images" in data("prepare", "gated", "--force")[1]


def test_verify_finds_damage_and_what_is_not_prepared(data, root):
    code, _, err = data("verify", "gated")
    assert code == 2
    assert "gated is not prepared" in err
    assert "cabench data prepare gated" in err
    put(root, "gated")
    data("prepare", "gated")
    pixels = root / "prepared/gated/standard-0/pixels.npy"
    content = bytearray(pixels.read_bytes())
    content[-1] ^= 1
    pixels.write_bytes(content)
    assert data("verify", "gated")[0] == 0
    assert data("verify", "gated", "--full")[0] == 2
    pixels.write_bytes(content[:-1])
    assert data("verify", "gated")[0] == 2


def test_verify_all_is_about_what_is_prepared(data, root):
    put(root, "gated")
    data("prepare", "gated")
    code, out, _ = data("verify", "all")
    assert code == 0
    assert out == f"gated: every size is right ({root / 'prepared/gated/standard-0'})\n"


def test_verify_says_that_the_recipe_has_changed(data, root, tmp_path):
    put(root, "gated")
    data("prepare", "gated")
    plugin = tmp_path / "gated.py"
    plugin.write_text(plugin.read_text().replace("recipe_version = 1", "recipe_version = 10"))
    code, _, err = data("verify", "gated")
    assert code == 2
    assert "prepared by an earlier recipe" in err


def test_where_prints_paths_for_the_shell(data, root):
    assert data("where", "free[data_seed=3]")[1] == f"{root}\n{root / 'prepared/free/standard-3'}\n"
    both = data("where", "free", "gated[variant=official]")[1].splitlines()
    assert both == [
        f"free\t{root}\t{root / 'prepared/free/standard-0'}",
        f"gated[variant=official]\t{root}\t{root / 'prepared/gated/official-0'}",
    ]
    assert data("where", "free", "--data-root", "here")[1].startswith("here\n")


def test_rm_asks_and_takes_prepared_files_only(data, root, toys):
    put(root, "gated")
    data("prepare", "gated", "gated[variant=official]")
    prepared = root / "prepared/gated"
    declined = CliRunner().invoke(cli, ["data", "rm", "gated", *toys], input="n\n")
    assert declined.exit_code == 1
    assert (prepared / "standard-0").exists()
    taken = CliRunner().invoke(cli, ["data", "rm", "gated", *toys], input="y\n")
    assert taken.exit_code == 0
    assert [path.name.split(".")[0] for path in prepared.iterdir()] == ["official-0"] * 2
    assert data("rm", "all[variant=official]", "--yes")[0] == 0
    assert list(prepared.iterdir()) == []
    assert data("rm", "gated")[1] == "gated: nothing is prepared\n"
    assert (root / "gated/labels.csv").read_bytes() == LABELS


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["fetch", "gatd"], "Did you mean 'gated'?"),
        (["prepare", "gated[variant=offical]"], "Did you mean 'official'?"),
        (["where", "gated[varian=official]"], "Did you mean 'variant'?"),
        (["preview", "cifar_mnist,odir_subtypes", "--out", "x.png"], "shows one data set"),
        (["preview", "dsprites_grid", "--out", "x.h5"], "call it x.png"),
        (["preview", "dsprites_grid", "--out", "x"], "call it x.png"),
        (["preview", "cifar_mnist[variant=official]", "--out", "x.png"], "--source real"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_2(data, words, sentence):
    code, _, err = data(*words)
    assert code == 2
    assert sentence in err
    assert err.startswith("Error: ")
    assert err.count("\n") == 1


def test_a_broken_plugin_among_all_is_said_and_left_out(data, tmp_path, root):
    (tmp_path / "gated.py").write_text((tmp_path / "gated.py").read_text() + "\nimport nowhere_to_be_found\n")
    code, out, err = data("where", "all")
    assert code == 0
    assert "Left out: The dataset 'gated' cannot be imported" in err
    assert "free\t" in out


def test_preview_draws_a_real_data_set_from_the_default_root(toys, root, tmp_path, monkeypatch):
    """Through an entry point's stand-in, because `preview` takes no --plugin."""
    from cabench import registry

    put(root, "gated")
    monkeypatch.setenv("CABENCH_DATA", str(root))
    plugin = registry.get("dataset", "gated", [tmp_path / "gated.py"])
    monkeypatch.setattr(registry, "get", lambda kind, name, files=(): plugin)
    out = tmp_path / "sheet.png"
    words = ["data", "preview", "gated[variant=official]", "--source", "real", "--out", str(out)]
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert done.exit_code == 0
    assert out.read_bytes().startswith(b"\x89PNG")
    assert (root / "prepared/gated/official-0").exists()
