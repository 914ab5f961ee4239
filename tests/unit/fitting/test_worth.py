"""The account of a vector beside index bits."""

import pytest

from vov_lightning.errors import SettingError
from vov_lightning.fitting.worth import MARGIN, Worth, check_budget, exchange_rate, index_budget_bits
from vov_lightning.sampling.config import ScalingConfig


def test_a_vector_pays_where_it_saves_more_than_it_takes():
    assert Worth(loss_without=2.0, loss_with=1.9, index_bytes=1000.0, vector_bytes=49).pays
    assert not Worth(loss_without=2.0, loss_with=1.9, index_bytes=1000.0, vector_bytes=51).pays
    assert not Worth(loss_without=1.0, loss_with=1.1, index_bytes=1000.0, vector_bytes=0).pays


def test_at_the_exchange_rate_a_bit_of_vector_costs_the_loss_that_a_few_bits_of_indices_save():
    k, loss, index_bits = 64, 0.8, 5000.0
    one_bit_of_vector = exchange_rate(k, loss, index_bits) / k
    assert Worth(loss, loss - one_bit_of_vector, index_bits / 8, 0).saved_bytes == pytest.approx(MARGIN / 8)


def test_without_a_budget_there_is_no_rate():
    assert index_budget_bits(ScalingConfig(target_bpp=0.02), 1000) == 20
    assert index_budget_bits(ScalingConfig(bits=300), 1000) == 300
    for unknown in (ScalingConfig(), ScalingConfig(target_psnr=30.0), ScalingConfig(bits=300, target_psnr=30.0)):
        with pytest.raises(SettingError, match="lmbda=budget wants to know how many index bits"):
            check_budget(unknown)
