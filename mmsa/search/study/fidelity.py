"""How well the settings of a search foretell those of its finalists.

A search that runs cheap settings (cached text features, few epochs) is of use only as far as its order of
trials is that of the dear ones. Finalists are where both are known.
"""

from __future__ import annotations

from dataclasses import dataclass

from mmsa.search.study.view import StudyView

_FEWEST = 5  # of four trials no order is rarer by chance than 1 in 24, and one exchange makes it 4 in 24
_BY_CHANCE = 0.05


@dataclass(frozen=True)
class Fidelity:
    """The rank correlation of searched trials and their finalists, by the first objective.

    Attributes:
        finalists: completed ones that lie in the space as it is now.
        kendall: tau-b of both orders, -1 to 1.
        by_chance: part of all orders that agree at least as well (one-sided).
    """

    finalists: int
    kendall: float
    by_chance: float

    @property
    def trusted(self) -> bool:
        """Whether there are enough finalists, and their order is foretold better than by chance."""
        return self.finalists >= _FEWEST and self.by_chance <= _BY_CHANCE

    def text(self) -> str:
        """The correlation in words, and what to do about it."""
        found = f"rank correlation of the search with its {self.finalists} finalists: {self.kendall:+.2f}"
        if self.finalists < _FEWEST:
            return f"{found}; fewer than {_FEWEST} tell nothing, raise search.finalists.top"
        found += f" (Kendall; {self.by_chance:.2g} of all orders agree as well)"
        if self.trusted:
            return found
        # The best of a search differ little, so even a good fidelity may miss their order: low is no proof.
        return (
            f"{found}: too low to trust the order of the search; go by the finalists' own values, and raise "
            "search.finalists.top"
        )


def fidelity(study: StudyView) -> Fidelity | None:
    """Compare the finalists of a study with the trials that they run again; None for fewer than two."""
    from scipy.stats import kendalltau

    pairs = [
        (study.trial(finalist.finalist_of).values[0], finalist.values[0])
        for finalist in study.completed("finalist")
        if finalist.finalist_of is not None
    ]
    if len(pairs) < 2:
        return None
    searched, final = zip(*pairs, strict=True)
    if len(set(searched)) == 1 or len(set(final)) == 1:
        return Fidelity(len(pairs), 0.0, 1.0)
    found = kendalltau(searched, final, alternative="greater")
    return Fidelity(len(pairs), float(found.statistic), float(found.pvalue))
