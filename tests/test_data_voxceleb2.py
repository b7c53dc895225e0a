# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""VoxCeleb2 and any folder of talking faces: walked in order, joined with transcripts, in flat memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fixture_layouts.voxceleb2 import write_meta, write_transcripts, write_voxceleb2

from mm_affect.data import DroppedClip, load
from mm_affect.data.corpora.registry import find_layout
from mm_affect.data.corpora.talking_faces import walk
from mm_affect.data.corpora.transcript_table import TranscriptTable, normalize_clip_id
from mm_affect.data.corpora.voxceleb2 import read_meta


REALDATA = Path(os.environ.get("MM_AFFECT_REALDATA", Path(__file__).parents[2] / "shared" / "realdata")) / "vox"


@pytest.fixture
def folder(tmp_path):
    write_voxceleb2(tmp_path / "vox")
    return tmp_path / "vox"


def ids_of(layout):
    return {split: [row["id"] for row in layout.rows(split)] for split in layout.describe().counts}


def manifest(ids, **columns):
    return [{"id": clip, "transcript": f"said in {clip}"} | {k: v[i % len(v)] for k, v in columns.items()}
            for i, clip in enumerate(ids)]  # fmt: skip


def test_every_clip_without_a_manifest(folder):
    ids = ids_of(find_layout("voxceleb2", folder, validation=0))
    assert ids["train"] == write_voxceleb2(folder) and len(ids["train"]) == 4 * 3 * 2 and len(ids["test"]) == 3 * 2


def test_a_row_names_sound_pictures_and_speaker(folder):
    layout = find_layout("voxceleb2", folder, validation=0)
    row = next(layout.rows("train"))
    assert row["id"] == "id00012/-xBvQ000000/00001" and row["group"] == "id00012"
    assert (
        row["audio_file"] == f"{folder}/dev/aac/{row['id']}.m4a"
        and row["video_file"] == f"{folder}/dev/mp4/{row['id']}.mp4"
    )
    labels = list(layout.describe().label_fields[0].labels)
    assert labels == [f"id{n:05d}" for n in range(12, 17)] and row["labels"] == {"speaker": 0}
    assert next(layout.rows("test"))["labels"] == {"speaker": 4}


