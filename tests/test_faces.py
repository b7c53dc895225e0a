# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The face descriptor: named dimensions, masked frames, streaming, determinism, and what its numbers react to."""

import json
import os
import pickle
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from mm_affect.data.synthetic.face import Expression, draw_face, make_look
from mm_affect.features.faces import FaceDescriptor


REALDATA = Path(os.environ.get("MM_AFFECT_REALDATA", Path(__file__).parents[2] / "shared" / "realdata"))


def drawn(frames=6, speaker=0, **moving):
    rng = np.random.default_rng([11, speaker])
    still = dict.fromkeys(("smile", "brow_slope", "brow_height", "mouth_open", "blink", "x", "y", "tilt"), 0.0)
    look = make_look(rng)
    expression = Expression(**{k: np.broadcast_to(v, frames).astype(float) for k, v in {**still, **moving}.items()})
    return list(draw_face(look, expression, rng))


def column(rows, name):
    return rows[:, FaceDescriptor().dimension_names.index(name)]


def test_every_dimension_has_one_name():
    extractor = FaceDescriptor()
    rows = extractor(drawn())
    assert rows.shape == (6, extractor.size) and rows.dtype == np.float32
    assert len(set(extractor.dimension_names)) == extractor.size <= 120
    assert np.isfinite(rows).all()


def test_a_frame_without_a_face_is_a_row_of_nan_and_nothing_else_is():
    frames = drawn()
    frames[2] = np.full_like(frames[2], 128)
    rows = FaceDescriptor()(frames)
    assert np.isnan(rows[2]).all()
    assert np.isfinite(np.delete(rows, 2, axis=0)).all()


def test_no_frames_give_no_steps():
    assert FaceDescriptor()(iter([])).shape == (0, FaceDescriptor().size)


def test_the_same_frames_give_the_same_numbers_also_from_a_used_or_pickled_extractor():
    frames, extractor = drawn(x=np.linspace(-0.1, 0.1, 6)), FaceDescriptor()
    first = extractor(frames)
    extractor(drawn(speaker=3))
    np.testing.assert_array_equal(extractor(frames), first)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(extractor))(frames), first)


def test_frames_are_read_one_at_a_time():
    alive = []

    def stream():
        for frame in drawn():
            alive.append(frame.shape)
            yield frame

    rows = FaceDescriptor()._rows(stream())
    next(rows)
    assert len(alive) == 1  # one row needs one frame
    assert len(list(rows)) == 5


def test_the_description_brings_the_extractor_back():
    extractor = FaceDescriptor(rate=12.5)
    description = json.loads(json.dumps(extractor.describe()))
    again = FaceDescriptor.from_description(description)
    assert again.describe() == extractor.describe()
    with pytest.raises(ValueError, match="version 99"):
        FaceDescriptor.from_description({**description, "version": 99})


@pytest.mark.parametrize("frame", [np.zeros((64, 64), np.uint8), np.zeros((64, 64, 3), np.float32), "face.png"])
def test_other_frames_are_refused_in_one_sentence(frame):
    with pytest.raises(ValueError, match="uint8 arrays of shape"):
        FaceDescriptor()([frame])


def test_a_rate_must_be_positive():
    with pytest.raises(ValueError, match="rate"):
        FaceDescriptor(rate=0)


def test_numbers_follow_the_face():
    extractor = FaceDescriptor()
    shut, opened = (extractor(drawn(mouth_open=value)) for value in (0.0, 1.0))
    assert column(opened, "mouth.darkness").mean() > column(shut, "mouth.darkness").mean() + 0.05
    left, right = (extractor(drawn(x=value)) for value in (-0.15, 0.15))
    assert 0.10 < (column(right, "box.x") - column(left, "box.x")).mean() < 0.25  # 0.3 faces of 0.56 of the frame
    still, talking = extractor(drawn(12)), extractor(drawn(12, mouth_open=np.arange(12) % 2))
    assert column(still, "mouth.motion")[0] == 0  # the first face has nothing to be compared with
    assert column(talking, "mouth.motion")[1:].mean() > 3 * column(still, "mouth.motion")[1:].mean()
    frown, worry = (extractor(drawn(brow_slope=value)) for value in (-1.0, 1.0))
    # A lowered inner end turns the left brow's edge the other way round than the right one's.
    for part, sign in (("brow_left", 1), ("brow_right", -1)):
        lean = [column(rows, f"{part}.gradient_60") - column(rows, f"{part}.gradient_120") for rows in (frown, worry)]
        assert sign * (lean[1] - lean[0]).mean() > 0.02


@pytest.mark.skipif(not (REALDATA / "av" / "grid").is_dir(), reason=f"no GRID clips under {REALDATA}")
def test_real_faces_are_found():
    av = pytest.importorskip("av", reason="PyAV decodes the clips")
    for clip in sorted((REALDATA / "av" / "grid").glob("*.mpg")):
        with av.open(str(clip)) as container:
            frames = (frame.to_ndarray(format="rgb24") for frame in islice(container.decode(video=0), 0, None, 3))
            rows = FaceDescriptor(rate=25 / 3)(frames)
        assert len(rows) == 25
        assert np.isfinite(rows).all(axis=1).mean() >= 0.95, clip.name
