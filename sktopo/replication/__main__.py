"""Replicate Truong & Hasson (arXiv 2508.00043), or compare losses or objectives.

The full study of Fashion-MNIST has 130 models, ten seeds of each of: control; WS, AS
and AS untransposed at lam 0.3, 1 and 3; and at lam 1 WS by cosine distance, WS without
dropout and control without dropout:

    python -m sktopo.replication --dataset fashion_mnist --store study --seeds 10

It can be stopped at any time and goes on where it was. See what it would train, and
how long that takes, with --dry-run. A pilot of three seeds and one lam, without the
further conditions:

    python -m sktopo.replication --dataset fashion_mnist --store study \
        --seeds 3 --lams 1 --extent main

and the whole study with two further losses of activations (150 models) by
--extent all.

Models are trained as in the paper: 80 % of the training images, batches of 64, Adam, lr
0.001; the small network and 10 epochs for MNIST and Fashion-MNIST (and for what the
paper has not), the deep network and 30 epochs for CIFAR-10. Of "mnist_5000", a part of
MNIST that needs no download, all 4,000 training images are used, for 40 epochs at lr
0.003. Measures are taken on all test images. At the end the store's folder has
report.html, results.csv.gz, claims.csv, seed_pairs.csv (how alike two seeds are, which
one claim is about), and for Fashion-MNIST claims_without_pilot.csv: the claims by the
seeds that were not looked at before they were fixed.

The comparison of losses is a study of its own: control, six spatial losses at three
strengths, weight decay and training with noise, five seeds each, 125 models of the
small network on 12,000 images of Fashion-MNIST (and a shorter one of the default
network, --backbone default):

    python -m sktopo.replication --comparison --store losses

It writes tables of what was asked beside the report; the page "A comparison of losses"
of the documentation says what they are.

The study of objectives trains the deep network on the same images by cross entropy,
SupCon or SimCLR, without and with WS (lam 0.3, 1 and 3), three seeds each, and reads
labels from the responses of its grid by a logistic regression (15 models; 18 of SimCLR,
whose control is trained for twice as long, too):

    python -m sktopo.replication --objective simclr --store simclr
"""

import argparse
import sys
import time
from pathlib import Path

import joblib
import numpy as np
import torch
from sklearn.base import clone

from sktopo import measure
from sktopo.datasets import DATASETS
from sktopo.replication._claims import claims
from sktopo.replication._comparison import BACKBONES, comparison, load_comparison
from sktopo.replication._contrasts import (
    against_simpler,
    equal_smoothness,
    on_top,
    overview,
)
from sktopo.replication._objectives import OBJECTIVES, objectives
from sktopo.replication._protocol import (
    CONDITIONS,
    LAMS,
    load,
    protocol,
    protocol_of,
)

# Options of one of the studies only, with what they are where they are not given.
OWN = {
    "dataset": {"lams": LAMS, "extent": None, "precision": "float32"},
    "comparison": {"backbone": "small"},
    "objective": {},
}
QUESTIONS = (against_simpler, on_top, equal_smoothness, overview)


