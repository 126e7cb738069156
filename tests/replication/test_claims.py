import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sktopo.replication import claims as public_claims
from sktopo.replication._claims import CLAIMS, DATASETS, VERSION_1
from sktopo.replication._claims import judge_all as claims
from sktopo.replication._judging import LAMS, consistency_slope
from sktopo.study.statistics import holm

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import claims_simulation
from claims_simulation import CONDITIONS, DEAD, NOTHING, POSITIVE, by_row, simulate

# Holm's family on Fashion-MNIST: 23 rows. MNIST and CIFAR-10 have one more.
ROWS = ["1a", "1b", "2", "3", "4a", "4b", "4c", "5", "7a", "7b", "8", "9a", "9b", "9c"]
ROWS += ["10a", "10b", "10c", "10d", "11", "12", "13", "14", "15"]
ABOUT = {"cifar10": ["6a"], "mnist": ["6b"], "mnist_5000": ["6b"]}
TWO_SIDED = {
    "9a": "orientation_amplitude",
    "9b": "mirror_index",
    "9c": "eccentricity_abs_relative",
    "10a": "percentage_of_zeros",
    "10b": "participation_ratio",
    "10c": "n_experts",
    "10d": "experts_entropy",
}
DIRECTED = ["1a", "2", "3", "4a", "4b", "4c", "5", "7a", "7b", "8", "15"]
LARGE = {
    ("ws", "morans_i"): 0.5,
    ("as", "dip"): 0.05,
    ("ws", "correlation"): 0.5,
    ("ws", "accuracy_change"): 0.16,
    ("as", "accuracy_change"): 0.08,
    ("ws", "rsm_similarity"): 0.05,
    ("as", "rsm_similarity"): 0.05,
    ("ws", "variance"): 3,
    ("ws", "entropy_shared_range"): 3,
    ("ws", "distance_ratio"): -0.3,
}
for name in TWO_SIDED.values():
    LARGE |= {("ws", name): -1, ("as", name): 1}
OPPOSITE = {key: -effect for key, effect in LARGE.items()}


def judged(table, claim):
    return table[(table["claim"] == claim) & (table["kind"] == "test")]


def seed_means(results, measure, parameter=""):
    """A value a seed, by condition: the mean over lams."""
    chosen = results[
        (results["measure"] == measure) & (results["parameter"] == parameter)
    ]
    return chosen.groupby(["condition", "seed"])["value"].mean()


def shifted(results, condition, lams=LAMS, shift=0.0, **where):
    """Results with the values of a condition, at some lams, moved."""
    chosen = results["condition"].eq(condition) & results["lam"].isin(lams)
    for column, value in where.items():
        chosen &= results[column].eq(value)
    return results.assign(value=results["value"] + shift * chosen)


# ------------------------------------------------------------------ the family


@pytest.mark.parametrize("dataset", [None, *DATASETS])
def test_the_family_is_fixed(dataset, rng):
    table = claims(*simulate(rng), dataset)
    about = ABOUT.get(dataset, [])
    found = by_row(table)
    assert sorted(found) == sorted(ROWS + about)
    assert len(found) == 24 if about else 23
    assert not any("not testable" in verdict for verdict in found.values())
    tests = table[table["kind"] == "test"]
    assert tests.groupby("claim")["verdict"].nunique().eq(1).all()
    # each row once, by its largest p
    p = tests.groupby("claim")["p_t"].max()
    adjusted = tests.groupby("claim")["p_holm"].first()
    np.testing.assert_allclose(adjusted, holm(p))
    beside = table[table["kind"] == "beside"]
    assert beside["verdict"].eq("").all()
    assert beside["p_holm"].isna().all()
    # rows about another data set are shown there
    for claim in {"6a", "6b"} - set(about):
        shown = table[table["claim"] == claim]
        assert shown["kind"].eq("beside").all()
        assert shown["note"].str.contains("exploratory: the claim is about").iloc[0]
        assert shown["estimate"].notna().all()
    if dataset == "mnist_5000":
        assert judged(table, "6b")["note"].item() == "on a part of MNIST"


def test_an_unknown_data_set_is_refused(rng):
    with pytest.raises(ValueError, match=r"'mnist_5000', 'cifar10'\].*got 'cifar'"):
        claims(*simulate(rng), "cifar")


@pytest.mark.parametrize("gone", ["ws_no_dropout", "as", "measures", "seeds"])
def test_rows_that_were_not_run_count(gone, rng):
    """Leaving rows out, whatever the reason, lowers no other row's p."""
    results, pairs = simulate(rng, LARGE)
    whole = claims(results, pairs)
    if gone == "measures":
        left = results["group"].isin(["performance", "robustness", "smoothness"])
    elif gone == "seeds":
        left = ~(results["group"].eq("tuning") & (results["seed"] < 105))
    else:
        left = results["condition"] != gone
    table = claims(results[left], pairs)
    tests = table[table["kind"] == "test"]
    p = tests[tests["verdict"] != "not testable"].groupby("claim")["p_t"].max()
    assert len(p) < len(ROWS)
    adjusted = holm([*p, *[1.0] * (len(ROWS) - len(p))])
    found = tests.groupby("claim")["p_holm"].first()
    np.testing.assert_allclose(found[p.index], adjusted[: len(p)])
    assert found.drop(p.index).isna().all()
    before = whole[whole["kind"] == "test"].groupby("claim")["p_holm"].first()
    assert (found[p.index] >= before[p.index] * (1 - 1e-9)).all()


