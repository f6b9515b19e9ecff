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

#define LEAST (-1 / (REAL)0)  // −∞

__device__ REAL sign_of(REAL x) { return x > 0 ? 1 : x < 0 ? -1 : x; }  // NaN stays NaN

// Whether a row (or column) of the padded image is cell `a` of some window, and of which.
__device__ bool position(whole row, whole a, whole stride, whole count, whole* which) {
    *which = (row - a) / stride;
    return row >= a && (row - a) % stride == 0 && *which < count;
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

// The end of a step: the epoch's loss so far, the next batch's place, the next step's number.
extern "C" __global__ void tick(REAL* total, const REAL* loss, whole B, whole* start, whole* step) {
    EACH(i, 1) {
        total[i] += loss[i] * (REAL)B;
        start[i] += B;
        step[i] += 1;
    }
}

// ---- Images to columns, and back ----------------------------------------------------------------

extern "C" __global__ void im2col(const REAL* X, REAL* columns, whole B, whole H, whole W, whole C,
                                  whole kh, whole kw, whole stride, whole top, whole left,
                                  whole OH, whole OW) {
    EACH(i, B * OH * OW * kh * kw * C) {
        whole k = i % C, cell = i / C % (kh * kw), place = i / C / (kh * kw);
        whole row = place / OW % OH * stride - top + cell / kw;
        whole column = place % OW * stride - left + cell % kw;
        bool inside = row >= 0 && row < H && column >= 0 && column < W;
        columns[i] = inside ? X[((place / OW / OH * H + row) * W + column) * C + k] : 0;
    }
}

// The element of the image gathers all its copies.
extern "C" __global__ void col2im(const REAL* columns, REAL* X, whole B, whole H, whole W, whole C,
                                  whole kh, whole kw, whole stride, whole top, whole left,
                                  whole OH, whole OW) {
    EACH(i, B * H * W * C) {
        whole k = i % C, x = i / C % W + left, y = i / C / W % H + top, b = i / C / W / H;
        REAL sum = 0;
        for (whole a = 0; a < kh; a++)
            for (whole c = 0; c < kw; c++) {
                whole oy, ox;
                if (!position(y, a, stride, OH, &oy) || !position(x, c, stride, OW, &ox)) continue;
                sum += columns[(((b * OH + oy) * OW + ox) * kh * kw + a * kw + c) * C + k];
            }
        X[i] = sum;
    }
}

// ---- Pooling: the window is clipped to the image ------------------------------------------------

extern "C" __global__ void max_pool(const REAL* X, REAL* Y, short* first, whole B, whole H, whole W,
                                    whole C, whole kh, whole kw, whole stride, whole top,
                                    whole left, whole OH, whole OW) {
    EACH(i, B * OH * OW * C) {
        whole k = i % C, ox = i / C % OW, oy = i / C / OW % OH, b = i / C / OW / OH;
        REAL most = 0;
        short where = 0;
        for (whole cell = 0; cell < kh * kw; cell++) {
            whole row = oy * stride - top + cell / kw, column = ox * stride - left + cell % kw;
            bool inside = row >= 0 && row < H && column >= 0 && column < W;
            REAL x = inside ? X[((b * H + row) * W + column) * C + k] : LEAST;
            if (cell == 0 || x > most || x != x) {  // NaN wins over any number
                if (cell && x > most) where = (short)cell;
                most = cell && most != most ? most : x;
            }
        }
        Y[i] = most;
        first[i] = where;
    }
}

// Each dY goes whole to the first maximum of its window.
extern "C" __global__ void max_pool_dX(const REAL* dY, const short* first, REAL* dX, whole B,
                                       whole H, whole W, whole C, whole kh, whole kw, whole stride,
                                       whole top, whole left, whole OH, whole OW) {
    EACH(i, B * H * W * C) {
        whole k = i % C, x = i / C % W + left, y = i / C / W % H + top, b = i / C / W / H;
        REAL sum = 0;
        for (whole a = 0; a < kh; a++)
            for (whole c = 0; c < kw; c++) {
                whole oy, ox;
                if (!position(y, a, stride, OH, &oy) || !position(x, c, stride, OW, &ox)) continue;
                whole o = ((b * OH + oy) * OW + ox) * C + k;
                if (first[o] == a * kw + c) sum += dY[o];
            }
        dX[i] = sum;
    }
}

__device__ REAL cells_inside(whole oy, whole ox, whole H, whole W, whole kh, whole kw, whole stride,
                             whole top, whole left) {
    whole y = oy * stride - top, x = ox * stride - left;
    whole rows = (y + kh < H ? y + kh : H) - (y > 0 ? y : 0);
    whole columns = (x + kw < W ? x + kw : W) - (x > 0 ? x : 0);
    return (REAL)(rows * columns);
}

extern "C" __global__ void avg_pool(const REAL* X, REAL* Y, whole B, whole H, whole W, whole C,
                                    whole kh, whole kw, whole stride, whole top, whole left,
                                    whole OH, whole OW) {
    EACH(i, B * OH * OW * C) {
        whole k = i % C, ox = i / C % OW, oy = i / C / OW % OH, b = i / C / OW / OH;
        REAL sum = 0;
        for (whole cell = 0; cell < kh * kw; cell++) {
            whole row = oy * stride - top + cell / kw, column = ox * stride - left + cell % kw;
            if (row >= 0 && row < H && column >= 0 && column < W)
                sum += X[((b * H + row) * W + column) * C + k];
        }
        Y[i] = sum / cells_inside(oy, ox, H, W, kh, kw, stride, top, left);
    }
}

extern "C" __global__ void avg_pool_dX(const REAL* dY, REAL* dX, whole B, whole H, whole W, whole C,
                                       whole kh, whole kw, whole stride, whole top, whole left,
                                       whole OH, whole OW) {
    EACH(i, B * H * W * C) {
        whole k = i % C, x = i / C % W + left, y = i / C / W % H + top, b = i / C / W / H;
        REAL sum = 0;
        for (whole a = 0; a < kh; a++)
            for (whole c = 0; c < kw; c++) {
                whole oy, ox;
                if (!position(y, a, stride, OH, &oy) || !position(x, c, stride, OW, &ox)) continue;
                sum += dY[((b * OH + oy) * OW + ox) * C + k] /
                       cells_inside(oy, ox, H, W, kh, kw, stride, top, left);
            }
        dX[i] = sum;
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

// ---- Sums over the batch and all positions: first of chunks of rows, then of the chunks ---------

__device__ whole first_row(whole chunk, whole rows, whole chunks) {
    return (whole)((long long)rows * chunk / chunks);
}

extern "C" __global__ void chunk_sums(const REAL* X, REAL* sums, whole rows, whole C, whole chunks) {
    EACH(i, chunks * C) {
        whole c = i % C, chunk = i / C, end = first_row(chunk + 1, rows, chunks);
        REAL sum = 0;
        for (whole r = first_row(chunk, rows, chunks); r < end; r++)
            sum += X[r * C + c];
        sums[i] = sum;
    }
}

extern "C" __global__ void chunk_products(const REAL* A, const REAL* B, REAL* sums, whole rows,
                                          whole C, whole chunks) {
    EACH(i, chunks * C) {
        whole c = i % C, chunk = i / C, end = first_row(chunk + 1, rows, chunks);
        REAL sum = 0;
        for (whole r = first_row(chunk, rows, chunks); r < end; r++)
            sum += A[r * C + c] * B[r * C + c];
        sums[i] = sum;
    }
}

extern "C" __global__ void chunk_squares(const REAL* X, const REAL* mean, REAL* sums, whole rows,
                                         whole C, whole chunks) {
    EACH(i, chunks * C) {
        whole c = i % C, chunk = i / C, end = first_row(chunk + 1, rows, chunks);
        REAL sum = 0;
        for (whole r = first_row(chunk, rows, chunks); r < end; r++)
            sum += (X[r * C + c] - mean[c]) * (X[r * C + c] - mean[c]);
        sums[i] = sum;
    }
}

extern "C" __global__ void total(const REAL* sums, REAL* out, whole C, whole chunks, double scale) {
    EACH(c, C) {
        REAL sum = 0;
        for (whole chunk = 0; chunk < chunks; chunk++) sum += sums[chunk * C + c];
        out[c] = sum * (REAL)scale;
    }
}

// ---- Batch Normalization (Sec. 3) ---------------------------------------------------------------

extern "C" __global__ void spread_of(const REAL* sums, REAL* std, whole C, whole chunks,
                                     double scale, double eps) {
    EACH(c, C) {
        REAL sum = 0;
        for (whole chunk = 0; chunk < chunks; chunk++) sum += sums[chunk * C + c];
        std[c] = sqrt(sum * (REAL)scale + (REAL)eps);
    }
}

extern "C" __global__ void normalize(const REAL* X, const REAL* mean, const REAL* std, REAL* Xhat,
                                     whole n, whole C) {
    EACH(i, n) Xhat[i] = (X[i] - mean[i % C]) / std[i % C];
}

extern "C" __global__ void normalize_dX(const REAL* dXhat, const REAL* Xhat, const REAL* std,
                                        const REAL* mean, const REAL* slope, REAL* dX, whole n,
                                        whole C) {
    EACH(i, n) dX[i] = (dXhat[i] - mean[i % C] - Xhat[i] * slope[i % C]) / std[i % C];
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

// setting  of Eq. 3, or −1: W stays
// kind     0: V stays; 1: V = c sign(W); 2: V = M sign(W); 3: V = M sign(W) S
// redraws  whether M, and with kind 3 S, are drawn anew for the step: draws n … 2n−1 are S's
// rate, step  in device memory, for a step that is replayed; η is rate times multiplier
extern "C" __global__ void update_and_refresh(whole setting, const REAL* g, REAL* w, REAL* memory,
                                              double m_, double d_, const double* rate,
                                              double multiplier, whole kind, REAL* M, REAL* S,
                                              double c_, REAL* V, double p, whole redraws,
                                              const unsigned long long* key, const whole* step,
                                              whole n) {
    const REAL m = (REAL)m_, d = (REAL)d_, c = (REAL)c_;
    const REAL eta = setting < 0 ? 0 : (REAL)(*rate * multiplier);
    EACH(block, (n + 7) / 8) {
        unsigned long long words[4];
        if (redraws) philox(block + 1, *step, key[0], key[1], words);
        for (int place = 0; place < 8; place++) {
            const whole i = 8 * block + place;
            if (i >= n) break;
            if (setting >= 0) {
                REAL tau = m * memory[i] - (setting == 0 ? g[i] : sign_of(g[i])) - d * w[i];
                memory[i] = setting == 2 ? sign_of(tau) : tau;
                w[i] += eta * (setting >= 2 ? sign_of(tau) : tau);
            }
            if (redraws) {
                M[i] = drawn(words, place);
                if (kind == 3) {
                    unsigned long long others[4];
                    philox((n + i) / 8 + 1, *step, key[0], key[1], others);
                    S[i] = drawn(others, (int)((n + i) % 8)) < (float)p ? -1 : 1;
                }
            }
            if (kind == 1) V[i] = c * sign_of(w[i]);
            if (kind == 2) V[i] = M[i] * sign_of(w[i]);
            if (kind == 3) V[i] = M[i] * sign_of(w[i]) * S[i];
        }
    }
}
