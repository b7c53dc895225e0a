# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A face descriptor without weights: a Haar cascade finds the face, gradient histograms describe its parts.

For every frame the largest face is found (Viola and Jones, CVPR 2001: the cascade that OpenCV 4 bundles), cut out,
made gray, equalized and resized to 64 x 64 pixels. Each named part of that crop (brows, eyes, cheeks, mouth, chin)
then gives a histogram of oriented gradients (Dalal and Triggs, CVPR 2005); the darkness of eyes and mouth, the motion
since the previous face, and the place and size of the face complete the row.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np


CASCADE = "haarcascade_frontalface_alt2.xml"
CROP = 64  # pixels: the side of the square that every face is resized to
CELL = 8  # pixels: the crop is 8 x 8 cells, and PARTS names them
BINS = 6  # orientations of 30 degrees each, without sign
SEARCH = 320  # pixels: longer frames are reduced to this side before a face is looked for
SMALLEST = 0.12  # a face is at least this part of the frame's shorter side
SMOOTHING = 0.5  # weight of the newly found box against the previous one, to calm the detector's jitter

# Part of the face -> cells (first row, last row + 1, first column, last column + 1). Left and right are the picture's.
PARTS = {
    "brow_top_left": (1, 2, 1, 4),
    "brow_top_right": (1, 2, 4, 7),
    "brow_left": (2, 3, 1, 4),
    "brow_right": (2, 3, 4, 7),
    "eye_left": (3, 4, 1, 4),
    "eye_right": (3, 4, 4, 7),
    "cheek_left": (4, 5, 1, 3),
    "nose": (4, 5, 3, 5),
    "cheek_right": (4, 5, 5, 7),
    "mouth_top_left": (5, 6, 1, 3),
    "mouth_top": (5, 6, 3, 5),
    "mouth_top_right": (5, 6, 5, 7),
    "mouth_left": (6, 7, 1, 3),
    "mouth": (6, 7, 3, 5),
    "mouth_right": (6, 7, 5, 7),
    "chin": (7, 8, 2, 6),
}
DARK_PARTS = ("eye_left", "eye_right", "mouth_top", "mouth")
MOVING_PARTS = ("brow_left", "brow_right", "eye_left", "eye_right", "mouth_top", "mouth")

Box = tuple[float, float, float]  # center x, center y, side, in pixels of the frame


