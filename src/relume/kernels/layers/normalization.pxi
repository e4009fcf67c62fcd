# Layers that normalize: over the columns of a minibatch, or row by row.

from relume.kernels.table cimport (
    BatchNorm, BatchNormBackward, ColumnMoments, GroupNorm, GroupNormBackward, InverseStd,
    LayerNorm, LayerNormBackward, Standardize, Track,
)

# -- standardize ----------------------------------------------------------------------------------

cdef void standardize(const floating* x, const floating* mean, const floating* scale,
                      Py_ssize_t rows, Py_ssize_t n, floating* out) noexcept nogil:
    """(x - mean) / scale; a mean of NULL counts as 0, for the way back."""
    cdef Py_ssize_t i, j
    for i in range(rows):
        if mean == NULL:
            for j in range(n):
                out[i * n + j] = x[i * n + j] / scale[j]
        else:
            for j in range(n):
                out[i * n + j] = (x[i * n + j] - mean[j]) / scale[j]


# -- batch_norm: Ioffe and Szegedy, 2015 ----------------------------------------------------------

cdef void column_moments(const floating* x, Py_ssize_t rows, Py_ssize_t n, floating* mean,
                         floating* variance) noexcept nogil:
    """Mean and mean squared deviation of each column, in two passes.

    The mean is summed from the first row on, so that a large one costs no digits of the sum.
    """
    cdef Py_ssize_t i, j
    cdef floating share = <floating> 1 / rows, difference
    memset(mean, 0, n * sizeof(floating))
    for i in range(rows):
        for j in range(n):
            mean[j] = mean[j] + (x[i * n + j] - x[j])
    for j in range(n):
        mean[j] = x[j] + mean[j] * share
        variance[j] = 0
    for i in range(rows):
        for j in range(n):
            difference = x[i * n + j] - mean[j]
            variance[j] = variance[j] + difference * difference
    for j in range(n):
        variance[j] = variance[j] * share

cdef void inverse_std(const floating* variance, const floating* eps, Py_ssize_t n,
                      floating* out) noexcept nogil:
    cdef Py_ssize_t j
    cdef floating added = eps[0]
    for j in range(n):
        out[j] = <floating> 1 / square_root(variance[j] + added)

cdef void track(const floating* mean, const floating* variance, Py_ssize_t rows, Py_ssize_t n,
                const floating* momentum, floating* running_mean,
                floating* running_variance) noexcept nogil:
    """Running means of both, of the variance without bias."""
    cdef Py_ssize_t j
    cdef floating take = momentum[0], keep = <floating> 1 - momentum[0]
    cdef floating unbiased = <floating> rows / <floating> (rows - 1)
    for j in range(n):
        running_mean[j] = keep * running_mean[j] + take * mean[j]
        running_variance[j] = keep * running_variance[j] + take * (variance[j] * unbiased)

cdef void batch_norm(const floating* x, const floating* mean, const floating* inverse,
                     const floating* weight, const floating* bias, Py_ssize_t rows, Py_ssize_t n,
                     floating* normal, floating* out) noexcept nogil:
    """normal = (x - mean) inverse; out = weight normal + bias."""
    cdef Py_ssize_t i, j
    for i in range(rows):
        for j in range(n):
            normal[i * n + j] = (x[i * n + j] - mean[j]) * inverse[j]
        for j in range(n):                      # apart: GCC asks no more than so many pointers
            out[i * n + j] = normal[i * n + j] * weight[j] + bias[j]

cdef void batch_norm_backward(const floating* g, const floating* normal, const floating* inverse,
                              const floating* weight, const floating* sum_g,
                              const floating* sum_g_normal, Py_ssize_t all_rows, Py_ssize_t rows,
                              Py_ssize_t n, floating* out) noexcept nogil:
    """weight inverse (g - mean(g) - normal mean(g normal)), the means over all rows."""
    cdef Py_ssize_t i, j
    cdef floating share = <floating> 1 / all_rows, removed
    for i in range(rows):
        for j in range(n):
            removed = (sum_g[j] + normal[i * n + j] * sum_g_normal[j]) * share
            out[i * n + j] = weight[j] * inverse[j] * (g[i * n + j] - removed)


# -- layer_norm: Ba et al., 2016 ------------------------------------------------------------------

