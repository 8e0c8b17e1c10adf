"""Distributed hyperparameter search for multimodal sentiment analysis and depression detection.

The package imports none of ray, optuna, mlflow and transformers by itself; each stands behind one door:
``mmsa.search``, ``mmsa.tracking`` and ``mmsa.models``.
"""

__version__ = "0.1.0"
