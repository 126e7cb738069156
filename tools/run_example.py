"""Run a gallery example and save the figures that it leaves open.

python tools/run_example.py examples/plot_grid_search.py demo_output
"""

import argparse
import runpy
from pathlib import Path

import matplotlib

matplotlib.use("agg")
from matplotlib import pyplot as plt


def run(script: Path, folder: Path, dpi: int = 150) -> dict:
    """Run `script`, save its figures as PNG in `folder`, and return its variables."""
    plt.close("all")
    variables = runpy.run_path(str(script), run_name="__main__")
    folder.mkdir(parents=True, exist_ok=True)
    for number in plt.get_fignums():
        figure = plt.figure(number)
        name = figure.get_label() or f"figure_{number}"
        path = folder / f"{name}.png"
        figure.savefig(path, dpi=dpi, bbox_inches="tight")
        print(f"wrote {path}")
    plt.close("all")
    return variables


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("script", type=Path)
    parser.add_argument("folder", type=Path)
    run(**vars(parser.parse_args()))
