"""What is planted into invented interviews can be found by the base of the shipped space."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import cross_val_predict

from mmsa.config import with_overrides
from mmsa.data import open_corpus
from mmsa.data.generated import make
from mmsa.data.generated.people import LOW_WORDS, invent_people
from mmsa.data.known_targets import SCORE
from mmsa.search.definition.load import load_space
from mmsa.training import evaluate, run

pytestmark = [pytest.mark.slow, pytest.mark.encoder, pytest.mark.timeout(1800)]

PEOPLE, SEED = 200, 0
PART_OF_CEILING = 0.9
ENOUGH_EPOCHS = 15


def ceiling() -> float:
    """CCC of people nobody was fitted on, by who knows the hidden voice and face and counts the sad words."""
    people = [person for person in invent_people(PEOPLE, SEED) if person.split != "test"]
    said = [[word for turn in one.turns if turn.participant for word in turn.text.split()] for one in people]
    sad = [np.mean([word in LOW_WORDS for word in words]) for words in said]
    hidden = np.column_stack([[one.voice for one in people], [one.face for one in people], sad])
    scores = np.array([one.score for one in people], np.float32)
    output = cross_val_predict(RidgeCV(np.logspace(-4, 3, 15)), hidden, scores, cv=5)
    return evaluate(scores, output.astype(np.float32), SCORE)["ccc"]


def test_the_base_of_the_space_finds_most_of_what_can_be_known(tmp_path):
    make("edaic", tmp_path / "T", PEOPLE, SEED)
    base = load_space("edaic.yaml", {"data.path": str(tmp_path / "T")}).base
    config = with_overrides(base, {"train.epochs": ENOUGH_EPOCHS, "information.quantities": []})
    result = run(config, open_corpus(config.data))
    known = ceiling()
    assert 0.8 < known < 0.95
    assert result.metrics["valid/ccc"] > PART_OF_CEILING * known