# ------------------------------------------------------------------ lams


def test_a_row_by_hand(rng):
    results, pairs = simulate(rng)
    line = judged(claims(results, pairs), "3").iloc[0]
    means = seed_means(results, "correlation", "distance=1")
    oracle = stats.ttest_rel(means["ws"], means["control"])
    assert line["p_t"] == pytest.approx(oracle.pvalue)
    assert line["estimate"] == pytest.approx((means["ws"] - means["control"]).mean())
    low, high = oracle.confidence_interval()
    assert line[["low", "high"]].tolist() == pytest.approx([low, high])
    assert line["delta"] == pytest.approx(means["control"].std(ddof=1))
    flips = stats.permutation_test(
        (means["ws"] - means["control"],),
        np.mean,
        permutation_type="samples",
        n_resamples=np.inf,
    )
    assert line["p_sign_flip"] == pytest.approx(flips.pvalue)
    assert line["n"] == 10


def test_more_lams_change_nothing(rng):
    results, pairs = simulate(rng)
    more = results[results["condition"].eq("ws") & results["lam"].eq(1.0)]
    more = more.assign(value=more["value"] + 100)
    more = [more.assign(lam=lam) for lam in (0.1, 2.0)]
    table = claims(pd.concat([results, *more]), pairs)
    pd.testing.assert_frame_equal(table, claims(results, pairs))


@pytest.mark.parametrize("lam", LAMS)
def test_lams_are_compared_to_a_millionth(lam, rng):
    """In the results and in the pairs of seeds; np.arange gives .30000000000000004."""
    results, pairs = simulate(rng)
    table = claims(results, pairs)

    def at(other):
        parts = [part.assign(lam=part["lam"].replace(lam, other)) for part in tables]
        return claims(*parts)

    tables = (results, pairs)
    for other in (np.nextafter(lam, 9), np.arange(0.1, 3.05, 0.1), lam - 9e-7):
        other = min(np.atleast_1d(other), key=lambda x: abs(x - lam))
        assert other != lam or lam == 1
        pd.testing.assert_frame_equal(at(other), table)
    other = by_row(at(lam + 2e-6))
    assert {"1a", "3", "11", "13"} <= {
        row for row in ROWS if other[row] == "not testable"
    }


@pytest.mark.parametrize("apart", [0.0, 1e-16, 9e-7])
def test_two_models_of_one_lam_are_no_two_values(apart, rng):
    results, pairs = simulate(rng)
    twice = results["condition"].eq("ws") & results["lam"].eq(0.3)
    twice &= results["seed"].eq(103)
    again = results[twice].assign(lam=0.3 + apart)
    with pytest.raises(
        ValueError, match=r"2 values of condition ws, lam 0\.3, seed 103"
    ):
        claims(pd.concat([results, again]), pairs)
    again = pairs[pairs["condition"].eq("ws") & pairs["lam"].eq(0.3)]
    with pytest.raises(ValueError, match=r"2 values of condition ws, lam 0\.3, first"):
        claims(results, pd.concat([pairs, again.assign(lam=0.3 + apart)]))
    # other people's measures are not looked at
    own = results[twice].assign(group="mine")
    claims(pd.concat([results, own, own]), pairs)


# ------------------------------------------------------------------ deltas


def test_deltas_by_hand(rng):
    results, pairs = simulate(rng)
    table = claims(results, pairs, "mnist")
    control = results[results["condition"] == "control"]
    wide = control.pivot(index="seed", columns=["measure", "parameter"], values="value")
    noise = "noise=weight, layers=head, scale=std, mean_up_to=1.0"
    sd, mean = wide.std(ddof=1), wide.mean()
    found = table[table["kind"] == "test"].groupby("claim")["delta"].first()
    loss = abs(mean["accuracy_change", noise]) / 5
    for claim in ("4a", "4b", "4c"):
        assert found[claim] == pytest.approx(loss), claim
    cosine = mean[
        "rsm_similarity", "noise=weight, layers=readout, scale=std, mean_up_to=1.0"
    ]
    fall = np.log(3 / 0.3)
    rook = ("morans_i", "neighborhood=von_neumann")
    expected = {
        "1a": sd["morans_i", "neighborhood=moore"],
        "1b": 0,
        "2": sd["dip", ""],
        "5": (1 - cosine) / 5,
        "6b": sd["accuracy_change", "noise=image, kind=all, mean_up_to=0.2"],
        "7a": sd["variance", ""],
        "8": 0.05,
        "11": -0.02,
        "14": sd["weight_norm", ""] / fall,
        "15": sd[rook],
        **{row: sd.xs(name).iloc[0] for row, name in TWO_SIDED.items()},
    }
    for claim, delta in expected.items():
        assert found[claim] == pytest.approx(delta), claim
    assert judged(table, "14")["delta"].iloc[1] == pytest.approx(sd[rook])


