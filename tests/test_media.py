# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Decoding: the right samples and pictures at the right time, in bounded memory; one sentence for every bad file."""

import os
import sys
import tracemalloc
import wave
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from corpora import write_video

from mm_affect.features import media
from mm_affect.features.media import MediaError, iter_audio, iter_frames, probe, read_audio


av = pytest.importorskip("av", reason="PyAV, of the extra `audio`, is not installed")
soundfile = pytest.importorskip("soundfile", reason="soundfile, of the extra `audio`, is not installed")

REALDATA = Path(os.environ.get("MM_AFFECT_REALDATA", Path(__file__).parents[2] / "shared" / "realdata")) / "av"
needs_realdata = pytest.mark.skipif(not REALDATA.is_dir(), reason="the real clips are absent: set MM_AFFECT_REALDATA")


def tone(seconds, rate=16000, frequency=440.0):
    return (0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def write_wav(path, samples, rate=16000):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return path


def write_clip(path, seconds=2.0, frame_times=None, sound=True, picture=True, options=None, audio_start=0.0):
    """A clip whose n-th picture has brightness 12 n and whose sound is a tone at 16 kHz."""
    times = [k / 10 for k in range(round(seconds * 10))] if frame_times is None else frame_times
    with av.open(str(path), "w", options=options or {}) as container:
        streams = []
        if picture:
            video = container.add_stream("mpeg4", rate=10)
            video.width, video.height, video.pix_fmt, video.time_base = 64, 48, "yuv420p", Fraction(1, 1000)
            video.codec_context.time_base = Fraction(1, 1000)
            frames = []
            for n, time in enumerate(times):
                frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), (12 * n) % 256, np.uint8), format="rgb24")
                frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
                frames.append((time, frame))
            streams.append((video, frames))
        if sound:
            pcm = str(path).endswith("mkv")
            audio = container.add_stream("pcm_s16le" if pcm else "aac", rate=16000)
            audio.layout, step = "mono", 8000 if pcm else 1024
            samples, frames = tone(seconds - audio_start), []
            for begin in range(0, len(samples) - step + 1, step):
                block = np.ascontiguousarray(samples[None, begin : begin + step])
                block = (block * 32767).astype(np.int16) if pcm else block
                frame = av.AudioFrame.from_ndarray(block, format="s16" if pcm else "fltp", layout="mono")
                frame.rate, frame.time_base = 16000, Fraction(1, 16000)
                frame.pts = begin + round(audio_start * 16000)
                frames.append((begin / 16000 + audio_start, frame))
            streams.append((audio, frames))
        queue = sorted(
            ((time, i, f) for i, (_, fs) in enumerate(streams) for time, f in fs), key=lambda item: item[:2]
        )
        for _, i, frame in queue:
            container.mux(streams[i][0].encode(frame))
        for stream, _ in streams:
            container.mux(stream.encode(None))
    return path


def shown(frames):
    return [round(frame.mean() / 12) for frame in frames]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("media") / "clip.mp4")


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32"])
@pytest.mark.parametrize("with_soundfile", [True, False])
def test_wav_of_every_width_with_and_without_soundfile(tmp_path, monkeypatch, subtype, with_soundfile):
    path = tmp_path / "stereo.wav"
    left, right = tone(1.0), tone(1.0, frequency=1000)
    soundfile.write(path, np.stack([left, right], axis=1), 16000, subtype=subtype)
    if not with_soundfile:
        monkeypatch.setitem(sys.modules, "soundfile", None)
    expected, tolerance = (left + right) / 2, 1 / 100 if subtype == "PCM_U8" else 1e-4
    np.testing.assert_allclose(read_audio(path), expected, atol=tolerance)
    np.testing.assert_allclose(read_audio(path, start=0.25, end=0.5), expected[4000:8000], atol=tolerance)
    assert probe(path) == media.MediaInfo(1.0, True, False, 16000, None)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "mp4", "m4a", "aac", "mkv", "avi"])
