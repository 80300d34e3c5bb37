"""The tree of forks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Vm:
    """A computer in a tree; `parent` is the id of the computer it was forked from, if known."""

    vm_id: str
    name: str | None
    base_image: str
    parent: str | None


@dataclass(slots=True)
class Node:
    """A computer, or (with `vm` None) a base image, and its forks."""

    label: str
    vm: Vm | None = None
    children: list[Node] = field(default_factory=list)


def forest(vms: Iterable[Vm]) -> list[Node]:
    """The base images, each with its forks, their forks, and so on, in the given order.

    A computer whose parent is not in `vms` is placed below its base image.
    """
    vms = list(vms)
    nodes = {vm.vm_id: Node(vm.name or vm.vm_id, vm) for vm in vms}
    roots: dict[str, Node] = {}
    for vm in vms:
        above = nodes.get(vm.parent) if vm.parent is not None else None
        if above is None or _is_below(nodes, vm.parent, vm.vm_id):
            above = roots.setdefault(vm.base_image, Node(vm.base_image))
        above.children.append(nodes[vm.vm_id])
    return list(roots.values())


def _is_below(nodes: dict[str, Node], vm_id: str | None, above: str) -> bool:
    """Whether a computer descends from another. Answers of a server may contain cycles."""
    seen = set()
    while vm_id is not None and vm_id not in seen:
        if vm_id == above:
            return True
        seen.add(vm_id)
        node = nodes.get(vm_id)
        vm_id = node.vm.parent if node is not None and node.vm is not None else None
    return False


def lines(nodes: Iterable[Node]) -> Iterator[tuple[str, Node]]:
    """The lines of a drawing: what to draw before each node, and the node."""
    stack = [("", "", node) for node in reversed(list(nodes))]
    while stack:
        own, below, node = stack.pop()
        yield own, node
        last = len(node.children) - 1
        stack += [
            (below + ("├─ " if index < last else "└─ "), below + ("│  " if index < last else "   "), child)
            for index, child in reversed(list(enumerate(node.children)))
        ]


def to_json(nodes: Iterable[Node]) -> list[dict[str, Any]]:
    """The forest as values for JSON."""
    made: dict[int, dict[str, Any]] = {}
    roots = list(nodes)
    order = list(roots)
    for node in order:
        order += node.children
        known = (
            {"base_image": node.label} if node.vm is None else {"vm_id": node.vm.vm_id, "name": node.vm.name}
        )
        made[id(node)] = {**known, "forks": []}
    for node in order:
        made[id(node)]["forks"] = [made[id(child)] for child in node.children]
    return [made[id(root)] for root in roots]