def test_the_mean_is_over_all_sigmas(rng):
    """Row 4 and 5 read the mean from sigma .05 to 1; that up to .5 stands beside."""
    results, pairs = simulate(rng)
    table = claims(results, pairs)
    for claim, measure, layers in (
        ("4a", "accuracy_change", "head"),
        ("5", "rsm_similarity", "readout"),
    ):
        noise = f"noise=weight, layers={layers}, scale=std, mean_up_to=1.0"
        means = seed_means(results, measure, noise)
        difference = (means["ws"] - means["control"]).mean()
        line = judged(table, claim).iloc[0]
        assert line["estimate"] == pytest.approx(difference)
        beside = table["text"].str.endswith("sigma up to .5")
        assert (table["claim"].eq(claim) & beside).any()


# ------------------------------------------------------------------ verdicts


@pytest.mark.parametrize("dataset", DATASETS)
def test_large_effects(dataset, rng):
    found = by_row(claims(*simulate(rng, LARGE), dataset))
    for row in (*DIRECTED, *ABOUT.get(dataset, []), "1b"):
        assert found[row] == "replicates", row
    for row in TWO_SIDED:
        assert found[row] == "differs", row
    found = by_row(claims(*simulate(rng, OPPOSITE), dataset))
    for row in (*DIRECTED, *ABOUT.get(dataset, [])):
        assert found[row] == "reversed", row
    for row in TWO_SIDED:
        assert found[row] == "differs", row


def test_as_lacks_smoothness_by_hand(rng):
    """1b: the mean of AS itself, against .1."""
    for shift, verdict in ((0, "replicates"), (0.5, "reversed"), (0.1, "undecided")):
        results, pairs = simulate(rng, {("as", "morans_i"): shift})
        line = judged(claims(results, pairs), "1b").iloc[0]
        values = seed_means(results, "morans_i", "neighborhood=moore")["as"]
        oracle = stats.ttest_1samp(values, 0.1)
        assert line["contrast"] == "0.1 - as"
        assert line["p_t"] == pytest.approx(oracle.pvalue)
        assert 0.1 - line["estimate"] == pytest.approx(values.mean())
        low, high = oracle.confidence_interval()
        assert line[["low", "high"]].tolist() == pytest.approx([0.1 - high, 0.1 - low])
        assert line["verdict"] == verdict


def test_one_contrast_of_two_is_not_enough(rng):
    """As smooth as AS: WS - C is large, and WS - AS is not. The same reversed."""
    for sign in (1, -1):
        both = {(arm, "morans_i"): 0.5 * sign for arm in ("ws", "as")}
        lines = judged(claims(*simulate(rng, both)), "1a")
        assert lines["p_t"].iloc[0] < 1e-6
        assert lines["p_holm"].nunique() == 1
        assert lines["p_holm"].iloc[0] >= lines["p_t"].max()
        assert lines["verdict"].isin(["undecided", "does not replicate"]).all()
    apart = {("ws", "rsm_similarity"): 0.05, ("as", "rsm_similarity"): -0.05}
    lines = judged(claims(*simulate(rng, apart)), "5")
    assert lines["verdict"].tolist() == ["does not replicate"] * 2


def test_a_row_without_a_p_counts_as_p_1(rng):
    """All differences of a contrast are equal: there is no t, hence no replication."""
    results, pairs = simulate(rng, LARGE)
    key = ["lam", "seed", "parameter"]
    moran = results["measure"].eq("morans_i")
    of_as = results[moran & results["condition"].eq("as")].set_index(key)["value"]
    of_ws = moran & results["condition"].eq("ws")
    results.loc[of_ws, "value"] = of_as.loc[list(results[of_ws][key].values)].values
    results.loc[of_ws, "value"] += 1
    lines = judged(claims(results, pairs), "1a")
    assert lines["p_t"].isna().tolist() == [False, True]
    assert lines["p_holm"].tolist() == [1, 1]
    assert set(lines["verdict"]) == {"undecided"}
    assert lines["note"].tolist() == [
        "",
        "all values are equal: no t, which counts as p 1",
    ]


def test_no_effect_with_narrow_intervals_does_not_replicate(rng):
    """All models of a seed alike: the intervals lie within one deviation of it."""
    results, pairs = simulate(rng)
    wide = results.groupby(["seed", "measure", "parameter"])["value"]
    results["value"] = wide.transform("first") + 1e-5 * rng.normal(size=len(results))
    found = by_row(claims(results, pairs))
    for row in (*DIRECTED, *TWO_SIDED):
        assert found[row] == "does not replicate", row
    assert found["11"] == "replicates"  # it claims that nothing is lost


