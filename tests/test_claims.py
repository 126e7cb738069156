import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sktopo._claims import _THRESHOLDS, CLAIMS, LAMS, claims

ROWS = ["1", "2", "3", "4a", "4b", "4c", "5", "6a", "6b", "7a", "7b", "8", "9a", "9b"]
ROWS += ["9c", "10a", "10b", "10c", "10d", "11", "12", "13", "14", "15"]
CONDITIONS = [("control", 0.0), *(("ws", lam) for lam in LAMS)]
CONDITIONS += [*(("as", lam) for lam in LAMS), ("ws_no_dropout", 1.0)]


def measures():
    """Every (group, measure, parameter) that a claim or a line beside it needs."""
    found = [("performance", "accuracy", ""), ("activity", "weight_norm", "")]
    found += [
        ("localization", "distance_ratio", f"threshold={t:g}") for t in _THRESHOLDS
    ]
    found += [("smoothness", "morans_i", "von_neumann")]
    for claim in CLAIMS:
        for measure in (claim.measure, *(beside for _, beside in claim.beside)):
            found += [(measure.group, measure.measure, p) for p in measure.parameters]
    return list(dict.fromkeys(found))


def study(rng, effects=None, n_seeds=10, conditions=CONDITIONS, spread=1.0):
    """Simulated results and pairs of seeds, with effects by (condition, measure)."""
    effects, names = effects or {}, measures()
    of_seed = spread * rng.normal(size=(n_seeds, len(names)))
    # measures of one model go together
    of_seed += spread * rng.normal(size=(n_seeds, 1))
    parts, pairs = [], []
    of_condition = {name: rng.normal(size=of_seed.shape) for name, _ in conditions}
    for condition, lam in conditions:
        values = of_seed + 0.5 * spread * of_condition[condition]
        values = values + 0.2 * spread * rng.normal(size=of_seed.shape)
        for j, (_, measure, _) in enumerate(names):
            values[:, j] += effects.get((condition, measure), 0.0)
        frame = pd.DataFrame(names * n_seeds, columns=["group", "measure", "parameter"])
        frame["seed"] = 100 + np.repeat(np.arange(n_seeds), len(names))
        frame["value"] = values.ravel()
        parts.append(frame.assign(condition=condition, lam=lam, n=1))
        own = 0.05 * rng.normal(size=n_seeds)
        slope = effects.get((condition, "consistency"), 0.0)
        for i in range(n_seeds):
            for j in range(i):
                r = 0.5 + own[i] + own[j] + slope * np.log(max(lam, 0.3))
                pairs.append(
                    (condition, lam, 100 + j, 100 + i, r + rng.normal(0, 0.02))
                )
    columns = ["condition", "lam", "first", "second", "correlation"]
    return pd.concat(parts, ignore_index=True), pd.DataFrame(pairs, columns=columns)


def verdicts(table):
    tests = table[table["kind"] == "test"]
    assert (tests.groupby("claim")["verdict"].nunique() == 1).all()
    return tests.groupby("claim", sort=False)["verdict"].first().to_dict()


def test_every_row_of_the_table_is_there(rng):
    table = claims(*study(rng))
    assert list(verdicts(table)) == ROWS
    assert set(table["kind"]) == {"test", "beside"}
    assert (table.loc[table["kind"] == "beside", "verdict"] == "").all()
    found = verdicts(table)
    assert [row for row in ROWS if found[row] == "not testable"] == ["6a", "6b"]
    assert verdicts(claims(*study(rng), dataset="cifar10"))["6a"] != "not testable"
    assert verdicts(claims(*study(rng), dataset="mnist"))["6b"] != "not testable"


def test_a_row_by_hand(rng):
    results, pairs = study(rng)
    table = claims(results, pairs)
    line = table[(table["claim"] == "3") & (table["kind"] == "test")].iloc[0]
    chosen = results[
        (results["measure"] == "correlation") & (results["parameter"] == "distance=1")
    ]
    means = chosen.groupby(["condition", "seed"])["value"].mean()  # over the lams
    oracle = stats.ttest_rel(means["ws"], means["control"])
    assert line["p_t"] == pytest.approx(oracle.pvalue)
    assert line["estimate"] == pytest.approx((means["ws"] - means["control"]).mean())
    low, high = oracle.confidence_interval()
    assert line[["low", "high"]].tolist() == pytest.approx([low, high])
    assert line["delta"] == pytest.approx(means["control"].std(ddof=1))
    assert line["n"] == 10


def test_more_lams_change_no_verdict(rng):
    results, pairs = study(rng)
    more = results[results["condition"].eq("ws") & results["lam"].eq(1.0)]
    more = more.assign(lam=2.0, value=more["value"] + 100)
    table = claims(pd.concat([results, more]), pairs)
    pd.testing.assert_frame_equal(table, claims(results, pairs))


LARGE = {
    ("ws", "morans_i"): 30,
    ("as", "dip"): 30,
    ("ws", "correlation"): 30,
    ("ws", "accuracy_change"): 30,
    ("as", "accuracy_change"): 15,
    ("ws", "rsm_similarity"): 30,
    ("as", "rsm_similarity"): 30,
    ("ws", "variance"): 30,
    ("ws", "entropy_shared_range"): 30,
    ("ws", "distance_ratio"): -30,
    ("ws", "orientation_amplitude"): -30,
    ("as", "orientation_amplitude"): 30,
}


def test_large_effects_replicate(rng):
    found = verdicts(claims(*study(rng, LARGE)))
    for row in ("1", "2", "3", "4a", "4b", "4c", "5", "7a", "7b", "8", "9a"):
        assert found[row] == "replicates", row


