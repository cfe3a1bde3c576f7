"""Draws docs/images/mi_calibration.png: what the MI estimators say of codes whose information is known.

python docs/mi_calibration.py
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns

from cabench.metrics.mutual_information import calibration

OUT = Path(__file__).parent / "images" / "mi_calibration.png"
SEEDS = range(5)
# Rows and dimensions in use: the target test rows of the quick and the paper tier, with 32 + 32 units.
SIZES = (1000, 5000)
INFORMATIONS = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0)
TITLES = {
    "gaussian-1": "one shared coordinate",
    "gaussian-4": "four shared coordinates",
    "mixture-1": "one, s = 0 on half of the rows",
    "mixture-4": "four, s = 0 on half of the rows",
}


def main() -> None:
    """Measure, draw, and print the bias."""
    rows = [row for n in SIZES for seed in SEEDS for row in calibration(n, 32, 32, seed, INFORMATIONS)]
    table = pd.DataFrame(rows)
    table["expected"] = table["true"] * table["variant"].str.startswith("mixture").map({True: 0.5, False: 1.0})
    table["bias"] = table["estimate"] - table["expected"]
    print(table.pivot_table("bias", ["estimator", "variant", "n"], "true").round(2).to_markdown())
    grid = sns.relplot(
        table.assign(rows="n = " + table["n"].astype(str)),
        x="true", y="estimate", hue="estimator", style="rows", col="variant", kind="line", errorbar="sd",
        height=2.6, aspect=0.95, palette="colorblind",
    )  # fmt: skip
    for variant, axes in grid.axes_dict.items():
        slope = 0.5 if variant.startswith("mixture") else 1.0
        axes.plot([0, 3], [0, 3 * slope], color="0.6", linewidth=1, linestyle=":", zorder=0)
        axes.set_title(TITLES[variant], fontsize=9)
    grid.set_axis_labels("", "estimate (nats)")
    grid.figure.supxlabel("information of the target rows (nats); dotted: exact", x=0.42, y=0.02, fontsize=9)
    grid.figure.subplots_adjust(bottom=0.18)
    grid.savefig(OUT, dpi=110)
    plt.close(grid.figure)


if __name__ == "__main__":
    main()
