"""Readers: one file for each on-disk layout."""

from mmsa.data.readers.base import LAYOUTS, FileConfig, Reader, TextForm
from mmsa.data.readers.mmsa import MmsaReader
from mmsa.data.readers.npz import NpzReader

LAYOUTS.register("npz")(NpzReader)
LAYOUTS.register("mmsa")(MmsaReader)

__all__ = ["LAYOUTS", "FileConfig", "MmsaReader", "NpzReader", "Reader", "TextForm"]
