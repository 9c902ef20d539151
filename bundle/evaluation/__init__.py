"""Scores: metrics of a mask and of a region, the engine that runs all stages, the handler that writes tables.

Names are imported from their modules: the cascade takes :mod:`bundle.evaluation.memory` alone, and segmenting a scan
should not wait for the plotting and statistics libraries.
"""
