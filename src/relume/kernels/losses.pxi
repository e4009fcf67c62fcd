# Losses over a minibatch: the loss of each row, and scale * d loss / d z. `scale` is 1 / (rows of
# the minibatch), so that the shards of a minibatch add up to its mean. z is the output before any
# softmax, sigmoid or exponential, which each loss includes for numerical stability. The loss of a
# row is the mean over its outputs, except for cross entropy, which is one number per row.

# -- cross entropy --------------------------------------------------------------------------------

cdef void cross_entropy(const floating* z, const int64_t* label, Py_ssize_t rows, Py_ssize_t n,
                        double scale, const floating* numbers, floating* dz,
                        floating* row_loss) noexcept nogil:
    """-log softmax(z) . t, where t is the smoothed onehot(label); the gradient is softmax(z) - t.

    numbers: label smoothing, which is distributed equally over all classes (Szegedy et al., CVPR
    2016).
    """
    cdef Py_ssize_t start = 0, whole = rows_in_tiles(rows, n), few = rows_at_once(n)
    while start < whole:
        tile_of_cross_entropies[floating](
            z + start * n, label + start, min(<Py_ssize_t> ROWS_OF_TILE, whole - start), n, scale,
            numbers[0], dz + start * n, row_loss + start)
        start += ROWS_OF_TILE
    start = whole
    while start < rows:
        few_cross_entropies[floating](
            z + start * n, label + start, min(few, rows - start), n, scale, numbers[0],
            dz + start * n, row_loss + start)
        start += few


cdef inline void tile_of_cross_entropies(
        const floating* z, const int64_t* label, Py_ssize_t rows, Py_ssize_t n, double scale,
        floating smoothing, floating* dz, floating* row_loss) noexcept nogil:
    cdef floating tile[TOGETHER * ROWS_OF_TILE]
    cdef floating below_max[TOGETHER * ROWS_OF_TILE]
    cdef floating row_max[ROWS_OF_TILE]
    cdef floating distance[ROWS_OF_TILE]
    cdef floating logarithm[ROWS_OF_TILE]
    cdef floating factor[ROWS_OF_TILE]
    cdef double sum[ROWS_OF_TILE]
    cdef Py_ssize_t i, j, c
    cdef floating everywhere = <floating> (scale * smoothing / n)
    cdef floating label_weight = <floating> (scale * (1 - <double> smoothing))
    to_tile[floating](z, n, rows, n, tile)
    column_maxima[floating](tile, ROWS_OF_TILE, True, ROWS_OF_TILE, n, row_max)
    for c in range(ROWS_OF_TILE):
        distance[c] = 0
    if smoothing != 0:                          # avoids 0 times infinity
        for j in range(n):
            for c in range(ROWS_OF_TILE):
                below_max[j * ROWS_OF_TILE + c] = row_max[c] - tile[j * ROWS_OF_TILE + c]
        column_totals[floating](below_max, ROWS_OF_TILE, True, ROWS_OF_TILE, n, sum)
        for c in range(ROWS_OF_TILE):
            distance[c] = smoothing * <floating> (sum[c] / n)
    exps_of_tile[floating](tile, row_max, n, scale, logarithm, factor)
    for j in range(n):
        for c in range(ROWS_OF_TILE):
            tile[j * ROWS_OF_TILE + c] = tile[j * ROWS_OF_TILE + c] * factor[c] - everywhere
    for i in range(rows):                       # by hand: gathers
        row_loss[i] = (logarithm[i]
                       - (<floating> 1 - smoothing) * (z[i * n + label[i]] - row_max[i])
                       + distance[i])
    from_tile[floating](tile, n, rows, n, dz)
    for i in range(rows):                       # by hand: scatters
        dz[i * n + label[i]] = dz[i * n + label[i]] - label_weight


cdef void exps_of_tile(floating* tile, const floating* row_max, Py_ssize_t n, double scale,
                       floating* logarithm, floating* factor) noexcept nogil:
    """exp(tile - row_max), scaled, in place, the logarithms of their sums, and scale / sums."""
    cdef floating ones[ROWS_OF_TILE]
    cdef double others[ROWS_OF_TILE]
    cdef Py_ssize_t j, c
    column_sums[floating](kept_other_terms_across, tile, ROWS_OF_TILE, row_max, 0, tile,
                          ROWS_OF_TILE, NULL, True, ROWS_OF_TILE, n, others)
    for c in range(ROWS_OF_TILE):
        ones[c] = 0
    for j in range(n):
        for c in range(ROWS_OF_TILE):
            ones[c] = ones[c] + is_one[floating](tile[j * ROWS_OF_TILE + c])
    for c in range(ROWS_OF_TILE):
        logarithm[c] = <floating> log_of_terms(row_max[c], ones[c], others[c])
        factor[c] = <floating> (scale / sum_of_terms(row_max[c], ones[c], others[c]))


