"""Leave out what changes nothing."""

from __future__ import annotations

from fovea.graph.graph import Graph
from fovea.graph.passes.rewriting import Rules, rewrite
from fovea.graph.passes.simplify.arithmetic import add_arithmetic_rules
from fovea.graph.passes.simplify.casts import add_cast_rules
from fovea.graph.passes.simplify.copies import add_copy_rules
from fovea.graph.passes.simplify.reductions import add_reassociations, add_reduction_rules
from fovea.graph.passes.simplify.views import add_view_rules

__all__ = ["EXACT", "RULES", "simplify"]


def _exact_rules() -> Rules:
    rules = Rules()
    add_view_rules(rules)
    add_copy_rules(rules)
    add_cast_rules(rules)
    add_arithmetic_rules(rules)
    add_reduction_rules(rules)
    return rules


EXACT, RULES = _exact_rules(), _exact_rules()
add_reassociations(RULES)


def simplify(graph: Graph, rules: Rules = RULES) -> Graph:
    """Collapse views of views, and leave out copies, casts and arithmetic without an effect.

    Results keep their bits, but for sums over repeated elements (which become a product) and sums
    of sums (which become one), whose rounding changes; ``EXACT`` rules leave those alone.
    """
    return rewrite(graph, rules)
