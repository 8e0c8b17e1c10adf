import pytest
import torch

from mmsa.errors import DataError
from mmsa.information.neighbours import (
    Triples,
    nearest_neighbours,
    product_batch,
    search_points,
    standardise,
)


def points(count=40, dims=3, seed=0):
    return torch.randn(count, dims, generator=torch.Generator().manual_seed(seed))


def slow_neighbours(bank, anchor, k):
    distances = sorted(
        (sum((a - b) ** 2 for a, b in zip(bank[anchor].tolist(), row.tolist(), strict=True)), index)
        for index, row in enumerate(bank)
        if index != anchor
    )
    return {index for _, index in distances[:k]}


@pytest.mark.parametrize("offset", [0.0, 1000.0])
@pytest.mark.parametrize(("count", "k"), [(40, 4), (40, 39), (3, 2), (700, 7)])
def test_neighbours_are_those_of_the_definition(count, k, offset):
    bank = points(count)
    anchors = torch.tensor([2, count - 1, 0])
    found = nearest_neighbours(bank + offset, anchors, k)
    assert [set(row) for row in found.tolist()] == [slow_neighbours(bank, int(a), k) for a in anchors]


def test_many_anchors_are_searched_in_parts():
    bank = points(1100, dims=2)
    found = nearest_neighbours(bank, torch.arange(1100), 1)
    distance = torch.cdist(bank.double(), bank.double()).fill_diagonal_(torch.inf)
    assert torch.equal(found[:, 0], distance.argmin(1))


def test_a_constant_condition_makes_every_other_sample_a_neighbour():
    found = nearest_neighbours(torch.ones(6, 2), torch.tensor([2]), 5)
    assert set(found[0].tolist()) == {0, 1, 3, 4, 5}


@pytest.mark.parametrize("classes", [2, 3])
def test_rows_of_a_class_serve_each_other_evenly(classes):
    """Only noise tells them apart, which float32 loses: one served 44 others, and nearly half none."""
    chosen = torch.randint(0, classes, (1284,), generator=torch.Generator().manual_seed(0))
    one_hot = torch.nn.functional.one_hot(chosen).float()
    found = nearest_neighbours(search_points(one_hot, seed=0), torch.arange(1284), 4)
    served = torch.bincount(found.flatten(), minlength=1284)
    assert (served > 0).float().mean() > 0.98
    assert served.max() <= 10
    assert torch.equal(chosen[found], chosen[:, None].expand(-1, 4))


def test_standardise_leaves_constants_out_of_the_distance():
    scaled = standardise(torch.cat([100 * points(dims=1), torch.full((40, 1), 7.0)], 1))
    assert scaled[:, 0].std(correction=0).item() == pytest.approx(1.0, rel=1e-5)
    assert not scaled[:, 1].any()


def test_product_batch_pairs_an_anchor_with_the_x_of_its_neighbours():
    index = torch.arange(40.0)[:, None]
    z = points()
    batch = product_batch(Triples(index, index, z), size=13, k=4, generator=torch.Generator().manual_seed(0))
    anchors = batch.y[::4, 0].int().tolist()
    assert len(batch.x) == 12
    assert len(set(anchors)) == 3
    for part, anchor in enumerate(anchors):
        rows = slice(4 * part, 4 * part + 4)
        assert set(batch.y[rows, 0].int().tolist()) == {anchor}
        torch.testing.assert_close(batch.z[rows], z[[anchor]].expand(4, -1))
        assert set(batch.x[rows, 0].int().tolist()) == slow_neighbours(standardise(z), anchor, 4)


def test_too_small_a_bank_is_refused():
    bank = Triples(points(4), points(4), points(4))
    with pytest.raises(DataError, match="5 neighbours"):
        product_batch(bank, 8, 5, torch.Generator())
