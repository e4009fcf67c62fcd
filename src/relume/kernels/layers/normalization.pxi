# What layers other than dense ones compute: over spans, over the columns of a matrix of rows, or
# row by row. Random numbers are a hash of the element's place and a key, so that they depend on
# neither order nor threads, and a pass can be repeated.

cdef inline uint32_t mixed(uint32_t h) noexcept nogil:
    """A bijection that avalanches: C. Wellons' lowbias32, a search of multiply-xorshift hashes."""
    h ^= h >> 16
    h *= <uint32_t> 0x7feb352d
    h ^= h >> 15
    h *= <uint32_t> 0x846ca68b
    return h ^ (h >> 16)

cdef inline floating uniform_of(uint32_t i, uint32_t key1, uint32_t key2,
                                floating like) noexcept nogil:
    """A number of [0, 1) for place i: 24 bits, which both precisions hold exactly."""
    return <floating> <int> (mixed(mixed(i ^ key1) + key2) >> 8) * <floating> 5.9604644775390625e-8


# -- dropout: Srivastava et al., 2014; alpha dropout: Klambauer et al., 2017 ----------------------

cdef void dropout(const floating* x, uint32_t first, uint64_t key, Py_ssize_t n,
                  const floating* rate, floating* mask, floating* out) noexcept nogil:
    """mask = 1 / (1 - rate) or, with probability `rate`, 0; out = x mask."""
    cdef floating p = rate[0], kept = <floating> 1 / (<floating> 1 - rate[0])
    cdef uint32_t key1 = <uint32_t> key, key2 = <uint32_t> (key >> 32)
    cdef Py_ssize_t i
    for i in range(n):
        mask[i] = kept if uniform_of[floating](first + <uint32_t> i, key1, key2, 0) >= p else 0
        out[i] = x[i] * mask[i]

cdef void alpha_dropout(const floating* x, uint32_t first, uint64_t key, Py_ssize_t n,
                        const floating* rate, floating* mask, floating* out) noexcept nogil:
    """A dropped x becomes selu(-inf); out = a (x or that) + b keeps mean 0 and variance 1."""
    cdef double low = -1.7580993408473766           # -lambda alpha
    cdef double keep = <double> 1 - rate[0]
    cdef double a = 1 / sqrt(keep * (1 + (1 - keep) * low * low))
    cdef floating p = rate[0], kept = <floating> a
    cdef floating shift = <floating> (-a * low * (1 - keep)), dropped = <floating> (a * low)
    cdef uint32_t key1 = <uint32_t> key, key2 = <uint32_t> (key >> 32)
    cdef Py_ssize_t i
    cdef floating stays                 # 1 or 0: one choice, since GCC makes branches of two
    for i in range(n):
        stays = 1 if uniform_of[floating](first + <uint32_t> i, key1, key2, 0) >= p else 0
        mask[i] = kept * stays
        out[i] = x[i] * (kept * stays) + dropped * (1 - stays) + shift

cdef void random_slopes(const floating* x, uint32_t first, uint64_t key, Py_ssize_t n,
                        const floating* bounds, floating* slope, floating* out) noexcept nogil:
    """RReLU's slopes, uniform between bounds[0] and bounds[1], and what they make of x."""
    cdef floating lower = bounds[0], width = bounds[1] - bounds[0]
    cdef uint32_t key1 = <uint32_t> key, key2 = <uint32_t> (key >> 32)
    cdef Py_ssize_t i
    for i in range(n):
        slope[i] = lower + width * uniform_of[floating](first + <uint32_t> i, key1, key2, 0)
        out[i] = x[i] if x[i] > 0 else x[i] * slope[i]


# -- sine: Sitzmann et al., 2020 ------------------------------------------------------------------

