"""What goes wrong with one cell, or with the disk, is said, and touches nothing else."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from processes import environment
from reliability.runs import COMMAND, PLUGINS, Launch, records

import cabench.store
from cabench.checkpoint import Checkpoint
from cabench.claim import claim, is_claimed
from cabench.errors import NotWritten, UserError
from cabench.execute import execute
from cabench.plan import make_plan
from cabench.store import Store
from cabench.worker import Options

TOY = PLUGINS / "toy.py"
HOLD = """
import sys, time
from pathlib import Path
from cabench.claim import claim
from cabench.store import Store
with claim(Store(Path(sys.argv[1])), "cell"):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
def test_a_cell_whose_process_dies_or_takes_too_much_is_a_failed_cell_and_the_rest_go_on(tmp_path):
    faults = ",".join(f"faulty[how={how}]" for how in ("killed", "sleeping", "greedy"))
    words = ("--tier", "smoke", "--plugin", TOY, "--plugin", PLUGINS / "faulty.py", "--datasets", "toy")
    words += ("--methods", f"{faults},pca", "--time-limit", "15", "--memory-limit", "1.2", "--results", "é s")
    first = Launch(tmp_path, *words)
    assert first.wait() == 1
    found = {record["label"]: record for record in records(tmp_path / "é s").values()}
    assert {label: record["status"] for label, record in found.items()} == {
        "faulty": "failed",
        "faulty[how=sleeping]": "failed",
        "faulty[how=greedy]": "failed",
        "pca": "done",
    }
    took = {label: record["provenance"] for label, record in found.items()}
    assert took["faulty[how=sleeping]"]["wall_s"] > 15
    assert took["faulty[how=greedy]"]["peak_memory_mb"] * 2**20 > 1.2e9
    assert "SIGKILL" in found["faulty"]["error"]
    assert "15 seconds of --time-limit" in found["faulty[how=sleeping]"]["error"]
    assert "1.2 GB of --memory-limit" in found["faulty[how=greedy]"]["error"]
    assert "--retry failed" in first.text.splitlines()[-1]

    # They stay failed until that is asked for.
    assert Launch(tmp_path, *words, FAULTY_IS_WELL="1").wait() == 1
    assert {r["label"]: r for r in records(tmp_path / "é s").values()} == found
    again = Launch(tmp_path, *words, "--retry", "failed", FAULTY_IS_WELL="1")
    assert again.wait() == 0, again.text
    assert {record["status"] for record in records(tmp_path / "é s").values()} == {"done"}


def test_a_claim_ends_with_its_owner(tmp_path):
    store = Store(tmp_path)
    owner = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], env=environment(), stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout.readline() == "held\n"
    with claim(store, "cell") as claimed:
        assert claimed is None and is_claimed(store, "cell")
    owner.kill()
    owner.wait()
    with claim(store, "cell") as claimed:
        assert claimed is not None and is_claimed(store, "cell")
    assert not is_claimed(store, "cell")


def test_what_a_killed_process_had_half_written_is_swept_away(tmp_path):
    folder = Store(tmp_path).folder("cell")
    folder.mkdir(parents=True)
    for name in (".record.json.ab12", ".checkpoint.pt.cd34", "record.json", "model.safetensors"):
        (folder / name).write_text("half")
    with claim(Store(tmp_path), "cell"):
        assert {path.name for path in folder.iterdir()} == {"record.json", "model.safetensors"}


