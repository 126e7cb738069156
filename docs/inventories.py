"""What the site links to in other projects: the files of docs/inventories.

    python docs/inventories.py [FOLDER]

writes them. With a folder, those of Python, pandas, SciPy and scikit-learn are taken
from the ``objects.inv`` of Debian's packages python3-doc, python-pandas-doc,
python-scipy-doc and python-sklearn-doc, which lie there as ``python.inv`` and so on:
only the names that a page of ours can mean are kept. Of the other projects there is no
such package: their files hold what is listed here. The site is built without a network.
"""

import sys
import zlib
from pathlib import Path

from sphinx.util.inventory import InventoryFile

HERE = Path(__file__).parent / "inventories"
SITES = {
    "python": "https://docs.python.org/3/",
    "numpy": "https://numpy.org/doc/stable/",
    "scipy": "https://docs.scipy.org/doc/scipy/",
    "pandas": "https://pandas.pydata.org/docs/",
    "sklearn": "https://scikit-learn.org/stable/",
    "torch": "https://docs.pytorch.org/docs/stable/",
    "matplotlib": "https://matplotlib.org/stable/",
    "skorch": "https://skorch.readthedocs.io/en/stable/",
    "joblib": "https://joblib.readthedocs.io/en/stable/",
}
PACKAGED = ("python", "pandas", "scipy", "sklearn")
# Of the packaged ones, what a page of ours can mean.
KEPT = ("py:", "std:term")

# By hand: role, name and page; "$" stands for the name.
LISTED = {
    "numpy": [
        ("class", "numpy.ndarray", "reference/generated/$.html"),
        ("class", "numpy.memmap", "reference/generated/$.html"),
        ("class", "numpy.random.RandomState", "reference/random/legacy.html"),
        ("class", "numpy.random.Generator", "reference/random/generator.html"),
        ("function", "numpy.random.default_rng", "reference/random/generator.html"),
    ],
    "sklearn": [
        ("class", "sklearn.frozen.FrozenEstimator", "modules/generated/$.html"),
    ],
    "torch": [
        ("class", "torch.Tensor", "tensors.html"),
        ("class", "torch.Generator", "generated/$.html"),
        ("module", "torch.optim", "optim.html"),
        ("class", "torch.optim.Optimizer", "optim.html"),
        ("class", "torch.nn.Module", "generated/$.html"),
        ("class", "torch.nn.ModuleDict", "generated/$.html"),
        ("class", "torch.nn.Linear", "generated/$.html"),
        ("class", "torch.nn.Conv2d", "generated/$.html"),
        ("class", "torch.nn.DataParallel", "generated/$.html"),
        ("class", "torch.nn.parallel.DistributedDataParallel", "generated/$.html"),
        ("function", "torch.compile", "generated/$.html"),
        ("function", "torch.compiler.reset", "generated/$.html"),
        ("function", "torch.save", "generated/$.html"),
        ("function", "torch.set_num_threads", "generated/$.html"),
    ],
    "matplotlib": [
        ("class", "matplotlib.axes.Axes", "api/_as_gen/$.html"),
        ("class", "matplotlib.figure.Figure", "api/_as_gen/$.html"),
    ],
    "skorch": [
        ("module", "skorch.callbacks", "callbacks.html"),
        ("class", "skorch.callbacks.Callback", "callbacks.html"),
        ("class", "skorch.callbacks.Checkpoint", "callbacks.html"),
        ("class", "skorch.callbacks.LoadInitState", "callbacks.html"),
        ("class", "skorch.NeuralNet", "net.html"),
    ],
    "joblib": [
        ("function", "joblib.dump", "generated/$.html"),
        ("class", "joblib.parallel_config", "generated/$.html"),
    ],
}


def lines_of(inventory):
    """The lines of an inventory that are kept."""
    items = InventoryFile.loads(inventory.read_bytes(), uri="").data.items()
    for role, objects in items:
        if role.startswith(KEPT):
            for name, item in objects.items():
                uri = item.uri
                if uri.endswith(name):
                    uri = uri[: -len(name)] + "$"
                yield f"{name} {role} 1 {uri} {item.display_name}"


def write(project, lines):
    """Write an inventory of version 2."""
    head = (
        f"# Sphinx inventory version 2\n# Project: {project}\n# Version: \n"
        "# The remainder of this file is compressed using zlib.\n"
    )
    body = "\n".join(sorted(set(lines))) + "\n"
    packed = head.encode() + zlib.compress(body.encode(), 9)
    (HERE / f"{project}.inv").write_bytes(packed)


def main(folder=None):
    """Write all of them, or those that need no folder."""
    HERE.mkdir(exist_ok=True)
    for project in SITES:
        lines = [
            f"{name} py:{role} 1 {page}#$ -"
            for role, name, page in (
                (role, name, page.replace("$", name))
                for role, name, page in LISTED.get(project, [])
            )
        ]
        if project in PACKAGED:
            if folder is None:
                continue
            lines += lines_of(Path(folder) / f"{project}.inv")
        write(project, lines)


if __name__ == "__main__":
    main(*sys.argv[1:])
