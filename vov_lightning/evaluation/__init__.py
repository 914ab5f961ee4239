"""How good a decoded clip is, and against what: metrics, baselines, report."""