@pytest.mark.parametrize("sign", [1, -1])
def test_a_significant_effect_below_delta_is_neither(sign, rng):
    results, pairs = simulate(rng)
    seeds = results.groupby(["seed", "measure", "parameter"])["value"]
    shift = np.where(results["condition"] == "ws", 0.01 * sign, 0)
    results["value"] = seeds.transform("first") + shift
    results["value"] += 1e-4 * rng.normal(size=len(results))
    line = judged(claims(results, pairs), "3").iloc[0]
    assert line["p_holm"] < 0.05
    assert abs(line["estimate"]) < line["delta"]
    assert line["verdict"] == "does not replicate"


def test_clean_accuracy_is_a_test_of_no_loss(rng):
    for shift, verdict in (
        (0.0, "replicates"),
        (-0.1, "does not replicate"),
        (-0.02, "undecided"),
    ):
        effect = {("ws", "clean accuracy"): shift}
        assert by_row(claims(*simulate(rng, effect)))["11"] == verdict


def test_clean_accuracy_by_hand(rng):
    results, pairs = simulate(rng, {("ws", "clean accuracy"): -0.017})
    line = judged(claims(results, pairs), "11").iloc[0]
    means = seed_means(results, "accuracy")
    margin = means["ws"] - means["control"] + 0.02
    oracle = stats.ttest_1samp(margin, 0, alternative="greater")
    assert line["p_t"] == pytest.approx(oracle.pvalue)
    oracle = stats.permutation_test(
        (margin,),
        np.mean,
        permutation_type="samples",
        n_resamples=np.inf,
        alternative="greater",
    )
    assert line["p_sign_flip"] == pytest.approx(oracle.pvalue)


# ------------------------------------------------------------------ few seeds


@pytest.mark.parametrize("n_seeds", [2, 3, 5])
def test_fewer_than_six_seeds_decide_nothing(n_seeds, rng):
    table = claims(*with_slopes(rng, 1, n_seeds), "cifar10")
    tests = table[table["kind"] == "test"]
    assert tests["verdict"].eq("not testable").all()
    assert tests["p_holm"].isna().all()
    shown = tests[tests["claim"] != "13"]
    assert shown["note"].str.contains(f"n = {n_seeds}: 6 seeds").all()
    assert shown["estimate"].notna().all()


def test_six_seeds_can_decide(rng):
    found = by_row(claims(*with_slopes(rng, 1, 6), "cifar10"))
    assert not any("not testable" in verdict for verdict in found.values())
    for row in ("1a", "3", "4a", "5", "14"):
        assert found[row] == "replicates"


def test_seeds_that_are_dropped_are_named(rng):
    results, pairs = simulate(rng, LARGE)
    lost = results["measure"].eq("dip") & results["lam"].eq(1.0)
    few = results["seed"].isin([103, 107]) & results["condition"].eq("as")
    results.loc[lost & few, "value"] = np.nan
    lines = judged(claims(results, pairs), "2")
    assert lines["n"].eq(8).all()
    assert lines["note"].eq("dropped, without a value: seed 103, 107").all()
    assert lines["verdict"].eq("replicates").all()
    # rows that are not there are the same as undefined ones
    gone = claims(results.dropna(subset="value"), pairs)
    pd.testing.assert_frame_equal(gone, claims(results, pairs))
    many = results["condition"].eq("as") & (results["seed"] < 105)
    results.loc[lost & many, "value"] = np.nan
    lines = judged(claims(results, pairs), "2")
    assert lines["verdict"].eq("not testable").all()
    assert lines["note"].str.contains("n = 4: 6 seeds at least are needed").all()
    assert lines["note"].str.contains("seed 100, 101, 102, 103, 104, 107").all()
    # an arm of fewer seeds
    few = results["condition"].ne("ws_no_dropout") | (results["seed"] > 102)
    line = judged(claims(results[few], pairs), "15").iloc[0]
    assert line["n"] == 7
    assert line["note"].endswith("dropped, without a value: seed 100, 101, 102")


def test_seeds_left_out_of_the_results_are_left_out_of_their_pairs(rng):
    """The table without the pilot's seeds."""
    results, pairs = simulate(rng)
    later = pairs[(pairs["first"] > 102) & (pairs["second"] > 102)]
    results = results[results["seed"] > 102]
    table = claims(results, pairs)
    assert table.loc[table["kind"] == "test", "n"].eq(7).all()
    pd.testing.assert_frame_equal(table, claims(results, later))


# ------------------------------------------------------------------ the guard

GUARDED = [claim for claim in CLAIMS if claim.guarded]


def test_robustness_is_guarded():
    assert [c.claim for c in GUARDED] == ["4a", "4b", "4c", "5", "6a", "6b"]
    for claim in CLAIMS:
        groups = {c.measure.group for c in claim.contrasts if c.measure}
        assert claim.guarded == ("robustness" in groups)


