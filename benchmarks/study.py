"""What a study costs beside its fits and measures run one by one."""

import tempfile
from functools import partial

import numpy as np
import pandas as pd
from rows import beside, fastest

from sktopo import TopographicCNNClassifier, measure
from sktopo.datasets import load_digits_images
from sktopo.study import TopographicStudy

LOSSES = ("ws", "as")


def one_by_one(estimator, lams, data, seed=100):
    """Fit and measure each model in this process, and keep nothing."""
    X, y, X_test, y_test = data
    state = int(np.random.SeedSequence([0, seed]).generate_state(1)[0])
    conditions = [(None, 0), *((loss, lam) for loss in LOSSES for lam in lams)]
    tables, control = [], None
    for loss, lam in conditions:
        clf = TopographicCNNClassifier(**estimator.get_params())
        clf.set_params(topo_loss=loss, lam=lam, random_state=state).fit(X, y)
        control = control or clf
        tables.append(
            measure(clf, X_test, y_test, reference=control, random_state=state)
        )
    return pd.concat(tables)


def as_study(estimator, lams, data):
    """The same as a study, with a store."""
    with tempfile.TemporaryDirectory() as store:
        study = TopographicStudy(
            estimator, topo_losses=LOSSES, lams=lams, n_seeds=1, store=store, verbose=0
        )
        return study.run(*data).results_


def prepared(size):
    """The estimator, the lams and the digits."""
    X, y = load_digits_images(return_X_y=True)
    n = size.study_images
    estimator = TopographicCNNClassifier(
        backbone="small", max_epochs=size.study_epochs, lr=3e-3, batch_size=32
    )
    return estimator, size.study_lams, (X[:n], y[:n], X[-n // 2 :], y[-n // 2 :])


def study_rows(size):
    """A row; both must find the same values."""
    given, tables = prepared(size), {}

    def keep(run):
        tables[run] = run(*given)

    spent = fastest(
        size.few_turns,
        ours=(partial(keep, as_study), 1),
        **{"one by one": (partial(keep, one_by_one), 1)},
    )
    values = [np.sort(table["value"]) for table in tables.values()]
    np.testing.assert_array_equal(*values)
    what = f"{1 + len(LOSSES) * len(size.study_lams)} models, digits"
    yield from beside("study", what, spent, size.few_turns)
