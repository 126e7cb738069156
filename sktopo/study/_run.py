"""Running the cells of a study: workers, what they keep, what ends them (private)."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import multiprocessing
import tempfile
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import joblib
import numpy as np
import safetensors.numpy
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.utils import check_consistent_length
from sklearn.utils.multiclass import check_classification_targets
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from sktopo._images import validate_images
from sktopo._labels import as_labels, check_label_types
from sktopo._layers import find_layer
from sktopo._measures.registry import GROUPS, look, take
from sktopo._saving import serialise
from sktopo._training.making import make_module
from sktopo.frozen import FrozenNetwork
from sktopo.study._guests import as_table
from sktopo.study._plan import CONTROL, Cell
from sktopo.study._responses import responses
from sktopo.study._store import MODEL, RESPONSES, Store, table_bytes, table_name


@dataclasses.dataclass(frozen=True)
class Task:
    """What a cell lacks, and all that is needed to make it.

    Parameters
    ----------
    store : Store
        Where it is kept.
    cell : Cell
        The model.
    known : dict
        What the store has of it, as `Store.read_manifest` gives it.
    missing : list of (str or None, str)
        Layers and groups of measures to take.
    estimator : TopographicEstimator or FrozenNetwork
        What is trained, where there is no model yet; or is only measured.
    random_state : int
        Of the measures.
    control : TopographicEstimator
        What the control of its seed was trained as.
    measures : dict
        The user's own measures by name.
    data : dict
        Checked images and labels.
    """

    store: Store
    cell: Cell
    known: dict
    missing: list
    estimator: BaseEstimator
    random_state: int
    control: BaseEstimator
    measures: dict
    data: dict

    @property
    def is_trained(self):
        """Whether the study trains it, and keeps its weights and responses."""
        return not isinstance(self.estimator, FrozenNetwork)


# ------------------------------------------------------------------ the data


def check_data(estimator, X_train, y_train, X_test, y_test):
    """Images and labels, checked, by name; nobody can write to them.

    Parameters
    ----------
    estimator : TopographicEstimator
        Remembers shape and names of the features that it sees.
    X_train, y_train, X_test, y_test : array-like
        As `TopographicStudy.run` takes them.

    Returns
    -------
    dict
        Arrays "X_train", "y_train", "X_test" and "y_test".
    """
    data = {}
    for name, X, y in (("train", X_train, y_train), ("test", X_test, y_test)):
        if np.shape(y)[1:] not in ((), (1,)):
            raise ValueError(
                f"y_{name} has shape {np.shape(y)}, as images have. Give X_train, "
                f"y_train, X_test, y_test, in this order (train_test_split gives "
                f"another)."
            )
        y = as_labels(y)
        shape = {"image_shape": estimator.image_shape} if name == "train" else {}
        X = validate_images(estimator, X, reset=name == "train", **shape)
        check_consistent_length(X, y)
        check_classification_targets(y)
        # views that no guest can write through: all cells see the same values
        data[f"X_{name}"], data[f"y_{name}"] = _read_only(X), _read_only(y)
    if len(np.unique(data["y_train"])) < 2:
        raise ValueError("y_train holds one class only; two are needed.")
    check_label_types(data["y_test"], np.unique(data["y_train"]))
    known = np.isin(data["y_test"], data["y_train"])
    if not known.all():
        unknown = np.unique(data["y_test"][~known]).tolist()
        raise ValueError(
            f"y_test holds classes that y_train does not: {unknown[:10]}. Test on "
            f"images of the classes that were trained."
        )
    return data


def _read_only(values):
    values = values.view()
    values.flags.writeable = False
    return values


def check_layers(plan, classes):
    """Raise a ValueError for a layer that a network will not have, where that is known.

    Networks with a backbone of the user's own are looked at when they are measured.
    """
    shape = plan.base.image_shape_
    for name, settings in plan.conditions.items():
        estimator = clone(plan.base).set_params(**settings)
        if not plan.layers or callable(estimator.backbone):
            continue
        estimator.image_shape_, estimator.classes_ = shape, classes
        with torch.device("meta"):
            mean, std = torch.zeros(shape[0]), torch.ones(shape[0])
            network = make_module(estimator, mean, std, generator=None)
        for layer in plan.layers:
            try:
                find_layer(network, layer, "layers")
            except ValueError as error:
                raise ValueError(f"Condition {name!r}: {error}") from None


# ------------------------------------------------------------------ all cells


def run_plan(plan, store, data, n_jobs, verbose):
    """Train and measure what a store lacks, controls first.

    Parameters
    ----------
    plan : Plan
        What is to be there.
    store : Store
        Where it is kept.
    data : dict
        As `check_data` gives it.
    n_jobs : int
        Cells at a time, as in joblib.
    verbose : int
        Whether to show a bar.

    Returns
    -------
    dict
        The text of the error of each cell that failed.
    """
    cells, tasks = plan.cells, {}
    for cell in cells:
        task = _task(plan, store, data, cell)
        whole = RESPONSES in task.known or not task.is_trained
        if task.missing or not whole:
            tasks[cell] = task
    errors = {}
    bar = tqdm(
        total=len(cells),
        initial=len(cells) - len(tasks),
        unit="model",
        disable=not verbose,
    )
    with bar:
        # measures of the others need the control of their seed
        for of_control in (True, False):
            chosen = []
            for cell, task in tasks.items():
                if (cell.condition == CONTROL) != of_control:
                    continue
                if cell.control in errors:
                    errors[cell] = f"its control failed: {errors[cell.control]}"
                    bar.update()
                else:
                    chosen.append(task)
            errors.update(run_cells(chosen, n_jobs, bar))
    return errors


def _task(plan, store, data, cell):
    known = store.read_manifest(cell)
    return Task(
        store,
        cell,
        known,
        [(at, g) for at, g in plan.parts(cell) if table_name(g, at) not in known],
        plan.estimator(cell),
        plan.random_state_of(cell),
        plan.estimator(cell.control),
        plan.measures,
        data,
    )


@contextlib.contextmanager
def told_how_to_go_on(folder):
    """An interruption says what was kept, without the traces of the workers."""
    try:
        yield
    except KeyboardInterrupt:
        kept = (
            f"what is finished is in {folder}: call run() again, and it goes on there"
            if folder
            else "nothing is kept: give the study a folder, store=..., to go on later"
        )
        raise KeyboardInterrupt(f"The study was stopped; {kept}.") from None


# ------------------------------------------------------------------ workers


def run_cells(tasks, n_jobs, bar):
    """Train and measure cells: one at a time in this process, more in workers.

    A worker that is killed (as when memory runs out) fails the cell that it had, if
    that happens to the cell again when it runs alone, and no other.

    Parameters
    ----------
    tasks : list of Task
        What is to be done.
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
    while tasks:
        with tempfile.TemporaryDirectory() as marks:
            done, killed = _run_until_killed(tasks, n_jobs, bar, Path(marks))
            errors |= done
            started = {int(mark.name) for mark in Path(marks).iterdir()}
        if not killed:
            break
        suspects = [
            t for i, t in enumerate(tasks) if i in started and t.cell not in done
        ]
        for task in suspects:
            errors |= _run_alone(task, bar)
        ended = {task.cell for task in suspects} | set(done)
        if not ended:
            raise RuntimeError(
                "Worker processes end before they have begun. Is there enough memory?"
            )
        tasks = [task for task in tasks if task.cell not in ended]
    return {cell: error for cell, error in errors.items() if error}