def test_effects_the_other_way_do_not_replicate(rng):
    found = verdicts(claims(*study(rng, {key: -v for key, v in LARGE.items()})))
    for row in ("1", "2", "3", "4a", "4b", "5", "7a", "7b", "8"):
        assert found[row] == "does not replicate", row
    assert found["9a"] == "replicates"  # two-sided


def test_no_effect_with_narrow_intervals_does_not_replicate(rng):
    """All models of a seed alike: the intervals lie within one deviation of it."""
    results, pairs = study(rng)
    wide = results.groupby(["seed", "measure", "parameter"])["value"]
    results["value"] = wide.transform("first") + 1e-3 * rng.normal(size=len(results))
    found = verdicts(claims(results, pairs))
    for row in ("1", "2", "3", "4a", "4b", "4c", "5", "7a", "8", "9a", "10a", "15"):
        assert found[row] == "does not replicate", row
    assert found["11"] == "replicates"  # it claims that nothing is lost


def test_a_significant_effect_below_delta_is_no_replication(rng):
    """Nor one that is large and not significant."""
    results, pairs = study(rng)
    seeds = results.groupby(["seed", "measure", "parameter"])["value"]
    shift = np.where(results["condition"] == "ws", 0.05, 0)
    results["value"] = seeds.transform("first") + shift
    results["value"] += 1e-3 * rng.normal(size=len(results))
    table = claims(results, pairs)
    line = table[(table["claim"] == "3") & (table["kind"] == "test")].iloc[0]
    assert line["p_holm"] < 0.05
    assert line["estimate"] < line["delta"]
    assert line["verdict"] == "does not replicate"


def test_clean_accuracy_is_a_test_of_no_loss(rng):
    small = {"spread": 0.002}
    assert verdicts(claims(*study(rng, **small)))["11"] == "replicates"
    worse = {("ws", "accuracy"): -0.1}
    assert verdicts(claims(*study(rng, worse, **small)))["11"] == "does not replicate"


def test_slopes(rng):
    """12, 13, 14: localization, consistency and weight norm."""
    results, pairs = study(rng, {("ws", "consistency"): -0.1}, spread=0.01)
    ratio = results["measure"] == "distance_ratio"
    threshold = results["parameter"].str.removeprefix("threshold=").where(ratio)
    fall = np.where(results["condition"] == "ws", 0.5, 0) * threshold.astype(float)
    results.loc[ratio, "value"] += 1 - fall[ratio]
    norm = results["measure"].eq("weight_norm") & results["condition"].eq("ws")
    results.loc[norm, "value"] -= np.log(results.loc[norm, "lam"])
    moran = results["measure"].eq("morans_i") & results["condition"].eq("ws")
    results.loc[moran & results["lam"].eq(3), "value"] -= 1
    table = claims(results, pairs)
    found = verdicts(table)
    assert [found[row] for row in ("12", "13", "14")] == ["replicates"] * 3
    lines = table[table["kind"] == "test"].set_index("claim")
    assert lines.loc["13", "estimate"] == pytest.approx(0.1, abs=0.02)
    assert lines.loc["12"].iloc[0]["estimate"] == pytest.approx(0.5, abs=0.05)
    assert lines.loc["14"].iloc[0]["estimate"] == pytest.approx(1, abs=0.05)


def test_three_seeds_and_one_lam_decide_nothing(rng):
    conditions = [("control", 0.0), ("ws", 1.0), ("as", 1.0), ("as_untransposed", 1.0)]
    table = claims(*study(rng, LARGE, n_seeds=3, conditions=conditions))
    assert set(verdicts(table).values()) <= {"undecided", "not testable"}
    line = table[(table["claim"] == "1") & (table["kind"] == "test")].iloc[0]
    assert "ws lacks lam 0.3, 3 (shown: 1)" in line["note"]
    assert line["estimate"] > 10
    beside = table[table["contrast"].str.contains("as_untransposed")]
    chose = beside.loc[beside["claim"].isin(["1", "2"]), "note"]
    assert len(chose) == 3
    assert chose.str.contains("used to choose the loss").all()
    assert (
        not beside.loc[~beside["claim"].isin(["1", "2"]), "note"]
        .str.contains("choose")
        .any()
    )


def test_undefined_values_are_left_out_and_counted(rng):
    results, pairs = study(rng, LARGE)
    lost = results["measure"].eq("dip") & results["seed"].eq(103)
    results.loc[lost & results["lam"].eq(1.0), "value"] = np.nan
    table = claims(results, pairs)
    assert table[(table["claim"] == "2") & (table["kind"] == "test")]["n"].eq(9).all()
    results.loc[results["measure"].eq("dip"), "value"] = np.nan
    assert verdicts(claims(results, pairs))["2"] == "not testable"
    results = results[results["measure"] != "dip"]
    assert verdicts(claims(results, pairs))["2"] == "not testable"


def test_without_any_effect_the_table_errs_rarely(rng):
    """Over the whole table at most one study in twenty claims an effect."""
    n, false = 60, 0
    for _ in range(n):
        found = verdicts(claims(*study(rng)))
        # 11 claims that there is no loss, which is true here
        false += any(v == "replicates" for row, v in found.items() if row != "11")
    assert false <= stats.binom.ppf(0.9999, n, 0.05)


def test_row_by_row_the_table_would_err_often(rng):
    """What Holm's method and delta are for: p < .05 in some row, by chance."""
    n, some = 30, 0
    for _ in range(n):
        table = claims(*study(rng))
        tests = table[(table["kind"] == "test") & (table["claim"] != "11")]
        some += (tests.groupby("claim")["p_t"].max() < 0.05).any()
    assert some > stats.binom.ppf(0.9999, n, 0.05)
