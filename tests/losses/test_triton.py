"""The Triton kernels keep the accuracy table of the other backends; here in the interpreter, on the CPU."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cabench.errors import UserError
from cabench.losses.pairwise import uniformity

HERE = Path(__file__).parent
SPREAD, TIGHT = 2e-6, 1e-5  # relative errors of gradients


@pytest.fixture(scope="module")
def told():
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(HERE / "triton_table.py")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_values_and_gradients_are_those_of_float64(told):
    table = told["table"]
    assert len(table) == 5 * 8 + 3 - 1
    wrong = {
        name: errors
        for name, errors in table.items()
        if errors[0] > 1e-5 or errors[1] > (SPREAD if "spread" in name or "all" in name else TIGHT)
    }
    assert not wrong


def test_rows_that_are_far_apart_have_a_finite_uniformity(told):
    assert told["facts"]["far"] == pytest.approx(told["facts"]["far by hand"], rel=1e-5)


def test_nan_goes_through(told):
    assert len(told["facts"]["nan"]) == 5
    assert all(math.isnan(value) for values in told["facts"]["nan"] for value in values)


def test_tensors_on_a_cpu_are_refused():
    with pytest.raises(UserError, match="GPU"):
        uniformity(torch.zeros(4, 2), backend="triton")
