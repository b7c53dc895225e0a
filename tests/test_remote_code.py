# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Checkpoints that carry their code: they load, and answer to the bit, in a process that has no mm_affect."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from corpora import write_wav
from safetensors.torch import load_file, save_file
from spt_by_hand import SMALL as SMALL_SPT
from tailor_by_hand import SMALL as SMALL_TAILOR
from test_bigru import SMALL as SMALL_BIGRU
from test_emo_emb import SMALL as SMALL_EMO_EMB
from test_joint_embeddings import SMALL as SMALL_JOINT
from test_lmr_cbt import SMALL as SMALL_LMR_CBT
from test_mfn import SMALL as SMALL_MFN
from test_modeling_common import TASKS, make_inputs
from test_models import SMALL
from test_mult import SMALL as SMALL_MULT
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModel,
    AutoModelForPreTraining,
    AutoProcessor,
    BertConfig,
)

import mm_affect
from mm_affect import AffectProcessor, LogMelExtractor
from mm_affect.checkpoints.remote_code import add_code
from mm_affect.features.word_vectors import HashedWordVectors


ARCHITECTURES = {
    mm_affect.FusionConfig: SMALL | {"encoder": "trans"},
    mm_affect.TailorConfig: SMALL_TAILOR,
    mm_affect.SUGRMConfig: SMALL_SPT | {"unimodal": []},
    mm_affect.SPTConfig: SMALL_SPT,
    mm_affect.LMRCBTConfig: SMALL_LMR_CBT,
    mm_affect.MulTConfig: SMALL_MULT,
    mm_affect.MFNConfig: SMALL_MFN,
    mm_affect.EmoEmbConfig: SMALL_EMO_EMB,
    mm_affect.JointEmbeddingsConfig: SMALL_JOINT,
    mm_affect.BiGRUConfig: SMALL_BIGRU,
}
SIZES = {"text": 8, "audio": 200, "visual": 5}
BERT = BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
WORDS = {
    "input_ids": torch.tensor([[2, 3, 4, 0], [5, 6, 7, 8]]),
    "attention_mask": torch.tensor([[1, 1, 1, 0], [1] * 4]),
}
WITHOUT_MM_AFFECT = "import sys; sys.modules['mm_affect'] = None  # every import of it fails, installed or not"
STRANGER = """
import json, sys
from pathlib import Path
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoModelForPreTraining, AutoProcessor

root, found = Path(sys.argv[1]), {}
try:
    import mm_affect
except ImportError as error:
    found["mm_affect"] = str(error)
try:
    AutoModel.from_pretrained(root / "fusion")
except ValueError as error:
    found["refused"] = str(error)
for folder in sorted(path.parent for path in root.glob('*/config.json')):
    kind = AutoModelForPreTraining if folder.name == "pretraining" else AutoModel
    model = kind.from_pretrained(folder, trust_remote_code=True)
    config = AutoConfig.from_pretrained(folder, trust_remote_code=True)
    processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
    extractor = AutoFeatureExtractor.from_pretrained(folder, trust_remote_code=True)
    with torch.no_grad():
        output = model(**load_file(folder / "inputs.safetensors"))
    answers = {"pooled": output.pooler_output} | output.logits
    answers |= processor({"transcript": "what a day", "audio_file": str(root / "a.wav")})
    answers["sound"] = torch.from_numpy(extractor(np.sin(np.arange(8000, dtype=np.float32))))
    save_file({name: value.contiguous() for name, value in answers.items()}, folder / "found.safetensors")
    found[folder.name] = [type(part).__module__ for part in (model, config, processor, extractor)]
    if folder.name == "fusion":
        model.save_pretrained(root / "again" / "fusion")
        processor.save_pretrained(root / "again" / "fusion")
(root / "found.json").write_text(json.dumps(found))
"""