@pytest.mark.parametrize("arm", ["ws", "as"])
@pytest.mark.parametrize("dataset", ["cifar10", "mnist_5000"])
def test_a_dead_network_gets_no_verdict(arm, dataset, rng):
    dead = {(arm, measure): shift for (_, measure), shift in DEAD.items()}
    table = claims(*simulate(rng, dead), dataset)
    found = by_row(table)
    for claim in GUARDED:
        if claim.claim not in found:
            continue
        in_it = any(arm in contrast.arms for contrast in claim.contrasts)
        assert (found[claim.claim] == "not testable (guard)") == in_it, claim.claim
        if in_it:
            lines = judged(table, claim.claim)
            assert lines["estimate"].notna().all()
            assert lines["p_holm"].isna().all()
            assert lines["note"].str.contains(f"clean accuracy of {arm} is 0.09").all()
    others = table[~table["claim"].isin(c.claim for c in GUARDED)]
    assert not others["verdict"].str.contains("guard").any()
    tests = table[table["kind"] == "test"]
    p = tests[~tests["verdict"].str.contains("guard")].groupby("claim")["p_t"].max()
    found = tests.groupby("claim")["p_holm"].first()[p.index]
    np.testing.assert_allclose(found, holm([*p, *[1.0] * (24 - len(p))])[: len(p)])


def test_the_guard_is_the_mean_over_lams_and_seeds(rng):
    results, pairs = simulate(rng, LARGE)
    accuracy = results["measure"].eq("accuracy") & results["parameter"].eq("")
    results.loc[accuracy, "value"] = 0.85

    def verdict(lams, shift):
        return by_row(
            claims(shifted(results, "ws", lams, shift, group="performance"), pairs)
        )["4a"]

    assert verdict(LAMS, -0.05) == "replicates"
    assert verdict(LAMS, -0.051) == "not testable (guard)"
    assert verdict([3.0], -0.15) == "replicates"
    assert verdict([3.0], -0.16) == "not testable (guard)"
    assert verdict([3.0], -0.75) == "not testable (guard)"
    assert verdict(LAMS, 0.1) == "replicates"


def test_nothing_is_judged_without_its_guard(rng):
    results, pairs = simulate(rng, LARGE)
    table = claims(results[results["group"] != "performance"], pairs)
    for claim in ("4a", "4b", "4c", "5"):
        lines = judged(table, claim)
        assert lines["verdict"].eq("not testable").all()
        assert lines["note"].str.contains("clean accuracy, which guards it").all()


# ------------------------------------------------------------------ slopes


def with_slopes(rng, sign, n_seeds=10):
    """Localization, consistency, weight norm and Moran's I that change with lam."""
    effects = {("ws", "consistency"): -0.1 * sign, **LARGE}
    del effects["ws", "distance_ratio"]
    results, pairs = simulate(rng, effects, n_seeds)
    ratio = results["measure"].eq("distance_ratio") & results["condition"].eq("ws")
    threshold = results.loc[ratio, "parameter"].str.removeprefix("threshold=")
    results.loc[ratio, "value"] -= 0.5 * sign * threshold.astype(float)
    norm = results["measure"].eq("weight_norm") & results["condition"].eq("ws")
    results.loc[norm, "value"] -= sign * np.log(results.loc[norm, "lam"])
    return shifted(results, "ws", [3.0], -0.3 * sign, measure="morans_i"), pairs


def least_squares(table, x):
    return np.polyfit(x, table.to_numpy().T, 1)[0]


@pytest.mark.parametrize(
    ("sign", "verdicts"),
    [
        (1, ["replicates"] * 3),
        # the control's ratio is 1 all the same, so that 12 is not reversed
        (-1, ["does not replicate", "reversed", "reversed"]),
    ],
)
def test_slopes(sign, verdicts, rng):
    """12, 13, 14: localization, consistency and weight norm."""
    results, pairs = with_slopes(rng, sign)
    table = claims(results, pairs)
    found = by_row(table)
    assert [found[row] for row in ("12", "13", "14")] == verdicts
    of_ws = results[results["condition"] == "ws"]
    ratios = of_ws[of_ws["measure"] == "distance_ratio"]
    ratios = ratios.groupby(["seed", "parameter"])["value"].mean().unstack()
    thresholds = [float(name.removeprefix("threshold=")) for name in ratios]
    line = judged(table, "12").iloc[0]
    slope = -least_squares(ratios, thresholds).mean()
    assert line["estimate"] == pytest.approx(slope)
    assert slope == pytest.approx(0.5 * sign, abs=0.1)
    norms = of_ws[of_ws["measure"] == "weight_norm"]
    norms = norms.pivot(index="seed", columns="lam", values="value")
    line = judged(table, "14").iloc[0]
    slope = -least_squares(norms, np.log(norms.columns)).mean()
    assert line["estimate"] == pytest.approx(slope)
    assert slope == pytest.approx(sign, abs=0.1)
    assert (
        table.loc[table["claim"].isin(["12", "13", "14", "15"]), "note"]
        .str.contains("extension, Sander & Hasson's protocol")
        .all()
    )


