// Every operation of the plain tier but the matrix products, for arrays of REAL (float or double).
//
// Each kernel computes each element by itself: no shared memory, no atomics, no order that matters.
// So the same source, compiled as C++ with a shim for blockIdx and threadIdx, runs on a CPU, where
// the tests compare it with the plain tier. Sums go in the plain tier's order where that is free.
// Arrays are dense, the last index fastest, of fewer than 2^30 elements; scalars are double.

typedef int whole;  // divisions of 64-bit numbers take a GPU long

#define EACH(i, n)                                                                  \
    for (whole i = (whole)(blockIdx.x * blockDim.x + threadIdx.x); i < (n);         \
         i += (whole)(gridDim.x * blockDim.x))

// Several elements of a long sum are then on their way at once; its order stays.
#ifdef __CUDACC__
#define UNROLLED _Pragma("unroll 16")
#else
#define UNROLLED
#endif

#define LEAST (-1 / (REAL)0)  // −∞

__device__ REAL sign_of(REAL x) { return x > 0 ? 1 : x < 0 ? -1 : x; }  // NaN stays NaN

// A division of numbers below 2^30 by one that is known before, as a product: a GPU divides in about
// twenty instructions.
struct Divider {
    unsigned int magic;
    whole shift;
    __device__ whole of(whole n) const {
        return (whole)((unsigned long long)n * magic >> shift);
    }
};

// Images (B, H, W, C) and the windows on them, (OH, OW) positions. Kernels get it by value: each
// thread reads all of it, and a GPU has arguments at hand without going to memory.
struct Windows {
    whole B, H, W, C, kh, kw, stride, top, left, OH, OW, cells;
    Divider by_H, by_W, by_C, by_kw, by_OH, by_OW, by_cells;
};

// Take the last index off an element's number: *n becomes the number among the others.
__device__ whole split(whole* n, whole size, Divider by) {
    const whole others = by.of(*n), last = *n - others * size;
    *n = others;
    return last;
}

// Where an element of the images is, or one of (B, OH, OW, C).
struct Place {
    whole b, y, x, c;
};
__device__ Place pixel(const Windows& g, whole i) {
    Place at;
    at.c = split(&i, g.C, g.by_C), at.x = split(&i, g.W, g.by_W);
    at.y = split(&i, g.H, g.by_H), at.b = i;
    return at;
}
__device__ Place position(const Windows& g, whole i) {
    Place at;
    at.c = split(&i, g.C, g.by_C), at.x = split(&i, g.OW, g.by_OW);
    at.y = split(&i, g.OH, g.by_OH), at.b = i;
    return at;
}

// The first and the last window, of `count`, that a row (or column) of the padded image is in.
__device__ whole first_window(whole row, whole k, whole stride) {
    return row < k ? 0 : (row - k) / stride + 1;
}
__device__ whole last_window(whole row, whole stride, whole count) {
    return row / stride < count ? row / stride : count - 1;
}

// ---- A batch of a data set in the device's memory ------------------------------------------------

// Sample i of the batch is number order[*start + i] of the data: (x − centre) / scale, and its label.
template <typename Pixel>
__device__ void gather(const Pixel* data, const whole* labels, const whole* order,
                       const whole* start, const REAL* centre, const REAL* scale, REAL* X, whole* y,
                       whole B, whole n) {
    EACH(i, B * n) {
        const whole row = order[*start + i / n], k = i % n;
        X[i] = ((REAL)data[(long long)row * n + k] - centre[k]) / scale[k];
        if (k == 0) y[i / n] = labels[row];
    }
}

extern "C" __global__ void gather_bytes(const unsigned char* data, const whole* labels,
                                        const whole* order, const whole* start, const REAL* centre,
                                        const REAL* scale, REAL* X, whole* y, whole B, whole n) {
    gather(data, labels, order, start, centre, scale, X, y, B, n);
}

extern "C" __global__ void gather_reals(const REAL* data, const whole* labels, const whole* order,
                                        const whole* start, const REAL* centre, const REAL* scale,
                                        REAL* X, whole* y, whole B, whole n) {
    gather(data, labels, order, start, centre, scale, X, y, B, n);
}

