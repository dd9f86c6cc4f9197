"""A figure of another package: joules of a forward pass, by a model of a device."""

from __future__ import annotations

from nas.measure import Subject, count_macs, count_parameters

JOULES_A_MAC, JOULES_A_WEIGHT = 4.6e-12, 6.4e-10


def energy(subject: Subject) -> float:
    macs = count_macs(subject.network, subject.data.input_shape)
    return macs * JOULES_A_MAC + count_parameters(subject.network) * JOULES_A_WEIGHT
