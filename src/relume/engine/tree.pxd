"""The tree in which sums over groups of rows are added: see tree.pyx."""

cdef enum:
    MAX_NODES = 130             # at once, of a tree of up to 2**63 leaves

cdef struct Tree:               # the nodes whose sums are not added to others yet, from the left
    Py_ssize_t count            # leaves of the whole tree
    int size                    # nodes
    Py_ssize_t start[MAX_NODES]
    Py_ssize_t span[MAX_NODES]


cdef inline void begin_tree(Tree* tree, Py_ssize_t count) noexcept nogil:
    tree.count, tree.size = count, 0


cdef inline void push(Tree* tree, Py_ssize_t start, Py_ssize_t span) noexcept nogil:
    """The next node to the right; `joins` must then be asked until it says no."""
    tree.start[tree.size], tree.span[tree.size] = start, span
    tree.size += 1


cdef inline bint joins(Tree* tree) noexcept nogil:
    """Whether the last node's sum, in slot `size` from now on, is to be added to the one before.

    The two nodes are then one, their parent.
    """
    cdef int last = tree.size - 1
    cdef Py_ssize_t start = tree.start[last], span = tree.span[last]
    while start % (2 * span) == 0 and start + span >= tree.count and span < tree.count:
        span *= 2                                       # its sibling has no leaves
    tree.span[last] = span
    if start % (2 * span) == 0 or last == 0 or tree.start[last - 1] != start - span:
        return False
    tree.span[last - 1] = 2 * span
    tree.size = last
    return True


cdef int slots_of(Py_ssize_t first, Py_ssize_t last, Py_ssize_t count) noexcept
