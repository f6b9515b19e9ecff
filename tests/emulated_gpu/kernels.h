// Kernels: translated, run thread by thread, and watched.
#pragma once

namespace {

struct Range { uint64_t begin, end; };
struct Kernel { std::string name; void (*run)(Thread&, const uint8_t*); const Layout* layout; };
struct Module { void* library; std::map<std::string, std::unique_ptr<Kernel>> kernels; };

const Kernel* running = nullptr;
std::vector<Range> allowed;
bool racing = false, own = false;
Counts* tally = nullptr;
bool sampled = false;
using Request = std::tuple<uint32_t, int, uint32_t>;  // instruction, time, bytes a thread
std::map<Request, std::set<uint64_t>> requests[2];
std::unordered_map<uint32_t, int> times_there;

// A block's threads as coroutines, for kernels that wait for each other.
struct Block {
    enum State { ready, at_barrier, at_warp, done };
    std::vector<ucontext_t> contexts; std::vector<std::unique_ptr<char[]>> stacks;
    std::vector<State> states; std::vector<uint32_t> slots; std::vector<Thread> threads;
    ucontext_t scheduler; int current = 0; const uint8_t* parameters = nullptr;
};
Block* block_now = nullptr;
constexpr size_t STACK = 128 << 10;

void enter() {
    Block& b = *block_now;
    running->run(b.threads[b.current], b.parameters);
    b.states[b.current] = Block::done;
    swapcontext(&b.contexts[b.current], &b.scheduler);
}
void yield_as(Block::State state) {
    Block& b = *block_now;
    const int me = b.current;
    b.states[me] = state;
    swapcontext(&b.contexts[me], &b.scheduler);
}
void run_block(Block& b, const std::vector<int>& order) {
    block_now = &b;
    const int n = b.threads.size();
    for (int i = 0; i < n; i++) {
        getcontext(&b.contexts[i]);
        b.contexts[i].uc_stack = {b.stacks[i].get(), 0, STACK};
        b.contexts[i].uc_link = nullptr;
        makecontext(&b.contexts[i], enter, 0);
        b.states[i] = Block::ready;
    }
    for (;;) {
        bool ran = false;
        for (int i : order)
            if (b.states[i] == Block::ready) {
                b.current = i, ran = true;
                swapcontext(&b.scheduler, &b.contexts[i]);
            }
        if (ran) continue;
        bool released = false;
        for (int w = 0; w < n; w += 32) {
            const int end = std::min(n, w + 32);
            bool all = true, some = false;
            for (int i = w; i < end; i++) {
                all &= b.states[i] == Block::at_warp || b.states[i] == Block::done;
                some |= b.states[i] == Block::at_warp;
            }
            if (all && some) {
                for (int i = w; i < end; i++) if (b.states[i] == Block::at_warp) b.states[i] = Block::ready;
                released = true;
            }
        }
        if (released) continue;
        int waiting = 0, finished = 0;
        for (auto state : b.states) waiting += state == Block::at_barrier, finished += state == Block::done;
        if (waiting == 0 && finished == n) break;
        if (waiting + finished < n) { found("%s: threads wait for each other for ever", running->name.c_str()); break; }
        if (finished) found("%s: %d threads ended before a barrier of the others", running->name.c_str(), finished > 0);
        for (auto& state : b.states) if (state == Block::at_barrier) state = Block::ready;
    }
    block_now = nullptr;
}

void launch(const Kernel* k, const uint32_t grid[3], const uint32_t dims[3], uint32_t dynamic,
            const std::vector<uint8_t>& parameters, const std::vector<Range>& ranges, bool strict) {
    const unsigned modes = _mm_getcsr();
    _mm_setcsr(modes | 0x8040);  // denormals are zero, as -ftz=true has it
    running = k, allowed = ranges, epoch++;
    const int n = dims[0] * dims[1] * dims[2];
    const long blocks = (long)grid[0] * grid[1] * grid[2];
    Counts& c = counts[k->name];
    c.launches++, c.threads += blocks * n, c.blocks += blocks;
    tally = &c, own = strict, racing = CHECK && !k->layout->barriers && strict;
    // Shared memory has addresses of 32 bits.
    static uint8_t* const arena = (uint8_t*)mmap(nullptr, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    memset(arena, 0xff, k->layout->shared + dynamic);
    std::vector<int> order(n);
    for (int i = 0; i < n; i++) order[i] = n - 1 - i;
    std::vector<uint32_t> block_order(CHECK ? blocks : 0);
    for (size_t i = 0; i < block_order.size(); i++) block_order[i] = i;
    std::shuffle(block_order.begin(), block_order.end(), random_order);
    Block b;
    if (k->layout->barriers) {
        b.contexts.resize(n), b.states.resize(n), b.slots.resize(n), b.threads.resize(n);
        for (int i = 0; i < n; i++) b.stacks.emplace_back(new char[STACK]);
        b.parameters = parameters.data();
    }
    const long step = std::max(1l, blocks / 6);
    for (long number = 0; number < blocks; number++) {
        const uint32_t block = CHECK ? block_order[number] : blocks - 1 - number;
        Thread t{};
        t.shared = arena;
        for (int a = 0; a < 3; a++) t.ntid[a] = dims[a], t.nctaid[a] = grid[a];
        t.ctaid[0] = block % grid[0], t.ctaid[1] = block / grid[0] % grid[1], t.ctaid[2] = block / grid[0] / grid[1];
        if (CHECK) std::shuffle(order.begin(), order.end(), random_order);
        const bool sample = CHECK && block % step == 0;
        for (int i : order) {
            t.tid[0] = i % dims[0], t.tid[1] = i / dims[0] % dims[1], t.tid[2] = i / dims[0] / dims[1];
            t.number = block * n + i + 1;
            if (k->layout->barriers) { b.threads[i] = t; continue; }
            if (sample && i < 32) sampled = true, times_there.clear();
            k->run(t, parameters.data());
            sampled = false;
        }
        if (k->layout->barriers) run_block(b, order);
        if (CHECK) c.instructions += t.counted;
        for (const Thread& each : b.threads) if (CHECK) c.instructions += each.counted;
        if (sample)
            for (int store = 0; store < 2; store++) {
                for (auto& [key, sectors] : requests[store]) {
                    (store ? c.store_requests : c.load_requests) += std::get<2>(key) / 4.0;
                    (store ? c.store_sectors : c.load_sectors) += sectors.size();
                }
                requests[store].clear();
            }
    }
    running = nullptr;
    _mm_setcsr(modes);
}

std::vector<Range> ranges_in(const std::vector<uint8_t>& parameters) {
    std::vector<Range> out;
    for (size_t i = 0; i + 8 <= parameters.size(); i += 8) {
        uint64_t word;
        memcpy(&word, parameters.data() + i, 8);
        auto next = arrays.upper_bound(word);
        if (next != arrays.begin() && word < std::prev(next)->first + std::prev(next)->second)
            out.push_back({std::prev(next)->first, std::prev(next)->first + std::prev(next)->second});
        else if (Region* r = region_of(word))
            out.push_back({(uint64_t)r->start, (uint64_t)r->start + r->size});
    }
    return out;
}

std::string translated(const std::string& ptx) {
    const char* folder = getenv("EMU_CACHE");
    const std::string base = std::string(folder ? folder : ".") + "/" +
        std::to_string(std::hash<std::string>()(ptx)) + (CHECK ? "c" : "p");
    const std::string library = base + ".so";
    struct stat there;
    if (stat(library.c_str(), &there) == 0) return library;
    FILE* file = fopen((base + ".ptx").c_str(), "w");
    fwrite(ptx.data(), 1, ptx.size(), file), fclose(file);
    const std::string home = getenv("EMU_HOME");
    const std::string command = "set -e; unset LD_PRELOAD; " + std::string(getenv("EMU_PYTHON")) + " " + home + "/ptx2cpp.py " + base + ".ptx " + base + ".cpp && g++ -std=c++17 -O2 " +
        (CHECK ? "-DCHECKED " : "") + "-march=native -ffp-contract=off -fno-strict-aliasing -w -fPIC -shared -I" + home + " " +
        base + ".cpp -o " + base + ".tmp && mv " + base + ".tmp " + library;
    if (system(command.c_str()) != 0) { found("PTX cannot be translated: %s.ptx", base.c_str()); return ""; }
    return library;
}

}  // namespace

void Thread::wait() { yield_as(Block::at_barrier); }
uint32_t Thread::shuffle(Way way, uint32_t value, uint32_t by, uint32_t clamp, bool& inside) {
    Block& b = *block_now;
    const int me = flat();
    b.slots[me] = value;
    yield_as(Block::at_warp);
    const int l = lane(), segment = clamp >> 8 & 31, most = clamp & 31;
    const int low = l & segment, high = low | (most & ~segment);
    int from = way == up ? l - (int)by : way == down ? l + (int)by : way == bfly ? l ^ (int)by : (low | ((int)by & ~segment));
    inside = way == up ? from >= high : from <= high;
    if (!inside) from = l;
    const uint32_t got = b.slots[me - l + from];
    yield_as(Block::at_warp);
    return got;
}
void trapped() { found("a kernel trapped"); abort(); }

bool Thread::checked_access(uint64_t at, uint32_t size, bool store, uint32_t pc) {
    const char* name = running->name.c_str();
    (store ? tally->stored : tally->loaded) += size;
    if (at % size) found("%s: instruction %u %s %u bytes at an odd address", name, pc, store ? "writes" : "reads", size);
    bool inside = false;
    for (const Range& r : allowed) inside |= at >= r.begin && at + size <= r.end;
    Region* r = region_of(at);
    if (!inside && !r && block_now == nullptr) { found("%s: instruction %u %s outside of the memory", name, pc, store ? "writes" : "reads"); return false; }
    if (!r) return true;  // shared or local
    // Some of CuPy's own kernels are given an array of addresses, which are not looked into here.
    if (!inside && own) found("%s: instruction %u %s outside of its arrays", name, pc, store ? "writes" : "reads");
    const size_t offset = at - (uint64_t)r->start;
    if (r->written.empty()) r->written.assign(r->size, 0);
    if (store) std::fill_n(r->written.begin() + offset, size, 1);
    else
        for (uint32_t i = 0; i < size; i++)
            if (!r->written[offset + i]) { found("%s: instruction %u reads what nobody wrote", name, pc); break; }
    if (racing && size > 1) {
        if (r->cells.empty()) r->cells.assign(r->size / 2 + 1, Cell{});
        for (size_t i = offset / 2; i < (offset + size) / 2; i++) {
            Cell& c = r->cells[i];
            if (c.epoch != epoch) c = {epoch, 0, 0};
            if (c.writer && c.writer != number) found("%s: instruction %u %s what another thread writes", name, pc, store ? "writes" : "reads");
            if (store) {
                if (c.reader && c.reader != number) found("%s: instruction %u writes what another thread reads", name, pc);
                c.writer = number;
            } else c.reader = c.reader && c.reader != number ? ~0u : number;
        }
    }
    if (sampled) {
        auto& sectors = requests[store][{pc, times_there[pc]++, size}];
        for (uint64_t s = at / 32; s <= (at + size - 1) / 32; s++) sectors.insert(s);
    }
    return true;
}