// The same of images (H, W, C), each moved within a frame of zeros, and perhaps mirrored: moves
// (samples, 3), in the epoch's order, are rows down, columns right, and whether.
template <typename Pixel>
__device__ void gather_moved(const Pixel* data, const whole* labels, const whole* order,
                             const whole* start, const REAL* centre, const REAL* scale, REAL* X,
                             whole* y, const whole* moves, whole B, whole H, whole W, whole C,
                             whole padding) {
    const whole n = H * W * C;
    EACH(i, B * n) {
        const whole place = *start + i / n, row = order[place], k = i % n;
        const whole* move = moves + 3 * place;
        const whole column = k / C % W, from = move[2] ? W - 1 - column : column;
        const whole v = k / C / W + move[0] - padding, u = from + move[1] - padding;
        const bool inside = v >= 0 && v < H && u >= 0 && u < W;
        const REAL x = inside ? (REAL)data[(long long)row * n + (v * W + u) * C + k % C] : 0;
        X[i] = (x - centre[k]) / scale[k];
        if (k == 0) y[i / n] = labels[row];
    }
}

extern "C" __global__ void gather_bytes_moved(const unsigned char* data, const whole* labels,
                                              const whole* order, const whole* start,
                                              const REAL* centre, const REAL* scale, REAL* X,
                                              whole* y, const whole* moves, whole B, whole H,
                                              whole W, whole C, whole padding) {
    gather_moved(data, labels, order, start, centre, scale, X, y, moves, B, H, W, C, padding);
}

extern "C" __global__ void gather_reals_moved(const REAL* data, const whole* labels,
                                              const whole* order, const whole* start,
                                              const REAL* centre, const REAL* scale, REAL* X,
                                              whole* y, const whole* moves, whole B, whole H,
                                              whole W, whole C, whole padding) {
    gather_moved(data, labels, order, start, centre, scale, X, y, moves, B, H, W, C, padding);
}

// The end of a step: the epoch's loss so far, the next batch's place, the next step's number.
extern "C" __global__ void tick(REAL* total, const REAL* loss, whole B, whole* start, whole* step) {
    EACH(i, 1) {
        total[i] += loss[i] * (REAL)B;
        start[i] += B;
        step[i] += 1;
    }
}

// ---- Images to columns, and back ----------------------------------------------------------------

// Four channels that lie side by side are moved as one.
struct alignas(16) Quad {
    REAL of[4];
};

template <typename Channels>
__device__ void columns_of(const Channels* X, Channels* columns, const Windows& g) {
    EACH(i, g.B * g.OH * g.OW * g.cells * g.C) {
        whole n = i;
        const whole c = split(&n, g.C, g.by_C), cell = split(&n, g.cells, g.by_cells);
        const whole ox = split(&n, g.OW, g.by_OW), oy = split(&n, g.OH, g.by_OH);
        const whole down = g.by_kw.of(cell), y = oy * g.stride - g.top + down;
        const whole x = ox * g.stride - g.left + cell - down * g.kw;
        const bool inside = y >= 0 && y < g.H && x >= 0 && x < g.W;
        columns[i] = inside ? X[((n * g.H + y) * g.W + x) * g.C + c] : Channels();
    }
}

extern "C" __global__ void im2col(const REAL* X, REAL* columns, const Windows g) {
    columns_of(X, columns, g);
}

// g counts quads, not channels.
extern "C" __global__ void im2col_quads(const Quad* X, Quad* columns, const Windows g) {
    columns_of(X, columns, g);
}

// The windows that a pixel is in.
struct Over {
    whole y, x, oy0, oy1, ox0, ox1;
};
__device__ Over windows_over(const Windows& g, Place at) {
    const whole y = at.y + g.top, x = at.x + g.left;
    return {y, x, first_window(y, g.kh, g.stride), last_window(y, g.stride, g.OH),
            first_window(x, g.kw, g.stride), last_window(x, g.stride, g.OW)};
}

