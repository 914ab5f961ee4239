"""Figures of decoded clips against their sources, baselines at the same bytes, and the report that a person opens."""
