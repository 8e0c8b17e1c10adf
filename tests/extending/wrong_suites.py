"""The suites over the extensions that break a promise; each is run for the test that must notice."""

from __future__ import annotations

from test_example import TestJsonLines

from mmsa.testing import EstimatorContract, FusionContract, SamplerContract, SchedulerContract, TermContract


class TestFusion(FusionContract):
    CASES = {"counts_padding": {"width": 8}}


class TestEstimator(EstimatorContract):
    CASES = {"reads_the_order": {"critic": {"name": "separable", "embedding": 8, "hidden": 32, "layers": 2}}}


class TestTerm(TermContract):
    CASES = {"forgets_in_checkpoints": {}}


class TestReader(TestJsonLines):
    CASES = {"cuts_silence": {}}


class TestSampler(SamplerContract):
    CASES = {"leaves_the_space": {}}


class TestScheduler(SchedulerContract):
    CASES = {"compares_with_the_first": {}}
