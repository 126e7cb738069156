"""scikit-learn's own checks of every estimator, with the expected failures."""

import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from sktopo import (
    GridActivations,
    ImageNoise,
    TopographicCNNClassifier,
    TopographicEncoder,
)

# The only place where a check may fail, each with its reason.
EXPECTED_FAILURES = {
    "check_sample_weight_equivalence_on_dense_data": (
        "a weight is not the same as a repeated row in minibatch training: batches, "
        "their order and their dropout masks differ"
    )
}

# They call fit on 1 x n strips and on tiny sets that need not converge.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*columns are neither a square:UserWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.DataConversionWarning"),
    pytest.mark.filterwarnings("ignore:The largest absolute value:UserWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning"),
    # the checks of set_output fit on DataFrames and transform arrays
    pytest.mark.filterwarnings(
        "ignore:X (does not have valid|has) feature names:UserWarning"
    ),
    pytest.mark.filterwarnings("ignore:.*SCIPY_ARRAY_API:UserWarning"),
]


def expected_failures(estimator):
    if isinstance(estimator, ImageNoise):
        return {}
    return EXPECTED_FAILURES


def small():
    return TopographicCNNClassifier(max_epochs=1, grid_shape=(2, 2), random_state=0)


def brief():
    """The default trains 100 epochs on sets as small as those of the checks."""
    return TopographicCNNClassifier(max_epochs=10, lr=0.01)


def encoder(objective):
    return TopographicEncoder(objective, max_epochs=2, random_state=0)


ESTIMATORS = [
    brief(),
    encoder("simclr"),
    encoder("supcon"),
    GridActivations(small()),
    ImageNoise(),
    ImageNoise("pink", random_state=0),
    ImageNoise("salt_and_pepper", random_state=0),
]


@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn_check(estimator, check):
    reason = expected_failures(estimator).get(check.func.__name__)
    if reason is None:
        check(estimator)
        return
    with pytest.raises(AssertionError):  # strict: a check that passes is news
        check(estimator)
    pytest.xfail(reason)


CHECKS_OF_WHAT_IS_LEARNED = [
    "check_classifiers_train",
    "check_classifiers_classes",
    "check_class_weight_classifiers",
]


@pytest.mark.parametrize("name", CHECKS_OF_WHAT_IS_LEARNED)
def test_defaults_learn_enough_for_scikit_learn(name):
    getattr(estimator_checks, name)(
        "TopographicCNNClassifier", TopographicCNNClassifier()
    )


OUTSIDE_CHECK_ESTIMATOR = [
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_global_output_transform_pandas",
    "check_dataframe_column_names_consistency",
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
    "check_param_validation",
]


@pytest.mark.parametrize("name", OUTSIDE_CHECK_ESTIMATOR)
@pytest.mark.parametrize(
    "estimator",
    [
        brief(),
        encoder("simclr"),
        GridActivations(small()),
        ImageNoise(random_state=0),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_check_outside_check_estimator(estimator, name):
    getattr(estimator_checks, name)(type(estimator).__name__, estimator)


def test_no_tag_is_loosened():
    tags = TopographicCNNClassifier().__sklearn_tags__()
    assert not tags.classifier_tags.poor_score
    assert not tags.non_deterministic
    assert not tags.no_validation
    assert tags.target_tags.required
    for objective in ("simclr", "supcon"):
        tags = encoder(objective).__sklearn_tags__()
        assert not tags.non_deterministic
        assert not tags.no_validation
        assert tags.target_tags.required == (objective == "supcon")
    assert not GridActivations(small()).__sklearn_tags__().non_deterministic
    assert ImageNoise().__sklearn_tags__().non_deterministic
    assert not ImageNoise(random_state=0).__sklearn_tags__().non_deterministic


def test_frozen_estimator_keeps_its_model(fitted, digits):
    X, y = digits
    transformer = GridActivations(FrozenEstimator(fitted)).fit(X, y)
    assert (transformer.transform(X[:5]) == fitted.transform(X[:5])).all()