def test_whole_paths_from_a_relative_folder(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    row = next(find_layout("voxceleb2", "vox", validation=0).rows("train"))
    assert Path(row["audio_file"]).is_absolute() and Path(row["audio_file"]).is_file()


def test_clips_with_sound_alone_and_pictures_alone(folder):
    os.unlink(folder / "dev/aac/id00012/-xBvQ000000/00001.m4a")
    os.unlink(folder / "dev/mp4/id00012/-xBvQ000000/00002.mp4")
    first, second, *_ = find_layout("voxceleb2", folder, validation=0).rows("train")
    assert first["audio_file"] is None and first["video_file"].endswith("00001.mp4")
    assert second["video_file"] is None and second["audio_file"].endswith("00002.m4a")


def test_validation_has_speakers_of_its_own_or_videos_of_its_own(folder):
    speakers = ids_of(find_layout("voxceleb2", folder, validation=0.25))
    assert {clip[:7] for clip in speakers["validation"]}.isdisjoint(clip[:7] for clip in speakers["train"])
    assert len(speakers["validation"]) == 6 and len(speakers["train"]) == 18
    videos = ids_of(find_layout("voxceleb2", folder, validation=0.4, validation_by="video"))
    assert {clip[:19] for clip in videos["validation"]}.isdisjoint(clip[:19] for clip in videos["train"])
    assert {clip[:7] for clip in videos["validation"]} & {clip[:7] for clip in videos["train"]}
    assert sorted(videos["train"] + videos["validation"]) == sorted(speakers["train"] + speakers["validation"])


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_english_is_kept_and_everything_is_counted(folder, kind):
    ids = write_voxceleb2(folder)
    rows = manifest(ids[:20], language=["en", "fr", "en-US", "eng"], likelihood=[-1.5])[::-1]
    rows.append({"id": "id00099/nowhere/00001", "transcript": "lost", "language": "en", "likelihood": -1.5})
    path = folder / f"transcripts.{kind}"
    if kind == "csv":
        write_transcripts(path, [row | {"id": row["id"] + ".wav"} for row in rows])
    elif kind == "jsonl":
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    layout = find_layout("voxceleb2", folder, validation=0)
    found = list(layout.rows("train"))
    assert [row["id"] for row in found] == [clip for i, clip in enumerate(ids[:20]) if i % 4 != 1]
    assert all(row["transcript"] == f"said in {row['id']}" for row in found)
    assert layout.reported == {
        "left_out_not_english": 5,
        "left_out_without_transcript": 4,
        "transcript_without_clip": 1,
    }
    assert DroppedClip(ids[1], "its language is fr") in layout.dropped and len(layout.dropped) == 10
    assert list(layout.rows("test")) == []


def test_english_by_likelihood_alone(folder):
    ids = write_voxceleb2(folder)
    write_transcripts(folder / "transcripts.csv", manifest(ids, likelihood=[-1.0, -9.0]))
    with pytest.raises(ValueError, match="no `language` column.*pass minimum_likelihood"):
        list(find_layout("voxceleb2", folder).rows("train"))
    kept = ids_of(find_layout("voxceleb2", folder, validation=0, minimum_likelihood=-5))["train"]
    assert kept == ids[::2]
    assert len(ids_of(find_layout("voxceleb2", folder, validation=0, language="any"))["train"]) == len(ids)


def test_parts_together_are_the_whole_and_share_one_table(folder):
    ids = write_voxceleb2(folder)
    write_transcripts(folder / "transcripts.csv", manifest(ids, language=["en"]))
    layout = find_layout("voxceleb2", folder, validation=0)
    parts = [layout.shard(k, 3) for k in range(3)]
    assert sorted(row["id"] for part in parts for row in part.rows("train")) == ids
    assert len({part._manifest for part in parts}) == 1
    counted = [part.reported for part in parts]
    assert counted == [{}, {}, {}]


def test_clips_are_walked_in_the_order_of_their_ids_and_only_once(folder):
    roots = [str(folder / "dev" / kind) for kind in ("aac", "mp4")]
    found = list(walk(roots, (".m4a", ".mp4")))
    keys = [clip.split("/") for clip, _ in found]
    assert keys == sorted(keys) and len(found) == 24 and all(len(files) == 2 for _, files in found)


def test_hidden_files_other_files_and_links_in_circles(folder):
    place = folder / "dev" / "aac" / "id00012"
    (place / ".hidden").mkdir()
    (place / "-xBvQ000000" / "._00001.m4a").touch()
    (place / "-xBvQ000000" / "00001.txt").touch()
    assert len(list(walk([str(folder / "dev" / "aac")], (".m4a",)))) == 24
    (place / "around").symlink_to(folder / "dev" / "aac")
    with pytest.raises(ValueError, match="folders deep; remove the link"):
        list(walk([str(folder / "dev" / "aac")], (".m4a",)))


def test_an_unreadable_folder_is_an_error_and_not_a_gap(folder, monkeypatch):
    real = os.scandir

    def scandir(path):
        if str(path).endswith("id00013"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(PermissionError, match="id00013"):
        list(find_layout("voxceleb2", folder, validation=0).rows("train"))


def test_the_published_speakers_are_compared(folder):
    write_meta(folder / "vox2_meta.csv", {f"id{n:05d}": "dev" for n in (12, 13, 16, 17)})
    layout = find_layout("voxceleb2", folder, validation=0)
    list(layout.rows("train"))
    assert layout.reported == {"speakers_missing": 1, "speakers_not_in_meta": 2, "speakers_in_another_set": 1}


@pytest.mark.skipif(not REALDATA.is_dir(), reason="needs the real vox2_meta.csv (MM_AFFECT_REALDATA)")
def test_the_real_meta():
    homes = read_meta(REALDATA / "vox2_meta.csv")
    assert list(homes.values()).count("dev") == 5994 and set(homes.values()) == {"dev", "test"}
    assert all(len(speaker) == 7 and speaker.startswith("id") for speaker in homes)


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b"VoxCeleb2 ID,Set\nid1\n", b"VoxCeleb2 ID,Set\n\xe9,dev\n"])
def test_a_bad_meta_is_named(tmp_path, content):
    path = tmp_path / "vox2_meta.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="vox2_meta.csv (needs the columns|is not UTF-8)"):
        read_meta(path)


# transcripts ------------------------------------------------------------------------------------------------------


def test_ids_as_manifests_write_them():
    assert (
        normalize_clip_id(" ./id1/a.b/00001.wav ")
        == normalize_clip_id("id1\\a.b\\00001.M4A")
        == normalize_clip_id("id1/a.b/00001")
        == "id1/a.b/00001"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"id,transcript\na,x\na,y\n", "two lines of one clip"),
        (b"id,transcript\n,x\n", "line 2 has no id"),
        (b"id,transcript,likelihood\na,x,often\n", "`likelihood` is 'often'"),
        (b"id,transcript,likelihood\na,x,nan\n", "`likelihood` is 'nan'"),
        (b"id,transcript\na,caf\xe9\n", "is not UTF-8"),
        (b"id,transcript\na,x,y\n", "3 cells under 2 columns"),
    ],
)
def test_bad_manifests_leave_nothing_behind(tmp_path, monkeypatch, content, message):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = tmp_path / "transcripts.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        TranscriptTable(path).find("a")
    assert os.listdir(tmp_path) == ["transcripts.csv"]