def _run_until_killed(tasks, n_jobs, bar, marks):
    """Errors (or None) of the cells that ended, and whether a worker was killed."""
    done = {}
    parallel = _parallel(n_jobs)
    jobs = (
        joblib.delayed(_marked)(marks / str(i), i, task) for i, task in enumerate(tasks)
    )
    try:
        for i, error in parallel(jobs):
            done[tasks[i].cell] = error
            bar.update()
    except BrokenProcessPool:
        return done, True
    return done, False


def _run_alone(task, bar):
    with tempfile.TemporaryDirectory() as marks:
        # two, of which one has nothing to do: one job would run in this process
        done, killed = _run_until_killed([task], 2, bar, Path(marks))
    if not killed:
        return done
    bar.update()
    return {task.cell: "its worker process was killed, twice: is there enough memory?"}


def _parallel(n_jobs):
    """joblib's Parallel, whose results come as they are ready where that can be."""
    if multiprocessing.current_process().daemon:  # it must not have children
        return joblib.Parallel(1, backend="sequential", return_as="generator")
    try:
        return joblib.Parallel(n_jobs, batch_size=1, return_as="generator_unordered")
    except ValueError:  # a backend that gives all results at the end
        return joblib.Parallel(n_jobs, batch_size=1)


# --------------------------------------------------------------------- in a worker


def _marked(mark, i, task):
    """Run a cell; a mark stands while it runs, and stays if the process is killed."""
    with contextlib.suppress(OSError):  # a worker on another machine
        mark.touch()
    error = _run_cell(task)
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


def _run_cell(task):
    """Train and measure what a cell lacks; the error's text if that cannot be."""
    try:
        with _one_thread():
            estimator, known = _train(task)
            files = {}
            if task.is_trained and RESPONSES not in known:
                classes = np.unique(task.data["y_train"])
                X, y = task.data["X_test"], task.data["y_test"]
                found = responses(estimator, X, y, classes)
                files[RESPONSES] = safetensors.numpy.save(found)
            files |= _measure(estimator, task)
            task.store.add(task.cell, files, known)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit and its like must not end the study
        return f"{type(error).__name__}: {error}"
    return None


def _train(task):
    """The fitted estimator of a cell, and what the store has of it."""
    estimator = task.estimator
    if not task.is_trained:
        return estimator, task.known
    if MODEL in task.known:
        settings = estimator.get_params(deep=False)
        return task.store.load_model(task.cell, settings, type(estimator)), task.known
    # a clone, so that tasks that wait for the others hold no trained models
    fitted = clone(estimator).fit(task.data["X_train"], task.data["y_train"])
    # without times a file is the same whoever makes it: the worker of a killed study
    # may still be at it
    for epoch in fitted.net_.history:
        del epoch["dur"]
    return fitted, task.store.add(task.cell, {MODEL: serialise(fitted)}, {})


def _measure(estimator, task):
    """Tables of the groups that are missing, as files."""
    X, y = task.data["X_test"], task.data["y_test"]
    files, common = {}, {}
    for layer, group in task.missing:
        if group in GROUPS:
            common.setdefault(layer, []).append(group)
    control = estimator
    if task.cell != task.cell.control:
        settings = task.control.get_params(deep=False)
        cls = type(task.control)
        control = task.store.load_model(task.cell.control, settings, cls)
    for layer, groups in common.items():
        table = take(look(estimator, X, y, control, task.random_state, layer), groups)
        for group in groups:
            part = table[table["group"] == group]
            files[table_name(group, layer)] = table_bytes(part)
    for _, group in task.missing:
        if group not in GROUPS:
            # a guest begins anew with each model, gets a copy of it, and cannot change
            # the images
            guest = copy.deepcopy(task.measures[group])
            found = guest(copy.deepcopy(estimator), X, y)
            files[table_name(group)] = table_bytes(as_table(found, group, len(y)))
    return files