cdef inline void few_cross_entropies(const floating* z, const int64_t* label, Py_ssize_t rows,
                                     Py_ssize_t n, double scale, floating smoothing,
                                     floating* dz, floating* row_loss) noexcept nogil:
    cdef Py_ssize_t i, j
    cdef floating row_max[AT_ONCE]
    cdef floating distance[AT_ONCE]
    cdef double ones[AT_ONCE]
    cdef double others[AT_ONCE]
    cdef double logarithm[AT_ONCE]
    cdef floating everywhere = <floating> (scale * smoothing / n), factor
    cdef floating label_weight = <floating> (scale * (1 - <double> smoothing))
    for i in range(AT_ONCE):
        ones[i], others[i] = 1, 0
    for i in range(rows):
        row_max[i], distance[i] = maximum_of[floating](z + i * n, n), 0
        if smoothing != 0:              # avoids 0 times infinity
            for j in range(n):
                dz[i * n + j] = row_max[i] - z[i * n + j]
            distance[i] = smoothing * <floating> (total[floating](dz + i * n, n) / n)
    for i in range(rows):                       # by hand: a loop over rows
        accurate_exp_terms[floating](z + i * n, row_max[i], dz + i * n, n)
        sums_of_terms[floating](dz + i * n, n, ones + i, others + i)
    for i in range(AT_ONCE):
        logarithm[i] = log_of_terms(row_max[0], ones[i], others[i])
    for i in range(rows):
        row_loss[i] = (<floating> logarithm[i]
                       - (<floating> 1 - smoothing) * (z[i * n + label[i]] - row_max[i])
                       + distance[i])
        factor = <floating> (scale / sum_of_terms(row_max[i], ones[i], others[i]))
        for j in range(n):
            dz[i * n + j] = dz[i * n + j] * factor - everywhere
        dz[i * n + label[i]] = dz[i * n + label[i]] - label_weight


cdef void soft_cross_entropy(const floating* z, const floating* y, Py_ssize_t rows, Py_ssize_t n,
                             double scale, const floating* numbers, floating* dz,
                             floating* row_loss) noexcept nogil:
    """-log softmax(z) . t for smoothed rows t of y; the gradient is sum(t) softmax(z) - t.

    A row that does not sum to 1 is weighted by its sum, as in torch. numbers: label smoothing.
    """
    cdef Py_ssize_t i = 0, whole = rows_in_tiles(rows, n)
    while i < whole:
        tile_of_soft_cross_entropies[floating](
            z + i * n, y + i * n, min(<Py_ssize_t> ROWS_OF_TILE, whole - i), n, scale, numbers[0],
            dz + i * n, row_loss + i)
        i += ROWS_OF_TILE
    for i in range(whole, rows):                # by hand: a loop over rows
        one_soft_cross_entropy[floating](z + i * n, y + i * n, n, scale, numbers[0], dz + i * n,
                                         row_loss + i)


cdef inline void tile_of_soft_cross_entropies(
        const floating* z, const floating* y, Py_ssize_t rows, Py_ssize_t n, double scale,
        floating smoothing, floating* dz, floating* row_loss) noexcept nogil:
    cdef floating tile[TOGETHER * ROWS_OF_TILE]
    cdef floating target[TOGETHER * ROWS_OF_TILE]
    cdef floating product[TOGETHER * ROWS_OF_TILE]
    cdef floating row_max[ROWS_OF_TILE]
    cdef floating weight[ROWS_OF_TILE]
    cdef floating distance[ROWS_OF_TILE]
    cdef floating logarithm[ROWS_OF_TILE]
    cdef floating factor[ROWS_OF_TILE]
    cdef floating keep = <floating> (1 - <double> smoothing), even = smoothing / n
    cdef floating by = <floating> scale
    cdef Py_ssize_t i, j, c
    to_tile[floating](z, n, rows, n, tile)
    to_tile[floating](y, n, rows, n, target)
    column_maxima[floating](tile, ROWS_OF_TILE, True, ROWS_OF_TILE, n, row_max)
    rounded_totals[floating](target, ROWS_OF_TILE, True, ROWS_OF_TILE, n, weight)
    for c in range(ROWS_OF_TILE):
        weight[c] = keep * weight[c] + smoothing
    for j in range(n):
        for c in range(ROWS_OF_TILE):
            i = j * ROWS_OF_TILE + c
            target[i] = keep * target[i] + even
            product[i] = target[i] * (row_max[c] - tile[i])
    rounded_totals[floating](product, ROWS_OF_TILE, True, ROWS_OF_TILE, n, distance)
    exps_of_tile[floating](tile, row_max, n, 1, logarithm, factor)
    for j in range(n):
        for c in range(ROWS_OF_TILE):
            i = j * ROWS_OF_TILE + c
            tile[i] = tile[i] * (factor[c] * (by * weight[c])) - by * target[i]
    for i in range(rows):                       # by hand: fewer than a tile's
        row_loss[i] = weight[i] * logarithm[i] + distance[i]
    from_tile[floating](tile, n, rows, n, dz)


