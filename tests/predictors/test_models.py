"""The models inside predictors against independent computations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import check_grad
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
from sklearn.linear_model import LogisticRegression

from nas.testing.toys import ToySpace
from predictors import Labels, get_predictor
from predictors.labels import Prediction
from predictors.linear import fit_logistic
from predictors.linear import pair_loss as linear_loss
from predictors.mlp import pair_loss, square_loss
from predictors.networks import Array, Loss, Networks, Training, train
from predictors.pairs import make_pairs
from predictors.quality import kendall, regret, spearman
from predictors.targets import Targets

RNG = np.random.default_rng(0)
VECTORS = RNG.standard_normal((12, 5))
COSTS = VECTORS @ np.array([1.0, -2.0, 0.5, 0, 0]) + 0.3 * RNG.standard_normal(12)
WON = make_pairs(Labels(COSTS)).matrix(12)


def test_the_linear_ranker_is_logistic_regression_on_differences() -> None:
    weights, _ = fit_logistic(VECTORS, WON, 0.05)
    better, worse = np.nonzero(WON)
    apart = VECTORS[better] - VECTORS[worse]
    both = np.concatenate([apart, -apart])
    sides = np.repeat([0, 1], len(apart))  # a better one has the lower score
    model = LogisticRegression(C=1 / (0.05 * len(both)), fit_intercept=False, tol=1e-10)
    model.fit(both, sides)
    assert weights == pytest.approx(model.coef_[0], abs=1e-4)


def test_derivatives_of_the_linear_loss() -> None:
    scores = RNG.standard_normal(12)
    off = check_grad(lambda s: linear_loss(s, WON)[0], lambda s: linear_loss(s, WON)[1], scores)
    assert off < 1e-6
    for row in range(12):
        step = np.eye(12)[row] * 1e-5
        ahead, behind = linear_loss(scores + step, WON)[1], linear_loss(scores - step, WON)[1]
        assert linear_loss(scores, WON)[2][row] == pytest.approx((ahead - behind) / 2e-5, abs=1e-8)


def test_newton_ends_where_pairs_can_be_told_apart() -> None:
    weights, _ = fit_logistic(100 * VECTORS, WON, 1e-9)
    assert np.isfinite(weights).all()
    assert kendall(VECTORS @ weights, COSTS) > 0.7


@pytest.mark.parametrize("loss", [pair_loss(WON), square_loss(COSTS)])
def test_the_loss_of_networks_has_its_derivative(loss: Loss) -> None:
    outputs = RNG.standard_normal((3, 12))

    def value(flat: Array) -> float:
        return loss(flat.reshape(3, 12))[0]

    assert check_grad(value, lambda f: loss(f.reshape(3, 12))[1].ravel(), outputs.ravel()) < 1e-5


@pytest.mark.parametrize("dropped", [False, True])
def test_backpropagation(dropped: bool) -> None:
    networks = Networks(2, (5, 4, 3), np.random.default_rng(0), np.float64)
    for bias in networks.biases:
        bias += 0.1 * RNG.standard_normal(bias.shape)
    masks = [2.0 * RNG.integers(0, 2, (2, 12, width)) for width in (4, 3)] if dropped else []
    loss = pair_loss(WON)
    _, slopes = networks.gradient(VECTORS, loss, masks)
    for parameter, slope in zip(networks.parameters, slopes, strict=True):
        assert slope.shape == parameter.shape
        for place in np.ndindex(parameter.shape):
            kept = parameter[place]
            parameter[place] = kept + 1e-6
            ahead = networks.gradient(VECTORS, loss, masks)[0]
            parameter[place] = kept - 1e-6
            behind = networks.gradient(VECTORS, loss, masks)[0]
            parameter[place] = kept
            assert slope[place] == pytest.approx((ahead - behind) / 2e-6, abs=1e-7)


def test_networks_do_not_know_each_other() -> None:
    how = Training(20, 0.01, 0.1, dropout=0.2)
    pair = Networks(2, (5, 8), np.random.default_rng(0))
    alone = Networks(1, (5, 8), np.random.default_rng(0))
    alone.matrices = [matrix[:1].copy() for matrix in pair.matrices]
    quiet = Training(how.steps, how.learning_rate, how.weight_decay)
    train(pair, VECTORS, pair_loss(WON), quiet, np.random.default_rng(1))
    train(alone, VECTORS, pair_loss(WON), quiet, np.random.default_rng(1))
    assert alone(VECTORS)[0] == pytest.approx(pair(VECTORS)[0], abs=1e-5)
    train(pair, VECTORS, pair_loss(WON), how, np.random.default_rng(1))
    assert kendall(pair(VECTORS)[0].astype(float), COSTS) > 0.6


def test_the_gaussian_process_is_the_usual_one() -> None:
    space = ToySpace()
    rng = np.random.default_rng(0)
    members = list({m.id: m for m in (space.sample(rng) for _ in range(60))}.values())
    costs = rng.standard_normal(len(members))
    predictor = get_predictor("gp")(space, {"target": "value"}).fit(members[:30], costs[:30])
    kernel = ConstantKernel(predictor._signal) * Matern(predictor._length, nu=2.5)  # type: ignore[attr-defined]
    inputs = predictor._inputs
    known = inputs(members[:30], np.empty((30, 0)))
    others = inputs(members[30:], np.empty((len(members) - 30, 0)))
    values = (costs[:30] - costs[:30].mean()) / costs[:30].std()
    said = predictor.predict(members[30:])
    noise = [
        n
        for n in (4.0**k for k in range(-6, 1))
        if np.allclose(
            GaussianProcessRegressor(
                kernel + WhiteKernel(n * predictor._signal),  # type: ignore[attr-defined]
                optimizer=None,
            )
            .fit(known, values)
            .predict(others)
            * costs[:30].std()
            + costs[:30].mean(),
            said.mean,
            atol=1e-6,
        )
    ]
    assert len(noise) == 1
    assert (said.std > 0).all()


def test_targets_go_back_to_readings() -> None:
    values = np.array([0.3, 0.1, 0.9, 0.1, 0.4])
    for scale in ("value", "rank"):
        targets = Targets(Labels(values), scale)
        back = targets.prediction(targets.values, np.ones(5))
        assert back.mean == pytest.approx(values)
        beyond = targets.prediction(np.array([-9.0, 9.0]), np.zeros(2)).mean
        assert beyond[0] < 0.1
        assert beyond[1] > 0.9


def test_targets_of_several_levels_follow_the_pair_rule() -> None:
    labels = Labels(np.array([0.3, 0.1, 0.9, 0.8]), np.array([0, 0, 1, 1]))
    for scale in ("value", "rank"):
        targets = Targets(labels, scale)
        assert np.argsort(targets.values).tolist() == [3, 2, 1, 0]
        assert isinstance(targets.prediction(targets.values, np.ones(4)), Prediction)


def test_quality() -> None:
    values = np.array([3.0, 1.0, 2.0, 5.0, 4.0, 0.0])
    assert kendall(values, values) == pytest.approx(1)
    assert spearman(-values, values) == pytest.approx(-1)
    assert kendall(np.zeros(6), values) == 0
    assert regret(-values, values, 2) == 4
    assert regret(values, values, 1) == 0
