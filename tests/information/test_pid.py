import itertools
import math

import numpy as np
import pytest
from scipy.linalg import null_space
from scipy.optimize import LinearConstraint, minimize
from scipy.special import logsumexp

from mmsa.errors import DataError
from mmsa.information.target.pid import broja, broja_redundancy, information, union_information

BITS = math.log(2)


def table(rule, states=2):
    """Uniform inputs a, b below ``states`` and the target ``rule(a, b)``."""
    outcomes = [(a, b, rule(a, b)) for a, b in itertools.product(range(states), repeat=2)]
    joint = np.zeros((states, states, 1 + max(y for _, _, y in outcomes)))
    for outcome in outcomes:
        joint[outcome] += states**-2
    return joint


def copied(flip=0.0):
    joint = np.zeros((2, 2, 2))
    for bit, target in itertools.product((0, 1), repeat=2):
        joint[bit, bit, target] = 0.5 * (flip if bit != target else 1 - flip)
    return joint


def random_tables(count, states, targets, concentration=1.0, seed=0):
    draws = np.random.default_rng(seed).gamma(concentration, size=(count, states, states, targets))
    return draws / draws.sum((1, 2, 3), keepdims=True)


@pytest.mark.parametrize(
    ("joint", "atoms"),
    [
        (table(lambda a, b: a & b), (0.311278, 0.0, 0.0, 0.5)),
        (table(lambda a, b: a | b), (0.311278, 0.0, 0.0, 0.5)),
        (table(lambda a, b: a ^ b), (0.0, 0.0, 0.0, 1.0)),
        (copied(), (1.0, 0.0, 0.0, 0.0)),
        (copied(0.11), (1 - 0.499916, 0.0, 0.0, 0.0)),
        (table(lambda a, b: a), (0.0, 1.0, 0.0, 0.0)),
        (table(lambda a, b: b), (0.0, 0.0, 1.0, 0.0)),
        (table(lambda a, b: 2 * a + b), (0.0, 1.0, 1.0, 0.0)),
    ],
    ids=["and", "or", "xor", "copy", "noisy copy", "unique a", "unique b", "both unique"],
)
def test_textbook_cases_in_bits(joint, atoms):
    found = broja(joint)
    values = (found.redundancy, found.unique_a, found.unique_b, found.synergy)
    np.testing.assert_allclose(np.array(values) / BITS, atoms, atol=2e-6)


def union_by_search(joint, steps=400):
    """Slow and clear: for bits, what q(a, b | y) may still be is one number for each y; try them all."""
    first, second, target = joint.sum(1), joint.sum(0), joint.sum((0, 1))
    curves = []
    for y in range(2):
        a, b = first[1, y], second[1, y]
        both = np.linspace(max(0.0, a + b - target[y]), min(a, b), steps)
        curves.append(np.stack([target[y] - a - b + both, b - both, a - both, both]).clip(0))
    q = np.stack(np.broadcast_arrays(curves[0][:, :, None], curves[1][:, None, :]), -1)
    tables = np.moveaxis(q, 0, 2)  # steps, steps, cells, target
    return information(tables).min()


@pytest.mark.parametrize("joint", random_tables(6, 2, 2, 0.5))
def test_union_equals_exhaustive_search(joint):
    ours = union_information(joint.sum(1), joint.sum(0))
    assert ours == pytest.approx(union_by_search(joint), abs=2e-5)


def least_found_inside(joint):
    """From above: I of a table with the same pairs, by an interior-point method from given-y independence."""
    first, second, target = joint.sum(1), joint.sum(0), joint.sum((0, 1))
    start = np.einsum("ay,by->aby", first, second) / target
    cells = np.eye(joint.size).reshape(*joint.shape, -1)
    sums = np.concatenate([cells.sum(axis).reshape(-1, joint.size) for axis in (0, 1)])
    free = start.ravel() > 0
    moves = null_space(sums[:, free])  # changes that leave both pairs as they are

    def at(step):
        q = np.zeros(joint.size)
        q[free] = start.ravel()[free] + moves @ step
        return q.clip(1e-15).reshape(joint.shape)

    def gradient(step):
        q = at(step)
        return moves.T @ (np.log(q) - np.log(q.sum(2, keepdims=True))).ravel()[free]

    inside = LinearConstraint(moves, -start.ravel()[free], np.inf, keep_feasible=True)
    options = {"maxiter": 3000, "gtol": 1e-9, "xtol": 1e-10, "barrier_tol": 1e-9}
    found = minimize(
        lambda step: information(at(step).reshape(-1, joint.shape[2])),
        np.zeros(moves.shape[1]),
        jac=gradient,
        method="trust-constr",
        constraints=inside,
        options=options,
    )
    return found.fun


