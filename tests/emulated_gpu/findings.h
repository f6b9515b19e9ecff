// What is found out, and what kernels do, counted.
#pragma once

namespace {

std::map<std::string, long> findings;    // text → how often
std::vector<std::string> trail;          // of what was done, if asked for
bool keep_trail = false;

void found(const char* format, ...) {
    char text[600];
    va_list list;
    va_start(list, format), vsnprintf(text, sizeof text, format, list), va_end(list);
    if (findings[text]++ == 0) fprintf(stderr, "emulator: %s\n", text);
}

struct Counts { long launches = 0, threads = 0, blocks = 0; double instructions = 0, loaded = 0, stored = 0;
    double load_requests = 0, load_sectors = 0, store_requests = 0, store_sectors = 0; };
std::map<std::string, Counts> counts;

}  // namespace
