# Losses over a minibatch of rows: the loss of each row, and scale * d loss / d z for all. `scale`
# is 1 / (rows of the minibatch), so that shards of a minibatch add up to its mean.

cdef void cross_entropy(const floating* z, const int64_t* label, Py_ssize_t rows, Py_ssize_t n,
                        double scale, floating* dz, floating* row_loss) noexcept nogil:
    """-log softmax(z)[label]; its gradient is softmax(z) - onehot(label)."""
    cdef Py_ssize_t i, j
    cdef floating most, factor
    cdef double sum
    for i in range(rows):
        sum = exp_shifted_sum[floating](z + i * n, n, dz + i * n, &most)
        row_loss[i] = <floating> log(sum) - (z[i * n + label[i]] - most)
        factor = <floating> (scale / sum)
        for j in range(n):
            dz[i * n + j] = dz[i * n + j] * factor
        dz[i * n + label[i]] = dz[i * n + label[i]] - <floating> scale


cdef void mse(const floating* z, const floating* y, Py_ssize_t rows, Py_ssize_t n,
              double scale, floating* dz, floating* row_loss) noexcept nogil:
    """mean_j (z_j - y_j)^2; its gradient is 2 (z - y) / n."""
    cdef Py_ssize_t i, j
    cdef floating difference, factor = <floating> (2 * scale / n)
    for i in range(rows):
        for j in range(n):
            difference = z[i * n + j] - y[i * n + j]
            dz[i * n + j] = difference * difference
        row_loss[i] = sum_of[floating](dz + i * n, n) / n
        for j in range(n):
            dz[i * n + j] = (z[i * n + j] - y[i * n + j]) * factor
