// What emulator.py asks for: jumps into CuPy's code, and what was found.
#pragma once

API void emu_patch(void* place, void* target) {
    const uint64_t page = (uint64_t)place & ~4095ull;
    mprotect((void*)page, 8192, PROT_READ | PROT_WRITE | PROT_EXEC);
    uint8_t code[12] = {0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xe0};
    memcpy(code + 2, &target, 8);
    memcpy(place, code, 12);
}
API int emu_unknown(const char* name) { found("%s is not emulated", name); return cudaErrorNotSupported; }
API void emu_patch_unknown(void* place, const char* name) {
    static uint8_t* code = nullptr;
    static size_t used = 0;
    if (!code) code = (uint8_t*)mmap(nullptr, 1 << 16, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint8_t* here = code + used;
    used += 32;
    char* kept = strdup(name);
    void* target = (void*)emu_unknown;
    here[0] = 0x48, here[1] = 0xbf, memcpy(here + 2, &kept, 8);
    here[10] = 0x48, here[11] = 0xb8, memcpy(here + 12, &target, 8), here[20] = 0xff, here[21] = 0xe0;
    emu_patch(place, here);
}
API void emu_array(uint64_t at, size_t size, int alive) {
    Lock lock(big);
    if (!alive) { arrays.erase(at); return; }
    arrays[at] = size;
    mark(at, size, false);
    if (!LAZY) memset((void*)at, 0xff, size);  // what nobody wrote is NaN
}
API void emu_trail(int on) { Lock lock(big); keep_trail = on; trail.clear(); }
API const char* emu_trail_text() {
    static std::string text;
    Lock lock(big);
    text.clear();
    for (auto& line : trail) text += line + "\n";
    return text.c_str();
}
API const char* emu_findings() {
    static std::string text;
    Lock lock(big);
    text.clear();
    for (auto& [line, n] : findings) text += std::to_string(n) + " " + line + "\n";
    return text.c_str();
}
API void emu_note(const char* text) { Lock lock(big); found("%s", text); }
API const char* emu_parameters(uint64_t kernel) { return ((const Kernel*)kernel)->layout->kinds; }
API void emu_forget() { Lock lock(big); findings.clear(), counts.clear(); }
API const char* emu_counts() {
    static std::string text;
    Lock lock(big);
    std::ostringstream out;
    for (auto& [name, c] : counts)
        out << name << " " << c.launches << " " << c.blocks << " " << c.threads << " " << c.instructions << " " << c.loaded << " "
            << c.stored << " " << c.load_requests << " " << c.load_sectors << " " << c.store_requests << " " << c.store_sectors << "\n";
    text = out.str();
    return text.c_str();
}
using Gemm = void (*)(const char*, const char*, const int64_t*, const int64_t*, const int64_t*, const void*, const void*,
                      const int64_t*, const void*, const int64_t*, const void*, void*, const int64_t*);
namespace { Gemm gemms[2]; }
API void emu_blas(void* single, void* twice) { gemms[0] = (Gemm)single, gemms[1] = (Gemm)twice; }