def test_the_control_must_be_at_chance(rng):
    """12: a fall under WS is not enough where the control's ratio is not 1."""
    results, pairs = with_slopes(rng, 1)
    line = judged(claims(results, pairs), "12").iloc[1]
    chosen = results["measure"].eq("distance_ratio")
    chosen &= results["condition"].eq("control")
    means = results[chosen].groupby("seed")["value"].mean()
    above = stats.ttest_1samp(means, 0.95, alternative="greater")
    below = stats.ttest_1samp(means, 1.05, alternative="less")
    assert line["p_t"] == pytest.approx(max(above.pvalue, below.pvalue))
    interval = stats.ttest_1samp(means, 1).confidence_interval(0.9)
    assert line[["low", "high"]].tolist() == pytest.approx(list(interval))
    results.loc[chosen, "value"] += 0.2
    assert by_row(claims(results, pairs))["12"] == "does not replicate"


def test_consistency_is_a_jackknife_over_seeds(rng):
    """13: against slopes of the means over pairs, without each seed in turn."""
    results, pairs = with_slopes(rng, 1)
    line = judged(claims(results, pairs), "13").iloc[0]

    def slope(without=None):
        kept = pairs[pairs["condition"] == "ws"]
        kept = kept[(kept["first"] != without) & (kept["second"] != without)]
        means = kept.groupby("lam")["correlation"].mean()
        return -np.polyfit(np.log(means.index), means, 1)[0]

    assert line["estimate"] == pytest.approx(slope())
    slopes = np.array([slope(seed) for seed in range(100, 110)])
    error = np.sqrt(0.9 * np.square(slopes - slopes.mean()).sum())
    half = stats.t.ppf(0.975, 9) * error
    assert line["high"] - line["estimate"] == pytest.approx(half)
    assert line["p_t"] == pytest.approx(2 * stats.t.sf(slope() / error, 9))
    # delta: the spread of the controls' mean likeness to the others, from lam .3 to 3
    control = pairs[pairs["condition"] == "control"]
    likeness = [
        control[control[["first", "second"]].eq(seed).any(axis=1)]["correlation"].mean()
        for seed in range(100, 110)
    ]
    spread = np.std(likeness, ddof=1)
    assert line["delta"] == pytest.approx(spread / np.log(3 / 0.3))


def test_a_dead_network_has_no_consistency(rng):
    results, pairs = with_slopes(rng, 1)
    dead = pairs["first"].eq(100) & pairs["condition"].eq("ws") & pairs["lam"].eq(3)
    pairs.loc[dead, "correlation"] = np.nan
    line = judged(claims(results, pairs), "13").iloc[0]
    assert line["n"] == 9
    assert line["note"].endswith("dropped, without a value: seed 100")
    pairs.loc[pairs["condition"].eq("ws"), "correlation"] = np.nan
    assert by_row(claims(results, pairs))["13"] == "not testable"
    assert by_row(claims(results, pairs[:0]))["13"] == "not testable"


@pytest.mark.parametrize("random_slopes", [False, True])
def test_the_jackknife_errs_as_often_as_it_says(random_slopes, rng):
    """13 without any slope: pairs that share a seed are no independent pairs."""
    n, hits, naive = 150, 0, 0
    first, second = np.triu_indices(10, k=1)
    for _ in range(n):
        own = 0.05 * rng.normal(size=(3, 10))
        slopes = 0.05 * random_slopes * rng.normal(size=10)
        own += np.log(LAMS)[:, None] * slopes
        r = own[:, first] + own[:, second] + 0.02 * rng.normal(size=(3, 45))
        frame = pd.DataFrame({"first": first, "second": second, "condition": "ws"})
        pairs = pd.concat(
            frame.assign(lam=lam, correlation=row) for lam, row in zip(LAMS, r)
        )
        hits += consistency_slope(pairs)[0]["p_t"] < 0.05
        of_pairs = (r[2] - r[0]) / np.log(10)
        naive += stats.ttest_1samp(of_pairs, 0).pvalue < 0.05
    assert hits <= stats.binom.ppf(0.999, n, 0.05)
    assert naive > n / 5


# ------------------------------------------------------------------ what stands beside


def test_one_lam_is_shown_and_not_judged(rng):
    arms = ("ws", "as", "as_untransposed")
    conditions = [("control", 0.0), *((arm, 1.0) for arm in arms)]
    table = claims(*simulate(rng, LARGE, conditions=conditions))
    assert set(by_row(table).values()) == {"not testable"}
    line = judged(table, "1a").iloc[0]
    assert line["note"] == "ws lacks lam 0.3, 3 (shown: 1)"
    assert line["estimate"] > 0.4