cdef inline void layer_norm_row(const floating* x, const floating* weight, const floating* bias,
                                floating eps, Py_ssize_t n, floating* normal, floating* inverse,
                                floating* out) noexcept nogil:
    cdef Py_ssize_t j
    cdef floating share = <floating> 1 / n
    cdef floating mean = sum_of[floating](x, n) * share, factor
    for j in range(n):
        normal[j] = x[j] - mean
        out[j] = normal[j] * normal[j]
    factor = <floating> 1 / square_root(sum_of[floating](out, n) * share + eps)
    inverse[0] = factor
    for j in range(n):
        normal[j] = normal[j] * factor
        out[j] = normal[j] * weight[j] + bias[j]

cdef void layer_norm(const floating* x, const floating* weight, const floating* bias,
                     const floating* eps, Py_ssize_t rows, Py_ssize_t n, floating* normal,
                     floating* inverse, floating* out) noexcept nogil:
    """normal = (x - mean) / sqrt(variance + eps) of each row; out = weight normal + bias."""
    cdef Py_ssize_t i
    for i in range(rows):                       # by hand: a loop over rows
        layer_norm_row[floating](x + i * n, weight, bias, eps[0], n, normal + i * n, inverse + i,
                                 out + i * n)

cdef inline void layer_norm_backward_row(const floating* g, const floating* normal,
                                         floating inverse, const floating* weight, Py_ssize_t n,
                                         floating* out) noexcept nogil:
    cdef Py_ssize_t j
    cdef floating share = <floating> 1 / n, mean_slope, mean_product
    for j in range(n):
        out[j] = g[j] * weight[j]
    mean_slope = sum_of[floating](out, n) * share
    for j in range(n):
        out[j] = out[j] * normal[j]
    mean_product = sum_of[floating](out, n) * share
    for j in range(n):
        out[j] = inverse * (g[j] * weight[j] - (mean_slope + normal[j] * mean_product))

cdef void layer_norm_backward(const floating* g, const floating* normal, const floating* inverse,
                              const floating* weight, Py_ssize_t rows, Py_ssize_t n,
                              floating* out) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(rows):                       # by hand: a loop over rows
        layer_norm_backward_row[floating](g + i * n, normal + i * n, inverse[i], weight, n,
                                          out + i * n)


# -- group_norm: Wu and He, 2018: the layer_norm of each group of a row's units -------------------

cdef void group_norm(const floating* x, const floating* weight, const floating* bias,
                     const floating* eps, Py_ssize_t rows, Py_ssize_t n, Py_ssize_t groups,
                     floating* normal, floating* inverse, floating* out) noexcept nogil:
    """`groups` divides n; there is an inverse for each group of each row."""
    cdef Py_ssize_t i, j, first, size = n // groups
    for i in range(rows):
        for j in range(groups):                 # by hand: a loop over groups
            first = j * size
            layer_norm_row[floating](
                x + i * n + first, weight + first, bias + first, eps[0], size,
                normal + i * n + first, inverse + i * groups + j, out + i * n + first)

cdef void group_norm_backward(const floating* g, const floating* normal, const floating* inverse,
                              const floating* weight, Py_ssize_t rows, Py_ssize_t n,
                              Py_ssize_t groups, floating* out) noexcept nogil:
    cdef Py_ssize_t i, j, first, size = n // groups
    for i in range(rows):
        for j in range(groups):                 # by hand: a loop over groups
            first = j * size
            layer_norm_backward_row[floating](
                g + i * n + first, normal + i * n + first, inverse[i * groups + j],
                weight + first, size, out + i * n + first)


# -- the table ------------------------------------------------------------------------------------

cdef void fill_normalization(Spans* spans, floating like) noexcept:
    spans.standardize = <Standardize> standardize[floating]
    spans.column_moments = <ColumnMoments> column_moments[floating]
    spans.inverse_std = <InverseStd> inverse_std[floating]
    spans.track = <Track> track[floating]
    spans.batch_norm = <BatchNorm> batch_norm[floating]
    spans.batch_norm_backward = <BatchNormBackward> batch_norm_backward[floating]
    spans.layer_norm = <LayerNorm> layer_norm[floating]
    spans.layer_norm_backward = <LayerNormBackward> layer_norm_backward[floating]
    spans.group_norm = <GroupNorm> group_norm[floating]
    spans.group_norm_backward = <GroupNormBackward> group_norm_backward[floating]
