# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The drawn faces of the sample corpus: a shaded head with moving brows, eyes and mouth.

Every frame is drawn at twice its size and reduced, so that edges are smooth. Lengths are in units of the face's side: the
origin is the center of the face, x points right, y points down, and the square from -0.5 to 0.5 is about the box that a
face detector returns.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np


SIDE = 144  # pixels: frames are square
FACE = 0.56 * SIDE  # pixels: the side of the face
OVERSAMPLING = 2
COSINES, SINES = np.cos(np.arange(40) * np.pi / 20), np.sin(np.arange(40) * np.pi / 20)


@dataclass(frozen=True)
class Look:
    """Constant appearance of a face: colors are RGB in 0..255, lengths are factors around 1."""

    skin: tuple[float, float, float]
    hair: tuple[float, float, float]
    backdrop: tuple[float, float, float]
    width: float
    length: float
    fringe: float
    brow: float
    eyes: float
    mouth: float


@dataclass(frozen=True)
class Expression:
    """Movement of a face, arrays of shape (frames,).

    Args:
        smile: mouth corners, -1 (down) to 1 (up).
        brow_slope: -1 (inner ends down, a frown) to 1 (inner ends up).
        brow_height: 0 to 1 (raised, with wide eyes).
        mouth_open: 0 to 1.
        blink: 0 to 1.
        x: horizontal position of the head, in sides of the face.
        y: vertical position of the head, in sides of the face.
        tilt: rotation of the head, in radians.
    """

    smile: np.ndarray
    brow_slope: np.ndarray
    brow_height: np.ndarray
    mouth_open: np.ndarray
    blink: np.ndarray
    x: np.ndarray
    y: np.ndarray
    tilt: np.ndarray


def make_look(rng: np.random.Generator) -> Look:
    """Draw the face of a speaker at random: skin, hair, background and proportions."""
    tones = np.array([[244, 208, 184], [231, 184, 152], [208, 160, 124], [176, 128, 96]], float)
    skin = tones[rng.integers(len(tones))] * rng.uniform(0.95, 1.03)
    hair = np.array([[40, 28, 22], [82, 54, 34], [120, 86, 50], [64, 60, 60]], float)[rng.integers(4)]
    backdrop = rng.uniform(70, 170, size=3)
    return Look(
        skin=tuple(skin),
        hair=tuple(hair),
        backdrop=tuple(backdrop),
        width=rng.uniform(0.94, 1.06),
        length=rng.uniform(0.95, 1.06),
        fringe=rng.uniform(0.0, 0.06),
        brow=rng.uniform(0.85, 1.2),
        eyes=rng.uniform(0.95, 1.1),
        mouth=rng.uniform(0.9, 1.1),
    )