def greatest_bound(joint):
    """From below: for any u and v, E u_y(a) + E v_y(b) - log max_ab E_y exp(u_y(a) + v_y(b)), the dual.

    The largest over a and b is replaced by ever sharper smooth ones, which are larger: it stays a bound.
    """
    first, second, target = joint.sum(1), joint.sum(0), joint.sum((0, 1))
    point = np.zeros(first.size + second.size)

    def split(point):
        return point[: first.size].reshape(first.shape), point[first.size :].reshape(second.shape)

    def smooth(point, sharpness):
        u, v = split(point)
        exponents = u[:, None] + v[None] + np.log(target)
        of_cell = logsumexp(exponents, axis=2)
        largest = logsumexp(sharpness * of_cell) / sharpness
        weights = np.exp(exponents - of_cell[..., None] + sharpness * (of_cell - largest)[..., None])
        slope = np.concatenate([(first - weights.sum(1)).ravel(), (second - weights.sum(0)).ravel()])
        return largest - (first * u).sum() - (second * v).sum(), -slope

    for sharpness in (1e1, 1e2, 1e3, 1e4, 1e5):
        options = {"maxiter": 5000, "maxfun": 20_000, "ftol": 1e-15, "gtol": 1e-10}
        bounds = [(-40, 40)] * point.size
        point = minimize(smooth, point, (sharpness,), "L-BFGS-B", jac=True, bounds=bounds, options=options).x
    u, v = split(point)
    of_cell = logsumexp(u[:, None] + v[None] + np.log(target), axis=2)
    return (first * u).sum() + (second * v).sum() - of_cell.max()


@pytest.mark.filterwarnings("ignore:delta_grad == 0.0")  # SciPy's word for a start that is the optimum
@pytest.mark.parametrize(
    "joint",
    [
        table(lambda a, b: a & b, states=3),
        table(max, states=3),
        table(lambda a, b: int(a == b), states=3),
        *random_tables(2, 3, 2),
        *random_tables(1, 4, 2),
        *random_tables(1, 3, 3, 0.3),
    ],
    ids=["and", "largest", "equal", "random", "random 2", "four states", "three targets"],
)
def test_union_lies_between_primal_and_dual(joint):
    least, greatest = greatest_bound(joint), least_found_inside(joint)
    assert greatest - least < 3e-4  # otherwise the bracket would say little
    ours = union_information(joint.sum(1), joint.sum(0))
    assert least - 1e-7 < ours < greatest + 3e-6


def test_many_tables_at_once_as_one_by_one():
    joints = random_tables(5, 3, 3, 0.3)
    together = broja(joints)
    alone = [broja(joint).redundancy for joint in joints]
    np.testing.assert_allclose(together.redundancy, alone, atol=1e-6)


def test_atoms_are_not_negative_and_add_up():
    joints = random_tables(200, 3, 2, 0.2)
    atoms = broja(joints)
    parts = np.stack([atoms.redundancy, atoms.unique_a, atoms.unique_b, atoms.synergy])
    assert parts.min() > -1e-5
    np.testing.assert_allclose(parts.sum(0), information(joints.reshape(200, 9, 2)), atol=1e-12)
    np.testing.assert_allclose(atoms.redundancy, broja_redundancy(joints.sum(2), joints.sum(1)), atol=1e-12)


def test_sources_change_places():
    joints = random_tables(20, 3, 2, 0.5)
    atoms, swapped = broja(joints), broja(joints.swapaxes(1, 2))
    np.testing.assert_allclose(atoms.unique_a, swapped.unique_b, atol=1e-5)


@pytest.mark.parametrize(
    ("joint", "message"),
    [
        (np.full((2, 2), 0.25), "source, source, target"),
        (np.full((2, 2, 2), 1.0), "sums to 8"),
        (np.array([[[1.5, -0.5]]]), "negative"),
        (np.array([[[np.nan, 0.5]]]), "not finite"),
    ],
)
def test_improper_tables_are_refused(joint, message):
    with pytest.raises(DataError, match=message):
        broja(joint)
