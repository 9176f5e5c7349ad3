"""Captured computations as data, the passes that improve them, and how they are shown."""

from __future__ import annotations

from fovea.graph.graph import Constant, Graph, Node, Source, State, Value

__all__ = ["Constant", "Graph", "Node", "Source", "State", "Value"]
