"""The one schema of results: what is written is read back, and rows are found."""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sktopo import (
    TopographicCNNClassifier,
    measure,
    measure_activations,
    select_results,
)
from sktopo._measures import registry
from sktopo._measures.group import Group
from sktopo._measures.results import (
    parameter_in_words,
    read_parameter,
    renamed,
    select_one,
    write_parameter,
)
from sktopo.study import TopographicStudy

KEYS = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
WORDS = st.from_regex(r"[a-z<][a-z_ -]{0,8}", fullmatch=True)
NUMBERS = st.one_of(st.integers(-(10**9), 10**9), st.floats(allow_nan=False))


@given(st.dictionaries(KEYS, st.one_of(NUMBERS, WORDS), max_size=4))
def test_what_is_written_is_read_back(conditions):
    for value in conditions.values():
        if isinstance(value, str) and value.strip() in ("inf", "infinity", "nan"):
            return
    found = read_parameter(write_parameter(**conditions))
    assert found == conditions
    assert list(found) == list(conditions)
    assert [type(v) for v in found.values()] == [type(v) for v in conditions.values()]


def test_numpy_numbers_are_written_as_python_writes_them():
    text = write_parameter(sigma=np.float64(0.1), lag=np.int64(2), distance=np.int32(3))
    assert text == "sigma=0.1, lag=2, distance=3"
    assert write_parameter() == ""
    assert read_parameter("") == read_parameter("as one likes") == {}


def test_parameters_in_words():
    words = {
        "noise=weight, layers=head, mean_up_to=1.0": "weight, head, mean up to 1",
        "noise=image, kind=salt_and_pepper, level=0.05": (
            "image, salt and pepper, level 0.05"
        ),
        "distance=3": "distance 3",
        "": "",
        "a_b $c$": "a_b $c$",
    }
    assert {text: parameter_in_words(text) for text in words} == words


@pytest.mark.parametrize("value", ["a=b", "a, b", "sigma<=1"])
def test_values_that_could_not_be_read_are_refused(value):
    with pytest.raises(ValueError, match="cannot be a parameter"):
        write_parameter(name=value)


def test_select_results_of_swapped_arguments(table):
    with pytest.raises(TypeError, match="in this order; got a str and a DataFrame"):
        select_results("morans_i", table)


@pytest.fixture(scope="module")
def table(fitted, digits):
    X, y = digits
    return measure(fitted, X[1200:1400], y[1200:1400], reference=fitted)


def test_all_parameters_are_of_the_schema(table):
    for text in table["parameter"].unique():
        assert write_parameter(**read_parameter(text)) == text
    told_apart = table.groupby("measure")["parameter"].agg(
        lambda texts: len({tuple(read_parameter(text)) for text in texts})
    )
    # by what a measure is told apart is the same for all its rows, but for noise
    assert set(told_apart[told_apart > 1].index) == {
        "accuracy_change",
        "accuracy_retained",
        "accuracy_under_noise",
        "rsm_similarity",
    }


def test_a_name_means_one_thing(table, fitted, digits):
    X, y = digits
    rows = select_results(table, "accuracy")
    assert rows["value"].item() == fitted.score(X[1200:1400], y[1200:1400])
    assert table.groupby("measure")["group"].nunique().eq(1).all()


