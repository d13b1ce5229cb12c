"""The drawing on the home page: a photo goes in at the bottom, an answer comes out on top, through layers of three kinds.

The leaves are outlined by the code that draws the example's photos. Isometric: one unit to the right is (√3/2, 1/2).
"""

from __future__ import annotations

from html import escape

import numpy as np

from transfer_core.examples.species import SPECIES

_HALF, _DEEP, _THICK = 118, 62, 15
_CENTRE = 150
_LAYERS = (  # kind, y of the top face's centre, from the bottom up
    ("freeze", 390), ("freeze", 358), ("freeze", 326), ("anchor", 276), ("anchor", 244), ("train", 194), ("train", 162),
)
_LEAVES = (("maple", 5, 39), ("ginkgo", 2, 113), ("oak", 4, 187), ("willow", 1, 261))
"""Tree, seed, x of the leaf in the row of answers."""
_SHARES = (0.94, 0.02, 0.03, 0.01)


def hero(labels: dict[str, str]) -> str:
    """SVG of the stack. `labels`: `title` and `text` for screen readers, `freeze`, `anchor`, `train`, `photo`, `answer`."""
    parts = [_photo(), *(_slab(kind, y, index) for index, (kind, y) in enumerate(_LAYERS)), _answers()]
    notes = [_note("freeze", 362, labels["freeze"]), _note("anchor", 264, labels["anchor"]), _note("train", 182, labels["train"]),
             _note("photo", 494, labels["photo"])]
    alt = escape(f"{labels['title']}. {labels['text']}")
    return f'<svg class="hero" viewBox="0 0 470 568" role="img" aria-label="{alt}">{"".join(parts)}{"".join(notes)}</svg>'


def _slab(kind: str, y: float, index: int) -> str:
    x, w, d, t = _CENTRE, _HALF, _DEEP, _THICK
    top = f"M{x - w} {y}L{x} {y - d}L{x + w} {y}L{x} {y + d}Z"
    left = f"M{x - w} {y}L{x} {y + d}V{y + d + t}L{x - w} {y + t}Z"
    right = f"M{x + w} {y}L{x} {y + d}V{y + d + t}L{x + w} {y + t}Z"
    return (f'<g class="slab {kind}" style="--i:{index}"><path class="left" d="{left}"/><path class="right" d="{right}"/>'
            f'<path class="top" d="{top}"/>{_cells(y)}</g>')


def _cells(y: float) -> str:
    """The grid on a layer's top face: what a feature map looks like."""
    lines = []
    for step in (0.25, 0.5, 0.75):
        a, b = _on_face(step, 0, y), _on_face(step, 1, y)
        c, d = _on_face(0, step, y), _on_face(1, step, y)
        lines.append(f"M{a}L{b}M{c}L{d}")
    return f'<path class="cells" d="{"".join(lines)}"/>'


def _on_face(u: float, v: float, y: float) -> str:
    return f"{_CENTRE + _HALF * (u - v):.1f} {y + _DEEP * (u + v - 1):.1f}"


def _photo() -> str:
    """A photo of a leaf lying below the stack."""
    y, x, w, d = 494, _CENTRE, _HALF, _DEEP
    paper = f"M{x - w} {y}L{x} {y - d}L{x + w} {y}L{x} {y + d}Z"
    # The leaf lies flat: a square turned by 45 degrees and squeezed to the height of the face.
    flat = f"translate({x} {y}) scale(1 {d / w:.3f}) rotate(-38)"
    edge = f"M{x - w} {y}L{x} {y + d}L{x + w} {y}V{y + 4}L{x} {y + d + 4}L{x - w} {y + 4}Z"
    return (f'<g class="photo"><path class="edge" d="{edge}"/><path class="paper" d="{paper}"/>'
            f'<g transform="{flat}">{_leaf("maple", 5, 118, "#c2571a")}</g></g>')


def _answers() -> str:
    """Four leaves with a bar each: how sure the model is."""
    cells = []
    for (tree, seed, x), share in zip(_LEAVES, _SHARES, strict=True):
        first = share == max(_SHARES)
        cells.append(f'<g class="answer{" first" if first else ""}" transform="translate({x} 30)">'
                     f'<circle r="25"/>{_leaf(tree, seed, 34, "currentColor")}'
                     f'<rect class="rail" x="-22" y="31" width="44" height="5" rx="2.5"/>'
                     f'<rect class="bar" x="-22" y="31" width="{max(3, 44 * share):.0f}" height="5" rx="2.5"/></g>')
    return f'<g class="answers">{"".join(cells)}</g>'


def _leaf(tree: str, seed: int, size: float, colour: str) -> str:
    leaf = SPECIES[tree](np.random.default_rng(seed))
    outline = leaf.outline[np.isfinite(leaf.outline).all(axis=1)]
    outline = outline[:: max(1, len(outline) // 90)]
    middle = (outline.min(axis=0) + outline.max(axis=0)) / 2
    scale = size / np.ptp(outline, axis=0).max()
    points = (outline - middle) * scale * (1, -1)
    stalk = (np.array([(0, 0), (0.03, -min(0.3, leaf.petiole))]) - middle) * scale * (1, -1)
    veins = "".join(_line((vein[[0, -1]] - middle) * scale * (1, -1)) for vein, width in leaf.veins if width > 0.3)
    return (f'<path class="leaf" fill="{colour}" d="{_line(points)}Z"/><path class="stalk" stroke="{colour}" d="{_line(stalk)}"/>'
            f'<path class="veins" d="{veins if size > 60 else ""}"/>')


def _line(points: np.ndarray) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _note(kind: str, y: float, text: str) -> str:
    title, _, rest = text.partition(": ")
    start = _CENTRE + _HALF + 4
    return (f'<g class="note {kind}"><path d="M{start} {y}H{start + 16}"/>'
            f'<text x="{start + 22}" y="{y - 2}">{escape(title)}</text>'
            f'<text class="small" x="{start + 22}" y="{y + 14}">{escape(rest)}</text></g>')
