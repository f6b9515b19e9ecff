// cuBLAS: products, by OpenBLAS.
#pragma once

namespace {
struct Handle { void* stream = nullptr; void* workspace = nullptr; int math = 0; int host_scalars = 1; };

int multiplied(Handle* h, bool twice, int ta, int tb, int m, int n, int k, const void* alpha, const void* A, int lda, const void* B,
               int ldb, const void* beta, void* C, int ldc) {
    Lock lock(big);
    if (lda < std::max(1, ta ? k : m) || ldb < std::max(1, tb ? n : k) || ldc < std::max(1, m) || m < 0 || n < 0 || k < 0) {
        found("cuBLAS: gemm of m %d n %d k %d with leading dimensions %d %d %d", m, n, k, lda, ldb, ldc);
        return 7;
    }
    Stream* s = stream_of(h->stream);
    if (s->graph && !h->workspace) found("cuBLAS: a product is recorded without a workspace");
    const size_t each = twice ? 8 : 4;
    auto range = [&](const void* p, int ld, int columns, const char* what) {
        if (!CHECK || columns == 0) return;
        const uint64_t begin = (uint64_t)p, end = begin + each * ((size_t)ld * (columns - 1) + 1);
        auto next = arrays.upper_bound(begin);
        if (next == arrays.begin() || end > std::prev(next)->first + std::prev(next)->second) found("cuBLAS: %s of a product is outside of an array", what);
    };
    range(A, lda, ta ? m : k, "A"), range(B, ldb, tb ? k : n, "B"), range(C, ldc, n, "C");
    double one[2] = {0, 0};
    memcpy(&one[0], alpha, each), memcpy(&one[1], beta, each);
    const double a_value = one[0], b_value = one[1];
    if (keep_trail) trail.push_back("host: gemm");
    return submit(h->stream, "gemm", [=] {
        const int64_t M = m, N = n, K = k, LA = lda, LB = ldb, LC = ldc;
        double scalars[2] = {a_value, b_value};
        if (CHECK) {
            auto unwritten = [&](const void* p, int64_t rows, int64_t columns, int64_t ld, const char* what) {
                Region* r = region_of((uint64_t)p);
                for (int64_t j = 0; r && j < columns; j++) {
                    const size_t offset = (uint64_t)p - (uint64_t)r->start + each * j * ld;
                    if (r->written.empty() || std::count(r->written.begin() + offset, r->written.begin() + offset + rows * each, 0)) { found("cuBLAS: %s of a product has what nobody wrote", what); break; }
                }
            };
            unwritten(A, ta ? K : M, ta ? M : K, LA, "A"), unwritten(B, tb ? N : K, tb ? K : N, LB, "B");
            for (int64_t j = 0; j < N; j++) mark((uint64_t)C + each * j * LC, each * M, true);
        }
        Counts& c = counts[twice ? "gemm64" : "gemm32"];
        c.launches++, c.instructions += 2.0 * m * n * k, c.loaded += (double)each * ((double)m * k + (double)n * k), c.stored += (double)each * m * n;
        gemms[twice](ta ? "T" : "N", tb ? "T" : "N", &M, &N, &K, &scalars[0], A, &LA, B, &LB, &scalars[1], C, &LC);
    });
}
}  // namespace
API int emu_cublasCreate_v2(void** h) { *h = new Handle; return 0; }
API int emu_cublasDestroy_v2(Handle* h) { delete h; return 0; }
API int emu_cublasSetStream_v2(Handle* h, void* s) { h->stream = s, h->workspace = nullptr; return 0; }
API int emu_cublasGetStream_v2(Handle* h, void** s) { *s = h->stream; return 0; }
API int emu_cublasSetWorkspace_v2(Handle* h, void* p, size_t) {
    if ((uint64_t)p % 256) { found("cuBLAS: workspace at an odd address"); return 7; }
    h->workspace = p;
    return 0;
}
API int emu_cublasSetMathMode(Handle* h, int m) { h->math = m; return 0; }
API int emu_cublasGetMathMode(Handle* h, int* m) { *m = h->math; return 0; }
API int emu_cublasSetPointerMode_v2(Handle* h, int m) { h->host_scalars = m == 0; return 0; }
API int emu_cublasGetPointerMode_v2(Handle* h, int* m) { *m = !h->host_scalars; return 0; }
API int emu_cublasSgemm_v2(Handle* h, int ta, int tb, int m, int n, int k, const float* alpha, const float* A, int lda, const float* B, int ldb, const float* beta, float* C, int ldc) {
    return multiplied(h, false, ta, tb, m, n, k, alpha, A, lda, B, ldb, beta, C, ldc);
}
API int emu_cublasDgemm_v2(Handle* h, int ta, int tb, int m, int n, int k, const double* alpha, const double* A, int lda, const double* B, int ldb, const double* beta, double* C, int ldc) {
    return multiplied(h, true, ta, tb, m, n, k, alpha, A, lda, B, ldb, beta, C, ldc);
}
API int emu_cublasGemmEx(Handle* h, int ta, int tb, int m, int n, int k, const void* alpha, const void* A, int at, int lda, const void* B, int, int ldb, const void* beta, void* C, int, int ldc, int, int) {
    if (at != 0 && at != 1) { found("cuBLAS: GemmEx of type %d", at); return 15; }
    return multiplied(h, at == 1, ta, tb, m, n, k, alpha, A, lda, B, ldb, beta, C, ldc);
}
namespace {
int strided(Handle* h, bool twice, int ta, int tb, int m, int n, int k, const void* alpha, const char* A, int lda, long long sa, const char* B, int ldb, long long sb, const void* beta, char* C, int ldc, long long sc, int count) {
    const size_t each = twice ? 8 : 4;
    for (int i = 0; i < count; i++)
        if (int status = multiplied(h, twice, ta, tb, m, n, k, alpha, A + i * sa * each, lda, B + i * sb * each, ldb, beta, C + i * sc * each, ldc)) return status;
    return 0;
}
}
API int emu_cublasSgemmStridedBatched(Handle* h, int ta, int tb, int m, int n, int k, const float* alpha, const char* A, int lda, long long sa, const char* B, int ldb, long long sb, const float* beta, char* C, int ldc, long long sc, int count) {
    return strided(h, false, ta, tb, m, n, k, alpha, A, lda, sa, B, ldb, sb, beta, C, ldc, sc, count);
}
API int emu_cublasDgemmStridedBatched(Handle* h, int ta, int tb, int m, int n, int k, const double* alpha, const char* A, int lda, long long sa, const char* B, int ldb, long long sb, const double* beta, char* C, int ldc, long long sc, int count) {
    return strided(h, true, ta, tb, m, n, k, alpha, A, lda, sa, B, ldb, sb, beta, C, ldc, sc, count);
}