@pytest.mark.parametrize(
    ("variant", "at_lam_1", "chose"),
    [
        ("as_untransposed", False, True),
        ("as_squared_correlation", True, True),
        ("inverse_distance", True, False),
    ],
)
def test_variants_of_as_stand_beside_each_row_of_as(variant, at_lam_1, chose, rng):
    more = [(variant, lam) for lam in ([1.0] if at_lam_1 else LAMS)]
    results, pairs = simulate(rng, LARGE, conditions=[*CONDITIONS, *more])
    table = claims(results, pairs)
    tests = table[table["kind"] == "test"]
    of_as = tests[tests["contrast"].str.contains(r"\bas\b")]
    shown = table[table["contrast"].str.contains(variant)]
    lines = shown[~shown["claim"].isin(["6a", "6b"])]
    assert lines["claim"].tolist() == of_as["claim"].tolist()
    plain = lines["contrast"].str.replace(variant, "as").str.replace(" at lam 1", "")
    assert plain.tolist() == of_as["contrast"].tolist()
    assert (lines["kind"] == "beside").all()
    assert lines[["estimate", "low", "high", "p_t"]].notna().all(axis=None)
    assert lines["p_holm"].isna().all()
    assert lines["note"].str.contains("compared at lam 1").eq(at_lam_1).all()
    used = lines["note"].str.contains("used to choose the loss")
    assert used.eq(lines["claim"].isin(["1a", "1b", "2"]) & chose).all()
    if at_lam_1:  # both arms there, and the control as ever
        line = lines[lines["claim"] == "2"].iloc[1]
        assert line["contrast"] == f"{variant} at lam 1 - ws at lam 1"
        dip = results[results["measure"].eq("dip") & results["lam"].eq(1.0)]
        dip = dip.groupby("condition")["value"].mean()
        assert line["estimate"] == pytest.approx(dip[variant] - dip["ws"])
    # it changes no verdict
    left = results[results["condition"] != variant]
    columns = ["claim", "contrast", "p_holm", "verdict", "verdict_v1"]
    alone = claims(left, pairs)
    alone = alone[alone["kind"] == "test"][columns]
    pd.testing.assert_frame_equal(
        tests[columns].reset_index(drop=True), alone.reset_index(drop=True)
    )


def test_other_measures_stand_beside(rng):
    results, pairs = simulate(rng, LARGE)
    table = claims(results, pairs, "mnist")
    beside = table[(table["kind"] == "beside") & (table["claim"] != "6a")]
    names = {
        claim: part["text"].str.split(": ").str[-1].unique().tolist()
        for claim, part in beside.groupby("claim", sort=False)
    }
    weight_noise = ["sigma up to .5", "absolute noise", "readout only"]
    weight_noise += ["accuracy under noise", "accuracy retained"]
    assert names == {
        "1a": ["maps of z-scored units"],
        "1b": ["maps of z-scored units"],
        "4a": weight_noise,
        "4b": weight_noise,
        "4c": weight_noise,
        "5": ["sigma up to .5"],
        "6b": ["accuracy under noise", "accuracy retained"],
        "7a": ["variance / squared weight norm"],
        "8": ["pairs with r >= .8"],
    }
    line = beside[beside["text"].str.endswith("r >= .8")].iloc[0]
    means = seed_means(results, "distance_ratio", "threshold=0.8")
    assert line["contrast"] == "control - ws"
    assert line["estimate"] == pytest.approx((means["control"] - means["ws"]).mean())


def test_notes_say_what_is_missing(rng):
    results, pairs = simulate(rng)
    condition, lam = results["condition"], results["lam"]

    def note(kept, claim, line=0):
        lines = judged(claims(results[kept], pairs), claim)
        assert (lines["verdict"] == "not testable").all()
        return lines["note"].iloc[line]

    assert note(results["measure"] != "dip", "2") == "no values of dip"
    ratio = results["parameter"] != "threshold=0.6"
    assert note(ratio, "12").startswith("no values of distance_ratio (threshold=0.6)")
    assert note(condition != "as", "2") == "as lacks lam 0.3, 1, 3"
    assert note(condition != "control", "3") == "no values of control"
    assert note(condition != "ws_no_dropout", "15").startswith(
        "ws_no_dropout lacks lam 1"
    )
    gone = condition.eq("ws") & lam.eq(3)
    assert note(~gone, "3") == "ws lacks lam 3 (shown: 0.3, 1)"
    assert note(~gone, "14").startswith("ws lacks lam 3;")
    assert note(~gone, "14", line=1).startswith("ws lacks lam 3;")
    few = condition.ne("ws") | results["seed"].eq(100)
    assert note(few, "3").startswith("n = 1: 6 seeds at least are needed; dropped")
    none = results["measure"].ne("dip") | condition.ne("as")
    assert note(none, "2") == "no seed with a value"
    assert set(by_row(claims(results[:0], pairs)).values()) == {"not testable"}


# ------------------------------------------------------------------ version 1


def test_verdicts_of_version_1_stand_beside(rng):
    """delta .01 in rows 4 and 5, over sigma up to .5; no guard, no reversal."""
    results, pairs = simulate(rng, OPPOSITE | {("ws", "clean accuracy"): -0.7})
    table = claims(results, pairs, "mnist")
    found = by_row(table, "verdict_v1")
    assert found["1b"] == ""
    for row in ("1a", "2", "3", "4a", "5", "6b"):
        assert found[row] == "does not replicate", row
    for row in TWO_SIDED:
        if row != "9c":
            assert found[row] == "replicates", row
    assert table.loc[table["kind"] == "beside", "verdict_v1"].eq("").all()
    assert by_row(claims(results, pairs, "mnist_5000"), "verdict_v1")["6b"] == (
        "not testable"
    )
    # only the mean up to .5 counts, and a gain of .03 is enough
    results, pairs = simulate(rng, correlation=0.9)
    for most, verdicts in (
        (1.0, {"undecided", "does not replicate"}),
        (0.5, {"replicates"}),
    ):
        noise = f"noise=weight, layers=head, scale=std, mean_up_to={most}"
        where = {"parameter": noise}
        gained = shifted(results, "ws", shift=0.03, measure="accuracy_change", **where)
        found = claims(gained, pairs)
        assert by_row(found, "verdict_v1")["4a"] in verdicts
        assert by_row(found)["4a"] != "replicates"


