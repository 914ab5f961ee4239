"""The report of an evaluation: one HTML file that needs nothing else, and the BD-rates in it."""

from vov_lightning.evaluation.report.bd_rate import bd_rates
from vov_lightning.evaluation.report.build import build_report

__all__ = ["bd_rates", "build_report"]