cdef inline void one_soft_cross_entropy(
        const floating* z, const floating* y, Py_ssize_t n, double scale, floating smoothing,
        floating* dz, floating* row_loss) noexcept nogil:
    cdef floating keep = <floating> (1 - <double> smoothing), even = smoothing / n
    cdef floating by = <floating> scale, row_max = maximum_of[floating](z, n), distance, factor
    cdef floating weight = keep * <floating> total[floating](y, n) + smoothing
    cdef double ones, others
    cdef Py_ssize_t j
    for j in range(n):
        dz[j] = (keep * y[j] + even) * (row_max - z[j])
    distance = <floating> total[floating](dz, n)
    accurate_exp_terms[floating](z, row_max, dz, n)
    sums_of_terms[floating](dz, n, &ones, &others)
    row_loss[0] = weight * <floating> log_of_terms(row_max, ones, others) + distance
    factor = <floating> (1 / sum_of_terms(row_max, ones, others)) * (by * weight)
    for j in range(n):
        dz[j] = dz[j] * factor - by * (keep * y[j] + even)


# -- elementwise losses, averaged over a row ------------------------------------------------------

cdef inline void each_output(
        void (*f)(floating, floating, floating, floating*, floating*) noexcept nogil,
        const floating* z, const floating* y, const floating* a, bint scalar, floating factor,
        Py_ssize_t n, floating* dz, floating* loss) noexcept nogil:
    """Apply f(z, y, a), which gives loss and slope, to each output; dz is slope * factor."""
    cdef floating value, slope, a0 = a[0]
    cdef Py_ssize_t j
    if scalar:
        for j in range(n):
            f(z[j], y[j], a0, &value, &slope)
            loss[j] = value
            dz[j] = slope * factor
    else:
        for j in range(n):
            f(z[j], y[j], a[j], &value, &slope)
            loss[j] = value
            dz[j] = slope * factor


cdef inline void mean_of_outputs(
        void (*f)(floating, floating, floating, floating*, floating*) noexcept nogil,
        const floating* z, const floating* y, Py_ssize_t rows, Py_ssize_t n, double scale,
        const floating* a, bint scalar, floating* dz, floating* row_loss) noexcept nogil:
    cdef floating factor = <floating> (scale / n)
    cdef floating terms[SHORT]
    cdef double sum, error
    cdef Py_ssize_t i, start, size
    if n == 1:                                  # a column, which is one span
        each_output[floating](f, z, y, a, True, factor, rows, dz, row_loss)
        return
    for i in range(rows):                       # by hand: a loop over rows
        sum = error = 0
        start = 0
        while start < n:
            size = min(<Py_ssize_t> SHORT, n - start)
            each_output[floating](f, z + i * n + start, y + i * n + start,
                                  a if scalar else a + start, scalar, factor, size,
                                  dz + i * n + start, terms)
            add_exactly(&sum, &error, sum_of[floating](terms, size))
            start += size
        row_loss[i] = <floating> (corrected(sum, error) / n)


cdef inline void squared(floating z, floating y, floating unused, floating* loss,
                         floating* slope) noexcept nogil:
    cdef floating d = z - y
    loss[0] = d * d
    slope[0] = <floating> 2 * d

cdef void mse(const floating* z, const floating* y, Py_ssize_t rows, Py_ssize_t n, double scale,
              const floating* numbers, floating* dz, floating* row_loss) noexcept nogil:
    """mean_j (z_j - y_j)^2."""
    cdef floating none = 0
    mean_of_outputs[floating](squared, z, y, rows, n, scale, &none, True, dz, row_loss)


cdef inline void absolute_error(floating z, floating y, floating unused, floating* loss,
                                floating* slope) noexcept nogil:
    cdef floating d = z - y
    loss[0] = absolute(d)
    slope[0] = sign(d)                          # 0 at 0, as in torch

cdef void mae(const floating* z, const floating* y, Py_ssize_t rows, Py_ssize_t n, double scale,
              const floating* numbers, floating* dz, floating* row_loss) noexcept nogil:
    """mean_j |z_j - y_j|."""
    cdef floating none = 0
    mean_of_outputs[floating](absolute_error, z, y, rows, n, scale, &none, True, dz, row_loss)


# Huber, Annals of Mathematical Statistics 1964, scaled as torch.nn.HuberLoss
cdef inline void huber_error(floating z, floating y, floating delta, floating* loss,
                             floating* slope) noexcept nogil:
    cdef floating d = z - y
    cdef floating inner = at_most[floating](absolute(d), delta)
    loss[0] = inner * (absolute(d) - <floating> 0.5 * inner)
    slope[0] = at_most[floating](at_least[floating](d, -delta), delta)