def draw_face(look: Look, expression: Expression, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield one frame (144, 144, 3), uint8, RGB, per step of `expression`; `rng` draws the noise of the camera.

    Raises:
        ImportError: OpenCV is not installed.
    """
    cv2 = _opencv()
    head = _draw_head(look)
    for i in range(len(expression.smile)):
        moment = {name: float(values[i]) for name, values in vars(expression).items()}
        frame = head.copy()
        _draw_eyes_and_brows(cv2, frame, look, moment)
        _draw_mouth(cv2, frame, look, moment)
        frame = _pose(cv2, frame, moment)
        noise = rng.integers(-4, 5, size=(SIDE, SIDE), dtype=np.int8)
        yield cv2.add(frame, cv2.merge([noise] * 3), dtype=cv2.CV_8U)  # saturates at 0 and 255


def _opencv():
    try:
        import cv2
    except ImportError as error:
        raise ImportError("Drawing the sample corpus needs OpenCV: pip install 'mm_affect[video]'") from error
    return cv2


def _points(xy: np.ndarray) -> np.ndarray:
    """Convert face coordinates (points, 2) to pixels of the enlarged frame, with 4 fractional bits for OpenCV."""
    pixels = (np.asarray(xy, float) * FACE + SIDE / 2) * OVERSAMPLING
    return np.round(pixels * 16).astype(np.int32)


def _fill(cv2, frame: np.ndarray, xy: np.ndarray, color) -> None:
    cv2.fillPoly(frame, [_points(xy)], tuple(float(c) for c in color), cv2.LINE_AA, 4)


def _ellipse(x: float, y: float, width: float, height: float, angle: float = 0.0) -> np.ndarray:
    across, down = width * COSINES, height * SINES
    return np.stack(
        [x + across * np.cos(angle) - down * np.sin(angle), y + across * np.sin(angle) + down * np.cos(angle)], axis=1
    )


@lru_cache(maxsize=32)  # a speaker's head is the same in every clip
def _draw_head(look: Look) -> np.ndarray:
    """Draw background, shoulders, hair and shaded skin, which do not move within the head."""
    cv2 = _opencv()
    size = SIDE * OVERSAMPLING
    skin, hair = np.array(look.skin), np.array(look.hair)
    frame = np.empty((size, size, 3), np.uint8)
    frame[:] = np.array(look.backdrop)
    _fill(cv2, frame, _ellipse(0, 1.12, 0.75, 0.36), skin[::-1] * 0.35)  # shoulders, in a dark cloth
    _fill(cv2, frame, np.array([[-0.2, 0.3], [0.2, 0.3], [0.22, 0.85], [-0.22, 0.85]]), skin * 0.62)  # neck, in shadow
    _fill(cv2, frame, _ellipse(0, -0.12, 0.50 * look.width, 0.62 * look.length), hair)
    face = _ellipse(0, 0.0, 0.42 * look.width, 0.58 * look.length)
    face[:, 1] = np.maximum(face[:, 1], -0.42 + look.fringe)  # the hairline
    _fill(cv2, frame, face, skin)

    mask = np.zeros((size, size), np.uint8)
    cv2.fillPoly(mask, [_points(face)], 255, cv2.LINE_AA, 4)
    y, x = (np.mgrid[:size, :size] / OVERSAMPLING - SIDE / 2) / FACE

    def spot(cx: float, cy: float, wide: float, high: float) -> np.ndarray:
        return np.exp(-(((x - cx) / wide) ** 2) - ((y - cy) / high) ** 2)

    round_off = np.clip(1 - (x / (0.46 * look.width)) ** 2 - (y / (0.66 * look.length)) ** 2, 0, 1) ** 0.5
    light = 0.62 + 0.42 * round_off
    light -= 0.22 * (spot(-0.19, -0.13, 0.13, 0.07) + spot(0.19, -0.13, 0.13, 0.07))  # eye sockets
    light += 0.10 * spot(0, -0.02, 0.045, 0.16)  # ridge of the nose
    light -= 0.28 * spot(0, 0.135, 0.09, 0.022)  # its shadow
    light -= 0.20 * (spot(-0.055, 0.115, 0.022, 0.016) + spot(0.055, 0.115, 0.022, 0.016))  # nostrils
    light += 0.08 * (spot(-0.22, 0.06, 0.1, 0.08) + spot(0.22, 0.06, 0.1, 0.08))  # cheeks
    light -= 0.10 * spot(0, 0.40, 0.12, 0.03)  # under the lip
    alpha = mask[..., None] / 255.0
    lit = frame * (1 - alpha) + np.clip(skin * light[..., None], 0, 255) * alpha
    return lit.astype(np.uint8)


def _draw_eyes_and_brows(cv2, frame: np.ndarray, look: Look, moment: dict[str, float]) -> None:
    lift, slope = moment["brow_height"], moment["brow_slope"]
    opening = 0.036 * look.eyes * (1 + 0.55 * lift - 0.25 * max(-slope, 0)) * (1 - 0.9 * moment["blink"])
    skin, hair = np.array(look.skin), np.array(look.hair)
    for side in (-1, 1):
        x, y = side * 0.19, -0.115
        _fill(cv2, frame, _ellipse(x, y, 0.085 * look.eyes, max(opening, 0.006)), (225, 222, 218))
        _fill(cv2, frame, _ellipse(x, y, 0.036, min(0.036, max(opening, 0.006))), (38, 28, 24))
        lid = np.stack([x + np.linspace(-0.095, 0.095, 12), y - opening * np.sin(np.linspace(0, np.pi, 12))], axis=1)
        cv2.polylines(frame, [_points(lid)], False, tuple(skin * 0.3), 3, cv2.LINE_AA, 4)
        inner, outer = x - side * 0.115, x + side * 0.12
        along = np.linspace(0, 1, 10)
        middle = -0.222 - 0.085 * lift - 0.022 * np.sin(np.pi * along)
        middle = middle - slope * 0.055 * (1 - 2 * along)  # inner end first
        thick = 0.021 * look.brow * (1 - 0.45 * along)
        xs = inner + (outer - inner) * along
        brow = np.concatenate([np.stack([xs, middle - thick], 1), np.stack([xs, middle + thick], 1)[::-1]])
        _fill(cv2, frame, brow, np.minimum(hair, skin * 0.42))
    if slope < 0:  # the furrow between lowered brows
        for side in (-1, 1):
            furrow = np.array([[side * 0.025, -0.20], [side * 0.03, -0.12]])
            cv2.polylines(frame, [_points(furrow)], False, tuple(skin * (1 + 0.45 * slope)), 2, cv2.LINE_AA, 4)


def _draw_mouth(cv2, frame: np.ndarray, look: Look, moment: dict[str, float]) -> None:
    smile, opened = moment["smile"], moment["mouth_open"]
    skin = np.array(look.skin)
    width = look.mouth * (0.155 + 0.045 * max(smile, 0) - 0.015 * opened)
    along = np.linspace(-1, 1, 21)
    corner = -0.075 * smile * along**2 + 0.0375 * smile  # corners against the middle of the mouth
    bow = (1 - along**2) * (0.018 + 0.030 * opened)
    sag = (1 - along**2) * (0.026 + 0.105 * opened)
    xs, y = width * along, 0.305
    upper, lower = np.stack([xs, y + corner - bow], 1), np.stack([xs, y + corner + sag], 1)
    _fill(cv2, frame, np.concatenate([upper, lower[::-1]]), skin * np.array([0.72, 0.42, 0.42]))
    gap = (1 - along**2) * (0.006 + 0.105 * opened)
    inside = np.concatenate(
        [np.stack([xs, y + corner - gap * 0.2], 1), np.stack([xs, y + corner + gap * 0.75], 1)[::-1]]
    )
    _fill(cv2, frame, inside, (46, 18, 20))
    if opened > 0.25:
        teeth = np.stack([xs[5:16], (y + corner + 0.004)[5:16]], 1)
        cv2.polylines(frame, [_points(teeth)], False, (205, 200, 190), 3, cv2.LINE_AA, 4)
    for side in (-1, 1):  # the fold from nose to mouth deepens with a smile
        fold = np.array([[side * 0.12, 0.12], [side * 0.19, 0.20], [side * (width + 0.035), 0.27]])
        cv2.polylines(frame, [_points(fold)], False, tuple(skin * (0.80 - 0.16 * max(smile, 0))), 2, cv2.LINE_AA, 4)


def _pose(cv2, frame: np.ndarray, moment: dict[str, float]) -> np.ndarray:
    """Move and tilt the head, and reduce the frame to its final size."""
    middle = SIDE * OVERSAMPLING / 2
    matrix = cv2.getRotationMatrix2D((middle, middle), float(np.degrees(moment["tilt"])), 1.0)
    matrix[:, 2] += np.array([moment["x"], moment["y"]]) * FACE * OVERSAMPLING
    matrix /= OVERSAMPLING
    # The blur before the reduction softens the edges, so one resampling moves, tilts and reduces.
    return cv2.warpAffine(cv2.blur(frame, (3, 3)), matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE)