// The element of the image gathers all its copies.
extern "C" __global__ void col2im(const REAL* columns, REAL* X, const Windows g) {
    EACH(i, g.B * g.H * g.W * g.C) {
        const Place at = pixel(g, i);
        const Over over = windows_over(g, at);
        REAL sum = 0;
        for (whole oy = over.oy1; oy >= over.oy0; oy--)
            for (whole ox = over.ox1; ox >= over.ox0; ox--) {
                const whole cell = (over.y - oy * g.stride) * g.kw + over.x - ox * g.stride;
                const whole place = (at.b * g.OH + oy) * g.OW + ox;
                sum += columns[(place * g.cells + cell) * g.C + at.c];
            }
        X[i] = sum;
    }
}

// ---- What a block does to N before it pools: BN or a bias, and perhaps a ReLU -------------------

struct BnRelu {
    const REAL *mean, *std, *scale, *shift;  // of each feature; 0 and 1 where there is no BN
    whole relu;
    __device__ REAL before(REAL n, whole c) const {
        return (n - mean[c]) / std[c] * scale[c] + shift[c];
    }
    __device__ REAL of(REAL n, whole c) const {
        const REAL z = before(n, c);
        return relu && z <= 0 ? 0 : z;
    }
    __device__ bool passes(REAL n, whole c) const { return !relu || before(n, c) > 0; }
};

struct Nothing {
    __device__ REAL of(REAL x, whole) const { return x; }
};

extern "C" __global__ void bn_relu(const REAL* N, const REAL* mean, const REAL* std, const REAL* scale,
                                const REAL* shift, whole relu, REAL* Y, whole n, whole C) {
    const BnRelu bn_relu = {mean, std, scale, shift, relu};
    EACH(i, n) Y[i] = bn_relu.of(N[i], i % C);
}

// dZ = ∂E/∂Z, Z being what goes into the ReLU.
extern "C" __global__ void bn_relu_dZ(const REAL* N, const REAL* mean, const REAL* std,
                                   const REAL* scale, const REAL* shift, whole relu, const REAL* dY,
                                   REAL* dZ, whole n, whole C) {
    const BnRelu bn_relu = {mean, std, scale, shift, relu};
    EACH(i, n) dZ[i] = bn_relu.passes(N[i], i % C) ? dY[i] : 0;
}

// ---- Pooling: the window is clipped to the image ------------------------------------------------

// `first` is the first maximum's place in the window; −1 where a ReLU lets no error through.
template <typename Before>
__device__ void max_pooled(const REAL* X, const Before& before, bool relu, REAL* Y, short* first,
                           const Windows& g) {
    EACH(i, g.B * g.OH * g.OW * g.C) {
        const Place at = position(g, i);
        REAL most = 0;
        short where = 0, cell = 0;
        for (whole down = 0; down < g.kh; down++)
            for (whole right = 0; right < g.kw; right++, cell++) {
                const whole y = at.y * g.stride - g.top + down;
                const whole x = at.x * g.stride - g.left + right;
                const bool inside = y >= 0 && y < g.H && x >= 0 && x < g.W;
                const REAL n = inside ? X[((at.b * g.H + y) * g.W + x) * g.C + at.c] : 0;
                const REAL value = inside ? before.of(n, at.c) : LEAST;
                if (cell == 0 || value > most || value != value) {  // NaN wins over any number
                    if (cell && value > most) where = cell;
                    most = cell && most != most ? most : value;
                }
            }
        Y[i] = most;
        first[i] = relu && !(most > 0) ? -1 : where;
    }
}

extern "C" __global__ void max_pool(const REAL* X, REAL* Y, short* first, const Windows g) {
    max_pooled(X, Nothing(), false, Y, first, g);
}

extern "C" __global__ void bn_relu_max_pool(const REAL* N, const REAL* mean, const REAL* std,
                                         const REAL* scale, const REAL* shift, whole relu, REAL* Y,
                                         short* first, const Windows g) {
    const BnRelu bn_relu = {mean, std, scale, shift, relu};
    max_pooled(N, bn_relu, relu, Y, first, g);
}

// Each dY goes whole to the first maximum of its window.
extern "C" __global__ void max_pool_dX(const REAL* dY, const short* first, REAL* dX,
                                       const Windows g) {
    EACH(i, g.B * g.H * g.W * g.C) {
        const Place at = pixel(g, i);
        const Over over = windows_over(g, at);
        REAL sum = 0;
        for (whole oy = over.oy1; oy >= over.oy0; oy--)
            for (whole ox = over.ox1; ox >= over.ox0; ox--) {
                const whole o = ((at.b * g.OH + oy) * g.OW + ox) * g.C + at.c;
                const whole cell = (over.y - oy * g.stride) * g.kw + over.x - ox * g.stride;
                if (first[o] == cell) sum += dY[o];
            }
        dX[i] = sum;
    }
}

