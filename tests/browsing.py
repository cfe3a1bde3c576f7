"""What tests in a browser need: chromium on this machine, and playwright."""

import os
import shutil

import pytest

CHROMIUM = os.environ.get("CABENCH_CHROMIUM") or shutil.which("chromium")
IN_A_BROWSER = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="there is no chromium; name one in CABENCH_CHROMIUM"),
]
