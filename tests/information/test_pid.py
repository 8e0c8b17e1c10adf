import itertools
import math

import dit
import numpy as np
import pytest
from dit.pid import PID_BROJA

from mmsa.errors import DataError
from mmsa.information.pid import broja, broja_redundancy, information, union_information

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


def dit_atoms(joint):
    """Redundancy and synergy in bits."""
    outcomes = ["".join(map(str, outcome)) for outcome in np.ndindex(joint.shape)]
    oracle = PID_BROJA(dit.Distribution(outcomes, joint.ravel().tolist()))
    return oracle.get_pi(((0,), (1,))), oracle.get_pi(((0, 1),))


@pytest.mark.parametrize("rule", [lambda a, b: a & b, lambda a, b: max(a, b), lambda a, b: int(a == b)])
def test_agrees_with_dit(rule):
    joint = table(rule, states=3)
    ours = broja(joint)
    np.testing.assert_allclose((ours.redundancy / BITS, ours.synergy / BITS), dit_atoms(joint), atol=2e-4)


@pytest.mark.parametrize("joint", [*random_tables(2, 3, 2), *random_tables(1, 4, 2)])
def test_finds_no_less_redundancy_than_dit(joint):
    """dit's optimiser often stops hundredths of a bit early on random tables, always with too little."""
    assert broja(joint).redundancy / BITS >= dit_atoms(joint)[0] - 1e-4


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
