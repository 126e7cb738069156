import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sktopo.study.statistics import (
    compare,
    holm,
    mean_interval,
    sign_flip_test,
    summarise,
    t_test,
)


def table(values, condition="ws", lam=1.0, measure="m"):
    """Results of one measure, a value a seed."""
    return pd.DataFrame(
        {
            "condition": condition,
            "lam": lam,
            "seed": 100 + np.arange(len(values)),
            "group": "g",
            "measure": measure,
            "parameter": "",
            "value": np.asarray(values, dtype=float),
            "n": 5,
        }
    )


def within_binomial_bounds(hits, n, p):
    """Bounds that a right procedure leaves once in ten thousand."""
    low, high = stats.binom.ppf([0.00005, 0.99995], n, p)
    return low <= hits <= high


# ------------------------------------------------------------------ closed forms


def test_mean_and_interval_of_known_values():
    found = mean_interval(np.array([[1.0, 2, 3], [4, np.nan, 8], [np.nan] * 3])).round(
        9
    )
    assert found["mean"].tolist()[:2] == [2, 6]
    assert found["standard_error"].tolist()[:2] == [round(3**-0.5, 9), 2]
    assert found["high"][0] == round(2 + 4.302652729911275 / 3**0.5, 9)
    assert found["high"][1] == pytest.approx(6 + 12.706204736432095 * 2)
    assert found["n"].tolist() == [3, 2, 0]
    assert found.iloc[2].drop("n").isna().all()


def test_tests_agree_with_scipy(rng):
    values = rng.normal(0.3, 1, (20, 7))
    values[3, 2] = values[5, :3] = np.nan
    for row, p_t, p_flip in zip(values, t_test(values), sign_flip_test(values)):
        known = row[~np.isnan(row)]
        assert p_t == pytest.approx(stats.ttest_1samp(known, 0).pvalue)
        oracle = stats.permutation_test(
            (known,), np.mean, permutation_type="samples", n_resamples=np.inf
        )
        assert p_flip == pytest.approx(oracle.pvalue)


def test_sign_flips_of_known_values():
    values = np.array([[1.0, 1, 1], [1, -1, 0], [0, 0, 0], [3, 1, -1]])
    # of 8 patterns: 2, all, all; sums of the last: 5, 3, 3, 1 (and their negatives)
    assert sign_flip_test(values).tolist() == [0.25, 1, 1, 0.75]
    assert sign_flip_test(np.array([[0.1 + 0.2, -0.3]]))[0] == 1
    assert np.isnan(sign_flip_test(np.array([[np.nan, np.nan]]))[0])


def test_many_pairs_are_drawn(rng):
    values = rng.normal(0.5, 1, (2, 20))
    found = sign_flip_test(values)
    np.testing.assert_array_equal(found, sign_flip_test(values))
    np.testing.assert_allclose(found, t_test(values), atol=0.01)
    assert sign_flip_test(np.full((1, 40), 1.0))[0] == 1 / 100_001


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9, 0.6]).tolist() == [1, 1, 1]
    found = holm([0.02, np.nan, 0.01])
    assert found[[0, 2]].tolist() == [0.02, 0.02]
    assert np.isnan(found[1])
    assert holm([]).tolist() == []


# ------------------------------------------------------------------ tables


def test_summary_counts_what_is_undefined():
    results = pd.concat(
        [
            table([1, 2, 3], "control", 0.0),
            table([1, np.nan, 3]),
            table([np.nan, np.nan, np.nan], measure="never"),
        ]
    )
    found = summarise(results)
    assert found["condition"].tolist() == ["control", "ws", "ws"]
    assert found["n_seeds"].tolist() == [3, 2, 0]
    assert found["n_undefined"].tolist() == [0, 1, 3]
    assert found["mean"].tolist()[:2] == [2, 2]
    assert found.loc[2, ["mean", "low", "high"]].isna().all()