__device__ REAL cells_inside(const Windows& g, whole oy, whole ox) {
    const whole y = oy * g.stride - g.top, x = ox * g.stride - g.left;
    const whole rows = (y + g.kh < g.H ? y + g.kh : g.H) - (y > 0 ? y : 0);
    const whole columns = (x + g.kw < g.W ? x + g.kw : g.W) - (x > 0 ? x : 0);
    return (REAL)(rows * columns);
}

template <typename Before>
__device__ void avg_pooled(const REAL* X, const Before& before, REAL* Y, const Windows& g) {
    EACH(i, g.B * g.OH * g.OW * g.C) {
        const Place at = position(g, i);
        REAL sum = 0;
        for (whole down = 0; down < g.kh; down++)
            for (whole right = 0; right < g.kw; right++) {
                const whole y = at.y * g.stride - g.top + down;
                const whole x = at.x * g.stride - g.left + right;
                if (y >= 0 && y < g.H && x >= 0 && x < g.W)
                    sum += before.of(X[((at.b * g.H + y) * g.W + x) * g.C + at.c], at.c);
            }
        Y[i] = sum / cells_inside(g, at.y, at.x);
    }
}

extern "C" __global__ void avg_pool(const REAL* X, REAL* Y, const Windows g) {
    avg_pooled(X, Nothing(), Y, g);
}

extern "C" __global__ void bn_relu_avg_pool(const REAL* N, const REAL* mean, const REAL* std,
                                         const REAL* scale, const REAL* shift, whole relu, REAL* Y,
                                         const Windows g) {
    const BnRelu bn_relu = {mean, std, scale, shift, relu};
    avg_pooled(N, bn_relu, Y, g);
}

__device__ REAL avg_pooled_dX(const REAL* dY, Place at, const Windows& g) {
    const Over over = windows_over(g, at);
    REAL sum = 0;
    for (whole oy = over.oy1; oy >= over.oy0; oy--)
        for (whole ox = over.ox1; ox >= over.ox0; ox--)
            sum += dY[((at.b * g.OH + oy) * g.OW + ox) * g.C + at.c] / cells_inside(g, oy, ox);
    return sum;
}

extern "C" __global__ void avg_pool_dX(const REAL* dY, REAL* dX, const Windows g) {
    EACH(i, g.B * g.H * g.W * g.C) dX[i] = avg_pooled_dX(dY, pixel(g, i), g);
}

extern "C" __global__ void bn_relu_avg_pool_dZ(const REAL* N, const REAL* mean, const REAL* std,
                                            const REAL* scale, const REAL* shift, whole relu,
                                            const REAL* dY, REAL* dZ, const Windows g) {
    const BnRelu bn_relu = {mean, std, scale, shift, relu};
    EACH(i, g.B * g.H * g.W * g.C) {
        const Place at = pixel(g, i);
        dZ[i] = bn_relu.passes(N[i], at.c) ? avg_pooled_dX(dY, at, g) : 0;
    }
}

// ---- Elementwise --------------------------------------------------------------------------------

extern "C" __global__ void add_bias(REAL* N, const REAL* b, whole rows, whole J) {
    EACH(i, rows * J) N[i] += b[i % J];
}

extern "C" __global__ void relu(const REAL* N, REAL* Y, whole n) {
    EACH(i, n) Y[i] = N[i] > 0 || N[i] != N[i] ? N[i] : 0;  // NaN stays NaN
}

extern "C" __global__ void relu_dN(const REAL* N, const REAL* dY, REAL* dN, whole n) {
    EACH(i, n) dN[i] = dY[i] * (N[i] > 0 ? 1 : 0);
}

extern "C" __global__ void add(const REAL* A, const REAL* B, REAL* C, whole n) {
    EACH(i, n) C[i] = A[i] + B[i];
}

// ---- Sums over the batch and all positions: of chunks of rows, of groups of chunks, of the groups

