# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Checks that every architecture inherits: `class TestMine(ModelTesterMixin): model_class = MineForAffect`.

They hold the model-input contract: what a mask means, what a missing modality does, what is saved and loaded. They cannot
know the paper: a model that wires the wrong streams together passes them all, so every architecture also needs one golden
or reference test of its own (`test_planted_faults.py` shows both).
"""

import dataclasses
import inspect
import itertools
import json
import warnings
from unittest.mock import patch

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel
from transformers.utils.output_capturing import OutputRecorder

from mm_affect.tasks import Task
from mm_affect.vocabulary import MODALITIES


SIZES = {"text": 10, "audio": 7, "visual": 5}
LENGTHS = {"text": 5, "audio": 9, "visual": 7}
TASKS = (
    Task("emotion", "multi_label_classification", ("happy", "sad", "anger"), weight=0.7),
    Task("sarcasm", "single_label_classification", ("no", "yes"), weight=0.5),
    Task("sentiment", "regression", ("sentiment",), weight=0.25),
)
CRITERIA = {"emotion": F.binary_cross_entropy_with_logits, "sarcasm": F.cross_entropy, "sentiment": F.l1_loss}


def ragged_mask(length: int) -> torch.Tensor:
    """Six rows `(6, length)`: full, padded behind, before, on both sides, with one real step, with a hole."""
    mask = torch.zeros(6, length, dtype=torch.bool)
    mask[0] = True
    mask[1, : length - 2] = True
    mask[2, 2:] = True
    mask[3, 1:-1] = True
    mask[4, length // 2] = True
    mask[5] = torch.arange(length) != 2
    return mask


def make_inputs(config, ragged: bool = True, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random streams with their masks, for the modalities of the config; of equal lengths if it wants word-aligned ones."""
    random = torch.Generator().manual_seed(seed)
    aligned = getattr(config, "aligner", None) == "given"
    inputs = {}
    for m in config.modalities:
        length = LENGTHS["visual"] if aligned else LENGTHS[m]
        mask = ragged_mask(length) if ragged else torch.ones(6, length, dtype=torch.bool)
        inputs[m] = torch.randn(*mask.shape, config.feature_sizes[m], generator=random)
        inputs[f"{m}_mask"] = mask
    return inputs


def make_labels() -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(1)
    return {
        "emotion": torch.randint(0, 2, (6, 3), generator=random).float(),
        "sarcasm": torch.tensor([0, 1, 1, 0, 1, 0]),
        "sentiment": torch.randn(6, generator=random),
    }


def one_row(inputs: dict, row: int) -> dict:
    """The row alone, without the padding around it; a missing modality is one masked step."""
    alone = {}
    for m in MODALITIES:
        if m in inputs:
            real = inputs[f"{m}_mask"][row].nonzero().flatten().tolist() or [0]
            span = slice(real[0], real[-1] + 1)
            alone |= {m: inputs[m][row : row + 1, span], f"{m}_mask": inputs[f"{m}_mask"][row : row + 1, span]}
    return alone


def with_padding(inputs: dict, content: float) -> dict:
    """The same batch with `content` wherever the mask says that nothing is real."""
    changed = dict(inputs)
    for m in MODALITIES:
        if m in inputs:
            changed[m] = inputs[m].masked_fill(~inputs[f"{m}_mask"].unsqueeze(-1), content)
    return changed


def without(inputs: dict, modality: str, rows=slice(None)) -> dict:
    """The same batch with a modality missing in some rows."""
    mask = inputs[f"{modality}_mask"].clone()
    mask[rows] = False
    return inputs | {f"{modality}_mask": mask}


def assert_same(found, expected, atol: float = 2e-6, rtol: float = 1e-5):
    """Logits and views of two outputs agree, and are finite."""
    for name in ("logits", "representations"):
        for key, value in getattr(expected, name).items():
            assert torch.isfinite(value).all(), f"{name}[{key!r}] is not finite"
            torch.testing.assert_close(
                getattr(found, name)[key], value, rtol=rtol, atol=atol, msg=lambda text, key=key: f"{key}: {text}"
            )


def objective(output) -> torch.Tensor:
    """A scalar that depends on every logit, each with a factor of its own."""
    values = torch.cat([logits.flatten() for logits in output.logits.values()])
    return (values * torch.linspace(0.5, 1.5, len(values))).sum()


