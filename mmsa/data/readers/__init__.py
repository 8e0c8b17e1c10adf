"""Readers: one file for each on-disk layout."""

from mmsa.data.readers.base import FileConfig, Reader, TextForm
from mmsa.data.readers.mmsa import MmsaReader
from mmsa.data.readers.npz import NpzReader

LAYOUTS: dict[str, type[Reader]] = {"npz": NpzReader, "mmsa": MmsaReader}

__all__ = ["LAYOUTS", "FileConfig", "MmsaReader", "NpzReader", "Reader", "TextForm"]
