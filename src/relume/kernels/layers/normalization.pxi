# Layers that normalize: over the columns of a minibatch, or row by row.

from relume.kernels.table cimport (
    BatchNorm, BatchNormBackward, ColumnMoments, GroupNorm, GroupNormBackward, InverseStd,
    LayerNorm, LayerNormBackward, Standardize, Track,
)

# -- standardize ----------------------------------------------------------------------------------

cdef enum:
    FEATURES = 512                      # whose means are widened together

cdef void standardize(const floating* x, const floating* statistics, bint centered,
                      Py_ssize_t rows, Py_ssize_t n, floating* out) noexcept nogil:
    """(x - mean) / scale, or x / scale of rows that are centered already, and on the way back.

    `statistics` are four vectors: mean, scale, and what the mean has lost in its rounding, in two
    parts. The difference is in double, so that it is the one that Python computes of wider data.
    """
    cdef Py_ssize_t start
    if centered:
        divide_rows[floating](x, statistics + n, rows, n, out)
        return
    for start from 0 <= start < n by FEATURES:      # by hand: blocks
        standardize_features[floating](x + start, statistics + start, rows, n,
                                       min(<Py_ssize_t> FEATURES, n - start), out + start)

cdef inline void divide_rows(const floating* x, const floating* scale, Py_ssize_t rows,
                             Py_ssize_t n, floating* out) noexcept nogil:
    cdef Py_ssize_t i, j
    for i in range(rows):
        for j in range(n):
            out[i * n + j] = x[i * n + j] / scale[j]

cdef inline void standardize_features(const floating* x, const floating* statistics,
                                      Py_ssize_t rows, Py_ssize_t step, Py_ssize_t n,
                                      floating* out) noexcept nogil:
    """The first n of `step` features."""
    cdef double mean[FEATURES]
    cdef const floating* scale = statistics + step
    cdef const floating* low = statistics + 2 * step
    cdef Py_ssize_t i, j
    for j in range(n):
        mean[j] = <double> statistics[j] + (<double> low[j] + <double> low[step + j])
    for i in range(rows):
        for j in range(n):
            out[i * step + j] = <floating> (<double> x[i * step + j] - mean[j]) / scale[j]


# -- batch_norm: Ioffe and Szegedy, 2015 ----------------------------------------------------------

cdef inline bint holds(floating total) noexcept nogil:
    """Whether a variance + eps is one whose squares have neither overflowed nor underflowed.

    Squares that were flushed to 0 would change a smaller one by more than rounding.
    """
    cdef floating low = <floating> 1e-29 if floating is float else <floating> 1e-290
    cdef floating high = <floating> FLT_MAX if floating is float else <floating> DBL_MAX
    return total >= low and total <= high

cdef void scaled_moments(const floating* x, Py_ssize_t n, Py_ssize_t stride, double eps,
                         floating* mean, floating* variance, floating* inverse,
                         floating* normal) noexcept nogil:
    """Mean, variance and 1 / sqrt(variance + eps) of values whose squares the dtype cannot hold.

    In double, and scaled by a power of two, so that no digit is lost. The normalized values are
    written too, unless `normal` is NULL. It is slow, and needed for few inputs only.
    """
    cdef Py_ssize_t i
    cdef int exponent
    cdef double largest = 0, scale = 1, center = 0, spread = 0, value, root = sqrt(eps), factor
    for i in range(n):                          # by hand: rare
        value = fabs(x[i * stride])
        largest = value if value > largest else largest
    if 0 < largest <= DBL_MAX:
        frexp(largest, &exponent)
        scale = ldexp(1, max(-1000, min(1000, -exponent)))
    for i in range(n):                          # by hand: rare
        center += x[i * stride] * scale
    center = center / n
    for i in range(n):                          # by hand: rare
        value = x[i * stride] * scale - center
        spread += value * value
    spread = sqrt(spread / n)
    factor = inverse_hypotenuse(spread, root * scale)
    mean[0] = <floating> (center / scale)
    variance[0] = <floating> (spread / scale * (spread / scale))
    store_finite[floating](factor * scale if factor > 0 else 1 / max(root, DBL_MIN), inverse)
    if normal != NULL:
        for i in range(n):                      # by hand: rare
            normal[i * stride] = <floating> ((x[i * stride] * scale - center) * factor)

cdef inline double inverse_hypotenuse(double a, double b) noexcept nogil:
    """1 / sqrt(a^2 + b^2) for a, b >= 0 without an overflow between; 0 where both are 0."""
    cdef double high = a if a > b else b, low = b if a > b else a
    if high == 0:
        return 0 if low == low else low
    return 1 / (high * sqrt(1 + (low / high) * (low / high)))

cdef inline void store_finite(double x, floating* out) noexcept nogil:
    """x, at most the largest number of the dtype, so that 0 times it stays 0."""
    cdef double high = FLT_MAX if floating is float else DBL_MAX
    out[0] = <floating> (high if x > high else x)

