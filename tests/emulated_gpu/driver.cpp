// A GPU that is not there: NVIDIA's driver and runtime, as far as CuPy uses them, on host memory.
//
// Kernels come as PTX, become C++ (ptx2cpp.py) and run thread by thread, in a shuffled order if they
// are checked. Work is done at once, or, if EMU_LAZY is set, only when its stream is waited for.
// Loaded as libcuda.so.1; emulator.py puts jumps to the emu_cuda… functions into CuPy's own copy of
// the runtime, and to the emu_cublas… functions into libcublas.
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <immintrin.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "thread.h"

#define API extern "C" __attribute__((visibility("default")))

namespace {

std::recursive_mutex big;
using Lock = std::lock_guard<std::recursive_mutex>;
const bool LAZY = getenv("EMU_LAZY") != nullptr, CHECK = getenv("EMU_CHECK") != nullptr;
const size_t MEMORY = getenv("EMU_MEMORY") ? strtoull(getenv("EMU_MEMORY"), nullptr, 10) : 8ull << 30;
const int DEVICES = getenv("EMU_DEVICES") ? atoi(getenv("EMU_DEVICES")) : 1;
std::mt19937 random_order(getenv("EMU_SEED") ? atoi(getenv("EMU_SEED")) : 1);
size_t in_use = 0;

}  // namespace

#include "findings.h"
#include "memory.h"
#include "streams.h"
#include "kernels.h"
#include "control.h"
#include "driver_api.h"
#include "runtime_api.h"
#include "cublas_api.h"
