// The device's memory, which is the host's: what was given out, and which bytes of it were written.
#pragma once

namespace {

struct Cell { uint32_t epoch, writer, reader; };
struct Region { uint8_t* start; size_t size; std::vector<uint8_t> written; std::vector<Cell> cells; };
std::map<uint64_t, Region> regions;              // by address: what cudaMalloc gave
std::map<uint64_t, size_t> arrays, pinned;       // live arrays, as a hook of CuPy's pool tells
uint32_t epoch = 0;

Region* region_of(uint64_t at) {
    auto next = regions.upper_bound(at);
    if (next == regions.begin()) return nullptr;
    Region& r = std::prev(next)->second;
    return at < (uint64_t)r.start + r.size ? &r : nullptr;
}
bool is_pinned(uint64_t at) {
    auto next = pinned.upper_bound(at);
    return next != pinned.begin() && at < std::prev(next)->first + std::prev(next)->second;
}
void mark(uint64_t at, size_t size, bool written) {
    if (!CHECK) return;
    if (Region* r = region_of(at)) {
        if (r->written.empty()) r->written.assign(r->size, 0);
        const size_t begin = at - (uint64_t)r->start;
        std::fill_n(r->written.begin() + begin, std::min(size, r->size - begin), written);
    }
}

}  // namespace