def stranger(code: str, *arguments, cache) -> subprocess.CompletedProcess:
    """Run a program that cannot import mm_affect, where no code of a checkpoint was seen before."""
    environment = os.environ | {"HF_HOME": str(cache), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", f"{WITHOUT_MM_AFFECT}\n{code}", *map(str, arguments)]
    return subprocess.run(
        command, env=environment, cwd=cache, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )


def make_processor() -> AffectProcessor:
    extractors = {"text": HashedWordVectors(8), "audio": LogMelExtractor()}
    return AffectProcessor.from_extractors(extractors, feature_sizes=SIZES)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """A folder of each architecture, one of pretraining and one with a text encoder, all with their code."""
    root = tmp_path_factory.mktemp("checkpoints")
    write_wav(root / "a.wav")
    torch.manual_seed(0)
    configs = {
        config.model_type.removeprefix("mm_affect_"): config(feature_sizes=SIZES, tasks=TASKS, **fields)
        for config, fields in ARCHITECTURES.items()
    }
    configs["pretraining"] = configs["joint_embeddings"]
    configs["words"] = mm_affect.BiGRUConfig(modalities=["text"], tasks=TASKS, text_config=BERT, **SMALL_BIGRU)
    for name, config in configs.items():
        kind, folder = AutoModelForPreTraining if name == "pretraining" else AutoModel, root / name
        kind.from_config(config).save_pretrained(folder)
        make_processor().save_pretrained(folder)
        save_file(WORDS if name == "words" else make_inputs(config), folder / "inputs.safetensors")
        add_code(folder)
    return root


@pytest.fixture(scope="module")
def found(checkpoints, tmp_path_factory):
    ran = stranger(STRANGER, checkpoints, cache=tmp_path_factory.mktemp("cache"))
    assert ran.returncode == 0, ran.stderr
    return json.loads((checkpoints / "found.json").read_text())


def python_files(folder) -> set[str]:
    return {path.name for path in folder.glob("*.py")}


def test_every_architecture_answers_alike_where_mm_affect_is_not_installed(checkpoints, found):
    assert "import of mm_affect halted" in found["mm_affect"]
    loaded = {name: modules for name, modules in found.items() if name not in ("mm_affect", "refused")}
    assert len(loaded) == len(ARCHITECTURES) + 2
    for name, modules in loaded.items():
        assert all(module.startswith("transformers_modules.") for module in modules), modules
        folder, theirs = checkpoints / name, load_file(checkpoints / name / "found.safetensors")
        kind = AutoModelForPreTraining if name == "pretraining" else AutoModel
        with torch.no_grad():
            output = kind.from_pretrained(folder)(**load_file(folder / "inputs.safetensors"))
        ours = {"pooled": output.pooler_output} | output.logits
        ours |= make_processor()({"transcript": "what a day", "audio_file": str(checkpoints / "a.wav")})
        ours["sound"] = torch.from_numpy(LogMelExtractor()(np.sin(np.arange(8000, dtype=np.float32))))
        assert theirs.keys() == ours.keys()
        for part, value in ours.items():
            assert torch.equal(theirs[part], value), f"{part} of {name}"


def test_without_trust_nothing_runs_and_the_error_says_what_to_do(found):
    assert "contains custom code" in found["refused"] and "`trust_remote_code=True`" in found["refused"]


def test_what_a_stranger_saves_carries_its_code_too(checkpoints, found):
    again = checkpoints / "again" / "fusion"
    assert python_files(again) == python_files(checkpoints / "fusion")
    model = AutoModel.from_pretrained(again)
    for name, value in AutoModel.from_pretrained(checkpoints / "fusion").state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name


def test_where_mm_affect_is_imported_its_own_classes_are_used(checkpoints):
    for auto in (AutoConfig, AutoModel, AutoProcessor, AutoFeatureExtractor):
        for trust in (None, True):
            loaded = auto.from_pretrained(checkpoints / "tailor", trust_remote_code=trust)
            assert type(loaded).__module__.startswith(("mm_affect.models.", "mm_affect.features."))


def test_only_what_is_needed_travels_and_adding_it_again_changes_nothing(checkpoints):
    folder = checkpoints / "bigru"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    written = add_code(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert set(written) == python_files(folder) | {"config.json", "processor_config.json"}
    assert {"bigru.py", "modeling.py", "processor.py", "media.py"} < set(written)
    assert not {"tailor.py", "mult.py", "phased_encoder.py", "__init__.py"} & set(written)


@pytest.mark.parametrize("kind", [mm_affect.BiGRUConfig, mm_affect.BiGRUForAffect, AffectProcessor])
def test_registering_for_auto_classes_names_the_way_to_take_code_along(kind):
    """transformers copies sibling files only, and ours lie in several folders."""
    with pytest.raises(ValueError, match=r"add_code\(folder\)"):
        kind.register_for_auto_class()


def test_other_folders_are_refused(tmp_path):
    with pytest.raises(OSError, match="config.json"):
        add_code(tmp_path)
    BertConfig().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="a model of type 'bert', which is not an architecture of mm_affect"):
        add_code(tmp_path)
    assert not python_files(tmp_path)