__device__ whole first_row(whole chunk, whole rows, whole chunks) {
    return (whole)((long long)rows * chunk / chunks);
}

extern "C" __global__ void chunk_sums(const REAL* X, REAL* sums, whole rows, whole C, whole chunks) {
    EACH(i, chunks * C) {
        const whole c = i % C, chunk = i / C, end = first_row(chunk + 1, rows, chunks);
        REAL sum = 0;
        UNROLLED for (whole r = first_row(chunk, rows, chunks); r < end; r++) sum += X[r * C + c];
        sums[i] = sum;
    }
}

// Each part of the sums (parts, chunks, C) comes to one of (parts, groups, C).
extern "C" __global__ void group_sums(const REAL* sums, REAL* out, whole parts, whole C,
                                      whole chunks, whole groups) {
    EACH(i, parts * groups * C) {
        const whole c = i % C, group = i / C % groups, part = i / C / groups;
        const whole end = first_row(group + 1, chunks, groups);
        REAL sum = 0;
        UNROLLED for (whole k = first_row(group, chunks, groups); k < end; k++)
            sum += sums[(part * chunks + k) * C + c];
        out[i] = sum;
    }
}

// Each part of the sums (parts, chunks, C) comes to one of (parts, C).
extern "C" __global__ void total(const REAL* sums, REAL* out, whole parts, whole C, whole chunks,
                                 double scale) {
    EACH(i, parts * C) {
        const whole c = i % C, part = i / C;
        REAL sum = 0;
        UNROLLED for (whole chunk = 0; chunk < chunks; chunk++)
            sum += sums[(part * chunks + chunk) * C + c];
        out[i] = sum * (REAL)scale;
    }
}

// ---- Batch Normalization (Sec. 3) ---------------------------------------------------------------

// Of each chunk its mean, and the sum of squares about that: sums (2, chunks, C).
extern "C" __global__ void chunk_moments(const REAL* X, REAL* sums, whole rows, whole C,
                                         whole chunks) {
    EACH(i, chunks * C) {
        const whole c = i % C, chunk = i / C;
        const whole begin = first_row(chunk, rows, chunks), end = first_row(chunk + 1, rows, chunks);
        REAL sum = 0, squares = 0;
        UNROLLED for (whole r = begin; r < end; r++) sum += X[r * C + c];
        const REAL mean = sum / (REAL)(end - begin);
        UNROLLED for (whole r = begin; r < end; r++)
            squares += (X[r * C + c] - mean) * (X[r * C + c] - mean);
        sums[i] = mean;
        sums[chunks * C + i] = squares;
    }
}

// Feature c's mean of chunks begin … end − 1, and the sum of squares about that, from the chunks'.
// Chunk k has the rows from bound(k) to bound(k + 1).
template <typename Bound>
__device__ REAL merged(const REAL* sums, const Bound& bound, whole begin, whole end, whole c,
                       whole C, whole chunks, REAL* squares) {
    REAL sum = 0, about = 0;
    UNROLLED for (whole k = begin; k < end; k++)
        sum += (REAL)(bound(k + 1) - bound(k)) * sums[k * C + c];
    const REAL mean = sum / (REAL)(bound(end) - bound(begin));
    UNROLLED for (whole k = begin; k < end; k++) {
        const REAL off = sums[k * C + c] - mean;
        about += sums[(chunks + k) * C + c] + (REAL)(bound(k + 1) - bound(k)) * off * off;
    }
    *squares = about;
    return mean;
}

struct Chunks {
    whole rows, chunks;
    __device__ whole operator()(whole k) const { return first_row(k, rows, chunks); }
};

struct Groups {
    Chunks chunk;
    whole groups;
    __device__ whole operator()(whole k) const { return chunk(first_row(k, chunk.chunks, groups)); }
};

// The same of groups of chunks: out (2, groups, C) of sums (2, chunks, C).
extern "C" __global__ void group_moments(const REAL* sums, REAL* out, whole rows, whole C,
                                         whole chunks, whole groups) {
    const Chunks bound = {rows, chunks};
    EACH(i, groups * C) {
        const whole c = i % C, group = i / C;
        const whole begin = first_row(group, chunks, groups);
        const whole end = first_row(group + 1, chunks, groups);
        out[i] = merged(sums, bound, begin, end, c, C, chunks, &out[groups * C + i]);
    }
}

