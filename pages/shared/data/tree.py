"""How an upload was understood, as a tree: folders, what each means, how many photos. Names are strangers' and stay text."""

from __future__ import annotations

from html import escape

from pages.shared.text import t
from transfer_core.datasets.manifest import SPLITS
from transfer_core.datasets.understanding import Node, Understanding

_MOST = 60
"""Folders shown of one level; a dataset of a thousand classes is not read one by one."""


def html(understanding: Understanding) -> str:
    """Nested lists, with the wrapping folders, the kind of each level and counts."""
    top = f'<p class="wrapper">{escape(understanding.wrapper)}/</p>' if understanding.wrapper else ""
    return f'<div class="tree">{top}{_level(understanding.tree)}</div>'


def _level(nodes: list[Node]) -> str:
    if not nodes:
        return ""
    nodes = sorted(nodes, key=_order)
    most = max(node.images for node in nodes) or 1
    rows = "".join(_node(node, most) for node in nodes[:_MOST])
    rest = nodes[_MOST:]
    if rest:
        rows += f"<li>{escape(t('data.tree.more', count=len(rest), images=sum(node.images for node in rest)))}</li>"
    return f"<ul>{rows}</ul>"


def _order(node: Node) -> tuple[int, str]:
    """Training, validation, test in this order; everything else by name."""
    return (SPLITS.index(node.name) if node.kind == "split" and node.name in SPLITS else len(SPLITS), node.name)


def _node(node: Node, most: int) -> str:
    name = t(f"data.split.{node.name}") if node.kind == "split" and node.name in SPLITS else node.name
    return (f'<li><span class="node {node.kind}"><i>{escape(t(f"data.tree.{node.kind}"))}</i> <b>{escape(name)}</b>'
            f'<span class="meter"><span style="width:{100 * node.images / most:.0f}%"></span></span>'
            f'<span class="count">{node.images:,}</span></span>{_level(node.children)}</li>')
