"""Scores: metrics of a mask and of a region, the engine that runs all stages, the handler that writes tables.

Names are imported from their modules: segmenting a scan should not wait for the plotting and statistics libraries.
"""
