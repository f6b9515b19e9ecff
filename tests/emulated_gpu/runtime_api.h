// The runtime: memory, copies, streams, events, capture, graphs.
#pragma once

API cudaError_t emu_cudaGetDeviceCount(int* n) { *n = DEVICES; return DEVICES ? cudaSuccess : cudaErrorNoDevice; }
API cudaError_t emu_cudaGetDevice(int* d) { *d = 0; return cudaSuccess; }
API cudaError_t emu_cudaSetDevice(int d) { return d < DEVICES ? cudaSuccess : cudaErrorInvalidDevice; }
API cudaError_t emu_cudaDriverGetVersion(int* v) { *v = CUDART_VERSION; return cudaSuccess; }
API cudaError_t emu_cudaGetLastError() { return cudaSuccess; }
API cudaError_t emu_cudaPeekAtLastError() { return cudaSuccess; }
API cudaError_t emu_cudaDeviceGetAttribute(int* v, int a, int) {
    switch (a) {
        case 1: *v = 1024; break;
        case 5: *v = 2147483647; break;
        case 8: *v = 49152; break;
        case 10: *v = 32; break;
        case 16: *v = 132; break;
        case 39: *v = 2048; break;
        case 75: *v = 9; break;
        case 76: *v = 0; break;
        case 81: *v = 233472; break;
        case 97: *v = 232448; break;
        case 41: case 83: case 95: case 115: *v = 1; break;
        default: *v = 0;
    }
    return cudaSuccess;
}
API cudaError_t emu_cudaGetDeviceProperties_v2(cudaDeviceProp* p, int) {
    memset(p, 0, sizeof *p);
    strcpy(p->name, "no GPU (emulated)");
    p->totalGlobalMem = MEMORY, p->major = 9, p->multiProcessorCount = 132, p->warpSize = 32, p->maxThreadsPerBlock = 1024;
    p->sharedMemPerBlock = 49152, p->l2CacheSize = 50 << 20, p->regsPerBlock = 65536, p->maxThreadsPerMultiProcessor = 2048;
    return cudaSuccess;
}
API cudaError_t emu_cudaGetDeviceProperties(cudaDeviceProp* p, int d) { return emu_cudaGetDeviceProperties_v2(p, d); }
API cudaError_t emu_cudaMemGetInfo(size_t* free, size_t* total) { *free = MEMORY - in_use, *total = MEMORY; return cudaSuccess; }
API cudaError_t emu_cudaMalloc(void** p, size_t size) {
    Lock lock(big);
    if (forbidden()) return cudaErrorStreamCaptureUnsupported;
    if (in_use + size > MEMORY) return cudaErrorMemoryAllocation;
    void* m = mmap(nullptr, size + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m == MAP_FAILED) return cudaErrorMemoryAllocation;
    in_use += size;
    regions[(uint64_t)m] = Region{(uint8_t*)m, size, {}, {}};
    if (anyone_captures()) noted("cudaMalloc while recording");
    *p = m;
    return cudaSuccess;
}
API cudaError_t emu_cudaFree(void* p) {
    Lock lock(big);
    if (!p) return cudaSuccess;
    if (forbidden()) return cudaErrorStreamCaptureUnsupported;
    auto it = regions.find((uint64_t)p);
    if (it == regions.end()) { found("cudaFree of what was not cudaMalloc's"); return cudaErrorInvalidValue; }
    if (anyone_captures()) noted("cudaFree while recording");
    drain_all();
    in_use -= it->second.size;
    munmap(p, it->second.size + 4096);
    regions.erase(it);
    return cudaSuccess;
}
API cudaError_t emu_cudaMallocAsync(void** p, size_t n, void*) { return emu_cudaMalloc(p, n); }
API cudaError_t emu_cudaFreeAsync(void* p, void*) { return emu_cudaFree(p); }
API cudaError_t emu_cudaHostAlloc(void** p, size_t n, unsigned) {
    Lock lock(big);
    *p = aligned_alloc(4096, (n + 4095) & ~4095ull), pinned[(uint64_t)*p] = n;
    return cudaSuccess;
}
API cudaError_t emu_cudaFreeHost(void* p) { Lock lock(big); drain_all(), pinned.erase((uint64_t)p), free(p); return cudaSuccess; }
API cudaError_t emu_cudaPointerGetAttributes(cudaPointerAttributes* a, const void* p) {
    Lock lock(big);
    memset(a, 0, sizeof *a);
    a->type = region_of((uint64_t)p) ? cudaMemoryTypeDevice : is_pinned((uint64_t)p) ? cudaMemoryTypeHost : cudaMemoryTypeUnregistered;
    a->devicePointer = (void*)p;
    return cudaSuccess;
}
API cudaError_t emu_cudaMemcpyAsync(void* to, const void* from, size_t n, cudaMemcpyKind, void* stream) {
    Lock lock(big);
    Stream* s = stream_of(stream);
    if (!s) return cudaErrorInvalidResourceHandle;
    const bool into = region_of((uint64_t)to), out_of = region_of((uint64_t)from);
    const char* what = into ? out_of ? "copy D2D" : "copy H2D" : "copy D2H";
    if (keep_trail) trail.push_back(std::string("host: ") + what);
    if (s->graph && !(into && out_of)) found("a %s was recorded", what);
    if (into && !out_of && !is_pinned((uint64_t)from)) {  // staged now
        auto staged = std::make_shared<std::vector<uint8_t>>((const uint8_t*)from, (const uint8_t*)from + n);
        return submit(stream, what, [=] { memcpy(to, staged->data(), n); mark((uint64_t)to, n, true); });
    }
    auto error = submit(stream, what, [=] {
        if (CHECK && out_of)
            if (Region* r = region_of((uint64_t)from)) {
                const size_t offset = (uint64_t)from - (uint64_t)r->start;
                if (!r->written.empty() && !into && std::count(r->written.begin() + offset, r->written.begin() + offset + n, 0))
                    found("%s of what nobody wrote", what);
            }
        memcpy(to, from, n), mark((uint64_t)to, n, true);
    });
    if (error == cudaSuccess && !into && !is_pinned((uint64_t)to) && !s->graph) drain(s);
    return error;
}
API cudaError_t emu_cudaMemcpy(void* to, const void* from, size_t n, cudaMemcpyKind kind) {
    Lock lock(big);
    auto error = emu_cudaMemcpyAsync(to, from, n, kind, nullptr);
    if (error == cudaSuccess) drain(&null_stream);
    return error;
}
API cudaError_t emu_cudaMemsetAsync(void* p, int v, size_t n, void* stream) {
    Lock lock(big);
    if (keep_trail) trail.push_back("host: memset");
    return submit(stream, "memset", [=] { memset(p, v, n), mark((uint64_t)p, n, true); });
}
API cudaError_t emu_cudaMemset(void* p, int v, size_t n) { return emu_cudaMemsetAsync(p, v, n, nullptr); }