def test_comparison_is_paired_by_seed():
    control = table([10, 20, 30, 40], "control", 0.0)
    ws = table([11, 22, 33], lam=0.5).iloc[::-1]
    more = table([12, 24, 36, np.nan], lam=1.0)
    found = compare(pd.concat([ws, control, more]), "control")
    assert found["lam"].tolist() == [0.5, 1.0]
    assert found["difference"].tolist() == [2, 4]
    assert found["n"].tolist() == [3, 3]
    assert found["n_undefined"].tolist() == [0, 1]
    oracle = stats.ttest_rel([11, 22, 33], [10, 20, 30])
    assert found["p_t"][0] == pytest.approx(oracle.pvalue)
    interval = oracle.confidence_interval()
    assert found.loc[0, ["low", "high"]].tolist() == pytest.approx(list(interval))
    assert found["effect_size"][0] == pytest.approx(2)  # mean 2, deviation 1


def test_rows_keep_the_order_in_which_they_appear():
    parts = [table([1, 2], "ws", 3.0, "m2"), table([1, 2], "ws", 3.0, "m1")]
    parts += [table([1, 2], "ws", 1.0, "m2"), table([1, 2], "control", 0.0, "m2")]
    parts += [table([1, 2], "as", 1.0, "m2")]
    results = pd.concat(parts)
    keys = ["condition", "lam", "measure"]
    found = summarise(results)[keys].values.tolist()
    assert found == results[keys].drop_duplicates().values.tolist()
    # m1 has no value under the control, hence no comparison
    found = compare(results)[keys].values.tolist()
    assert found == [["ws", 3, "m2"], ["ws", 1, "m2"], ["as", 1, "m2"]]
    assert compare(table([1, 2], "control", 0.0)).empty


def test_models_without_a_partner_are_no_pairs():
    control = table([1, 2, np.nan], "control", 0.0)
    found = compare(pd.concat([control, table([5, np.nan, 7, 8, 9])])).iloc[0]
    assert found[["difference", "n", "n_undefined"]].tolist() == [4, 1, 2]


def test_partners_of_several_lams_are_those_of_the_same_lam():
    parts = [table([1, 2], "as", 1.0), table([5, 6], "as", 3.0)]
    parts += [table([2, 4], "ws", 1.0), table([9, 9], "ws", 2.0)]
    found = compare(pd.concat(parts), "as")
    assert found[["condition", "lam", "difference"]].values.tolist() == [["ws", 1, 1.5]]


def test_partners_are_found_at_lams_that_were_computed():
    """np.arange(0.1, ...) holds 0.30000000000000004, which is 0.3."""
    parts = [table([1, 2], "as", lam) for lam in (0.1, 0.3, 0.7)]
    lams = np.arange(0.1, 0.75, 0.1)[[0, 2, 6]]
    assert lams[1] != 0.3
    assert lams[2] != 0.7
    parts += [table([2, 4], "ws", lam) for lam in lams]
    found = compare(pd.concat(parts), "as")
    assert found["difference"].tolist() == [1.5] * 3
    assert found["lam"].tolist() == lams.tolist()
    parts += [table([2, 4], "ws", 0.3 + 2e-6)]
    assert len(compare(pd.concat(parts), "as")) == 3


MORAN = ("morans_i", {"parameter": "neighborhood=moore"})
ASKED = {
    "a name": ("accuracy", ["accuracy"]),
    "names": (["accuracy", "dip"], ["accuracy", "dip"]),
    "a name with conditions": ([MORAN], ["morans_i"]),
    "a part of the parameter": (
        {"morans_i": {"neighborhood": "moore"}, "dip": {}},
        ["morans_i", "dip"],
    ),
    "twice": (iter(["dip", ("dip", {"group": "g"}), "dip"]), ["dip"]),
    "one condition": ([("dip", {"condition": "ws", "lam": 3})], ["dip"]),
}


