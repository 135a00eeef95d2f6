"""Hardware decoding: what is used is what is said, and no picture is lost by asking for it."""

import av
import pytest
from av.codec.hwaccel import HWAccel

from streamer.hardware import SOFTWARE, accelerator, decoder_of, unusable
from streamer.source import Reader


def test_none_is_software_without_a_word() -> None:
    assert accelerator("none") == (None, "")


@pytest.mark.parametrize("choice", ["auto", "cuda", "qsv"])
def test_what_is_said_is_what_decodes(clip, camera_settings, choice: str) -> None:
    with Reader(camera_settings(clip, hwaccel=choice)) as reader:
        frames = [frame for frame in reader.frames() if frame is not None]
        assert reader._stream is not None
        by_hardware = reader._stream.codec_context.is_hwaccel
    assert len(frames) == 30
    assert (reader.decoder == "cuda") == by_hardware
    if not by_hardware:
        assert reader.decoder.startswith(f"{SOFTWARE} (")
        asked = ("cuda", "qsv") if choice == "auto" else (choice,)
        assert all(f"{kind}: " in reader.decoder for kind in asked)


def test_a_kind_that_this_build_does_not_know() -> None:
    assert unusable("vdpau") == "vdpau: this build of FFmpeg cannot use it"


def test_a_device_that_does_not_know_the_codec_is_not_claimed(clip) -> None:
    """FFmpeg goes back to software in silence; the stream tells."""
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        assert decoder_of(stream, HWAccel("cuda"), "cuda") == "software (cuda: not for h264)"


def test_a_camera_that_names_no_device_says_software(clip, camera_settings) -> None:
    with Reader(camera_settings(clip)) as reader:
        assert reader.decoder == SOFTWARE