class FaceDescriptor:
    """Frames to one row of named face measurements per frame.

    Frames are uint8 RGB `(height, width, 3)`, sampled at `rate` frames per second; the result is float32 `(frames,
    size)`. A frame without a face is a row of NaN. Frames are read one at a time, so an iterator over a long video
    takes constant memory. The same frames always give the same features.

    Args:
        rate: frames per second of the input; recorded in the description, without effect on the features.

    Raises:
        ImportError: OpenCV 4 is not installed.
        ValueError: `rate` is not positive, or a frame has another shape or type.

    Example:
        >>> rows = FaceDescriptor(rate=10.0)(np.zeros((3, 128, 128, 3), np.uint8))
        >>> rows.shape, bool(np.isnan(rows).all())
        ((3, 109), True)
    """

    name = "faces"
    version = 1

    def __init__(self, rate: float = 10.0):
        if not rate > 0:
            raise ValueError(f"`rate` is {rate}; it must be a positive number of frames per second.")
        self.rate = float(rate)
        self.dimension_names = [
            *(f"{part}.gradient_{180 * b // BINS}" for part in PARTS for b in range(BINS)),
            *(f"{part}.darkness" for part in DARK_PARTS),
            *(f"{part}.motion" for part in MOVING_PARTS),
            *("box.x", "box.y", "box.size"),
        ]
        self._finder = FaceFinder()

    @property
    def size(self) -> int:
        """Return the number of features per frame."""
        return len(self.dimension_names)

    def describe(self) -> dict:
        """Return everything that decides the features, as JSON values for `from_description`."""
        return {
            "name": self.name,
            "version": self.version,
            "rate": self.rate,
            "size": self.size,
            "cascade": CASCADE,
            "dimension_names": list(self.dimension_names),
        }

    @classmethod
    def from_description(cls, description: dict) -> "FaceDescriptor":
        """Return the extractor of a description.

        Raises:
            ValueError: this version cannot compute those features.
        """
        if "rate" not in description:
            raise ValueError("The description of the face descriptor has no `rate`; give one made by `describe()`.")
        extractor = cls(rate=description["rate"])
        for key, here in extractor.describe().items():
            if description.get(key, here) != here:
                raise ValueError(
                    f"The description asks for a face descriptor with {key} {description[key]!r}; this has {here!r}. "
                    "Extract the features again, or install the version of mm_affect that made them."
                )
        return extractor

    def __call__(self, frames: Iterable[np.ndarray]) -> np.ndarray:
        """Return one descriptor per frame, float32 `(frames, size)`."""
        rows = list(self._rows(frames))
        return np.stack(rows) if rows else np.zeros((0, self.size), np.float32)

    def _rows(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        cv2 = opencv()
        box, previous = None, None
        for frame in frames:
            gray = cv2.cvtColor(check_frame(frame), cv2.COLOR_RGB2GRAY)
            box = self._finder(gray, box)
            if box is None:
                previous = None
                yield np.full(self.size, np.nan, np.float32)
                continue
            crop = cv2.equalizeHist(cut_out(gray, box, CROP))
            yield _describe_face(cv2, crop, crop if previous is None else previous, box, gray.shape)
            previous = crop


class FaceFinder:
    """Finds the largest face of a gray frame `(height, width)`, first near the previous one; None without a face."""

    def __init__(self):
        self._cascade = None

    def __call__(self, gray: np.ndarray, last: Box | None) -> Box | None:
        """Return the box of the face, smoothed over time with `last`, the one of the previous frame."""
        cv2 = opencv()
        if self._cascade is None:
            self._cascade = cv2.CascadeClassifier(str(Path(cv2.data.haarcascades) / CASCADE))
        found = _find_face(cv2, self._cascade, gray, last)
        return None if found is None else _smooth(last, found)

    def __getstate__(self) -> dict:
        return {"_cascade": None}  # a handle of OpenCV, loaded again where it is needed


def opencv():
    """Return the module `cv2`.

    Raises:
        ImportError: OpenCV 4 is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise ImportError("The face descriptor needs OpenCV 4: pip install 'mm_affect[video]'") from error
    if not hasattr(cv2, "CascadeClassifier"):
        raise ImportError(
            f"The face descriptor needs OpenCV 4, found {cv2.__version__}: pip install 'mm_affect[video]'"
        )
    return cv2


def check_frame(frame: np.ndarray) -> np.ndarray:
    """Return the frame if it is uint8 `(height, width, 3)`.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(frame, np.ndarray) or frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
        got = f"{frame.dtype} {frame.shape}" if isinstance(frame, np.ndarray) else type(frame).__name__
        raise ValueError(f"A frame is {got}; expected are uint8 arrays of shape (height, width, 3), RGB.")
    return frame


def _find_face(cv2, cascade, gray: np.ndarray, last: Box | None) -> Box | None:
    """The largest face: first near the last one, which is several times faster, then anywhere."""
    height, width = gray.shape
    if last is not None:
        x, y, side = last
        left, top = max(0, int(x - 0.8 * side)), max(0, int(y - 0.8 * side))
        near = gray[top : int(y + 0.8 * side) + 1, left : int(x + 0.8 * side) + 1]
        found = _largest(cv2, cascade, near, smallest=0.8 * side, largest=1.25 * side)
        if found is not None:
            return found[0] + left, found[1] + top, found[2]
    return _largest(cv2, cascade, gray, smallest=SMALLEST * min(height, width), largest=min(height, width))


def _largest(cv2, cascade, gray: np.ndarray, smallest: float, largest: float) -> Box | None:
    scale = min(1.0, SEARCH / max(gray.shape))
    if scale < 1.0:
        gray = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    bounds = [max(1, round(side * scale)) for side in (smallest, largest)]
    boxes = cascade.detectMultiScale(
        gray, scaleFactor=1.1, minNeighbors=4, minSize=(bounds[0],) * 2, maxSize=(bounds[1],) * 2
    )
    if len(boxes) == 0:
        return None
    x, y, width, _ = max((tuple(map(int, box)) for box in boxes), key=lambda box: (box[2], box))
    return (x + width / 2) / scale, (y + width / 2) / scale, width / scale


def _smooth(last: Box | None, new: Box) -> Box:
    """Return the new box averaged with the last one; after a jump of more than half its side, the new box."""
    if last is None or max(abs(new[0] - last[0]), abs(new[1] - last[1])) > new[2] / 2:
        return new
    x, y, side = (SMOOTHING * n + (1 - SMOOTHING) * o for n, o in zip(new, last, strict=True))
    return x, y, side


def cut_out(picture: np.ndarray, box: Box, pixels: int) -> np.ndarray:
    """Return a box of an image resized to `pixels` x `pixels`; parts outside the image repeat its edge."""
    cv2 = opencv()
    x, y, side = box
    scale = pixels / side
    matrix = np.array([[scale, 0, pixels / 2 - scale * x], [0, scale, pixels / 2 - scale * y]], np.float64)
    if scale < 0.5:  # average before sampling, or a large face would alias
        picture = cv2.blur(picture, (int(1 / scale),) * 2)
    return cv2.warpAffine(picture, matrix, (pixels, pixels), borderMode=cv2.BORDER_REPLICATE)


def _describe_face(cv2, crop: np.ndarray, previous: np.ndarray, box: Box, shape: tuple[int, int]) -> np.ndarray:
    bright = crop.astype(np.float32) / 255
    magnitude, angle = cv2.cartToPolar(cv2.Scharr(bright, -1, 1, 0), cv2.Scharr(bright, -1, 0, 1))
    place = angle * np.float32(BINS / np.pi)
    place -= BINS * (place >= BINS)  # opposite directions are one orientation
    distance = np.abs(place - np.arange(BINS, dtype=np.float32)[:, None, None])  # (bins, 64, 64)
    share = np.maximum(1 - np.minimum(distance, BINS - distance), 0)  # each pixel is shared by its two nearest bins
    gradients = np.sqrt(_cells(magnitude * share) / (magnitude.mean() + 1e-6))  # the root calms the strongest edges
    darkness = 1 - _cells(bright[None])
    motion = _cells(np.abs(bright - previous.astype(np.float32) / 255)[None])
    height, width = shape
    return np.concatenate(
        [
            *(_part(gradients, part) for part in PARTS),
            *(_part(darkness, part) for part in DARK_PARTS),
            *(_part(motion, part) for part in MOVING_PARTS),
            [box[0] / width, box[1] / height, box[2] / min(height, width)],
        ]
    ).astype(np.float32)


def _cells(planes: np.ndarray) -> np.ndarray:
    """(planes, 64, 64) -> (planes, 8, 8): the mean of every cell."""
    cells = CROP // CELL
    return planes.reshape(len(planes), cells, CELL, cells, CELL).mean(axis=(2, 4))


def _part(cells: np.ndarray, part: str) -> np.ndarray:
    top, bottom, left, right = PARTS[part]
    return cells[:, top:bottom, left:right].mean(axis=(1, 2))
