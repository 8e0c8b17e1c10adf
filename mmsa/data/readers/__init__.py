"""Readers: one file for each on-disk layout."""

from mmsa.data.readers.base import LAYOUTS, FileConfig, Reader, TextForm
from mmsa.data.readers.mmsa import MmsaReader
from mmsa.data.readers.npz import NpzReader
from mmsa.data.store_reader import StoreReader

LAYOUTS.register("npz")(NpzReader)
LAYOUTS.register("mmsa")(MmsaReader)
LAYOUTS.register("store")(StoreReader)

__all__ = ["LAYOUTS", "FileConfig", "MmsaReader", "NpzReader", "Reader", "StoreReader", "TextForm"]