cdef void column_moments(const floating* x, Py_ssize_t rows, Py_ssize_t n, double eps,
                         floating* mean, floating* variance, floating* inverse) noexcept nogil:
    """Mean, mean squared deviation and 1 / sqrt(variance + eps) of each column, in two passes.

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
    inverse_std[floating](variance, eps, n, inverse)
    for j in range(n):                          # by hand: rare
        if not holds[floating](variance[j] + <floating> eps):
            scaled_moments[floating](x + j, rows, n, eps, mean + j, variance + j, inverse + j,
                                     NULL)

cdef void inverse_std(const floating* variance, double eps, Py_ssize_t n,
                      floating* out) noexcept nogil:
    cdef Py_ssize_t j
    cdef floating added = <floating> eps
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
                                double eps, Py_ssize_t n, floating* normal, floating* inverse,
                                floating* out) noexcept nogil:
    cdef Py_ssize_t j
    cdef floating share = <floating> 1 / n
    cdef floating mean = sum_of[floating](x, n) * share, variance, total, factor
    for j in range(n):
        normal[j] = x[j] - mean
        out[j] = normal[j] * normal[j]
    variance = sum_of[floating](out, n) * share
    total = variance + <floating> eps
    if not holds[floating](total):
        scaled_moments[floating](x, n, 1, eps, &mean, &variance, inverse, normal)
        factor = 1
    else:
        inverse[0] = factor = <floating> 1 / square_root(total)
    for j in range(n):
        normal[j] = normal[j] * factor
        out[j] = normal[j] * weight[j] + bias[j]

cdef inline Py_ssize_t normalized_in_tiles(Py_ssize_t rows, Py_ssize_t n) noexcept nogil:
    """How many of the rows are transposed: with 16 elements, AVX2 is as fast along the row."""
    return rows_in_tiles(rows, n) if n < LANES else 0

cdef inline void value_across(const floating* x, const floating* y, floating* unused,
                              floating* lane, int first, Py_ssize_t columns) noexcept nogil:
    cdef Py_ssize_t c
    for c in range(columns):
        lane[c] = (lane[c] if first == FURTHER else <floating> 0) + x[c]

cdef void tile_means(const floating* tile, Py_ssize_t n, floating* mean) noexcept nogil:
    cdef floating unused[ROWS_OF_TILE]
    cdef double sum[ROWS_OF_TILE]
    cdef floating share = <floating> 1 / n
    cdef Py_ssize_t c
    column_sums[floating](value_across, tile, ROWS_OF_TILE, tile, 0, unused, 0, NULL, True,
                          ROWS_OF_TILE, n, sum)
    for c in range(ROWS_OF_TILE):
        mean[c] = <floating> sum[c] * share

cdef void tile_means_of_products(const floating* x, const floating* y, Py_ssize_t n,
                                 floating* mean) noexcept nogil:
    cdef floating unused[ROWS_OF_TILE]
    cdef double sum[ROWS_OF_TILE]
    cdef floating share = <floating> 1 / n
    cdef Py_ssize_t c
    column_sums[floating](products_across, x, ROWS_OF_TILE, y, ROWS_OF_TILE, unused, 0, NULL, True,
                          ROWS_OF_TILE, n, sum)
    for c in range(ROWS_OF_TILE):
        mean[c] = <floating> sum[c] * share

cdef inline bint layer_norm_tile(const floating* x, Py_ssize_t step, const floating* weight,
                                 const floating* bias, double eps, Py_ssize_t rows, Py_ssize_t n,
                                 floating* normal, floating* inverse, Py_ssize_t inverse_step,
                                 floating* out) noexcept nogil:
    """`layer_norm_row` of a tile; False, and nothing is written, if a row needs `scaled_moments`.

    The bits are those of layer_norm_row.
    """
    cdef floating tile[LANES * ROWS_OF_TILE]
    cdef floating result[LANES * ROWS_OF_TILE]
    cdef floating mean[ROWS_OF_TILE]
    cdef floating factor[ROWS_OF_TILE]
    cdef floating added = <floating> eps
    cdef Py_ssize_t i, j, c
    to_tile[floating](x, step, rows, n, tile)
    tile_means[floating](tile, n, mean)
    for j in range(n):
        for c in range(ROWS_OF_TILE):
            tile[j * ROWS_OF_TILE + c] = tile[j * ROWS_OF_TILE + c] - mean[c]
    tile_means_of_products[floating](tile, tile, n, factor)
    for c in range(ROWS_OF_TILE):               # by hand: leaves at once, which is rare
        if not holds[floating](factor[c] + added):
            return False
    for c in range(ROWS_OF_TILE):
        factor[c] = <floating> 1 / square_root(factor[c] + added)
    for j in range(n):
        for c in range(ROWS_OF_TILE):           # by hand in aarch64: GCC unrolls it first
            i = j * ROWS_OF_TILE + c
            tile[i] = tile[i] * factor[c]
            result[i] = tile[i] * weight[j] + bias[j]
    from_tile[floating](tile, step, rows, n, normal)
    from_tile[floating](result, step, rows, n, out)
    for i in range(rows):                       # by hand: any step
        inverse[i * inverse_step] = factor[i]
    return True

cdef void layer_norm_rows(const floating* x, Py_ssize_t step, const floating* weight,
                          const floating* bias, double eps, Py_ssize_t rows, Py_ssize_t n,
                          floating* normal, floating* inverse, Py_ssize_t inverse_step,
                          floating* out) noexcept nogil:
    cdef Py_ssize_t start = 0, whole = normalized_in_tiles(rows, n), end, i
    while start < rows:
        end = min(start + ROWS_OF_TILE, whole) if start < whole else rows
        if start >= whole or not layer_norm_tile[floating](
                x + start * step, step, weight, bias, eps, end - start, n, normal + start * step,
                inverse + start * inverse_step, inverse_step, out + start * step):
            for i in range(start, end):         # by hand: a loop over rows
                layer_norm_row[floating](x + i * step, weight, bias, eps, n, normal + i * step,
                                         inverse + i * inverse_step, out + i * step)
        start = end

cdef void layer_norm(const floating* x, const floating* weight, const floating* bias,
                     double eps, Py_ssize_t rows, Py_ssize_t n, floating* normal,
                     floating* inverse, floating* out) noexcept nogil:
    """normal = (x - mean) / sqrt(variance + eps) of each row; out = weight normal + bias."""
    layer_norm_rows[floating](x, n, weight, bias, eps, rows, n, normal, inverse, 1, out)

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

cdef inline void layer_norm_backward_tile(
        const floating* g, Py_ssize_t step, const floating* normal, const floating* inverse,
        Py_ssize_t inverse_step, const floating* weight, Py_ssize_t rows, Py_ssize_t n,
        floating* out) noexcept nogil:
    cdef floating tile[LANES * ROWS_OF_TILE]
    cdef floating normals[LANES * ROWS_OF_TILE]
    cdef floating factor[ROWS_OF_TILE]
    cdef floating mean_slope[ROWS_OF_TILE]
    cdef floating mean_product[ROWS_OF_TILE]
    cdef Py_ssize_t i, j, c
    to_tile[floating](g, step, rows, n, tile)
    to_tile[floating](normal, step, rows, n, normals)
    to_tile[floating](inverse, inverse_step, rows, 1, factor)
    for j in range(n):
        for c in range(ROWS_OF_TILE):           # by hand in aarch64: GCC unrolls it first
            tile[j * ROWS_OF_TILE + c] = tile[j * ROWS_OF_TILE + c] * weight[j]
    tile_means[floating](tile, n, mean_slope)
    tile_means_of_products[floating](tile, normals, n, mean_product)
    for j in range(n):
        for c in range(ROWS_OF_TILE):
            i = j * ROWS_OF_TILE + c
            tile[i] = factor[c] * (tile[i] - (mean_slope[c] + normals[i] * mean_product[c]))
    from_tile[floating](tile, step, rows, n, out)

cdef void layer_norm_backward_rows(
        const floating* g, Py_ssize_t step, const floating* normal, const floating* inverse,
        Py_ssize_t inverse_step, const floating* weight, Py_ssize_t rows, Py_ssize_t n,
        floating* out) noexcept nogil:
    cdef Py_ssize_t i = 0, whole = normalized_in_tiles(rows, n)
    while i < whole:
        layer_norm_backward_tile[floating](
            g + i * step, step, normal + i * step, inverse + i * inverse_step, inverse_step,
            weight, min(<Py_ssize_t> ROWS_OF_TILE, whole - i), n, out + i * step)
        i += ROWS_OF_TILE
    for i in range(whole, rows):                # by hand: a loop over rows
        layer_norm_backward_row[floating](g + i * step, normal + i * step,
                                          inverse[i * inverse_step], weight, n, out + i * step)

cdef void layer_norm_backward(const floating* g, const floating* normal, const floating* inverse,
                              const floating* weight, Py_ssize_t rows, Py_ssize_t n,
                              floating* out) noexcept nogil:
    layer_norm_backward_rows[floating](g, n, normal, inverse, 1, weight, rows, n, out)


# -- group_norm: Wu and He, 2018: the layer_norm of each group of a row's units -------------------

cdef void group_norm(const floating* x, const floating* weight, const floating* bias,
                     double eps, Py_ssize_t rows, Py_ssize_t n, Py_ssize_t groups,
                     floating* normal, floating* inverse, floating* out) noexcept nogil:
    """`groups` divides n; there is an inverse for each group of each row."""
    cdef Py_ssize_t j, first, size = n // groups
    for j in range(groups):                     # by hand: a loop over groups
        first = j * size
        layer_norm_rows[floating](x + first, n, weight + first, bias + first, eps, rows, size,
                                  normal + first, inverse + j, groups, out + first)

cdef void group_norm_backward(const floating* g, const floating* normal, const floating* inverse,
                              const floating* weight, Py_ssize_t rows, Py_ssize_t n,
                              Py_ssize_t groups, floating* out) noexcept nogil:
    cdef Py_ssize_t j, first, size = n // groups
    for j in range(groups):                     # by hand: a loop over groups
        first = j * size
        layer_norm_backward_rows[floating](
            g + first, n, normal + first, inverse + j, groups, weight + first, rows, size,
            out + first)


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