// The whole's μ and s = √(σ² + ε), from those of its groups.
extern "C" __global__ void moments(const REAL* sums, REAL* mean, REAL* std, whole rows, whole C,
                                   whole chunks, whole groups, double eps) {
    const Groups bound = {{rows, chunks}, groups};
    EACH(c, C) {
        REAL squares;
        mean[c] = merged(sums, bound, 0, groups, c, C, groups, &squares);
        std[c] = sqrt(squares / (REAL)rows + (REAL)eps);
    }
}

extern "C" __global__ void normalize(const REAL* X, const REAL* mean, const REAL* std, REAL* Xhat,
                                     whole n, whole C) {
    EACH(i, n) Xhat[i] = (X[i] - mean[i % C]) / std[i % C];
}

// Of each chunk Σ dZ and Σ dZ ∘ X̂, X̂ being X itself, or (X − μ)/s if it is not yet normalized.
extern "C" __global__ void chunk_gradient_sums(const REAL* dZ, const REAL* X, const REAL* mean,
                                       const REAL* std, whole normalized, REAL* sums, whole rows,
                                       whole C, whole chunks) {
    EACH(i, chunks * C) {
        const whole c = i % C, chunk = i / C, end = first_row(chunk + 1, rows, chunks);
        REAL sum = 0, products = 0;
        UNROLLED for (whole r = first_row(chunk, rows, chunks); r < end; r++) {
            const REAL d = dZ[r * C + c], x = X[r * C + c];
            sum += d;
            products += d * (normalized ? x : (x - mean[c]) / std[c]);
        }
        sums[i] = sum;
        sums[chunks * C + i] = products;
    }
}

// dX of dZ: sums (2, C) are those of all rows.
extern "C" __global__ void normalize_dX(const REAL* dZ, const REAL* X, const REAL* mean,
                                        const REAL* std, whole normalized, const REAL* scale,
                                        const REAL* sums, REAL* dX, whole rows, whole C) {
    EACH(i, rows * C) {
        const whole c = i % C;
        const REAL Xhat = normalized ? X[i] : (X[i] - mean[c]) / std[c];
        const REAL about = sums[c] / (REAL)rows, slope = sums[C + c] / (REAL)rows;
        dX[i] = (dZ[i] - about - Xhat * slope) * scale[c] / std[c];
    }
}

// ---- Softmax cross-entropy ----------------------------------------------------------------------

extern "C" __global__ void cross_entropy_rows(const REAL* N, const whole* labels, REAL* dN,
                                              REAL* losses, whole B, whole J) {
    EACH(b, B) {
        const REAL* n = N + b * J;
        REAL* d = dN + b * J;
        REAL most = n[0], sum = 0;
        for (whole j = 1; j < J; j++) most = n[j] > most || n[j] != n[j] ? n[j] : most;
        for (whole j = 0; j < J; j++) sum += exp(n[j] - most);
        REAL log_sum = log(sum);
        losses[b] = log_sum - (n[labels[b]] - most);
        for (whole j = 0; j < J; j++)
            d[j] = (exp(n[j] - most - log_sum) - (j == labels[b] ? 1 : 0)) / (REAL)B;
    }
}

// ---- Eq. 3, and V after its W, in one pass (Sec. 2) ---------------------------------------------

// NumPy's Philox4x64-10: the four words of a block of a stream, for its step.
__device__ void philox(unsigned long long counter, unsigned long long step, unsigned long long k0,
                       unsigned long long k1, unsigned long long* words) {
    const unsigned long long M0 = 0xD2E7470EE14C6C93ULL, M1 = 0xCA5A826395121157ULL;
    unsigned long long c0 = counter, c1 = 0, c2 = step, c3 = 0;
    for (int round = 0; round < 10; round++) {
        unsigned long long high0 = __umul64hi(M0, c0), high1 = __umul64hi(M1, c2);
        unsigned long long low0 = M0 * c0, low1 = M1 * c2;
        c0 = high1 ^ c1 ^ k0, c1 = low1, c2 = high0 ^ c3 ^ k1, c3 = low0;
        k0 += 0x9E3779B97F4A7C15ULL, k1 += 0xBB67AE8584CAA73BULL;
    }
    words[0] = c0, words[1] = c1, words[2] = c2, words[3] = c3;
}

