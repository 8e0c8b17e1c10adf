"""Readers: one module for each on-disk layout, imported when a file of that layout is opened."""

from mmsa.data.readers.base import LAYOUTS, FileConfig, Reader, TextForm

for _name, _target in {
    "npz": "npz:NpzReader",
    "pickle": "pickled:AnyPickleReader",
    "mmsa": "mmsa:MmsaReader",
    "misa": "tuples:MisaReader",
    "mmim": "tuples:MmimReader",
    "mag_bert": "tuples:MagBertReader",
    "mult": "mult:MultReader",
    "multibench": "mult:MultiBenchReader",
    "gcnet": "videos:GcnetReader",
    "poria": "videos:PoriaReader",
    "meld": "transcripts:MeldReader",
    "mintrec": "transcripts:MIntRecReader",
    "urfunny": "urfunny:UrFunnyReader",
    "edaic": "daic:EDaicReader",
    "daic": "daic:DaicReader",
    "eatd": "eatd:EatdReader",
    "dvlog": "vlogs:DVlogReader",
    "lmvd": "vlogs:LmvdReader",
    "csd": "csd:CsdReader",
    "mustard": "mustard:MustardReader",
    "cmdc": "cmdc:CmdcReader",
    "mpdd": "mpdd:MpddReader",
    "crema_d": "crema_d:CremaReader",
}.items():
    LAYOUTS.declare(_name, f"mmsa.data.readers.{_target}")
LAYOUTS.declare("custom", "mmsa.data.custom_reader:CustomReader")
LAYOUTS.declare("store", "mmsa.data.store_reader:StoreReader")

__all__ = ["LAYOUTS", "FileConfig", "Reader", "TextForm"]
