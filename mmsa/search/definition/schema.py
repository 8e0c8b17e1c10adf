"""The JSON schema of a space file, for editors. ``python -m mmsa.search.definition.schema`` writes it."""

from __future__ import annotations

import json
from pathlib import Path

from mmsa.search.definition.files import SCHEMA as SCHEMA
from mmsa.search.definition.study_config import StudyConfig


def schema_text() -> str:
    """The text of the schema file."""
    schema = StudyConfig.model_json_schema()
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def write(path: Path = SCHEMA) -> None:
    """Write the schema beside the shipped spaces."""
    path.write_text(schema_text(), encoding="utf-8")


if __name__ == "__main__":
    write()