@pytest.fixture
def several(rng):
    """Two conditions at two lams, four measures, one of them at two parameters."""
    parts = []
    for condition, lam in (("control", 0), ("ws", 1), ("ws", 3), ("as", 1), ("as", 3)):
        for name, parameter in (
            ("accuracy", ""),
            ("morans_i", "neighborhood=moore"),
            ("morans_i", "neighborhood=von_neumann"),
            ("dip", ""),
        ):
            part = table(rng.normal(0.5 * lam, 1, 7), condition, float(lam), name)
            parts.append(part.assign(parameter=parameter))
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize("kind", ASKED)
def test_measures_that_are_asked_for_are_adjusted_together(kind, several):
    measures, names = ASKED[kind]
    whole, found = compare(several), compare(several, "control", measures)
    wanted = whole[whole["measure"].isin(names)]
    wanted = wanted[~wanted["parameter"].str.contains("von_neumann")]
    if kind == "one condition":
        wanted = wanted[(wanted["condition"] == "ws") & (wanted["lam"] == 3)]
    assert len(wanted) in (1, 4, 8)
    pd.testing.assert_frame_equal(
        found.drop(columns="p_holm"), wanted.reset_index(drop=True), check_exact=True
    )
    np.testing.assert_array_equal(found["p_holm"], holm(wanted["p_t"]))
    assert "p_holm" not in whole


@pytest.mark.parametrize(
    ("measures", "error", "message"),
    [
        ("dipp", ValueError, "did you mean 'dip'"),
        ([("dip", {"sigma": 1})], ValueError, "No row of 'dip' has a 'sigma'"),
        ([("dip", {"seed": 100})], ValueError, "No row of 'dip' has a 'seed'"),
        ([("dip", {"condition": "control"})], ValueError, "compared with 'control'"),
        ([], ValueError, "measures is empty"),
        (3, TypeError, "must be a name, or names and pairs"),
        (("dip", {}), TypeError, r"got {}"),
        ([("dip", "group")], TypeError, r"got \('dip', 'group'\)"),
        ({"dip": None}, TypeError, r"got \('dip', None\)"),
    ],
)
def test_measures_that_are_not_there(measures, error, message, several):
    with pytest.raises(error, match=message):
        compare(several, "control", measures)


@pytest.mark.parametrize(
    ("values", "note"),
    [
        ([np.nan, np.nan], "no pair"),
        ([1, np.nan], "one pair"),
        ([1, 3, 5], "n = 3: the exact sign-flip p cannot be below 0.25"),
        ([1, 3, 5, 8, 1], "n = 5: the exact sign-flip p cannot be below 0.062"),
        ([1, 3, 5, 8, 1, 1], ""),
        ([2, 2, 2, 2, 2, 2], "n = 6: all differences are equal"),
        ([2, 2, 2], "equal, and t is undefined; the exact sign-flip p cannot be"),
    ],
)
def test_notes_where_so_few_pairs_show_nothing(values, note):
    control = table(np.zeros(len(values)), "control", 0.0)
    found = compare(pd.concat([control, table(values)]), "control").iloc[0]
    assert note in found["note"]
    assert bool(found["note"]) == bool(note)
    if found["n"] < 2 or "equal" in note:
        assert np.isnan(found["p_t"])
        assert np.isnan(found["effect_size"])


def test_rounding_is_no_spread():
    """Differences of one answer in a million are equal but for rounding."""
    control = np.array([0.1234, 0.4321, 0.8765, 0.9999, 0.5678, 0.25])
    results = pd.concat([table(control, "control", 0.0), table(control + 1e-6)])
    found = compare(results).iloc[0]
    assert np.isnan(found["p_t"])
    assert np.isnan(found["effect_size"])
    assert found["p_sign_flip"] == 2 / 64


def test_an_unknown_condition_is_named():
    with pytest.raises(ValueError, match=r"'wx'; there are \['ws'\]"):
        compare(table([1, 2]), "wx")


# ------------------------------------------------------------------ simulations


def simulated(rng, n_simulations, effect, n_seeds=10):
    """Control and WS at three lams; seeds differ, and respond to WS differently.

    Each simulation is a measure. The effect of WS on a seed is the same at each lam, up
    to noise.
    """
    seeds = rng.normal(size=(n_simulations, n_seeds, 1))
    responses = effect + 0.5 * rng.normal(size=(n_simulations, n_seeds, 1))
    noise = 0.2 * rng.normal(size=(n_simulations, n_seeds, 4))
    return (
        np.concatenate([seeds, np.repeat(seeds + responses, 3, axis=2)], axis=2) + noise
    )


