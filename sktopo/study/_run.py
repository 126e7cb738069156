"""Running the cells of a study: workers, what they keep, what ends them (private)."""

from __future__ import annotations

import contextlib
import copy
import multiprocessing
import tempfile
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from numbers import Real
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import safetensors.numpy
import torch
from joblib.executor import get_memmapping_executor
from joblib.parallel import LokyBackend, get_active_backend
from threadpoolctl import threadpool_limits

from sktopo import metrics
from sktopo._measures.registry import GROUPS, measure
from sktopo._measures.results import COLUMNS
from sktopo._saving import _serialise
from sktopo.metrics.activations import Activations
from sktopo.study._store import MODEL, RESPONSES, table_bytes, table_name

# Images of each class whose responses are kept.
PER_CLASS = 100


# ----------------------------------------------------------------- in the main process


class _OneWorker(LokyBackend):
    """joblib's loky with one worker process, where joblib itself would start none."""

    def configure(self, n_jobs=1, parallel=None, **settings):
        environment = self._prepare_worker_env(n_jobs=joblib.cpu_count())
        self._workers = get_memmapping_executor(
            1, env=environment, context_id=parallel._id
        )
        self.parallel = parallel
        return n_jobs


def run_cells(calls, n_jobs, bar):
    """Train and measure cells, in worker processes where there can be some.

    A worker that is killed (as when memory runs out) fails the cell that it had, if
    that happens to the cell again when it runs alone, and no other.

    Parameters
    ----------
    calls : list of tuple
        Arguments of `_run_cell`; the second is the cell.
    n_jobs : int
        Cells at a time, as in joblib.
    bar : tqdm
        Is moved on by each cell that has ended.

    Returns
    -------
    dict
        The text of the error of each cell that failed.
    """
    errors = {}
    while calls:
        with tempfile.TemporaryDirectory() as marks:
            done, killed = _run_until_killed(calls, n_jobs, bar, Path(marks))
            errors |= done
            started = {int(mark.name) for mark in Path(marks).iterdir()}
        if not killed:
            break
        suspects = [c for i, c in enumerate(calls) if i in started and c[1] not in done]
        for call in suspects:
            errors |= _run_alone(call, bar)
        ended = {call[1] for call in suspects} | set(done)
        if not ended:
            raise RuntimeError(
                "Worker processes end before they have begun. Is there enough memory?"
            )
        calls = [call for call in calls if call[1] not in ended]
    return {cell: error for cell, error in errors.items() if error}


def _run_until_killed(calls, n_jobs, bar, marks):
    """Errors (or None) of the cells that ended, and whether a worker was killed."""
    done = {}
    parallel = _parallel(n_jobs)
    jobs = (
        joblib.delayed(_marked)(marks / str(i), i, call) for i, call in enumerate(calls)
    )
    try:
        for i, error in parallel(jobs):
            done[calls[i][1]] = error
            bar.update()
    except BrokenProcessPool:
        return done, True
    return done, False


def _run_alone(call, bar):
    with tempfile.TemporaryDirectory() as marks:
        done, killed = _run_until_killed([call], 1, bar, Path(marks))
    if not killed:
        return done
    bar.update()
    return {call[1]: "its worker process was killed, twice: is there enough memory?"}


def _parallel(n_jobs):
    """joblib's Parallel, whose results come as they are ready where that can be."""
    if multiprocessing.current_process().daemon:  # it must not have children
        return joblib.Parallel(1, backend="sequential", return_as="generator")
    backend, _ = get_active_backend()
    if isinstance(backend, LokyBackend) and joblib.effective_n_jobs(n_jobs) == 1:
        # of a single job joblib thinks that it needs no worker
        settings = {"n_jobs": 2, "backend": _OneWorker()}
    else:
        settings = {"n_jobs": n_jobs}
    try:
        return joblib.Parallel(
            batch_size=1, return_as="generator_unordered", **settings
        )
    except ValueError:  # a backend that gives all results at the end
        return joblib.Parallel(batch_size=1, **settings)


# --------------------------------------------------------------------- in a worker


def _marked(mark, i, call):
    """Run a cell; a mark stands while it runs, and stays if the process is killed."""
    with contextlib.suppress(OSError):  # a worker on another machine
        mark.touch()
    error = _run_cell(*call)
    mark.unlink(missing_ok=True)
    return i, error


@contextlib.contextmanager
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


def _run_cell(
    store,
    cell,
    known,
    missing,
    reference,
    estimator,
    control_settings,
    own_measures,
    data,
):
    """Train and measure what a cell lacks; the error's text if that cannot be."""
    X, y = data["X_test"], data["y_test"]
    cls = type(estimator)
    try:
        with _one_thread():
            if MODEL in known:
                settings = estimator.get_params(deep=False)
                classifier = store.load_model(cell, settings, cls)
            else:
                classifier = estimator.fit(data["X_train"], data["y_train"])
                # without times a file is the same whoever makes it: the worker of a
                # killed study may still be at it
                for epoch in classifier.net_.history:
                    del epoch["dur"]
                known = store.add(cell, {MODEL: _serialise(classifier)}, {})
            control = classifier
            if cell != reference:
                control = store.load_model(reference, control_settings, cls)
            files = {}
            if RESPONSES not in known:
                found = responses(classifier, X, y)
                files[RESPONSES] = safetensors.numpy.save(found)
            files |= _measure(classifier, X, y, control, missing, own_measures)
            store.add(cell, files, known)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit and its like must not end the study
        return f"{type(error).__name__}: {error}"
    return None


