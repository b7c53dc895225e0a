# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Figures 4 to 7 of the TAILOR paper (Zhang et al. 2022), from any TAILOR checkpoint and feature rows.

`figures` returns a drawing function per figure, which raises an error if the checkpoint lacks the part that the figure
plots. The plot of the representations needs scikit-learn (extra `metrics`) for t-SNE.
"""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from ...evaluation.plots import COLORS, MODALITY_COLORS, FigureInputs, make_figure, read_history, save_figure, styled
from ...models.layers.streams import masked_mean
from ...models.tailor import TailorForAffect


DARK = MODALITY_COLORS
LIGHT = {"text": "#F2B48A", "audio": "#8CC4E8", "visual": "#85D3BC"}
MARKERS = {"text": "o", "audio": "s", "visual": "^"}
MIN_POINTS = 10  # of a t-SNE; fewer points have no neighborhoods
MAX_PERPLEXITY = 30.0  # of a t-SNE
MAX_ANNOTATED_LABELS = 12  # larger heat maps have no values written into their cells
BATCH_SIZE = 32


class RefinedFeatures(NamedTuple):
    """Private or common features of a modality, for the rows that have the modality.

    Args:
        kind: `"private"` or `"common"`.
        modality: Name of the modality.
        ids: Ids of the rows.
        means: Features averaged over time, `(rows, size)`.
        probabilities: Discriminator's probability of each modality, averaged over time, `(rows, modalities)`.
    """

    kind: str
    modality: str
    ids: list[str]
    means: np.ndarray
    probabilities: np.ndarray


def figures(
    inputs: FigureInputs, compared: FigureInputs | None = None, seed: int = 0
) -> dict[str, Callable[[Path], Path]]:
    """Return the functions that draw the figures, by name.

    Args:
        inputs: TAILOR checkpoint and rows.
        compared: Another TAILOR checkpoint, whose representations are drawn to the left of those of `inputs`.
        seed: Seed of t-SNE.

    Raises:
        ValueError: If the rows do not fit a model, or `compared` has another architecture.
    """
    if compared and not isinstance(compared.model, TailorForAffect):
        raise ValueError(
            f"{compared.folder} is a {type(compared.model).__name__}; its representations can only be compared with "
            "those of another TAILOR checkpoint."
        )
    modalities = inputs.model.config.modalities
    features = compute_refined_features(inputs)
    spaces = [*([(compared, compute_refined_features(compared))] if compared else []), (inputs, features)]
    return {
        "adversarial_losses": lambda path: plot_adversarial_losses(
            read_history(inputs.folder), path, num_modalities=len(modalities)
        ),
        "discriminator": partial(plot_discriminator, features, modalities, title=inputs.title),
        "representations": partial(plot_representations, spaces, seed=seed),
        "label_correlations": lambda path: plot_label_correlations(*compute_label_correlations(inputs), path),
    }


@torch.no_grad()
def compute_refined_features(inputs: FigureInputs) -> list[RefinedFeatures]:
    """Compute the private and common features of every modality that the model and at least one row have.

    Raises:
        ValueError: If the rows do not fit the model, or its weights are not finite.
    """
    model = inputs.model
    collected: dict[tuple[str, str], tuple[list[str], list[np.ndarray], list[np.ndarray]]] = {}
    if model.config.refinement == "none":
        return []
    for start in range(0, len(inputs.rows), BATCH_SIZE):
        rows = inputs.rows[start : start + BATCH_SIZE]
        batch = {name: values.to(model.device) for name, values in inputs.processor(rows).items()}
        for kind, streams in zip(("private", "common"), model.refined(**batch), strict=True):
            for modality, (values, mask) in streams.items():
                present = mask.any(1).cpu().numpy()
                ids, means, probabilities = collected.setdefault((kind, modality), ([], [], []))
                ids += [row["id"] for row, is_present in zip(rows, present, strict=True) if is_present]
                means.append(masked_mean(values, mask).float().cpu().numpy()[present])
                predicted = model.discriminator(values).float().softmax(-1)
                probabilities.append(masked_mean(predicted, mask).cpu().numpy()[present])
    features = [
        RefinedFeatures(kind, modality, ids, np.concatenate(means), np.concatenate(probabilities))
        for (kind, modality), (ids, means, probabilities) in collected.items()
        if ids
    ]
    if not all(np.isfinite(part.means).all() and np.isfinite(part.probabilities).all() for part in features):
        raise ValueError(f"The model in {inputs.folder} computes values that are not finite; train it again.")
    return features


@torch.no_grad()
def compute_label_correlations(inputs: FigureInputs) -> tuple[np.ndarray, list[list[str]]]:
    """Compute the attention among the labels in the decoder (Eq. 11), which is the same for every row in evaluation.

    Returns:
        The attention of each label (row) to each label (column), `(heads, labels, labels)`, and the labels of each task.

    Raises:
        ValueError: If the model has no attention among labels, or was not loaded with `attn_implementation="eager"`.
    """
    model, config = inputs.model, inputs.model.config
    if model.decoder is None or model.decoder.correlation is None:
        raise ValueError(f"The model has no attention among labels (its decoder is {config.decoder!r}).")
    if config._attn_implementation != "eager":
        raise ValueError("Only eager attention returns its weights; load the model with attn_implementation='eager'.")
    batch = {name: values.to(model.device) for name, values in inputs.processor(inputs.rows[:1]).items()}
    attentions = model(**batch, output_attentions=True).attentions
    among_labels = attentions[-2 if config.decoder == "label_guided" else -1]  # the decoder's are recorded last
    tasks = [task for task in config.tasks if task.name in model.decoder.labels]
    return among_labels[0].float().cpu().numpy(), [list(t.labels) or [t.name] for t in tasks]


@styled
def plot_adversarial_losses(history: list[dict], path: str | Path, num_modalities: int = 3) -> Path:
    """Plot the adversarial losses and the overall loss of training by epoch (Figure 4).

    The dotted line is the loss of a discriminator that cannot distinguish the modalities, which the common features aim at.

    Args:
        history: Log history of the training, `trainer.state.log_history`.
        path: Path of the PNG file.
        num_modalities: Number of modalities of the model.

    Raises:
        ValueError: If the history has no adversarial losses.
    """
    names = {
        "loss_common_adversarial": "common adversarial",
        "loss_private_adversarial": "private adversarial",
        "loss": "overall",
    }
    curves = {name: [(entry["epoch"], entry[name]) for entry in history if {name, "epoch"} <= entry.keys()]
              for name in names}  # fmt: skip
    curves = {name: curve for name, curve in curves.items() if curve}
    if not any("adversarial" in name for name in curves):
        raise ValueError("The training history has no adversarial losses; the model was trained without refinement.")
    figure, axes = make_figure(len(curves), 2.7, 2.5, columns=3)
    for panel, (name, curve), color in zip(axes, curves.items(), COLORS, strict=False):
        if "adversarial" in name and num_modalities > 1:
            chance = num_modalities * math.log(num_modalities)
            panel.axhline(
                chance,
                color="#555555",
                linestyle=":",
                linewidth=1.2,
                label=f"modalities guessed at chance ({chance:.2f})",
            )
        panel.plot(*zip(*curve, strict=True), color=color, marker="o", markersize=2.5, linewidth=1.3)
        panel.margins(y=0.1)
        panel.set_title(f"{names[name]} loss")
        panel.set_xlabel("epoch")
        panel.xaxis.get_major_locator().set_params(integer=True)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center")
    rows = [[name, *point] for name, curve in curves.items() for point in curve]
    return save_figure(figure, path, ["loss", "epoch", "value"], rows)


@styled
def plot_discriminator(
    features: list[RefinedFeatures], modalities: list[str], path: str | Path, title: str = ""
) -> Path:
    """Plot the discriminator's probability of each modality for the features of each modality (Figure 5).

    Boxes span the quartiles, whiskers reach the furthest row within 1.5 times their distance; the dashed line is chance.

    Args:
        features: Private and common features.
        modalities: Modalities in the order of the discriminator's outputs.
        path: Path of the PNG file.
        title: Title of the figure.

    Raises:
        ValueError: If there are no features, or the model reads a single modality.
    """
    _check_not_empty(features)
    if len(modalities) == 1:
        raise ValueError(f"The model reads only {modalities[0]}, so its discriminator has nothing to distinguish.")
    from matplotlib.patches import Patch

    kinds = list(dict.fromkeys(part.kind for part in features))
    figure, axes = make_figure(len(kinds), 3.9, 3.1, columns=2, sharey=True)
    width = 0.8 / len(modalities)
    for panel, kind in zip(axes, kinds, strict=True):
        panel.axhline(1 / len(modalities), color="#555555", linestyle="--", linewidth=1.0)
        for part in (part for part in features if part.kind == kind):
            for index, guessed in enumerate(modalities):
                panel.boxplot(
                    part.probabilities[:, index],
                    positions=[modalities.index(part.modality) + (index - (len(modalities) - 1) / 2) * width],
                    widths=0.8 * width,
                    manage_ticks=False,
                    patch_artist=True,
                    boxprops={"facecolor": LIGHT[guessed], "edgecolor": DARK[guessed]},
                    medianprops={"color": DARK[guessed], "linewidth": 1.8},
                    whiskerprops={"color": DARK[guessed]},
                    capprops={"color": DARK[guessed]},
                    flierprops={"marker": ".", "markersize": 3, "markeredgecolor": DARK[guessed]},
                )
        panel.set_xticks(range(len(modalities)), modalities)
        panel.set_xlim(-0.6, len(modalities) - 0.4)
        panel.set_ylim(-0.02, 1.02)
        panel.grid(axis="x", visible=False)
        panel.set_title(f"{kind} features")
        panel.set_xlabel("modality of the features")
    axes[0].set_ylabel("discriminator's probability")
    patches = [Patch(facecolor=LIGHT[m], edgecolor=DARK[m], label=f"P({m})") for m in modalities]
    figure.legend(handles=patches, loc="outside lower center", ncols=len(modalities))
    figure.suptitle(title, fontsize="medium")
    rows = [
        [row, part.kind, part.modality, *map(float, values)]
        for part in features
        for row, values in zip(part.ids, part.probabilities, strict=True)
    ]
    return save_figure(figure, path, ["id", "kind", "modality", *(f"P({m})" for m in modalities)], rows)


@styled
def plot_representations(
    spaces: list[tuple[FigureInputs, list[RefinedFeatures]]], path: str | Path, seed: int = 0
) -> Path:
    """Plot a t-SNE of the private (light) and common (dark) features, averaged over time (Figure 6).

    Args:
        spaces: Checkpoints and their features; each has a panel and is embedded on its own.
        path: Path of the PNG file.
        seed: Seed of t-SNE.

    Raises:
        ValueError: If a checkpoint has no features, or too few.
    """
    for _, features in spaces:
        _check_not_empty(features)
    embedded = [embed(np.concatenate([part.means for part in features]), seed) for _, features in spaces]
    figure, axes = make_figure(len(spaces), 4.3, 4.4, columns=2)
    rows = []
    for panel, (inputs, features), points in zip(axes, spaces, embedded, strict=True):
        starts = np.cumsum([len(part.ids) for part in features])[:-1]
        for part, coordinates in zip(features, np.split(points, starts), strict=True):
            is_common = part.kind == "common"
            panel.scatter(
                *coordinates.T,
                s=15,
                marker=MARKERS[part.modality],
                facecolor=(DARK if is_common else LIGHT)[part.modality],
                edgecolor="white" if is_common else DARK[part.modality],
                linewidth=0.3,
                label=f"{part.kind} {part.modality}",
            )
            rows += [[inputs.folder, row, part.kind, part.modality, *map(float, point)]
                     for row, point in zip(part.ids, coordinates, strict=True)]  # fmt: skip
        weights = inputs.model.config.loss_weights  # by which such checkpoints differ
        panel.set_title(
            f"{inputs.folder.resolve().name}\nloss weights: adversarial {weights['common_adversarial']:g} (common), "
            f"{weights['private_adversarial']:g} (private), orthogonal {weights['orthogonal']:g}",
            fontsize="small",
        )
        panel.set_aspect("equal", adjustable="datalim")
        panel.set_box_aspect(1)
        panel.set_xticks([])
        panel.set_yticks([])
        panel.spines[:].set_visible(True)
    handles = {label: dots for panel in axes for dots, label in zip(*panel.get_legend_handles_labels(), strict=True)}
    columns = sorted(handles, key=lambda label: (list(DARK).index(label.split()[1]), label))  # one per modality
    figure.legend(
        [handles[label] for label in columns], columns, loc="outside lower center", ncols=3, markerscale=1.6,
        handletextpad=0.2,
    )  # fmt: skip
    figure.suptitle(spaces[-1][0].title, fontsize="medium")
    return save_figure(figure, path, ["checkpoint", "id", "kind", "modality", "x", "y"], rows)


def embed(points: np.ndarray, seed: int = 0) -> np.ndarray:
    """Embed points `(n, size)` in the plane by t-SNE (van der Maaten and Hinton 2008), starting from their principal components.

    Returns:
        The embedded points, `(n, 2)`.

    Raises:
        ValueError: If there are too few points.
        ImportError: If scikit-learn is missing.
    """
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise ImportError("t-SNE needs scikit-learn: pip install 'mm_affect[metrics]'") from error
    if len(points) < MIN_POINTS:
        raise ValueError(
            f"t-SNE needs {MIN_POINTS} representations, but the rows give {len(points)}; choose more rows."
        )
    perplexity = min(MAX_PERPLEXITY, (len(points) - 1) / 3)
    return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(points.astype(np.float64))


@styled
def plot_label_correlations(weights: np.ndarray, tasks: list[list[str]], path: str | Path) -> Path:
    """Plot the attention of each label (row) to each label (column), a panel per head on one scale (Figure 7).

    Args:
        weights: Attention weights, `(heads, labels, labels)`; every row sums to 1.
        tasks: Labels of each task.
        path: Path of the PNG file.

    Raises:
        ValueError: If the weights do not fit the labels, or there is only one label.
    """
    labels = [label for names in tasks for label in names]
    if weights.shape[1:] != (len(labels), len(labels)):
        raise ValueError(f"The weights have shape {weights.shape}, but there are {len(labels)} labels.")
    if len(labels) == 1:
        raise ValueError(f"The model has only the label {labels[0]!r}, which can only attend to itself.")
    side = 0.9 + 0.34 * len(labels)
    columns = 2 if len(weights) <= 4 else 4
    figure, axes = make_figure(len(weights), side, side - 0.3, columns, sharex=True, sharey=True)
    percent, even = 100 * weights, 100 / len(labels)
    highest = max(percent.max(), 2 * even)  # the scale starts at 0, so that almost even attention looks even
    for head, (panel, values) in enumerate(zip(axes, percent, strict=True)):
        image = panel.imshow(values, cmap="Blues", vmin=0, vmax=highest)
        for boundary in np.cumsum([len(names) for names in tasks])[:-1] - 0.5:
            panel.axhline(boundary, color="white", linewidth=2)
            panel.axvline(boundary, color="white", linewidth=2)
        for row, column in np.ndindex(values.shape) if len(labels) <= MAX_ANNOTATED_LABELS else ():
            color = "white" if values[row, column] > 0.6 * highest else "black"
            panel.text(column, row, f"{values[row, column]:.1f}", ha="center", va="center", color=color, fontsize=7)
        panel.set_xticks(range(len(labels)), labels, rotation=45, ha="right", rotation_mode="anchor")
        panel.set_yticks(range(len(labels)), labels)
        panel.set_title(f"head {head + 1}")
        panel.grid(False)
    figure.supxlabel("attends to")
    figure.supylabel("label")
    bar = figure.colorbar(image, ax=list(axes), label="attention in % (line: even)", shrink=0.8)
    bar.ax.axhline(even, color="black", linewidth=1.2)
    rows = [
        [head + 1, label, other, float(weights[head, row, column])]
        for head in range(len(weights))
        for row, label in enumerate(labels)
        for column, other in enumerate(labels)
    ]
    return save_figure(figure, path, ["head", "label", "attends to", "weight"], rows)


def _check_not_empty(features: list[RefinedFeatures]) -> None:
    if not features:
        raise ValueError(
            "There are no private or common features to plot: the refinement of the model is 'none', or no row has a "
            "modality that it reads."
        )
