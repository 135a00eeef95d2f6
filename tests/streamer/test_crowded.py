"""Frames with more persons than the engine has slots are counted and reported, never hidden."""

from dataclasses import replace

from streamer.ingest import ingest


def test_frames_that_used_every_slot_are_counted(clip, sink, make_site, kit) -> None:
    engine = kit.ColourEngine()
    plain = ingest(make_site({"hall": clip}), engine, sink)
    assert [camera.crowded for camera in plain.cameras] == [0]

    class OneSlot(kit.ColourEngine):
        """Room for one person only; counts the answers in which that room was used."""

        def __init__(self) -> None:
            super().__init__()
            self.info = replace(self.info, max_persons=1)
            self.used = 0

        def detect(self, frames, *, min_score=None):
            found = super().detect(frames, min_score=min_score)
            self.used += sum(answer.full for answer in found)
            return found

    narrow = OneSlot()
    (camera,) = ingest(make_site({"hall": clip}), narrow, sink).cameras
    assert 0 < camera.crowded <= camera.searched
    assert camera.crowded == narrow.used
