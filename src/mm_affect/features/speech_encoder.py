# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Audio through any speech encoder of transformers: wav2vec 2.0, HuBERT, WavLM and their relatives, or Whisper.

Features are hidden states. Layer 0 is the input of the first layer and layer n the output of layer n; the last layer
includes the final normalization of the encoder. The audio is prepared by the feature extractor of the model. Clips are
encoded one by one, without padding to other clips: a clip has the same features alone and in any batch.
"""

import copy
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, PreTrainedConfig

from .log_mel import check_waveform
from .pretrained_extractor import PretrainedExtractor, check_choice
from .pretrained_files import find_model_folder, list_weights, load_whole


SETTINGS = ("config.json", "preprocessor_config.json", "processor_config.json")  # the last two: either is enough
EXPECTED = "give a speech encoder, such as wav2vec 2.0, HuBERT, WavLM or Whisper"


class WaveformNetwork(nn.Module):
    """A window of a waveform to the hidden states of an encoder of waveforms.

    A frame sees `receptive_field` samples, and the next one begins `stride` samples later.

    Args:
        folder: folder of the model.
        config: configuration of the model.

    Raises:
        ValueError: weights or feature extractor are missing, or the model has another number of frames than its strides.
    """

    rounds_up = False  # the last samples, too few for a frame, are left out

    def __init__(self, folder: Path, config: PreTrainedConfig):
        super().__init__()
        if getattr(config, "add_adapter", False):
            config.add_adapter = False  # layers of another model behind the encoder
        self.prepare = load_feature_extractor(folder)
        self.sampling_rate: int = self.prepare.sampling_rate
        self.receptive_field, self.stride = 1, 1
        for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
            self.receptive_field += (kernel - 1) * self.stride
            self.stride *= stride
        self.model: Any = load_whole(AutoModel, folder, config=config)[0]
        samples = np.random.default_rng(0).standard_normal(self.receptive_field + 9 * self.stride)
        frames = len(self(samples.astype(np.float32))[-1])
        if frames != 10:
            raise ValueError(
                f"The model of type {config.model_type!r} in {folder} gives {frames} frames where its strides lead to 10; "
                f"{EXPECTED}."
            )

    def forward(self, samples: np.ndarray) -> tuple[torch.Tensor, ...]:
        """Return the hidden states `(frames, hidden size)` of each layer, from layer 0 on."""
        inputs = self.prepare(samples, sampling_rate=self.sampling_rate, return_tensors="pt")["input_values"]
        output = self.model(inputs.to(self.model.device), output_hidden_states=True)
        return tuple(states[0] for states in (*output.hidden_states[:-1], output.last_hidden_state))


class WhisperNetwork(nn.Module):
    """A window of a waveform to the hidden states of the encoder of a Whisper model; the decoder is not loaded.

    The window is as long as its audio, and not padded to 30 s: positions beyond its end are cut off.

    Args:
        folder: folder of the model.
        config: configuration of the model.

    Raises:
        ValueError: weights or feature extractor are missing.
    """

    rounds_up = True  # the last samples are filled up with silence to a frame
    positions: torch.Tensor

    def __init__(self, folder: Path, config: PreTrainedConfig):
        super().__init__()
        self.prepare = load_feature_extractor(folder)
        self.sampling_rate: int = self.prepare.sampling_rate
        self.model: Any = load_whisper_encoder(folder, config)
        self.stride = self.prepare.hop_length * self.model.conv1.stride[0] * self.model.conv2.stride[0]
        self.receptive_field = self.stride
        self.register_buffer("positions", self.model.embed_positions.weight.clone(), persistent=False)

    def forward(self, samples: np.ndarray) -> tuple[torch.Tensor, ...]:
        """Return the hidden states `(frames, hidden size)` of each layer, from layer 0 on."""
        frames = len(samples) // self.stride
        self.model.config.max_source_positions = frames
        self.model.embed_positions = nn.Embedding.from_pretrained(self.positions[:frames])
        inputs = self.prepare(
            samples, sampling_rate=self.sampling_rate, padding="longest", truncation=False, return_tensors="pt"
        )
        output = self.model(inputs["input_features"].to(self.model.device), output_hidden_states=True)
        return tuple(states[0] for states in (*output.hidden_states[:-1], output.last_hidden_state))


class SpeechEncoder(PretrainedExtractor):
    """Mono waveform to hidden states of a speech encoder, `(steps, size)`.

    Long audio is encoded in windows; the last window of a clip begins earlier if it would be shorter, so that its
    frames have context. Memory is that of two windows.

    Args:
        weights: a folder with config.json, preprocessor_config.json and safetensors files, or a name on the Hub.
        layers: hidden layers, concatenated in each step; default: the last one.
        pooling: `"frames"`: a step per frame of the encoder; `"mean"`: a step per window, the mean of its frames.
        window: length of a window in seconds; not longer than the positions of a Whisper model.

    Raises:
        ValueError: weights are missing, the model is no speech encoder, or it has fewer layers.
    """

    name = "speech_encoder"
    version = 1
    options = ("layers", "pooling", "window")

    def __init__(
        self,
        weights: str | Path,
        layers: Sequence[int] | None = None,
        pooling: str = "frames",
        window: float = 20.0,
    ):
        check_choice("pooling", pooling, ("frames", "mean"))
        if not window > 0:
            raise ValueError(f"`window` is {window}; it must be a positive number of seconds.")
        self.pooling, self.window = pooling, float(window)
        super().__init__(weights)
        self._config = read_speech_config(self._folder)
        last = self._config.num_hidden_layers
        self.layers = [last] if layers is None else [int(layer) for layer in layers]
        wrong = [layer for layer in self.layers if not 0 <= layer <= last]
        if wrong or not self.layers:
            raise ValueError(
                f"The encoder in {self._folder} has the layers 0 (the input of the first) to {last}; "
                f"{f'layer {wrong[0]} was' if wrong else 'none were'} asked for."
            )

    def _files(self, weights: str | Path) -> list[Path]:
        self._folder = find_model_folder(weights)
        settings = [self._folder / name for name in SETTINGS]
        return [*(path for path in settings if path.is_file()), *list_weights(self._folder)]

    def _load(self) -> WaveformNetwork | WhisperNetwork:
        kind = WhisperNetwork if self._config.model_type == "whisper" else WaveformNetwork
        return kind(self._folder, copy.deepcopy(self._config))  # which the network changes

    @property
    def size(self) -> int:
        """Return the number of features per step."""
        return len(self.layers) * self._config.hidden_size

    @property
    def dimension_names(self) -> list[str]:
        """Return a name for each feature."""
        return [f"layer{layer}_{i}" for layer in self.layers for i in range(self._config.hidden_size)]

    @property
    def sampling_rate(self) -> int:
        """Return the number of samples per second of the input."""
        return self.network.sampling_rate

    @property
    def rate(self) -> float:
        """Return the number of steps per second."""
        steps = 1 if self.pooling == "frames" else self._window_frames
        return self.sampling_rate / (self.network.stride * steps)

    @property
    def _window_frames(self) -> int:
        frames = max(1, round(self.window * self.sampling_rate / self.network.stride))
        return min(frames, getattr(self._config, "max_source_positions", frames))

    def describe(self) -> dict:
        """Return everything that decides the features, as JSON values; weights are identified by their hash."""
        return super().describe() | {"sampling_rate": self.sampling_rate, "rate": self.rate}

    def __call__(self, waveform: np.ndarray) -> np.ndarray:
        """Return features `(steps, size)`, float32, of a float waveform `(samples,)` in [-1, 1] at `sampling_rate`.

        Raises:
            ValueError: the waveform has integers, more than one channel, NaN or inf.
        """
        return np.concatenate([np.zeros((0, self.size), np.float32), *self.stream([waveform])])

    def stream(self, chunks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield the features of a waveform in parts `(some steps, size)`.

        Args:
            chunks: the waveform in chunks of any length; the features do not depend on it.

        Raises:
            ValueError: a chunk has integers, more than one channel, NaN or inf.
        """
        network, window = self.network, self._window_frames
        stride, length = network.stride, (window - 1) * network.stride + network.receptive_field
        rest, encoded = np.zeros(0, np.float32), 0  # samples from the last window on, and frames of them that are done
        for chunk in chunks:
            rest = np.concatenate([rest, check_waveform(chunk)])
            while len(rest) >= encoded * stride + length:
                rest = rest[encoded * stride :]
                yield self._encode(rest[:length])
                encoded = window
        if network.rounds_up:
            rest = np.pad(rest, (0, -len(rest) % stride))
        frames = (len(rest) - network.receptive_field) // stride + 1
        if frames > encoded:
            first = max(0, frames - window)
            yield self._encode(rest[first * stride :], skip=encoded - first)

    @torch.inference_mode()
    def _encode(self, samples: np.ndarray, skip: int = 0) -> np.ndarray:
        """Return the features of one window without its first frames."""
        states = self.network(samples)
        features = torch.cat([states[layer][skip:] for layer in self.layers], 1)
        return (features if self.pooling == "frames" else features.mean(0, keepdim=True)).cpu().numpy()


