"""The paper's claims as tests that were fixed before any study was run.

Version 2 of the table; version 1's verdicts, for comparison, come from `VERSION_1`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pandas as pd

from sktopo._measures.results import write_parameter
from sktopo.datasets import DATASETS
from sktopo.replication._judging import (
    ACCURACY,
    NOT_TESTABLE,
    Claim,
    Contrast,
    Data,
    Measure,
    fifth_below_one,
    fifth_of_change,
    judge,
    settle,
    spread,
    spread_per_log_lam,
    stand_beside,
)
from sktopo.study import StudyResults, TopographicStudy

LEAST_SEEDS = 6
EXTENSION = "extension, Sander & Hasson's protocol (rook Moran's I)"
CHOSE = "used to choose the loss"
# Other activation similarities: condition, whether run at lam 1 only, and what is said
# in claims 1 and 2 of those that the pilot's maps and correlations suggested.
VARIANTS = (
    ("as_untransposed", False, CHOSE),
    ("as_squared_correlation", True, CHOSE),
    ("inverse_distance", True, ""),
)
# Strengths of weight noise that version 1's mean was over.
UP_TO_HALF = (0.05, 0.1, 0.2, 0.5)


def _contrasts(measure, *arms, **settings):
    return tuple(Contrast(measure, *pair, **settings) for pair in arms)


def _weight_noise(measure, layers="head", scale="std", mean_up_to=1.0):
    where = {"noise": "weight", "layers": layers, "scale": scale}
    parameter = write_parameter(**where, mean_up_to=mean_up_to)
    return Measure("robustness", measure, (parameter,))


def _image_noise(measure):
    parameter = write_parameter(noise="image", kind="all", mean_up_to=0.2)
    return Measure("robustness", measure, (parameter,))


def _at(name, *values, **others):
    """Parameters, one a value."""
    return tuple(write_parameter(**others, **{name: value}) for value in values)


def _ratio(threshold):
    return Measure("localization", "distance_ratio", _at("threshold", threshold))


_WS, _AS = ("ws", "control"), ("as", "control")
_MORAN = Measure("smoothness", "morans_i", _at("neighborhood", "moore"))
_ROOK = Measure("smoothness", "morans_i", _at("neighborhood", "von_neumann"))
_Z_SCORED = Measure("smoothness", "morans_i_standardized", _at("neighborhood", "moore"))
_NORM = Measure("activity", "weight_norm")
_THRESHOLDS = (0.1, 0.3, 0.5, 0.6, 0.7, 0.8)
_RATIOS = Measure(
    "localization",
    "distance_ratio",
    _at("threshold", *_THRESHOLDS),
)
_RSM_UP_TO_HALF = Measure(
    "robustness",
    "rsm_similarity",
    _at("sigma", *UP_TO_HALF, noise="weight", layers="readout", scale="std"),
)


def _robust_weights(claim, text, *arms):
    change = "accuracy_change"
    return Claim(
        claim,
        f"accuracy change under weight noise{text}",
        _contrasts(_weight_noise(change), *arms, delta=fifth_of_change),
        beside=(
            ("sigma up to .5", _weight_noise(change, mean_up_to=0.5)),
            ("absolute noise", _weight_noise(change, scale="absolute")),
            ("readout only", _weight_noise(change, layers="readout")),
            ("accuracy under noise", _weight_noise("accuracy_under_noise")),
            ("accuracy retained", _weight_noise("accuracy_retained")),
        ),
        guarded=True,
    )


def _robust_images(claim, name, arms, datasets):
    return Claim(
        claim,
        f"accuracy change under image noise, on {name}",
        _contrasts(_image_noise("accuracy_change"), arms),
        beside=(
            ("accuracy under noise", _image_noise("accuracy_under_noise")),
            ("accuracy retained", _image_noise("accuracy_retained")),
        ),
        guarded=True,
        datasets=datasets,
    )


def _two_sided(claim, text, *measure):
    contrasts = _contrasts(Measure(*measure), _WS, _AS, goal="differs")
    return Claim(claim, text, contrasts)


# Holm's family: every row that is not about another data set, whether it was run or
# not. That is 23 rows, and one of 6a and 6b on CIFAR-10 and on MNIST or its part.
CLAIMS = (
    Claim(
        "1a",
        "smoothness: Moran's I of the maps",
        _contrasts(_MORAN, _WS, ("ws", "as")),
        beside=(("maps of z-scored units", _Z_SCORED),),
        chose=True,
    ),
    Claim(
        "1b",
        "AS lacks smoothness: its Moran's I is below .1",
        _contrasts(_MORAN, (0.1, "as"), delta=0.0),
        beside=(("maps of z-scored units", _Z_SCORED),),
        chose=True,
    ),
    Claim(
        "2",
        "bimodality: Hartigan's dip of all pair correlations",
        _contrasts(Measure("smoothness", "dip"), _AS, ("as", "ws")),
        chose=True,
    ),
    Claim(
        "3",
        "correlation of neighbours (distance bin [1, 2))",
        _contrasts(Measure("smoothness", "correlation", _at("distance", 1)), _WS),
    ),
    _robust_weights("4a", "", _WS),
    _robust_weights("4b", "", _AS),
    _robust_weights("4c", " (version 1 of the paper)", ("ws", "as")),
    Claim(
        "5",
        "readout geometry under readout noise (cosine of similarity matrices)",
        _contrasts(
            _weight_noise("rsm_similarity", layers="readout"),
            *(_WS, _AS),
            delta=fifth_below_one,
        ),
        beside=(("sigma up to .5", _RSM_UP_TO_HALF),),
        guarded=True,
    ),
    _robust_images("6a", "CIFAR-10", _AS, ("cifar10",)),
    _robust_images("6b", "MNIST", _WS, ("mnist", "mnist_5000")),
    Claim(
        "7a",
        "input sensitivity: variance of the activations",
        _contrasts(Measure("activity", "variance"), _WS),
        beside=(
            (
                "variance / squared weight norm",
                Measure("activity", "variance_over_squared_norm"),
            ),
        ),
    ),
    Claim(
        "7b",
        "input sensitivity: entropy in the shared range",
        _contrasts(Measure("activity", "entropy_shared_range"), _WS),
    ),
    Claim(
        "8",
        "localization: distance of pairs with r >= .5, ratio to chance",
        _contrasts(_ratio(0.5), ("control", "ws"), ("as", "ws"), delta=0.05),
        beside=(("pairs with r >= .8", _ratio(0.8)),),
    ),
    _two_sided(
        "9a",
        "tuning: amplitude of orientation tuning",
        *("tuning", "orientation_amplitude"),
    ),
    _two_sided(
        "9b",
        "tuning: index of left-right mirror symmetry",
        *("tuning", "mirror_index", _at("axis", "left-right")),
    ),
    _two_sided(
        "9c",
        "tuning: eccentricity, E_abs / E_flat",
        *("tuning", "eccentricity_abs_relative"),
    ),
    _two_sided("10a", "percentage of zeros", "activity", "percentage_of_zeros"),
    _two_sided(
        "10b",
        "dimensionality: participation ratio of the activations",
        *(
            "dimensionality",
            "participation_ratio",
            _at("matrix", "covariance", of="activations"),
        ),
    ),
    _two_sided("10c", "number of expert units", "selectivity", "n_experts"),
    _two_sided(
        "10d", "entropy of the experts over classes", "selectivity", "experts_entropy"
    ),
    Claim(
        "11",
        "clean accuracy is at most .02 lower",
        _contrasts(
            ACCURACY,
            *(_WS, _AS),
            goal="no worse",
            delta=-0.02,
            note="p is one-sided, against a loss of .02",
        ),
    ),
    Claim(
        "12",
        "the distance ratio falls with the threshold under WS, not in the control",
        (
            Contrast(
                replace(_RATIOS, slope_on=_THRESHOLDS),
                *(0.0, "ws"),
                note=f"{EXTENSION}; minus the slope on the threshold; delta: one "
                "standard deviation of the control's slope",
            ),
            Contrast(
                _RATIOS,
                "control",
                goal="within",
                delta=0.05,
                note=f"{EXTENSION}; mean ratio, 90 % interval; p of two one-sided "
                "tests, of .95 and 1.05",
            ),
        ),
    ),
    Claim(
        "13",
        "consistency over seeds falls with lam under WS",
        (
            Contrast(
                None,
                *(0.0, "slope of ws"),
                delta=spread_per_log_lam,
                note=f"{EXTENSION}; minus the slope on the natural logarithm of lam, "
                "jackknife over seeds; delta, as a change from lam .3 to 3: one "
                "standard deviation, over the control's seeds, of their mean likeness "
                "to the others",
            ),
        ),
    ),
    Claim(
        "14",
        "under WS weights shrink with lam, and Moran's I falls from lam 1 to 3",
        (
            Contrast(
                _NORM,
                *(0.0, "slope of ws"),
                delta=spread_per_log_lam,
                note=f"{EXTENSION}; minus the slope of the weight norm on the natural "
                "logarithm of lam; delta, as a change from lam .3 to 3: one standard "
                "deviation of the control's weight norm",
            ),
            Contrast(_ROOK, "ws at lam 1", "ws at lam 3", note=EXTENSION),
        ),
    ),
    Claim(
        "15",
        "under WS dropout makes the maps smoother (lam 1)",
        (Contrast(_ROOK, "ws at lam 1", "ws_no_dropout at lam 1", note=EXTENSION),),
    ),
)


# --------------------------------------------------------------------- version 1

# What version 1 said otherwise of the contrasts of a row; it had no row 1b.
_WEIGHT_NOISE_IN_1 = {
    "measure": _weight_noise("accuracy_change", mean_up_to=0.5),
    "delta": 0.01,
}
_DIFFERENT_IN_1 = {
    "4a": _WEIGHT_NOISE_IN_1,
    "4b": _WEIGHT_NOISE_IN_1,
    "4c": _WEIGHT_NOISE_IN_1,
    "5": {"measure": _RSM_UP_TO_HALF, "delta": 0.01},
    "9c": {"measure": Measure("tuning", "eccentricity_relative")},
    "13": {"delta": spread},
    "14": {"delta": spread},
}
VERSION_1 = tuple(
    replace(
        claim,
        contrasts=tuple(
            replace(contrast, **_DIFFERENT_IN_1.get(claim.claim, {}))
            for contrast in claim.contrasts
        ),
        guarded=False,
        datasets=claim.datasets[:1],
    )
    for claim in CLAIMS
    if claim.claim != "1b"
)
# Version 1 had other words, or none: what is reversed lies wholly below delta, too.
_WORDS_OF_1 = {"differs": "replicates", "reversed": "does not replicate"}


def _verdicts_of_version_1(data, dataset):
    """Verdicts by row: Holm over what is testable, from two seeds on, no guard."""
    lines = []
    for claim in VERSION_1:
        if not claim.datasets or dataset in claim.datasets:
            lines += judge(claim, data, dataset, least_seeds=2)
    verdicts = settle(lines, fixed_family=False).groupby("claim")["verdict"].first()
    found = dict.fromkeys((claim.claim for claim in VERSION_1), NOT_TESTABLE)
    return found | verdicts.replace(_WORDS_OF_1).to_dict()


# --------------------------------------------------------------------- the table


# What the reader of the table must know.
TITLE = "The paper's claims"
TEXT = (
    "Tests that were fixed before any full study was run. The value of a seed is the "
    "mean over lam 0.3, 1 and 3. A row replicates if its p, by Holm's method over all "
    "rows, those not run with p = 1, is below .05, with the claimed sign and an "
    "estimate of at least delta; it is reversed if so with the other sign; a two-sided "
    "row differs. It does not replicate if the 95 % interval lies wholly below delta; "
    "else it is undecided, or not testable with what was run. A row of two contrasts "
    "needs both. delta is one standard deviation of the control over seeds, unless the "
    "claim sets one, such as a fifth of the control's own loss under weight noise."
)


def claims(
    results: TopographicStudy | StudyResults,
    dataset: str | None = None,
    *,
    without_seeds: Iterable[int] = (),
) -> pd.DataFrame:
    """Judge the paper's claims by tests that were fixed beforehand.

    The value of a seed is the mean over lam 0.3, 1 and 3 (to 1e-6), whatever else was
    run. A row "replicates" if its p, by Holm's method over all rows of the data set,
    those not run with p = 1, is below .05, with the claimed sign and an estimate of at
    least delta; it is "reversed" if so with the other sign. A two-sided row "differs".
    It "does not replicate" if the 95 % interval lies wholly below delta in the claimed
    direction, else it is "undecided". It is "not testable" without the conditions, lams
    or six seeds that it needs, and "not testable (guard)" if it is about robustness and
    the clean accuracy of an arm is more than .05 below the control's.

    Parameters
    ----------
    results : TopographicStudy or StudyResults
        A study that was run, or what `sktopo.study.load_results` gives; anything else
        with a `table` and `seed_pairs` of theirs will do.
    dataset : str, default=None
        What it was run on, a name in `sktopo.datasets.DATASETS`: the claims of image
        noise are about CIFAR-10, and MNIST or its part "mnist_5000". None is as
        "fashion_mnist".
    without_seeds : iterable of int, default=()
        Seeds that are left out, such as those of a pilot that the claims were fixed
        after.

    Returns
    -------
    DataFrame
        A row a contrast: claim, text, contrast, kind ("test", or "beside" for what is
        shown without a verdict), n, estimate, low, high, delta, p_t, p_sign_flip,
        p_holm, verdict, note, and verdict_v1: what version 1 of the table, before the
        pilot, would have said. Its `attrs` have a "title" and a "text" that say what it
        shows.

    Raises
    ------
    ValueError
        On an unknown data set, if a condition has a seed twice at one lam, or if no
        seed is left.
    TypeError
        If `results` is no study and no results of one.

    Examples
    --------
    >>> from sktopo import TopographicCNNClassifier
    >>> from sktopo.datasets import load_digits_images
    >>> from sktopo.replication import claims
    >>> from sktopo.study import TopographicStudy
    >>> X, y = load_digits_images(return_X_y=True)
    >>> study = TopographicStudy(
    ...     TopographicCNNClassifier(grid_shape=(3, 4), max_epochs=1),
    ...     topo_losses=["ws"], lams=[1], n_seeds=1,
    ...     include=["performance"], verbose=0,
    ... ).run(X[:300], y[:300], X[300:400], y[300:400])
    >>> table = claims(study)  # one seed and one lam decide nothing
    >>> table.query("kind == 'test'")["verdict"].unique().tolist()
    ['not testable']
    """
    if not hasattr(results, "seed_pairs"):
        raise TypeError(
            f"results must be a TopographicStudy that was run, or the StudyResults "
            f"that sktopo.study.load_results gives; got a {type(results).__name__}."
        )
    pairs = results.seed_pairs()  # or the error of a study that was not run
    is_study = isinstance(results, TopographicStudy)
    table = results.results_ if is_study else results.table
    if "layer" in table:  # the paper's claims are about its grid
        table = table[table["layer"] == "grid"].drop(columns="layer")
    left_out = list(without_seeds)
    table = table[~table["seed"].isin(left_out)]
    if table.empty:
        raise ValueError(f"Without seeds {left_out} no model is left to judge by.")
    pairs = pairs[~(pairs["first"].isin(left_out) | pairs["second"].isin(left_out))]
    return judge_all(table, pairs, dataset)


def judge_all(results, pairs, dataset=None):
    """The claims by the results of a study, and by how alike pairs of seeds are."""
    if dataset is not None and dataset not in DATASETS:
        raise ValueError(
            f"dataset must be None or one of {list(DATASETS)}, since some claims are "
            f"about one data set; got {dataset!r}."
        )
    dataset = dataset or "fashion_mnist"  # where no claim is about image noise
    data = Data(results, pairs, measures_read())
    lines = []
    for claim in CLAIMS:
        lines += judge(claim, data, dataset, LEAST_SEEDS)
        lines += stand_beside(claim, data, VARIANTS)
    table = settle(lines, fixed_family=True)
    old = table["claim"].map(_verdicts_of_version_1(data, dataset)).fillna("")
    table = table.assign(verdict_v1=old.where(table["kind"] == "test", ""))
    table.attrs |= {"title": TITLE, "text": TEXT}
    return table


def measures_read():
    """All that the rows read."""
    found = {
        contrast.measure
        for claim in (*CLAIMS, *VERSION_1)
        for contrast in claim.contrasts
    }
    found |= {measure for claim in CLAIMS for _, measure in claim.beside}
    return found - {None}