def as_results(values):
    parts = []
    for i, (condition, lam) in enumerate(
        [("control", 0.0), ("ws", 0.3), ("ws", 1.0), ("ws", 3.0)]
    ):
        n, n_seeds = values.shape[:2]
        parts.append(
            pd.DataFrame(
                {
                    "condition": condition,
                    "lam": lam,
                    "seed": np.tile(np.arange(n_seeds), n),
                    "group": "g",
                    "measure": np.repeat([f"m{j}" for j in range(n)], n_seeds),
                    "parameter": "",
                    "value": values[:, :, i].ravel(),
                    "n": 1,
                }
            )
        )
    return pd.concat(parts)


@pytest.mark.parametrize("effect", [0.0, 0.8])
def test_intervals_cover_and_tests_err_as_often_as_they_say(effect, rng):
    n = 2000
    values = simulated(rng, n, effect)
    results = as_results(values)
    means = summarise(results)
    for condition, truth in (("control", 0), ("ws", effect)):
        part = means[(means["condition"] == condition) & means["lam"].isin([0, 1.0])]
        hits = ((part["low"] < truth) & (truth < part["high"])).sum()
        assert within_binomial_bounds(hits, n, 0.95)
    found = compare(results, "control")
    found = found[found["lam"] == 1.0]
    covered = (found["low"] < effect) & (effect < found["high"])
    assert within_binomial_bounds(covered.sum(), n, 0.95)
    if effect == 0:
        assert within_binomial_bounds((found["p_t"] < 0.05).sum(), n, 0.05)
        # exact: 50 of 1,024 patterns, as p is a multiple of 2 / 1,024
        share = np.floor(0.05 * 512) / 512
        assert within_binomial_bounds((found["p_sign_flip"] <= 0.05).sum(), n, share)
    else:
        # the deviation of a difference: response, and noise of both models
        size = effect / np.sqrt(0.5**2 + 2 * 0.2**2)
        noncentral = stats.nct(9, size * np.sqrt(10))
        critical = stats.t.ppf(0.975, 9)
        power = noncentral.sf(critical) + noncentral.cdf(-critical)
        assert within_binomial_bounds((found["p_t"] < 0.05).sum(), n, power)
        # the median of d_z is that of the noncentral t
        above = found["effect_size"] > noncentral.median() / np.sqrt(10)
        assert within_binomial_bounds(above.sum(), n, 0.5)


def test_holm_keeps_the_rate_over_a_table(rng):
    """Some of 20 rows below .05: in 4.9 % of tables, less if measures go together."""
    n, rows = 2000, 20
    for shared in (0, 1):
        values = rng.normal(size=(n, rows, 10))
        values += shared * rng.normal(size=(n, 1, 10))
        p = t_test(values.reshape(-1, 10)).reshape(n, rows)
        some = sum((holm(row) < 0.05).any() for row in p)
        if shared:
            assert some <= stats.binom.ppf(0.9999, n, 0.05)
        else:
            assert within_binomial_bounds(some, n, 1 - (1 - 0.05 / rows) ** rows)
        assert (p < 0.05).any(axis=1).mean() > 0.3  # as it would be without


def test_pooling_seeds_and_lams_as_if_independent_fails(rng):
    """Three lams of one seed are no three seeds: such a test errs far too often."""
    n = 1000
    values = simulated(rng, n, effect=0.0)
    differences = values[:, :, 1:] - values[:, :, :1]
    pooled = stats.ttest_1samp(differences.reshape(n, -1), 0, axis=1).pvalue < 0.05
    assert not within_binomial_bounds(pooled.sum(), n, 0.05)
    assert pooled.mean() > 0.15
    of_seeds = t_test(differences.mean(axis=2)) < 0.05  # as the claims do
    assert within_binomial_bounds(of_seeds.sum(), n, 0.05)
    compared = compare(as_results(values))
    for _, part in compared.groupby("lam"):
        assert within_binomial_bounds((part["p_t"] < 0.05).sum(), n, 0.05)
    unpaired = stats.ttest_ind(values[:, :, 0], values[:, :, 1], axis=1).pvalue < 0.05
    assert unpaired.mean() < 0.02  # and one that ignores the pairs sees little
