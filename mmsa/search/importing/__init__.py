"""Spaces from the configuration files of other projects."""

from mmsa.search.importing.mmsa import import_mmsa
from mmsa.search.importing.translation import Imported

__all__ = ["Imported", "import_mmsa"]