API cudaError_t emu_cudaStreamCreateWithFlags(void** s, unsigned flags) {
    Lock lock(big);
    auto* made = new Stream;
    made->flags = flags, streams.insert(made), *s = made;
    return cudaSuccess;
}
API cudaError_t emu_cudaStreamCreate(void** s) { return emu_cudaStreamCreateWithFlags(s, 0); }
API cudaError_t emu_cudaStreamCreateWithPriority(void** s, unsigned flags, int) { return emu_cudaStreamCreateWithFlags(s, flags); }
API cudaError_t emu_cudaStreamDestroy(void* s) { Lock lock(big); drain((Stream*)s), streams.erase((Stream*)s); return cudaSuccess; }
API cudaError_t emu_cudaStreamSynchronize(void* s) { Lock lock(big); noted("host: wait for a stream"); return wait_for(stream_of(s)); }
API cudaError_t emu_cudaStreamQuery(void* s) {
    Lock lock(big);
    Stream* stream = stream_of(s);
    if (stream->graph) { stream->broken = true; return cudaErrorStreamCaptureUnsupported; }
    return stream->queue.empty() ? cudaSuccess : cudaErrorNotReady;
}
API cudaError_t emu_cudaStreamGetFlags(void* s, unsigned* f) { *f = stream_of(s)->flags; return cudaSuccess; }
API cudaError_t emu_cudaStreamGetPriority(void*, int* p) { *p = 0; return cudaSuccess; }
API cudaError_t emu_cudaDeviceSynchronize() {
    Lock lock(big);
    noted("host: wait for the device");
    for (Stream* s : streams) if (s->graph) { s->broken = true; found("the device was waited for while a stream records"); return cudaErrorStreamCaptureUnsupported; }
    drain_all();
    return cudaSuccess;
}
API cudaError_t emu_cudaStreamIsCapturing(void* s, int* status) { Lock lock(big); *status = stream_of(s)->graph ? 1 : 0; return cudaSuccess; }
API cudaError_t emu_cudaStreamBeginCapture(void* handle, int mode) {
    Lock lock(big);
    Stream* s = stream_of(handle);
    if (s == &null_stream) return cudaErrorStreamCaptureUnsupported;
    if (s->graph) return cudaErrorIllegalState;
    s->graph = new Graph, s->broken = false, s->mode = mode, s->by = std::this_thread::get_id();
    return cudaSuccess;
}
API cudaError_t emu_cudaStreamEndCapture(void* handle, void** graph) {
    Lock lock(big);
    Stream* s = stream_of(handle);
    if (!s->graph) return cudaErrorIllegalState;
    if (s->mode != 2 && s->by != std::this_thread::get_id()) return cudaErrorStreamCaptureWrongThread;
    *graph = s->graph, s->graph = nullptr;
    if (s->broken) { *graph = nullptr; return cudaErrorStreamCaptureInvalidated; }
    return cudaSuccess;
}
API cudaError_t emu_cudaGraphInstantiate(void** made, Graph* graph, unsigned long long) { Lock lock(big); *made = new Graph(*graph); return cudaSuccess; }
API cudaError_t emu_cudaGraphDestroy(Graph* g) { Lock lock(big); delete g; return cudaSuccess; }
API cudaError_t emu_cudaGraphExecDestroy(Graph* g) { Lock lock(big); drain_all(); delete g; return cudaSuccess; }
API cudaError_t emu_cudaGraphUpload(Graph*, void*) { return cudaSuccess; }
API cudaError_t emu_cudaGraphLaunch(Graph* g, void* stream) {
    Lock lock(big);
    if (keep_trail) trail.push_back("host: graph");
    return submit(stream, "graph", [g] { for (Op& op : g->ops) op.run(); });
}
API cudaError_t emu_cudaEventCreateWithFlags(void** e, unsigned flags) { *e = new Event; ((Event*)*e)->timed = !(flags & 2); return cudaSuccess; }
API cudaError_t emu_cudaEventCreate(void** e) { return emu_cudaEventCreateWithFlags(e, 0); }
API cudaError_t emu_cudaEventDestroy(Event* e) { Lock lock(big); if (e->stream) drain(e->stream); delete e; return cudaSuccess; }
API cudaError_t emu_cudaEventRecord(Event* e, void* stream) {
    Lock lock(big);
    e->done = false, e->stream = stream_of(stream);
    return submit(stream, "event", [e] { e->done = true, e->time = now(); });
}
API cudaError_t emu_cudaEventQuery(Event* e) { Lock lock(big); return e->done ? cudaSuccess : cudaErrorNotReady; }
API cudaError_t emu_cudaEventSynchronize(Event* e) { Lock lock(big); if (!e->done && e->stream) return wait_for(e->stream); return cudaSuccess; }
API cudaError_t emu_cudaEventElapsedTime(float* ms, Event* a, Event* b) {
    if (!a->done || !b->done) return cudaErrorNotReady;
    *ms = b->time - a->time;
    return cudaSuccess;
}
API cudaError_t emu_cudaStreamWaitEvent(void* s, Event* e, unsigned) {
    Lock lock(big);
    return submit(s, "wait for an event", [e] { if (!e->done && e->stream) drain(e->stream); });
}