def test_every_format_gives_the_tone_back_from_path_and_bytes(tmp_path, suffix):
    path = tmp_path / f"tone.{suffix}"
    if suffix in ("wav", "flac", "ogg", "mp3"):
        soundfile.write(path, tone(2.0, 44100), 44100)
    else:
        write_clip(path, picture=suffix not in ("m4a", "aac"))
    waveform = read_audio(path)
    assert waveform.dtype == np.float32 and abs(len(waveform) - 32000) < 2500
    middle = waveform[8000:24000]
    assert np.abs(np.fft.rfft(middle)).argmax() == 440
    assert 0.4 < np.abs(middle).max() < 0.6
    np.testing.assert_array_equal(read_audio(path.read_bytes()), waveform)
    assert probe(path).has_audio and abs(probe(path).duration - 2) < 0.2


def test_resampling_keeps_the_tone_and_the_length(tmp_path):
    path = write_wav(tmp_path / "tone.wav", tone(2.0, 44100), 44100)
    waveform = read_audio(path)
    assert len(waveform) == 32000
    np.testing.assert_allclose(waveform[1000:-1000], tone(2.0)[1000:-1000], atol=2e-3)


def test_chunks_are_the_whole_in_equal_parts(tmp_path, clip):
    for path in (write_wav(tmp_path / "tone.wav", tone(2.1, 22050), 22050), clip):
        chunks = list(iter_audio(path, chunk_seconds=0.5))
        assert {len(chunk) for chunk in chunks[:-1]} == {8000} and 0 < len(chunks[-1]) <= 8000
        np.testing.assert_array_equal(np.concatenate(chunks), read_audio(path))


def test_a_part_of_a_container_is_that_part_of_the_whole(clip):
    whole = read_audio(clip)
    part = read_audio(clip, start=1.0, end=1.5)
    assert len(part) == 8000
    np.testing.assert_allclose(part[100:-100], whole[16100:23900], atol=1e-3)


def test_a_sound_track_that_begins_later_is_silent_until_then(tmp_path):
    waveform = read_audio(write_clip(tmp_path / "late.mkv", audio_start=0.5))
    assert (waveform[:7900] == 0).all()
    assert abs(int(np.flatnonzero(waveform)[0]) - 8000) < 50


def test_a_clip_recorded_live_states_no_duration_and_reads_all_the_same(tmp_path):
    path = write_clip(tmp_path / "live.mkv", sound=False, options={"live": "1"})
    with av.open(str(path)) as container:
        assert container.duration is None
    assert probe(path).duration == pytest.approx(2.0, abs=0.11)
    assert shown(iter_frames(path, rate=5)) == list(range(0, 20, 2))
    assert shown(iter_frames(path, rate=5, start=1.3, end=1.9)) == [13, 15, 17]


def test_silence_is_valid_sound(tmp_path):
    assert (read_audio(write_wav(tmp_path / "silence.wav", np.zeros(16000))) == 0).all()


def test_frames_are_those_on_the_screen(tmp_path, clip):
    assert shown(iter_frames(clip, rate=10)) == list(range(20))
    assert shown(iter_frames(clip, rate=5)) == list(range(0, 20, 2))
    assert shown(iter_frames(clip, rate=20, start=0.5, end=0.8)) == [5, 5, 6, 6, 7, 7]
    assert shown(iter_frames(clip, rate=5, start=1.3, end=1.9)) == [13, 15, 17]
    frame = next(iter_frames(clip, rate=5))
    assert frame.shape == (48, 64, 3) and frame.dtype == np.uint8
    assert probe(clip).frame_rate == pytest.approx(10)


def test_frames_of_a_variable_rate_go_by_their_time_stamps(tmp_path):
    path = write_clip(tmp_path / "variable.mkv", frame_times=[0, 0.1, 0.15, 0.9, 1.0, 1.5], sound=False)
    assert shown(iter_frames(path, rate=10))[:15] == [0, 1, 2, 2, 2, 2, 2, 2, 2, 3, 4, 4, 4, 4, 4]