def read_speech_config(folder: Path) -> PreTrainedConfig:
    """Return the configuration of a speech encoder.

    Raises:
        ValueError: it cannot be read, or belongs to a model of another kind.
    """
    try:
        config = AutoConfig.from_pretrained(folder)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"No model can be read from {folder} ({str(error).splitlines()[0]}).") from error
    if config.model_type != "whisper" and not (hasattr(config, "conv_kernel") and hasattr(config, "conv_stride")):
        raise ValueError(
            f"{folder} holds a model of type {config.model_type!r}, which does not encode audio; {EXPECTED}."
        )
    return config


def load_feature_extractor(folder: Path) -> Any:
    """Load the feature extractor of a speech encoder.

    Raises:
        ValueError: the folder has none.
    """
    try:
        return AutoFeatureExtractor.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{folder} has no feature extractor ({SETTINGS[1]}) that can be read ({str(error).splitlines()[0]}); copy it "
            "from the model."
        ) from error


def load_whisper_encoder(folder: Path, config: PreTrainedConfig) -> Any:
    """Load the encoder of a Whisper checkpoint with any head.

    Raises:
        ValueError: weights of the encoder are missing, damaged or of another size.
    """
    from transformers.models.whisper.modeling_whisper import WhisperEncoder, WhisperPreTrainedModel  # slow to import

    class EncoderOfWhisper(WhisperPreTrainedModel):
        _keys_to_ignore_on_load_unexpected = [r"^(?!(model\.)?encoder\.)"]

        def __init__(self, config: Any):
            super().__init__(config)
            self.encoder = WhisperEncoder(config)
            self.post_init()

    model: Any = load_whole(EncoderOfWhisper, folder, config=config)[0]
    return model.encoder
