"""Privacy losses as they stand in documents: two 64-bit integers."""

from collections.abc import Mapping
from typing import Any

from bson import Int64

from amancay_engine.privacy import PrivacyLoss

MAX_AMOUNT = 2**61
"""The largest part of a stored loss. Three of them still add up within 64 bits."""
PARTS = ("epsilon_nano", "delta_atto")


def storable(loss: PrivacyLoss) -> bool:
    """True if both parts are within `MAX_AMOUNT`; no limit is larger, so a loss that is not never fits."""
    return loss.epsilon_nano <= MAX_AMOUNT and loss.delta_atto <= MAX_AMOUNT


def dump_loss(loss: PrivacyLoss) -> dict[str, Int64]:
    """The sub-document of a loss."""
    return {"epsilon_nano": Int64(loss.epsilon_nano), "delta_atto": Int64(loss.delta_atto)}


def parse_loss(document: Mapping[str, Any]) -> PrivacyLoss:
    """Reads what `dump_loss` wrote."""
    return PrivacyLoss(epsilon_nano=int(document["epsilon_nano"]), delta_atto=int(document["delta_atto"]))


def smaller_parts(one: PrivacyLoss, other: PrivacyLoss) -> PrivacyLoss:
    """The smaller of each part: what two accounts can both still pay."""
    return PrivacyLoss(
        epsilon_nano=min(one.epsilon_nano, other.epsilon_nano),
        delta_atto=min(one.delta_atto, other.delta_atto),
    )