// The draw in [0, 1) number `place` of a block of eight: 24 bits of half a word.
__device__ float drawn(const unsigned long long* words, int place) {
    unsigned int half = (unsigned int)(words[place / 2] >> (32 * (place % 2)));
    return (float)(half >> 8) * 5.9604644775390625e-8f;
}

// Draws first, first + 1, … of a stream for a step, as numbers in [0, 1), and as signs: −1 with
// probability p. A thread has a block of eight.
extern "C" __global__ void draw_uniform(const unsigned long long* key, const whole* step,
                                        whole first, REAL* out, whole n) {
    EACH(block, (first % 8 + n + 7) / 8) {
        unsigned long long words[4];
        philox(first / 8 + block + 1, *step, key[0], key[1], words);
        for (int place = 0; place < 8; place++) {
            const whole i = 8 * block + place - first % 8;
            if (i >= 0 && i < n) out[i] = drawn(words, place);
        }
    }
}

extern "C" __global__ void draw_signs(const unsigned long long* key, const whole* step,
                                      whole first, REAL* out, whole n, double p) {
    EACH(block, (first % 8 + n + 7) / 8) {
        unsigned long long words[4];
        philox(first / 8 + block + 1, *step, key[0], key[1], words);
        for (int place = 0; place < 8; place++) {
            const whole i = 8 * block + place - first % 8;
            if (i >= 0 && i < n) out[i] = drawn(words, place) < (float)p ? -1 : 1;
        }
    }
}

// One parameter, for Eq. 3 and for V.
//
// setting  of Eq. 3, or −1: W stays
// kind     0: V stays; 1: V = c sign(W); 2: V = M sign(W); 3: V = M sign(W) S
// redraws  whether M, and with kind 3 S, are drawn anew for the step: draws n … 2n−1 are S's
struct Parameter {
    const REAL* g;
    REAL *w, *memory, *M, *S, *V;
    const unsigned long long* key;
    double m, d, multiplier, c, p;
    whole setting, kind, redraws, n;
};
struct Parameters {  // with the rest below the 4 KB that a kernel may be given
    Parameter each[32];
};

// All elements of all parameters: one launch for as many as there are room for.
//
// rate, step  in device memory, for a step that is replayed; η is rate times multiplier
extern "C" __global__ void update_and_refresh(Parameters parameters, const double* rate,
                                              const whole* step, whole total) {
    whole k = 0, begin = 0;
    EACH(at, total) {  // neighbours in memory are neighbouring threads
        for (; at - begin >= parameters.each[k].n; k++) begin += parameters.each[k].n;
        const Parameter& one = parameters.each[k];
        const whole i = at - begin;
        if (one.setting >= 0) {
            const REAL m = (REAL)one.m, d = (REAL)one.d, eta = (REAL)(*rate * one.multiplier);
            const REAL g = one.g[i];
            REAL tau = m * one.memory[i] - (one.setting == 0 ? g : sign_of(g)) - d * one.w[i];
            one.memory[i] = one.setting == 2 ? sign_of(tau) : tau;
            one.w[i] += eta * (one.setting >= 2 ? sign_of(tau) : tau);
        }
        if (one.redraws) {  // a block of Philox is of eight draws: computed by each of its threads
            unsigned long long words[4];
            philox(i / 8 + 1, *step, one.key[0], one.key[1], words);
            one.M[i] = drawn(words, i % 8);
            if (one.kind == 3) {
                const whole draw = one.n + i;
                philox(draw / 8 + 1, *step, one.key[0], one.key[1], words);
                one.S[i] = drawn(words, draw % 8) < (float)one.p ? -1 : 1;
            }
        }
        const REAL side = sign_of(one.w[i]);
        if (one.kind == 1) one.V[i] = (REAL)one.c * side;
        if (one.kind == 2) one.V[i] = one.M[i] * side;
        if (one.kind == 3) one.V[i] = one.M[i] * side * one.S[i];
    }
}