def test_rows_are_found(table):
    noise = {"noise": "weight", "layers": "head", "scale": "std"}
    rows = select_results(table, "accuracy_change", **noise)
    assert len(rows) == 5 + 2
    assert rows.equals(table.loc[rows.index])
    for sigma in (1, 1.0, np.float32(1)):
        found = select_results(table, "accuracy_change", **noise, sigma=sigma)
        assert found["parameter"].item().endswith("sigma=1.0")
    means = select_results(table, "accuracy_change", **noise, sigma=None)
    assert means["parameter"].str.contains("mean_up_to").all()
    assert len(select_results(table, "correlation", group="smoothness", n=420)) == 1


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({"measure": "moran"}, "No measure 'moran'; did you mean 'morans_i'"),
        ({"measure": "accuracy", "sigma": 1}, "by no parameter"),
        (
            {"measure": "morans_i", "sigma": 1},
            "columns group, measure, and by neighborhood.",
        ),
        (
            {"measure": "correlation", "distance": 99},
            "has distance=99; distance is 1, 2, 3",
        ),
        (
            {"measure": "accuracy_change", "noise": "wieght"},
            "has noise='wieght'; did you mean 'weight'?",
        ),
        ({"measure": "correlation", "distance": "far"}, "has distance='far'"),
    ],
)
def test_what_is_not_there(table, conditions, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        select_results(table, **conditions)


def test_one_parameter(table):
    assert select_one(table, "accuracy")["parameter"].item() == ""
    assert len(select_one(table, "morans_i", neighborhood="moore")) == 1
    with pytest.raises(ValueError, match="neighborhood=moore; neighborhood=von_neu"):
        select_one(table, "morans_i")
    other = table.assign(group="mine")
    with pytest.raises(ValueError, match="several groups"):
        select_one(pd.concat([table, other]), "accuracy")


OLD_NAMES = {
    ("morans_i", "moore"): ("morans_i", "neighborhood=moore"),
    ("mirror_index", "up-down"): ("mirror_index", "axis=up-down"),
    ("linear_cka", "with the reference"): ("linear_cka", "to=reference"),
    ("max", "grid weights, correlation"): ("max", "of=weights, matrix=correlation"),
    ("entropy", "activations, covariance"): (
        "entropy",
        "of=activations, matrix=covariance",
    ),
    ("accuracy", "image noise, mean"): (
        "accuracy_under_noise",
        "noise=image, kind=all, mean_up_to=0.2",
    ),
    ("accuracy_change", "image noise, pink, level=0.1"): (
        "accuracy_change",
        "noise=image, kind=pink, level=0.1",
    ),
    ("accuracy", "pruning, block, mean"): (
        "accuracy_under_pruning",
        "pruning=block, mean_up_to=1.0",
    ),
    **{
        (measure, f"weight noise, readout, std, {old}"): (
            measure,
            f"noise=weight, layers=readout, scale=std, {new}",
        )
        for measure in ("accuracy_change", "rsm_similarity")
        for old, new in {
            "sigma=1": "sigma=1.0",
            "sigma=0.05": "sigma=0.05",
            "mean": "mean_up_to=1.0",
            "mean, sigma<=0.5": "mean_up_to=0.5",
        }.items()
    },
}


@pytest.mark.parametrize("old", OLD_NAMES)
def test_old_names_are_known_for_one_release(old, table):
    with pytest.warns(FutureWarning, match=f"is now '{OLD_NAMES[old][0]}'"):
        measure_, parameter = renamed(*old)
    assert (measure_, parameter) == OLD_NAMES[old]
    assert len(select_results(table, measure_, parameter=parameter)) == 1


def test_old_names_are_told_at_the_line_that_has_them(digits):
    X, y = digits
    estimator = TopographicCNNClassifier(grid_shape=(3, 4), max_epochs=1)
    study = TopographicStudy(
        estimator, ["ws"], [1], n_seeds=1, include="smoothness", verbose=0
    ).run(X[:200], y[:200], X[200:300], y[200:300])
    with pytest.warns(FutureWarning, match="is now") as told:
        study.plot("morans_i", "moore")
    assert told[0].filename == __file__


def test_names_of_today_do_not_warn(table):
    for measure_, parameter in table[["measure", "parameter"]].itertuples(index=False):
        assert renamed(measure_, parameter) == (measure_, parameter)


# ------------------------------------------------------------------ the registry


def test_a_group_is_one_entry(monkeypatch, fitted, digits):
    """It is run, named in errors and known to studies without another edit."""
    X, y = digits

    def largest(given, table):
        table.add("largest", given.activations.values.max(), len(y), of="toy")

    toy = Group("toy", {"activations"}, largest)
    monkeypatch.setitem(registry.GROUPS, "toy", toy)
    found = measure(fitted, X, y, include=["toy"])
    assert found["value"].item() == fitted.transform(X).max()
    plain = measure_activations(fitted.transform(X), (11, 11))
    assert select_results(plain, "largest", of="toy")["group"].item() == "toy"
    with pytest.raises(ValueError, match="'toy'"):
        measure(fitted, X, y, include=["unknown"])
    with pytest.raises(ValueError, match="'toy'"):
        TopographicStudy(include=["unknown"]).cells()
    with pytest.raises(ValueError, match="toy"):
        TopographicStudy(measures={"toy": len}).cells()


@pytest.mark.parametrize("name", registry.GROUPS)
def test_groups_run_where_they_are_given_what_they_need(name, fitted, digits):
    X, y = digits[0][1200:1300], digits[1][1200:1300]
    group = registry.GROUPS[name]
    of_models = {"images", "classifier"}
    assert group.needs <= {"activations", "labels", "weights", *of_models}
    table = measure(fitted, X, y, include=name)
    assert set(table["group"]) == {name}
    A = fitted.transform(X)
    with_labels = measure_activations(A, (11, 11), y)
    assert (name in set(with_labels["group"])) == (not group.needs & of_models)
    without = measure_activations(A, (11, 11))
    assert (name in set(without["group"])) == (group.needs <= {"activations"})