class Full:
    """A file of a disk that takes no more: half of what does not fit is written before it says so."""

    def __init__(self, file, fits):
        self._file, self._fits = file, fits

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()

    def write(self, content):
        if not self._fits(len(content)):
            self._file.write(content[: len(content) // 2])
            raise OSError(28, "No space left on device")
        return self._file.write(content)

    def __getattr__(self, name):
        return getattr(self._file, name)


@pytest.mark.parametrize(("size", "each"), [(20_000, False), (400_000, False), (100_000, True)])
def test_a_full_disk_ends_the_run_with_a_sentence_and_leaves_nothing_half_written(
    size, each, tmp_path, monkeypatch
):
    """The disk takes some small files, or a checkpoint too, and then no more; or each file that is small."""
    plan, store = make_plan("simclr", "toy", tier="smoke", plugins=[TOY]), Store(tmp_path)
    real, taken = cabench.store.os.fdopen, []

    def fits(more):
        taken.append(more)
        return (more if each else sum(taken)) <= size

    monkeypatch.setattr(cabench.store.os, "fdopen", lambda *words: Full(real(*words), fits))
    with pytest.raises(NotWritten, match="No space left"):
        execute(plan, store, Options(device="cpu"))
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]
    # No cell is to blame.
    assert not list(store.records())
    monkeypatch.undo()
    (record,) = execute(plan, store, Options(device="cpu"))
    assert record["status"] == "done"


def test_a_folder_that_cannot_be_written_is_said_before_anything_is_loaded():
    plan = make_plan("simclr", "toy", tier="smoke", plugins=[TOY])
    with pytest.raises(UserError, match=r"/proc/results cannot be written .*--results"):
        execute(plan, Store(Path("/proc/results")), Options(device="cpu"))


@pytest.mark.slow
def test_a_small_file_system_that_is_full_is_said_in_a_sentence(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", disk], check=False)
    if mounted.returncode:
        pytest.skip("needs the right to mount")
    try:
        words = ("--tier", "smoke", "--methods", "simclr", "--datasets", "cifar_mnist", "--results", disk)
        done = subprocess.run(
            [*COMMAND, "run", *words], env=environment(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        assert done.stderr.startswith("Error: ") and "No space left on device" in done.stderr
        assert "Traceback" not in done.stderr
        assert not list(disk.glob("r*/*/record.json"))
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_clock_that_jumps_changes_nothing(tmp_path, monkeypatch):
    plan = make_plan("simclr", "toy", tier="smoke", plugins=[TOY])
    (still,) = execute(plan, Store(tmp_path / "still"), Options(device="cpu"))
    jumps = iter(range(10**9, 0, -(10**6)))
    monkeypatch.setattr(time, "time", lambda: float(next(jumps)))
    (jumped,) = execute(plan, Store(tmp_path / "jumped"), Options(device="cpu"))
    assert [row["value"] for row in jumped["metrics"] if row["family"] != "cost"] == [
        row["value"] for row in still["metrics"] if row["family"] != "cost"
    ]
    assert 0 <= jumped["provenance"]["wall_s"] < 600


class TestCheckpoint:
    """A file that is not what it should be begins the fit anew, and executes nothing."""

    def state(self):
        return {"networks": {"weight": torch.arange(3.0)}, "order": {"state": 2**120}, "history": [{"loss": 0.5}]}

    def test_it_is_read_as_it_was_written(self, tmp_path):
        Checkpoint(tmp_path / "c", "code").write(4, self.state())
        again = Checkpoint(tmp_path / "c", "code")
        state = again.read()
        assert torch.equal(state.pop("networks")["weight"], torch.arange(3.0))
        assert state == {"order": {"state": 2**120}, "history": [{"loss": 0.5}]}
        assert again.resumed == [4]

    def test_time_adds_up_over_attempts(self, tmp_path):
        first = Checkpoint(tmp_path / "c", "code")
        first.clock = type(first.clock)({"wall_s": 100.0, "cpu_s": 90.0})
        first.write(1, {})
        second = Checkpoint(tmp_path / "c", "code")
        second.read()
        assert 100 <= second.clock.spent()["wall_s"] < 110 and 90 <= second.clock.spent()["cpu_s"] < 100

    @pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
    def test_a_part_of_one_is_none(self, share, tmp_path):
        path = tmp_path / "c"
        Checkpoint(path, "code").write(4, self.state())
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])
        assert Checkpoint(path, "code").read() is None

    def test_one_of_other_code_is_none(self, tmp_path):
        Checkpoint(tmp_path / "c", "code").write(4, self.state())
        assert Checkpoint(tmp_path / "c", "other code").read() is None

    def test_a_hostile_one_executes_nothing(self, tmp_path):
        class Hostile:
            def __reduce__(self):
                return (open, (str(tmp_path / "executed"), "w"))

        torch.save({"key": "code", "spent": {}, "resumed": [], "epoch": 1, "state": Hostile()}, tmp_path / "c")
        torch.load(tmp_path / "c", weights_only=False)
        assert (tmp_path / "executed").exists()  # it is hostile indeed
        (tmp_path / "executed").unlink()
        assert Checkpoint(tmp_path / "c", "code").read() is None
        assert not (tmp_path / "executed").exists()


def test_a_method_that_draws_from_the_global_generators_resumes_too(tmp_path):
    """Dropout does that."""
    from cabench.method import Context
    from cabench.testing import tiny_split

    cls = make_plan("simclr", "toy", tier="smoke", plugins=[TOY]).methods["simclr"]

    class Dropping(cls):
        def training_loss(self, batch, draws):
            terms = super().training_loss(batch, draws)
            return {name: (raw * torch.rand(()), weight) for name, (raw, weight) in terms.items()}

    def stop(epoch, _):
        if epoch == 2:
            raise KeyboardInterrupt

    train = tiny_split(n=24).blind()
    whole = Dropping(epochs=4, batch_size=12).fit(train, None, Context())
    with pytest.raises(KeyboardInterrupt):
        Dropping(epochs=4, batch_size=12).fit(
            train, None, Context(progress=stop, checkpoint=Checkpoint(tmp_path / "c", ""))
        )
    resumed = Dropping(epochs=4, batch_size=12).fit(train, None, Context(checkpoint=Checkpoint(tmp_path / "c", "")))
    assert resumed.history_ == whole.history_
    assert np.array_equal(resumed.embed(train.x).common, whole.embed(train.x).common)