def positive(text):
    """A number of epochs or seeds; 0 is none, and not the default."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more; got {text}")
    return number


def jobs(text):
    """A number of models at a time, as joblib takes it."""
    number = int(text)
    if number == 0:
        raise argparse.ArgumentTypeError("must be 1 or more, or -1 for one a core")
    return number


def parse(args=None):
    parser = argparse.ArgumentParser(
        prog="python -m sktopo.replication",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    study = parser.add_mutually_exclusive_group(required=True)
    study.add_argument("--dataset", choices=sorted(DATASETS), help="replicate on it")
    study.add_argument("--comparison", action="store_true", help="compare losses")
    study.add_argument("--objective", choices=list(OBJECTIVES), help="teach by it")
    add = parser.add_argument
    add("--store", type=Path, required=True, help="folder of the study")
    add("--seeds", type=positive, help="models of each condition and lam")
    add("--lams", type=float, nargs="+")
    add("--extent", choices=list(CONDITIONS), help="which conditions are run")
    add("--backbone", choices=sorted(BACKBONES), help="of the comparison")
    add("--epochs", type=positive, help="default: the paper's, 10 or 12")
    add("--precision", choices=["float32", "bfloat16", "auto"])
    add("--jobs", type=jobs, default=-1, help="models at a time; -1: one a core")
    add("--data-home", help="folder of the data sets")
    add("--dry-run", action="store_true", help="list models and expected time only")
    args = parser.parse_args(args)
    if args.store.exists() and not args.store.is_dir():
        parser.error(f"--store {args.store} is a file; give a folder")
    for which, options in OWN.items():
        asked = getattr(args, which)
        for name, default in options.items():
            if asked and getattr(args, name) is None:
                setattr(args, name, default)
            elif not asked and getattr(args, name) is not None:
                option = f"--{name.replace('_', '-')}"
                parser.error(f"{option} goes with --{which} only")
    return args


def make_study(args, data):
    """The study that was asked for, with what all have."""
    settings = {"store": args.store, "n_jobs": args.jobs}
    settings |= {} if args.epochs is None else {"epochs": args.epochs}
    settings |= {} if args.seeds is None else {"n_seeds": args.seeds}
    if args.comparison:
        return comparison(args.backbone, **settings)
    if args.objective:
        return objectives(args.objective, data, **settings)
    return protocol(
        args.dataset,
        precision=args.precision,
        extent=args.extent,
        lams=args.lams,
        **settings,
    )


def load_data(args):
    if args.dataset:
        return load(args.dataset, args.data_home)
    return load_comparison(data_home=args.data_home)


def expected_seconds(study, data):
    """Time of one model, from a part of an epoch and of the test images."""
    X, y, X_test, y_test = data
    mixed = np.random.default_rng(0).permutation(len(X))[:6400]
    X, y, n_images = X[mixed], y[mixed], len(X)  # which may be sorted by their labels
    torch.set_num_threads(1)
    tests = min(len(X_test), 1000)
    model = clone(study.estimator)
    model.set_params(max_epochs=1, random_state=0).fit(X[:128], y[:128])  # warm up
    start = time.perf_counter()
    model.fit(X, y)
    epoch = (time.perf_counter() - start) * n_images / len(X)
    fit = epoch * study.estimator.max_epochs
    start = time.perf_counter()
    measure(model, X_test[:tests], y_test[:tests], study.include, reference=model)
    return fit, (time.perf_counter() - start) * len(X_test) / tests


def dry_run(study, data, jobs):
    cells = study.cells()
    print(cells.to_string())
    by_condition = cells.groupby(["condition", "lam"], sort=False).size()
    print(by_condition.rename("models").to_string())
    fit, measures = expected_seconds(study, data)
    hours = len(cells) * (fit + measures) / 3600
    print(
        f"{len(cells)} models, each about {fit:.0f} s of training and {measures:.0f} s "
        f"of measures with one thread of this machine: {hours:.1f} hours in all, "
        f"{hours / jobs:.1f} with {jobs} at a time. What the store has is not redone."
    )


def tell_claims(study, args):
    """Write the claims and the report with them, and show their verdicts."""
    table = claims(study, args.dataset)
    table.to_csv(args.store / "claims.csv", index=False)
    study.seed_pairs().to_csv(args.store / "seed_pairs.csv", index=False)
    seeds, pilot = set(study.results_["seed"]), protocol_of(args.dataset).pilot
    if seeds & set(pilot) and seeds - set(pilot):
        without = claims(study, args.dataset, without_seeds=pilot)
        without.to_csv(args.store / "claims_without_pilot.csv", index=False)
    title = args.dataset.replace("_", " ")
    study.report(args.store / "report.html", title, claims=table)
    table = table[table["kind"] == "test"]
    shown = ["claim", "contrast", "n", "estimate", "low", "high", "delta", "verdict"]
    print(table[shown].round(3).to_string(index=False))


def tell_comparison(study, args):
    """Write the report and a table a question, and show the first two."""
    study.report(args.store / "report.html", "Fashion-MNIST, a comparison of losses")
    for question in QUESTIONS:
        table = question(study.results_)
        table.to_csv(args.store / f"{question.__name__}.csv", index=False)
        if question in QUESTIONS[:2] and len(table):
            print(table.round(3).to_string(index=False), end="\n\n")


def tell_objective(study, args):
    """Write the report and how alike seeds are, and show what the probe reads."""
    study.seed_pairs().to_csv(args.store / "seed_pairs.csv", index=False)
    study.report(args.store / "report.html", f"Fashion-MNIST, {args.objective}")
    means = study.summary()
    means = means[means["group"] == "linear_probe"]
    shown = ["condition", "lam", "mean", "low", "high", "n_seeds"]
    print(means[shown].round(4).to_string(index=False))


TELL = {
    "dataset": tell_claims,
    "comparison": tell_comparison,
    "objective": tell_objective,
}


def main(args=None):
    """What the command does; what it cannot do is told without a traceback."""
    args = parse(args)
    try:
        run(args)
    except KeyboardInterrupt as stopped:
        sys.exit(str(stopped) or "stopped")
    except (ImportError, OSError, ValueError) as error:  # no data, another's store
        sys.exit(f"{type(error).__name__}: {error}")


def run(args):
    data = load_data(args)
    study = make_study(args, data)
    if args.dry_run:
        dry_run(study, data, joblib.effective_n_jobs(args.jobs))
        return
    study.run(*data)
    study.results_.to_csv(args.store / "results.csv.gz", index=False)
    (asked,) = [name for name in TELL if getattr(args, name)]
    TELL[asked](study, args)
    print(f"{args.store / 'report.html'} and results.csv.gz beside it")


if __name__ == "__main__":
    main()
