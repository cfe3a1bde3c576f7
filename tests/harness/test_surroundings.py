"""What surrounds a command may be hostile: where its words go, what it may not write, Ctrl-C at any moment."""

import subprocess
import sys
from pathlib import Path

import pytest
from processes import environment

from cabench.claim import claim, is_claimed
from cabench.store import Store

WORDS = [sys.executable, "-m", "cabench"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_under_the_output_is_one_sentence(tmp_path):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*WORDS, "list", "methods"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env=environment(),
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr == "Error: The output could not be written (No space left on device); free space.\n"


def test_a_terminal_without_arrows_shows_question_marks(tmp_path):
    code = "print('\\u2191')"
    script = f"import cabench.cli.main as m; m.cli = lambda **_: {code}; from cabench.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        cwd=tmp_path,
        env=environment() | {"PYTHONIOENCODING": "ascii"},
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, b"?\n"), done.stderr


def test_a_claim_in_a_folder_of_others_cannot_be_asked(tmp_path, monkeypatch):
    store = Store(tmp_path)
    with claim(store, "a"):
        assert is_claimed(store, "a")
    assert not is_claimed(store, "a")

    def refused(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("filelock.FileLock.acquire", refused)
    assert not is_claimed(store, "a")
    assert not is_claimed(Store(Path("/proc/none")), "a")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_the_process_that_others_are_forked_from_is_deaf_to_ctrl_c_while_it_imports(tmp_path):
    script = (
        "import cabench.jobs as jobs, signal; from multiprocessing.forkserver import _forkserver as server;"
        "jobs._start_server(); print(open(f'/proc/{server._forkserver_pid}/status').read());"
        "assert signal.getsignal(signal.SIGINT) is signal.default_int_handler"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, env=environment(), check=False
    )
    assert done.returncode == 0, done.stderr
    (ignored,) = (line.split()[1] for line in done.stdout.splitlines() if line.startswith("SigIgn:"))
    assert int(ignored, 16) & 1 << 1  # SIGINT is signal 2
