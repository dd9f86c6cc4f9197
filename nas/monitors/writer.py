"""TensorBoard event files written with TensorBoard's own classes; no torch is imported."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event as Record
from tensorboard.compat.proto.event_pb2 import SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2
from tensorboard.plugins.hparams import metadata as hparams
from tensorboard.summary.writer.event_file_writer import EventFileWriter


class RunWriter:
    """One run of TensorBoard: a folder of event files.

    When the folder already holds events, the first thing written says that the
    run was started again at that step, so TensorBoard drops what is newer and
    curves of a resumed run do not fork.

    Args:
        folder: Created if needed.
        purge_step: Step from which older events are void; None takes the first one written.
    """

    def __init__(self, folder: Path, purge_step: int | None = None) -> None:
        again = folder.is_dir() and any(folder.glob("events.out.tfevents.*"))
        self._purge = again or purge_step is not None
        self._purge_step = purge_step
        self._writer = EventFileWriter(str(folder), flush_secs=10)

    def scalar(self, tag: str, value: float, step: int) -> None:
        """A point of a curve."""
        self._add(Summary.Value(tag=tag, simple_value=value), step)

    def image(self, tag: str, png: bytes, step: int) -> None:
        """A picture, given as PNG."""
        width, height = (int.from_bytes(png[at : at + 4], "big") for at in (16, 20))
        picture = Summary.Image(encoded_image_string=png, width=width, height=height, colorspace=4)
        self._add(Summary.Value(tag=tag, image=picture), step)

    def text(self, tag: str, markdown: str, step: int) -> None:
        """A text, read as Markdown."""
        plugin = SummaryMetadata.PluginData(plugin_name="text")
        tensor = TensorProto(
            dtype="DT_STRING",
            string_val=[markdown.encode()],
            tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)]),
        )
        metadata = SummaryMetadata(plugin_data=plugin)
        self._add(Summary.Value(tag=f"{tag}/text_summary", metadata=metadata, tensor=tensor), step)

    def hparams(
        self, settings: Mapping[str, Any], figures: Mapping[str, float], *, ok: bool
    ) -> None:
        """A row of the hparams table: settings, and the figures they led to."""
        start = plugin_data_pb2.SessionStartInfo(start_time_secs=time.time())
        infos = []
        for name, value in settings.items():
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if number:
                start.hparams[name].number_value = value
            else:
                start.hparams[name].string_value = str(value)
            kind = api_pb2.DATA_TYPE_FLOAT64 if number else api_pb2.DATA_TYPE_STRING
            infos.append(api_pb2.HParamInfo(name=name, type=kind))
        metrics = [api_pb2.MetricInfo(name=api_pb2.MetricName(tag=name)) for name in figures]
        status = api_pb2.STATUS_SUCCESS if ok else api_pb2.STATUS_FAILURE
        end = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=time.time())
        experiment = api_pb2.Experiment(hparam_infos=infos, metric_infos=metrics)
        for tag, content in (
            (hparams.EXPERIMENT_TAG, {"experiment": experiment}),
            (hparams.SESSION_START_INFO_TAG, {"session_start_info": start}),
            (hparams.SESSION_END_INFO_TAG, {"session_end_info": end}),
        ):
            data = plugin_data_pb2.HParamsPluginData(version=hparams.PLUGIN_DATA_VERSION, **content)
            metadata = hparams.create_summary_metadata(data)
            self._add(Summary.Value(tag=tag, metadata=metadata, tensor=hparams.NULL_TENSOR), 0)

    def close(self) -> None:
        """Write what is waiting."""
        self._writer.close()

    def _add(self, value: Summary.Value, step: int) -> None:
        if self._purge:
            self._purge = False
            at = step if self._purge_step is None else self._purge_step
            log = SessionLog(status=SessionLog.START)
            self._writer.add_event(Record(wall_time=time.time(), step=at, session_log=log))
        summary = Summary(value=[value])
        self._writer.add_event(Record(wall_time=time.time(), step=step, summary=summary))
