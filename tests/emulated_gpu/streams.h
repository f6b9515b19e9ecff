// Streams, events and graphs: what may be done when, and in which order it is done.
#pragma once

namespace {

struct Graph;
struct Op { std::string what; std::function<void()> run; };
struct Stream { unsigned flags = 0; std::deque<Op> queue; Graph* graph = nullptr; bool broken = false;
                int mode = 0; std::thread::id by; };
struct Event { Stream* stream = nullptr; bool done = true; double time = 0; bool timed = true; };
struct Graph { std::vector<Op> ops; };

Stream null_stream;
std::set<Stream*> streams = {&null_stream};

Stream* stream_of(void* handle) {
    if (handle == nullptr || handle == (void*)1 || handle == (void*)2) return &null_stream;
    auto* s = (Stream*)handle;
    if (!streams.count(s)) { found("a stream that is not there was used"); return nullptr; }
    return s;
}
double now() {
    using namespace std::chrono;
    return duration<double, std::milli>(steady_clock::now().time_since_epoch()).count();
}
void drain(Stream* s) {
    while (!s->queue.empty()) {
        Op op = std::move(s->queue.front());
        s->queue.pop_front();
        op.run();
    }
}
void drain_all() { for (Stream* s : streams) drain(s); }
bool anyone_captures() { for (Stream* s : streams) if (s->graph) return true; return false; }
void noted(const std::string& what) { if (keep_trail) trail.push_back(what); }

cudaError_t submit(void* handle, const std::string& what, std::function<void()> run) {
    Stream* s = stream_of(handle);
    if (!s) return cudaErrorInvalidResourceHandle;
    auto work = [what, run] { noted(what); run(); };
    if (s->graph) { s->graph->ops.push_back({what, work}); return cudaSuccess; }
    if (s == &null_stream)
        for (Stream* other : streams)
            if (other->graph && !(other->flags & 1)) { other->broken = true; return cudaErrorStreamCaptureImplicit; }
    if (!LAZY) { work(); return cudaSuccess; }
    if (s == &null_stream) { for (Stream* o : streams) if (o != s && !(o->flags & 1)) drain(o); }
    else if (!(s->flags & 1)) drain(&null_stream);
    s->queue.push_back({what, work});
    return cudaSuccess;
}
cudaError_t wait_for(Stream* s) {
    if (!s) return cudaErrorInvalidResourceHandle;
    if (s->graph) { s->broken = true; found("a stream was waited for that records"); return cudaErrorStreamCaptureUnsupported; }
    drain(s);
    return cudaSuccess;
}
bool forbidden() {  // what may not be done while others record in the strictest mode
    for (Stream* s : streams)
        if (s->graph && (s->mode == 0 || (s->mode == 1 && s->by == std::this_thread::get_id()))) { s->broken = true; return true; }
    return false;
}

}  // namespace
