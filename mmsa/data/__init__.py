"""Data: corpora, the data sets mmsa knows, readers of their layouts, planted data, batches."""

from mmsa.data.catalogue import DATA_SETS, open_corpus
from mmsa.data.corpus import Corpus, Features, Split, Strings, Tokens

__all__ = ["DATA_SETS", "Corpus", "Features", "Split", "Strings", "Tokens", "open_corpus"]