def _measure(classifier, X, y, control, groups, own_measures):
    """Tables of the groups that are missing, as files."""
    files = {}
    common = [group for group in groups if group in GROUPS]
    if common:
        table = measure(
            classifier,
            X,
            y,
            common,
            reference=control,
            random_state=classifier.random_state,
        )
        for group in common:
            part = table[table["group"] == group]
            files[table_name(group)] = table_bytes(part)
    for group in groups:
        if group not in GROUPS:
            # a guest gets a model of its own, and images that it cannot change
            found = own_measures[group](copy.deepcopy(classifier), X, y)
            files[table_name(group)] = table_bytes(as_table(found, group, len(y)))
    return files


def as_table(found, group, n):
    """What a measure of the user's own gave, as rows of the results.

    Parameters
    ----------
    found : float or DataFrame
        A number, or a table with a column "value" and possibly "measure", "parameter"
        and "n".
    group : str
        Name of the measure.
    n : int
        Number of images, where the table has no n.

    Returns
    -------
    DataFrame
        group, measure, parameter, value, n.

    Raises
    ------
    ValueError
        If it is no such thing, or a row comes twice.
    """
    if not isinstance(found, pd.DataFrame):
        if np.ndim(found) > 0:
            raise _bad_table(group, f"a {type(found).__name__}")
        number = found.detach() if isinstance(found, torch.Tensor) else found
        found = pd.DataFrame({"value": [number]})
    columns = found.columns
    if columns.nlevels > 1 or columns.has_duplicates or "value" not in columns:
        raise _bad_table(group, f"columns {columns.tolist()}")
    if len(found) == 0:
        raise _bad_table(group, "no rows")
    defaults = {"measure": group, "parameter": "", "n": n}
    found = found.assign(**{k: v for k, v in defaults.items() if k not in columns})
    texts, numbers = partial(_as_text, group), partial(_as_number, group)
    table = pd.DataFrame(
        {
            "group": [group] * len(found),
            "measure": [texts("measure", v) for v in found["measure"]],
            "parameter": [texts("parameter", v) for v in found["parameter"]],
            "value": [numbers("value", v) for v in found["value"]],
            "n": [numbers("n", v) for v in found["n"]],
        }
    )
    n = table["n"]
    if not ((n >= 0) & (n < 2**53) & (n == np.floor(n))).all():
        raise _bad_table(group, f"n = {n.tolist()[:5]}")
    twice = table.duplicated(["measure", "parameter"])
    if twice.any():
        rows = table.loc[twice, ["measure", "parameter"]].drop_duplicates()
        raise _bad_table(group, f"rows that come twice: {rows.values.tolist()[:5]}")
    return table[list(COLUMNS)].astype({"n": np.int64})


def _bad_table(group, given):
    return ValueError(
        f"The measure {group!r} must give a number, or a DataFrame with a column "
        f"'value' of numbers, at least one row, and possibly 'measure', 'parameter' "
        f"(text of one line, no row twice) and 'n' (whole numbers); got {given}."
    )


def _as_text(group, name, value):
    missing = value is None or (np.ndim(value) == 0 and pd.isna(value))
    text = str(value)
    readable = text.encode("utf-8", "replace").decode() == text
    if missing or not readable or "\0" in text or len(f"{text}.".splitlines()) > 1:
        raise _bad_table(group, f"{value!r} in {name!r}")
    return text


def _as_number(group, name, value):
    if value is pd.NA:
        return np.nan
    kinds = isinstance(value, Real | np.bool_) or getattr(value, "ndim", None) == 0
    if not kinds or np.iscomplexobj(value) or np.ma.is_masked(value):
        raise _bad_table(group, f"{value!r} in {name!r}")
    try:
        return float(value)
    except OverflowError as error:
        raise _bad_table(group, f"a number beyond float64 in {name!r}") from error


def responses(classifier, X, y):
    """What the study keeps of a model's responses; see `response_shapes`."""
    classes = classifier.classes_
    A = classifier.transform(X)
    rows = [np.flatnonzero(y == label)[:PER_CLASS] for label in classes]
    rows = np.sort(np.concatenate(rows))
    r = Activations(A).correlations
    r = r[np.triu_indices(len(r), k=1)]
    precision = metrics.average_precision(A, y, classes)
    experts = metrics.expert_units(A, y, classes=classes)
    return {
        "activations": A[rows],
        "class_means": metrics.class_means(A, y).astype(np.float32),
        "readout": classifier.readout_weights_,
        "average_precision": precision,
        "experts": experts.astype(np.uint8),
        "correlations": r[~np.isnan(r)].astype(np.float32),
        "rows": rows.astype(np.int64),
    }


def response_shapes(n_units, n_classes):
    """Shapes of `responses`; None where the data decide."""
    return {
        "activations": (None, n_units),
        "class_means": (None, n_units),
        "readout": (n_classes, n_units),
        "average_precision": (n_units, n_classes),
        "experts": (n_units, n_classes),
        "correlations": (None,),
        "rows": (None,),
    }
