# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Decoding of media files: audio as a mono waveform and video as RGB frames, both streamed in bounded memory.

WAV, FLAC, Ogg and MP3 are read by soundfile, everything else (mp4, mpg, avi, m4a, webm, mkv ...) by PyAV; without
soundfile, PCM WAV is read by the standard library. A source is a path, or the bytes of a file. Time 0 is the start of
playback for audio and video: an audio track that begins later is silent until then.

Every fault of a file raises `MediaError` with one sentence; generators raise it when they reach the fault. Files that
state their length (WAV, FLAC, mp4, mkv, avi ...) are refused if they end early and the missing part was requested;
MPEG streams, raw MP3 and Ogg do not state it and end where they end.
"""

import importlib
import io
import os
import wave
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import IO, Any

import numpy as np


Source = str | os.PathLike | bytes

SOUNDS = {".wav", ".flac", ".mp3", ".ogg", ".m4a", ".aac"}  # endings of files
MEDIA = SOUNDS | {".mp4", ".mpg", ".mpeg", ".avi", ".mkv", ".mov", ".webm"}
SLACK = 0.5  # seconds between what headers or annotations say and what a sound file holds
JITTER = 0.05  # seconds by which time stamps may be off before a gap counts as a gap
PREROLL = 0.5  # seconds decoded before the wanted start, for codecs that overlap their blocks
TICK = 1e-3  # seconds, the coarsest time stamps in use (Matroska's)
BLOCK = 1 << 14  # samples read at once
GUESSED = {"aac", "ac3", "eac3", "mp3", "amr"}  # raw streams, whose duration FFmpeg guesses from the bit rate
UNKNOWN_SIZE = 0x7FFFF000  # programs that write WAV into a pipe put this or more where the size should be


class MediaError(ValueError):
    """A media file that cannot be decoded as asked; the message says why in one sentence."""


@dataclass(frozen=True)
class MediaInfo:
    """Metadata of a file: `duration` in seconds, `sampling_rate` in Hz, `frame_rate` in frames per second."""

    duration: float
    has_audio: bool
    has_video: bool
    sampling_rate: int | None
    frame_rate: float | None


def probe(source: Source) -> MediaInfo:
    """Return duration and tracks of a file without decoding it.

    Raises:
        MediaError: the file cannot be read.
    """
    if _is_sound_file(source):
        with _open(source) as file:
            sound, _ = _sound_file(file, source)
            return MediaInfo(_sound_duration(file, sound), True, False, sound.samplerate, None)
    with _container(source) as container:
        audio, video = _track(container, "audio"), _track(container, "video")
        return MediaInfo(
            duration=_duration(container),
            has_audio=audio is not None,
            has_video=video is not None,
            sampling_rate=audio.rate if audio and audio.codec_context else None,  # else its codec is unknown
            frame_rate=float(video.average_rate) if video and video.average_rate else None,
        )


def read_audio(
    source: Source, sampling_rate: int = 16000, start: float | None = None, end: float | None = None
) -> np.ndarray:
    """Return the audio of a file from `start` to `end` seconds as float32 `(samples,)` in [-1, 1].

    Channels are averaged, and the result is resampled to `sampling_rate`.

    Raises:
        MediaError: there is no such file, no audio track, or no such interval.
    """
    return np.concatenate(list(iter_audio(source, sampling_rate, start, end)))


def iter_audio(
    source: Source,
    sampling_rate: int = 16000,
    start: float | None = None,
    end: float | None = None,
    chunk_seconds: float = 10.0,
) -> Iterator[np.ndarray]:
    """Yield the audio of `read_audio` in chunks of `chunk_seconds`, in memory that does not grow with the file."""
    blocks = _sound_file_blocks if _is_sound_file(source) else _container_blocks
    size = max(1, round(chunk_seconds * sampling_rate))
    waiting = np.zeros(0, np.float32)
    empty = True
    for samples in resample_blocks(blocks(source, start, end), sampling_rate):
        waiting = np.concatenate([waiting, samples])
        while len(waiting) >= size:
            yield waiting[:size]
            waiting, empty = waiting[size:], False
    if len(waiting):
        yield waiting
    elif empty:
        raise MediaError(f"{_name(source)} has an audio track without a single sample in the part asked for.")


def iter_frames(
    source: Source, rate: float, start: float | None = None, end: float | None = None
) -> Iterator[np.ndarray]:
    """Yield the frames on screen at `start + k / rate` seconds, uint8 RGB `(height, width, 3)` each.

    Frames are chosen by their time stamps, so a variable frame rate is fine; before the first frame the first one is
    used, and the last one ends after its duration. Rotation metadata is ignored.

    Raises:
        MediaError: there is no such file, no video track, or no such interval.
    """
    with _container(source) as container:
        video = _need_track(container, "video", source)
        duration = _duration(container)
        first, last = _interval(source, start, end, duration)
        shown, until, count = None, first, 0  # the picture on the screen, when it leaves, pictures given
        for time, frame in _decoded(container, video, source, first, last, duration):
            if shown is not None:
                while first + count / rate < min(time - TICK, last - TICK):
                    yield shown.to_ndarray(format="rgb24")
                    count += 1
            if time >= last:
                return
            shown, until = frame, time + _shown_for(frame, video)
        while shown is not None and first + count / rate < min(until, last) - TICK:
            yield shown.to_ndarray(format="rgb24")
            count += 1


def _name(source: Source) -> str:
    return "The media in memory" if isinstance(source, bytes) else f"The media file {os.fspath(source)}"


def _need(module: str, shown: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"Decoding this needs {shown}: pip install 'mm_affect[audio,video]'.") from error


def _open(source: Source) -> IO[bytes]:
    """The bytes of a source, after the checks that need no decoder."""
    file: IO[bytes]
    if isinstance(source, bytes):
        file, size = io.BytesIO(source), len(source)
    elif not os.path.isfile(source):
        raise MediaError(f"{_name(source)} does not exist, or is not a file.")
    else:
        file, size = open(source, "rb"), os.path.getsize(source)  # noqa: SIM115, the caller closes it
    if size == 0:
        file.close()
        raise MediaError(f"{_name(source)} is empty (0 bytes).")
    return file


def _interval(source: Source, start: float | None, end: float | None, duration: float) -> tuple[float, float]:
    first, last = 0.0 if start is None else start, duration if end is None else end
    if not 0 <= first < last or first >= duration or last > duration + SLACK:
        if start is None and end is None:
            raise MediaError(f"{_name(source)} has a duration of 0 s: there is nothing to decode.")
        raise MediaError(
            f"{_name(source)} lasts {duration:.2f} s, so {first:g} to {last:g} s cannot be taken from it: "
            "expected 0 <= start < end <= duration."
        )
    return first, min(last, duration)


def _cut_off(source: Source, readable: float, duration: float) -> MediaError:
    return MediaError(
        f"{_name(source)} is cut off or damaged: {readable:.2f} s of {duration:.2f} s are readable. "
        "Fetch the file again, or ask for the readable part only."
    )


def resample_blocks(blocks: Iterable[tuple[float, np.ndarray]], sampling_rate: int) -> Iterator[np.ndarray]:
    """Yield the samples of (rate, samples) pairs at `sampling_rate`; the rate may change between blocks."""
    stream: Any = None
    current: float = sampling_rate
    for rate, samples in blocks:
        if rate != current:
            if stream is not None:
                yield stream.resample_chunk(np.zeros(0, np.float32), last=True)
            soxr = _need("soxr", "soxr")
            stream = None if rate == sampling_rate else soxr.ResampleStream(rate, sampling_rate, 1, dtype="float32")
            current = rate
        yield samples if stream is None else stream.resample_chunk(samples)
    if stream is not None:
        yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


# Sound files


def _is_sound_file(source: Source) -> bool:
    with _open(source) as file:
        head = file.read(12)
    is_wav = head[:4] in (b"RIFF", b"RF64") and head[8:] == b"WAVE"
    is_mp3 = head[:3] == b"ID3" or (len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and head[1] & 0x06)
    if not (is_wav or is_mp3 or head[:4] in (b"fLaC", b"OggS")):
        return False
    try:
        soundfile = _need("soundfile", "soundfile")
    except ImportError:
        return head[:4] == b"RIFF" and is_wav  # the standard library reads these, PyAV the others
    try:
        with _open(source) as file, soundfile.SoundFile(file) as sound:
            return 0 <= sound.frames < 2**62  # a FLAC written into a pipe does not know its length, PyAV finds it out
    except soundfile.LibsndfileError:
        return False  # Ogg with video, AAC in WAV ...: PyAV decides


def _sound_file(file: IO[bytes], source: Source):
    """An open soundfile.SoundFile, or what stands in for it, and the errors that reading it may raise."""
    try:
        soundfile = _need("soundfile", "soundfile")
    except ImportError:
        try:
            return _PCMWave(file), (wave.Error, EOFError)
        except (wave.Error, EOFError) as error:
            raise MediaError(
                f"{_name(source)} is damaged, or not a WAV file of plain PCM ({error or 'it ends too early'})."
            ) from error
    return soundfile.SoundFile(file), (soundfile.LibsndfileError,)


def _sound_file_blocks(source: Source, start: float | None, end: float | None) -> Iterator[tuple[int, np.ndarray]]:
    with _open(source) as file:
        sound, errors = _sound_file(file, source)
        rate, duration = sound.samplerate, _sound_duration(file, sound)
        first, last = _interval(source, start, end, duration)
        position, stop = round(first * rate), round(last * rate)
        try:
            sound.seek(min(position, sound.frames))
            while position < stop:
                block = sound.read(min(BLOCK, stop - position), dtype="float32", always_2d=True)
                if not len(block):
                    break
                position += len(block)
                yield rate, block.mean(axis=1)
        except errors as error:
            raise _cut_off(source, position / rate, duration) from error
        if stop - position > JITTER * rate:
            raise _cut_off(source, min(position, sound.frames) / rate, duration)


def _sound_duration(file: IO[bytes], sound) -> float:
    """Seconds of sound; for WAV what the header promises, since readers quietly take what is there."""
    back = file.tell()
    file.seek(0)
    promised, bytes_per_second = None, 0
    if file.read(12)[:4] == b"RIFF":
        while len(head := file.read(8)) == 8:
            chunk, size = head[:4], int.from_bytes(head[4:], "little")
            if chunk == b"data":
                promised = size if size < UNKNOWN_SIZE and bytes_per_second else None
                break
            body = file.read(size + size % 2)
            if chunk == b"fmt ":
                bytes_per_second = int.from_bytes(body[8:12], "little")
    file.seek(back)
    return max(sound.frames / sound.samplerate, promised / bytes_per_second if promised else 0.0)


class _PCMWave:
    """The part of soundfile.SoundFile that is used here, for PCM WAV and without soundfile."""

    def __init__(self, file: IO[bytes]):
        self._file = wave.open(file)  # noqa: SIM115, open as long as the reader
        self.samplerate, self._width = self._file.getframerate(), self._file.getsampwidth()
        header = self._file.getnframes()
        position = file.tell()
        present = (file.seek(0, io.SEEK_END) - position) // (self._width * self._file.getnchannels())
        file.seek(position)
        self.frames = min(header, present)

    def seek(self, frame: int) -> None:
        self._file.setpos(frame)

    def read(self, frames: int, dtype: str, always_2d: bool) -> np.ndarray:
        frames = min(frames, self.frames - self._file.tell())
        raw = np.frombuffer(self._file.readframes(frames), np.uint8).reshape(-1, self._width)
        if self._width == 1:
            samples = (raw[:, 0].astype(np.float32) - 128) / 128  # 8-bit WAV is unsigned
        else:
            integers = np.zeros((len(raw), 4), np.uint8)
            integers[:, 4 - self._width :] = raw  # little-endian: the high bytes come last
            samples = integers.view("<i4")[:, 0].astype(dtype) / np.float32(2**31)
        return samples.reshape(-1, self._file.getnchannels())


# Containers


@contextmanager
def _container(source: Source):
    """An open PyAV container; what FFmpeg says against the file becomes a `MediaError`."""
    av = _need("av", "PyAV")
    with _open(source) as file:
        try:
            with av.open(file) as container:
                if not _played(container) or container.format.name == "tty":  # FFmpeg would film a text being typed
                    raise MediaError(f"{_name(source)} is not media, or cut off: it holds neither sound nor pictures.")
                yield container
        except (av.error.FFmpegError, UnicodeDecodeError) as error:
            raise MediaError(
                f"{_name(source)} is not media that can be decoded, or its index is cut off ({type(error).__name__})."
            ) from error


def _track(container, kind: str):
    stream = container.streams.best(kind)
    if stream is None or stream.disposition & _need("av", "PyAV").stream.Disposition.attached_pic:
        return None  # a cover picture is no video
    return stream


def _need_track(container, kind: str, source: Source):
    track = _track(container, kind)
    if track is None:
        raise MediaError(f"{_name(source)} has no {kind} track.")
    if track.codec_context is None:
        raise MediaError(
            f"{_name(source)} cannot be decoded here: the codec of its {kind} track is unknown; convert it, for example to "
            "H.264 and AAC."
        )
    return track


def _played(container) -> list:
    return [stream for stream in container.streams if stream.type in ("audio", "video")]


def _origin(container) -> float:
    """The time stamp at which the file starts to play, in seconds."""
    return (container.start_time or 0) / _need("av", "PyAV").time_base


def _duration(container) -> float:
    if container.duration is not None and container.format.name not in GUESSED:
        return container.duration / _need("av", "PyAV").time_base
    end = max((_packet_end(packet) for packet in container.demux(_played(container))), default=0.0)
    container.seek(0)  # raw streams and live recordings do not state their duration: it took a pass over the packets
    return end - _origin(container)


def _packet_end(packet) -> float:
    return 0.0 if packet.pts is None else float((packet.pts + (packet.duration or 0)) * packet.time_base)


def _shown_for(frame, video) -> float:
    if frame.duration:
        return float(frame.duration * frame.time_base)
    return float(1 / video.average_rate) if video.average_rate else 0.0


def _frames(packet, ignored: type[Exception] | tuple) -> list:
    try:
        return packet.decode()
    except ignored:
        return []  # a jump into an MPEG stream lands in the middle of a frame


def _decoded(
    container, stream, source: Source, first: float, last: float, duration: float
) -> Iterator[tuple[float, Any]]:
    """Pairs (seconds since the file starts to play, frame) of one stream, from `first` or a little before.

    Raises `MediaError` at a packet that cannot be decoded, and where the file ends although `last` is not reached and
    the header promises more.
    """
    error_type, origin = _need("av", "PyAV").error.FFmpegError, _origin(container)
    reached = time = 0.0
    for target in (first, 0.0):
        if first > 0:
            place = round((origin + target) / stream.time_base) if target else stream.start_time or 0
            container.seek(place, stream=stream)
        started = late = False
        try:
            for packet in container.demux(_played(container)):
                reached = max(reached, _packet_end(packet) - origin)
                if packet.stream.index != stream.index:
                    continue
                for frame in _frames(packet, () if started or not target else error_type):
                    time = time if frame.time is None else frame.time - origin
                    late = not started and target > 0 and time > target + TICK
                    if late:
                        break
                    started = True
                    yield time, frame
                    time += _shown_for(frame, stream) if stream.type == "video" else frame.samples / frame.sample_rate
                if late:
                    break  # the index led too far: once more from the beginning
        except error_type as error:
            raise _cut_off(source, time, duration) from error
        if started:
            break
    if reached < min(last, duration - min(SLACK, duration / 10)):
        raise _cut_off(source, reached, duration)


def _container_blocks(source: Source, start: float | None, end: float | None) -> Iterator[tuple[int, np.ndarray]]:
    with _container(source) as container:
        audio = _need_track(container, "audio", source)
        duration = _duration(container)
        first, last = _interval(source, start, end, duration)
        position, aligned = first, False  # seconds handed on so far; whether a frame was placed by its time stamp
        for time, frame in _decoded(container, audio, source, max(0.0, first - PREROLL), last, duration):
            if time >= last:
                return
            rate, samples = frame.sample_rate, _mono(frame)
            if not aligned or abs(time - position) > JITTER:
                gap = round((time - position) * rate)
                while gap > 0:
                    yield rate, np.zeros(min(gap, BLOCK), np.float32)
                    gap -= BLOCK
                if gap_seconds := max(0.0, time - position):
                    position += gap_seconds
                else:
                    samples = samples[round((position - time) * rate) :]
            samples = samples[: max(0, round((last - position) * rate))]
            if len(samples):
                aligned = True
                position += len(samples) / rate
                yield rate, samples


def _mono(frame) -> np.ndarray:
    """One decoded frame of any sample format as float32 `(samples,)`, channels averaged."""
    samples = frame.to_ndarray()
    samples = samples if frame.format.is_planar else samples.reshape(-1, frame.layout.nb_channels).T
    if samples.dtype == np.uint8:
        return (samples.mean(axis=0, dtype=np.float32) - 128) / 128
    scale = 1.0 if samples.dtype.kind == "f" else -float(np.iinfo(samples.dtype).min)
    return (samples.mean(axis=0, dtype=np.float64) / scale).astype(np.float32)
