"""Data: corpora, the data sets mmsa knows, readers of their layouts, planted data, batches.

``open_corpus`` and ``DATA_SETS`` are imported when they are asked for: the process that reads files needs
neither planted data nor torch behind them.
"""

from typing import TYPE_CHECKING, Any

from mmsa.data.corpus import Corpus, Features, Split, Strings, Tokens

if TYPE_CHECKING:
    from mmsa.data.catalogue import DATA_SETS, open_corpus

__all__ = ["DATA_SETS", "Corpus", "Features", "Split", "Strings", "Tokens", "open_corpus"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from mmsa.data import catalogue

    return getattr(catalogue, name)
