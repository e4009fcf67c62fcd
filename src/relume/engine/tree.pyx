"""The tree in which sums over groups of rows are added, so that their bits depend on no owner.

Addition of floating-point numbers is not associative: whoever adds the sums of G groups must do it
in one order. Here it is that of a binary tree whose leaves are the groups: a node of span 2 s that
starts at leaf i, a multiple of 2 s, is the sum of the nodes of span s at i and at i + s. A node
without leaves, beyond the last group, is left out. An owner of some groups in a row can add up
those nodes all of whose leaves are its own, at most 2 log2 G, and whoever has the nodes of all
owners can add up the rest.
"""

cimport numpy as cnp

from relume.engine.arrays cimport data_of, writable_data_of
from relume.kernels.dispatch cimport table
from relume.kernels.table cimport Spans

import numpy as np

cnp.import_array()


def roots(Py_ssize_t first, Py_ssize_t last, Py_ssize_t count):
    """The nodes that the leaves first .. last of a tree add up to.

    Parameters
    ----------
    first, last : int
        Leaves of one owner, without the last.
    count : int
        Leaves of the whole tree.

    Returns
    -------
    nodes : list of tuple (start, span)
        From left to right.
    """
    cdef Tree tree
    cdef Py_ssize_t i
    if not 0 <= first <= last <= count:
        raise ValueError(f"first and last must be 0 to {count}, in this order, got {first} and "
                         f"{last}")
    begin_tree(&tree, count)
    for i in range(first, last):
        push(&tree, i, 1)
        while joins(&tree):
            pass
    return nodes_of(&tree)


cdef list nodes_of(const Tree* tree):
    cdef int k
    return [(tree.start[k], tree.span[k]) for k in range(tree.size)]


cdef int slots_of(Py_ssize_t first, Py_ssize_t last, Py_ssize_t count) noexcept:
    """How many nodes wait at once at most while leaves first .. last are added up."""
    cdef Tree tree
    cdef int slots = 1
    cdef Py_ssize_t i
    begin_tree(&tree, count)
    for i in range(first, last):
        push(&tree, i, 1)
        slots = max(slots, tree.size)
        while joins(&tree):
            pass
    return slots


def add_tree(list values, list nodes, Py_ssize_t count):
    """Add up the sums of some nodes, as far as they meet.

    Parameters
    ----------
    values : list of ndarray of shape (n,)
        A sum for each node, in float32 or float64, each array in memory of its own. The first one
        of those that meet becomes their sum.
    nodes : list of tuple (start, span)
        From left to right.
    count : int
        Leaves of the whole tree.

    Returns
    -------
    sums : list of ndarray
        Those of `values` that are left.
    nodes : list of tuple (start, span)
        Their nodes: one, if the nodes hold all leaves.
    """
    cdef Tree tree
    cdef Py_ssize_t n, start, span, end = 0
    cdef char* sum
    cdef const char* other
    if len(values) != len(nodes):
        raise ValueError(f"values must have an array for each of {len(nodes)} nodes, got "
                         f"{len(values)}")
    if not values:
        return [], []
    dtype, n = values[0].dtype, values[0].size
    if dtype not in (np.float32, np.float64):
        raise TypeError(f"values must be float32 or float64, got {dtype}")
    cdef const Spans* spans = &table.float32 if dtype == np.float32 else &table.float64
    sums = []
    begin_tree(&tree, count)
    for array, (start, span) in zip(values, nodes):
        if start < end or span < 1 or start >= count or start % span != 0 or span & (span - 1):
            raise ValueError(f"nodes must be aligned and from left to right, got {nodes}")
        end = start + span
        sums.append(array)
        push(&tree, start, span)
        while joins(&tree):
            other = data_of(sums.pop(), dtype, n, "values")
            sum = writable_data_of(sums[-1], dtype, n, "values")
            with nogil:
                spans.add(sum, other, n, sum)
    return sums, nodes_of(&tree)
