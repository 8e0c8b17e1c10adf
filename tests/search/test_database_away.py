"""A database server that goes away during a search: waited for, or the search stops and loses nothing."""

from __future__ import annotations

import threading
from pathlib import Path

import optuna
import postgres
import pytest
import yaml
from drivers import driver

from mmsa.errors import StudyError
from mmsa.search.records import Ending
from mmsa.search.study.study import Study, read_study

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(300)]


@pytest.fixture
def space(tmp_path, make_values) -> Path:
    path = tmp_path / "space.yaml"
    path.write_text(yaml.safe_dump(make_values(trials=3)), encoding="utf-8")
    return path


@pytest.mark.parametrize("what", ["report", "finish", "ask"])
@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_server_that_comes_back_is_waited_for(tmp_path, space, postgres_server, postgres_url, end, what):
    with driver(space, tmp_path, postgres_url) as searching:
        assert searching.do("ask") == "0 False"
        getattr(postgres_server, end)()
        back = threading.Timer(0.5, postgres_server.start)
        back.start()
        answer = searching.do(what)
        back.join()
        assert answer == {"report": "None", "finish": "completed", "ask": "1 False"}[what]
        assert searching.do("ask") == ("2 False" if what == "ask" else "1 False")
    trials = read_study("tried", tmp_path, postgres_url).trials()
    assert len(trials) == (3 if what == "ask" else 2)


def test_a_server_that_stays_away_stops_the_search_and_the_next_one_adopts(
    tmp_path, space, postgres_server, postgres_url
):
    with driver(space, tmp_path, postgres_url, hasty=True) as searching:
        assert searching.do("ask") == "0 False"
        assert searching.do("report") == "None"
        postgres_server.kill()
        try:
            answer = searching.do("finish")
        finally:
            postgres_server.start()
        assert answer.startswith("StudyError study 'tried' cannot be written: ")
        assert "run the same command again" in answer
        searching.process.join(60)
        assert searching.process.exitcode == 0
    with driver(space, tmp_path, postgres_url) as following:
        assert following.do("ask") == "0 True"
        assert following.do("finish") == "completed"


def test_a_trial_whose_creation_was_not_confirmed_is_not_created_twice(
    tmp_path, make_study_config, postgres_url, monkeypatch
):
    """The server stores it and dies before it can say so."""
    monkeypatch.setattr("mmsa.search.study.trial_store.PAUSES", (0.0, 0.0))
    created = optuna.storages.RDBStorage.create_new_trial
    unconfirmed = iter([True])

    def create(self, study_id, template_trial=None):
        number = created(self, study_id, template_trial)
        if next(unconfirmed, False):
            raise optuna.exceptions.StorageInternalError("connection lost")
        return number

    monkeypatch.setattr(optuna.storages.RDBStorage, "create_new_trial", create)
    with Study.open(make_study_config(trials=2), tmp_path, postgres_url) as study:
        for number in range(2):
            assert study.ask().number == number
            study.finish(number, Ending("completed", {"valid/mae": 1.0}))
        assert study.ask() is None
    assert read_study("tried", tmp_path, postgres_url).counts() == {"completed": 2}


def test_a_server_that_is_not_there_is_named_without_the_password(tmp_path, make_study_config):
    url = "postgresql+psycopg://me:secret@127.0.0.1:1/studies"
    with pytest.raises(StudyError, match=r"--storage postgresql\+psycopg://me:\*\*\*@127.0.0.1:1") as caught:
        Study.open(make_study_config(), tmp_path, url)
    assert "secret" not in str(caught.value)


def test_a_server_of_ones_own_says_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.setattr(postgres.shutil, "which", lambda name: None)
    monkeypatch.setattr(postgres, "Path", lambda name: tmp_path)
    assert "apt-get install postgresql" in postgres.missing()