cdef inline floating half_turns(floating x, floating* rest, floating half) noexcept nogil:
    """x = (k + half) pi + rest with rest within pi / 2; returned is (-1)^k.

    pi comes in three parts (Cody and Waite), of which the products with k are exact to k = 2^11,
    in float64 to 2^26.
    """
    cdef floating to_integer = <floating> 12582912.0 if floating is float else (
        <floating> 6755399441055744.0)
    cdef floating pi1 = <floating> 3.140625 if floating is float else (
        <floating> 3.1415926814079285)
    cdef floating pi2 = <floating> 9.675025939941406e-4 if floating is float else (
        <floating> -2.781813535079891e-8)
    cdef floating pi3 = <floating> 1.5099580252808664e-7 if floating is float else (
        <floating> 1.2246467991473532e-16)
    cdef floating k = (x * <floating> 0.3183098861837907 - half + to_integer) - to_integer
    cdef floating turns = k + half
    cdef floating pair = (k * <floating> 0.5 + to_integer) - to_integer
    rest[0] = ((x - turns * pi1) - turns * pi2) - turns * pi3
    return <floating> 1 - <floating> 4 * absolute(k * <floating> 0.5 - pair)

cdef inline floating sine_of(floating r) noexcept nogil:
    """sin(r) for abs(r) <= pi / 2, by Taylor's series: r^15 / 15! is below the last bit."""
    cdef floating s = r * r
    cdef floating p = <floating> 1.6059043836821613e-10                     # 1 / 13!
    if floating is double:
        p = <floating> 1.9572941063391263e-20                               # 1 / 21!
        p = mul_add(p, s, <floating> -8.22063524662433e-18)
        p = mul_add(p, s, <floating> 2.8114572543455206e-15)
        p = mul_add(p, s, <floating> -7.647163731819816e-13)
        p = mul_add(p, s, <floating> 1.6059043836821613e-10)
    p = mul_add(p, s, <floating> -2.505210838544172e-8)
    p = mul_add(p, s, <floating> 2.7557319223985893e-6)
    p = mul_add(p, s, <floating> -1.984126984126984e-4)
    p = mul_add(p, s, <floating> 8.333333333333333e-3)
    p = mul_add(p, s, <floating> -0.16666666666666666)
    return mul_add(p * s, r, r)

cdef void sine(const floating* x, const floating* omega, Py_ssize_t n,
               floating* out) noexcept nogil:
    cdef Py_ssize_t i
    cdef floating rest, sign, frequency = omega[0]
    for i in range(n):
        sign = half_turns[floating](x[i] * frequency, &rest, 0)
        out[i] = sign * sine_of[floating](rest)

cdef void sine_backward(const floating* g, const floating* x, const floating* omega, Py_ssize_t n,
                        floating* out) noexcept nogil:
    """g omega cos(omega x), where cos((k + 1/2) pi + r) = -(-1)^k sin(r)."""
    cdef Py_ssize_t i
    cdef floating rest, sign, frequency = omega[0]
    for i in range(n):
        sign = half_turns[floating](x[i] * frequency, &rest, <floating> 0.5)
        out[i] = g[i] * (-frequency * sign * sine_of[floating](rest))


# -- pieces that several layers share -------------------------------------------------------------

cdef void multiply(const floating* x, const floating* y, Py_ssize_t n,
                   floating* out) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = x[i] * y[i]

cdef void add_elements(const floating* x, const floating* y, Py_ssize_t n,
                       floating* out) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = x[i] + y[i]

cdef void column_products(const floating* x, const floating* y, Py_ssize_t rows, Py_ssize_t n,
                          floating* out) noexcept nogil:
    """The sum over rows of x y, for each column."""
    cdef Py_ssize_t i, j
    memset(out, 0, n * sizeof(floating))
    for i in range(rows):
        for j in range(n):
            out[j] = out[j] + x[i * n + j] * y[i * n + j]

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

cdef void inverse_deviation(const floating* variance, const floating* eps, Py_ssize_t n,
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


# -- max_norm: Srebro and Shraibman, 2005 ---------------------------------------------------------

cdef void limit_columns(floating* w, Py_ssize_t rows, Py_ssize_t n, double most,
                        floating* factor) noexcept nogil:
    """Shorten each column of a matrix that is longer than `most` to that; `factor` is scratch."""
    cdef Py_ssize_t i, j
    cdef floating limit = <floating> most
    memset(factor, 0, n * sizeof(floating))
    for i in range(rows):
        for j in range(n):
            factor[j] = factor[j] + w[i * n + j] * w[i * n + j]
    for j in range(n):
        factor[j] = limit / at_least[floating](square_root(factor[j]), limit)
    for i in range(rows):
        for j in range(n):
            w[i * n + j] = w[i * n + j] * factor[j]