def test_version_1_counted_what_was_tested(rng):
    """Three seeds, and Holm over the testable rows alone."""
    results, pairs = simulate(rng, {("ws", "variance"): 5.0}, n_seeds=3)
    kept = results["measure"].isin(["variance", "dip"])
    found = by_row(claims(results[kept], pairs), "verdict_v1")
    assert found.pop("7a") == "replicates"
    assert found.pop("2") in ("undecided", "does not replicate")
    assert found.pop("1b") == ""
    assert found.pop("13") in ("undecided", "does not replicate")
    assert set(found.values()) == {"not testable"}
    assert len(VERSION_1) == len(CLAIMS) - 1


# ------------------------------------------------------------------ the report


def test_a_report_shows_the_claims_it_is_given(rng):
    """With what the table says of itself."""
    pytest.importorskip("matplotlib")
    from sktopo.study import _report

    table = claims(*simulate(rng, OPPOSITE), "mnist")
    text, judged, *_ = _report._claims(table)
    assert {"reversed", "differs"} <= {row.verdict for row in judged.rows}
    assert table.attrs["title"] == "The paper's claims"
    assert "Tests that were fixed before any full study was run." in text.text


def test_claims_of_anything_that_has_results(rng):
    """A study that was run, what it found, or a stand-in with a table and pairs."""
    table, pairs = simulate(rng, OPPOSITE)
    wanted = claims(table, pairs, "mnist")
    found = public_claims(
        SimpleNamespace(table=table, seed_pairs=lambda: pairs), "mnist"
    )
    pd.testing.assert_frame_equal(found, wanted, check_exact=True)


def test_seeds_that_were_looked_at_can_be_left_out(rng):
    table, pairs = simulate(rng, LARGE)
    study = SimpleNamespace(table=table, seed_pairs=lambda: pairs)
    pilot = (100, 101, 102)
    within = pairs["first"].isin(pilot) | pairs["second"].isin(pilot)
    wanted = claims(table[~table["seed"].isin(pilot)], pairs[~within])
    found = public_claims(study, without_seeds=pilot)
    pd.testing.assert_frame_equal(found, wanted, check_exact=True)
    tests = found[found["kind"] == "test"]
    assert set(tests["n"]) == {table["seed"].nunique() - 3}
    with pytest.raises(ValueError, match="no model is left"):
        public_claims(study, without_seeds=table["seed"].unique())


# ------------------------------------------------------------------ simulations


@pytest.fixture(scope="module")
def without_effect():
    """Tables of studies in which no row is true.

    Seeds respond to conditions by far more than controls differ, so that it is Holm's
    method, and not delta, that keeps rows from replicating.
    """
    rng = np.random.default_rng(1)
    return [
        claims(*simulate(rng, NOTHING, correlation=c, response=5.0), "cifar10")
        for c in np.linspace(0, 0.5, 25)
    ]


def test_without_any_effect_the_table_errs_rarely(without_effect):
    """Over the whole table at most one study in twenty claims an effect."""
    false = sum(table["verdict"].isin(POSITIVE).any() for table in without_effect)
    assert false <= stats.binom.ppf(0.99, len(without_effect), 0.05)


def test_row_by_row_the_table_would_err_often(without_effect):
    """What Holm's method is for: by chance, size and p < .05 in some row."""

    def some(table):
        tests = table[table["kind"] == "test"]
        large = tests["estimate"].abs() >= tests["delta"]
        found = (tests["p_t"] < 0.05) & large
        return found.groupby(tests["claim"]).all().any()

    n = len(without_effect)
    assert sum(map(some, without_effect)) > stats.binom.ppf(0.9999, n, 0.05)


@pytest.mark.parametrize(
    ("shift", "verdict", "correlation"),
    [(0.125, "replicates", 0.0), (-0.125, "reversed", 0.5)],
)
def test_half_of_what_the_control_loses_is_found(shift, verdict, correlation, rng):
    """Four studies in five at least, of ten seeds; and none says the opposite."""
    effect = {("ws", "accuracy_change"): shift}
    found = claims_simulation.count(10, effect, ["4a"], correlation=correlation)
    assert found["4a"][verdict] > 8
    assert set(found["4a"]) <= {verdict, "undecided"}


def test_the_simulation_prints_its_table(monkeypatch, capsys):
    scenarios = claims_simulation.SCENARIOS
    monkeypatch.setattr(claims_simulation, "SCENARIOS", (scenarios[0], scenarios[-1]))
    claims_simulation.main(["--studies", "1", "--seeds", "6"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 2 * (1 + 3)
    assert all("not testable (guard) 100.0" in line for line in lines[3:])
