"""What a vector is worth beside index bits: both sides of the account in bytes.

Index bits pay for the model's squared velocity error. A vector that lowers this
error by a fraction f saves up to f of all index bits that share it, so it can
pay where f times those bits is more than its own. ``lmbda`` is then no taste
but an exchange rate: under ``L = D(v) + lmbda bits(v) / k`` a bit of vector is
bought where it saves m bits of indices if ``lmbda = m k D(0) / index bits``.
The account promises too much, so m is not 1 but `MARGIN`, and a vector whose
account is good is tried before it is written (`vov_lightning.fitting.trial`).
"""

from dataclasses import asdict, dataclass
from typing import Any

from vov_lightning.errors import SettingError
from vov_lightning.sampling.config import ScalingConfig

WORTH_DRAWS = 8
"""Batches of `FlowMatching` over which the error without and with the vector is compared, on the same draws."""

MARGIN = 2.0
"""Bits of indices that the last bit of vector saves by the account. Not all of the error costs index bits."""


@dataclass(frozen=True)
class Worth:
    """Both sides of the account."""

    loss_without: float
    """Distortion of the base model."""
    loss_with: float
    """Distortion with the vector as the file holds it."""
    index_bytes: float
    """Bytes of the files' budgets, headers included."""
    vector_bytes: int
    """What the vector adds to the files: header, count table and symbols."""

    @property
    def saved_bytes(self) -> float:
        """Bytes of indices that the vector replaces, if all of the error costs index bits."""
        return self.index_bytes * (1 - self.loss_with / self.loss_without)

    @property
    def pays(self) -> bool:
        """Whether it saves more than it takes, by the account."""
        return self.saved_bytes > self.vector_bytes

    def figures(self, written: bool) -> dict[str, Any]:
        """For ``metrics.json``; ``written``: whether the file holds the vector."""
        return asdict(self) | {"saved_bytes": self.saved_bytes, "written": written}


def format_worth(figures: dict[str, Any]) -> str:
    """A line on `Worth.figures`, and on the trial, where there was one.

    Example:
        >>> format_worth(Worth(1.0, 0.9, 5000.0, 60).figures(written=True))
        '60 bytes in place of about 500 of 5,000 bytes of indices (error of the model -10.0 %)'
        >>> format_worth(Worth(1.0, 0.999, 5000.0, 60).figures(written=False))
        'left out: 60 bytes would save about 5 of 5,000 bytes of indices (error of the model -0.1 %)'
        >>> format_worth(Worth(1.0, 0.9, 500.0, 6).figures(written=False) | {"trial_gain_db": -0.126})
        'left out: 6 bytes would save about 50 of 500 bytes of indices (error of the model -10.0 %; tried: -0.13 dB)'
    """
    gain_db = figures.get("trial_gain_db")
    tried = "" if gain_db is None else f"; tried: {gain_db:+.2f} dB"
    change = 100 * (figures["loss_with"] / figures["loss_without"] - 1)
    words = ("", "in place of") if figures["written"] else ("left out: ", "would save")
    return (
        f"{words[0]}{figures['vector_bytes']} bytes {words[1]} about {figures['saved_bytes']:.0f} of "
        f"{figures['index_bytes']:,.0f} bytes of indices (error of the model {change:+.1f} %{tried})"
    )


def index_budget_bits(scaling: ScalingConfig, num_pixels: int) -> float:
    """Bits that ``scaling`` gives the indices of a clip, headers included; 0 where that is not known beforehand."""
    if scaling.target_psnr is not None:
        return 0.0
    return scaling.bits if scaling.target_bpp is None else scaling.target_bpp * num_pixels


def check_budget(scaling: ScalingConfig) -> None:
    """Refuse ``lmbda=budget`` where the number of index bits is not known beforehand.

    Raises:
        SettingError: If it is not.
    """
    if not index_budget_bits(scaling, 1):
        raise SettingError(
            "lmbda=budget wants to know how many index bits a vector can save; give --scaling.target_bpp or "
            "--scaling.bits, or a price of your own, e.g. --stage2.lmbda 0.02"
        )


def exchange_rate(k: int, loss_without: float, budget_bits: float) -> float:
    """``lmbda`` at which a bit of vector saves `MARGIN` bits of indices, of which a file has ``budget_bits``."""
    return MARGIN * k * loss_without / budget_bits