def test_the_table_goes_with_its_object(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = write_transcripts(tmp_path / "transcripts.csv", manifest(["a", "b"]))
    told = TranscriptTable(path)
    assert told.find("b")["transcript"] == "said in b" and told.find("c") is None and len(os.listdir(tmp_path)) == 2
    del told
    assert os.listdir(tmp_path) == ["transcripts.csv"]


def test_other_files_are_no_manifests(tmp_path):
    with pytest.raises(ValueError, match="expected a .csv, .jsonl or .parquet"):
        TranscriptTable(tmp_path / "transcripts.txt")


# any folder -------------------------------------------------------------------------------------------------------


def test_any_folder_with_a_speaker_column_takes_the_same_road(tmp_path):
    for name in ("a/1.wav", "a/1.mp4", "a/deep/2.mov", "b/3.mp4", "4.flac", "b/5.mp4", "notes.txt"):
        (tmp_path / "faces" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "faces" / name).touch()
    rows = [
        {"id": clip, "speaker": who}
        for clip, who in (("a/1", "ann"), ("a/deep/2", "bob"), ("b/3", "ann"), ("4", "eve"))
    ]
    write_transcripts(tmp_path / "faces" / "clips.csv", [*rows, {"id": "b/6", "speaker": "ann"}])
    layout = find_layout("voxceleb2", tmp_path / "faces", validation=0.3)
    ids = ids_of(layout)
    assert layout.name == "talking_faces" and sorted(ids["train"] + ids["validation"]) == [
        "4",
        "a/1",
        "a/deep/2",
        "b/3",
    ]
    assert layout.describe().label_fields[0].labels == ("ann", "bob", "eve") and ids["validation"]
    assert layout.reported == {"left_out_without_speaker": 1, "transcript_without_clip": 1}
    splits = load("voxceleb2", tmp_path / "faces", validation=0, cache_dir=tmp_path / "cache")
    row = {r["id"]: r for r in splits["train"]}["a/1"]
    assert row["audio_file"].endswith("a/1.wav") and row["video_file"].endswith("a/1.mp4") and row["group"] == "ann"


def test_a_manifest_without_speakers_is_refused(tmp_path):
    write_transcripts(tmp_path / "clips.csv", [{"id": "a", "transcript": "x"}])
    with pytest.raises(ValueError, match="names no speakers; it needs a `speaker` column"):
        find_layout("voxceleb2", tmp_path).describe()


def test_two_manifests_are_refused(folder):
    for kind in ("csv", "jsonl"):
        (folder / f"transcripts.{kind}").touch()
    with pytest.raises(ValueError, match="transcripts.csv and transcripts.jsonl; keep one"):
        list(find_layout("voxceleb2", folder).rows("train"))


def test_wrong_folders_say_what_is_missing_and_whom_to_ask(tmp_path):
    with pytest.raises(ValueError, match=r"tree: found nothing; missing dev[\s\S]*robots.ox.ac.uk"):
        find_layout("voxceleb2", tmp_path)


# memory -----------------------------------------------------------------------------------------------------------

MEASURE = """
import resource, sys
from mm_affect.data.corpora.registry import find_layout

def read(folder):
    layout = find_layout("voxceleb2", folder)
    return sum(1 for split in layout.describe().counts for _ in layout.rows(split))

def held():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

small, before = read(sys.argv[1]), held()
print(small, read(sys.argv[2]), held() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
@pytest.mark.full
def test_memory_does_not_grow_with_the_tree(tmp_path):
    """After a small tree, one of twelve times the clips, lines and dropped clips costs less than 8 MB more."""
    for speakers in (5, 60):
        ids = write_voxceleb2(tmp_path / str(speakers), speakers, videos=10, clips=10)
        rows = [row | {"transcript": "word " * 40} for row in manifest(ids, language=["en", "fr"])]
        write_transcripts(tmp_path / str(speakers) / "transcripts.csv", rows)
    command = [sys.executable, "-c", MEASURE, str(tmp_path / "5"), str(tmp_path / "60")]
    small, large, grown = map(int, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert (small, large) == (5 * 50, 60 * 50) and grown < 8 * 2**20
