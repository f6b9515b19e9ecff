"""One run: arrays in, history out. It knows the engine, no folder and no paper."""
