"""Information terms. Importing this package registers them."""

from mmsa.objectives.terms.barber_agakov import BarberAgakov
from mmsa.objectives.terms.cpc import CPC
from mmsa.objectives.terms.mimrl import MIMRL

__all__ = ["CPC", "MIMRL", "BarberAgakov"]
