// The driver: modules and launches.
#pragma once

API int cuInit(unsigned) { return 100; }  // "no device": NVRTC, which asks, then leaves the driver alone
API int cuDriverGetVersion(int* v) { *v = CUDART_VERSION; return 0; }
API int cuGetErrorName(int e, const char** s) { static char text[32]; snprintf(text, 32, "CUDA_ERROR_%d", e); *s = text; return 0; }
API int cuGetErrorString(int e, const char** s) { return cuGetErrorName(e, s); }
API int cuCtxGetCurrent(void** c) { *c = (void*)0x77; return 0; }
API int cuCtxSetCurrent(void*) { return 0; }
API int cuCtxGetDevice(int* d) { *d = 0; return 0; }
API int cuStreamGetCtx(void*, void** c) { *c = (void*)0x77; return 0; }
API int cuDevicePrimaryCtxRelease(int) { return 0; }
API int cuDevicePrimaryCtxRelease_v2(int) { return 0; }
API int cuModuleLoadData(void** module, const char* image) {
    Lock lock(big);
    if (memcmp(image, "\x7f" "ELF", 4) == 0) { found("a cubin was loaded: set CUPY_COMPILE_WITH_PTX=1"); return 200; }
    if (anyone_captures()) noted("module loaded while recording");
    const std::string path = translated(image);
    void* library = path.empty() ? nullptr : dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) { found("cannot load %s: %s", path.c_str(), dlerror()); return 200; }
    *module = new Module{library, {}};
    return 0;
}
API int cuModuleUnload(void*) { return 0; }
API int cuModuleGetFunction(void** function, Module* m, const char* name) {
    Lock lock(big);
    auto& kernel = m->kernels[name];
    if (!kernel) {
        void* run = dlsym(m->library, name);
        if (!run) { m->kernels.erase(name); return 500; }
        kernel.reset(new Kernel{name, (void (*)(Thread&, const uint8_t*))run, (const Layout*)dlsym(m->library, (std::string(name) + "__layout").c_str())});
    }
    *function = kernel.get();
    return 0;
}
API int cuModuleGetGlobal_v2(void**, size_t*, void*, const char*) { return 500; }
API int cuModuleGetGlobal(void**, size_t*, void*, const char*) { return 500; }
API int cuFuncGetAttribute(int* value, int attribute, Kernel* k) { *value = attribute == 0 ? 1024 : attribute == 1 ? k->layout->shared : 0; return 0; }
API int cuFuncSetAttribute(Kernel*, int, int) { return 0; }
API int cuOccupancyMaxActiveBlocksPerMultiprocessor(int* n, void*, int threads, size_t) { *n = 2048 / threads; return 0; }
API int cuOccupancyMaxPotentialBlockSize(int* grid, int* block, void*, void*, size_t, int) { *grid = 264, *block = 256; return 0; }
API int cuLaunchKernel(Kernel* k, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned dynamic,
                       void* stream, void** given, void** extra) {
    Lock lock(big);
    const Layout& layout = *k->layout;
    if (gx == 0 || gy == 0 || gz == 0 || bx == 0 || (long)bx * by * bz > 1024 || gx > 0x7fffffffu || gy > 65535 || gz > 65535 ||
        layout.shared + dynamic > 49152) {
        found("%s: launch of (%u, %u, %u) blocks of (%u, %u, %u) threads with %u bytes", k->name.c_str(), gx, gy, gz, bx, by, bz, dynamic);
        return 1;
    }
    if (extra) { found("launch with extra"); return 1; }
    std::vector<uint8_t> parameters(layout.size + 16, 0);
    for (int i = 0; i < layout.count; i++) memcpy(parameters.data() + layout.places[i][0], given[i], layout.places[i][1]);
    auto ranges = CHECK ? ranges_in(parameters) : std::vector<Range>();
    const bool strict = k->name.rfind("cupy", 0) != 0;
    if (keep_trail) { trail.push_back("host: " + k->name); }
    return submit(stream, k->name, [=] {
        const uint32_t grid[3] = {gx, gy, gz}, dims[3] = {bx, by, bz};
        launch(k, grid, dims, dynamic, parameters, ranges, strict);
    });
}
API int cuLaunchCooperativeKernel(Kernel* k, unsigned a, unsigned b, unsigned c, unsigned d, unsigned e, unsigned f, unsigned g, void* s, void** p) {
    return cuLaunchKernel(k, a, b, c, d, e, f, g, s, p, nullptr);
}
