"""All of speed and memory, beside what it is compared with: one file and one table.

    python benchmarks/bench.py docs/benchmarks/results.json

One torch thread. The contestants of a row take turns in one process; counted is the
time of the processor in the fastest turn. Memory is the peak of a fresh process a row.
It takes a quarter of an hour at most; --quick shows in a minute that all works, and its
figures mean nothing.
"""

import argparse
import datetime
import json
import os
import platform
import time
import warnings
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import torch
from losses import loss_rows
from measures import measure_rows
from memory import memory_rows
from noise import noise_rows
from resnet import resnet_rows
from rows import FULL, QUICK
from sklearn.exceptions import ConvergenceWarning
from study import study_rows
from training import (
    backbone_rows,
    channel_rows,
    epoch_rows,
    image_rows,
    step_rows,
    unit_rows,
)

# Each part gives rows, as rows.beside makes them, at a size.
PARTS = {
    "step": step_rows,
    "epoch": epoch_rows,
    "backbones": backbone_rows,
    "resnet18": resnet_rows,
    "losses": loss_rows,
    "noise": noise_rows,
    "measures": measure_rows,
    "study": study_rows,
    "images": image_rows,
    "units": unit_rows,
    "channels": channel_rows,
    "memory": memory_rows,
}
PACKAGES = ("sktopo", "torch", "skorch", "numpy", "scipy", "scikit-learn")


def told_by(path, key):
    """What a file of Linux says after a key; None where it does not."""
    lines = Path(path).read_text().splitlines() if Path(path).exists() else []
    told = (line.partition(":")[2].strip() for line in lines if line.startswith(key))
    return next(told, None)


def machine():
    """Processor, cores and memory."""
    memory = told_by("/proc/meminfo", "MemTotal")
    return {
        "processor": told_by("/proc/cpuinfo", "model name") or platform.processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "memory, GiB": memory and round(int(memory.split()[0]) / 2**20, 1),
        "system": platform.system(),
    }


def versions():
    """Of Python and of what the figures depend on."""
    return {"Python": platform.python_version()} | {p: version(p) for p in PACKAGES}


def rows_of(parts, size):
    """The rows of these parts; says what each took."""
    rows = []
    for name in parts:
        start = time.perf_counter()
        rows += PARTS[name](size)
        print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)
    return rows


def main(args=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("path", type=Path, help="where to write the results (.json)")
    parser.add_argument("--quick", action="store_true", help="tiny sizes")
    parser.add_argument(
        "--parts", nargs="+", default=list(PARTS), choices=PARTS, help="default: all"
    )
    given = parser.parse_args(args)
    torch.set_num_threads(1)
    # nothing can be learned of random pixels
    warnings.filterwarnings("ignore", category=ConvergenceWarning)
    size = QUICK if given.quick else FULL
    results = {
        "quick": given.quick,
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "versions": versions(),
        "size": asdict(size),
        "rows": rows_of(given.parts, size),
    }
    given.path.parent.mkdir(parents=True, exist_ok=True)
    given.path.write_text(json.dumps(results, indent=1) + "\n")
    table = pd.DataFrame(results["rows"]).drop(columns="at")
    print(table.to_string(index=False, na_rep="", float_format="{:.4g}".format))


if __name__ == "__main__":
    main()
