"""Spaces from the configuration files of other projects."""

from mmsa.importing.mmsa import import_mmsa
from mmsa.importing.translation import Imported

__all__ = ["Imported", "import_mmsa"]