cdef void huber(const floating* z, const floating* y, Py_ssize_t rows, Py_ssize_t n, double scale,
                const floating* numbers, floating* dz, floating* row_loss) noexcept nogil:
    """mean_j d^2 / 2 where |d| <= delta, else delta (|d| - delta / 2), d = z - y.

    numbers: delta.
    """
    mean_of_outputs[floating](huber_error, z, y, rows, n, scale, numbers, True, dz, row_loss)


# Koenker and Bassett, Econometrica 1978
cdef inline void quantile_error(floating z, floating y, floating q, floating* loss,
                                floating* slope) noexcept nogil:
    cdef floating d = z - y
    cdef floating s = <floating> 1 - q if d > 0 else -q
    loss[0] = s * d
    slope[0] = s if absolute(d) > 0 else d      # 0 at 0, as mae; q = 0.5 is half of mae

cdef void quantile(const floating* z, const floating* y, Py_ssize_t rows, Py_ssize_t n,
                   double scale, const floating* numbers, floating* dz,
                   floating* row_loss) noexcept nogil:
    """mean_j max(q_j (y_j - z_j), (1 - q_j) (z_j - y_j)); numbers: q of each of the n outputs."""
    mean_of_outputs[floating](quantile_error, z, y, rows, n, scale, numbers, False, dz, row_loss)


cdef inline void poisson_error(floating z, floating y, floating unused, floating* loss,
                               floating* slope) noexcept nogil:
    cdef floating rate = exp_two[floating](z, 0)
    loss[0] = rate - y * z
    slope[0] = rate - y

cdef void poisson(const floating* z, const floating* y, Py_ssize_t rows, Py_ssize_t n,
                  double scale, const floating* numbers, floating* dz,
                  floating* row_loss) noexcept nogil:
    """mean_j exp(z_j) - y_j z_j, where z is the log of the rate; infinite where exp(z) is."""
    cdef floating none = 0
    mean_of_outputs[floating](poisson_error, z, y, rows, n, scale, &none, True, dz, row_loss)


# With e = exp(-|z|), softplus(z) = max(z, 0) + log(1 + e). Neither this nor the slope cancels.
cdef inline void binary_error(floating z, floating y, floating weight, floating* loss,
                              floating* slope) noexcept nogil:
    cdef floating scaled = exp_below[floating](z), e = unscaled[floating](scaled)
    cdef floating positive = weight * y, negative = <floating> 1 - y
    cdef floating bump = unscaled[floating](log1p_of[floating](scaled))
    cdef floating larger = <floating> 1 / (<floating> 1 + e), smaller = e * larger
    cdef floating above = larger if z > 0 else smaller, below = smaller if z > 0 else larger
    loss[0] = (negative * at_least[floating](z, 0) - positive * at_most[floating](z, 0)
               + (negative + positive) * bump)
    slope[0] = keep_nan[floating](negative * above - positive * below, z)

cdef void binary_cross_entropy(const floating* z, const floating* y, Py_ssize_t rows, Py_ssize_t n,
                               double scale, const floating* numbers, floating* dz,
                               floating* row_loss) noexcept nogil:
    """mean_j (1 - y_j) softplus(z_j) + w_j y_j softplus(-z_j).

    numbers: the weights w of the positive class, one for each of the n outputs.
    """
    mean_of_outputs[floating](binary_error, z, y, rows, n, scale, numbers, False, dz, row_loss)


cdef void smoothed_binary_cross_entropy(
        const floating* z, const floating* y, Py_ssize_t rows, Py_ssize_t n, double scale,
        const floating* numbers, floating* dz, floating* row_loss) noexcept nogil:
    """binary_cross_entropy of (1 - smoothing) y + smoothing / 2, which are kept in dz meanwhile.

    numbers: the weights of the positive class, and the smoothing after them.
    """
    cdef floating keep = <floating> (1 - <double> numbers[n]), half = numbers[n] / 2
    cdef Py_ssize_t i
    for i in range(rows * n):
        dz[i] = keep * y[i] + half
    mean_of_outputs[floating](binary_error, z, dz, rows, n, scale, numbers, False, dz, row_loss)


cdef void weigh(const floating* weight, Py_ssize_t rows, Py_ssize_t n, floating* dz,
                floating* row_loss) noexcept nogil:
    """Multiply row i of dz and row_loss[i] by weight[i]; weight 0 gives 0 even for infinity."""
    cdef Py_ssize_t i, j
    for i in range(rows):
        for j in range(n):
            dz[i * n + j] = product[floating](dz[i * n + j], weight[i])
    for i in range(rows):
        row_loss[i] = product[floating](row_loss[i], weight[i])
