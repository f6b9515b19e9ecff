// cuBLAS: products, by OpenBLAS.
#pragma once

namespace {
struct Handle { void* stream = nullptr; void* workspace = nullptr; int math = 0; int host_scalars = 1; };

struct Gemm {  // C = alpha A B + beta C, each perhaps transposed, by columns
    bool twice;
    int ta, tb, m, n, k, lda, ldb, ldc;
    double alpha, beta;

    size_t each() const { return twice ? 8 : 4; }
    bool fits() const {
        if (lda >= std::max(1, ta ? k : m) && ldb >= std::max(1, tb ? n : k) && ldc >= std::max(1, m) && m >= 0 && n >= 0 && k >= 0) return true;
        found("cuBLAS: gemm of m %d n %d k %d with leading dimensions %d %d %d", m, n, k, lda, ldb, ldc);
        return false;
    }
    void within(const void* p, int ld, int columns, const char* what) const {
        if (!CHECK || columns == 0) return;
        const uint64_t begin = (uint64_t)p, end = begin + each() * ((size_t)ld * (columns - 1) + 1);
        auto next = arrays.upper_bound(begin);
        if (next == arrays.begin() || end > std::prev(next)->first + std::prev(next)->second) found("cuBLAS: %s of a product is outside of an array", what);
    }
    void all_within(const void* A, const void* B, const void* C) const {
        within(A, lda, ta ? m : k, "A"), within(B, ldb, tb ? k : n, "B"), within(C, ldc, n, "C");
    }
    void written(const void* p, int64_t rows, int64_t columns, int64_t ld, const char* what) const {
        Region* r = region_of((uint64_t)p);
        for (int64_t j = 0; r && j < columns; j++) {
            const size_t offset = (uint64_t)p - (uint64_t)r->start + each() * j * ld;
            if (r->written.empty() || std::count(r->written.begin() + offset, r->written.begin() + offset + rows * each(), 0)) { found("cuBLAS: %s of a product has what nobody wrote", what); break; }
        }
    }
    void run(const void* A, const void* B, void* C) const {
        const int64_t M = m, N = n, K = k, LA = lda, LB = ldb, LC = ldc;
        float narrow[2] = {(float)alpha, (float)beta};
        double wide[2] = {alpha, beta};
        const char* scalars = twice ? (const char*)wide : (const char*)narrow;
        if (CHECK) {
            written(A, ta ? K : M, ta ? M : K, LA, "A"), written(B, tb ? N : K, tb ? K : N, LB, "B");
            for (int64_t j = 0; j < N; j++) mark((uint64_t)C + each() * j * LC, each() * M, true);
        }
        Counts& c = counts[twice ? "gemm64" : "gemm32"];
        c.launches++, c.instructions += 2.0 * m * n * k, c.loaded += (double)each() * ((double)m * k + (double)n * k), c.stored += (double)each() * m * n;
        gemms[twice](ta ? "T" : "N", tb ? "T" : "N", &M, &N, &K, scalars, A, &LA, B, &LB, scalars + each(), C, &LC);
    }
};

Gemm gemm_of(bool twice, int ta, int tb, int m, int n, int k, const void* alpha, int lda, int ldb, const void* beta, int ldc) {
    auto value = [&](const void* p) { return twice ? *(const double*)p : (double)*(const float*)p; };
    return {twice, ta, tb, m, n, k, lda, ldb, ldc, value(alpha), value(beta)};
}
int begun(Handle* h, const Gemm& gemm) {
    if (!gemm.fits()) return 7;
    if (stream_of(h->stream)->graph && !h->workspace) found("cuBLAS: a product is recorded without a workspace");
    if (keep_trail) trail.push_back("host: gemm");
    return 0;
}
int multiplied(Handle* h, bool twice, int ta, int tb, int m, int n, int k, const void* alpha, const void* A, int lda, const void* B,
               int ldb, const void* beta, void* C, int ldc) {
    Lock lock(big);
    const Gemm gemm = gemm_of(twice, ta, tb, m, n, k, alpha, lda, ldb, beta, ldc);
    if (int status = begun(h, gemm)) return status;
    gemm.all_within(A, B, C);
    return submit(h->stream, "gemm", [=] { gemm.run(A, B, C); });
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
namespace {
int batched(Handle* h, const Gemm& gemm, const void* const* A, const void* const* B, void* const* C, int count) {
    Lock lock(big);
    if (int status = begun(h, gemm)) return status;
    return submit(h->stream, "gemm", [=] {  // the tables of addresses are the device's
        for (int i = 0; i < count; i++) gemm.all_within(A[i], B[i], C[i]), gemm.run(A[i], B[i], C[i]);
    });
}
}
API int emu_cublasSgemmBatched(Handle* h, int ta, int tb, int m, int n, int k, const float* alpha, const void* const* A, int lda, const void* const* B, int ldb, const float* beta, void* const* C, int ldc, int count) {
    return batched(h, gemm_of(false, ta, tb, m, n, k, alpha, lda, ldb, beta, ldc), A, B, C, count);
}
API int emu_cublasDgemmBatched(Handle* h, int ta, int tb, int m, int n, int k, const double* alpha, const void* const* A, int lda, const void* const* B, int ldb, const double* beta, void* const* C, int ldc, int count) {
    return batched(h, gemm_of(true, ta, tb, m, n, k, alpha, lda, ldb, beta, ldc), A, B, C, count);
}
