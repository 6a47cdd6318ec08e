// Drives a compiled circuit at about a million cycles a second: the same loop as amaranth_simulator.py.
//
// The generated file that includes this one defines `Circuit`, with `settle()` (clock low), `tick()` (clock high),
// `set(port, words)` and `get(port, words)`. A word is 32 bits; the least significant word is first.

#include <cstdint>
#include <memory>

// One stream of the circuit. An input offers payloads[moved] until it is transferred; an output stores payloads.
struct Stream {
    int32_t payload, valid, ready; // ports
    uint32_t words;                // of a payload
    uint64_t count;                // payloads to move
    uint32_t *payloads;            // [count, words]
    const uint8_t *pause;          // [period]: 1 if the stream pauses in a cycle
    uint64_t period;
    uint64_t *cycles; // [count]: cycle of each transfer
    uint64_t moved;
    uint32_t offering;
};

static bool wants(const Stream &stream, uint64_t cycle) {
    return stream.moved < stream.count && !stream.pause[cycle % stream.period];
}

static void drive_input(Circuit &circuit, Stream &stream, uint64_t cycle) {
    if (!stream.offering && wants(stream, cycle)) {
        circuit.set(stream.payload, stream.payloads + stream.moved * stream.words);
        stream.offering = 1;
    }
    circuit.set(stream.valid, &stream.offering);
}

static void drive_output(Circuit &circuit, Stream &stream, uint64_t cycle) {
    const uint32_t ready = wants(stream, cycle);
    circuit.set(stream.ready, &ready);
}

static bool fires(Circuit &circuit, const Stream &stream) {
    uint32_t valid = 0, ready = 0;
    circuit.get(stream.valid, &valid);
    circuit.get(stream.ready, &ready);
    return valid && ready;
}

// Runs until every payload has moved, and one cycle more; then reads `flags`. Returns the cycles, or -1 - n if
// nothing moved for `stall_limit` cycles after cycle n.
extern "C" int64_t run_streams(Stream *inputs, int32_t n_inputs, Stream *outputs, int32_t n_outputs,
                               const int32_t *flags, uint32_t *flag_values, int32_t n_flags, uint64_t stall_limit) {
    auto circuit = std::make_unique<Circuit>();
    uint64_t left = 0;
    for (int i = 0; i < n_inputs; i++) left += inputs[i].count;
    for (int i = 0; i < n_outputs; i++) left += outputs[i].count;
    uint64_t cycle = 0, last_move = 0;
    for (bool draining = false; !draining; cycle++) {
        draining = left == 0;
        for (int i = 0; i < n_inputs; i++) drive_input(*circuit, inputs[i], cycle);
        for (int i = 0; i < n_outputs; i++) drive_output(*circuit, outputs[i], cycle);
        circuit->settle();
        for (int i = 0; i < n_inputs + n_outputs; i++) {
            Stream &stream = i < n_inputs ? inputs[i] : outputs[i - n_inputs];
            if (!fires(*circuit, stream)) continue;
            if (i >= n_inputs) circuit->get(stream.payload, stream.payloads + stream.moved * stream.words);
            stream.cycles[stream.moved++] = cycle;
            stream.offering = 0;
            last_move = cycle;
            left--;
        }
        circuit->tick();
        if (left && cycle - last_move > stall_limit) return -1 - static_cast<int64_t>(last_move);
    }
    circuit->settle();
    for (int i = 0; i < n_flags; i++) circuit->get(flags[i], flag_values + i);
    return cycle;
}

// Applies rows of inputs to a combinational circuit and stores the outputs.
extern "C" void run_vectors(const int32_t *inputs, const uint32_t *input_words, int32_t n_inputs, const uint32_t *rows,
                            const int32_t *outputs, const uint32_t *output_words, int32_t n_outputs, uint32_t *results,
                            uint64_t count) {
    auto circuit = std::make_unique<Circuit>();
    for (uint64_t row = 0; row < count; row++) {
        for (int i = 0; i < n_inputs; rows += input_words[i++]) circuit->set(inputs[i], rows);
        circuit->settle();
        for (int i = 0; i < n_outputs; results += output_words[i++]) circuit->get(outputs[i], results);
    }
}
