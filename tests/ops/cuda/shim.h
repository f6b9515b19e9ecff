// What lets kernels.cu be compiled as C++: one call of a kernel is one thread's work.
#include <cmath>
#define __global__
#define __device__ inline
struct Index { unsigned x; };
extern "C" { Index blockIdx, threadIdx, blockDim, gridDim; }
using std::exp; using std::log; using std::sqrt;
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)(((unsigned __int128)a * b) >> 64);
}