class ModelTesterMixin:
    """Set `model_class`; `config_fields` makes the model small.

    `untrained` lists endings of parameters that the paper's equations leave without gradient. A check that cannot apply is
    overridden to skip, with the reason.
    """

    model_class = None
    config_fields = {}
    untrained = ()

    @property
    def config_class(self):
        return self.model_class.config_class

    def config(self, **fields):
        return self.config_class(**({"feature_sizes": SIZES, "tasks": TASKS} | self.config_fields | fields))

    def model(self, **fields):
        torch.manual_seed(0)
        return self.model_class(self.config(**fields)).eval()

    # the call ----------------------------------------------------------------------------------------------------

    def test_signature(self):
        parameters = inspect.signature(self.model_class.forward).parameters
        kinds = {parameter.kind for parameter in parameters.values()}
        assert not kinds & {inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL}
        assert not {"device", "training"} & set(parameters)
        assert [name for name in parameters if "label" in name] == ["labels"]
        assert {*MODALITIES, *(f"{m}_mask" for m in MODALITIES)} <= set(parameters)

    def test_output_shapes(self):
        model = self.model()
        output = model(**make_inputs(model.config))
        assert list(output.logits) == [task.name for task in TASKS]
        for task in TASKS:
            assert output.logits[task.name].shape == (6, task.num_outputs)
        assert output.pooler_output.ndim == 2 and len(output.pooler_output) == 6
        assert torch.equal(output.pooler_output, output.representations["fusion"])
        assert all(view.ndim == 2 and len(view) == 6 for view in output.representations.values())

    def test_no_labels_no_loss(self):
        model = self.model()
        output = model(**make_inputs(model.config))
        assert output.loss is None and output.losses is None

    def test_loss_is_weighted_sum(self):
        model = self.model()
        output = model(**make_inputs(model.config), labels=make_labels())
        weights = {task.name: task.weight for task in TASKS} | (model.config.loss_weights or {})
        assert set(output.losses) >= {task.name for task in TASKS}
        total = sum(weights.get(name, 1.0) * value for name, value in output.losses.items())
        torch.testing.assert_close(output.loss, total)

    def test_losses_of_known_labels(self):
        model = self.model()
        labels = make_labels()
        output = model(**make_inputs(model.config), labels=labels)
        for name, criterion in CRITERIA.items():
            logits = output.logits[name].squeeze(-1) if name == "sentiment" else output.logits[name]
            torch.testing.assert_close(output.losses[name], criterion(logits, labels[name]))

    def test_task_without_labels_adds_no_loss(self):
        model = self.model()
        labels = make_labels()
        output = model(**make_inputs(model.config), labels={"sentiment": labels["sentiment"]})
        assert not {"emotion", "sarcasm"} & set(output.losses)

    def test_unknown_labels(self):
        model = self.model()
        labels = make_labels()
        labels["emotion"][1, 0] = labels["emotion"][3] = float("nan")
        labels["sarcasm"][:2] = -100
        labels["sentiment"][4:] = float("nan")
        output = model(**make_inputs(model.config), labels=labels)
        for name, criterion in CRITERIA.items():
            logits = output.logits[name].squeeze(-1) if name == "sentiment" else output.logits[name]
            known = labels[name] != -100 if name == "sarcasm" else ~labels[name].isnan()
            torch.testing.assert_close(output.losses[name], criterion(logits[known], labels[name][known]))

    def test_wholly_unknown_batch(self):
        model = self.model().train()
        unknown = {"emotion": torch.full((6, 3), torch.nan), "sarcasm": torch.full((6,), -100)}
        unknown["sentiment"] = torch.full((6,), torch.nan)
        output = model(**make_inputs(model.config), labels=unknown)
        assert all(output.losses[task.name] == 0 for task in TASKS)
        output.loss.backward()
        assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())

    def test_tuple(self):
        model = self.model()
        inputs = make_inputs(model.config) | {"labels": make_labels()}
        named, plain = model(**inputs), model(**inputs, return_dict=False)
        assert isinstance(plain, tuple) and len(plain) == len(named.to_tuple())
        assert torch.equal(plain[0], named.loss) and torch.equal(plain[1], named.pooler_output)
        without_labels = model(**make_inputs(model.config), return_dict=False)
        assert torch.equal(without_labels[0], named.pooler_output)

    # masks -------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def test_padding_content_ignored(self):
        model = self.model()
        inputs = make_inputs(model.config)
        expected = model(**inputs)
        for content in (0.0, 1e30, torch.inf, torch.nan):
            assert_same(model(**with_padding(inputs, content)), expected)

    @torch.no_grad()
    def test_more_padding_changes_nothing(self):
        model = self.model()
        inputs = make_inputs(model.config)
        expected = model(**inputs)
        for sides in ((0, 3), (2, 0), (1, 2)):
            padded = {}
            for m in model.config.modalities:
                padded[m] = F.pad(inputs[m], (0, 0, *sides), value=torch.nan)
                padded[f"{m}_mask"] = F.pad(inputs[f"{m}_mask"], sides, value=False)
            assert_same(model(**padded), expected)

    def test_gradient_at_real_steps_only(self):
        model = self.model()
        for content in (0.0, torch.nan):
            inputs = with_padding(make_inputs(model.config), content)
            for m in model.config.modalities:
                inputs[m].requires_grad_()
            objective(model(**inputs)).backward()
            for m in model.config.modalities:
                assert inputs[m].grad is not None, f"{m} is not read"
                per_step = inputs[m].grad.abs().sum(-1)
                assert torch.isfinite(per_step).all(), f"gradient of {m} is not finite"
                assert (per_step[~inputs[f"{m}_mask"]] == 0).all(), f"padding of {m} gets gradient"
                assert (per_step.sum(1) > 0).all(), f"no gradient reaches {m} of row {per_step.sum(1).argmin()}"

    @torch.no_grad()
    def test_one_equals_many(self):
        model = self.model()
        inputs = without(make_inputs(model.config), model.config.modalities[-1], rows=[1])
        many = model(**inputs)
        for row in range(6):
            alone = model(**one_row(inputs, row))
            for name, logits in many.logits.items():
                torch.testing.assert_close(alone.logits[name][0], logits[row], rtol=1e-5, atol=2e-6)

    @torch.no_grad()
    def test_no_mask_is_full_mask(self):
        model = self.model()
        inputs = make_inputs(model.config, ragged=False)
        assert_same(model(**{m: inputs[m] for m in model.config.modalities}), model(**inputs), atol=0, rtol=0)

    @torch.no_grad()
    def test_steps_inside_may_be_masked(self):
        """A masked step in the middle, a frame without a face, has no say: its content does not matter, its mask does."""
        model = self.model()
        inputs = make_inputs(model.config, ragged=False)
        full = model(**inputs)
        for m in model.config.modalities:
            mask = inputs[f"{m}_mask"].clone()
            mask[:, 2] = False
            hole = inputs | {f"{m}_mask": mask}
            expected = model(**hole)
            assert_same(model(**with_padding(hole, torch.nan)), expected)
            assert (expected.pooler_output - full.pooler_output).abs().max() > 1e-6, f"the mask of {m} is not read"

    @pytest.mark.full
    def test_missing_modality(self):
        """A missing modality is finite, and neither its content nor its length nor the kind of attention matters."""
        models = [self.model(attn_implementation=implementation) for implementation in ("eager", "sdpa")]
        inputs = make_inputs(models[0].config)
        for m in models[0].config.modalities:
            some, everywhere = without(inputs, m, rows=[0, 3]), without(inputs, m)
            shorter = everywhere | {m: torch.full_like(inputs[m][:, :1], torch.nan)}
            shorter[f"{m}_mask"] = inputs[f"{m}_mask"][:, :1] & False
            outputs = []
            for model in models:
                with torch.no_grad():
                    outputs.append(model.eval()(**some))
                    assert_same(model(**with_padding(some, torch.nan)), outputs[-1])
                    expected = model(**everywhere)
                    assert_same(model(**shorter), expected)
                    assert_same(model(**{k: v for k, v in inputs.items() if k not in (m, f"{m}_mask")}), expected)
                model.zero_grad()
                model.train()(**some, labels=make_labels()).loss.backward()
                for name, parameter in model.named_parameters():
                    assert parameter.grad is None or torch.isfinite(parameter.grad).all(), name
            assert_same(*outputs)

    @torch.no_grad()
    def test_no_modality_at_all_is_finite(self):
        model = self.model()
        inputs = make_inputs(model.config)
        for m in model.config.modalities:
            inputs = without(inputs, m, rows=[2])
        assert_same(model(**with_padding(inputs, torch.nan)), model(**inputs))

    # errors ------------------------------------------------------------------------------------------------------

    def test_named_errors(self):
        model = self.model()
        inputs = make_inputs(model.config)
        for m in model.config.modalities:
            wrong = {
                "features per step": {m: inputs[m][..., 1:]},
                "expected \\(batch": {m: inputs[m][0]},
                "length >= 1": {m: inputs[m][:, :0], f"{m}_mask": inputs[f"{m}_mask"][:, :0]},
                "rows": {m: inputs[m][1:], f"{m}_mask": inputs[f"{m}_mask"][1:]},
                f"{m}_mask": {f"{m}_mask": inputs[f"{m}_mask"][:, 1:]},
            }
            for words, change in wrong.items():
                with pytest.raises(ValueError, match=words) as error:
                    model(**inputs | change)
                assert m in str(error.value) or words == "rows"
        with pytest.raises(ValueError, match="There is no input"):
            model()
        with pytest.raises(TypeError, match="vison_mask"):
            model(**inputs, vison_mask=inputs["text_mask"])
        with pytest.raises(ValueError, match="arousal"):
            model(**inputs, labels={"arousal": torch.zeros(6)})
        with pytest.raises(ValueError, match="sentiment.*shape"):
            model(**inputs, labels={"sentiment": torch.zeros(6, 1)})

    def test_absent_modality_is_refused(self):
        model = self.model(modalities=["text", "visual"])
        with pytest.raises(ValueError, match="`audio` was given"):
            model(**make_inputs(self.config()))

    # configuration -----------------------------------------------------------------------------------------------

    @pytest.mark.full
    def test_default_configuration_builds(self):
        model = self.model_class(self.config_class()).eval()
        with torch.no_grad():
            output = model(**make_inputs(model.config))
        assert torch.isfinite(output.pooler_output).all()

    def test_configuration_round_trip(self, tmp_path):
        config = self.config(modalities=["visual", "text"])
        assert config.modalities == ["text", "visual"] and list(config.feature_sizes) == ["text", "visual"]
        config.save_pretrained(tmp_path)
        loaded = AutoConfig.from_pretrained(tmp_path)
        assert type(loaded) is self.config_class
        assert loaded.tasks == config.tasks == list(TASKS)
        assert loaded.modalities == config.modalities
        assert loaded.to_dict() | {"_name_or_path": ""} == config.to_dict() | {"_name_or_path": ""}
        json.dumps(config.to_dict(), allow_nan=False)

    def test_bad_configurations_are_refused(self):
        own = [field.name for field in dataclasses.fields(self.config_class)]
        for name in ("modalities", "tasks", own[-1]):
            misspelled = name[:-2] + name[-1] + name[-2]
            with pytest.raises(ValueError, match=f"Unknown field '{misspelled}'.*Did you mean"):
                self.config(**{misspelled: getattr(self.config(), name)})
            with pytest.raises(ValueError, match=f"Unknown field '{misspelled}'"):
                self.config_class.from_dict(self.config().to_dict() | {misspelled: 1})
        task = TASKS[2].to_dict()
        wrong = {
            "smell": {"modalities": ["text", "smell"]},
            "modalities": {"modalities": 3},
            "`modalities` is": {"modalities": []},
            "touch": {"feature_sizes": {"touch": 3}},
            "feature_sizes": {"feature_sizes": {"text": 0}},
            "at least one task": {"tasks": []},
            "unique names": {"tasks": [task, task]},
            "problem_typ": {"tasks": [{"name": "joy", "problem_typ": "regression"}]},
            "expected one of": {"tasks": [task | {"problem_type": "ranking"}]},
        }
        for words, fields in wrong.items():
            with pytest.raises((ValueError, StrictDataclassError), match=words):
                self.config(**fields)

    def test_view_that_is_not_offered_is_refused(self):
        task = Task("sentiment", "regression", view="smell")
        with pytest.raises(ValueError, match="'smell'.*offers fusion"):
            self.model(tasks=[task])

    @pytest.mark.full
    def test_every_subset_of_modalities(self):
        for size in (1, 2, 3):
            for modalities in itertools.combinations(MODALITIES, size):
                model = self.model(modalities=list(modalities))
                output = model(**make_inputs(model.config), labels=make_labels())
                assert torch.isfinite(output.loss), modalities
                output.loss.backward()

    # weights -----------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def test_deterministic_in_evaluation(self):
        model = self.model()
        inputs = make_inputs(model.config)
        torch.manual_seed(1)
        first = model(**inputs)
        torch.manual_seed(2)
        assert_same(model(**inputs), first, atol=0, rtol=0)

    @torch.no_grad()
    def test_saved_equals_loaded(self, tmp_path):
        for i, modalities in enumerate((MODALITIES, MODALITIES[::-1])):
            model = self.model(modalities=modalities, feature_sizes={m: SIZES[m] for m in modalities})
            model.save_pretrained(tmp_path / str(i))
            loaded = AutoModel.from_pretrained(tmp_path / str(i))
            assert type(loaded) is self.model_class and not loaded.training
            for (name, value), (other, same) in zip(
                model.state_dict().items(), loaded.state_dict().items(), strict=True
            ):
                assert name == other and torch.equal(value, same), name
            inputs = make_inputs(self.config())
            expected = model(**inputs)
            assert_same(loaded(**inputs), expected, atol=0, rtol=0)

    @pytest.mark.full
    def test_new_heads_on_a_loaded_backbone(self, tmp_path):
        """Weights that a checkpoint lacks are initialized as in a new model; those it has are kept."""
        model = self.model()
        model.save_pretrained(tmp_path)
        weights = load_file(tmp_path / "model.safetensors")
        backbone = [name for name in weights if not name.startswith(self.model_class.label_dependent_weights)]
        lost = next((name for name in backbone if name.endswith("bias") or "bias_ih" in name), None)
        save_file({k: v for k, v in weights.items() if k != lost}, tmp_path / "model.safetensors", {"format": "pt"})
        task = Task("valence", "multi_label_classification", tuple("abcdefgh"))
        torch.manual_seed(1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded, _ = AutoModel.from_pretrained(tmp_path, config=self.config(tasks=[task]), output_loading_info=True)
        loaded = loaded.state_dict()
        for name in backbone:
            if name != lost:
                assert torch.equal(loaded[name], weights[name]), f"{name} was not kept"
        fresh = self.model(tasks=[task]).state_dict()
        for name in {*fresh} - {*backbone} | ({lost} if lost else set()):
            found, usual = loaded[name], fresh[name]
            assert torch.isfinite(found).all(), f"{name} is garbage"
            if usual.std(correction=0) == 0:
                assert torch.equal(found, usual), f"{name} is not initialized"
            else:
                assert 1 / 3 < found.std() / usual.std() < 3, f"{name} is not initialized"

    @pytest.mark.full
    def test_weights_that_do_not_fit_are_refused(self, tmp_path):
        """Missing, surplus and mis-shaped weights are named; there is no silent random head."""
        self.model().save_pretrained(tmp_path)
        weights = load_file(tmp_path / "model.safetensors")
        head = next(name for name in sorted(weights) if name.startswith(self.model_class.label_dependent_weights))
        for changed, complaint in (
            ({name: value for name, value in weights.items() if name != head}, f"they lack {head}\\."),
            (weights | {"other": torch.ones(1)}, "they also have other\\."),
            (weights | {head: torch.ones(2, 9)}, f"they have in another size {head}\\."),
        ):
            save_file(changed, tmp_path / "model.safetensors", {"format": "pt"})
            for kind in (AutoModel, self.model_class):
                with pytest.raises(ValueError, match=f"do not belong to its config.json: {complaint}"):
                    kind.from_pretrained(tmp_path)

    @pytest.mark.full
    def test_new_heads_are_made_on_request_only(self, tmp_path):
        """For other tasks, and for other labels of the same; the rest is the checkpoint's."""
        model = self.model()
        model.save_pretrained(tmp_path)
        for task in (Task("valence", labels=tuple("abcdefgh")), Task("emotion", labels=("happy", "calm"))):
            config = self.config(tasks=[task])
            with pytest.raises(ValueError, match="do not belong to its config.json: they .*pass `new_heads=True`"):
                AutoModel.from_pretrained(tmp_path, config=config)
            loaded = AutoModel.from_pretrained(tmp_path, config=config, new_heads=True)
            assert list(loaded.config.tasks) == [task]
            weights = loaded.state_dict()
            for name, value in model.state_dict().items():
                if not name.startswith(self.model_class.label_dependent_weights):
                    assert torch.equal(weights[name], value), name

    def test_every_parameter_is_trained(self):
        model = self.model()
        output = model(**make_inputs(model.config), labels=make_labels())
        (output.loss + objective(output)).backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, f"{name} takes no part"
            # the bias of a key moves all scores of a query alike, and the softmax does not see it
            if not name.endswith(("key.bias", *self.untrained)):
                assert parameter.grad.abs().max() > 0, f"{name} gets no gradient"

    @pytest.mark.full
    def test_gradient_checkpointing_gives_same_gradients(self):
        gradients = []
        for checkpointing in (False, True):
            model = self.model().train()
            if checkpointing:
                model.activation_checkpointing_enable()
                assert any(getattr(module, "gradient_checkpointing", False) for module in model.modules())
            torch.manual_seed(3)
            model(**make_inputs(model.config), labels=make_labels()).loss.backward()
            gradients.append({name: p.grad for name, p in model.named_parameters()})
        for name, gradient in gradients[0].items():
            torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-5, atol=1e-7)

    @torch.no_grad()
    def test_eager_equals_sdpa(self):
        models = [self.model(attn_implementation=implementation) for implementation in ("eager", "sdpa")]
        inputs = make_inputs(models[0].config)
        assert_same(*(model(**inputs) for model in models))

    @pytest.mark.full
    @torch.no_grad()
    def test_the_way_of_an_export_answers_alike(self):
        """While a model is exported no shape may depend on what a batch holds, so that much is computed otherwise."""
        model = self.model()
        inputs = without(make_inputs(model.config), model.config.modalities[-1], rows=[0, 3])
        expected = model(**inputs)
        with patch.object(torch.compiler, "is_exporting", lambda: True, create=True):  # torch 2.6 has no such function
            assert_same(model(**inputs), expected)

    @torch.no_grad()
    def test_attentions_and_hidden_states_are_recorded(self):
        model = self.model(attn_implementation="eager")
        output = model(**make_inputs(model.config), output_attentions=True, output_hidden_states=True)
        for name, recorders in (model._can_record_outputs or {}).items():
            recorders = recorders if isinstance(recorders, list) else [recorders]
            kinds = tuple(r.target_class if isinstance(r, OutputRecorder) else r for r in recorders)
            expected = sum(isinstance(module, kinds) for module in model.modules())
            found = getattr(output, name) or ()
            assert len(found) == expected, f"{len(found)} {name} of {expected} layers"
            assert all(torch.isfinite(tensor).all() and len(tensor) == 6 for tensor in found)
        for weights in output.attentions or ():
            torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
        plain = model(**make_inputs(model.config))
        assert plain.attentions is None and plain.hidden_states is None

    @pytest.mark.full
    def test_overfits_one_batch(self):
        """The tasks' losses vanish; the architecture's own may have a floor."""
        model = self.model()
        batch = make_inputs(model.config) | {"labels": make_labels()}

        @torch.no_grad()
        def sum_task_losses() -> float:
            return sum(model.eval()(**batch).losses[task.name].item() for task in TASKS)

        target = 0.2 * sum_task_losses()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (61 - step) / 10))
        for step in range(1, 61):
            optimizer.zero_grad()
            model.train()(**batch).loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            decay.step()
            if step % 5 == 0 and sum_task_losses() < target:
                break
        assert sum_task_losses() < target

    def test_bfloat16(self):
        exact, model = self.model(), self.model().to(torch.bfloat16)
        inputs = make_inputs(model.config)
        output = model(**inputs, labels=make_labels())
        for name, logits in exact(**inputs).logits.items():
            assert output.logits[name].dtype == torch.bfloat16
            torch.testing.assert_close(output.logits[name].float(), logits, rtol=0.05, atol=0.05)
        assert output.loss.dtype == torch.float32
        output.loss.backward()
        assert all(torch.isfinite(p.grad).all() for p in model.parameters())
