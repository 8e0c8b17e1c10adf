import pytest
import torch

from mmsa.errors import DataError
from mmsa.information.neighbours import FeatureBank, standardise

WIDTHS = {"text": 3, "audio": 2, "label": 1}
CONDITIONS = {
    "a": ("audio", "label", "text"),
    "b": ("text", "audio", "label"),
    "c": ("text", "label", "audio"),
}


def columns(rows, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(rows, width, generator=generator) for name, width in WIDTHS.items()}


def filled(rows=60, seed=0):
    bank, given = FeatureBank(WIDTHS, seed=5), columns(rows, seed)
    for start in range(0, rows, 17):
        bank.remember({name: value[start : start + 17] for name, value in given.items()})
    bank.turn_over()
    return bank, given


def place_of(row, column):
    return int((column == row).all(1).nonzero())


def test_product_batches_by_definition():
    bank, given = filled()
    batches = bank.product_batches(CONDITIONS, size=13, k=4)
    anchors = set()
    for name, (x, y, z) in CONDITIONS.items():
        points = bank.search_points(z).double()
        assert [len(part) for part in batches[name]] == [12, 12, 12]
        for start in range(0, 12, 4):
            anchor = place_of(batches[name].y[start], given[y])
            distances = sorted(
                (float((points[anchor] - points[i]).norm()), i) for i in range(60) if i != anchor
            )
            found = {place_of(row, given[x]) for row in batches[name].x[start : start + 4]}
            assert found == {i for _, i in distances[:4]}
            assert (batches[name].y[start : start + 4] == given[y][anchor]).all()
            assert (batches[name].z[start : start + 4] == given[z][anchor]).all()
            anchors.add(anchor)
    assert len(anchors) == 3  # one draw serves all conditions


def test_equal_labels_are_neighbours_at_random():
    bank, given = FeatureBank(WIDTHS, seed=5), columns(200)
    given["label"] = torch.arange(200.0)[:, None] % 4
    bank.remember(given)
    bank.turn_over()
    nearest = bank.nearest("label", 2)
    assert (given["label"][nearest] == given["label"][:, None]).all()
    assert len(nearest.unique()) > 100


def test_classes_of_several_numbers_are_no_other_than_numbered_ones():
    """One-hot rows of a class are equal: the same two of them would stand for the whole class."""
    bank, given = FeatureBank(WIDTHS | {"label": 4}, seed=5), columns(200)
    classes = torch.arange(200) % 4
    bank.remember(given | {"label": torch.nn.functional.one_hot(classes).float()})
    bank.turn_over()
    nearest = bank.nearest("label", 2)
    assert (classes[nearest] == classes[:, None]).all()
    assert len(nearest.unique()) > 100
    assert torch.equal(bank.search_points("text"), standardise(given["text"]))  # which has no ties


def test_rows_are_those_of_the_epoch_before():
    bank, given = filled()
    assert torch.equal(bank.rows, torch.cat(list(given.values()), 1))
    bank.remember(columns(7, seed=1))
    assert len(bank) == 60
    bank.turn_over()
    assert torch.equal(bank.rows, torch.cat(list(columns(7, seed=1).values()), 1))
    bank.turn_over()
    assert len(bank) == 7


def test_what_is_remembered_has_no_graph():
    bank = FeatureBank(WIDTHS, seed=0)
    bank.remember({name: value.requires_grad_() for name, value in columns(5).items()})
    bank.turn_over()
    assert not bank.rows.requires_grad
    assert all(not part.requires_grad for part in bank.product_batches(CONDITIONS, 4, 2)["a"])


def test_draws_differ_in_training_only():
    bank, _ = filled()
    first, second = (bank.product_batches(CONDITIONS, 12, 2)["a"].y for _ in range(2))
    assert not torch.equal(first, second)
    bank.eval()
    third, fourth = (bank.product_batches(CONDITIONS, 12, 2)["a"].y for _ in range(2))
    assert torch.equal(third, fourth)


def test_state_is_restored_in_the_middle_of_an_epoch():
    bank, _ = filled()
    bank.nearest("text", 2)
    bank.product_batches(CONDITIONS, 12, 2)
    bank.remember(columns(9, seed=2))
    again, _ = filled(rows=30, seed=3)
    again.nearest("text", 2)
    again.load_state_dict(bank.state_dict())
    for _ in range(2):
        one, other = (each.product_batches(CONDITIONS, 12, 2)["b"] for each in (bank, again))
        assert all(torch.equal(*parts) for parts in zip(one, other, strict=True))
        for each in (bank, again):
            each.remember(columns(20, seed=4))
            each.turn_over()
    assert torch.equal(bank.rows, again.rows)


def test_too_small_a_bank_is_refused():
    bank, _ = filled(rows=4)
    with pytest.raises(DataError, match="5 neighbours"):
        bank.product_batches(CONDITIONS, 8, 5)
