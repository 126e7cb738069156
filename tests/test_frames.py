"""Frames of any library: names of columns are never lost, and order is checked."""

import inspect
import itertools

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from conftest import LOOKS
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from sktopo import (
    GridActivations,
    ImageNoise,
    TopographicCNNClassifier,
    robustness,
)

NAMES = [f"pixel{i}" for i in range(64)]
FRAMES = {
    "pandas": lambda columns: pd.DataFrame(columns),
    "polars": lambda columns: pl.DataFrame(columns),
    "Arrow table": lambda columns: pa.table(columns),
    "Arrow batch": lambda columns: pa.record_batch(columns),
}
ESTIMATORS = {
    "classifier": lambda clf: clf,
    "GridActivations": GridActivations,
    "ImageNoise": lambda clf: ImageNoise(random_state=0),
}


def columns(X, order=None):
    flat = X.reshape(len(X), -1)
    order = np.arange(64) if order is None else order
    return {NAMES[i]: flat[:, i].copy() for i in order}


@pytest.fixture(scope="module")
def small():
    return TopographicCNNClassifier(
        lam=0.3, grid_shape=(3, 3), max_epochs=1, lr=0.01, random_state=0
    )


def methods_of_images(estimator):
    """Public methods that take X, but for those that learn."""
    names = []
    for name in dir(type(estimator)):
        if name.startswith("_") or "fit" in name or "request" in name:
            continue
        attribute = inspect.getattr_static(type(estimator), name)
        if inspect.isfunction(attribute):
            first = list(inspect.signature(attribute).parameters)[1:2]
            names.extend([name] if first == ["X"] else [])
    return names


def call(estimator, name, X, y):
    method = getattr(estimator, name)
    return method(X, y) if name == "score" else method(X)


@pytest.mark.parametrize("kind", ESTIMATORS)
@pytest.mark.parametrize("first", FRAMES)
def test_order_of_columns_is_checked_between_any_frames(first, kind, small, digits):
    X, y = digits
    X, y = X[:40], y[:40]
    estimator = ESTIMATORS[kind](clone(small))
    plain = clone(estimator).fit(X.reshape(40, -1), y)
    estimator.fit(FRAMES[first](columns(X)), y)
    assert estimator.feature_names_in_.tolist() == NAMES
    names = methods_of_images(estimator)
    assert "transform" in names
    for second, name in itertools.product(FRAMES, names):
        found = call(estimator, name, FRAMES[second](columns(X)), y)
        np.testing.assert_array_equal(found, call(plain, name, X.reshape(40, -1), y))
        turned = FRAMES[second](columns(X, np.arange(64)[::-1]))
        with pytest.raises(ValueError, match="same order as they were in fit"):
            call(estimator, name, turned, y)
        other = FRAMES[second]({f"x{n}": v for n, v in columns(X).items()})
        with pytest.raises(ValueError, match="unseen at fit time"):
            call(estimator, name, other, y)


@pytest.mark.parametrize("form", FRAMES)
def test_order_of_columns_is_checked_by_all_that_look_at_a_model(form, small, digits):
    X, y = digits
    X, y = X[:40], y[:40]
    frame, turned = (FRAMES[form](columns(X, o)) for o in (None, np.arange(64)[::-1]))
    clf = clone(small).fit(FRAMES[form](columns(X)), y)
    pipeline = make_pipeline(ImageNoise(random_state=0), clone(small)).fit(frame, y)
    for look in LOOKS.values():
        look(clf, frame, y)
        for model in (clf, pipeline):
            with pytest.raises(ValueError, match="same order as they were in fit"):
                look(model, turned, y)


@pytest.mark.parametrize("form", FRAMES)
def test_training_goes_on_in_the_same_order_only(form, small, digits):
    X, y = digits
    X, y = X[:40], y[:40]
    turned = FRAMES[form](columns(X, np.arange(64)[::-1]))
    clf = clone(small).partial_fit(FRAMES[form](columns(X)), y, classes=range(10))
    with pytest.raises(ValueError, match="same order"):
        clf.partial_fit(turned, y)
    with pytest.raises(ValueError, match="same order"):
        clf.set_params(warm_start=True).fit(turned, y)
    with pytest.warns(UserWarning, match="valid feature names"):
        clf.predict(X.reshape(40, -1))


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_polars_comes_out_where_it_is_asked_for(kind, small, digits):
    X, y = digits
    frame = pl.DataFrame(columns(X[:40]))
    estimator = ESTIMATORS[kind](clone(small)).fit(frame, y[:40])
    plain = estimator.transform(frame)
    found = estimator.set_output(transform="polars").transform(frame)
    assert isinstance(found, pl.DataFrame)
    assert found.columns == estimator.get_feature_names_out().tolist()
    np.testing.assert_array_equal(found.to_numpy(), plain)


def test_labels_and_weights_are_columns_of_any_frame(small, digits):
    X, y = digits
    X, y = X[:80], y[:80]
    names = y.astype(str)
    usual = clone(small).fit(X, names, np.arange(80) + 1.0)
    for labels, weights in (
        (pl.Series(names), pl.Series(np.arange(80) + 1.0)),
        (pl.Series(names, dtype=pl.Categorical), pa.array(np.arange(80) + 1.0)),
        (pa.array(names), pa.chunked_array([np.arange(80) + 1.0])),
        (pa.array(names).dictionary_encode(), np.arange(80) + 1.0),
        (pd.Series(names, dtype=pd.ArrowDtype(pa.string())), np.arange(80) + 1.0),
    ):
        found = clone(small).fit(X, labels, weights)
        assert found.classes_.tolist() == usual.classes_.tolist()
        assert np.array_equal(found.predict_proba(X), usual.predict_proba(X))
        curves = [robustness.pruning_curve(found, X, v) for v in (labels, names)]
        pd.testing.assert_frame_equal(*curves)


@pytest.mark.parametrize("form", ["polars", "Arrow table", "Arrow batch"])
def test_missing_values(form, small, digits):
    X, y = digits
    missing = {**columns(X[:40]), "pixel5": [None] * 40}
    with pytest.raises(ValueError, match=r"NaN|numeric|finite"):
        clone(small).fit(FRAMES[form](missing), y[:40])
    for labels in (pl.Series([None, *y[1:40]]), pa.array(["a", None] * 20)):
        with pytest.raises(ValueError, match=r"NaN|missing labels"):
            clone(small).fit(X[:40], labels)


def test_lazy_frames_are_to_be_collected(small, digits):
    X, y = digits
    X, y = X[:40], y[:40]
    frame = pl.DataFrame(columns(X))
    clf = clone(small).fit(frame, y)
    for make in ESTIMATORS.values():
        with pytest.raises(TypeError, match=r"X is a lazy frame.*X.collect\(\)"):
            make(clone(small)).fit(frame.lazy(), y)
    for name in methods_of_images(clf):
        with pytest.raises(TypeError, match=r"X.collect\(\)"):
            call(clf, name, frame.lazy(), y)
    for look in LOOKS.values():
        with pytest.raises(TypeError, match=r"X.collect\(\)"):
            look(clf, frame.lazy(), y)
    labels = pl.DataFrame({"y": y}).lazy()
    with pytest.raises(TypeError, match=r"y.collect\(\)"):
        clone(small).fit(frame, labels)
