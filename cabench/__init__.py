"""cabench: the benchmark suite of contrastive analysis."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cabench.api import evaluate as evaluate
    from cabench.api import load_dataset as load_dataset
    from cabench.api import load_method as load_method
    from cabench.api import load_run as load_run
    from cabench.api import run as run

__version__ = "0.1.0"
__all__ = ["__version__", "evaluate", "load_dataset", "load_method", "load_run", "run"]

# In a checkout, methods/ and datasets/ lie beside this package and are part of it.
_root = Path(__file__).resolve().parent.parent
if (_root / "pyproject.toml").is_file() and (_root / "methods").is_dir():
    __path__.append(str(_root))


def __getattr__(name: str) -> Any:
    """Import the Python interface on first use, so that `import cabench` stays light."""
    if name in __all__:
        from cabench import api

        return getattr(api, name)
    raise AttributeError(f"module 'cabench' has no attribute '{name}'")
