"""No password of an address is ever shown, however the address was written."""

from __future__ import annotations

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from mmsa.masking import masked, masked_in, masked_message

SECRETS = st.text(min_size=1, max_size=12).map("~{}~".format)  # that stands nowhere else in an address
PLACES = [
    "postgresql://user:{}@host:5432/db",
    "postgresql+psycopg://user:{}@host/db?sslmode=require",
    "postgresql://user:{}@host:port/db",
    "postgresql:///user:{}@host/db",
    "postgres:user:{}@host",
    "user:{}@host/db",
    "sqlite://user:{}@host/x.db",
    "http://user:{}@host",
    "https://{}@host/path",
]
QUERIES = [
    "postgresql://host/db?user=u&password={}",
    "postgresql:///db?host=h&PASSWORD={}&user=u",
    "mysql://host/db?ssl_key_pass={}",
    "mssql+pyodbc:///?odbc_connect=DRIVER%3Dx;PWD%3D{}",
    "https://host/x?access_token={}",
    "postgresql://host/db?p%61ssword={}",
    "postgresql://host/db?password={}&x=a:b@c",
]


@given(place=st.sampled_from(PLACES), secret=SECRETS)
@example(place=PLACES[0], secret="~p@ss~")
@example(place=PLACES[0], secret="~p/s?s#:&@~")
def test_what_stands_before_the_host_is_hidden(place: str, secret: str):
    assume(place != PLACES[-1] or ":" not in secret)  # a colon there ends a user's name, which is shown
    assert masked(place.format(secret)) == masked(place.format("other"))
    assert "~" not in masked(place.format(secret))


@given(query=st.sampled_from(QUERIES), secret=SECRETS)
def test_what_the_query_gives_away_is_hidden(query: str, secret: str):
    assume("&" not in secret)
    assert "~" not in masked(query.format(secret))


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://u:p@ss@host/db", "postgresql://u:***@host/db"),
        ("postgresql://u:p@host:port/db", "postgresql://u:***@host:port/db"),
        ("postgresql://host/db?user=u&password=p", "postgresql://host/db?user=u&password=***"),
        ("host=db user=u password='p q' port=5432", "host=db user=u password=*** port=5432"),
        ("http://token@host:5000", "http://***@host:5000"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("postgresql://host:5432/db?sslmode=require", "postgresql://host:5432/db?sslmode=require"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("sqlite:////data/me:x@work/mlflow.db", "sqlite:////data/me:x@work/mlflow.db"),
        ("sqlite:///mlflow.db", "sqlite:///mlflow.db"),
        ("/data/me:x@work", "/data/me:x@work"),
        ("", ""),
    ],
)
def test_the_rest_stays_readable(address: str, shown: str):
    assert masked(address) == shown


def test_nothing_is_hidden_twice():
    for place in (*PLACES, *QUERIES):
        assert masked(masked(place.format("abc"))) == masked(place.format("abc"))


@pytest.mark.parametrize(
    "message",
    [
        "cannot connect to {address}",
        "invalid literal for int() with base 10: 'p'",
        "failed to resolve host 'ss1@host'",
        "password p@ss1 is wrong, so is p%40ss1",
        "Authorization: Basic dTpwQHNzMQ==",
        "https://other:p@ss1@proxy is away",
    ],
)
def test_a_library_that_tells_the_address_or_parts_of_it_is_corrected(message: str):
    address = "postgresql://u:p@ss1@host:x/db"
    said = masked_message(ValueError(message.format(address=address)), address)
    text, _, advice = said.partition(". Inside a password")
    assert "***" in text
    assert not [part for part in ("ss1", "dTpwQHNzMQ==", "'p'") if part in text]
    assert advice == " write %40 for @"


def test_ordinary_words_stay():
    text = "no such table: runs (see https://sqlalche.me/e/21/e3q8); 12 tokens, a@b.org"
    assert masked_in(text, "postgresql://u:secret@host/db", "sqlite:////tmp/x.db") == text
    assert masked_message(ValueError(), "sqlite:///x.db") == "ValueError"
