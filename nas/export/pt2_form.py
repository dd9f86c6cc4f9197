"""The form "pt2": a `torch.export` program, for people who have torch and nothing of ours."""

from __future__ import annotations

import io

import torch

from nas.export.files import replacing
from nas.export.quiet import quiet_libraries
from nas.export.request import ExportRequest, ExportResult, compare, inputs_of, network_of


def traced(network: torch.nn.Module, images: torch.Tensor) -> torch.export.ExportedProgram:
    """The network as a program whose batch size is free."""
    batch = torch.export.Dim("batch", min=1)
    example = images[:2] if images.shape[0] >= 2 else images.repeat(2, 1, 1, 1)
    program = torch.export.export(network, (example,), dynamic_shapes=({0: batch},), strict=False)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # it names the folders of this machine
    return program


def export_pt2(request: ExportRequest) -> ExportResult:
    """Save, load again, compare at several batch sizes.

    Raises:
        ExportError: It cannot be written, or the loaded program computes something else.
    """
    network, images = network_of(request), inputs_of(request)
    with replacing(request.out) as temporary, torch.no_grad(), quiet_libraries():
        buffer = io.BytesIO()  # given a path, it would put the temporary name into the archive
        torch.export.save(traced(network, images), buffer)
        temporary.write_bytes(buffer.getvalue())
        program = torch.export.load(temporary).module()
        difference = 0.0
        for batch in (images, images[:1], images[:3]):
            torch.manual_seed(0)  # operations may draw noise
            expected = network(batch)
            torch.manual_seed(0)
            got = program(batch)
            difference = max(difference, compare("pt2", request.tolerance, expected, got))
    return ExportResult("pt2", (request.out,), difference, "torch.export program, free batch size")