@pytest.mark.parametrize("read", [read_audio, lambda source: list(iter_frames(source, 5)), probe])
@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "does not exist"), (b"", "empty"), (b"just some text\n" * 99, "not media"), ("cut", "cut off")],
)
@pytest.mark.parametrize("suffix", ["mp4", "wav", "txt"])
def test_what_is_not_media_is_refused_with_a_sentence(tmp_path, clip, read, content, message, suffix):
    path = tmp_path / f"bad.{suffix}"
    if content is not None:
        path.write_bytes(clip.read_bytes()[:-2000] if content == "cut" else content)
    with pytest.raises(MediaError, match=message):
        read(path)


def test_missing_tracks_are_named(tmp_path):
    with pytest.raises(MediaError, match="no audio track"):
        read_audio(write_clip(tmp_path / "mute.mp4", sound=False))
    for path in (write_clip(tmp_path / "blind.m4a", picture=False), write_wav(tmp_path / "a.wav", tone(1.0))):
        with pytest.raises(MediaError, match="no video track"):
            list(iter_frames(path, 5))
    assert not probe(tmp_path / "mute.mp4").has_audio and not probe(tmp_path / "blind.m4a").has_video


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_a_sound_file_cut_in_the_middle_says_what_is_readable(tmp_path, suffix):
    path = tmp_path / f"cut.{suffix}"
    rng = np.random.default_rng(0)
    soundfile.write(path, rng.uniform(-0.5, 0.5, 160000), 16000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(
        MediaError, match=r"cut off or damaged: [34]\.\d\d s of 10\.00 s are readable|5\.00 s of 10\.00"
    ):
        read_audio(path)
    if suffix == "wav":
        assert len(read_audio(path, start=1, end=2)) == 16000  # the readable part still reads


def test_a_damaged_wav_header_is_refused_with_and_without_soundfile(tmp_path, monkeypatch):
    whole = write_wav(tmp_path / "whole.wav", tone(1.0)).read_bytes()
    for _ in range(2):
        for broken in (whole[:30], whole[:12] + whole[36:], whole[:20] + b"\x55\x00" + whole[22:40]):
            for read in (read_audio, probe):
                with pytest.raises(MediaError):
                    read(broken)
        monkeypatch.setitem(sys.modules, "soundfile", None)


def test_a_cut_wav_is_refused_without_soundfile_too(tmp_path, monkeypatch):
    path = write_wav(tmp_path / "cut.wav", tone(10.0))
    path.write_bytes(path.read_bytes()[:160044])
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(MediaError, match="5.00 s of 10.00 s"):
        read_audio(path)


@pytest.mark.parametrize(("suffix", "options"), [("mp4", {"movflags": "faststart"}), ("mkv", {})])
def test_a_container_cut_in_the_middle_is_refused(tmp_path, suffix, options):
    path = write_clip(tmp_path / f"whole.{suffix}", seconds=8.0, options=options)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    for read in (read_audio, lambda source: list(iter_frames(source, 5))):
        with pytest.raises(MediaError, match=r"cut off or damaged: [2-6]\.\d\d s of [78]\.\d\d s"):
            read(path)


@pytest.mark.parametrize(("start", "end"), [(-1, 1), (1, 1), (1.5, 1), (2.5, 2.7), (0, 9), (float("nan"), 1)])
def test_an_interval_outside_the_file_is_refused(tmp_path, clip, start, end):
    for path in (clip, write_wav(tmp_path / "a.wav", tone(2.0))):
        with pytest.raises(MediaError, match="cannot be taken from it"):
            read_audio(path, start=start, end=end)
    with pytest.raises(MediaError, match="cannot be taken from it"):
        list(iter_frames(clip, 5, start=start, end=end))


def test_a_sound_file_without_samples_is_refused(tmp_path):
    with pytest.raises(MediaError, match="nothing to decode"):
        read_audio(write_wav(tmp_path / "none.wav", np.zeros(0)))


def test_flipped_bytes_give_a_sentence_or_samples_but_no_other_error(clip):
    whole, rng = clip.read_bytes(), np.random.default_rng(0)
    for _ in range(40):
        broken = bytearray(whole)
        for place in rng.integers(0, len(whole), 30):
            broken[place] = rng.integers(256)
        for read in (read_audio, lambda source: list(iter_frames(source, 5)), probe):
            try:
                read(bytes(broken))
            except MediaError as error:
                assert str(error).endswith(".")


def test_a_codec_that_nobody_knows_is_refused_and_the_other_track_is_read(tmp_path):
    pictures = write_video(tmp_path / "clip.mp4", sound=True).read_bytes().replace(b"avc1", b"zzzz")
    assert probe(pictures).has_video and len(read_audio(pictures)) >= 8000
    with pytest.raises(MediaError, match="the codec of its video track is unknown; convert it"):
        list(iter_frames(pictures, 5))
    with av.open(str(tmp_path / "sound.mkv"), "w") as container:
        track = container.add_stream("pcm_s16le", rate=16000)
        block = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        block.sample_rate = 16000
        container.mux([*track.encode(block), *track.encode(None)])
    sound = (tmp_path / "sound.mkv").read_bytes().replace(b"A_PCM/INT/LIT", b"A_ZZZ/ZZZ/ZZZ")
    assert probe(sound).has_audio and probe(sound).sampling_rate is None
    with pytest.raises(MediaError, match="the codec of its audio track is unknown"):
        read_audio(sound)


def test_a_missing_library_is_named_with_the_command_that_installs_it(clip, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ImportError, match=r"needs PyAV: pip install 'mm_affect\[audio,video\]'"):
        probe(clip)


@pytest.mark.full
def test_memory_does_not_grow_with_the_file(tmp_path):
    sound = write_wav(tmp_path / "long.wav", np.zeros(600 * 16000, np.float32))
    video = write_clip(tmp_path / "long.mkv", 600, frame_times=range(600))
    tracemalloc.start()
    try:
        for stream in (iter_audio(sound, 8000), iter_audio(video), iter_frames(video, 1)):
            tracemalloc.reset_peak()
            amount = sum(len(part) for part in stream)
            assert amount >= 600 * 48
            assert tracemalloc.get_traced_memory()[1] < 8e6  # 10 minutes are 38 MB at 16 kHz
    finally:
        tracemalloc.stop()


@needs_realdata
@pytest.mark.parametrize("name", ["bbaf2n", "id2_vcd_swwp2s", "lrwp9a", "sbia1a"])
def test_real_talking_faces(name):
    path = REALDATA / "grid" / f"{name}.mpg"
    info = probe(path)
    assert (info.duration, info.sampling_rate, info.frame_rate) == (pytest.approx(2.98), 44100, 25.0)
    whole, frames = read_audio(path), list(iter_frames(path, 5))
    assert abs(len(whole) / 16000 - 2.98) < 0.05 and len(frames) == 15 and frames[0].shape == (288, 360, 3)
    np.testing.assert_allclose(read_audio(path, start=1, end=2)[200:-200], whole[16200:31800], atol=1e-3)
    for part, frame in zip(iter_frames(path, 5, start=1, end=2), frames[5:10], strict=True):
        np.testing.assert_array_equal(part, frame)


@needs_realdata
def test_real_clip_with_several_tracks_and_real_speech():
    info = probe(REALDATA / "nasa_13013.mp4")
    assert (info.duration, info.sampling_rate) == (pytest.approx(13.056), 16000)
    assert len(list(iter_frames(REALDATA / "nasa_13013.mp4", 5))) == 66
    assert len(read_audio(REALDATA / "jfk.flac")) == 11 * 16000
    with pytest.raises(MediaError, match="s of 11.00 s are readable"):
        read_audio((REALDATA / "jfk.flac").read_bytes()[:600_000])
